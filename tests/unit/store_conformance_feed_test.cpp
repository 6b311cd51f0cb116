// What every Store promises about batches, completions, snapshots and the change feed.
#include <condition_variable>
#include <mutex>

#include "tests/unit/store_conformance_fixture.hpp"

namespace ntm::store::test {
namespace {

template <typename Kind>
using StoreCommits = StoreConformance<Kind>;
TYPED_TEST_SUITE(StoreCommits, ConformingStores);

// ---- batches ----

TYPED_TEST(StoreCommits, BlocksAreNeverGivenTwice) {
  EXPECT_EQ(write_one(this->store, LeaseBlock{"terminal", 100}).granted_from, 1u);
  EXPECT_EQ(write_one(this->store, LeaseBlock{"terminal", 1}).granted_from, 101u);
  EXPECT_EQ(write_one(this->store, LeaseBlock{"zone", 5}).granted_from, 1u);
  EXPECT_EQ(write_one(this->store, LeaseBlock{"terminal", 1}).granted_from, 102u);
  EXPECT_EQ(this->outcome(LeaseBlock{"terminal", 0}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(LeaseBlock{"terminal", UINT64_MAX}), Outcome::Conflict);
  EXPECT_EQ(this->outcome(LeaseBlock{"", 1}), Outcome::Conflict);
  EXPECT_EQ(write_one(this->store, LeaseBlock{"terminal", 1}).granted_from, 103u);
}

TYPED_TEST(StoreCommits, ItemsAnswerForThemselvesUnlessAtomic) {
  this->put_zone_and_terminals(2);
  std::vector<Operation> items{PutLocation{location(1, 5)}, PutLocation{location(99, 1)},
                               PutLocation{location(2, 5)}};
  Completion atomic = write(this->store, items, true);
  for (const ItemResult& item : atomic.items) EXPECT_EQ(item.outcome, Outcome::Conflict);
  EXPECT_NE(atomic.items[1].reason, atomic.items[0].reason);
  EXPECT_FALSE((*this->reader->terminal_by_id({1}))->location.has_value());
  Completion single = write(this->store, items);
  EXPECT_EQ(single.items[0].outcome, Outcome::Applied);
  EXPECT_EQ(single.items[1].outcome, Outcome::Conflict);
  EXPECT_EQ(single.items[2].outcome, Outcome::Applied);
  items.erase(items.begin() + 1);
  items.push_back(PutLocation{location(1, 6)});
  EXPECT_EQ(write(this->store, items, true).items[2].outcome, Outcome::Applied);
}

TYPED_TEST(StoreCommits, AnUndoneBatchLeavesNothing) {
  this->put_zone_and_terminals(1);
  write_one(this->store, BumpSerial{{1}, 0});
  ChangeToken before = *this->reader->now_token();
  std::uint64_t generation = this->generation();
  write(this->store,
        {CreateTerminal{terminal(7)}, PutToken{token(5, "t7.mobile.example")}, LeaseBlock{"x", 10},
         PutRelay{{{5}, name("rs.example"), {}, false}},
         PutPeerDc{{name("p.example"), key(1), false, {}}}, DeleteTerminal{{1}}, BumpSerial{{1}, 0},
         DeleteZone{{1}}, PutLocation{location(99, 1)}},
        true);
  EXPECT_FALSE(this->reader->terminal_by_id({7})->has_value());
  EXPECT_FALSE(this->reader->terminal_by_address(*terminal(7).virtual_addresses.v4)->has_value());
  EXPECT_TRUE(this->reader->terminal_by_id({1})->has_value());
  EXPECT_TRUE(this->reader->tokens()->empty());
  EXPECT_TRUE(this->reader->relays()->empty());
  EXPECT_TRUE(this->reader->peer_dcs()->empty());
  EXPECT_EQ(this->serial(), 2u);
  EXPECT_EQ(this->generation(), generation);
  EXPECT_TRUE(this->reader->changes(before, 100)->items.empty());
  EXPECT_EQ(write_one(this->store, LeaseBlock{"x", 1}).granted_from, 1u);
}

TYPED_TEST(StoreCommits, ABatchIsRefusedWhenItsZoneChangedMeanwhile) {
  this->put_zone_and_terminals(1);
  auto attempt = [&](std::uint64_t generation) {
    Batch batch;
    batch.items = {
        ReplaceRrset{{1}, name("x.mobile.example"), 16, {row("x.mobile.example", 16, {0})}}};
    batch.unchanged_since = {{{1}, generation}};
    return this->store.submit_and_wait(std::move(batch), seconds(20)).items[0].outcome;
  };
  std::uint64_t seen = this->generation();
  write_one(this->store, PutLocation{location(1, 1)});
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(attempt(seen), Outcome::Applied) << "moves and serials are no change of ordinary rows";
  EXPECT_EQ(attempt(seen), Outcome::Conflict);
  EXPECT_EQ(attempt(seen + 1), Outcome::Applied);
}

TYPED_TEST(StoreCommits, SubmitIsBoundedAndCompletionsComeInOrder) {
  this->put_zone_and_terminals(1);
  std::vector<BatchId> ids;
  while (std::optional<BatchId> id =
             this->store.submit(Batch{{PutLocation{location(1, ids.size() + 1)}}, false, {}}))
    ids.push_back(*id);
  EXPECT_EQ(ids.size(), kMaxBatchesInFlight);
  std::vector<BatchId> seen;
  while (seen.size() < ids.size())
    for (const Completion& completion : this->store.completions()) {
      seen.push_back(completion.batch);
      EXPECT_EQ(completion.items.at(0).outcome, Outcome::Applied);
      EXPECT_TRUE(this->reader->wait_for(completion.token, seconds(0)))
          << "visible before the completion is told";
    }
  EXPECT_EQ(seen, ids);
  EXPECT_TRUE(this->store.submit(Batch{}).has_value());
}

TYPED_TEST(StoreCommits, WakeupComesWithCompletions) {
  std::mutex lock;
  std::condition_variable changed;
  bool woken = false;
  this->store.set_wakeup([&] {
    std::lock_guard<std::mutex> guard(lock);
    woken = true;
    changed.notify_all();
  });
  ASSERT_TRUE(this->store.submit(Batch{{PutZone{zone()}}, false, {}}));
  {
    std::unique_lock<std::mutex> guard(lock);
    EXPECT_TRUE(changed.wait_for(guard, std::chrono::seconds(20), [&] { return woken; }));
  }
  EXPECT_EQ(this->store.completions().size(), 1u);
  this->store.set_wakeup({});
}

// ---- snapshots and the feed ----

TYPED_TEST(StoreCommits, ASnapshotDoesNotMove) {
  this->put_zone_and_terminals(1);
  write_one(this->store, PutLocation{location(1, 1)});
  ASSERT_TRUE(this->reader->begin());
  ChangeToken inside = *this->reader->now_token();
  Completion later = write(this->store, {PutLocation{location(1, 2)}});
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->location->counter, 1u);
  EXPECT_FALSE(this->reader->wait_for(later.token, seconds(0)));
  this->reader->end();
  EXPECT_EQ((*this->reader->terminal_by_id({1}))->location->counter, 2u);
  EXPECT_TRUE(this->reader->wait_for(later.token, seconds(0)));
  EXPECT_EQ(this->reader->changes(inside, 10)->items.size(), 1u);
}

TYPED_TEST(StoreCommits, DataVersionMovesWithCommitsOnly) {
  this->put_zone_and_terminals(1);
  std::uint64_t before = *this->reader->data_version();
  EXPECT_EQ(*this->reader->data_version(), before);
  (void)this->reader->terminal_by_id({1});
  write_one(this->store, PutLocation{location(99, 1)});
  EXPECT_EQ(*this->reader->data_version(), before) << "nothing was written";
  write_one(this->store, PutLocation{location(1, 1)});
  EXPECT_NE(*this->reader->data_version(), before);
}

TYPED_TEST(StoreCommits, TheFeedTellsWhatChangedInOrder) {
  this->put_zone_and_terminals(2);
  ChangeToken start = *this->reader->now_token();
  Completion first = write(this->store, {PutLocation{location(2, 1)}, PutLocation{location(1, 1)}});
  write_one(this->store, PutToken{token(8, "t1.mobile.example")});
  write_one(this->store,
            ReplaceRrset{{1}, name("x.mobile.example"), 16, {row("x.mobile.example", 16, {0})}});
  Changes all = *this->reader->changes(start, 100);
  ASSERT_EQ(all.items.size(), 4u);
  EXPECT_FALSE(all.too_old);
  EXPECT_EQ(all.items[0].kind, ChangeKind::Location);
  EXPECT_EQ(all.items[0].id, 2u);
  EXPECT_EQ(all.items[1].id, 1u);
  EXPECT_EQ(all.items[2].kind, ChangeKind::Token);
  EXPECT_EQ(all.items[2].id, 8u);
  EXPECT_EQ(all.items[3].kind, ChangeKind::Records);
  EXPECT_EQ(all.items[3].name, name("x.mobile.example"));
  EXPECT_TRUE(this->reader->changes(all.next, 100)->items.empty());
  EXPECT_EQ(all.next, *this->reader->now_token());
  EXPECT_EQ(this->reader->changes(start, 1)->next, first.token) << "whole commits only";
  EXPECT_TRUE(this->reader->changes(start, 0)->items.empty());
  EXPECT_FALSE(this->reader->changes({{1, 2, 3}}, 10)) << "not a token";
}

TYPED_TEST(StoreCommits, ATrimmedFeedSaysTooOld) {
  this->put_zone_and_terminals(1);
  ChangeToken start = *this->reader->now_token();
  for (std::uint64_t counter = 1; counter <= 200; ++counter)
    write_one(this->store, PutLocation{location(1, counter)});
  Changes late = *this->reader->changes(start, 1000);
  for (int tries = 0; !late.too_old && tries < 2000; ++tries)
    late = *this->reader->changes(start, 1000);
  EXPECT_TRUE(late.too_old);
  EXPECT_EQ(late.next, *this->reader->now_token());
  EXPECT_TRUE(this->reader->changes({}, 1)->too_old);
  write_one(this->store, PutLocation{location(1, 201)});
  EXPECT_EQ(this->reader->changes(late.next, 10)->items.size(), 1u);
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(this->serial(), 2u) << "what was trimmed counts as a change";
}

TYPED_TEST(StoreCommits, AChangeThatTheFeedForgotStillBumpsTheSerial) {
  this->put_zone_and_terminals(1);
  write_one(this->store, BumpSerial{{1}, 0});
  ChangeToken start = *this->reader->now_token();
  write_one(this->store, PutLocation{location(1, 1)});
  for (std::uint64_t n = 1; n <= 200; ++n)
    write_one(this->store, PutRelay{{{n}, name("r" + std::to_string(n) + ".example"), {}, false}});
  for (int tries = 0; !this->reader->changes(start, 1000)->too_old && tries < 2000;) ++tries;
  write_one(this->store, BumpSerial{{1}, 0});
  EXPECT_EQ(this->serial(), 3u);
}

TYPED_TEST(StoreCommits, ATokenOfTheFutureIsTooOld) {
  this->put_zone_and_terminals(1);
  ChangeToken ahead = *this->reader->now_token();
  ahead.raw.back() = static_cast<Byte>(ahead.raw.back() + 100);
  EXPECT_TRUE(this->reader->changes(ahead, 10)->too_old);
  EXPECT_FALSE(this->reader->wait_for(ahead, milliseconds(5)));
}

}  // namespace
}  // namespace ntm::store::test
