// What engines rely on about a tunnel: ring, hold queue, credit, roaming, silence, rekey, path MTU,
// on two fake datapaths under virtual time.
#include "libntm/datapath/hold_queue.hpp"
#include "libntm/datapath/sender.hpp"
#include "libntm/wire/inner_control.hpp"
#include "tests/unit/datapath_pair.hpp"

namespace ntm::datapath::testing {
namespace {

TEST_F(FakeDatapathTest, CarriesPacketsAndConfirmsKeys) {
  join();
  a.path.inject_inner(packet(7));
  EXPECT_EQ(run(), 1u);
  EXPECT_EQ(b.path.take_inner(), std::vector<Bytes>{packet(7)});
  std::vector<PathConfirmed> confirmed = b.seen<PathConfirmed>();
  ASSERT_EQ(confirmed.size(), 1u);
  EXPECT_EQ(confirmed[0].path, kPath);
  PathStatistics statistics = *b.path.statistics(kPath);
  EXPECT_EQ(statistics.packets_received, 1u);
}


TEST_F(FakeDatapathTest, HeldPacketsLeaveInOrderOnceThereIsAPath) {
  join();
  ASSERT_TRUE(a.path.apply(HoldTunnel{kTunnel}));
  for (Byte i = 0; i < 20; ++i) a.path.inject_inner(packet(i));
  EXPECT_TRUE(a.sent.empty());
  EXPECT_EQ(a.path.statistics(kPath)->held, 20u);
  ASSERT_TRUE(a.path.apply(SelectPath{kTunnel, kPath}));
  run();
  std::vector<Bytes> got = b.path.take_inner();
  ASSERT_EQ(got.size(), 20u);
  for (Byte i = 0; i < 20; ++i) EXPECT_EQ(got[i], packet(i));
}

TEST_F(FakeDatapathTest, AFlushIsPacedAndNewPacketsQueueBehind) {
  join();
  ASSERT_TRUE(a.path.apply(HoldTunnel{kTunnel}));
  for (int i = 0; i < 500; ++i) a.path.inject_inner(packet(static_cast<Byte>(i), 1372));
  ASSERT_TRUE(a.path.apply(SelectPath{kTunnel, kPath}));
  std::size_t at_once = run();
  EXPECT_GE(at_once, 30u);
  EXPECT_LE(at_once, 40u) << "kPaceBurst";
  a.path.inject_inner(packet(0xee, 1372));
  EXPECT_EQ(run(), 0u) << "nothing overtakes the queue";
  for (int i = 0; i < 100; ++i) {
    advance(milliseconds(10));
    run();
  }
  std::vector<Bytes> got = b.path.take_inner();
  ASSERT_EQ(got.size(), 501u);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(got[i], packet(static_cast<Byte>(i), 1372)) << i;
  EXPECT_EQ(got[500], packet(0xee, 1372));
}

TEST_F(FakeDatapathTest, WhatWasLostAroundAMoveIsSentAgainVerbatim) {
  join();
  a.path.inject_inner(packet(0));
  run();
  (void)b.path.take_inner();
  std::vector<Bytes> lost;
  for (Byte i = 1; i <= 10; ++i) a.path.inject_inner(packet(i));
  for (Wire& wire : a.sent) lost.push_back(wire.bytes);
  // Three of them arrive all the same, the rest is lost with the old network.
  for (std::size_t i : {2u, 5u, 6u})
    b.path.deliver(b.socket.id, a.sent[i].from, kRealB, a.sent[i].bytes);
  a.sent.clear();
  advance(milliseconds(800));  // silent: nothing ages out
  ASSERT_TRUE(b.path.apply(MovePath{kPath, Outer{b.socket.id, {kRealA, 5555}}, std::nullopt}));
  ASSERT_TRUE(b.path.apply(SendReceiveState{kTunnel, kPath}));
  Bytes state = b.sent.front().bytes;
  b.sent.clear();
  a.path.deliver(a.socket.id, b.endpoint(), kRealA, state);
  std::vector<Bytes> again;
  for (Wire& wire : a.sent) again.push_back(wire.bytes);
  // First our own receive state in return, then the missing seven.
  ASSERT_EQ(again.size(), 8u);
  std::vector<Bytes> want;
  for (std::size_t i : {0u, 1u, 3u, 4u, 7u, 8u, 9u}) want.push_back(lost[i]);
  EXPECT_EQ(std::vector<Bytes>(again.begin() + 1, again.end()), want);
  run();
  EXPECT_EQ(b.path.take_inner().size(), 10u);
  EXPECT_EQ(a.path.statistics(kPath)->resent, 7u);
  EXPECT_EQ(b.path.statistics(kPath)->replayed, 0u);
}

TEST_F(FakeDatapathTest, RingIsKeptFromSilenceUntilTheReceiveStateCame) {
  join();
  a.path.inject_inner(packet(1));
  a.sent.clear();
  advance(seconds(20));
  // The peer's first packet after the silence ends it; its receive state comes a little later,
  // and in between more is sent.
  ASSERT_TRUE(b.path.apply(SendKeepAlive{kPath}));
  run();
  a.path.inject_inner(packet(2));
  a.sent.clear();
  ASSERT_TRUE(b.path.apply(SendReceiveState{kTunnel, kPath}));
  run();
  EXPECT_EQ(b.path.take_inner(), (std::vector<Bytes>{packet(1), packet(2)}));
}

TEST_F(FakeDatapathTest, OldRingedPacketsOfALivingPathAreNotRepeated) {
  join();
  advance(kRingGrace);  // a new path is a move, after which the ring keeps for a while
  a.path.inject_inner(packet(1));
  a.sent.clear();  // lost, but the path lives
  advance(milliseconds(100));
  ASSERT_TRUE(b.path.apply(SendKeepAlive{kPath}));
  run();
  advance(milliseconds(600));
  a.path.inject_inner(packet(2));
  run();
  EXPECT_EQ(b.path.take_inner().size(), 1u);
  ASSERT_TRUE(b.path.apply(SendReceiveState{kTunnel, kPath}));
  run();
  EXPECT_EQ(b.path.take_inner().size(), 0u);
}

TEST_F(FakeDatapathTest, PacketsOfAnOldPathAreResentOnTheNewOne) {
  join();
  for (Byte i = 0; i < 5; ++i) a.path.inject_inner(packet(i));
  a.sent.clear();
  advance(milliseconds(300));
  PathId fresh{0x2222};
  for (End* end : {&a, &b}) {
    End& peer = end == &a ? b : a;
    PathKeys other = keys(end == &a, 1);
    ASSERT_TRUE(end->path.apply(
        PutPath{kTunnel, fresh, other, Outer{end->socket.id, peer.endpoint()}}));
    ASSERT_TRUE(end->path.apply(SelectPath{kTunnel, fresh}));
  }
  ASSERT_TRUE(b.path.apply(SendReceiveState{kTunnel, kPath}));
  run();
  EXPECT_EQ(b.path.take_inner().size(), 5u);
}

TEST_F(FakeDatapathTest, UnvalidatedAddressGetsThreeTimesWhatItSentPlusCredit) {
  join();
  ASSERT_TRUE(a.path.apply(
      MovePath{kPath, Outer{a.socket.id, b.endpoint()}, std::nullopt}));
  ASSERT_TRUE(a.path.apply(MovePath{kPath, Outer{a.socket.id, {kRealC, 7}}, 3000}));
  for (Byte i = 0; i < 50; ++i) a.path.inject_inner(packet(i, 972));  // 1032 bytes each
  std::size_t bytes = 0;
  for (Wire& wire : a.sent) bytes += wire.bytes.size();
  EXPECT_EQ(a.sent.size(), 2u);
  EXPECT_LE(bytes, 3000u);
  a.sent.clear();
  // 500 bytes from there buy at most 1500 more (936 were left over).
  Bytes reply = udp_packet(kVirtualB, kVirtualA, 440);
  b.path.inject_inner(reply);
  a.path.deliver(a.socket.id, {kRealC, 7}, kRealA, b.sent.front().bytes);
  b.sent.clear();
  std::size_t more = 0;
  for (Wire& wire : a.sent) more += wire.bytes.size();
  EXPECT_LE(bytes + more, 3000u + 3 * 500u);
  EXPECT_GT(more, 0u);
  a.sent.clear();
  // Validated: the rest follows.
  ASSERT_TRUE(a.path.apply(MovePath{kPath, Outer{a.socket.id, {kRealC, 7}}, std::nullopt}));
  advance(seconds(1));
  EXPECT_GE(a.sent.size(), 40u);
}

TEST_F(FakeDatapathTest, PathFollowsTheNewestPacketAndProvesTheAddress) {
  join();
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 1000));
  run();
  advance(seconds(2));  // after the explicit set-up roaming is quiet for a second
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 1000));
  Endpoint elsewhere{kRealB, 999};
  a.path.deliver(a.socket.id, elsewhere, kRealA, b.sent.front().bytes);
  b.sent.clear();
  std::vector<PathMoved> moved = a.seen<PathMoved>();
  ASSERT_EQ(moved.size(), 1u);
  EXPECT_EQ(moved[0].outer.remote, elsewhere);
  // A probe went there at once; its answer validates the address.
  ASSERT_EQ(a.sent.size(), 1u);
  EXPECT_EQ(a.sent[0].to, elsewhere);
  b.path.deliver(b.socket.id, a.endpoint(), kRealB, a.sent[0].bytes);
  a.sent.clear();
  a.path.deliver(a.socket.id, elsewhere, kRealA, b.sent.front().bytes);
  b.sent.clear();
  EXPECT_TRUE(a.seen<ProbeAnswered>().empty()) << "own probes are not the engine's business";
  for (int i = 0; i < 20; ++i) a.path.inject_inner(packet(1, 1000));
  EXPECT_EQ(a.sent.size(), 20u);
}

