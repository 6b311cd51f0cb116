// Presence: keep-alive, leases, restarts and the limits that keep strangers cheap.
#include "libntm/crypto/hash.hpp"
#include "tests/unit/director_world.hpp"

namespace ntm::director::testing {
namespace {

std::uint32_t hash_of(const Endpoint& e) {
  Byte port[2] = {static_cast<Byte>(e.port >> 8), static_cast<Byte>(e.port)};
  crypto::Digest digest = crypto::sha256({e.address.view(), port});
  return Reader(ByteView(digest.data(), 4)).u32();
}

wire::KeepAlive ask(std::uint32_t sequence) {
  wire::KeepAlive out;
  out.sequence = sequence;
  out.want_echo = true;
  return out;
}

TEST(KeepAlive, IsEchoedToTheNewestSourceWithWhatWasSeen) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.nat_a, "10.0.0.5");
  ASSERT_TRUE(t.enrol());
  t.send(Family::V4, ask(7));
  ASSERT_TRUE(world.until(seconds(1), [&] { return !t.got<wire::KeepAlive>().empty(); }));
  wire::KeepAlive echo = t.got<wire::KeepAlive>().back();
  EXPECT_TRUE(echo.is_echo);
  EXPECT_EQ(echo.sequence, 7u);
  Endpoint seen = t.dc->location("t1.a.example")->v4.outside;
  EXPECT_EQ(echo.observed_hash, hash_of(seen));
  // The NAT forgets and gives another port: the echo follows, and tells.
  world.network.reboot_nat(world.nat_a);
  t.send(Family::V4, ask(8));
  ASSERT_TRUE(world.until(seconds(1), [&] { return t.got<wire::KeepAlive>().size() == 2; }));
  EXPECT_NE(t.got<wire::KeepAlive>().back().observed_hash, hash_of(seen));
}

TEST(KeepAlive, AReplayedRecordDoesNotMoveTheSession) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  Bytes record = t.sealed(ask(1));
  t.send_raw(Family::V4, record);
  world.run_for(seconds(1));
  Peer attacker(world, *t.dc, "x.a.example");
  attacker.attach(world.open, "192.0.2.66");
  attacker.send_raw(Family::V4, record);
  Bytes older = t.sealed(ask(2));
  t.send(Family::V4, ask(3));
  world.run_for(seconds(1));
  attacker.send_raw(Family::V4, older);  // authentic and never seen, but not the newest
  world.run_for(seconds(1));
  std::size_t before = t.got<wire::KeepAlive>().size();
  t.send(Family::V4, ask(4));
  world.run_for(seconds(1));
  EXPECT_EQ(t.got<wire::KeepAlive>().size(), before + 1);
}

TEST(Lease, EndsAfterSilenceAndAKeepAliveKeepsIt) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  for (int i = 0; i < 20; ++i) {
    world.run_for(seconds(100));
    t.send(Family::V4, ask(1));
  }
  world.run_for(seconds(170));
  EXPECT_FALSE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
  world.run_for(seconds(40));
  EXPECT_TRUE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
  EXPECT_EQ(t.dc->noted(Notify::Kind::Offline, "t1.a.example"), 1);
  // It wakes up: its session is gone, the hint brings it back.
  t.follows_hints = true;
  t.send(Family::V4, ask(2));
  world.run_for(seconds(1));
  EXPECT_FALSE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
}

TEST(Lease, AReplayedHandshakeDoesNotKeepATerminalOnline) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  t.session.reset();
  ASSERT_TRUE(t.reg());
  for (int i = 0; i < 8; ++i) {
    world.run_for(seconds(40));
    t.again(Family::V4);  // from the same address, as a spoofing attacker can
  }
  EXPECT_TRUE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
}

TEST(Lease, IsWrittenAgainWhenTheStoreCouldNot) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  t.dc->store->fail_next_commit("disk full");
  world.run_for(seconds(185));
  EXPECT_FALSE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
  world.run_for(seconds(30));
  EXPECT_TRUE(t.dc->location("t1.a.example")->flags & store::kLocationOffline);
}

// ---- restart ----------------------------------------------------------------------------------

TEST(Restart, ARecordOfALostSessionGetsAHintAlsoFromANewAddress) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.nat_a, "10.0.0.5");
  ASSERT_TRUE(t.enrol());
  std::array<Byte, 16> token = t.got<wire::RegistrationResponse>().back().control_hint_token;
  t.dc->restart();
  world.run_for(milliseconds(500));
  ASSERT_EQ(t.hints.size(), 1u) << "the hint to the stored address";
  world.run_for(seconds(10));
  ASSERT_EQ(t.hints.size(), 3u) << "it may be lost twice";
  world.network.reboot_nat(world.nat_a);
  t.send(Family::V4, ask(1));
  ASSERT_TRUE(world.until(seconds(1), [&] { return t.hints.size() == 4; }));
  EXPECT_EQ(t.hints.back().token, token);
  EXPECT_EQ(t.hints.back().key_hash, crypto::key_hash(t.key.public_key));
}

TEST(Restart, ATerminalThatCameBackGetsNoFurtherHint) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  t.follows_hints = true;
  t.dc->restart();
  world.run_for(seconds(10));
  EXPECT_EQ(t.hints.size(), 1u);
  EXPECT_EQ(t.dc->engine->counters().registrations, 1u);
}

TEST(Restart, UnknownSessionsOfStrangersGetNothing) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  for (int i = 0; i < 200; ++i) {
    wire::RecordHeader header;
    header.type = wire::DatagramType::Control;
    header.counter = 1;
    header.id = world.sim.random().u64();
    std::array<Byte, wire::kRecordHeader> raw = wire::encode(header);
    Bytes datagram(raw.begin(), raw.end());
    datagram.resize(64);
    t.send_raw(Family::V4, datagram);
  }
  world.run_for(seconds(1));
  EXPECT_TRUE(t.hints.empty());
}

