// `ntm dc init`: what it writes, and that a second one or bad input changes nothing.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "director/setup.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/files.hpp"
#include "libntm/store/sqlite/sqlite_store.hpp"

namespace ntm::director {
namespace {

class SetupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ntm-setup-test-XXXXXX";
    folder = ::mkdtemp(name);
    options.zone = *Name::parse("mn.example");
    options.addresses = {*parse_address("192.0.2.1"), *parse_address("2001:db8::1")};
    options.data = folder + "/dc";
    options.config = folder + "/etc/director.toml";
  }
  void TearDown() override {
    [[maybe_unused]] int rc = ::system(("rm -rf " + folder).c_str());
  }
  std::string folder;
  InitOptions options;
  host::SystemRandom random;
};

TEST_F(SetupTest, WritesStoreKeysAndConfiguration) {
  Result<InitResult> done = initialise(options, random, {});
  ASSERT_TRUE(done.has_value()) << done.error().text;
  EXPECT_EQ(done->parent_records.size(), 3u);
  struct stat info {};
  ::stat((options.data + "/dc.key").c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ::stat(options.data.c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 02770u);
  Result<DcKeys> keys = load_keys(options.data);
  ASSERT_TRUE(keys.has_value());
  Result<std::unique_ptr<store::Reader>> reader = store::sqlite::open_reader(options.data);
  ASSERT_TRUE(reader.has_value());
  Result<std::vector<store::Zone>> zones = (*reader)->zones();
  ASSERT_EQ(zones->size(), 1u);
  EXPECT_EQ((*zones)[0].dc_key, keys->key.public_key);
  EXPECT_EQ((*zones)[0].dc_endpoints.size(), 2u);
  EXPECT_TRUE((*parse_prefix("198.18.0.0/15")).contains((*zones)[0].pools4[0].address));
  Result<std::vector<store::Record>> apex = (*reader)->records((*zones)[0].id, options.zone);
  EXPECT_EQ(apex->size(), 2u);  // SOA and NS
}

TEST_F(SetupTest, SecondInitIsRefusedUnchanged) {
  ASSERT_TRUE(initialise(options, random, {}).has_value());
  Result<Bytes> before = host::read_file(options.data + "/dc.key", 100);
  Result<InitResult> again = initialise(options, random, {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().kind, ErrorKind::Conflict);
  EXPECT_EQ(*before, *host::read_file(options.data + "/dc.key", 100));
}

TEST_F(SetupTest, BadInputWritesNothing) {
  for (const char* address : {"127.0.0.1", "0.0.0.0", "224.0.0.1", "::1"}) {
    InitOptions bad = options;
    bad.addresses = {*parse_address(address)};
    EXPECT_FALSE(initialise(bad, random, {}).has_value()) << address;
  }
  InitOptions none = options;
  none.addresses.clear();
  EXPECT_FALSE(initialise(none, random, {}).has_value());
  InitOptions twice = options;
  twice.addresses = {*parse_address("192.0.2.1"), *parse_address("192.0.2.2")};
  EXPECT_FALSE(initialise(twice, random, {}).has_value());
  InitOptions root = options;
  root.zone = Name{};
  EXPECT_FALSE(initialise(root, random, {}).has_value());
  InitOptions pool = options;
  pool.pool4 = *parse_prefix("198.18.0.0/31");
  EXPECT_FALSE(initialise(pool, random, {}).has_value());
  EXPECT_FALSE(host::exists(options.data));
  EXPECT_FALSE(host::exists(options.config));
}

TEST_F(SetupTest, PoolsOfOneHostDoNotOverlapWhileThereAreFreeOnes) {
  std::vector<Prefix> taken = {*parse_prefix("198.18.0.0/17")};  // the lower eight of 32
  for (int i = 0; i < 24; ++i) {
    Prefix pool = random_pool4(random, taken);
    for (const Prefix& t : taken) EXPECT_FALSE(t.overlaps(pool)) << i;
    taken.push_back(pool);
  }
  EXPECT_EQ(random_pool4(random, taken).length, 20) << "no free one is left: any";
}

}  // namespace
}  // namespace ntm::director
