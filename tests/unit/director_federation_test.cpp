// Two DCs of two owners: found by DNS, believed by policy, a Route Direction as 0-RTT payload, and
// what happens when one of them restarts, moves, changes its key or lies.
#include <set>

#include "tests/unit/director_world.hpp"

namespace ntm::director::testing {
namespace {

using wire::Status;

class TwoZones : public ::testing::Test {
 protected:
  World world;
  Dc& a = world.dc("a.example");
  Dc& b = world.dc("b.example");
  Peer& mn = world.terminal("mn.a.example");
  Peer& cn = world.terminal("cn.b.example");

  void register_both() {
    mn.attach(world.open, "192.0.2.50");
    cn.attach(world.nat_b, "10.0.0.6");
    ASSERT_TRUE(mn.enrol());
    ASSERT_TRUE(cn.enrol());
  }
  wire::DirectionRequest ask(Duration wait = milliseconds(500)) {
    wire::DirectionRequest request = mn.direction("cn.b.example", "b.example");
    mn.send(Family::V4, request);
    world.run_for(wait);
    return request;
  }
  std::optional<Status> error() const {
    std::vector<wire::DirectionError> all = mn.got<wire::DirectionError>();
    if (all.empty()) return std::nullopt;
    return all.back().status;
  }
  std::size_t routes_at_cn() const { return cn.got<wire::RouteDirection>().size(); }
  void set_policy(Dc& dc, store::PeerPolicy policy) {
    dc.zone.peer_policy = policy;
    dc.engine->zone_changed({dc.zone, dc.key, std::nullopt});
  }
  int sent_from(Dc& dc, wire::DatagramType type, const std::function<void()>& during) {
    int count = 0;
    world.network.on_delivered([&](const Endpoint& from, const Endpoint&, const Bytes& d) {
      bool of_dc = from == dc.endpoint(Family::V4) || from == dc.endpoint(Family::V6);
      count += of_dc && wire::datagram_type(d) == type;
    });
    during();
    world.network.on_delivered(nullptr);
    return count;
  }
};

TEST_F(TwoZones, TheFirstContactCarriesTheRouteInItsHandshake) {
  register_both();
  int handshakes = 0;
  int ctrl = sent_from(a, wire::DatagramType::Control, [&] {
    handshakes = sent_from(a, wire::DatagramType::HandshakeInit, [&] { ask(); });
  });
  (void)ctrl;
  EXPECT_EQ(handshakes, 1);
  ASSERT_EQ(routes_at_cn(), 1u);
  wire::RouteDirection at_mn = mn.got<wire::RouteDirection>().at(0);
  wire::RouteDirection at_cn = cn.got<wire::RouteDirection>().at(0);
  EXPECT_EQ(at_mn.path, at_cn.path);
  EXPECT_TRUE(at_mn.path_secret == at_cn.path_secret);
  EXPECT_EQ(at_cn.peer, name("mn.a.example"));
  EXPECT_EQ(at_cn.initiator_zone, name("a.example"));
  EXPECT_EQ(at_cn.responder_zone, name("b.example"));
  EXPECT_EQ(at_cn.sender_counter, 0u) << "of no interest to CN";
  EXPECT_TRUE(at_cn.planned.empty());
  EXPECT_EQ(at_mn.peer_key, cn.key.public_key);
  EXPECT_EQ(at_mn.targets.front().address, ip("192.0.2.101"));
  EXPECT_FALSE(error().has_value());
  // Each side looked the other up once and pinned the key.
  EXPECT_EQ(a.resolved, std::vector<Name>{name("b.example")});
  EXPECT_EQ(b.resolved, std::vector<Name>{name("a.example")});
  std::vector<store::PeerDc> pins = b.store->open_reader().value()->peer_dcs().value();
  ASSERT_EQ(pins.size(), 1u);
  EXPECT_EQ(pins[0].zone, name("a.example"));
  EXPECT_EQ(pins[0].key, a.key.public_key);
}

TEST_F(TwoZones, LaterOnesUseTheSessionWithoutDns) {
  register_both();
  ask();
  world.run_for(seconds(120));  // DNS would be asked again by now
  mn.send(Family::V4, wire::KeepAlive{});
  cn.send(Family::V4, wire::KeepAlive{});
  int handshakes = sent_from(a, wire::DatagramType::HandshakeInit, [&] { ask(); });
  EXPECT_EQ(handshakes, 0);
  EXPECT_EQ(routes_at_cn(), 2u);
  EXPECT_EQ(a.resolved.size(), 1u);
}

TEST_F(TwoZones, ManyAtOnceShareOneHandshake) {
  register_both();
  Peer& second = world.terminal("cn2.b.example");
  second.attach(world.open, "192.0.2.61");
  ASSERT_TRUE(second.enrol());
  int handshakes = sent_from(a, wire::DatagramType::HandshakeInit, [&] {
    for (int i = 0; i < 4; ++i) mn.send(Family::V4, mn.direction("cn.b.example", "b.example"));
    mn.send(Family::V4, mn.direction("cn2.b.example", "b.example"));
    world.run_for(seconds(1));
  });
  EXPECT_EQ(handshakes, 1);
  EXPECT_EQ(routes_at_cn(), 4u);
  EXPECT_EQ(second.got<wire::RouteDirection>().size(), 1u);
}

TEST_F(TwoZones, BothDirectionsWorkAtTheSameTime) {
  register_both();
  mn.send(Family::V4, mn.direction("cn.b.example", "b.example"));
  cn.send(Family::V4, cn.direction("mn.a.example", "a.example"));
  world.run_for(seconds(1));
  EXPECT_EQ(mn.got<wire::RouteDirection>().size(), 2u);
  EXPECT_EQ(cn.got<wire::RouteDirection>().size(), 2u);
}

TEST_F(TwoZones, UnknownAndOfflineNamesComeBackAsErrors) {
  register_both();
  wire::DirectionRequest request = mn.direction("cn.b.example", "b.example");
  wire::DirectionRequest nobody = request;
  nobody.peer = name("nobody.b.example");
  nobody.request = {1};
  mn.send(Family::V4, nobody);
  world.run_for(milliseconds(500));
  EXPECT_EQ(error(), Status::UnknownName);
  world.run_for(seconds(200));  // CN is silent, MN as well
  mn.follows_hints = true;
  mn.send(Family::V4, wire::KeepAlive{});
  world.run_for(seconds(1));
  mn.send(Family::V4, request);  // with the record of when CN was there
  world.run_for(milliseconds(500));
  EXPECT_EQ(error(), Status::Offline);
}

TEST_F(TwoZones, AZoneWithoutADcIsUnknown) {
  register_both();
  wire::DirectionRequest request = mn.direction("cn.b.example", "b.example");
  request.peer = name("cn.c.example");
  request.peer_zone = name("c.example");
  mn.send(Family::V4, request);
  world.run_for(seconds(1));
  EXPECT_EQ(error(), Status::UnknownName);
  request.request = {2};
  request.peer_zone = name("b.example");  // not the zone of the name
  mn.send(Family::V4, request);
  world.run_for(seconds(1));
  EXPECT_EQ(a.resolved.size(), 1u);
}

// ---- belief -----------------------------------------------------------------------------------

TEST_F(TwoZones, APinnedKeyIsNotReplacedByDns) {
  register_both();
  ask();
  a.restart();
  b.key = crypto::make_key_pair(world.sim.random());  // somebody else answers now
  b.zone.dc_key = b.key.public_key;
  b.write(store::PutZone{b.zone});
  b.restart();
  mn.session.reset();
  cn.session.reset();
  ASSERT_TRUE(mn.reg());
  ASSERT_TRUE(cn.reg());
  ask();
  EXPECT_EQ(error(), Status::Denied);
  EXPECT_EQ(routes_at_cn(), 1u);
  EXPECT_GE(a.noted(Notify::Kind::Refused, "b.example"), 1);
  // The administrator says that it is right.
  a.engine->peers_changed({});
  ask();
  EXPECT_EQ(routes_at_cn(), 2u);
}

TEST_F(TwoZones, ADnssecZoneWantsASecureRecord) {
  set_policy(b, store::PeerPolicy::Dnssec);
  register_both();
  ask(seconds(20));
  EXPECT_EQ(routes_at_cn(), 0u);
  DcAddress secure = a.address();
  secure.dnssec = wire::DnssecState::Secure;
  world.dns.emplace(a.zone.apex, secure);
  world.run_for(seconds(61));
  mn.send(Family::V4, wire::KeepAlive{});
  cn.send(Family::V4, wire::KeepAlive{});
  ask(seconds(1));
  EXPECT_EQ(routes_at_cn(), 1u);
  EXPECT_EQ(cn.got<wire::RouteDirection>().back().dnssec, wire::DnssecState::Secure);
}

TEST_F(TwoZones, AClosedZoneWantsAListedKeyAndAsksNoDns) {
  set_policy(b, store::PeerPolicy::Closed);
  register_both();
  ask(seconds(1));
  EXPECT_EQ(routes_at_cn(), 0u);
  EXPECT_TRUE(b.resolved.empty());
  b.engine->peers_changed({store::PeerDc{a.zone.apex, a.key.public_key, true, {}}});
  world.run_for(seconds(20));
  mn.send(Family::V4, wire::KeepAlive{});
  ask(seconds(1));
  EXPECT_GE(routes_at_cn(), 1u);
  // And is cut off when it is taken from the list.
  std::size_t before = routes_at_cn();
  b.engine->peers_changed({});
  ask(seconds(1));
  EXPECT_EQ(routes_at_cn(), before);
}

TEST_F(TwoZones, AWrongKeyForAZoneIsRefused) {
  register_both();
  world.dns.emplace(a.zone.apex, DcAddress{a.zone.dc_endpoints,
                                           crypto::make_key_pair(world.sim.random()).public_key,
                                           {}, {}});
  ask(seconds(5));
  EXPECT_EQ(routes_at_cn(), 0u);
  EXPECT_TRUE(b.store->open_reader().value()->peer_dcs().value().empty()) << "nothing is pinned";
  EXPECT_GE(b.noted(Notify::Kind::Refused, "a.example"), 1);
}

// A DC plays by hand: what a malicious one may say on its own session.
class LyingDc : public TwoZones {
 protected:
  void SetUp() override {
    register_both();
    liar = std::make_unique<Peer>(world, b, "dc.evil.example");
    liar->attach(world.open, "192.0.2.66");
    world.dns.emplace(name("evil.example"),
                      DcAddress{{ep("192.0.2.66:40000")}, liar->key.public_key, {}, {}});
  }
  wire::RouteDirection route() {
    wire::RouteDirection out;
    out.request = {world.sim.random().u64()};
    out.to = name("cn.b.example");
    out.role = wire::Role::Responder;
    out.path = {world.sim.random().u64()};
    out.path_secret.span()[0] = 1;
    out.peer = name("x.evil.example");
    out.initiator_zone = name("evil.example");
    out.responder_zone = name("b.example");
    out.peer_key = liar->key.public_key;
    out.suite = 1;
    out.message1 = Bytes(wire::kMessage1Size, 0x22);
    out.lifetime_seconds = 60;
    out.sender_counter = ++counter;
    out.planned = {b.location("cn.b.example")->v4.outside};
    return out;
  }
  std::optional<Status> said() const {
    std::vector<wire::RouteAck> all = liar->got<wire::RouteAck>();
    if (all.empty()) return std::nullopt;
    return all.back().status;
  }
  std::unique_ptr<Peer> liar;
  std::uint64_t counter = 0;
};

TEST_F(LyingDc, SpeaksOnlyForItsOwnZone) {
  liar->handshake(Family::V4, route());
  world.run_for(milliseconds(300));
  EXPECT_EQ(routes_at_cn(), 1u) << "honest so far";
  EXPECT_EQ(said(), Status::Ok);
  wire::RouteDirection lie = route();
  lie.peer = name("mn.a.example");
  liar->send(Family::V4, lie);
  world.run_for(milliseconds(300));
  EXPECT_EQ(said(), Status::Denied);
  lie = route();
  lie.initiator_zone = name("a.example");
  lie.peer = name("mn.a.example");
  liar->send(Family::V4, lie);
  world.run_for(milliseconds(300));
  EXPECT_EQ(said(), Status::Denied);
  lie = route();
  lie.to = name("mn.a.example");
  liar->send(Family::V4, lie);
  world.run_for(milliseconds(300));
  EXPECT_EQ(said(), Status::UnknownName);
  EXPECT_EQ(routes_at_cn(), 1u);
}

TEST_F(LyingDc, CannotClaimAnotherZoneInItsFirstMessage) {
  wire::RouteDirection lie = route();
  lie.initiator_zone = name("a.example");
  lie.peer = name("mn.a.example");
  liar->handshake(Family::V4, lie);
  world.run_for(seconds(1));
  lie.initiator_zone = name("b.example");
  liar->handshake(Family::V4, lie);
  world.run_for(seconds(1));
  EXPECT_EQ(liar->responses, 0);
  EXPECT_EQ(routes_at_cn(), 0u);
}

TEST_F(LyingDc, CannotMakeCnSendToSpecialAddresses) {
  wire::RouteDirection lie = route();
  lie.targets = {ep("224.0.0.1:53"), ep("127.0.0.1:53"), ep("192.0.2.66:40000")};
  liar->handshake(Family::V4, lie);
  world.run_for(milliseconds(300));
  EXPECT_EQ(cn.got<wire::RouteDirection>().at(0).targets,
            std::vector<Endpoint>{ep("192.0.2.66:40000")});
}

TEST_F(LyingDc, IsLimited) {
  liar->handshake(Family::V4, route());
  world.run_for(milliseconds(300));
  for (int i = 0; i < 500; ++i) liar->send(Family::V4, route());
  world.run_for(milliseconds(500));
  EXPECT_LE(routes_at_cn(), 2u * kPerTargetPerSecond + 10);
  std::vector<wire::RouteAck> all = liar->got<wire::RouteAck>();
  int limited = 0;
  for (const wire::RouteAck& ack : all) limited += ack.status == Status::RateLimited;
  EXPECT_GT(limited, 400);
}

TEST_F(LyingDc, AReplayedFirstMessageDoesNothingMore) {
  liar->handshake(Family::V4, route());
  world.run_for(milliseconds(300));
  ASSERT_EQ(routes_at_cn(), 1u);
  for (int i = 0; i < 3; ++i) {
    world.run_for(seconds(i == 2 ? 60 : 1));  // answered from memory, then judged anew
    cn.send(Family::V4, wire::KeepAlive{});
    liar->again(Family::V4);
    world.run_for(milliseconds(300));
  }
  EXPECT_EQ(routes_at_cn(), 1u);
  EXPECT_EQ(liar->responses, 3);
}

TEST_F(LyingDc, CannotRevokeAPathOfAnother) {
  ask();
  PathId path = cn.got<wire::RouteDirection>().back().path;
  liar->handshake(Family::V4, route());
  world.run_for(milliseconds(300));
  wire::PathRevoke revoke;
  revoke.request = {77};
  revoke.to = name("cn.b.example");
  revoke.paths = {path};
  liar->send(Family::V4, revoke);
  world.run_for(milliseconds(300));
  EXPECT_EQ(said(), Status::UnknownName);
  EXPECT_TRUE(cn.got<wire::PathRevoke>().empty());
}

// ---- what goes wrong --------------------------------------------------------------------------

TEST_F(TwoZones, ALostHandshakeAnswerIsRepeated) {
  register_both();
  mn.send(Family::V4, mn.direction("cn.b.example", "b.example"));
  ASSERT_TRUE(world.until(seconds(1), [&] { return routes_at_cn() == 1; }));
  // HS_RESP and RouteAck are on their way: both are lost.
  world.network.faults(world.open).cut = true;
  world.run_for(milliseconds(100));
  world.network.faults(world.open).cut = false;
  world.run_for(seconds(3));
  EXPECT_EQ(routes_at_cn(), 1u);
  EXPECT_FALSE(error().has_value());
  int handshakes = sent_from(a, wire::DatagramType::HandshakeInit, [&] { ask(); });
  EXPECT_EQ(handshakes, 0) << "the session stands";
  EXPECT_EQ(routes_at_cn(), 2u);
}

TEST_F(TwoZones, ReorderedRecordsAreAllServed) {
  register_both();
  ask();
  world.network.faults(world.open).reorder = 0.7;
  world.network.faults(world.open).duplicate = 0.3;
  std::vector<wire::DirectionRequest> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(mn.direction("cn.b.example", "b.example"));
    mn.send(Family::V4, all.back());
  }
  world.run_for(seconds(3));
  std::set<PathId> paths;
  for (const wire::RouteDirection& r : cn.got<wire::RouteDirection>()) paths.insert(r.path);
  EXPECT_EQ(paths.size(), 11u);
  EXPECT_FALSE(error().has_value());
  EXPECT_EQ(b.engine->counters().stale, 0u);
}

TEST_F(TwoZones, ARestartedDcIsSpokenToAnew) {
  register_both();
  ask();
  world.run_for(seconds(30));
  cn.follows_hints = true;
  b.restart();
  world.run_for(seconds(1));
  ask(milliseconds(700));
  EXPECT_EQ(routes_at_cn(), 2u) << "at its hint, not after all retransmissions";
  EXPECT_FALSE(error().has_value());
  a.restart();
  mn.follows_hints = true;
  world.run_for(seconds(1));
  ask(milliseconds(700));
  EXPECT_EQ(routes_at_cn(), 3u) << "its counter is greater than in its last life";
}

TEST_F(TwoZones, ADcThatMovedIsFoundAgain) {
  register_both();
  ask();
  world.run_for(seconds(120));
  mn.send(Family::V4, wire::KeepAlive{});
  // DNS gives a first address that does not answer.
  DcAddress moved = b.address();
  moved.endpoints.insert(moved.endpoints.begin(), ep("192.0.2.200:4753"));
  world.dns.emplace(b.zone.apex, moved);
  a.restart();
  mn.follows_hints = true;
  world.run_for(seconds(1));
  cn.send(Family::V4, wire::KeepAlive{});
  ask(seconds(2));
  EXPECT_EQ(routes_at_cn(), 2u);
}

TEST_F(TwoZones, DnsDownDoesNotStopAPairThatKnowsEachOther) {
  register_both();
  ask();
  world.dns.emplace(b.zone.apex, fail(ErrorKind::Unavailable, "no answer"));
  world.run_for(seconds(100));
  mn.send(Family::V4, wire::KeepAlive{});
  cn.follows_hints = true;
  b.restart();  // the session is gone and the record's time is over
  world.run_for(seconds(1));
  ask(seconds(2));
  EXPECT_EQ(routes_at_cn(), 2u);
}

TEST_F(TwoZones, ADcThatNeverAnswersEndsInAnError) {
  register_both();
  DcAddress nowhere = b.address();
  nowhere.endpoints = {ep("192.0.2.200:4753")};
  world.dns.emplace(b.zone.apex, nowhere);
  ask(seconds(20));
  EXPECT_EQ(error(), Status::TryLater);
}

TEST_F(TwoZones, ASilentCnIsReportedByItsDc) {
  register_both();
  cn.acks = false;
  ask(seconds(25));
  EXPECT_EQ(error(), Status::Offline);
}

TEST_F(TwoZones, ALossyWayBetweenTheDcs) {
  int done = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World lossy(seed);
    Peer& x = lossy.terminal("mn.a.example");
    Peer& y = lossy.terminal("cn.b.example");
    x.attach(lossy.open, "192.0.2.50");
    y.attach(lossy.open, "192.0.2.60");
    ASSERT_TRUE(x.enrol() && y.enrol());
    lossy.network.faults(lossy.open).loss = 0.15;
    lossy.network.faults(lossy.open).duplicate = 0.1;
    lossy.network.faults(lossy.open).reorder = 0.2;
    wire::DirectionRequest request = x.direction("cn.b.example", "b.example");
    for (int i = 0; i < 10 && x.got<wire::RouteDirection>().empty(); ++i) {
      x.send(Family::V4, request);
      lossy.run_for(milliseconds(300));
    }
    lossy.run_for(seconds(8));
    std::vector<wire::RouteDirection> at_x = x.got<wire::RouteDirection>();
    std::vector<wire::RouteDirection> at_y = y.got<wire::RouteDirection>();
    done += !at_x.empty() && !at_y.empty() && at_x.back().path == at_y.back().path;
  }
  EXPECT_EQ(done, 20);
}

