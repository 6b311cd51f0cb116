// The route policy's table row by row, relay choice, and the address pools.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "director/engine/address_pool.hpp"
#include "director/engine/route_policy.hpp"

namespace ntm::director {
namespace {

FamilyReach open_at(const std::string& endpoint) {
  Endpoint e = *parse_endpoint(endpoint);
  return {e, e, false};
}
FamilyReach nat_at(const std::string& local, const std::string& outside) {
  return {*parse_endpoint(local), *parse_endpoint(outside), true};
}
Reach v4(const FamilyReach& f) {
  Reach r;
  r.v4 = f;
  return r;
}
Reach v6(const FamilyReach& f) {
  Reach r;
  r.v6 = f;
  return r;
}
std::vector<RelayOption> dual_relay() {
  return {{{*parse_endpoint("198.51.100.9:4753"), *parse_endpoint("[2001:db8:3::1]:4753")},
           milliseconds(40), 0.1}};
}

const FamilyReach kMn4 = open_at("11.0.0.5:4000");
const FamilyReach kMnNat = nat_at("10.0.0.5:4000", "203.0.113.1:20000");
const FamilyReach kCn4 = open_at("12.0.0.5:5000");
const FamilyReach kCnNat = nat_at("192.168.1.9:5000", "203.0.113.2:30000");

struct Row {
  const char* name;
  Reach mn;
  Reach cn;
  RouteClass route_class;
  wire::RouteMode mode;
  std::vector<std::string> targets_of_mn;
  std::vector<std::string> targets_of_cn;
};

class PolicyTable : public ::testing::TestWithParam<Row> {};

TEST_P(PolicyTable, Row) {
  const Row& row = GetParam();
  Plan plan = plan_route(row.mn, row.cn, dual_relay());
  EXPECT_EQ(plan.route_class, row.route_class) << plan.reason;
  EXPECT_EQ(plan.mode, row.mode);
  EXPECT_TRUE(plan.relay.has_value());  // every plan names the relay too
  std::vector<std::string> mn;
  std::vector<std::string> cn;
  for (const Endpoint& e : plan.targets_of_mn) mn.push_back(to_string(e));
  for (const Endpoint& e : plan.targets_of_cn) cn.push_back(to_string(e));
  EXPECT_EQ(mn, row.targets_of_mn);
  EXPECT_EQ(cn, row.targets_of_cn);
  EXPECT_FALSE(plan.reason.empty());
}

Reach both(const FamilyReach& f4, const FamilyReach& f6) {
  Reach r;
  r.v4 = f4;
  r.v6 = f6;
  return r;
}
Reach only_relay(Reach r) {
  r.relay_only = true;
  return r;
}
const FamilyReach kMn6 = open_at("[2001:db8:9::5]:4000");
const FamilyReach kCn6 = open_at("[2001:db8:8::5]:5000");

INSTANTIATE_TEST_SUITE_P(
    Rows, PolicyTable,
    ::testing::Values(
        Row{"both open", v4(kMn4), v4(kCn4), RouteClass::DirectBoth, wire::RouteMode::Direct,
            {"12.0.0.5:5000"}, {"11.0.0.5:4000"}},
        Row{"CN behind NAT, case 1-1", v4(kMn4), v4(kCnNat), RouteClass::DirectCnOpens,
            wire::RouteMode::Direct, {"203.0.113.2:30000"}, {"11.0.0.5:4000"}},
        Row{"MN behind NAT", v4(kMnNat), v4(kCn4), RouteClass::DirectMnOpens,
            wire::RouteMode::Direct, {"12.0.0.5:5000"}, {"203.0.113.1:20000"}},
        Row{"same outside address", v4(kMnNat),
            v4(nat_at("10.0.0.6:5000", "203.0.113.1:20001")), RouteClass::DirectLocal,
            wire::RouteMode::Direct, {"10.0.0.6:5000"}, {"10.0.0.5:4000"}},
        Row{"different NATs", v4(kMnNat), v4(kCnNat), RouteClass::RelayBothNat,
            wire::RouteMode::Relay, {"203.0.113.2:30000"}, {"203.0.113.1:20000"}},
        Row{"no common family, case 1-2", v6(kMn6), v4(kCnNat), RouteClass::RelayNoFamily,
            wire::RouteMode::Relay, {}, {}},
        Row{"IPv6 first among equals", both(kMn4, kMn6), both(kCn4, kCn6),
            RouteClass::DirectBoth, wire::RouteMode::Direct,
            {"[2001:db8:8::5]:5000", "12.0.0.5:5000"},
            {"[2001:db8:9::5]:4000", "11.0.0.5:4000"}},
        Row{"an open family beats a relayed one", both(kMnNat, kMn6), both(kCnNat, kCn6),
            RouteClass::DirectBoth, wire::RouteMode::Direct,
            {"[2001:db8:8::5]:5000", "203.0.113.2:30000"},
            {"[2001:db8:9::5]:4000", "203.0.113.1:20000"}},
        Row{"relay only", only_relay(v4(kMn4)), v4(kCn4), RouteClass::RelayOnly,
            wire::RouteMode::Relay, {}, {}}),
    [](const ::testing::TestParamInfo<Row>& row) { return "Row" + std::to_string(row.index); });

TEST(Policy, UnreachableWithoutRelayOrNetwork) {
  EXPECT_EQ(plan_route(v6(kMn6), v4(kCnNat), {}).route_class, RouteClass::Unreachable);
  EXPECT_EQ(plan_route(Reach{}, v4(kCn4), dual_relay()).route_class, RouteClass::Unreachable);
  Plan hopeful = plan_route(v4(kMnNat), v4(kCnNat), {});
  EXPECT_EQ(hopeful.route_class, RouteClass::RelayBothNat);  // simultaneous checks may succeed
  EXPECT_FALSE(hopeful.relay.has_value());
}

TEST(Policy, RelayByDistanceLoadAndFamily) {
  RelayOption near4{{*parse_endpoint("198.51.100.1:4753")}, milliseconds(10), 0};
  RelayOption far{{*parse_endpoint("198.51.100.2:4753"), *parse_endpoint("[2001:db8::2]:4753")},
                  milliseconds(80), 0};
  RelayOption loaded = far;
  loaded.rtt_sum = milliseconds(60);
  loaded.load = 0.9;
  RelayOption full = far;
  full.rtt_sum = milliseconds(1);
  full.load = 1.0;
  EXPECT_EQ(*plan_route(v4(kMnNat), v4(kCnNat), {far, near4}).relay, 1u);
  EXPECT_EQ(*plan_route(v6(kMn6), v4(kCnNat), {near4, far}).relay, 1u);  // needs both families
  EXPECT_EQ(*plan_route(v6(kMn6), v4(kCnNat), {loaded, far}).relay, 1u);
  EXPECT_EQ(*plan_route(v6(kMn6), v4(kCnNat), {full, far}).relay, 1u);
  Plan plan = plan_route(v6(kMn6), v4(kCnNat), {far});
  EXPECT_EQ(plan.relay_family_mn, Family::V6);
  EXPECT_EQ(plan.relay_family_cn, Family::V4);
}

class SeededRandom final : public Random {
 public:
  void fill(ByteSpan out) override {
    for (Byte& b : out) b = static_cast<Byte>(engine_());
  }

