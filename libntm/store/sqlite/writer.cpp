// Group commit. A batch that breaks its transaction (a full disk, mostly) must not take its
// neighbours with it, so such a group is rolled back and its batches are tried one by one.
#include "libntm/store/sqlite/writer.hpp"

#include <algorithm>
#include <chrono>

#include "libntm/store/outcome.hpp"

namespace ntm::store::sqlite {

namespace {

constexpr std::uint64_t kTrimRows = 1024;  // a transaction: a few milliseconds

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::vector<ItemResult> all(const Batch& batch, const ItemResult& result) {
  return std::vector<ItemResult>(batch.items.size(), result);
}

}  // namespace

std::vector<Completion> Writer::commit(Submitted first, const More& more) {
  Group group;
  run_group(std::move(first), more, group);
  Outcome ended = end_transaction();
  if (ended == Outcome::Applied) {
    std::uint64_t sequence = group.newest.sequence + (group.effects.items.empty() ? 0 : 1);
    for (Completion& completion : group.completions)
      completion.token = encode_token({history_, sequence});
    return std::move(group.completions);
  }
  if (ended == Outcome::Unavailable && group.batches.size() > 1) {
    std::vector<Completion> out;
    for (Submitted& batch : group.batches) {
      std::vector<Completion> one = commit(std::move(batch), [] { return std::nullopt; });
      out.push_back(std::move(one.front()));
    }
    return out;
  }
  std::vector<Completion> out;
  for (const Submitted& batch : group.batches) {
    const std::string& why = connection_->error()->text;
    out.push_back({batch.id, all(batch.batch, {ended, 0, 0, why}), {}});
  }
  return out;
}

void Writer::run_group(Submitted first, const More& more, Group& group) {
  connection_->clear_error();
  connection_->execute("BEGIN IMMEDIATE");
  Queries queries(*connection_);
  if (history_ == 0) history_ = queries.history();
  group.newest = queries.newest_feed_row();
  SqliteRows rows(*connection_, group.newest, quiet_);
  std::int64_t until = now_us() + kGroupTime.us;
  std::size_t items = 0;
  for (std::optional<Submitted> next = std::move(first); next;) {
    items += next->batch.items.size();
    group.completions.push_back({next->id, run_batch(next->batch, rows, group.effects), {}});
    group.batches.push_back(std::move(*next));
    next.reset();
    if (items < kGroupItems && now_us() < until && !connection_->error()) next = more();
  }
  finish(rows, group.effects);
  write_feed(group);
}

std::vector<ItemResult> Writer::run_batch(const Batch& batch, SqliteRows& rows, Effects& effects) {
  if (std::optional<std::string> why = refuse_batch(batch, rows)) return all(batch, conflict(*why));
  Effects before;
  if (batch.atomic) {
    before = effects;
    Query(*connection_, "SAVEPOINT batch").run();
  }
  std::vector<ItemResult> results;
  bool refused = false;
  for (const Operation& operation : batch.items) {
    results.push_back(apply(operation, rows, effects));
    refused |= results.back().outcome != Outcome::Applied;
  }
  if (!batch.atomic) return results;
  if (refused) {
    Query(*connection_, "ROLLBACK TO batch").run();
    effects = std::move(before);
    for (ItemResult& result : results)
      if (result.outcome == Outcome::Applied)
        result = conflict("another item of the atomic batch was not applied");
  }
  Query(*connection_, "RELEASE batch").run();
  return results;
}

bool Writer::write_feed(Group& group) {
  if (group.effects.items.empty()) return true;
  Query query(*connection_, "INSERT INTO feed (seq, total, items) VALUES (?, ?, ?)");
  query.bind_u64(group.newest.sequence + 1);
  query.bind_u64(group.newest.total + group.effects.items.size());
  return query.bind(encode_feed_items(group.effects.items)).run();
}

// A failed sync may leave a whole commit in the log that recovery would find: nobody knows then.
// Everything else that fails, fails before the commit record is complete.
Outcome Writer::end_transaction() {
  bool sound = !connection_->error();
  if (sound && connection_->execute("COMMIT")) return Outcome::Applied;
  bool unknown = sound && connection_->error()->primary() == SQLITE_IOERR;
  connection_->roll_back();
  return unknown ? Outcome::Unknown : Outcome::Unavailable;
}

bool Writer::trim_feed() {
  connection_->clear_error();
  Queries queries(*connection_);
  FeedEnd newest = queries.newest_feed_row();
  FeedEnd oldest = queries.oldest_feed_row();
  std::uint64_t rows = newest.sequence - oldest.sequence + 1;
  std::uint64_t slack = std::min(kTrimRows - 1, feed_rows_ / 8);
  bool many_rows = rows > feed_rows_ + slack;
  bool many_changes = newest.total - oldest.total > kFeedChanges + kFeedChanges / 64;
  if (newest.sequence == 0 || !(many_rows || many_changes)) return false;
  Query query(*connection_,
              "DELETE FROM feed WHERE seq < ? AND seq < ? AND (seq <= ? OR total <= ?)");
  query.bind_u64(oldest.sequence + kTrimRows).bind_u64(newest.sequence);
  query.bind_u64(newest.sequence > feed_rows_ ? newest.sequence - feed_rows_ : 0);
  query.bind_u64(newest.total > kFeedChanges ? newest.total - kFeedChanges : 0);
  return query.run();
}

}  // namespace ntm::store::sqlite
