// The paper's cases and what may go wrong, with all three real engines.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/scenario/world.hpp"

namespace ntm::scenario {
namespace {

// Figure 7: two DCs of two owners, a dual-stack relay, a NAT, "3G" and an IPv6-only access.
class Figure7 : public ::testing::Test {
 protected:
  explicit Figure7(std::uint64_t seed = 1) : world(seed) {}
  World world;
  SiteId core_mn = world.open_site("core-mn", milliseconds(3));
  SiteId core_cn = world.open_site("core-cn", milliseconds(4));
  SiteId core_rs = world.open_site("core-rs", milliseconds(5));
  SiteId mobile3g = world.open_site("3g", milliseconds(55));
  SiteId ap_nat = world.nat_site("ap-nat", milliseconds(8), "203.0.113.1");
  SiteId ap_nat2 = world.nat_site("ap-nat2", milliseconds(9), "203.0.113.2");
  SiteId ap_v6 = world.open_site("ap-v6", milliseconds(9));
  DcNode& dc_mn = world.add_dc("DC_MN", "mn.example", core_mn, {"192.0.2.1", "2001:db8:1::1"});
  DcNode& dc_cn = world.add_dc("DC_CN", "cn.example", core_cn, {"198.51.100.1", "2001:db8:2::1"});
  RelayNode& rs = world.add_relay("RS", core_rs, {"198.51.100.9", "2001:db8:3::1"}, {&dc_mn, &dc_cn});
  TerminalNode& mn = world.add_terminal(dc_mn, "mn");
  TerminalNode& cn = world.add_terminal(dc_cn, "cn");

