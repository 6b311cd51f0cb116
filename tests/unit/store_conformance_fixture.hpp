// The conformance suite's fixture: a fresh store of each kind and a reader of it.
#pragma once

#include "tests/unit/store_fixture.hpp"

namespace ntm::store::test {

struct Memory {
  memory::MemoryStore store;
  Memory() { store.set_feed_rows(64); }
};

struct Sqlite {
  TemporaryFolder folder;
  std::unique_ptr<sqlite::SqliteStore> opened;
  sqlite::SqliteStore& store;
  Sqlite() : opened(open()), store(*opened) {}
  std::unique_ptr<sqlite::SqliteStore> open() {
    sqlite::OpenOptions options;
    options.directory = folder.path();
    options.feed_rows = 64;
    return std::move(*sqlite::SqliteStore::open(options));
  }
};

template <typename Kind>
class StoreConformance : public ::testing::Test {
 protected:
  StoreConformance() : store(kind.store), reader(std::move(*store.open_reader())) {}

  void put_zone_and_terminals(std::uint64_t count = 3) {
    std::vector<Operation> items{PutZone{zone()}};
    for (std::uint64_t n = 1; n <= count; ++n) items.push_back(CreateTerminal{terminal(n)});
    for (const ItemResult& item : write(store, items).items)
      ASSERT_EQ(item.outcome, Outcome::Applied) << item.reason;
  }
  Outcome outcome(Operation item) { return write_one(store, std::move(item)).outcome; }
  std::uint32_t serial() { return (*reader->zone({1}))->serial; }
  std::uint64_t generation() { return (*reader->zone({1}))->generation; }
  std::vector<Record> records(std::string_view owner, std::int32_t id = 1) {
    return *reader->records({id}, name(owner));
  }

  Kind kind;
  Store& store;
  std::unique_ptr<Reader> reader;
};

using ConformingStores = ::testing::Types<Memory, Sqlite>;

}  // namespace ntm::store::test
