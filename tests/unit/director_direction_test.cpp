// Directions inside one zone (paper 4.3): the plan reaches both ends and the relay at once, repeats
// are harmless, refusals lead to another plan or to a Direction Error.
#include "tests/unit/director_world.hpp"

namespace ntm::director::testing {
namespace {

using wire::Status;

class OneZone : public ::testing::Test {
 protected:
  World world;
  Peer& mn = world.terminal("mn.a.example");
  Peer& cn = world.terminal("cn.a.example");
  Dc& dc = world.dc("a.example");

  void both_open() {
    mn.attach(world.open, "192.0.2.50");
    cn.attach(world.open, "192.0.2.60");
    ASSERT_TRUE(mn.enrol());
    ASSERT_TRUE(cn.enrol());
  }
  void both_behind_nats() {
    mn.attach(world.nat_a, "10.0.0.5");
    cn.attach(world.nat_b, "10.0.0.6");
    ASSERT_TRUE(mn.enrol());
    ASSERT_TRUE(cn.enrol());
  }
  wire::DirectionRequest ask() {
    wire::DirectionRequest request = mn.direction("cn.a.example", "a.example");
    mn.send(mn.own(Family::V4).is_set() ? Family::V4 : Family::V6, request);
    world.run_for(milliseconds(300));
    return request;
  }
  std::optional<Status> error() const {
    std::vector<wire::DirectionError> all = mn.got<wire::DirectionError>();
    if (all.empty()) return std::nullopt;
    return all.back().status;
  }
};

TEST_F(OneZone, BothEndsGetTheSamePathAndMatchingRoles) {
  both_open();
  wire::DirectionRequest asked = ask();
  ASSERT_EQ(mn.got<wire::RouteDirection>().size(), 1u);
  ASSERT_EQ(cn.got<wire::RouteDirection>().size(), 1u);
  wire::RouteDirection a = mn.got<wire::RouteDirection>()[0];
  wire::RouteDirection b = cn.got<wire::RouteDirection>()[0];
  EXPECT_EQ(a.request, asked.request);
  EXPECT_EQ(a.role, wire::Role::Initiator);
  EXPECT_EQ(b.role, wire::Role::Responder);
  EXPECT_EQ(a.path, b.path);
  EXPECT_EQ(a.spares, b.spares);
  EXPECT_EQ(a.spares.size(), 2u);
  EXPECT_TRUE(a.path_secret == b.path_secret);
  EXPECT_FALSE(a.path_secret.is_zero());
  EXPECT_EQ(a.peer_key, cn.key.public_key);
  EXPECT_EQ(b.peer_key, mn.key.public_key);
  EXPECT_EQ(b.message1, asked.message1);
  EXPECT_TRUE(a.message1.empty());
  EXPECT_EQ(a.targets, std::vector<Endpoint>{ep("192.0.2.60:40000")});
  EXPECT_EQ(b.targets, std::vector<Endpoint>{ep("192.0.2.50:40000")});
  EXPECT_EQ(a.peer_virtual, dc.stored("cn.a.example")->terminal.virtual_addresses);
  EXPECT_EQ(a.initiator_zone, name("a.example"));
  EXPECT_EQ(a.responder_zone, name("a.example"));
  EXPECT_EQ(a.mode, wire::RouteMode::Direct);
  EXPECT_FALSE(a.relay.has_value());
}

TEST_F(OneZone, TheRelayGetsTheLegsOfBothEndsAndTheTokensAreTheRelays) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9", "2001:db8:9::1"});
  both_behind_nats();
  ask();
  ASSERT_EQ(relay.got<wire::RelayDirection>().size(), 1u);
  wire::RelayDirection r = relay.got<wire::RelayDirection>()[0];
  wire::RouteDirection a = mn.got<wire::RouteDirection>().at(0);
  wire::RouteDirection b = cn.got<wire::RouteDirection>().at(0);
  ASSERT_TRUE(a.relay && b.relay);
  EXPECT_EQ(a.mode, wire::RouteMode::Relay);
  EXPECT_EQ(r.paths.front(), a.path);
  EXPECT_EQ(r.paths.size(), 3u) << "the new one and two spares";
  EXPECT_TRUE(r.leg_a.key == a.relay->leg_key);
  EXPECT_TRUE(r.leg_b.key == b.relay->leg_key);
  EXPECT_FALSE(r.leg_a.key == r.leg_b.key);
  EXPECT_EQ(a.relay->leg, wire::Leg::A);
  EXPECT_EQ(b.relay->leg, wire::Leg::B);
  EXPECT_EQ(a.relay->endpoints, relay.relay_endpoints);
  Key32 secret = crypto::relay_token_secret(dc.reset_secret, dc.zone.apex);
  EXPECT_EQ(a.relay->reset_token, crypto::path_hint_token(secret, a.path));
  EXPECT_GT(r.lifetime_seconds, 0u);
}

TEST_F(OneZone, AHandoverListsTheOldPathToTheRelayAndUsesTheNewAddressAtOnce) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  both_behind_nats();
  ask();
  PathId old = mn.got<wire::RouteDirection>().back().path;
  mn.detach("10.0.0.5");
  mn.attach(world.open, "192.0.2.77");  // not registered: the request itself tells
  wire::DirectionRequest request = mn.direction("cn.a.example", "a.example");
  request.reason = wire::DirectionReason::Handover;
  request.old_path = old;
  mn.send(Family::V4, request);
  world.run_for(milliseconds(300));
  EXPECT_EQ(relay.got<wire::RelayDirection>().back().paths.back(), old);
  wire::RouteDirection b = cn.got<wire::RouteDirection>().back();
  EXPECT_EQ(b.direction_reason, wire::DirectionReason::Handover);
  EXPECT_EQ(b.old_path, old);
  EXPECT_EQ(b.targets, std::vector<Endpoint>{ep("192.0.2.77:40000")});
  EXPECT_NE(b.path, old);
}