 private:
  std::mt19937_64 engine_{9};
};

TEST(AddressPool, NoDuplicatesThenIpv6Only) {
  store::Zone zone;
  zone.pools4 = {*parse_prefix("198.18.0.0/29"), *parse_prefix("198.18.1.0/30")};
  zone.virtual6 = *parse_prefix("fd00:1:2::/48");
  AddressPool pool(zone);
  SeededRandom random;
  std::set<Ipv4> seen4;
  std::set<Ipv6> seen6;
  for (int i = 0; i < 8; ++i) {
    VirtualAddresses a = pool.next(random);
    ASSERT_TRUE(a.v4 && a.v6);
    EXPECT_TRUE(seen4.insert(*a.v4).second);
    EXPECT_TRUE(seen6.insert(*a.v6).second);
    EXPECT_TRUE(zone.virtual6->contains(*a.v6));
    std::uint32_t last = a.v4->u32() & 7;
    EXPECT_NE(last, 0u);
  }
  VirtualAddresses full = pool.next(random);
  EXPECT_FALSE(full.v4.has_value());
  EXPECT_TRUE(full.v6.has_value());
  EXPECT_EQ(pool.free4(), 0u);
  VirtualAddresses back;
  back.v4 = *seen4.begin();
  pool.give_back(back);
  EXPECT_EQ(pool.next(random).v4, back.v4);
}

}  // namespace
}  // namespace ntm::director