TEST_F(FakeDatapathTest, KeysThatOnlyWaitDoNotStopRoaming) {
  join();
  ASSERT_TRUE(a.path.apply(AddKeys{kPath, keys(true, 1)}));
  advance(seconds(2));
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 10));
  a.path.deliver(a.socket.id, {kRealB, 999}, kRealA, b.sent[0].bytes);
  EXPECT_EQ(a.seen<PathMoved>().size(), 1u);
  // The peer goes over to the new keys; a late packet under the old ones moves nothing back.
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 10));
  ASSERT_TRUE(b.path.apply(AddKeys{kPath, keys(false, 1)}));
  ASSERT_TRUE(b.path.apply(UseEpoch{kPath, 1}));
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 10));
  advance(seconds(2));
  a.path.deliver(a.socket.id, {kRealB, 999}, kRealA, b.sent[2].bytes);
  a.path.deliver(a.socket.id, b.endpoint(), kRealA, b.sent[1].bytes);
  EXPECT_TRUE(a.seen<PathMoved>().empty());
}

TEST_F(FakeDatapathTest, AMovedPathCanBeSilentAgain) {
  join();
  a.path.inject_inner(packet(1));
  advance(seconds(2));
  EXPECT_EQ(a.seen<PathSilent>().size(), 1u);
  ASSERT_TRUE(a.path.apply(MovePath{kPath, Outer{a.socket.id, {kRealC, 7}}, std::nullopt}));
  a.path.inject_inner(packet(2));
  advance(seconds(2));
  EXPECT_EQ(a.seen<PathSilent>().size(), 1u);
}