TEST_F(OneZone, ARepeatedRequestGetsTheSameAnswerAndNothingElseHappens) {
  both_open();
  wire::DirectionRequest asked = ask();
  mn.send(Family::V4, asked);
  mn.send(Family::V4, asked);
  world.run_for(seconds(1));
  std::vector<wire::RouteDirection> all = mn.got<wire::RouteDirection>();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1], all[0]);
  EXPECT_EQ(all[2], all[0]);
  EXPECT_EQ(cn.got<wire::RouteDirection>().size(), 1u);
  EXPECT_EQ(dc.engine->counters().directions, 1u);
}

TEST_F(OneZone, ARouteDirectionToCnIsSentUntilItIsAcknowledged) {
  both_open();
  cn.acks = false;
  ask();
  world.run_for(seconds(2));
  std::size_t silent = cn.got<wire::RouteDirection>().size();
  EXPECT_GE(silent, 3u);
  cn.acks = true;
  world.run_for(seconds(3));
  std::size_t then = cn.got<wire::RouteDirection>().size();
  world.run_for(seconds(20));
  EXPECT_EQ(cn.got<wire::RouteDirection>().size(), then);
  EXPECT_FALSE(error().has_value());
}

TEST_F(OneZone, ASilentCnEndsInADirectionErrorAndTheRelayForgets) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  both_open();
  cn.acks = false;
  ask();
  world.run_for(seconds(25));
  EXPECT_EQ(error(), Status::Offline);
  std::vector<wire::RelayDirection> all = relay.got<wire::RelayDirection>();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].lifetime_seconds, 0u);
  EXPECT_EQ(all[1].paths.front(), all[0].paths.front());
}

TEST_F(OneZone, WhatCnRefusesMnIsTold) {
  both_open();
  cn.ack_status = Status::Denied;
  ask();
  EXPECT_EQ(error(), Status::Denied);
}

TEST_F(OneZone, UnknownAndOfflinePeersAreNamedSo) {
  mn.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(mn.enrol());
  mn.send(Family::V4, mn.direction("nobody.a.example", "a.example"));
  world.run_for(milliseconds(300));
  EXPECT_EQ(error(), Status::UnknownName);
  ask();
  EXPECT_EQ(error(), Status::UnknownName) << "known, but without a key";
  cn.attach(world.open, "192.0.2.60");
  ASSERT_TRUE(cn.enrol());
  wire::RegistrationRequest leave = cn.request();
  leave.leaving = true;
  cn.send(Family::V4, leave);
  world.run_for(milliseconds(300));
  ask();
  EXPECT_EQ(error(), Status::Offline);
  mn.send(Family::V4, mn.direction("mn.a.example", "a.example"));
  world.run_for(milliseconds(300));
  EXPECT_EQ(error(), Status::Denied) << "itself";
}

TEST_F(OneZone, ARequestByVirtualAddressIsAnsweredWithTheName) {
  both_open();
  wire::DirectionRequest request;
  request.request = {4711};
  request.peer_address = IpAddress(*dc.stored("cn.a.example")->terminal.virtual_addresses.v6);
  mn.send(Family::V4, request);
  request.request = {4712};
  request.peer_address = ip("198.18.15.250");
  mn.send(Family::V4, request);
  world.run_for(milliseconds(300));
  ASSERT_EQ(mn.got<wire::PeerName>().size(), 1u);
  EXPECT_EQ(mn.got<wire::PeerName>()[0], (wire::PeerName{{4711}, name("cn.a.example")}));
  EXPECT_EQ(error(), Status::UnknownName);
  EXPECT_TRUE(cn.got<wire::RouteDirection>().empty());
}

