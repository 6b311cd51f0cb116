// The statements of status.db, on one connection.
#pragma once

#include <variant>

#include "libntm/store/sqlite/connection.hpp"
#include "libntm/store/sqlite/status_store.hpp"

namespace ntm::store::sqlite {

struct CounterStep {
  std::string name;
  std::uint64_t amount = 0;
};
using StatusItem = std::variant<Move, Event, CounterStep>;

class StatusRows {
 public:
  StatusRows(Connection& connection, const StatusBounds& bounds)
      : connection_(connection), bounds_(bounds) {}

  // All in one transaction; false: nothing was written and the connection says why.
  bool write(const std::vector<StatusItem>& items);
  std::vector<Move> moves(TerminalId terminal);
  std::vector<Event> events(std::uint64_t before, std::size_t limit);
  std::map<std::string, std::uint64_t> counters();

 private:
  void write_one(const Move& move);
  void write_one(const Event& event);
  void write_one(const CounterStep& step);
  void trim_events();

  Connection& connection_;
  StatusBounds bounds_;
};

}  // namespace ntm::store::sqlite
