// Power cuts and broken syncs: what was acknowledged is there after a cut at any moment, an atomic
// batch is there whole or not at all, and a commit that nobody can be sure of says Unknown.
#include <cstdio>
#include <map>

#include "libntm/store/sqlite/connection.hpp"
#include "tests/fault/fault_run.hpp"
#include "tests/fault/power_cut.hpp"
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

constexpr std::uint64_t kPairs = 50;  // terminals 2n and 2n + 1 always move together

std::unique_ptr<sqlite::SqliteStore> open(const std::string& directory) {
  sqlite::OpenOptions options;
  options.directory = directory;
  options.feed_rows = 200;
  Result<std::unique_ptr<sqlite::SqliteStore>> store = sqlite::SqliteStore::open(options);
  EXPECT_TRUE(store) << (store ? "" : store.error().text);
  return store ? std::move(*store) : nullptr;
}

bool execute(sqlite3* db, const char* sql) {
  return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

// The instrument itself: without a sync a commit is lost by some cut, with one it never is.
TEST(PowerCut, SeesWhatWasNotSynced) {
  PowerCut power;
  TemporaryFolder folder;
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(folder.dc().c_str(), &db), SQLITE_OK);
  ASSERT_TRUE(execute(db,
                      "PRAGMA journal_mode = WAL; CREATE TABLE t (a);"
                      "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = NORMAL;"
                      "INSERT INTO t VALUES (1)"));
  auto lost_in = [&](int cuts) {
    int lost = 0;
    for (int n = 0; n < cuts; ++n) {
      TemporaryFolder remains;
      power.write_remains(folder.path(), remains.path(), n);
      Result<std::unique_ptr<sqlite::Connection>> left =
          sqlite::Connection::open(remains.dc(), sqlite::Connection::Mode::ReadWrite, seconds(1));
      sqlite::Query query(**left, "SELECT 1 FROM t");
      lost += !query.row();
    }
    return lost;
  };
  EXPECT_GT(lost_in(20), 0);
  ASSERT_TRUE(execute(db, "PRAGMA synchronous = FULL; INSERT INTO t VALUES (1)"));
  EXPECT_EQ(lost_in(20), 0);
  sqlite3_close(db);
}

// Submits pair moves without end, as fast as the store takes them, and knows what was told.
class Movers {
 public:
  explicit Movers(Store& store, std::uint64_t seed) : store_(store), random_(seed) {}

  void turn() {
    Batch batch;
    batch.atomic = true;
    std::uint64_t pair = 1 + random_() % kPairs;
    batch.items = {PutLocation{location(2 * pair, ++counter_)},
                   PutLocation{location(2 * pair + 1, counter_)}};
    if (std::optional<BatchId> id = store_.submit(batch)) flying_[*id] = {pair, counter_};
    for (const Completion& completion : store_.completions()) {
      std::pair<std::uint64_t, std::uint64_t> moved = flying_.at(completion.batch);
      flying_.erase(completion.batch);
      if (completion.items[0].outcome == Outcome::Applied)
        told_[moved.first] = std::max(told_[moved.first], moved.second);
    }
  }
  const std::map<std::uint64_t, std::uint64_t>& told() const { return told_; }

 private:
  Store& store_;
  std::mt19937_64 random_;
  std::uint64_t counter_ = 0;
  std::map<BatchId, std::pair<std::uint64_t, std::uint64_t>> flying_;
  std::map<std::uint64_t, std::uint64_t> told_;
};

std::uint64_t counter_of(Reader& reader, std::uint64_t terminal) {
  std::optional<TerminalView> view = *reader.terminal_by_id({terminal});
  return view && view->location ? view->location->counter : 0;
}

void expect_whole(const std::string& directory,
                  const std::map<std::uint64_t, std::uint64_t>& told) {
  std::unique_ptr<sqlite::SqliteStore> store = open(directory);
  ASSERT_TRUE(store);
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  for (std::uint64_t pair = 1; pair <= kPairs; ++pair) {
    EXPECT_EQ(counter_of(*reader, 2 * pair), counter_of(*reader, 2 * pair + 1));
    std::map<std::uint64_t, std::uint64_t>::const_iterator at = told.find(pair);
    std::uint64_t least = at == told.end() ? 0 : at->second;
    EXPECT_GE(counter_of(*reader, 2 * pair), least);
  }
  EXPECT_EQ(write_one(*store, LeaseBlock{"after", 1}).outcome, Outcome::Applied);
}

TEST(StorePower, NothingAcknowledgedIsLostByACut) {
  PowerCut power;
  TemporaryFolder folder;
  std::unique_ptr<sqlite::SqliteStore> store = open(folder.path());
  std::vector<Operation> items{PutZone{zone()}};
  for (std::uint64_t n = 2; n <= 2 * kPairs + 1; ++n) items.push_back(CreateTerminal{terminal(n)});
  write(*store, items);
  const unsigned seed = fault_seed();
  std::mt19937_64 random(seed);
  Movers movers(*store, seed);
  for (int cut = 0; cut < fault_rounds(60) && !HasFailure(); ++cut) {
    for (std::uint64_t turns = random() % 3000; turns > 0; --turns) movers.turn();
    std::map<std::uint64_t, std::uint64_t> told = movers.told();
    TemporaryFolder remains;
    power.write_remains(folder.path(), remains.path(), random());
    expect_whole(remains.path(), told);
  }
  EXPECT_GT(power.syncs(), 100u);
  EXPECT_FALSE(movers.told().empty());
}

TEST(StorePower, ACutRightAfterTheFileWasMadeLeavesOneThatOpens) {
  PowerCut power;
  for (int cut = 0; cut < fault_rounds(60) && !HasFailure(); ++cut) {
    TemporaryFolder folder;
    TemporaryFolder remains;
    std::unique_ptr<sqlite::SqliteStore> store = open(folder.path());
    power.write_remains(folder.path(), remains.path(), cut);
    EXPECT_TRUE(open(remains.path()));
  }
}

TEST(StorePower, ACommitWhoseSyncFailedIsUnknown) {
  PowerCut power;
  TemporaryFolder folder;
  std::unique_ptr<sqlite::SqliteStore> store = open(folder.path());
  write(*store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
  power.fail_next_sync("-wal");
  ItemResult unsure = write_one(*store, PutLocation{location(1, 5)});
  EXPECT_EQ(unsure.outcome, Outcome::Unknown) << unsure.reason;
  EXPECT_NE(unsure.reason.find("input/output error"), std::string::npos) << unsure.reason;
  EXPECT_EQ(write_one(*store, PutLocation{location(1, 5)}).outcome, Outcome::Applied)
      << "repeating it is the way out";
  std::unique_ptr<Reader> reader = std::move(*store->open_reader());
  EXPECT_EQ(counter_of(*reader, 1), 5u);
}

}  // namespace
}  // namespace ntm::store::test