  void SetUp() override {
    cn.attach(ap_nat, "192.168.1.20");
    world.sim.run_for(seconds(2));
    ASSERT_TRUE(cn.engine().is_registered());
  }
  // Looks CN up from MN and waits for the answer.
  const terminal::LookupReady* connect() {
    std::uint64_t id = mn.look_up(cn.name());
    world.sim.run_until_true(seconds(5), [&] { return mn.answer(id) != nullptr; });
    return mn.answer(id);
  }
  // A payload each way within the time.
  bool exchange(const std::string& tag, Duration limit = seconds(3)) {
    const VirtualAddresses& to = cn_addresses;
    IpAddress cn_address = to.v4 ? IpAddress(*to.v4) : IpAddress(*to.v6);
    if (!mn.send_to(cn_address, "to-cn-" + tag)) return false;
    if (!world.sim.run_until_true(limit, [&] { return cn.received_count["to-cn-" + tag] > 0; }))
      return false;
    const store::TerminalView view = **dc_mn.reader().terminal(mn.name());
    const VirtualAddresses& back = view.terminal.virtual_addresses;
    IpAddress mn_address = to.v4 ? IpAddress(*back.v4) : IpAddress(*back.v6);
    if (!cn.send_to(mn_address, "to-mn-" + tag)) return false;
    return world.sim.run_until_true(limit, [&] { return mn.received_count["to-mn-" + tag] > 0; });
  }
  // The sequence diagrams in docs/PROTOCOL.md: NTM_DIAGRAM=1 scenario_test --gtest_filter=*Case1*
  void show(Instant from, Instant to) const {
    if (std::getenv("NTM_DIAGRAM") != nullptr) std::cout << world.diagram(from, to);
  }
  VirtualAddresses cn_addresses;
  void set_up_path() {
    const terminal::LookupReady* ready = connect();
    ASSERT_NE(ready, nullptr);
    ASSERT_EQ(ready->outcome, terminal::LookupOutcome::Ready) << ready->reason;
    cn_addresses = ready->addresses;
  }
};

TEST_F(Figure7, RegistrationSeesTheNat) {
  store::TerminalView view = **dc_cn.reader().terminal(cn.name());
  ASSERT_TRUE(view.location.has_value());
  EXPECT_TRUE(view.location->v4.behind_nat);
  EXPECT_EQ(view.location->v4.outside.address, *parse_address("203.0.113.1"));
  EXPECT_EQ(view.location->v4.real, *parse_address("192.168.1.20"));
  mn.attach(mobile3g, "100.70.0.5");
  world.sim.run_for(seconds(1));
  mn.detach("100.70.0.5");
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  store::TerminalView there = **dc_mn.reader().terminal(mn.name());
  EXPECT_FALSE(there.location->v4.behind_nat);
}

TEST_F(Figure7, Case11GlobalToPrivateIsDirect) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  Instant start = world.sim.now();
  set_up_path();
  Duration took = world.sim.now() - start;
  ASSERT_TRUE(mn.path_to(cn.name()).has_value());
  EXPECT_FALSE(mn.path_to(cn.name())->relayed);
  EXPECT_TRUE(exchange("one")) << world.diagram(start, world.sim.now());
  EXPECT_LT(took.ms(), 600) << world.diagram(start, world.sim.now());
  show(start, start + took);
}

TEST_F(Figure7, Case12Ipv6ToPrivateGoesOverTheRelay) {
  mn.attach(ap_v6, "2001:db8:9::5");
  world.sim.run_for(seconds(2));
  Instant start = world.sim.now();
  set_up_path();
  EXPECT_TRUE(mn.path_to(cn.name()).has_value() && mn.path_to(cn.name())->relayed)
      << world.diagram(start, world.sim.now());
  show(start, world.sim.now());
  EXPECT_TRUE(exchange("one")) << world.diagram(start, world.sim.now());
}

TEST_F(Figure7, Case21And22HandoverKeepsEveryPacket) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  std::size_t sent = 0;
  auto stream = [&](int count) {
    for (int i = 0; i < count; ++i) {
      cn.send_to(*(**dc_mn.reader().terminal(mn.name())).terminal.virtual_addresses.v4,
                 "n" + std::to_string(sent++));
      world.sim.run_for(milliseconds(5));
    }
  };
  stream(50);
  // 2-1: 3G gone, nothing for 300 ms, then the IPv6-only network.
  mn.detach("11.0.0.5");
  stream(60);
  mn.attach(ap_v6, "2001:db8:9::5");
  Instant usable = world.sim.now();
  stream(200);
  EXPECT_TRUE(exchange("after-21")) << world.diagram(usable, world.sim.now());
  EXPECT_TRUE(mn.path_to(cn.name())->relayed);
  // 2-2: back.
  mn.detach("2001:db8:9::5");
  mn.attach(mobile3g, "11.0.0.6");
  stream(200);
  EXPECT_TRUE(exchange("after-22"));
  EXPECT_FALSE(mn.path_to(cn.name())->relayed);
  world.sim.run_for(seconds(3));
  std::size_t missing = 0;
  std::string first_missing;
  for (std::size_t i = 0; i < sent; ++i) {
    int times = mn.received_count["n" + std::to_string(i)];
    EXPECT_LE(times, 1) << i;
    missing += times == 0;
    if (times == 0) first_missing = first_missing.empty() ? std::to_string(i) : first_missing + " " + std::to_string(i);
  }
  EXPECT_EQ(missing, 0u) << "of " << sent << ": " << first_missing;
}

// The called one moves: it never looked the caller up, and asks its own DC for the direction.
TEST_F(Figure7, TheCalleeMovesToo) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  PathId first = mn.path_to(cn.name())->path;
  for (Duration gap : {milliseconds(0), milliseconds(300), milliseconds(5500)}) {
    SCOPED_TRACE(gap.ms());
    for (auto [from, to] : {std::pair{"192.168.1.20", "192.168.1.21"},
                            std::pair{"192.168.1.21", "192.168.1.20"}}) {
      cn.detach(from);
      world.sim.run_for(gap);
      cn.attach(from == std::string("192.168.1.20") ? ap_nat2 : ap_nat, to);
      Instant usable = world.sim.now();
      bool there = exchange("moved-" + std::to_string(gap.ms()) + from, milliseconds(1000));
      EXPECT_TRUE(there) << world.diagram(usable, world.sim.now());
      world.sim.run_for(seconds(3));
      EXPECT_NE(mn.path_to(cn.name())->path, first) << "no Direction came about";
      first = mn.path_to(cn.name())->path;
    }
  }
}

