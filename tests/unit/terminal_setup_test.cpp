// Registration, direction and tunnels of the engine, between two real engines.
#include "tests/unit/terminal_world.hpp"

namespace ntm::terminal::testing {
namespace {

const Ipv4 kMnVirtual = ip("198.18.16.1").v4();
const Ipv4 kCnVirtual = ip("198.18.16.2").v4();

class TerminalSetup : public ::testing::Test {
 protected:
  void start(scenario::SiteId mn_site, const char* mn_at, scenario::SiteId cn_site,
             const char* cn_at) {
    mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
    cn = std::make_unique<Node>(w, "cn", w.settings("cn.a.example"));
    mn->attach(mn_site, mn_at);
    cn->attach(cn_site, cn_at);
    w.until("both registered", seconds(2), [&] {
      return mn->engine->is_registered() && cn->engine->is_registered();
    });
    w.run_for(milliseconds(100));
  }
  // Look-up to answer.
  Duration set_up(std::uint64_t id = 1) {
    Instant asked = w.sim.now();
    mn->lookup(id, cn->records());
    w.until("the look-up's answer", seconds(5), [&] { return mn->ready(id) != nullptr; });
    return w.sim.now() - asked;
  }
  void exchange_packets() {
    std::size_t before = cn->received();
    mn->send_packet(kCnVirtual, 1);
    w.until("a packet at CN", seconds(2), [&] { return cn->received() > before; });
    before = mn->received();
    cn->send_packet(kMnVirtual, 2);
    w.until("a packet at MN", seconds(2), [&] { return mn->received() > before; });
  }
  const PathStatus* selected(const Node& node) {
    status = node.engine->status();
    for (const PeerStatus& p : status.peers)
      for (const PathStatus& path : p.paths)
        if (path.selected) return &path;
    return nullptr;
  }
  bool is_direct(const Node& node) {
    const PathStatus* path = selected(node);
    return path != nullptr && !path->relayed;
  }
  World w;
  std::unique_ptr<Node> mn;
  std::unique_ptr<Node> cn;
  EngineStatus status;
};

TEST_F(TerminalSetup, RegistersOverBothFamiliesWithOneHandshake) {
  mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
  w.network.attach(mn->host, w.left, ip("198.51.100.7"));
  mn->attach(w.left, "2001:db8:7::7");
  mn->attach(w.left, "198.51.100.7");
  w.until("both families", seconds(2), [&] {
    EngineStatus s = mn->engine->status();
    return s.families[0].registered && s.families[1].registered;
  });
  ScriptedDc::Terminal& t = w.dc->terminal(name("mn.a.example"));
  EXPECT_LE(t.handshakes, 2);  // the second address may abandon the first handshake
  EXPECT_EQ(t.observed.size(), 2u);
  ASSERT_TRUE(mn->interface);
  EXPECT_EQ(mn->interface->addresses.v4, kMnVirtual);
  EXPECT_EQ(mn->interface->routes.size(), 2u);
  EXPECT_TRUE(mn->engine->status().enrolled);
}

TEST_F(TerminalSetup, CountersAreReservedBeforeTheyAreUsed) {
  mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
  mn->attach(w.left, "198.51.100.7");
  w.run_for(seconds(1));
  ASSERT_FALSE(mn->saves.empty());
  std::uint64_t reserved = 0;
  for (const PersistState& s : mn->saves)
    if (s.urgent) reserved = std::max(reserved, s.state.counter_reserved);
  ASSERT_FALSE(w.dc->registrations.empty());
  for (const wire::RegistrationRequest& r : w.dc->registrations) EXPECT_LT(r.counter, reserved);
  // A restart from that state never uses one of them again.
  std::uint64_t before = w.dc->registrations.back().counter;
  SavedState saved = mn->saves.back().state;
  w.network.detach(mn->host, ip("198.51.100.7"));
  Node again(w, "mn2", mn->settings, saved);
  again.attach(w.left, "198.51.100.7");
  w.until("registered again", seconds(2), [&] { return again.engine->is_registered(); });
  EXPECT_GT(w.dc->registrations.back().counter, before);
  EXPECT_GE(w.dc->registrations.back().counter, saved.counter_reserved);
}

TEST_F(TerminalSetup, StaleCounterCostsOneRoundTrip) {
  w.dc->stored_counter = 1'000'000;
  mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
  Instant begin = w.sim.now();
  mn->attach(w.left, "198.51.100.7");
  w.until("registered", seconds(2), [&] { return mn->engine->is_registered(); });
  EXPECT_TRUE(mn->noted("registration_stale"));
  EXPECT_LE((w.sim.now() - begin).ms(), 45);  // 2 round trips of 20 ms
  EXPECT_GT(w.dc->registrations.back().counter, 1'000'000u + kCounterBlock - 1);
}

TEST_F(TerminalSetup, LostResponsesAreAskedForAgain) {
  w.dc->lose_next_response = true;
  mn = std::make_unique<Node>(w, "mn", w.settings("mn.a.example"));
  mn->attach(w.left, "198.51.100.7");
  w.until("registered", seconds(3), [&] { return mn->engine->is_registered(); });
}

TEST_F(TerminalSetup, EnrolsWithATokenAndRecoversWhenTheAnswerIsLost) {
  Settings s = w.settings("mn.a.example");
  wire::EnrolmentToken token;
  token.zone = s.zone;
  token.subject = s.name;
  token.dc_key = s.dc_key;
  token.dc_endpoints = s.dc_endpoints;
  token.id = {77};
  w.sim.random().fill(token.secret.span());
  s.token = token;
  w.dc->token_id = token.id;
  w.dc->token_psk = crypto::enrolment_psk(token.secret.view(), token.id);
  w.dc->lose_next_response = true;  // the token is burnt, our key is bound, and we don't know
  mn = std::make_unique<Node>(w, "mn", s);
  mn->attach(w.left, "198.51.100.7");
  w.until("registered", seconds(20), [&] { return mn->engine->is_registered(); });
  EXPECT_TRUE(mn->saves.back().state.enrolled);
  EXPECT_EQ(w.dc->terminal(s.name).key, s.key.public_key);
}

TEST_F(TerminalSetup, DirectBetweenOpenTerminals) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  Duration took = set_up();
  EXPECT_EQ(mn->ready(1)->outcome, LookupOutcome::Ready);
  EXPECT_EQ(mn->ready(1)->addresses.v4, kCnVirtual);
  // MN -> DC -> CN -> MN, 10 ms each.
  EXPECT_LE(took.ms(), 31);
  exchange_packets();
  ASSERT_NE(selected(*mn), nullptr);
  EXPECT_FALSE(selected(*mn)->relayed);
  EXPECT_TRUE(mn->zone_queries.empty());  // own zone
  EXPECT_EQ(w.dc->acks.front().status, wire::Status::Ok);
}

TEST_F(TerminalSetup, DirectWhenTheResponderIsBehindNat) {
  start(w.left, "198.51.100.7", w.nat_b, "192.168.1.2");
  EXPECT_LE(set_up().ms(), 31);  // CN's own Tunnel Request opens its NAT
  exchange_packets();
  EXPECT_FALSE(selected(*mn)->relayed);
  EXPECT_FALSE(selected(*cn)->relayed);
}

TEST_F(TerminalSetup, DirectWhenTheInitiatorIsBehindNat) {
  start(w.nat_a, "192.168.1.2", w.right, "198.51.100.8");
  EXPECT_LE(set_up().ms(), 45);
  exchange_packets();
  EXPECT_FALSE(selected(*mn)->relayed);
}

TEST_F(TerminalSetup, RelayWhenBothAreBehindSymmetricNats) {
  w.dc->mode = wire::RouteMode::Relay;
  w.network.add_site({"unused", milliseconds(1), std::nullopt, {}});
  scenario::NatOptions symmetric;
  symmetric.mapping = scenario::NatBehaviour::AddressAndPortDependent;
  scenario::SiteId a = w.network.add_site(
      {"sym-a", milliseconds(5), symmetric, ip("203.0.113.30").v4()});
  scenario::SiteId b = w.network.add_site(
      {"sym-b", milliseconds(5), symmetric, ip("203.0.113.40").v4()});
  start(a, "192.168.1.2", b, "192.168.7.2");
  Duration took = set_up();
  // MN -> DC -> CN -> RS -> MN.
  EXPECT_LE(took.ms(), 45);
  exchange_packets();
  EXPECT_TRUE(selected(*mn)->relayed);
  EXPECT_TRUE(selected(*cn)->relayed);
  // Stays so, and consent is renewed: still alive after the relay's 120 s.
  w.run_for(seconds(200));
  exchange_packets();
}

TEST_F(TerminalSetup, RelayedPathBecomesDirectWhenATargetAnswers) {
  w.dc->mode = wire::RouteMode::Relay;
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  w.until("direct", seconds(5), [&] {
    return is_direct(*mn) && is_direct(*cn);
  });
  exchange_packets();
}

TEST_F(TerminalSetup, DirectModeFallsBackToTheRelay) {
  scenario::NatOptions symmetric;
  symmetric.mapping = scenario::NatBehaviour::AddressAndPortDependent;
  scenario::SiteId a = w.network.add_site(
      {"sym-a", milliseconds(5), symmetric, ip("203.0.113.30").v4()});
  scenario::SiteId b = w.network.add_site(
      {"sym-b", milliseconds(5), symmetric, ip("203.0.113.40").v4()});
  start(a, "192.168.1.2", b, "192.168.7.2");
  Duration took = set_up();
  EXPECT_GE(took.ms(), 300);
  EXPECT_LE(took.ms(), 420);
  EXPECT_TRUE(mn->noted("relay_fallback"));
  exchange_packets();
  EXPECT_TRUE(selected(*mn)->relayed);
}

TEST_F(TerminalSetup, RelayJoinsIpv4AndIpv6) {
  w.dc->mode = wire::RouteMode::Relay;
  start(w.left, "2001:db8:7::7", w.nat_b, "192.168.1.2");
  set_up();
  EXPECT_EQ(mn->ready(1)->outcome, LookupOutcome::Ready);
  exchange_packets();
  EXPECT_EQ(selected(*mn)->remote, ep("[2001:db8:5::1]:4753"));
  EXPECT_EQ(selected(*cn)->remote, ep("203.0.113.5:4753"));
}

TEST_F(TerminalSetup, EarlyTunnelRequestWaitsForItsRoute) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  w.dc->drop_route_to_initiator = true;
  mn->lookup(1, cn->records());
  w.run_for(milliseconds(40));  // CN's Tunnel Request is here, the Route Direction is not
  EXPECT_EQ(mn->ready(1), nullptr);
  w.dc->drop_route_to_initiator = false;
  w.until("ready", seconds(1), [&] { return mn->ready(1) != nullptr; });
  exchange_packets();
}