TEST_F(OneZone, AskersAndTargetsHaveLimits) {
  both_open();
  for (int i = 0; i < 100; ++i) mn.send(Family::V4, mn.direction("cn.a.example", "a.example"));
  world.run_for(milliseconds(200));
  EXPECT_LE(cn.got<wire::RouteDirection>().size(), 2u * kPerTargetPerSecond);
  EXPECT_EQ(error(), Status::RateLimited);
}

// ---- relays -----------------------------------------------------------------------------------

TEST_F(OneZone, ARefusingRelayIsReplacedByAnother) {
  Peer& bad = world.relay("a-rs.a.example", {"203.0.113.8"});
  Peer& good = world.relay("b-rs.a.example", {"203.0.113.9"});
  bad.relay_status = Status::RelayFull;
  both_behind_nats();
  ask();
  ASSERT_EQ(bad.got<wire::RelayDirection>().size(), 1u);
  ASSERT_EQ(good.got<wire::RelayDirection>().size(), 1u);
  wire::RouteDirection first = mn.got<wire::RouteDirection>().front();
  wire::RouteDirection last = mn.got<wire::RouteDirection>().back();
  EXPECT_EQ(last.attempt, first.attempt + 1);
  EXPECT_EQ(last.request, first.request);
  EXPECT_NE(last.path, first.path);
  EXPECT_EQ(last.relay->endpoints, good.relay_endpoints);
  wire::RouteDirection b = cn.got<wire::RouteDirection>().back();
  EXPECT_EQ(b.path, last.path);
  EXPECT_EQ(b.request, cn.got<wire::RouteDirection>().front().request) << "CN can match them";
}

TEST_F(OneZone, APathIdInUseIsDrawnAgainForTheSameRelay) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  relay.relay_status = Status::PathIdInUse;
  both_behind_nats();
  mn.send(Family::V4, mn.direction("cn.a.example", "a.example"));
  ASSERT_TRUE(
      world.until(seconds(1), [&] { return relay.got<wire::RelayDirection>().size() == 1; }));
  relay.relay_status = Status::Ok;
  world.run_for(seconds(1));
  ASSERT_EQ(relay.got<wire::RelayDirection>().size(), 2u);
  EXPECT_EQ(mn.got<wire::RouteDirection>().back().path,
            relay.got<wire::RelayDirection>().back().paths.front());
}

TEST_F(OneZone, WithoutCommonFamilyAndRelayThereIsNoRoute) {
  mn.attach(world.open, "192.0.2.50");
  cn.attach(world.open, "2001:db8:7::7");
  ASSERT_TRUE(mn.enrol());
  ASSERT_TRUE(cn.enrol(Family::V6));
  ask();
  EXPECT_EQ(error(), Status::NoRelay);
  EXPECT_TRUE(cn.got<wire::RouteDirection>().empty());
  world.relay("rs.a.example", {"203.0.113.9", "2001:db8:9::1"});
  ask();
  EXPECT_EQ(mn.got<wire::RouteDirection>().size(), 1u);
}

TEST_F(OneZone, ASilentOrDrainedRelayIsNotUsed) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  both_behind_nats();
  EXPECT_TRUE(dc.engine->relays(world.sim.now()).at(0).attached);
  for (int i = 0; i < 10; ++i) {
    world.run_for(seconds(10));
    wire::RelayStatus status;
    status.entries = 77;
    status.capacity = 1000;
    relay.send(Family::V4, status);
    mn.send(Family::V4, wire::KeepAlive{});
    cn.send(Family::V4, wire::KeepAlive{});
  }
  world.run_for(seconds(1));
  EXPECT_TRUE(dc.engine->relays(world.sim.now()).at(0).attached);
  EXPECT_EQ(dc.engine->relays(world.sim.now()).at(0).entries, 77u);
  world.run_for(seconds(30));
  EXPECT_FALSE(dc.engine->relays(world.sim.now()).at(0).attached);
  EXPECT_EQ(dc.noted(Notify::Kind::RelayDown, "rs.a.example"), 1);
  ask();
  EXPECT_FALSE(mn.got<wire::RouteDirection>().back().relay.has_value());
}

