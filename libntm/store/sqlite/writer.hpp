// The write transactions of dc.db, one group of batches at a time. Used by the store's thread only.
#pragma once

#include <functional>

#include "libntm/store/rules.hpp"
#include "libntm/store/sqlite/sqlite_rows.hpp"

namespace ntm::store::sqlite {

constexpr std::size_t kGroupItems = 256;          // of one commit: bounds what a crash can lose
constexpr Duration kGroupTime = milliseconds(5);  // and how long the first batch waits for others

struct Submitted {
  BatchId id;
  Batch batch;
};

class Writer {
 public:
  Writer(std::unique_ptr<Connection> connection, std::uint64_t feed_rows)
      : connection_(std::move(connection)), feed_rows_(feed_rows) {}

  Connection& connection() { return *connection_; }

  // Commits `first` and what `more` hands over meanwhile, in one transaction. One completion a
  // batch, in order.
  using More = std::function<std::optional<Submitted>()>;
  std::vector<Completion> commit(Submitted first, const More& more);
  // Deletes some of the oldest feed rows if there are too many; true if it did.
  bool trim_feed();

 private:
  struct Group {
    std::vector<Submitted> batches;
    std::vector<Completion> completions;
    Effects effects;
    FeedEnd newest;
  };
  void run_group(Submitted first, const More& more, Group& group);
  std::vector<ItemResult> run_batch(const Batch& batch, SqliteRows& rows, Effects& effects);
  bool write_feed(Group& group);
  Outcome end_transaction();

  std::unique_ptr<Connection> connection_;
  std::uint64_t feed_rows_;
  std::uint64_t history_ = 0;
  QuietUntil quiet_;
};

}  // namespace ntm::store::sqlite
