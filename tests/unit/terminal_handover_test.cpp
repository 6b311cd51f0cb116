// Handover of the engine (paper 4.5): what is measured is the time from the moment a new address
// is usable, and that no packet is lost. All links have 5 ms to the core, so a round trip between
// any two sites takes 20 ms.
#include <set>

#include "tests/unit/terminal_world.hpp"

namespace ntm::terminal::testing {
namespace {

const Ipv4 kMnVirtual = ip("198.18.16.1").v4();
const Ipv4 kCnVirtual = ip("198.18.16.2").v4();

class TerminalHandover : public ::testing::Test {
 protected:
  void connect(scenario::SiteId mn_site, const char* mn_at, scenario::SiteId cn_site,
               const char* cn_at) {
    mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
    cn = std::make_unique<Node>(w, "cn", w.settings("cn.a.example"));
    mn->attach(mn_site, mn_at);
    cn->attach(cn_site, cn_at);
    w.until("both registered", seconds(2), [&] {
      return mn->engine->is_registered() && cn->engine->is_registered();
    });
    w.run_for(milliseconds(100));
    mn->lookup(1, cn->records());
    w.until("the tunnel", seconds(3), [&] { return mn->ready(1) != nullptr; });
    w.run_for(milliseconds(200));
    mn->notes.clear();
    cn->notes.clear();
  }
  // One packet each way every 5 ms, numbered.
  void traffic(int steps) {
    for (int i = 0; i < steps; ++i) {
      mn->send_packet(kCnVirtual, static_cast<std::uint16_t>(sent_));
      cn->send_packet(kMnVirtual, static_cast<std::uint16_t>(sent_));
      ++sent_;
      w.run_for(milliseconds(5));
    }
  }
  static std::set<Byte> numbers(const Node& node) {
    std::set<Byte> out;
    for (const Bytes& packet : node.inner) out.insert(packet.back());
    return out;
  }
  void expect_all_arrived() {
    w.run_for(seconds(3));
    EXPECT_EQ(static_cast<int>(numbers(*cn).size()), sent_);
    EXPECT_EQ(static_cast<int>(numbers(*mn).size()), sent_);
    EXPECT_EQ(static_cast<int>(cn->inner.size()), sent_) << "duplicates";
    EXPECT_EQ(static_cast<int>(mn->inner.size()), sent_) << "duplicates";
  }
  Duration until_complete(Instant since) {
    w.until("handover", seconds(3), [&] { return mn->noted("handover_complete"); });
    return w.sim.now() - since;
  }
  World w;
  std::unique_ptr<Node> mn;
  std::unique_ptr<Node> cn;
  int sent_ = 0;
};

TEST_F(TerminalHandover, BreakBeforeMakeDirectLosesNothing) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  traffic(20);
  mn->detach("198.51.100.7");
  traffic(60);  // 0.3 s without a network
  EXPECT_TRUE(mn->noted("tunnel_held"));
  Instant usable = w.sim.now();
  mn->attach(w.right, "198.51.100.77");
  EXPECT_LE(until_complete(usable).ms(), 21);  // one round trip to the peer
  EXPECT_TRUE(mn->noted("handover_complete", "by", "tunnel_request"));
  traffic(40);
  // The DC's new path follows and takes over.
  w.until("the new path", seconds(1), [&] { return mn->count("path_selected") == 2; });
  traffic(20);
  expect_all_arrived();
}

TEST_F(TerminalHandover, ProcedureOfThePaperAloneWorksToo) {
  mn = nullptr;
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  Settings s = mn->settings;
  s.fast_handover = false;
  w.network.detach(mn->host, ip("198.51.100.7"));
  std::unique_ptr<Node> old = std::move(mn);
  mn = std::make_unique<Node>(w, "mn2", s, old->saves.back().state);
  mn->attach(w.left, "198.51.100.7");
  w.run_for(milliseconds(200));
  mn->lookup(2, cn->records());
  w.until("the tunnel", seconds(3), [&] { return mn->ready(2) != nullptr; });
  w.run_for(milliseconds(200));
  mn->notes.clear();
  cn->inner.clear();
  traffic(20);
  mn->detach("198.51.100.7");
  traffic(20);
  Instant usable = w.sim.now();
  mn->attach(w.nat_a, "192.168.1.2");
  Duration took = until_complete(usable);
  EXPECT_GE(took.ms(), 29);  // MN -> DC -> CN -> MN
  EXPECT_LE(took.ms(), 45);
  EXPECT_TRUE(mn->noted("handover_complete", "by", "new_path"));
  traffic(20);
  expect_all_arrived();
}

TEST_F(TerminalHandover, LongGapIsHeldAndFlushed) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  traffic(10);
  mn->detach("198.51.100.7");
  traffic(5);
  w.run_for(milliseconds(5500));
  Instant usable = w.sim.now();
  mn->attach(w.nat_a, "192.168.1.2");
  EXPECT_LE(until_complete(usable).ms(), 45);
  traffic(20);
  expect_all_arrived();
}

TEST_F(TerminalHandover, MakeBeforeBreakHasNoGap) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  traffic(10);
  mn->attach(w.left, "198.51.100.70", 50, 2);  // a better interface appears, the old one stays
  traffic(40);
  EXPECT_FALSE(mn->noted("tunnel_held"));
  EXPECT_TRUE(mn->noted("handover_complete"));
  mn->detach("198.51.100.7");
  traffic(20);
  expect_all_arrived();
}

