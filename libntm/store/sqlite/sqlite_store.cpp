// The queue between callers and the writer thread, and the way back.
#include "libntm/store/sqlite/sqlite_store.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "libntm/store/outcome.hpp"
#include "libntm/store/sqlite/checkpointer.hpp"
#include "libntm/store/sqlite/database.hpp"
#include "libntm/store/sqlite/sqlite_reader.hpp"
#include "libntm/store/sqlite/writer.hpp"

namespace ntm::store::sqlite {

namespace {

constexpr Duration kReaderPatience = seconds(2);
constexpr Duration kTruncatePatience = milliseconds(100);
constexpr int kGroupsBetweenTrims = 64;  // when there is no idle moment

std::string dc_path(const std::string& directory) { return directory + "/dc.db"; }

}  // namespace

class SqliteStore::Impl {
 public:
  Impl(std::string directory, std::unique_ptr<Connection> writing,
       std::unique_ptr<Connection> checkpointing, std::uint64_t feed_rows)
      : directory_(std::move(directory)),
        writer_(std::move(writing), std::max<std::uint64_t>(feed_rows, 1)),
        checkpointer_(std::move(checkpointing)) {
    sqlite3_wal_hook(writer_.connection().handle(), &Impl::log_grew, &checkpointer_);
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      std::lock_guard<std::mutex> guard(lock_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
  }

  std::optional<BatchId> submit(Batch batch) {
    std::unique_lock<std::mutex> guard(lock_);
    if (in_flight_ >= kMaxBatchesInFlight) return std::nullopt;
    in_flight_ += 1;
    BatchId id = enqueue(std::move(batch));
    guard.unlock();
    work_.notify_one();
    return id;
  }

  std::vector<Completion> completions() {
    std::lock_guard<std::mutex> guard(lock_);
    in_flight_ -= done_.size();
    return std::exchange(done_, {});
  }

  void set_wakeup(std::function<void()> wakeup) {
    std::lock_guard<std::mutex> guard(wakeup_lock_);
    wakeup_ = std::move(wakeup);
  }

  Completion submit_and_wait(Batch batch, Duration timeout) {
    std::size_t items = batch.items.size();
    std::unique_lock<std::mutex> guard(lock_);
    BatchId id = enqueue(std::move(batch));
    std::map<BatchId, std::optional<Completion>>::iterator slot = waiting_.try_emplace(id).first;
    work_.notify_one();
    answered_.wait_for(guard, std::chrono::microseconds(timeout.us),
                       [&] { return slot->second.has_value(); });
    std::optional<Completion> answer = std::move(slot->second);
    waiting_.erase(slot);
    if (answer) return std::move(*answer);
    abandoned_.insert(id);
    return {id, std::vector<ItemResult>(items, unknown("the store did not answer in time")), {}};
  }

  const std::string& directory() const { return directory_; }

 private:
  static int log_grew(void* checkpointer, sqlite3*, const char*, int pages) {
    static_cast<Checkpointer*>(checkpointer)->log_grew(pages);
    return SQLITE_OK;
  }

  // The lock is held.
  BatchId enqueue(Batch batch) {
    BatchId id{++last_id_};
    queue_.push_back({id, std::move(batch)});
    return id;
  }

  std::optional<Submitted> next() {
    std::lock_guard<std::mutex> guard(lock_);
    if (queue_.empty()) return std::nullopt;
    Submitted out = std::move(queue_.front());
    queue_.pop_front();
    return out;
  }

  bool idle() {
    std::lock_guard<std::mutex> guard(lock_);
    return queue_.empty() && !stopping_;
  }

  void run() {
    for (int groups = 1;; ++groups) {
      {
        std::unique_lock<std::mutex> guard(lock_);
        work_.wait(guard, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
      }
      deliver(writer_.commit(*next(), [this] { return next(); }));
      if (groups % kGroupsBetweenTrims == 0) writer_.trim_feed();
      while (idle() && writer_.trim_feed()) {
      }
    }
  }

  void deliver(std::vector<Completion> completions) {
    {
      std::lock_guard<std::mutex> guard(lock_);
      for (Completion& completion : completions) {
        std::map<BatchId, std::optional<Completion>>::iterator slot =
            waiting_.find(completion.batch);
        if (slot != waiting_.end()) {
          slot->second = std::move(completion);
        } else if (abandoned_.erase(completion.batch) == 0) {
          done_.push_back(std::move(completion));
        }
      }
    }
    answered_.notify_all();
    std::lock_guard<std::mutex> guard(wakeup_lock_);
    if (wakeup_) wakeup_();
  }

  const std::string directory_;
  Writer writer_;  // the thread's alone
  Checkpointer checkpointer_;

  std::mutex lock_;
  std::condition_variable work_;
  std::condition_variable answered_;
  std::deque<Submitted> queue_;                           // under lock_
  std::vector<Completion> done_;                          // under lock_
  std::map<BatchId, std::optional<Completion>> waiting_;  // under lock_: blocked callers
  std::set<BatchId> abandoned_;                           // under lock_: waited long enough
  std::size_t in_flight_ = 0;                             // under lock_: until collected
  std::uint64_t last_id_ = 0;                             // under lock_
  bool stopping_ = false;                                 // under lock_

  std::mutex wakeup_lock_;  // held during the call, so that set_wakeup({}) ends it for good
  std::function<void()> wakeup_;

  std::thread thread_;
};

SqliteStore::SqliteStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const OpenOptions& options) {
  if (options.create)
    if (Result<void> made = make_directory(options.directory); !made) return pass(made.error());
  const std::string path = dc_path(options.directory);
  DatabaseOptions database{options.create, options.check_pages, options.busy_timeout};
  Result<std::unique_ptr<Connection>> writing = open_database(path, dc_database(), database);
  if (!writing) return pass(writing.error());
  if (options.max_pages > 0)
    (*writing)->execute("PRAGMA max_page_count = " + std::to_string(options.max_pages));
  Result<std::unique_ptr<Connection>> checkpointing =
      Connection::open(path, Connection::Mode::ReadWrite, kTruncatePatience);
  if (!checkpointing) return pass(checkpointing.error());
  (*checkpointing)->execute("PRAGMA synchronous = FULL");
  (*checkpointing)->execute("PRAGMA wal_autocheckpoint = 0");
  if ((*checkpointing)->error()) return pass((*checkpointing)->as_error());
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::make_unique<Impl>(
      options.directory, std::move(*writing), std::move(*checkpointing), options.feed_rows)));
}

std::optional<BatchId> SqliteStore::submit(Batch batch) { return impl_->submit(std::move(batch)); }
std::vector<Completion> SqliteStore::completions() { return impl_->completions(); }
void SqliteStore::set_wakeup(std::function<void()> wakeup) { impl_->set_wakeup(std::move(wakeup)); }
Completion SqliteStore::submit_and_wait(Batch batch, Duration timeout) {
  return impl_->submit_and_wait(std::move(batch), timeout);
}
Result<std::unique_ptr<store::Reader>> SqliteStore::open_reader() {
  return sqlite::open_reader(impl_->directory());
}

Result<void> prepare_admin_database(const std::string& directory) {
  Result<std::unique_ptr<Connection>> opened =
      open_database(directory + "/admin.db", admin_database(), {});
  if (!opened) return pass(opened.error());
  return {};
}

Result<std::unique_ptr<store::Reader>> open_reader(const std::string& directory) {
  Result<std::unique_ptr<Connection>> connection =
      open_read_only(dc_path(directory), dc_database(), kReaderPatience);
  if (!connection) return pass(connection.error());
  return std::make_unique<SqliteReader>(std::move(*connection));
}

}  // namespace ntm::store::sqlite