TEST_F(FakeDatapathTest, AnOlderPacketFromElsewhereMovesNothing) {
  join();
  advance(seconds(2));
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 10));
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 20));
  a.path.deliver(a.socket.id, b.endpoint(), kRealA, b.sent[1].bytes);
  a.path.deliver(a.socket.id, {kRealC, 7}, kRealA, b.sent[0].bytes);
  b.sent.clear();
  EXPECT_TRUE(a.seen<PathMoved>().empty());
  EXPECT_EQ(a.path.take_inner().size(), 2u) << "but it is accepted";
}

TEST_F(FakeDatapathTest, ReplayedAndForgedAreCountedAndDropped) {
  join();
  a.path.inject_inner(packet(1));
  Bytes datagram = a.sent.front().bytes;
  run();
  (void)b.path.take_inner();
  b.path.deliver(b.socket.id, a.endpoint(), kRealB, datagram);
  for (std::size_t i = 0; i < datagram.size(); ++i) {
    Bytes bad = datagram;
    bad[i] ^= 0x10;
    b.path.deliver(b.socket.id, a.endpoint(), kRealB, bad);
  }
  EXPECT_TRUE(b.path.take_inner().empty());
  EXPECT_EQ(b.path.statistics(kPath)->replayed, 1u);
  // All but the type byte and the eight of the Path ID, which make it another kind of datagram.
  EXPECT_EQ(b.path.statistics(kPath)->forged, datagram.size() - 9);
}