TEST_F(TerminalSetup, BothAtOnceUseOnePath) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  mn->lookup(1, cn->records());
  cn->lookup(1, mn->records());
  w.until("both ready", seconds(2), [&] { return mn->ready(1) && cn->ready(1); });
  w.run_for(seconds(1));
  ASSERT_NE(selected(*mn), nullptr);
  PathId at_mn = selected(*mn)->path;
  ASSERT_NE(selected(*cn), nullptr);
  EXPECT_EQ(selected(*cn)->path, at_mn);
  exchange_packets();
  w.run_for(seconds(90));
  exchange_packets();
  EngineStatus s = mn->engine->status();
  EXPECT_EQ(s.peers.front().paths.size(), 1u);  // the other one is gone
}

TEST_F(TerminalSetup, RefusedDirectionAnswersAtOnceAndRefusesPackets) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  w.dc->refuse = wire::Status::Denied;
  Duration took = set_up();
  EXPECT_LE(took.ms(), 25);
  EXPECT_EQ(mn->ready(1)->outcome, LookupOutcome::Refused);
  EXPECT_EQ(mn->ready(1)->addresses.v4, kCnVirtual);  // never a real one, never none
  mn->send_packet(kCnVirtual, 1);
  w.run_for(seconds(1));
  ASSERT_FALSE(mn->inner.empty());  // ICMP unreachable
  EXPECT_EQ(mn->inner.back()[9], 1);
}