// Its network dies without a word; the callee's data finds out, and its DC knows where MN is.
TEST_F(Figure7, TheCalleeMendsALostPath) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  PathId first = mn.path_to(cn.name())->path;
  mn.restart();
  Instant began = world.sim.now();
  world.sim.run_for(seconds(1));
  IpAddress to_mn(*(**dc_mn.reader().terminal(mn.name())).terminal.virtual_addresses.v4);
  for (int i = 0; i < 100; ++i) {
    cn.send_to(to_mn, "callee-" + std::to_string(i));
    world.sim.run_for(milliseconds(50));
  }
  world.sim.run_for(seconds(1));
  int lost = 0;
  for (int i = 0; i < 100; ++i) lost += mn.received_count["callee-" + std::to_string(i)] == 0;
  // What was on its way when nothing was known yet; the new keys can't open it.
  EXPECT_LT(lost, 15) << world.diagram(began, world.sim.now());
  ASSERT_TRUE(cn.path_to(mn.name()));
  EXPECT_NE(cn.path_to(mn.name())->path, first);
}

TEST_F(Figure7, BothBehindTheSameNatMeetLocally) {
  mn.attach(ap_nat, "192.168.1.30");
  world.sim.run_for(seconds(2));
  set_up_path();
  EXPECT_TRUE(exchange("one"));
  ASSERT_TRUE(mn.path_to(cn.name()).has_value());
  EXPECT_FALSE(mn.path_to(cn.name())->relayed);
  EXPECT_EQ(mn.path_to(cn.name())->remote.address, *parse_address("192.168.1.20"));
}

TEST_F(Figure7, BehindDifferentNatsTheRelayCarriesThemAtOnce) {
  mn.attach(ap_nat2, "192.168.1.30");
  world.sim.run_for(seconds(2));
  set_up_path();
  EXPECT_TRUE(exchange("one"));
}

TEST_F(Figure7, DirectorRestartBringsTerminalsBackAndLeavesTunnelsAlone) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  Instant start = world.sim.now();
  dc_cn.restart();
  EXPECT_TRUE(exchange("during"));
  EXPECT_TRUE(world.sim.run_until_true(seconds(3), [&] {
    for (const director::DirectorEngine::TerminalStatus& t : dc_cn.engine().terminals(world.sim.now()))
      if (!t.has_session) return false;
    return true;
  })) << world.diagram(start, world.sim.now());
}

TEST_F(Figure7, RelaysComeBackSoonAfterADirectorRestart) {
  Instant start = world.sim.now();
  dc_mn.restart();
  EXPECT_TRUE(world.sim.run_until_true(seconds(10), [&] {
    for (const director::DirectorEngine::RelayStatusView& r : dc_mn.engine().relays(world.sim.now()))
      if (!r.attached) return false;
    return true;
  })) << world.diagram(start, world.sim.now());
}

TEST_F(Figure7, RelayRestartIsHealed) {
  mn.attach(ap_v6, "2001:db8:9::5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  Instant start = world.sim.now();
  rs.restart();
  bool back = false;
  for (int i = 0; i < 20 && !back; ++i) back = exchange("again" + std::to_string(i), milliseconds(1000));
  EXPECT_TRUE(back) << world.diagram(start, world.sim.now());
  EXPECT_LT((world.sim.now() - start).seconds(), 8.0);
}

TEST_F(Figure7, TerminalRestartComesBackWithNameAndAddresses) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  set_up_path();
  ASSERT_TRUE(exchange("before"));
  cn.restart();
  world.sim.run_for(seconds(2));
  EXPECT_TRUE(cn.engine().is_registered());
  bool back = false;
  for (int i = 0; i < 20 && !back; ++i) back = exchange("again" + std::to_string(i), milliseconds(1000));
  EXPECT_TRUE(back);
}

