// The acceptance rules: row by row as pure functions, then through the engine.
#include "terminal/engine/acceptance.hpp"

#include "tests/unit/terminal_world.hpp"

namespace ntm::terminal::testing {
namespace {

class Acceptances : public ::testing::Test {
 protected:
  Acceptances() {
    in.name = name("cn.b.example");
    in.claimed = {ip("198.18.32.5").v4(), ip("fdbb:1:2::5").v6()};
    in.zone_virtual6 = net("fdbb:1:2::/48");
    in.own_pools4 = {net("198.18.16.0/20")};
    in.own_virtual6 = net("fd12:3456:789a::/48");
    in.own = {ip("198.18.16.1").v4(), ip("fd12:3456:789a::1").v6()};
    in.virtual_ranges4 = &ranges;
    in.real_prefixes = &real;
  }
  void expect(bool v4, bool v6) {
    Acceptance out = accept_addresses(in);
    EXPECT_EQ(out.accepted.v4.has_value(), v4);
    EXPECT_EQ(out.accepted.v6.has_value(), v6);
    EXPECT_EQ(out.left_out.size(), (v4 ? 0u : 1u) + (v6 ? 0u : 1u));
  }
  std::vector<Prefix> ranges = {net("198.18.0.0/15")};
  std::vector<Prefix> real = {net("192.168.1.0/24")};
  AcceptanceInput in;
};

TEST_F(Acceptances, ForeignPeerInItsOwnRanges) { expect(true, true); }

TEST_F(Acceptances, ForeignRecordThatClaimsARealAddress) {
  in.claimed.v4 = ip("8.8.8.8").v4();
  in.claimed.v6 = ip("2001:4860:4860::8888").v6();
  expect(false, false);
}

TEST_F(Acceptances, OverlappingPoolsLeaveIpv6) {
  in.claimed.v4 = ip("198.18.20.9").v4();
  expect(false, true);
  EXPECT_NE(accept_addresses(in).left_out[0].find("pools overlap"), std::string::npos);
}

TEST_F(Acceptances, ForeignAddressInsideOurPrefix) {
  in.claimed.v6 = ip("fd12:3456:789a::9").v6();
  in.zone_virtual6 = net("fd12:3456:789a::/48");
  expect(true, false);
}

TEST_F(Acceptances, Ipv6OutsideTheZonesPrefixOrWithoutOne) {
  in.claimed.v6 = ip("fdcc::1").v6();
  expect(true, false);
  in.claimed.v6 = ip("fdbb:1:2::5").v6();
  in.zone_virtual6.reset();
  expect(true, false);
}

TEST_F(Acceptances, OwnZonePeerMustBeInOurPools) {
  in.own_zone = true;
  in.zone_virtual6 = in.own_virtual6;
  in.claimed = {ip("198.18.16.9").v4(), ip("fd12:3456:789a::9").v6()};
  expect(true, true);
  in.claimed.v4 = ip("198.18.32.9").v4();
  expect(false, true);
}

TEST_F(Acceptances, RealNetworksOfTheMachineWin) {
  real.push_back(net("198.18.32.0/24"));
  real.push_back(net("fdbb:1:2::/64"));
  expect(false, false);
}

TEST_F(Acceptances, HeldByAnotherNameOrOurOwn) {
  in.holder = [](const IpAddress& a) -> std::optional<Name> {
    if (a.is_v4()) return name("other.b.example");
    return name("cn.b.example");  // the peer itself
  };
  expect(false, true);
  in.holder = nullptr;
  in.own.v6 = in.claimed.v6;
  in.own_virtual6.reset();
  expect(true, false);
}

TEST(OwnAddresses, GoWhenTheirPoolOverlapsARealNetwork) {
  VirtualAddresses own{ip("198.18.16.1").v4(), ip("fd12:3456:789a::1").v6()};
  Acceptance out = accept_own(own, {net("198.18.16.0/20")}, net("fd12:3456:789a::/48"),
                              {net("198.18.0.0/15"), net("10.0.0.0/8")});
  EXPECT_FALSE(out.accepted.v4);
  EXPECT_TRUE(out.accepted.v6);
  ASSERT_EQ(out.left_out.size(), 1u);
}

TEST(Keys, RowByRow) {
  PublicKey a, b;
  a.raw[0] = 1;
  b.raw[0] = 2;
  auto verdict = [](const KeyInput& in) { return judge_key(in).verdict; };
  EXPECT_EQ(verdict({a, {}, {}, a, false, true}), KeyVerdict::Refused);  // bogus
  EXPECT_EQ(verdict({a, b, {}, a, false, false}), KeyVerdict::Accepted);  // pinned out of band
  EXPECT_EQ(verdict({a, {}, {}, b, true, false}), KeyVerdict::Refused);
  EXPECT_EQ(verdict({{}, {}, {}, a, false, false}), KeyVerdict::AcceptedAnew);  // first seen
  EXPECT_EQ(verdict({{}, a, {}, a, false, false}), KeyVerdict::Accepted);
  EXPECT_EQ(verdict({{}, a, {}, b, false, false}), KeyVerdict::Refused);  // changed
  EXPECT_EQ(verdict({{}, a, {}, b, true, false}), KeyVerdict::AcceptedAnew);  // secure
  EXPECT_EQ(verdict({{}, a, b, b, false, false}), KeyVerdict::AcceptedAnew);  // announced
  EXPECT_EQ(verdict({{}, {}, {}, PublicKey{}, true, false}), KeyVerdict::Refused);  // no key
}

class AcceptanceInEngine : public ::testing::Test {
 protected:
  AcceptanceInEngine() : mn(w, "mn", w.settings("mn.a.example")) {
    mn.attach(w.left, "198.51.100.7");
    w.run_for(seconds(1));
    records.name = name("x.b.example");
    for (Family family : {Family::V4, Family::V6}) {
      wire::NtmRecord r = wire::NtmRecord::empty(family);
      PublicKey key;
      key.raw[0] = 9;
      r.terminal_key = key;
      r.dc_name = name("b.example");
      (family == Family::V4 ? records.v4 : records.v6) = r;
    }
    records.v4->virtual_address = ip("198.18.32.5");
    records.v6->virtual_address = ip("fdbb:1:2::5");
    records.rdata4 = wire::encode(*records.v4);
    records.rdata6 = wire::encode(*records.v6);
  }
  const LookupReady& ask(std::uint64_t id) {
    w.dc->refuse = wire::Status::Offline;  // no tunnel is wanted here
    mn.lookup(id, records);
    w.run_for(seconds(3));
    EXPECT_NE(mn.ready(id), nullptr);
    return *mn.ready(id);
  }
  World w;
  Node mn;
  PeerRecords records;
};

TEST_F(AcceptanceInEngine, ClaimedGoogleIsNeverAnsweredNorRouted) {
  records.v4->virtual_address = ip("8.8.8.8");
  mn.lookup(1, records);
  mn.give(ZoneRecord{name("b.example"), net("fdbb:1:2::/48")});
  const LookupReady& ready = ask(2);
  EXPECT_FALSE(ready.addresses.v4);
  EXPECT_EQ(ready.addresses.v6, ip("fdbb:1:2::5").v6());
  for (const Prefix& route : mn.interface->routes) EXPECT_FALSE(route.contains(ip("8.8.8.8")));
  EXPECT_TRUE(mn.noted("address_refused"));
  ASSERT_FALSE(mn.engine->status().peers.empty());
  EXPECT_EQ(mn.engine->status().peers[0].left_out.size(), 1u);
}

TEST_F(AcceptanceInEngine, ForeignZoneIsAskedForItsPrefixAndPinned) {
  mn.lookup(1, records);
  ASSERT_EQ(mn.zone_queries.size(), 1u);
  EXPECT_EQ(mn.zone_queries[0].zone, name("b.example"));
  EXPECT_EQ(mn.ready(1), nullptr);  // held until the prefix is known
  mn.give(ZoneRecord{name("b.example"), net("fdbb:1:2::/48")});
  w.run_for(seconds(1));
  EXPECT_EQ(mn.saves.back().state.zones.at(name("b.example")), net("fdbb:1:2::/48"));
  // Another prefix later does not replace the pinned one.
  mn.give(ZoneRecord{name("b.example"), net("fdee:1:2::/48")});
  records.v6->virtual_address = ip("fdee:1:2::5");
  EXPECT_FALSE(ask(2).addresses.v6);
  EXPECT_TRUE(mn.noted("zone_prefix_refused"));
}

TEST_F(AcceptanceInEngine, ZoneWithoutPrefixLeavesIpv4) {
  mn.lookup(1, records);
  mn.give(ZoneRecord{name("b.example"), std::nullopt});
  w.run_for(seconds(1));
  ASSERT_NE(mn.ready(1), nullptr);
  EXPECT_TRUE(mn.ready(1)->addresses.v4);
  EXPECT_FALSE(mn.ready(1)->addresses.v6);
}

TEST_F(AcceptanceInEngine, ChangedKeyAndBogusAndForeignDcAreRefused) {
  mn.give(ZoneRecord{name("b.example"), net("fdbb:1:2::/48")});
  ask(1);
  PublicKey other;
  other.raw[0] = 10;
  records.v4->terminal_key = records.v6->terminal_key = other;
  EXPECT_EQ(ask(2).outcome, LookupOutcome::Failed);
  records.dnssec = wire::DnssecState::Secure;
  EXPECT_NE(ask(3).outcome, LookupOutcome::Failed);
  records.bogus = true;
  EXPECT_EQ(ask(4).outcome, LookupOutcome::Failed);
  records.bogus = false;
  records.name = name("y.c.example");  // its record names a DC that is not above it
  EXPECT_EQ(ask(5).outcome, LookupOutcome::Failed);
}

TEST_F(AcceptanceInEngine, NewRealNetworkTakesThePoolAway) {
  ASSERT_TRUE(mn.interface->addresses.v4);
  mn.add_real("198.18.0.0/16");
  mn.announce();
  EXPECT_FALSE(mn.interface->addresses.v4);
  EXPECT_TRUE(mn.interface->addresses.v6);
  EXPECT_EQ(mn.engine->status().left_out.size(), 1u);
}

TEST_F(AcceptanceInEngine, ForeignCallerNeedsPermission) {
  ScriptedDc::Terminal& me = w.dc->terminal(name("mn.a.example"));
  wire::RouteDirection route;
  route.request = {42};
  route.to = me.name;
  route.role = wire::Role::Responder;
  route.path = {43};
  route.peer = name("x.b.example");
  route.initiator_zone = name("b.example");
  route.responder_zone = name("a.example");
  route.suite = 1;
  route.message1 = Bytes(112, 7);
  w.dc->send(me, route);
  w.run_for(milliseconds(50));
  ASSERT_EQ(w.dc->acks.size(), 1u);
  EXPECT_EQ(w.dc->acks[0].status, wire::Status::Denied);
  EXPECT_TRUE(mn.engine->status().peers.empty());
  w.dc->send(me, route);  // a repetition gets the same answer
  w.run_for(milliseconds(50));
  ASSERT_EQ(w.dc->acks.size(), 2u);
  EXPECT_EQ(w.dc->acks[1], w.dc->acks[0]);
}

}  // namespace
}  // namespace ntm::terminal::testing