TEST_F(TerminalHandover, PeerBehindFilteringNatIsReachedThroughTheDc) {
  connect(w.left, "198.51.100.7", w.nat_b, "192.168.1.2");
  traffic(10);
  mn->detach("198.51.100.7");
  traffic(10);
  Instant usable = w.sim.now();
  mn->attach(w.right, "198.51.100.77");  // CN's NAT drops what comes from there
  EXPECT_LE(until_complete(usable).ms(), 45);
  EXPECT_TRUE(mn->noted("handover_complete", "by", "new_path"));
  traffic(20);
  expect_all_arrived();
}

TEST_F(TerminalHandover, RelayedPathFollowsAndLosesNothing) {
  w.dc->mode = wire::RouteMode::Relay;
  scenario::NatOptions symmetric;
  symmetric.mapping = scenario::NatBehaviour::AddressAndPortDependent;
  scenario::SiteId a = w.network.add_site(
      {"sym-a", milliseconds(5), symmetric, ip("203.0.113.30").v4()});
  scenario::SiteId b = w.network.add_site(
      {"sym-b", milliseconds(5), symmetric, ip("203.0.113.40").v4()});
  connect(a, "192.168.1.2", b, "192.168.7.2");
  traffic(10);
  mn->detach("192.168.1.2");
  traffic(20);
  Instant usable = w.sim.now();
  mn->attach(w.nat_a, "192.168.5.2");
  EXPECT_LE(until_complete(usable).ms(), 25);  // one round trip to the relay
  traffic(40);
  expect_all_arrived();
}

TEST_F(TerminalHandover, FromIpv4ToIpv6) {
  w.dc->with_relay = false;
  connect(w.left, "198.51.100.7", w.nat_b, "192.168.1.2");
  traffic(10);
  mn->detach("198.51.100.7");
  traffic(10);
  w.dc->mode = wire::RouteMode::Relay;
  w.dc->with_relay = true;
  Instant usable = w.sim.now();
  mn->attach(w.right, "2001:db8:9::9");
  EXPECT_LE(until_complete(usable).ms(), 65);  // MN -> DC -> CN -> RS -> MN
  traffic(40);
  expect_all_arrived();
}

TEST_F(TerminalHandover, BothEndsMoveAtOnce) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  traffic(10);
  mn->detach("198.51.100.7");
  cn->detach("198.51.100.8");
  traffic(20);
  mn->attach(w.right, "198.51.100.77");
  cn->attach(w.left, "198.51.100.88");
  w.until("both", seconds(5), [&] {
    return mn->noted("handover_complete") && cn->noted("handover_complete");
  });
  traffic(20);
  w.run_for(seconds(2));
  expect_all_arrived();
}

TEST_F(TerminalHandover, BackToTheFormerAddress) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  for (int round = 0; round < 4; ++round) {
    traffic(5);
    mn->detach(round % 2 == 0 ? "198.51.100.7" : "198.51.100.77");
    traffic(5);
    mn->notes.clear();
    Instant usable = w.sim.now();
    mn->attach(round % 2 == 0 ? w.right : w.left,
               round % 2 == 0 ? "198.51.100.77" : "198.51.100.7");
    EXPECT_LE(until_complete(usable).ms(), 45);
    traffic(5);
  }
  expect_all_arrived();
}

TEST_F(TerminalHandover, OldPathsAreRemoved) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  mn->detach("198.51.100.7");
  mn->attach(w.right, "198.51.100.77");
  w.run_for(seconds(80));
  EXPECT_EQ(mn->engine->status().peers.front().paths.size(), 1u);
  EXPECT_EQ(cn->engine->status().peers.front().paths.size(), 1u);
  traffic(5);
  expect_all_arrived();
}

TEST_F(TerminalHandover, DcAwayDuringTheMove) {
  connect(w.left, "198.51.100.7", w.right, "198.51.100.8");
  traffic(5);
  w.dc->silent = true;
  mn->detach("198.51.100.7");
  traffic(5);
  Instant usable = w.sim.now();
  mn->attach(w.right, "198.51.100.77");
  EXPECT_LE(until_complete(usable).ms(), 21);
  traffic(20);
  w.dc->silent = false;
  w.until("registered again", seconds(30), [&] { return mn->engine->is_registered(); });
  expect_all_arrived();
}

TEST_F(TerminalHandover, RelayThatForgotThePathIsReplaced) {
  w.dc->mode = wire::RouteMode::Relay;
  scenario::NatOptions symmetric;
  symmetric.mapping = scenario::NatBehaviour::AddressAndPortDependent;
  scenario::SiteId a = w.network.add_site(
      {"sym-a", milliseconds(5), symmetric, ip("203.0.113.30").v4()});
  scenario::SiteId b = w.network.add_site(
      {"sym-b", milliseconds(5), symmetric, ip("203.0.113.40").v4()});
  connect(a, "192.168.1.2", b, "192.168.7.2");
  traffic(5);
  w.forget_relay();
  traffic(5);
  w.until("a new path", seconds(10), [&] {
    traffic(1);
    return mn->noted("path_selected");
  });
  traffic(20);
  EXPECT_GT(cn->inner.size(), 20u);
}

}  // namespace
}  // namespace ntm::terminal::testing