// ---- several zones ----------------------------------------------------------------------------

TEST_F(TwoZones, ZonesOfOneHostEachHaveTheirOwnSessions) {
  register_both();
  a.add_zone("a2.example");
  Peer& other = world.terminal("mn.a2.example", a);
  other.attach(world.open, "192.0.2.51");
  ASSERT_TRUE(other.enrol());
  ask();
  other.send(Family::V4, other.direction("cn.b.example", "b.example"));
  world.run_for(milliseconds(500));
  ASSERT_EQ(routes_at_cn(), 2u) << "a session of a.example does not speak for a2.example";
  EXPECT_EQ(cn.got<wire::RouteDirection>()[1].initiator_zone, name("a2.example"));
  cn.send(Family::V4, cn.direction("mn.a2.example", "a2.example"));
  cn.send(Family::V4, cn.direction("mn.a.example", "a.example"));
  world.run_for(milliseconds(500));
  EXPECT_EQ(other.got<wire::RouteDirection>().back().role, wire::Role::Responder);
  EXPECT_EQ(mn.got<wire::RouteDirection>().back().role, wire::Role::Responder);
  EXPECT_EQ(other.got<wire::RouteDirection>().back().responder_zone, name("a2.example"));
}

TEST_F(TwoZones, ManyZonesUnderOneKeyDoNotUseUpTheSourceLimit) {
  for (int i = 0; i < 8; ++i) a.add_zone("z" + std::to_string(i) + ".example");
  Peer& last = world.terminal("t.z7.example", a);
  last.attach(world.open, "192.0.2.51");
  EXPECT_TRUE(last.enrol());
  EXPECT_EQ(last.cookies, 0);
  EXPECT_EQ(a.engine->counters().handshakes, 1u);
  EXPECT_EQ(last.got<wire::RegistrationResponse>().back().zone, name("z7.example"));
}