TEST_F(Figure7, UnknownNameAndOfflinePeerAreToldAtOnce) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  cn.detach("192.168.1.20");
  world.sim.run_for(seconds(200));  // a whole lease
  std::uint64_t id = mn.look_up(cn.name());
  world.sim.run_until_true(seconds(5), [&] { return mn.answer(id) != nullptr; });
  ASSERT_NE(mn.answer(id), nullptr);
  EXPECT_NE(mn.answer(id)->outcome, terminal::LookupOutcome::Ready);
}

TEST_F(Figure7, ForeignRecordThatClaims8888IsRefused) {
  mn.attach(mobile3g, "11.0.0.5");
  world.sim.run_for(seconds(2));
  terminal::PeerRecords forged = dc_cn.records(cn.name());
  forged.v4->virtual_address = *parse_address("8.8.8.8");
  forged.rdata4 = wire::encode(*forged.v4);
  world.forged_records[cn.name()] = forged;
  const terminal::LookupReady* ready = connect();
  ASSERT_NE(ready, nullptr);
  if (ready->addresses.v4) {
    EXPECT_NE(IpAddress(*ready->addresses.v4), *parse_address("8.8.8.8"));
  }
  EXPECT_FALSE(mn.send_to(*parse_address("8.8.8.8"), "x") && cn.received_count["x"] > 0);
}

TEST_F(Figure7, ReplayedRegistrationChangesNothing) {
  mn.attach(mobile3g, "11.0.0.5");
  std::vector<std::pair<Endpoint, Bytes>> recorded;
  world.net.on_delivered([&](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
    if (to.address == *parse_address("192.0.2.1")) recorded.emplace_back(from, datagram);
  });
  world.sim.run_for(seconds(2));
  ASSERT_FALSE(recorded.empty());
  store::Location before = *(**dc_mn.reader().terminal(mn.name())).location;
  // The attacker sends everything again from its own place.
  SiteId site = world.open_site("attacker", milliseconds(2));
  HostId attacker = world.net.add_host("attacker", [](const Endpoint&, const Endpoint&, const Bytes&) {});
  world.net.attach(attacker, site, *parse_address("12.0.0.66"));
  for (const auto& [from, datagram] : recorded)
    world.net.send(attacker, *parse_endpoint("12.0.0.66:666"), *parse_endpoint("192.0.2.1:4753"), datagram);
  world.sim.run_for(seconds(2));
  store::Location after = *(**dc_mn.reader().terminal(mn.name())).location;
  EXPECT_EQ(before, after);
  set_up_path();
  EXPECT_TRUE(exchange("still"));
}

// Many seeds, because whose static key is smaller decides which of two paths is used.
class Figure7Seeds : public Figure7, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  Figure7Seeds() : Figure7(GetParam()) {}
};