TEST_F(OneZone, ARelayOfAnEarlierLifeGetsAHint) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  dc.restart();
  relay.send(Family::V4, wire::KeepAlive{});
  world.run_for(milliseconds(100));
  EXPECT_EQ(relay.hints.size(), 1u);
  EXPECT_FALSE(dc.engine->relays(world.sim.now()).at(0).attached);
  wire::RelayAttach attach;
  attach.counter = ++relay.counter;
  attach.name = relay.who;
  attach.endpoints = relay.relay_endpoints;
  attach.capacity = 10;
  relay.handshake(Family::V4, attach);
  world.run_for(milliseconds(100));
  EXPECT_TRUE(dc.engine->relays(world.sim.now()).at(0).attached);
  Peer stranger(world, dc, "rs.a.example");
  stranger.attach(world.open, "203.0.113.66");
  attach.counter = 1000;
  attach.endpoints = {ep("203.0.113.66:4753")};
  stranger.handshake(Family::V4, attach);
  world.run_for(milliseconds(100));
  EXPECT_EQ(stranger.responses, 0);
  EXPECT_EQ(dc.engine->relays(world.sim.now()).at(0).endpoints, relay.relay_endpoints);
}

// ---- removal ----------------------------------------------------------------------------------

TEST_F(OneZone, ARemovedTerminalTakesItsPathsAlong) {
  Peer& relay = world.relay("rs.a.example", {"203.0.113.9"});
  both_behind_nats();
  ask();
  wire::RouteDirection route = mn.got<wire::RouteDirection>().back();
  dc.engine->terminal_removed(world.sim.now(), dc.stored("cn.a.example")->terminal.id);
  dc.turn();
  world.run_for(seconds(2));
  ASSERT_EQ(mn.got<wire::PathRevoke>().size(), 1u) << "acknowledged at once, sent once";
  wire::PathRevoke revoke = mn.got<wire::PathRevoke>()[0];
  EXPECT_EQ(revoke.paths.front(), route.path);
  EXPECT_EQ(revoke.reason, wire::RevokeReason::Deleted);
  EXPECT_EQ(cn.got<wire::PathRevoke>().size(), 1u);
  EXPECT_EQ(relay.got<wire::RelayDirection>().back().lifetime_seconds, 0u);
  ask();
  EXPECT_EQ(error(), Status::UnknownName);
}

TEST_F(OneZone, RemovalInTheMiddleOfADirectionIsHarmless) {
  for (const char* who : {"mn.a.example", "cn.a.example"}) {
    World other;
    Peer& relay = other.relay("rs.a.example", {"203.0.113.9"});
    Peer& a = other.terminal("mn.a.example");
    Peer& b = other.terminal("cn.a.example");
    a.attach(other.nat_a, "10.0.0.5");
    b.attach(other.nat_b, "10.0.0.6");
    ASSERT_TRUE(a.enrol() && b.enrol());
    relay.relay_status = Status::RelayFull;  // its refusal would plan again
    a.send(Family::V4, a.direction("cn.a.example", "a.example"));
    Dc& of = other.dc("a.example");
    ASSERT_TRUE(other.until(seconds(1), [&] { return of.engine->counters().directions == 1; }));
    of.engine->terminal_removed(other.sim.now(), of.stored(who)->terminal.id);
    of.turn();
    other.run_for(seconds(40));
    EXPECT_EQ(of.engine->terminals_named(name(who)).size(), 0u);
  }
}

// ---- loss -------------------------------------------------------------------------------------

TEST_F(OneZone, SetsUpThroughLossDuplicatesAndReordering) {
  int done = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World lossy(seed);
    Peer& relay = lossy.relay("rs.a.example", {"203.0.113.9"});
    (void)relay;
    Peer& a = lossy.terminal("mn.a.example");
    Peer& b = lossy.terminal("cn.a.example");
    a.attach(lossy.nat_a, "10.0.0.5");
    b.attach(lossy.nat_b, "10.0.0.6");
    ASSERT_TRUE(a.enrol() && b.enrol());
    for (scenario::SiteId site : {lossy.nat_a, lossy.nat_b, lossy.open}) {
      lossy.network.faults(site).loss = 0.1;
      lossy.network.faults(site).duplicate = 0.1;
      lossy.network.faults(site).reorder = 0.2;
    }
    wire::DirectionRequest request = a.direction("cn.a.example", "a.example");
    for (int i = 0; i < 8 && a.got<wire::RouteDirection>().empty(); ++i) {
      a.send(Family::V4, request);
      lossy.run_for(milliseconds(300));
    }
    lossy.run_for(seconds(4));
    bool whole = !a.got<wire::RouteDirection>().empty() && !b.got<wire::RouteDirection>().empty() &&
                 a.got<wire::RouteDirection>().back().path ==
                     b.got<wire::RouteDirection>().back().path;
    done += whole;
    EXPECT_EQ(lossy.dc("a.example").engine->counters().directions, 1u);
  }
  EXPECT_EQ(done, 20);
}

}  // namespace
}  // namespace ntm::director::testing