TEST_F(FakeDatapathTest, OnlyThePeersAddressMayComeOutOfItsTunnel) {
  join();
  // b speaks with a foreign inner source: its own filter stops it, so let a believe that b is .9.
  ASSERT_TRUE(a.path.apply(PutTunnel{kTunnel, "peer", {Ipv4::from_u32(0xc6120009), {}}}));
  b.path.inject_inner(udp_packet(kVirtualB, kVirtualA, 10));
  run();
  EXPECT_TRUE(a.path.take_inner().empty());
  EXPECT_EQ(a.path.statistics(kPath)->dropped, 1u);
  EXPECT_EQ(a.path.statistics(kPath)->packets_received, 1u);
  // And a's own stack may not send with an address that is not its own.
  ASSERT_TRUE(a.path.apply(PutTunnel{kTunnel, "peer", {kVirtualB, {}}}));
  a.path.inject_inner(udp_packet(kRealA, kVirtualB, 10));
  a.path.inject_inner(udp_packet(kVirtualA, Ipv4::from_u32(0xe0000001), 10));
  EXPECT_TRUE(a.sent.empty());
  EXPECT_TRUE(a.seen<NoTunnel>().empty());
}

TEST_F(FakeDatapathTest, WithoutATunnelPacketsWaitAndTheEngineIsAskedOnceASecond) {
  for (Byte i = 0; i < 3; ++i) a.path.inject_inner(packet(i));
  std::vector<NoTunnel> asked = a.seen<NoTunnel>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].destination, IpAddress(kVirtualB));
  EXPECT_EQ(asked[0].source, IpAddress(kVirtualA));
  advance(seconds(1));
  a.path.inject_inner(packet(3));
  EXPECT_EQ(a.seen<NoTunnel>().size(), 1u);
  join();
  run();
  EXPECT_EQ(b.path.take_inner().size(), 4u);
}

TEST_F(FakeDatapathTest, RefusedPacketsAreAnsweredByIcmp) {
  a.path.inject_inner(packet(1));
  ASSERT_TRUE(a.path.apply(Refuse{kVirtualB}));
  std::vector<Bytes> answers = a.path.take_inner();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(checksum_ok(answers[0]));
  EXPECT_EQ(answers[0][20], 3);
  // What is held in a tunnel that goes away is answered too, when the engine says so.
  join();
  ASSERT_TRUE(a.path.apply(HoldTunnel{kTunnel}));
  a.path.inject_inner(packet(2));
  ASSERT_TRUE(a.path.apply(RemoveTunnel{kTunnel, true}));
  EXPECT_EQ(a.path.take_inner().size(), 1u);
}

