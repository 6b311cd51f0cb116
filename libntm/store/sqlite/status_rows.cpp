// Each insert removes what it pushes over the bound, so the file never needs a sweep.
#include "libntm/store/sqlite/status_rows.hpp"

namespace ntm::store::sqlite {

namespace {

constexpr std::int64_t kTrimEvents = 1000;  // a transaction removes at most so many old events

std::string endpoint_text(const Endpoint& endpoint) {
  return endpoint.is_set() ? to_string(endpoint) : std::string();
}

Endpoint endpoint_of(std::string_view text) {
  Result<Endpoint> endpoint = parse_endpoint(text);
  return endpoint ? *endpoint : Endpoint{};
}

}  // namespace

bool StatusRows::write(const std::vector<StatusItem>& items) {
  connection_.clear_error();
  connection_.execute("BEGIN IMMEDIATE");
  for (const StatusItem& item : items)
    std::visit([this](const auto& value) { write_one(value); }, item);
  trim_events();
  if (!connection_.error() && connection_.execute("COMMIT")) return true;
  connection_.roll_back();
  return false;
}

void StatusRows::write_one(const Move& move) {
  std::uint64_t number = 1;
  {
    Query newest(connection_, "SELECT max(number) FROM move WHERE terminal = ?");
    if (newest.bind_u64(move.terminal.value).row()) number = newest.u64(0) + 1;
  }
  Query insert(connection_,
               "INSERT INTO move (terminal, number, at, flags, outside4, outside6, behind_nat)"
               " VALUES (?, ?, ?, ?, ?, ?, ?)");
  insert.bind_u64(move.terminal.value).bind_u64(number).bind(move.at.us).bind(move.flags);
  insert.bind_text(endpoint_text(move.outside4)).bind_text(endpoint_text(move.outside6));
  insert.bind((move.behind_nat4 ? 1 : 0) | (move.behind_nat6 ? 2 : 0)).run();
  if (number <= bounds_.moves_per_terminal) return;
  Query trim(connection_, "DELETE FROM move WHERE terminal = ? AND number <= ?");
  trim.bind_u64(move.terminal.value).bind_u64(number - bounds_.moves_per_terminal).run();
}

void StatusRows::write_one(const Event& event) {
  Query insert(connection_,
               "INSERT INTO event (number, at, kind, subject, text)"
               " VALUES ((SELECT coalesce(max(number), 0) + 1 FROM event), ?, ?, ?, ?)");
  insert.bind(event.at.us).bind_text(event.kind).bind_text(event.subject);
  insert.bind_text(event.text).run();
}

void StatusRows::write_one(const CounterStep& step) {
  Query upsert(connection_,
               "INSERT INTO counter (name, value) VALUES (?, ?)"
               " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value");
  upsert.bind_text(step.name).bind_u64(step.amount).run();
}

// Age is counted back from the newest event: the store has no clock.
void StatusRows::trim_events() {
  std::int64_t newest = 0;
  std::int64_t newest_at = 0;
  {
    Query query(connection_, "SELECT number, at FROM event ORDER BY number DESC LIMIT 1");
    if (!query.row()) return;
    newest = query.i64(0);
    newest_at = query.i64(1);
  }
  Query query(connection_,
              "DELETE FROM event WHERE number IN (SELECT number FROM event ORDER BY number LIMIT ?)"
              " AND number < ? AND (number <= ? OR at < ?)");
  query.bind(kTrimEvents).bind(newest);
  query.bind(newest - static_cast<std::int64_t>(bounds_.events));
  query.bind(newest_at - bounds_.event_age.us).run();
}

std::vector<Move> StatusRows::moves(TerminalId terminal) {
  Query query(connection_,
              "SELECT at, flags, outside4, outside6, behind_nat FROM move WHERE terminal = ?"
              " ORDER BY number DESC");
  query.bind_u64(terminal.value);
  std::vector<Move> out;
  while (query.row()) {
    Move move;
    move.terminal = terminal;
    move.at.us = query.i64(0);
    move.flags = static_cast<std::uint8_t>(query.i64(1));
    move.outside4 = endpoint_of(query.text(2));
    move.outside6 = endpoint_of(query.text(3));
    move.behind_nat4 = (query.i64(4) & 1) != 0;
    move.behind_nat6 = (query.i64(4) & 2) != 0;
    out.push_back(move);
  }
  return out;
}

std::vector<Event> StatusRows::events(std::uint64_t before, std::size_t limit) {
  Query query(connection_,
              "SELECT number, at, kind, subject, text FROM event WHERE number < ?"
              " ORDER BY number DESC LIMIT ?");
  query.bind(before == 0 ? INT64_MAX : static_cast<std::int64_t>(before));
  query.bind(static_cast<std::int64_t>(limit));
  std::vector<Event> out;
  while (query.row())
    out.push_back({query.u64(0),
                   {query.i64(1)},
                   std::string(query.text(2)),
                   std::string(query.text(3)),
                   std::string(query.text(4))});
  return out;
}

std::map<std::string, std::uint64_t> StatusRows::counters() {
  Query query(connection_, "SELECT name, value FROM counter");
  std::map<std::string, std::uint64_t> out;
  while (query.row()) out[std::string(query.text(0))] = query.u64(1);
  return out;
}

}  // namespace ntm::store::sqlite
