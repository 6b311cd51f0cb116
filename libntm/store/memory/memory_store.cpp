// One lock, one state. A commit copies the state first only while some reader holds it.
#include "libntm/store/memory/memory_store.hpp"

#include <deque>
#include <mutex>

#include "libntm/store/memory/memory_reader.hpp"
#include "libntm/store/outcome.hpp"
#include "libntm/store/rules.hpp"

namespace ntm::store::memory {

namespace {

constexpr std::uint64_t kDefaultFeedRows = 65'536;

std::vector<ItemResult> all(const Batch& batch, const ItemResult& result) {
  return std::vector<ItemResult>(batch.items.size(), result);
}

}  // namespace

class MemoryStore::Impl {
 public:
  struct Waiting {
    BatchId id;
    Batch batch;
  };
  enum class Next { Normal, Fail, UnknownWritten, UnknownLost };

  std::shared_ptr<const State> newest() {
    std::lock_guard<std::mutex> guard(lock);
    return readers_off ? nullptr : state;
  }

  // The lock is held. Ends with exactly one completion.
  void commit(BatchId id, const Batch& batch) {
    Next mode = std::exchange(next, Next::Normal);
    if (mode == Next::Fail) return complete(id, all(batch, unavailable(fail_reason)));
    if (mode == Next::UnknownLost) return complete(id, all(batch, unknown("a test says so")));
    if (state.use_count() > 1) state = std::make_shared<State>(*state);
    std::vector<ItemResult> results = write(batch);
    if (mode == Next::UnknownWritten) results = all(batch, unknown("a test says so"));
    complete(id, std::move(results));
  }

  std::vector<ItemResult> write(const Batch& batch) {
    Journal journal;
    MemoryRows rows(*state, journal);
    Effects effects;
    if (std::optional<std::string> why = refuse_batch(batch, rows))
      return all(batch, conflict(*why));
    std::vector<ItemResult> results;
    bool refused = false;
    for (const Operation& operation : batch.items) {
      results.push_back(apply(operation, rows, effects));
      refused |= results.back().outcome != Outcome::Applied;
    }
    if (batch.atomic && refused) {
      for (Journal::reverse_iterator at = journal.rbegin(); at != journal.rend(); ++at) (*at)();
      for (ItemResult& result : results)
        if (result.outcome == Outcome::Applied)
          result = conflict("another item of the atomic batch was not applied");
      return results;
    }
    finish(rows, effects);
    if (!journal.empty()) state->commits += 1;
    if (!effects.items.empty()) {
      state->sequence += 1;
      state->feed.push_back({state->sequence, std::move(effects.items)});
      while (state->feed.size() > feed_rows) state->feed.pop_front();
    }
    return results;
  }

  void complete(BatchId id, std::vector<ItemResult> results) {
    done.push_back({id, std::move(results), encode_token({0, state->sequence})});
  }

  mutable std::mutex lock;
  std::shared_ptr<State> state = std::make_shared<State>();
  std::deque<Waiting> waiting;
  std::vector<Completion> done;
  std::function<void()> wakeup;
  std::uint64_t last_id = 0;
  std::uint64_t feed_rows = kDefaultFeedRows;
  Next next = Next::Normal;
  std::string fail_reason;
  bool holding = false;
  bool readers_off = false;
};

MemoryStore::MemoryStore() : impl_(std::make_shared<Impl>()) {}
MemoryStore::~MemoryStore() = default;

std::optional<BatchId> MemoryStore::submit(Batch batch) {
  std::function<void()> wakeup;
  BatchId id;
  {
    std::lock_guard<std::mutex> guard(impl_->lock);
    if (impl_->waiting.size() + impl_->done.size() >= kMaxBatchesInFlight) return std::nullopt;
    id = BatchId{++impl_->last_id};
    if (impl_->holding) {
      impl_->waiting.push_back({id, std::move(batch)});
      return id;
    }
    impl_->commit(id, batch);
    wakeup = impl_->wakeup;
  }
  if (wakeup) wakeup();
  return id;
}

std::vector<Completion> MemoryStore::completions() {
  std::lock_guard<std::mutex> guard(impl_->lock);
  return std::exchange(impl_->done, {});
}

void MemoryStore::set_wakeup(std::function<void()> wakeup) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->wakeup = std::move(wakeup);
}

Completion MemoryStore::submit_and_wait(Batch batch, Duration) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  BatchId id{++impl_->last_id};
  if (impl_->holding) {
    Completion held{id, all(batch, unknown("commits are held by a test")), {}};
    impl_->waiting.push_back({id, std::move(batch)});
    return held;
  }
  impl_->commit(id, batch);
  Completion out = std::move(impl_->done.back());
  impl_->done.pop_back();
  return out;
}

Result<std::unique_ptr<store::Reader>> MemoryStore::open_reader() {
  std::shared_ptr<Impl> impl = impl_;
  return std::make_unique<MemoryReader>([impl] { return impl->newest(); });
}

void MemoryStore::fail_next_commit(std::string reason) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->next = Impl::Next::Fail;
  impl_->fail_reason = std::move(reason);
}

void MemoryStore::answer_unknown_next(bool written) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->next = written ? Impl::Next::UnknownWritten : Impl::Next::UnknownLost;
}

void MemoryStore::hold_commits() {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->holding = true;
}

void MemoryStore::release(std::size_t batches) {
  std::function<void()> wakeup;
  {
    std::lock_guard<std::mutex> guard(impl_->lock);
    if (batches == SIZE_MAX) impl_->holding = false;
    for (; batches > 0 && !impl_->waiting.empty(); --batches) {
      impl_->commit(impl_->waiting.front().id, impl_->waiting.front().batch);
      impl_->waiting.pop_front();
      wakeup = impl_->wakeup;
    }
  }
  if (wakeup) wakeup();
}

void MemoryStore::drop_held() {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->waiting.clear();
}

void MemoryStore::set_feed_rows(std::uint64_t rows) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->feed_rows = rows;
}

void MemoryStore::set_readers_unavailable(bool off) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->readers_off = off;
}

std::size_t MemoryStore::held() const {
  std::lock_guard<std::mutex> guard(impl_->lock);
  return impl_->waiting.size();
}

}  // namespace ntm::store::memory
