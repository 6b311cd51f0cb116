// The Store on SQLite: one file, dc.db, that the director and PowerDNS share.
//
// Why its shape: a commit costs one fdatasync, so all batches that wait at the moment share a
// transaction (group commit) and a writer thread of our own does nothing else; a checkpoint inside
// a commit made p99 100 ms, so checkpoints run in a thread and connection of their own. The rules
// of the operations are not here but in libntm/store/rules.hpp, which the memory double shares.
// Several processes may hold the same dc.db open, each with its own SqliteStore and readers.
#pragma once

#include <memory>
#include <string>

#include "libntm/store/feed.hpp"
#include "libntm/store/store.hpp"

namespace ntm::store::sqlite {

struct OpenOptions {
  std::string directory;                // holds dc.db, admin.db, status.db; mode 2770
  bool create = true;                   // false: a missing dc.db is an error (PowerDNS makes none)
  bool check_pages = true;              // read every page of dc.db (PRAGMA quick_check) first
  Duration busy_timeout = seconds(5);   // waiting for another process's write transaction
  std::uint32_t max_pages = 0;          // an upper bound of dc.db in 4 KiB pages; 0 = the disk's
  std::uint64_t feed_rows = kFeedRows;  // commits that the change feed keeps
};

class SqliteStore final : public Store {
 public:
  // Opens dc.db, creating or migrating it first. The error says what to do, in one line.
  static Result<std::unique_ptr<SqliteStore>> open(const OpenOptions& options);
  // Waits for what was submitted to be written.
  ~SqliteStore() override;

  std::optional<BatchId> submit(Batch batch) override;
  std::vector<Completion> completions() override;
  void set_wakeup(std::function<void()> wakeup) override;
  Completion submit_and_wait(Batch batch, Duration timeout) override;
  Result<std::unique_ptr<Reader>> open_reader() override;

 private:
  class Impl;
  explicit SqliteStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Makes or checks admin.db (mode 0600), which only the director's user may open.
Result<void> prepare_admin_database(const std::string& directory);

// A reader without a writer, for processes that only answer questions.
Result<std::unique_ptr<Reader>> open_reader(const std::string& directory);

}  // namespace ntm::store::sqlite
