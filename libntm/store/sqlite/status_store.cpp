// The queue and the thread around StatusRows.
#include "libntm/store/sqlite/status_store.hpp"

#include <stdio.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "libntm/store/sqlite/database.hpp"
#include "libntm/store/sqlite/status_rows.hpp"

namespace ntm::store::sqlite {

namespace {

constexpr std::size_t kItemsPerCommit = 4096;
// Losable, so it may wait: one write in so long costs less than one for each registration.
constexpr std::chrono::milliseconds kGather(100);

struct Opened {
  std::unique_ptr<Connection> connection;
  bool anew = false;
};

Result<std::unique_ptr<Connection>> open_file(const std::string& path) {
  DatabaseOptions options;
  options.check_pages = false;  // up to gigabytes of what nobody needs
  Result<std::unique_ptr<Connection>> opened = open_database(path, status_database(), options);
  if (opened) (*opened)->execute("PRAGMA wal_autocheckpoint = 1000");
  return opened;
}

void put_aside(const std::string& path) {
  ::rename(path.c_str(), (path + ".damaged").c_str());
  ::remove((path + "-wal").c_str());
  ::remove((path + "-shm").c_str());
}

Result<Opened> open_or_begin_anew(const std::string& path) {
  Result<std::unique_ptr<Connection>> opened = open_file(path);
  if (opened) return Opened{std::move(*opened), false};
  if (opened.error().kind != ErrorKind::Internal) return pass(opened.error());
  put_aside(path);
  opened = open_file(path);
  if (!opened) return pass(opened.error());
  return Opened{std::move(*opened), true};
}

}  // namespace

class StatusStore::Impl {
 public:
  Impl(std::string path, Opened opened, const StatusBounds& bounds)
      : path_(std::move(path)), bounds_(bounds), opened_(std::move(opened)) {
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      std::lock_guard<std::mutex> guard(lock_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void add(StatusItem item) {
    std::lock_guard<std::mutex> guard(lock_);
    if (queue_.size() >= kStatusQueue) {
      ++lost_;
      return;
    }
    queue_.push_back(std::move(item));
    ++added_;
    if (queue_.size() == 1) changed_.notify_all();
  }

  bool flush(Duration timeout) {
    std::unique_lock<std::mutex> guard(lock_);
    std::uint64_t target = added_;
    flushing_ = true;
    changed_.notify_all();
    return flushed_.wait_for(guard, std::chrono::microseconds(timeout.us),
                             [&] { return handled_ >= target; });
  }

  template <typename Value, typename Ask>
  Result<Value> ask(const Ask& question) {
    std::lock_guard<std::mutex> guard(file_lock_);
    if (!opened_.connection)
      return fail(ErrorKind::Unavailable, "'" + path_ + "' is damaged and can't be begun anew");
    StatusRows rows(*opened_.connection, bounds_);
    opened_.connection->clear_error();
    Value value = question(rows);
    if (opened_.connection->error()) return pass(opened_.connection->as_error());
    return value;
  }

  std::uint64_t lost() {
    std::lock_guard<std::mutex> guard(lock_);
    return lost_;
  }
  bool began_anew() {
    std::lock_guard<std::mutex> guard(file_lock_);
    return opened_.anew;
  }

 private:
  void run() {
    std::unique_lock<std::mutex> guard(lock_);
    while (true) {
      changed_.wait(guard, [this] { return stopping_ || flushing_ || !queue_.empty(); });
      changed_.wait_for(guard, kGather, [this] { return stopping_ || flushing_; });
      std::vector<StatusItem> items;
      for (; !queue_.empty() && items.size() < kItemsPerCommit; queue_.pop_front())
        items.push_back(std::move(queue_.front()));
      if (items.empty() && stopping_) return;
      guard.unlock();
      bool written = items.empty() || write(items);
      guard.lock();
      handled_ += items.size();
      if (!written) lost_ += items.size();
      if (queue_.empty()) flushing_ = false;
      flushed_.notify_all();
    }
  }

  bool write(const std::vector<StatusItem>& items) {
    std::lock_guard<std::mutex> guard(file_lock_);
    if (!opened_.connection) return false;
    if (StatusRows(*opened_.connection, bounds_).write(items)) return true;
    int code = opened_.connection->error()->primary();
    if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB) return false;
    opened_.connection.reset();
    put_aside(path_);
    Result<Opened> again = open_or_begin_anew(path_);
    if (!again) return false;
    opened_ = {std::move(again->connection), true};
    return StatusRows(*opened_.connection, bounds_).write(items);
  }

  const std::string path_;
  const StatusBounds bounds_;

  std::mutex file_lock_;  // the connection; taken without lock_
  Opened opened_;

  std::mutex lock_;  // everything below
  std::condition_variable changed_;
  std::condition_variable flushed_;
  std::deque<StatusItem> queue_;
  std::uint64_t added_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t lost_ = 0;
  bool flushing_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

StatusStore::StatusStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatusStore::~StatusStore() = default;

Result<std::unique_ptr<StatusStore>> StatusStore::open(const std::string& directory,
                                                       const StatusBounds& bounds) {
  if (Result<void> made = make_directory(directory); !made) return pass(made.error());
  const std::string path = directory + "/status.db";
  Result<Opened> opened = open_or_begin_anew(path);
  if (!opened) return pass(opened.error());
  return std::unique_ptr<StatusStore>(
      new StatusStore(std::make_unique<Impl>(path, std::move(*opened), bounds)));
}

void StatusStore::add_move(const Move& move) { impl_->add(move); }

void StatusStore::add_event(Event event) {
  event.kind.resize(std::min(event.kind.size(), kMaxEventKind));
  event.subject.resize(std::min(event.subject.size(), kMaxEventSubject));
  event.text.resize(std::min(event.text.size(), kMaxEventText));
  impl_->add(std::move(event));
}

void StatusStore::add_to_counter(const std::string& name, std::uint64_t amount) {
  impl_->add(CounterStep{name, amount});
}

Result<std::vector<Move>> StatusStore::moves(TerminalId terminal) {
  return impl_->ask<std::vector<Move>>([&](StatusRows& rows) { return rows.moves(terminal); });
}

Result<std::vector<Event>> StatusStore::events(std::uint64_t before, std::size_t limit) {
  return impl_->ask<std::vector<Event>>(
      [&](StatusRows& rows) { return rows.events(before, limit); });
}

Result<std::map<std::string, std::uint64_t>> StatusStore::counters() {
  return impl_->ask<std::map<std::string, std::uint64_t>>(
      [](StatusRows& rows) { return rows.counters(); });
}

bool StatusStore::flush(Duration timeout) { return impl_->flush(timeout); }
std::uint64_t StatusStore::lost() const { return impl_->lost(); }
bool StatusStore::began_anew() const { return impl_->began_anew(); }

}  // namespace ntm::store::sqlite
