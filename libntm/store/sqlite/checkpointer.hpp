// Moves the log (dc.db-wal) into dc.db in a thread and connection of its own, so that no commit
// pays for it: a checkpoint inside a commit made p99 100-116 ms instead of 15 ms.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "libntm/store/sqlite/connection.hpp"

namespace ntm::store::sqlite {

class Checkpointer {
 public:
  explicit Checkpointer(std::unique_ptr<Connection> connection);
  ~Checkpointer();
  // From the writer, after a commit: how many pages the log holds now.
  void log_grew(int pages);

 private:
  void run();
  void checkpoint();

  std::unique_ptr<Connection> connection_;
  std::mutex lock_;
  std::condition_variable changed_;
  int pages_ = 0;          // under lock_
  bool stopping_ = false;  // under lock_
  std::thread thread_;     // last: starts when everything above is there
};

}  // namespace ntm::store::sqlite
