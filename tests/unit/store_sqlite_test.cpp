// What only a file can get wrong: lasting over a restart, two processes on one file, a full disk,
// locks, trimming, and the modes of the files.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "libntm/store/sqlite/queries.hpp"
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

using sqlite::OpenOptions;
using sqlite::SqliteStore;

std::unique_ptr<SqliteStore> open(const std::string& directory, OpenOptions options = {}) {
  options.directory = directory;
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::open(options);
  EXPECT_TRUE(store) << (store ? "" : store.error().text);
  return store ? std::move(*store) : nullptr;
}

unsigned mode_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

// Runs `body` in a child process that has opened no database before; its exit status.
int in_child(const std::function<int()>& body) {
  pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(StoreSqlite, WhatWasAppliedIsThereAfterReopening) {
  TemporaryFolder folder;
  ChangeToken token;
  {
    std::unique_ptr<SqliteStore> store = open(folder.path());
    write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
    token = write(*store, {PutLocation{location(1, 5)}}).token;
    write_one(*store, LeaseBlock{"terminal", 10});
  }
  std::unique_ptr<SqliteStore> store = open(folder.path());
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  EXPECT_EQ((*reader->terminal_by_id({1}))->location, location(1, 5));
  EXPECT_EQ(**reader->zone({1}), [] {
    Zone out = zone();
    out.generation = 2;
    return out;
  }());
  EXPECT_TRUE(reader->wait_for(token, seconds(0))) << "tokens outlive a restart";
  EXPECT_EQ(write_one(*store, LeaseBlock{"terminal", 1}).granted_from, 11u);
}

TEST(StoreSqlite, ClosingWritesWhatWasSubmitted) {
  TemporaryFolder folder;
  {
    std::unique_ptr<SqliteStore> store = open(folder.path());
    write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
    for (std::uint64_t counter = 1; counter <= kMaxBatchesInFlight; ++counter)
      ASSERT_TRUE(store->submit(Batch{{PutLocation{location(1, counter)}}, false, {}}));
  }
  std::unique_ptr<Reader> reader = std::move(*sqlite::open_reader(folder.path()));
  EXPECT_EQ((*reader->terminal_by_id({1}))->location->counter, kMaxBatchesInFlight);
}

TEST(StoreSqlite, TokensOfAnotherDatabaseAreTooOld) {
  TemporaryFolder one;
  TemporaryFolder two;
  std::unique_ptr<SqliteStore> first = open(one.path());
  std::unique_ptr<SqliteStore> second = open(two.path());
  ChangeToken token = write(*first, {PutZone{zone()}}).token;
  write(*second, {PutZone{zone()}});
  std::unique_ptr<Reader> reader = std::move(*second->open_reader());
  EXPECT_TRUE(reader->changes(token, 10)->too_old);
  EXPECT_FALSE(reader->wait_for(token, seconds(0)));
}

TEST(StoreSqlite, FilesHaveTheirModesWhateverTheUmask) {
  TemporaryFolder folder;
  mode_t before = umask(077);
  std::string directory = folder.path() + "/dc";
  std::unique_ptr<SqliteStore> store = open(directory);
  write(*store, {PutZone{zone()}});
  EXPECT_TRUE(sqlite::prepare_admin_database(directory));
  EXPECT_TRUE(sqlite::prepare_admin_database(directory));
  umask(before);
  EXPECT_EQ(mode_of(directory), 02770u);
  EXPECT_EQ(mode_of(directory + "/dc.db"), 0660u);
  EXPECT_EQ(mode_of(directory + "/dc.db-wal"), 0660u);
  EXPECT_EQ(mode_of(directory + "/dc.db-shm"), 0660u);
  EXPECT_EQ(mode_of(directory + "/admin.db"), 0600u);
}

TEST(StoreSqlite, TwoProcessesWriteOneFile) {
  constexpr std::uint64_t kMoves = 300;
  TemporaryFolder folder;
  {
    std::unique_ptr<SqliteStore> store = open(folder.path());
    write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}, CreateTerminal{terminal(2)}});
  }
  const std::string path = folder.path();
  std::function<int(std::uint64_t)> move = [&path](std::uint64_t who) {
    std::unique_ptr<SqliteStore> store = open(path);
    for (std::uint64_t counter = 1; counter <= kMoves; ++counter)
      if (write_one(*store, PutLocation{location(who, counter)}).outcome != Outcome::Applied)
        return 1;
    return 0;
  };
  pid_t child = fork();
  if (child == 0) _exit(move(2));
  EXPECT_EQ(move(1), 0);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  std::unique_ptr<Reader> reader = std::move(*sqlite::open_reader(path));
  EXPECT_EQ((*reader->terminal_by_id({1}))->location->counter, kMoves);
  EXPECT_EQ((*reader->terminal_by_id({2}))->location->counter, kMoves);
  std::uint64_t moves = 0;
  Changes all = *reader->changes({}, 100'000);
  for (const Change& change : all.items) moves += change.kind == ChangeKind::Location;
  EXPECT_EQ(moves, 2 * kMoves) << "the feed has every change of both writers";
}

