// status.db: bounds, order, and that losing it stops nothing.
#include <sqlite3.h>

#include <fstream>

#include "libntm/store/sqlite/status_store.hpp"
#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {
namespace {

using sqlite::Event;
using sqlite::Move;
using sqlite::StatusBounds;
using sqlite::StatusStore;

std::unique_ptr<StatusStore> open(const TemporaryFolder& folder, const StatusBounds& bounds = {}) {
  Result<std::unique_ptr<StatusStore>> store = StatusStore::open(folder.path(), bounds);
  EXPECT_TRUE(store) << (store ? "" : store.error().text);
  return std::move(*store);
}

Move move(std::uint64_t terminal, std::int64_t at) {
  Move out;
  out.terminal = {terminal};
  out.at = {at};
  out.flags = kLocationOffline;
  out.outside4 = *parse_endpoint("192.0.2.7:4000");
  out.behind_nat4 = true;
  return out;
}

Event event(std::int64_t at, std::string text = "x") {
  return {0, {at}, "registered", "t1.mobile.example", std::move(text)};
}

TEST(StoreStatus, TheNewestMovesOfATerminalAreKept) {
  TemporaryFolder folder;
  std::unique_ptr<StatusStore> store = open(folder);
  for (std::int64_t at = 1; at <= 100; ++at) {
    store->add_move(move(1, at));
    if (at <= 3) store->add_move(move(2, at));
  }
  ASSERT_TRUE(store->flush(seconds(20)));
  std::vector<Move> moves = *store->moves({1});
  ASSERT_EQ(moves.size(), sqlite::kMovesPerTerminal);
  EXPECT_EQ(moves.front(), move(1, 100));
  EXPECT_EQ(moves.back(), move(1, 37));
  EXPECT_EQ(store->moves({2})->size(), 3u);
  EXPECT_TRUE(store->moves({3})->empty());
}

TEST(StoreStatus, EventsAreBoundedByNumberAndAge) {
  TemporaryFolder folder;
  StatusBounds bounds;
  bounds.events = 50;
  bounds.event_age = seconds(1);
  std::unique_ptr<StatusStore> store = open(folder, bounds);
  for (std::int64_t at = 1; at <= 200; ++at) store->add_event(event(at, std::to_string(at)));
  ASSERT_TRUE(store->flush(seconds(20)));
  std::vector<Event> events = *store->events(0, 1000);
  ASSERT_EQ(events.size(), 50u);
  EXPECT_EQ(events.front().text, "200");
  std::vector<Event> page = *store->events(events[9].number, 5);
  ASSERT_EQ(page.size(), 5u);
  EXPECT_EQ(page.front().text, "190");
  store->add_event(event(1'000'180));
  ASSERT_TRUE(store->flush(seconds(20)));
  EXPECT_EQ(store->events(0, 1000)->size(), 22u) << "180 to 200 and the new one";
}

TEST(StoreStatus, CountersAddUpOverRestartsAndLongTextsAreCut) {
  TemporaryFolder folder;
  {
    std::unique_ptr<StatusStore> store = open(folder);
    store->add_to_counter("registrations", 2);
    store->add_event(event(1, std::string(10'000, 'y')));
  }
  std::unique_ptr<StatusStore> store = open(folder);
  store->add_to_counter("registrations", 3);
  ASSERT_TRUE(store->flush(seconds(20)));
  EXPECT_EQ(store->counters()->at("registrations"), 5u);
  EXPECT_EQ(store->events(0, 1)->at(0).text.size(), sqlite::kMaxEventText);
  EXPECT_EQ(store->lost(), 0u);
  EXPECT_FALSE(store->began_anew());
}

TEST(StoreStatus, ADamagedFileIsPutAside) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/status.db";
  std::ofstream(path) << std::string(9000, 'x');
  std::unique_ptr<StatusStore> store = open(folder);
  EXPECT_TRUE(store->began_anew());
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged"));
  store->add_event(event(1));
  ASSERT_TRUE(store->flush(seconds(20)));
  EXPECT_EQ(store->events(0, 10)->size(), 1u);
}

TEST(StoreStatus, DamageThatShowsLaterIsPutAsideToo) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/status.db";
  {
    std::unique_ptr<StatusStore> store = open(folder);
    for (int n = 0; n < 2000; ++n) store->add_event(event(n, std::string(300, 'x')));
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(std::filesystem::file_size(path) - 4096, 'z');
  file.close();
  std::unique_ptr<StatusStore> store = open(folder);
  store->add_event(event(5000, "after"));
  store->add_move(move(1, 1));
  ASSERT_TRUE(store->flush(seconds(20)));
  EXPECT_TRUE(store->began_anew());
  EXPECT_EQ(store->events(0, 10)->at(0).text, "after");
  EXPECT_EQ(store->moves({1})->size(), 1u);
}

TEST(StoreStatus, AFloodIsDroppedAndCounted) {
  TemporaryFolder folder;
  std::unique_ptr<StatusStore> store = open(folder);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((folder.path() + "/status.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  for (std::size_t n = 0; n < sqlite::kStatusQueue + 10'000; ++n) store->add_to_counter("x", 1);
  EXPECT_GT(store->lost(), 0u);
  sqlite3_close(other);
  ASSERT_TRUE(store->flush(seconds(60)));
  EXPECT_EQ(store->counters()->at("x") + store->lost(), sqlite::kStatusQueue + 10'000);
}

}  // namespace
}  // namespace ntm::store::test
