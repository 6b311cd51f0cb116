// PASSIVE never waits for anybody and lets the writer begin the log anew once all of it is moved.
// Readers that are always somewhere in the log can prevent that; past kTruncatePages the log is
// cut off with a short wait instead, so that the file stays bounded.
#include "libntm/store/sqlite/checkpointer.hpp"

namespace ntm::store::sqlite {

namespace {
constexpr int kCheckpointPages = 1000;  // 4 MiB of log
constexpr int kTruncatePages = 16384;   // 64 MiB
}  // namespace

Checkpointer::Checkpointer(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)), thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  {
    std::lock_guard<std::mutex> guard(lock_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Checkpointer::log_grew(int pages) {
  {
    std::lock_guard<std::mutex> guard(lock_);
    pages_ = pages;
  }
  if (pages >= kCheckpointPages) changed_.notify_one();
}

void Checkpointer::run() {
  std::unique_lock<std::mutex> guard(lock_);
  while (true) {
    changed_.wait(guard, [this] { return stopping_ || pages_ >= kCheckpointPages; });
    if (stopping_) return;
    pages_ = 0;
    guard.unlock();
    checkpoint();
    guard.lock();
  }
}

// A failure (disk full, busy) costs nothing but a longer log: the next commit asks again.
void Checkpointer::checkpoint() {
  int log = 0;
  int moved = 0;
  sqlite3_wal_checkpoint_v2(connection_->handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
  if (log >= kTruncatePages)
    sqlite3_wal_checkpoint_v2(connection_->handle(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr,
                              nullptr);
  connection_->clear_error();
}

}  // namespace ntm::store::sqlite