TEST_F(TwoZones, AZoneBelowOursMayBelongToAnotherOwner) {
  register_both();
  Peer& below = world.terminal("cn.sub.a.example");  // its own DC, delegated from a.example
  below.attach(world.nat_b, "10.0.0.7");
  ASSERT_TRUE(below.enrol());
  mn.send(Family::V4, mn.direction("cn.sub.a.example", "sub.a.example"));
  world.run_for(milliseconds(500));
  EXPECT_EQ(below.got<wire::RouteDirection>().size(), 1u);
  below.send(Family::V4, below.direction("mn.a.example", "a.example"));
  world.run_for(milliseconds(500));
  EXPECT_EQ(mn.got<wire::RouteDirection>().back().role, wire::Role::Responder);
  // A name of ours is not to be had by naming another zone.
  wire::DirectionRequest request = mn.direction("nobody.a.example", "b.example");
  mn.send(Family::V4, request);
  world.run_for(milliseconds(500));
  EXPECT_EQ(error(), Status::UnknownName);
}

// ---- moved, private ---------------------------------------------------------------------------

TEST_F(TwoZones, AMovedCnIsPlannedAgain) {
  register_both();
  wire::DirectionRequest stale = mn.direction("cn.b.example", "b.example");
  cn.detach("10.0.0.6");
  cn.attach(world.open, "192.0.2.61");
  ASSERT_TRUE(cn.reg());
  mn.send(Family::V4, stale);
  world.run_for(milliseconds(500));
  std::vector<wire::RouteDirection> at_mn = mn.got<wire::RouteDirection>();
  ASSERT_EQ(at_mn.size(), 2u);
  EXPECT_EQ(at_mn[1].attempt, 1);
  EXPECT_EQ(at_mn[1].request, at_mn[0].request);
  EXPECT_EQ(at_mn[1].targets, std::vector<Endpoint>{ep("192.0.2.61:40000")});
  ASSERT_EQ(routes_at_cn(), 1u) << "what was planned for the old place never reached CN";
  EXPECT_EQ(cn.got<wire::RouteDirection>()[0].path, at_mn[1].path);
}