// What the PowerDNS module relies on: right after the acknowledgement another process sees it.
TEST(StoreSqlite, AnotherProcessSeesACommitAtOnce) {
  TemporaryFolder folder;
  int ask[2];
  int answer[2];
  ASSERT_EQ(pipe(ask), 0);
  ASSERT_EQ(pipe(answer), 0);
  const std::string path = folder.path();
  pid_t child = fork();
  if (child == 0) {
    std::uint64_t expected = 0;
    std::unique_ptr<Reader> reader;
    while (::read(ask[0], &expected, sizeof expected) == sizeof expected && expected != 0) {
      if (!reader) reader = std::move(*sqlite::open_reader(path));
      std::uint64_t seen = (*reader->terminal_by_id({1}))->location->counter;
      if (::write(answer[1], &seen, sizeof seen) != sizeof seen) _exit(1);
    }
    _exit(0);
  }
  std::unique_ptr<SqliteStore> store = open(path);
  write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
  for (std::uint64_t counter = 1; counter <= 200; ++counter) {
    write_one(*store, PutLocation{location(1, counter)});
    std::uint64_t seen = 0;
    ASSERT_EQ(::write(ask[1], &counter, sizeof counter), static_cast<ssize_t>(sizeof counter));
    ASSERT_EQ(::read(answer[0], &seen, sizeof seen), static_cast<ssize_t>(sizeof seen));
    ASSERT_EQ(seen, counter);
  }
  std::uint64_t over = 0;
  ASSERT_EQ(::write(ask[1], &over, sizeof over), static_cast<ssize_t>(sizeof over));
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  for (int end : {ask[0], ask[1], answer[0], answer[1]}) close(end);
}

TEST(StoreSqlite, AReaderOpensAFileThatNobodyWrites) {
  TemporaryFolder folder;
  write(*open(folder.path()), {PutZone{zone()}});
  EXPECT_FALSE(std::filesystem::exists(folder.dc() + "-wal"));
  std::unique_ptr<Reader> reader = std::move(*sqlite::open_reader(folder.path()));
  EXPECT_EQ(reader->zones()->size(), 1u);
  std::unique_ptr<SqliteStore> store = open(folder.path());
  write(*store, {PutZone{zone(2, "second.example")}});
  EXPECT_EQ(reader->zones()->size(), 2u);
}

// Adds TXT rows of 1000 octets until the store can't; which were acknowledged.
std::vector<std::string> fill(Store& store, ItemResult& refused) {
  std::vector<std::string> applied;
  for (int n = 0; n < 20'000; ++n) {
    std::string owner = "r" + std::to_string(n) + ".mobile.example";
    refused = write_one(
        store, ReplaceRrset{{1}, name(owner), 16, {row(owner, 16, Bytes(1000, Byte{'x'}))}});
    if (refused.outcome != Outcome::Applied) break;
    applied.push_back(owner);
  }
  return applied;
}

