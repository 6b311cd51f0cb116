// kill -9 of a registering process at random moments: what it was told is written, is written.
//
// Each round a child opens the store, registers terminals as fast as it can and reports every
// acknowledged (terminal, counter) over a pipe; the parent kills it after a random time, reopens
// the file and compares. Counters go on over the rounds, so a location that went back to an older
// round would show too. Batches of a round: one, 64, atomic pairs, enrolments.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <random>

#include "libntm/store/sqlite/connection.hpp"
#include "tests/fault/fault_run.hpp"
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

constexpr std::uint64_t kTerminals = 200;

struct Report {
  std::uint64_t terminal = 0;  // 0: the number is a leased id
  std::uint64_t number = 0;
};

std::unique_ptr<sqlite::SqliteStore> open(const std::string& directory) {
  sqlite::OpenOptions options;
  options.directory = directory;
  options.feed_rows = 500;  // so that trimming is interrupted too
  return std::move(*sqlite::SqliteStore::open(options));
}

// Never returns: keeps the window full until it is killed.
[[noreturn]] void register_forever(const std::string& directory, int pipe_end, unsigned seed,
                                   std::uint64_t counter) {
  std::unique_ptr<sqlite::SqliteStore> store = open(directory);
  std::mt19937_64 random(seed);
  std::map<BatchId, Batch> flying;
  while (true) {
    Batch batch;
    std::size_t size = random() % 3 == 0 ? 64 : 1 + random() % 4;
    batch.atomic = random() % 4 == 0;
    for (std::size_t n = 0; n < size; ++n)
      batch.items.push_back(PutLocation{location(1 + random() % kTerminals, ++counter)});
    if (random() % 8 == 0) batch.items.push_back(LeaseBlock{"kill", 1});
    if (std::optional<BatchId> id = store->submit(batch)) flying[*id] = std::move(batch);
    for (const Completion& completion : store->completions()) {
      const Batch& sent = flying.at(completion.batch);
      for (std::size_t n = 0; n < sent.items.size(); ++n) {
        if (completion.items[n].outcome != Outcome::Applied) continue;
        Report report{0, completion.items[n].granted_from};
        if (const PutLocation* put = std::get_if<PutLocation>(&sent.items[n]))
          report = {put->location.terminal.value, put->location.counter};
        if (::write(pipe_end, &report, sizeof report) != sizeof report) _exit(3);
      }
      flying.erase(completion.batch);
    }
  }
}

struct Told {
  std::map<std::uint64_t, std::uint64_t> counters;  // by terminal: the greatest acknowledged
  std::uint64_t greatest = 0;
  std::uint64_t leased = 0;
  std::uint64_t reports = 0;
};

void note(const Report& report, Told& told) {
  ++told.reports;
  if (report.terminal == 0) {
    EXPECT_GT(report.number, told.leased) << "an id was given out twice";
    told.leased = report.number;
    return;
  }
  std::uint64_t& greatest = told.counters[report.terminal];
  greatest = std::max(greatest, report.number);
  told.greatest = std::max(told.greatest, report.number);
}

int milliseconds_until(std::chrono::steady_clock::time_point end) {
  std::chrono::steady_clock::duration left = end - std::chrono::steady_clock::now();
  return static_cast<int>(
      std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(left).count()));
}

// One child's life, from its first instruction until `life` is over. Reads every report that
// left it, also those that were in the pipe when it died.
void run_and_kill(const std::string& directory, unsigned seed, std::chrono::microseconds life,
                  Told& told) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) register_forever(directory, ends[1], seed, told.greatest + 100'000);
  close(ends[1]);
  std::chrono::steady_clock::time_point end = std::chrono::steady_clock::now() + life;
  bool killed = false;
  while (true) {
    pollfd wait{ends[0], POLLIN, 0};
    int wait_ms = killed ? -1 : milliseconds_until(end);
    if (wait_ms == 0) {
      kill(child, SIGKILL);
      killed = true;
      continue;
    }
    if (poll(&wait, 1, wait_ms) == 0) continue;
    Report report;
    if (::read(ends[0], &report, sizeof report) != sizeof report) break;
    note(report, told);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "status " << status;
}

void expect_nothing_lost(const std::string& directory, const Told& told) {
  std::unique_ptr<sqlite::SqliteStore> store = open(directory);
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  for (const std::pair<const std::uint64_t, std::uint64_t>& acknowledged : told.counters) {
    std::optional<TerminalView> view = *reader->terminal_by_id({acknowledged.first});
    ASSERT_TRUE(view && view->location);
    EXPECT_GE(view->location->counter, acknowledged.second) << "terminal " << acknowledged.first;
  }
  Result<std::unique_ptr<sqlite::Connection>> connection = sqlite::Connection::open(
      directory + "/dc.db", sqlite::Connection::Mode::ReadOnly, seconds(1));
  ASSERT_TRUE(connection);
  sqlite::Query check(**connection, "PRAGMA integrity_check");
  ASSERT_TRUE(check.row());
  EXPECT_EQ(check.text(0), "ok");
}

TEST(StoreKill, AFileKilledWhileItIsMadeOpens) {
  std::mt19937 random(fault_seed());
  for (int round = 0; round < fault_rounds(40) && !HasFailure(); ++round) {
    TemporaryFolder folder;
    pid_t child = fork();
    if (child == 0) {
      open(folder.path());
      pause();
    }
    ::usleep(random() % 20'000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::unique_ptr<sqlite::SqliteStore> store = open(folder.path());
    EXPECT_EQ(write_one(*store, PutZone{zone()}).outcome, Outcome::Applied);
  }
}

TEST(StoreKill, NothingAcknowledgedIsLost) {
  TemporaryFolder folder;
  {
    std::unique_ptr<sqlite::SqliteStore> store = open(folder.path());
    std::vector<Operation> items{PutZone{zone()}};
    for (std::uint64_t n = 1; n <= kTerminals; ++n) items.push_back(CreateTerminal{terminal(n)});
    write(*store, items);
  }
  const unsigned seed = fault_seed();
  std::mt19937 random(seed);
  Told told;
  for (int round = 0; round < fault_rounds(40) && !HasFailure(); ++round) {
    run_and_kill(folder.path(), seed + round, std::chrono::microseconds(random() % 120'000), told);
    expect_nothing_lost(folder.path(), told);
  }
  std::printf("%d kills, %llu acknowledgements looked up again\n", fault_rounds(40),
              static_cast<unsigned long long>(told.reports));
  EXPECT_GT(told.reports, 1000u) << "the children did register";
}

}  // namespace
}  // namespace ntm::store::test