// Case 2-2 with the paper's gap: from the relay to 3G after seconds without any network, which is
// longer than CN takes to give the path up.
TEST_P(Figure7Seeds, LongGapsLoseNothingThatTheQueuesHold) {
  for (Duration gap : {milliseconds(300), milliseconds(4000), milliseconds(5500)}) {
    SCOPED_TRACE(gap.ms());
    std::string tag = std::to_string(gap.ms()) + "-";
    mn.attach(ap_v6, "2001:db8:9::5");
    world.sim.run_for(seconds(2));
    if (cn_addresses == VirtualAddresses{}) set_up_path();
    ASSERT_TRUE(exchange(tag + "before"));
    int sent = 0;
    auto stream = [&](Duration span) {
      for (Instant end = world.sim.now() + span; world.sim.now() < end;) {
        cn.send_to(*(**dc_mn.reader().terminal(mn.name())).terminal.virtual_addresses.v4,
                   tag + std::to_string(sent++));
        world.sim.run_for(milliseconds(20));
      }
    };
    stream(milliseconds(500));
    mn.detach("2001:db8:9::5");
    stream(gap);
    mn.attach(mobile3g, "11.0.0.6");
    Instant usable = world.sim.now();
    EXPECT_TRUE(world.sim.run_until_true(seconds(10), [&] {
      return mn.received_count[tag + std::to_string(sent - 1)] > 0;
    })) << world.diagram(usable, world.sim.now());
    EXPECT_LT((world.sim.now() - usable).ms(), 600) << world.diagram(usable, world.sim.now());
    world.sim.run_for(seconds(3));
    std::string missing;
    for (int i = 0; i < sent; ++i)
      if (mn.received_count[tag + std::to_string(i)] != 1) missing += std::to_string(i) + " ";
    EXPECT_EQ(missing, "") << "of " << sent;
    mn.detach("11.0.0.6");
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Figure7Seeds, ::testing::Range<std::uint64_t>(1, 41));

TEST(ScenarioScale, AThousandTerminalsAreBackThreeSecondsAfterARestart) {
  World world(3);
  SiteId core = world.open_site("core", milliseconds(5));
  SiteId a = world.open_site("a", milliseconds(20));
  DcNode& dc = world.add_dc("DC", "x.example", core, {"192.0.2.1"});
  std::vector<TerminalNode*> all;
  for (int i = 0; i < 1000; ++i) {
    TerminalNode& t = world.add_terminal(dc, "t" + std::to_string(i));
    t.attach(a, "11.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1));
    all.push_back(&t);
  }
  world.sim.run_for(seconds(20));
  std::size_t registered = 0;
  for (TerminalNode* t : all) registered += t->engine().is_registered();
  ASSERT_EQ(registered, 1000u);
  dc.restart();
  world.sim.run_for(seconds(3));
  std::size_t back = 0;
  for (const director::DirectorEngine::TerminalStatus& t : dc.engine().terminals(world.sim.now()))
    back += t.has_session;
  EXPECT_EQ(back, 1000u);
}

TEST(ScenarioSeeds, LossyNetworksStillConnectAndSeedsRepeat) {
  auto run = [](std::uint64_t seed) {
    World world(seed);
    SiteId core = world.open_site("core", milliseconds(5));
    SiteId a = world.open_site("a", milliseconds(20));
    SiteId b = world.nat_site("b", milliseconds(10), "203.0.113.1");
    for (SiteId s : {core, a, b}) {
      world.net.faults(s).loss = 0.05;
      world.net.faults(s).duplicate = 0.02;
      world.net.faults(s).reorder = 0.05;
      world.net.faults(s).corrupt = 0.01;
      world.net.faults(s).jitter = milliseconds(5);
    }
    DcNode& dc = world.add_dc("DC", "x.example", core, {"192.0.2.1"});
    world.add_relay("RS", core, {"192.0.2.9"}, {&dc});
    TerminalNode& mn = world.add_terminal(dc, "mn");
    TerminalNode& cn = world.add_terminal(dc, "cn");
    mn.attach(a, "11.0.0.5");
    cn.attach(b, "192.168.1.20");
    world.sim.run_for(seconds(10));
    bool connected = false;
    for (int i = 0; i < 5 && !connected; ++i) {
      std::uint64_t id = mn.look_up(cn.name());
      world.sim.run_until_true(seconds(5), [&] { return mn.answer(id) != nullptr; });
      connected = mn.answer(id) != nullptr && mn.answer(id)->outcome == terminal::LookupOutcome::Ready;
    }
    return std::make_pair(connected, world.sim.trace_hash());
  };
  int connected = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::pair<bool, std::uint64_t> first = run(seed);
    EXPECT_EQ(first, run(seed)) << "seed " << seed;
    connected += first.first;
  }
  EXPECT_EQ(connected, 20);
}

}  // namespace
}  // namespace ntm::scenario