TEST_F(TerminalSetup, SilentDcStillAnswersTheQuestionWithin2s) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  PeerRecords records = cn->records();
  w.dc->silent = true;
  Instant asked = w.sim.now();
  mn->lookup(1, records);
  w.until("an answer", seconds(3), [&] { return mn->ready(1) != nullptr; });
  EXPECT_EQ(w.sim.now() - asked, kHoldLookup);
  EXPECT_EQ(mn->ready(1)->outcome, LookupOutcome::Waiting);
  EXPECT_EQ(mn->ready(1)->addresses.v4, kCnVirtual);
}

TEST_F(TerminalSetup, DcRestartBringsTerminalsBackByHint) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  w.dc->forget_sessions();
  Instant begin = w.sim.now();
  w.dc->hint_all();
  w.until("a new session", seconds(2), [&] {
    return w.dc->terminal(name("mn.a.example")).session.has_value() &&
           w.dc->terminal(name("cn.a.example")).session.has_value();
  });
  EXPECT_LE((w.sim.now() - begin).ms(), 30);
  exchange_packets();  // the tunnel did not notice
}

TEST_F(TerminalSetup, ForgedHintDoesNothing) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  int before = w.dc->terminal(name("mn.a.example")).handshakes;
  w.dc->reset_secret = Key32{};
  w.dc->hint_all();
  w.run_for(seconds(1));
  EXPECT_EQ(w.dc->terminal(name("mn.a.example")).handshakes, before);
}

TEST_F(TerminalSetup, DcRestartWithoutHintIsFoundByKeepAlive) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  w.dc->forget_sessions();
  w.until("a new session", seconds(40), [&] {
    return w.dc->terminal(name("mn.a.example")).session.has_value();
  });
}