TEST_F(FakeDatapathTest, OrphansAreBoundedAndForgotten) {
  for (std::uint32_t i = 0; i < 200; ++i)
    a.path.inject_inner(udp_packet(kVirtualA, Ipv4::from_u32(0xc6120100 + i), 10));
  EXPECT_EQ(a.seen<NoTunnel>().size(), 200u);
  advance(seconds(11));
  ASSERT_TRUE(a.path.apply(Refuse{Ipv4::from_u32(0xc61201c7)}));
  EXPECT_TRUE(a.path.take_inner().empty());
  EXPECT_EQ(a.path.next_deadline(), Instant::never());
}

TEST_F(FakeDatapathTest, SilenceIsToldOnceAndLifeToo) {
  join();
  a.path.inject_inner(packet(1));
  a.sent.clear();
  advance(milliseconds(999));
  EXPECT_TRUE(a.seen<PathSilent>().empty());
  advance(milliseconds(1));
  std::vector<PathSilent> silent = a.seen<PathSilent>();
  ASSERT_EQ(silent.size(), 1u);
  EXPECT_EQ(silent[0].since.ms(), 1000);
  a.path.inject_inner(packet(2));
  a.sent.clear();
  advance(seconds(5));
  EXPECT_TRUE(a.seen<PathSilent>().empty());
  ASSERT_TRUE(b.path.apply(SendKeepAlive{kPath}));
  run();
  EXPECT_EQ(a.seen<PathAlive>().size(), 1u);
}

TEST_F(FakeDatapathTest, ProbesAreAnsweredAndMeasured) {
  join();
  wire::Probe probe{77, 0};
  ASSERT_TRUE(a.path.apply(SendInner{kPath, wire::encode(wire::InnerControl(probe))}));
  Wire out = a.sent.front();
  a.sent.clear();
  advance(milliseconds(30));
  b.path.deliver(b.socket.id, out.from, kRealB, out.bytes);
  advance(milliseconds(12));
  run();
  std::vector<ProbeAnswered> answers = a.seen<ProbeAnswered>();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].id, 77u);
  EXPECT_EQ(answers[0].rtt.ms(), 42);
  EXPECT_TRUE(b.seen<InnerReceived>().empty());
}

TEST_F(FakeDatapathTest, OtherInnerControlGoesToTheEngine) {
  join();
  Bytes close = wire::encode(wire::InnerControl(wire::Close{wire::CloseReason::Leaving}));
  ASSERT_TRUE(a.path.apply(SendInner{kPath, close}));
  run();
  std::vector<InnerReceived> got = b.seen<InnerReceived>();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].payload, close);
  EXPECT_FALSE(a.path.apply(SendInner{kPath, packet(1)})) << "an IP packet is no control";
}

TEST_F(FakeDatapathTest, RekeyGoesOverWithoutLoss) {
  join();
  for (End* end : {&a, &b}) {
    ASSERT_TRUE(end->path.apply(AddKeys{kPath, keys(end == &a, 1)}));
  }
  a.path.inject_inner(packet(1));
  Wire late = a.sent.front();
  a.sent.clear();
  ASSERT_TRUE(a.path.apply(UseEpoch{kPath, 1}));
  a.path.inject_inner(packet(2));
  run();
  b.path.deliver(b.socket.id, late.from, kRealB, late.bytes);
  EXPECT_EQ(b.path.take_inner(), (std::vector<Bytes>{packet(2), packet(1)}));
  EXPECT_EQ(b.seen<PathConfirmed>().size(), 2u);
  EXPECT_FALSE(a.path.apply(UseEpoch{kPath, 3}));
}