void expect_full_and_recovering(Store& store, const std::function<void()>& make_room) {
  write(store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
  ItemResult refused;
  std::vector<std::string> applied = fill(store, refused);
  EXPECT_EQ(refused.outcome, Outcome::Unavailable);
  EXPECT_NE(refused.reason.find("full"), std::string::npos) << refused.reason;
  EXPECT_GT(applied.size(), 10u);
  std::unique_ptr<Reader> reader = std::move(*store.open_reader());
  for (const std::string& owner : applied)
    EXPECT_EQ(reader->records({1}, name(owner))->size(), 1u) << owner;
  make_room();
  ItemResult again = write_one(store, PutLocation{location(1, 1)});
  EXPECT_EQ(again.outcome, Outcome::Applied) << again.reason;
  EXPECT_TRUE((*reader->terminal_by_id({1}))->location.has_value());
}

TEST(StoreSqlite, AFullDatabaseSaysUnavailableAndRecovers) {
  TemporaryFolder folder;
  OpenOptions options;
  options.max_pages = 300;
  std::unique_ptr<SqliteStore> store = open(folder.path(), options);
  expect_full_and_recovering(*store, [&] {
    for (int n = 0; n < 20; ++n) {
      Name owner = name("r" + std::to_string(n) + ".mobile.example");
      EXPECT_EQ(write_one(*store, ReplaceRrset{{1}, owner, 16, {}}).outcome, Outcome::Applied);
    }
  });
}

TEST(StoreSqlite, AFullDiskSaysUnavailableAndRecovers) {
  TemporaryFolder folder;
  int status = in_child([&] {
    if (unshare(CLONE_NEWNS) != 0) return 77;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
    if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=4m") != 0) return 77;
    std::string ballast = folder.path() + "/ballast";
    std::ofstream(ballast) << std::string(1'500'000, 'x');
    std::unique_ptr<SqliteStore> store = open(folder.path());
    expect_full_and_recovering(*store, [&] { std::filesystem::remove(ballast); });
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  if (status == 77) GTEST_SKIP() << "needs the right to mount a tmpfs";
  EXPECT_EQ(status, 0);
}

// One batch too big for the disk must not take its neighbours of the same commit with it.
TEST(StoreSqlite, ABatchThatBreaksItsGroupBreaksAlone) {
  TemporaryFolder folder;
  OpenOptions options;
  options.max_pages = 200;
  std::unique_ptr<SqliteStore> store = open(folder.path(), options);
  write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}, CreateTerminal{terminal(2)}});
  Batch big;
  for (int n = 0; n < 2000; ++n) {
    std::string owner = "r" + std::to_string(n) + ".mobile.example";
    big.items.push_back(
        ReplaceRrset{{1}, name(owner), 16, {row(owner, 16, Bytes(1000, Byte{'x'}))}});
  }
  // A lock of another program holds the first batch back until all are in the queue.
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(folder.dc().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  std::vector<std::optional<BatchId>> ids;
  for (std::uint64_t round = 1; round <= 3; ++round) {
    ids.push_back(store->submit(Batch{{PutLocation{location(1, round)}}, false, {}}));
    if (round == 2) ids.push_back(store->submit(big));
    ids.push_back(store->submit(Batch{{PutLocation{location(2, round)}}, false, {}}));
  }
  sqlite3_close(other);
  std::vector<Completion> done;
  while (done.size() < ids.size())
    for (Completion& completion : store->completions()) done.push_back(std::move(completion));
  for (const Completion& completion : done) {
    Outcome expected = completion.items.size() > 1 ? Outcome::Unavailable : Outcome::Applied;
    for (const ItemResult& item : completion.items) EXPECT_EQ(item.outcome, expected);
  }
}

TEST(StoreSqlite, ALockedFileSaysUnavailableAndRecovers) {
  TemporaryFolder folder;
  OpenOptions options;
  options.busy_timeout = milliseconds(50);
  std::unique_ptr<SqliteStore> store = open(folder.path(), options);
  write(*store, {PutZone{zone()}});
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(folder.dc().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  ItemResult refused = write_one(*store, CreateTerminal{terminal(1)});
  EXPECT_EQ(refused.outcome, Outcome::Unavailable);
  EXPECT_NE(refused.reason.find("locked by another program"), std::string::npos);
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  EXPECT_EQ(reader->zones()->size(), 1u) << "readers go on";
  sqlite3_close(other);
  EXPECT_EQ(write_one(*store, CreateTerminal{terminal(1)}).outcome, Outcome::Applied);
}

TEST(StoreSqlite, WaitingTooLongIsUnknownAndTheBatchStillCounts) {
  TemporaryFolder folder;
  std::unique_ptr<SqliteStore> store = open(folder.path());
  write(*store, {PutZone{zone()}});
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(folder.dc().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  Completion late =
      store->submit_and_wait(Batch{{CreateTerminal{terminal(1)}}, false, {}}, milliseconds(5));
  EXPECT_EQ(late.items.at(0).outcome, Outcome::Unknown);
  sqlite3_close(other);
  EXPECT_EQ(write_one(*store, CreateTerminal{terminal(1)}).outcome, Outcome::Applied);
  EXPECT_TRUE(store->completions().empty()) << "nobody waits for the late one any more";
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  EXPECT_TRUE((*reader->terminal_by_id({1})).has_value());
}

TEST(StoreSqlite, TheFeedStaysBounded) {
  TemporaryFolder folder;
  OpenOptions options;
  options.feed_rows = 100;
  std::unique_ptr<SqliteStore> store = open(folder.path(), options);
  write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
  for (std::uint64_t counter = 1; counter <= 1000; ++counter)
    write_one(*store, PutLocation{location(1, counter)});
  store.reset();
  Result<std::unique_ptr<sqlite::Connection>> connection =
      sqlite::Connection::open(folder.dc(), sqlite::Connection::Mode::ReadOnly, seconds(1));
  ASSERT_TRUE(connection);
  sqlite::Query count(**connection, "SELECT count(*), max(seq) FROM feed");
  ASSERT_TRUE(count.row());
  EXPECT_LE(count.i64(0), 120);
  EXPECT_GE(count.i64(0), 100);
  EXPECT_EQ(count.i64(1), 1001);
}

TEST(StoreSqlite, TheLogIsMovedIntoTheFileWhileWritingGoesOn) {
  TemporaryFolder folder;
  std::unique_ptr<SqliteStore> store = open(folder.path());
  write(*store, {PutZone{zone()}});
  std::uintmax_t largest = 0;
  for (int n = 0; n < 3000; ++n) {
    std::string owner = "r" + std::to_string(n) + ".mobile.example";
    write_one(*store,
              ReplaceRrset{{1}, name(owner), 16, {row(owner, 16, Bytes(20'000, Byte{'x'}))}});
    largest = std::max(largest, std::filesystem::file_size(folder.dc() + "-wal"));
  }
  EXPECT_LT(largest, 80u << 20) << "60 MB of rows and their trees, through a log of 64 MB at most";
  EXPECT_GT(std::filesystem::file_size(folder.dc()), 1u << 20) << "moved before the end";
}

}  // namespace
}  // namespace ntm::store::test