TEST(Restart, AThousandTerminalsAreBackWithinThreeSeconds) {
  World world;
  std::vector<Peer*> all;
  for (int i = 0; i < 1000; ++i) {
    std::string n = std::to_string(i);
    Peer& t = world.terminal("t" + n + ".a.example");
    // Every second one is behind one NAT, and so one address.
    std::string host = std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    if (i % 2) t.attach(world.nat_a, "10.0." + host);
    else t.attach(world.open, "198.51." + host);
    t.follows_hints = true;
    t.handshake(Family::V4, t.request(),
                t.dc->token_for(t.who.text(), store::TokenPurpose::Terminal));
    all.push_back(&t);
    world.run_for(milliseconds(60));
  }
  world.run_for(seconds(1));
  Dc& dc = world.dc("a.example");
  ASSERT_EQ(dc.engine->counters().registrations, 1000u);
  dc.restart();
  Instant begun = world.sim.now();
  bool back = world.until(seconds(60), [&] { return dc.engine->counters().registrations >= 1000; });
  EXPECT_TRUE(back);
  EXPECT_LT((world.sim.now() - begun).ms(), 3000);
}

TEST(Restart, HintsArePacedAtTenThousandASecond) {
  World world;
  Dc& dc = world.dc("a.example");
  for (int i = 0; i < 3000; ++i) {
    std::string t = "t" + std::to_string(i) + ".a.example";
    dc.add_terminal(t);
    store::TerminalView view = *dc.stored(t);
    view.terminal.key = crypto::make_key_pair(world.sim.random()).public_key;
    store::Token token;
    token.id = {static_cast<std::uint64_t>(i) + 1};
    token.subject = view.terminal.name;
    token.expires = world.wall() + seconds(100);
    dc.write(store::PutToken{token});
    dc.write(store::BindTerminalKey{token.id, view.terminal.name, *view.terminal.key,
                                    world.wall()});
    store::Location l;
    l.terminal = view.terminal.id;
    l.counter = 1;
    l.v4.real = ip("203.0.113.7");
    l.v4.outside = {ip("203.0.113.7"), static_cast<std::uint16_t>(1024 + i)};
    dc.write(store::PutLocation{l});
  }
  int sent = 0;
  Peer sink(world, dc, "sink.a.example");
  sink.attach(world.open, "203.0.113.7");
  world.network.on_delivered([&](const Endpoint&, const Endpoint&, const Bytes&) { ++sent; });
  dc.restart();
  world.run_for(milliseconds(120));
  EXPECT_GT(sent, 800);
  EXPECT_LT(sent, 1300);
  world.run_for(milliseconds(400));
  EXPECT_EQ(sent, 3000);
}

// ---- limits -----------------------------------------------------------------------------------

TEST(Limits, AFloodFromOneSourceMustProveThatItReceives) {
  World world;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  ASSERT_TRUE(t.enrol());
  Peer flood(world, *t.dc, "t1.a.example");
  flood.attach(world.open, "192.0.2.66");
  std::uint64_t before = t.dc->engine->counters().handshakes;
  for (int i = 0; i < 100; ++i) {
    flood.handshake(Family::V4, flood.request());
    world.run_for(microseconds(100));
  }
  world.run_for(milliseconds(500));
  EXPECT_GT(flood.cookies, 80);
  // The cookie of the newest one came back with it: that one was opened, the older ones not.
  EXPECT_LE(t.dc->engine->counters().handshakes, before + 5 + 2);
  t.session.reset();
  EXPECT_TRUE(t.reg()) << "others are not harmed";
}

TEST(Limits, UnderLoadEverybodyNeedsACookie) {
  World world;
  Dc& dc = world.dc("a.example");
  dc.cookie_threshold = 1;
  dc.restart();
  std::vector<Peer*> all;
  for (int i = 0; i < 10; ++i) {
    Peer& t = world.terminal("t" + std::to_string(i) + ".a.example");
    t.attach(world.open, "192.0.2." + std::to_string(60 + i));
    t.handshake(Family::V4, t.request(),
                dc.token_for(t.who.text(), store::TokenPurpose::Terminal));
    all.push_back(&t);
  }
  world.run_for(seconds(1));
  int cookies = 0;
  for (Peer* t : all) {
    cookies += t->cookies;
    EXPECT_EQ(t->last_status(), wire::Status::Ok);
  }
  EXPECT_GE(cookies, 7);
}

TEST(Limits, TheAnswerIsNeverLongerThanTheQuestion) {
  World world;
  std::map<Endpoint, std::size_t> asked;
  std::map<Endpoint, std::size_t> answered;
  Peer& t = world.terminal("t1.a.example");
  t.attach(world.open, "192.0.2.50");
  world.network.on_delivered([&](const Endpoint& from, const Endpoint& to, const Bytes& d) {
    if (from == ep("192.0.2.50:40000")) asked[from] += d.size();
    if (to == ep("192.0.2.50:40000")) answered[to] += d.size();
  });
  ASSERT_TRUE(t.enrol());
  t.dc->restart();
  t.send(Family::V4, ask(1));
  world.run_for(milliseconds(5));
  for (int i = 0; i < 20; ++i) t.handshake(Family::V4, t.request());
  world.run_for(seconds(1));
  // 32 bytes of the restart's hint came unasked; it goes only to stored addresses.
  EXPECT_LE(answered[ep("192.0.2.50:40000")], asked[ep("192.0.2.50:40000")] + 32);
}

}  // namespace
}  // namespace ntm::director::testing