TEST_F(TerminalSetup, PacketWithoutLookupMakesTheTunnel) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  mn->send_packet(kCnVirtual, 9);
  w.until("the name is asked", seconds(1), [&] { return !mn->queries.empty(); });
  EXPECT_EQ(mn->queries.front().name, name("cn.a.example"));
  mn->give(cn->records());
  w.until("the packet at CN", seconds(1), [&] { return cn->received() == 1; });
}

TEST_F(TerminalSetup, PacketToAForeignUnknownAddressIsRefused) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  mn->send_packet(ip("198.19.0.9").v4(), 9);
  w.run_for(milliseconds(100));
  ASSERT_EQ(mn->inner.size(), 1u);
  EXPECT_EQ(mn->inner[0][9], 1);
}

TEST_F(TerminalSetup, RevokedPathIsGoneOnBothSides) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  PathId path = selected(*mn)->path;
  w.dc->send(w.dc->terminal(name("mn.a.example")),
             wire::PathRevoke{{5}, {}, {path}, wire::RevokeReason::Policy});
  w.run_for(milliseconds(100));
  EXPECT_EQ(selected(*mn), nullptr);
  bool acknowledged = false;
  for (const wire::RouteAck& a : w.dc->acks) acknowledged = acknowledged || a.request.value == 5;
  EXPECT_TRUE(acknowledged);
}

TEST_F(TerminalSetup, PingOverTheTunnel) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  mn->give(PingWanted{3, name("cn.a.example")});
  w.until("the answer", seconds(1), [&] { return !mn->pings.empty(); });
  EXPECT_TRUE(mn->pings[0].answered);
  EXPECT_EQ(mn->pings[0].rtt.ms(), 20);
  mn->give(PingWanted{4, name("nobody.a.example")});
  EXPECT_FALSE(mn->pings[1].answered);
}

TEST_F(TerminalSetup, IdleTunnelClosesAndComesBackWithOneDirection) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  exchange_packets();
  w.run_for(seconds(310));
  EXPECT_TRUE(mn->noted("tunnel_idle") || mn->noted("tunnel_closed_by_peer"));
  EXPECT_EQ(selected(*mn), nullptr);
  std::size_t queries = mn->queries.size();
  exchange_packets();
  EXPECT_EQ(mn->queries.size(), queries);  // no DNS needed
}

TEST_F(TerminalSetup, DeadPeerIsFoundBySilence) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  exchange_packets();
  w.network.detach(cn->host, ip("198.51.100.8"));
  for (int i = 0; i < 30; ++i) {
    mn->send_packet(kCnVirtual, static_cast<std::uint16_t>(i));
    w.run_for(milliseconds(100));
  }
  EXPECT_TRUE(mn->noted("path_silent"));
  EXPECT_TRUE(mn->noted("path_lost"));
  EXPECT_TRUE(mn->noted("direction_request_sent", "reason", "path-lost") ||
              w.dc->requests.back().reason == wire::DirectionReason::PathLost);
}

TEST_F(TerminalSetup, RestartedPeerIsReachedAgainQuickly) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  exchange_packets();
  Settings same = cn->settings;
  SavedState saved = cn->saves.back().state;
  w.network.detach(cn->host, ip("198.51.100.8"));
  std::unique_ptr<Node> old = std::move(cn);
  cn = std::make_unique<Node>(w, "cn2", same, saved);
  cn->attach(w.right, "198.51.100.8");
  w.run_for(milliseconds(200));
  Instant begin = w.sim.now();
  while (cn->received() == 0 && w.sim.now() - begin < seconds(5)) {
    mn->send_packet(kCnVirtual, 4);
    w.run_for(milliseconds(50));
  }
  EXPECT_LE((w.sim.now() - begin).ms(), 2000);
  EXPECT_GT(cn->received(), 0u);
}

TEST_F(TerminalSetup, KeysAreRenewedUnderTraffic) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  w.run_for(milliseconds(50));
  for (int i = 0; i < 130; ++i) {
    mn->send_packet(kCnVirtual, static_cast<std::uint16_t>(i));
    mn->give(PathTraffic{selected(*mn)->path});
    cn->give(PathTraffic{selected(*cn)->path});
    w.run_for(seconds(1));
  }
  EXPECT_TRUE(mn->noted("rekeyed"));
  std::size_t before = cn->received();
  EXPECT_GE(before, 129u);
  exchange_packets();
}

TEST_F(TerminalSetup, LeavingTellsDcAndPeer) {
  start(w.left, "198.51.100.7", w.right, "198.51.100.8");
  set_up();
  mn->give(Leave{});
  w.until("left", seconds(1), [&] { return mn->engine->has_left(); });
  EXPECT_TRUE(w.dc->registrations.back().leaving);
  EXPECT_TRUE(cn->noted("tunnel_closed_by_peer"));
}

}  // namespace
}  // namespace ntm::terminal::testing