// A key that is put again must not start its counter again: the nonce would repeat.
TEST_F(FakeDatapathTest, PuttingTheSameKeyAgainNeverRepeatsACounter) {
  join();
  std::vector<std::uint64_t> counters;
  for (int i = 0; i < 5; ++i) {
    a.path.inject_inner(packet(1));
    counters.push_back(counter_of(a.sent.back().bytes));
    ASSERT_TRUE(a.path.apply(
        PutPath{kTunnel, kPath, keys(true), Outer{a.socket.id, b.endpoint()}}));
    ASSERT_TRUE(a.path.apply(AddKeys{kPath, keys(true)}));
  }
  EXPECT_EQ(counters, (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
  run();
  ASSERT_TRUE(b.path.apply(
      PutPath{kTunnel, kPath, keys(false), Outer{b.socket.id, a.endpoint()}}));
  EXPECT_EQ(b.path.take_inner().size(), 5u);
}

TEST_F(FakeDatapathTest, EarlyIsMarkedUntilTheEpochIsUsed) {
  join();
  PutPath put{kTunnel, kPath, keys(true), Outer{a.socket.id, b.endpoint()}};
  put.early = true;
  ASSERT_TRUE(a.path.apply(put));
  a.path.inject_inner(packet(1));
  EXPECT_EQ(flags_of(a.sent.back().bytes) & wire::kRecordEarly, wire::kRecordEarly);
  ASSERT_TRUE(a.path.apply(UseEpoch{kPath, 0}));
  a.path.inject_inner(packet(1));
  EXPECT_EQ(flags_of(a.sent.back().bytes) & wire::kRecordEarly, 0);
}

TEST_F(FakeDatapathTest, IdleIsToldOnceAfterFiveMinutes) {
  join();
  a.path.inject_inner(packet(1));
  run();
  advance(seconds(299));
  EXPECT_TRUE(a.seen<TunnelIdle>().empty());
  advance(seconds(2));
  EXPECT_EQ(a.seen<TunnelIdle>().size(), 1u);
  advance(seconds(1000));
  EXPECT_TRUE(a.seen<TunnelIdle>().empty());
}

// ---- path MTU ----------------------------------------------------------------------------------

TEST_F(FakeDatapathTest, ASmallerPathIsToldToTheApplication) {
  join();
  a.path.set_path_mtu(kRealB, 1400);  // inner limit 1340
  a.path.inject_inner(packet(1, 1340 - 28));
  EXPECT_EQ(a.sent.size(), 1u);
  a.path.inject_inner(packet(1, 1341 - 28));
  EXPECT_EQ(a.sent.size(), 1u);
  std::vector<Bytes> answers = a.path.take_inner();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0][21], 4);
  EXPECT_EQ(get_u16(&answers[0][26]), 1340);
}

TEST_F(FakeDatapathTest, BelowTheMinimumPacketsTravelInPieces) {
  join();
  a.path.set_path_mtu(kRealB, 700);
  a.path.inject_inner(packet(9, 1280 - 28));
  EXPECT_EQ(a.sent.size(), 3u);
  for (Wire& wire : a.sent) EXPECT_LE(wire.bytes.size() + 28, 700u);
  run();
  EXPECT_EQ(b.path.take_inner(), std::vector<Bytes>{packet(9, 1280 - 28)});
  a.path.inject_inner(packet(9, 1281 - 28));
  EXPECT_TRUE(a.sent.empty());
  EXPECT_EQ(get_u16(&a.path.take_inner().at(0)[26]), 1280);
}

TEST_F(FakeDatapathTest, SynsAreClampedToThePath) {
  join();
  a.path.set_path_mtu(kRealB, 1400);
  a.path.inject_inner(tcp_packet(
      kVirtualA, kVirtualB, {.flags = 0x02, .options = {2, 4, 0x05, 0xb4}}));
  run();
  Bytes syn = b.path.take_inner().at(0);
  EXPECT_EQ(get_u16(&syn[42]), 1340 - 40);
  EXPECT_TRUE(checksum_ok(syn));
}

}  // namespace
}  // namespace ntm::datapath::testing