TEST_F(TwoZones, APrivateCnIsReachedThroughItsDcOnly) {
  mn.attach(world.open, "192.0.2.50");
  cn.attach(world.open, "192.0.2.61");
  ASSERT_TRUE(mn.enrol());
  ASSERT_TRUE(cn.enrol());
  wire::RegistrationRequest request = cn.request();
  request.private_locators = true;
  cn.send(Family::V4, request);
  world.run_for(milliseconds(300));
  wire::DirectionRequest asked = mn.direction("cn.b.example", "b.example");
  wire::NtmRecord record = wire::decode_ntm_record(Family::V4, asked.peer_ntm4).value();
  ASSERT_FALSE(record.has_real());
  mn.send(Family::V4, asked);
  world.run_for(milliseconds(500));
  ASSERT_EQ(mn.got<wire::RouteDirection>().size(), 1u);
  EXPECT_EQ(mn.got<wire::RouteDirection>()[0].targets,
            std::vector<Endpoint>{ep("192.0.2.61:40000")});
  EXPECT_EQ(routes_at_cn(), 1u);
}

TEST_F(TwoZones, ARemovedTerminalsPathsEndInTheOtherZoneToo) {
  register_both();
  ask();
  PathId path = cn.got<wire::RouteDirection>().back().path;
  a.engine->terminal_removed(world.sim.now(), a.stored("mn.a.example")->terminal.id);
  a.turn();
  world.run_for(seconds(2));
  ASSERT_EQ(cn.got<wire::PathRevoke>().size(), 1u);
  EXPECT_EQ(cn.got<wire::PathRevoke>()[0].paths.front(), path);
}

TEST_F(TwoZones, AndTheOtherWayRound) {
  register_both();
  ask();
  PathId path = mn.got<wire::RouteDirection>().back().path;
  b.engine->terminal_removed(world.sim.now(), b.stored("cn.b.example")->terminal.id);
  b.turn();
  world.run_for(seconds(2));
  ASSERT_GE(mn.got<wire::PathRevoke>().size(), 1u);
  EXPECT_EQ(mn.got<wire::PathRevoke>()[0].paths.front(), path);
}

}  // namespace
}  // namespace ntm::director::testing
