// The hooks of the memory double, on which other parts' tests rely.
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

struct StoreMemory : ::testing::Test {
  StoreMemory() : reader(std::move(*store.open_reader())) {
    write(store, {PutZone{zone()}, CreateTerminal{terminal(1)}});
  }
  std::uint64_t counter() {
    std::optional<TerminalView> view = *reader->terminal_by_id({1});
    return view->location ? view->location->counter : 0;
  }
  Batch move(std::uint64_t to) { return {{PutLocation{location(1, to)}}, false, {}}; }
  memory::MemoryStore store;
  std::unique_ptr<Reader> reader;
};

TEST_F(StoreMemory, AFailedCommitWritesNothingAndIsOne) {
  store.fail_next_commit("the disk is full");
  ItemResult failed = write_one(store, PutLocation{location(1, 1)});
  EXPECT_EQ(failed.outcome, Outcome::Unavailable);
  EXPECT_EQ(failed.reason, "the disk is full");
  EXPECT_EQ(counter(), 0u);
  EXPECT_EQ(write_one(store, PutLocation{location(1, 1)}).outcome, Outcome::Applied);
}

TEST_F(StoreMemory, UnknownHidesEitherTruth) {
  store.answer_unknown_next(true);
  EXPECT_EQ(write_one(store, PutLocation{location(1, 1)}).outcome, Outcome::Unknown);
  EXPECT_EQ(counter(), 1u);
  store.answer_unknown_next(false);
  EXPECT_EQ(write_one(store, PutLocation{location(1, 2)}).outcome, Outcome::Unknown);
  EXPECT_EQ(counter(), 1u);
}

TEST_F(StoreMemory, HeldCommitsWaitInOrderAndACrashDropsThem) {
  int woken = 0;
  store.set_wakeup([&] { ++woken; });
  store.hold_commits();
  ASSERT_TRUE(store.submit(move(1)));
  ASSERT_TRUE(store.submit(move(2)));
  EXPECT_EQ(store.submit_and_wait(move(3), seconds(1)).items[0].outcome, Outcome::Unknown);
  EXPECT_EQ(store.held(), 3u);
  EXPECT_TRUE(store.completions().empty());
  EXPECT_EQ(counter(), 0u);
  EXPECT_EQ(woken, 0);
  store.release(1);
  EXPECT_EQ(counter(), 1u);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(store.completions().size(), 1u);
  store.drop_held();
  store.release();
  EXPECT_EQ(counter(), 1u);
  ASSERT_TRUE(store.submit(move(4)));
  EXPECT_EQ(counter(), 4u) << "released";
}

TEST_F(StoreMemory, UnavailableReadersDoNotSayNotFound) {
  store.set_readers_unavailable(true);
  Result<std::optional<TerminalView>> asked = reader->terminal(name("nobody.example"));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().kind, ErrorKind::Unavailable);
  store.set_readers_unavailable(false);
  EXPECT_TRUE(reader->terminal(name("nobody.example")));
}

}  // namespace
}  // namespace ntm::store::test
