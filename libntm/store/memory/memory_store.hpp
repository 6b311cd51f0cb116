// The Store in memory, for tests and the simulator: the same rules (libntm/store/rules.hpp), no
// file, no thread, no clock. A batch is committed inside submit() unless the test holds commits,
// so a whole network of engines with their stores runs deterministically in one thread.
#pragma once

#include <memory>
#include <string>

#include "libntm/store/store.hpp"

namespace ntm::store::memory {

class MemoryStore final : public Store {
 public:
  MemoryStore();
  ~MemoryStore() override;

  std::optional<BatchId> submit(Batch batch) override;
  std::vector<Completion> completions() override;
  void set_wakeup(std::function<void()> wakeup) override;
  // Never waits: while commits are held every item says Unknown (and the batch stays held).
  Completion submit_and_wait(Batch batch, Duration timeout) override;
  // Readers live at most as long as the store.
  Result<std::unique_ptr<Reader>> open_reader() override;

  // ---- hooks for tests ----
  // The next batch is not written and says Unavailable with this reason.
  void fail_next_commit(std::string reason);
  // The next batch says Unknown; `written` decides which of the two truths lies behind it.
  void answer_unknown_next(bool written);
  // From now on batches wait, uncommitted, until release(); a crash drops what waits.
  void hold_commits();
  void release(std::size_t batches = SIZE_MAX);  // commits the oldest; all: stops holding
  void drop_held();                              // as kill -9 would; no completions come
  // How many commits the change feed keeps.
  void set_feed_rows(std::uint64_t rows);
  // Every call of every reader fails with Unavailable while on.
  void set_readers_unavailable(bool unavailable);
  std::size_t held() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ntm::store::memory
