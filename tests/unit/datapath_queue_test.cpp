// Ring, hold queue, pacing, reassembly, source gate: what the datapath keeps, and for how long.
#include <gtest/gtest.h>

#include <algorithm>

#include "libntm/datapath/hold_queue.hpp"
#include "libntm/datapath/out_batch.hpp"
#include "libntm/datapath/pace.hpp"
#include "libntm/datapath/reassembly.hpp"
#include "libntm/datapath/resend_ring.hpp"
#include "libntm/datapath/source_gate.hpp"

namespace ntm::datapath {
namespace {

const Instant kStart{10'000'000};
const PathId kPath{7};

Instant at(std::int64_t ms) { return kStart + milliseconds(ms); }

struct RingTest : ::testing::Test {
  RingTest() { ring.allocate(); }
  void add(std::uint64_t counter, std::size_t size = 1400, std::int64_t ms = 0) {
    ring.add(at(ms), kPath, 0, counter, Bytes(size, static_cast<Byte>(counter)));
  }
  std::vector<std::uint64_t> pending() {
    std::vector<std::uint64_t> out;
    while (const ResendRing::Entry* entry = ring.next_pending()) {
      out.push_back(entry->counter);
      EXPECT_EQ(ring.bytes(*entry)[0], static_cast<Byte>(entry->counter));
      ring.resent(kStart);
    }
    return out;
  }
  wire::ReceiveState state(std::uint64_t highest, std::vector<std::uint64_t> received) {
    wire::ReceiveState out;
    out.path = kPath;
    out.any = true;
    out.highest = highest;
    for (std::uint64_t counter : received) {
      std::uint64_t bit = highest - 1 - counter;
      if (out.bitmap.size() <= bit / 8) out.bitmap.resize(bit / 8 + 1);
      out.bitmap[bit / 8] |= static_cast<Byte>(0x80 >> bit % 8);
    }
    return out;
  }
  ResendRing ring{kStreamRing};
};

TEST_F(RingTest, KeepsTheNewest) {
  for (std::uint64_t i = 0; i < 1500; ++i) add(i, 100);
  EXPECT_EQ(ring.size(), kStreamRing.packets);
  EXPECT_EQ(ring.mark_missing(kStart, {kPath}), kStreamRing.packets);
  EXPECT_EQ(pending().front(), 1500 - kStreamRing.packets);
}

TEST_F(RingTest, NeverHoldsMoreThanItsBytesAndNeverMixesPackets) {
  std::size_t sizes[] = {1400, 40, 9000, 1400, 60000, 3};
  for (std::uint64_t i = 0; i < 3000; ++i) add(i, sizes[i % 6]);
  std::size_t bytes = 0;
  ring.mark_missing(kStart, {kPath});
  std::uint64_t last = 0;
  while (const ResendRing::Entry* entry = ring.next_pending()) {
    for (Byte b : ring.bytes(*entry)) ASSERT_EQ(b, static_cast<Byte>(entry->counter));
    EXPECT_GE(entry->counter, last);
    last = entry->counter;
    bytes += entry->size;
    ring.resent(kStart);
  }
  EXPECT_EQ(last, 2999u);
  EXPECT_LE(bytes, kStreamRing.bytes);
  EXPECT_GT(bytes, kStreamRing.bytes / 2);
}

TEST_F(RingTest, AgesWhileThePathLivesAndKeepsInSilence) {
  add(1, 100, 0);
  add(2, 100, 400);
  ring.age(at(500), false);
  EXPECT_EQ(ring.size(), 2u);
  ring.age(at(501), false);
  EXPECT_EQ(ring.size(), 1u);
  ring.age(at(50'000), true);
  EXPECT_EQ(ring.size(), 1u);
  ring.age(at(60'401), true);
  EXPECT_EQ(ring.size(), 0u);
}

TEST_F(RingTest, ResendsExactlyWhatIsMissing) {
  for (std::uint64_t i = 0; i < 10; ++i) add(i);
  ring.mark_missing(kStart, state(6, {0, 1, 3, 5}));
  EXPECT_EQ(pending(), (std::vector<std::uint64_t>{2, 4, 7, 8, 9}));
}

TEST_F(RingTest, NothingReceivedMeansEverything) {
  for (std::uint64_t i = 0; i < 3; ++i) add(i);
  EXPECT_EQ(ring.mark_missing(kStart, {kPath}), 3u);
}

TEST_F(RingTest, WhatIsBelowTheBitmapCountsAsReceived) {
  add(5);
  add(992);
  add(1000);
  wire::ReceiveState short_state = state(1000, {});
  short_state.bitmap = Bytes(2);  // 999 to 984
  ring.mark_missing(kStart, short_state);
  EXPECT_EQ(pending(), std::vector<std::uint64_t>{992});
  ring.mark_missing(at(300), state(1000, {992, 990}));
  EXPECT_EQ(pending(), std::vector<std::uint64_t>{}) << "5 is far below 990";
}

TEST_F(RingTest, LateMarksReachPacketsThatWereSentAgainAlready) {
  for (std::uint64_t i = 0; i < 6; ++i) add(i);
  ring.mark_missing(kStart, state(5, {0, 1, 2}));
  EXPECT_EQ(pending(), (std::vector<std::uint64_t>{3, 4}));
  ring.mark_missing(at(300), state(5, {2}));
  EXPECT_EQ(pending(), (std::vector<std::uint64_t>{0, 1, 3, 4}));
  add(6);
  EXPECT_EQ(ring.mark_missing(at(301), state(5, {0, 1, 2, 3, 4})), 1u);
  EXPECT_EQ(pending(), std::vector<std::uint64_t>{6});
}

TEST(ResendRings, AStreamOfDatagramsDoesNotPushOutTcp) {
  ResendRings rings;
  rings.add(Traffic::Stream, kStart, kPath, 0, 0, Bytes(1400));
  for (std::uint64_t i = 1; i < 5000; ++i)
    rings.add(Traffic::Datagram, at(static_cast<std::int64_t>(i)), kPath, 0, i, Bytes(200));
  rings.add(Traffic::Stream, at(6000), kPath, 0, 5000, Bytes(1400));
  std::size_t marked = rings.mark_missing(at(6000), {kPath});
  EXPECT_EQ(marked, 2 + kDatagramRing.packets);
  std::vector<std::uint64_t> order;
  while (const ResendRing::Entry* entry = rings.next_pending()) {
    order.push_back(entry->counter);
    EXPECT_EQ(rings.bytes(*entry).size(), entry->counter % 5000 == 0 ? 1400u : 200u);
    rings.resent(at(6000));
  }
  EXPECT_EQ(order.size(), marked);
  EXPECT_EQ(order.front(), 0u);
  EXPECT_EQ(order[1], 5000 - kDatagramRing.packets);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(RingTest, OtherPathOrEpochIsNotMeant) {
  add(1);
  wire::ReceiveState other{PathId{8}};
  EXPECT_EQ(ring.mark_missing(kStart, other), 0u);
  wire::ReceiveState epoch{kPath, 1};
  EXPECT_EQ(ring.mark_missing(kStart, epoch), 0u);
}

TEST_F(RingTest, TheSamePacketIsNotSentAgainAtOnce) {
  add(1);
  EXPECT_EQ(ring.mark_missing(kStart, {kPath}), 1u);
  (void)pending();
  EXPECT_EQ(ring.mark_missing(at(199), {kPath}), 0u);
  EXPECT_EQ(ring.mark_missing(at(200), {kPath}), 1u);
}

// ---- hold queue --------------------------------------------------------------------------------

TEST(HoldQueue, DropsTheOldestByCountAndBySize) {
  HoldQueue queue;
  for (int i = 0; i < 1100; ++i)
    queue.push(kStart, Bytes(10, static_cast<Byte>(i)), Traffic::Datagram, 0);
  EXPECT_EQ(queue.size(), kHoldPackets);
  EXPECT_EQ(queue.dropped(), 1100 - kHoldPackets);
  EXPECT_EQ((*queue.front(kStart))[0], static_cast<Byte>(1100 - kHoldPackets));
  HoldQueue big;
  for (int i = 0; i < 100; ++i) big.push(kStart, Bytes(60000), Traffic::Stream, 0);
  EXPECT_LE(big.bytes(), kHoldBytes);
  EXPECT_EQ(big.size(), kHoldBytes / 60000);
}

TEST(HoldQueue, AStreamOfDatagramsDoesNotPushOutTcp) {
  HoldQueue queue;
  queue.push(at(0), Bytes{1}, Traffic::Stream, 0);
  for (int i = 0; i < 5000; ++i) queue.push(at(i), Bytes(300, 2), Traffic::Datagram, 0);
  queue.push(at(5000), Bytes{3}, Traffic::Stream, 0);
  EXPECT_EQ((*queue.front(at(5000)))[0], 1);
  queue.pop();
  EXPECT_EQ((*queue.front(at(5000)))[0], 2);
  while (queue.size() > 1) queue.pop();
  EXPECT_EQ((*queue.front(at(5000)))[0], 3);
}

TEST(HoldQueue, VoiceAgesOutAfter50Ms) {
  HoldQueue queue;
  queue.push(at(0), Bytes{1}, Traffic::Datagram, 46 << 2);  // EF
  queue.push(at(0), Bytes{2}, Traffic::Datagram, 0);
  queue.push(at(30), Bytes{3}, Traffic::Datagram, 40 << 2);  // CS5
  EXPECT_EQ((*queue.front(at(50)))[0], 1);
  EXPECT_EQ((*queue.front(at(51)))[0], 2);
  queue.pop();
  EXPECT_EQ((*queue.front(at(80)))[0], 3);
  EXPECT_EQ(queue.front(at(81)), nullptr);
  EXPECT_EQ(queue.dropped(), 2u);
}

TEST(HoldQueue, EverythingAgesOutAfterAMinute) {
  HoldQueue queue;
  queue.push(at(0), Bytes{1}, Traffic::Datagram, 0);
  EXPECT_NE(queue.front(at(60'000)), nullptr);
  EXPECT_EQ(queue.front(at(60'001)), nullptr);
}

TEST(HoldQueue, TakesOverInOrderOfArrival) {
  HoldQueue queue, orphans;
  orphans.push(at(1), Bytes{1}, Traffic::Datagram, 0);
  queue.push(at(2), Bytes{2}, Traffic::Datagram, 0);
  orphans.push(at(3), Bytes{3}, Traffic::Stream, 0);
  queue.take_over(orphans);
  EXPECT_TRUE(orphans.empty());
  for (Byte want : {1, 2, 3}) {
    EXPECT_EQ((*queue.front(at(4)))[0], want);
    queue.pop();
  }
  EXPECT_EQ(queue.bytes(), 0u);
}

// ---- pacing ------------------------------------------------------------------------------------

TEST(RateMeter, MeasuresAndRemembersThroughSilence) {
  RateMeter meter;
  for (int ms = 0; ms < 1000; ++ms) meter.add(at(ms), 10'000);  // 10 MB/s
  EXPECT_NEAR(static_cast<double>(meter.bytes_per_second()), 10e6, 0.2e6);
  meter.add(at(30'000), 1400);
  meter.add(at(60'000), 1400);
  EXPECT_GT(meter.bytes_per_second(), 5'000'000);
}

TEST(Pacer, KeepsToTheRateAfterTheBurst) {
  Pacer pacer;
  pacer.set_rate(2'000'000);
  std::size_t sent = 0;
  for (Instant now = kStart; now < at(1000);) {
    if (pacer.may_send(now)) {
      pacer.sent(1400);
      sent += 1400;
    } else {
      Instant next = pacer.next(now);
      ASSERT_GT(next, now);
      now = next;
    }
  }
  EXPECT_NEAR(static_cast<double>(sent), 2'000'000 + kPaceBurst, 3000);
}

TEST(TokenBucket, ZeroIsNoLimit) {
  TokenBucket none;
  EXPECT_TRUE(none.spend(kStart, 1'000'000'000));
  TokenBucket ten(10, 10);
  int passed = 0;
  for (int ms = 0; ms < 10'000; ++ms) passed += ten.spend(at(ms), 1) ? 1 : 0;
  EXPECT_NEAR(passed, 110, 2);
}

// ---- batch, reassembly, gate -------------------------------------------------------------------

TEST(OutBatch, MakesRunsOfOneSizeAndPlace) {
  OutBatch batch;
  Outer one{{1}, {Ipv4::from_u32(1), 5}}, two{{1}, {Ipv4::from_u32(2), 5}};
  for (int i = 0; i < 100; ++i) batch.append(one, kPath, Bytes(500, static_cast<Byte>(i)));
  batch.append(one, kPath, Bytes(20));
  batch.append(one, kPath, Bytes(20));
  batch.append(two, kPath, Bytes(20));
  batch.append(two, kPath, Bytes(21));
  std::vector<std::size_t> counts;
  for (const OutRun& run : batch.runs()) counts.push_back(run.count);
  EXPECT_EQ(counts, (std::vector<std::size_t>{64, 37, 1, 1, 1}));
  EXPECT_EQ(batch.bytes(batch.runs()[1])[0], 64);
  EXPECT_EQ(batch.bytes(batch.runs()[1]).size(), 36 * 500u + 20);
  EXPECT_EQ(batch.full_runs(), 4u) << "the last could take another of 21 bytes";
  batch.drop(4);
  batch.append(two, kPath, Bytes(21, 9));
  ASSERT_EQ(batch.runs().size(), 1u);
  EXPECT_EQ(batch.bytes(batch.runs()[0]).size(), 42u);
  EXPECT_EQ(batch.bytes(batch.runs()[0])[21], 9);
  batch.append(two, kPath, Bytes(20));
  EXPECT_EQ(batch.full_runs(), 1u) << "ended by a shorter one";
}

Bytes pattern(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<Byte>(i * 7);
  return out;
}
wire::Fragment part(const Bytes& whole, std::uint16_t id, std::size_t from, std::size_t to) {
  return {id, static_cast<std::uint16_t>(from), to == whole.size(),
          Bytes(whole.begin() + static_cast<std::ptrdiff_t>(from),
                whole.begin() + static_cast<std::ptrdiff_t>(to))};
}

TEST(Reassembly, TakesPartsInAnyOrderAndTwice) {
  Reassembly reassembly;
  Bytes whole = pattern(1280);
  EXPECT_FALSE(reassembly.add(kStart, part(whole, 1, 1000, 1280)));
  EXPECT_FALSE(reassembly.add(kStart, part(whole, 1, 0, 500)));
  EXPECT_FALSE(reassembly.add(kStart, part(whole, 1, 0, 500)));
  EXPECT_EQ(reassembly.add(kStart, part(whole, 1, 500, 1000)), whole);
}

TEST(Reassembly, ForgetsHalvesAfterASecondAndBoundsThem) {
  Reassembly reassembly;
  Bytes whole = pattern(1000);
  EXPECT_FALSE(reassembly.add(at(0), part(whole, 1, 0, 500)));
  EXPECT_FALSE(reassembly.add(at(1001), part(whole, 1, 500, 1000)));
  for (std::uint16_t id = 2; id < 100; ++id)
    EXPECT_FALSE(reassembly.add(at(2000 + id), part(whole, id, 0, 500)));
  EXPECT_FALSE(reassembly.add(at(2100), part(whole, 50, 500, 1000))) << "evicted";
  EXPECT_TRUE(reassembly.add(at(2100), part(whole, 99, 500, 1000)));
  wire::Fragment beyond{7, 65000, true, Bytes(100)};
  EXPECT_FALSE(reassembly.add(at(2100), beyond));
}

TEST(SourceGate, OneASecondForEachSource) {
  SourceGate gate;
  IpAddress a = Ipv4::from_u32(1);
  EXPECT_TRUE(gate.allow(at(0), a));
  EXPECT_FALSE(gate.allow(at(999), a));
  EXPECT_TRUE(gate.allow(at(1000), a));
  int passed = 0;
  for (std::uint32_t i = 0; i < 100'000; ++i) passed += gate.allow(at(5000), Ipv4::from_u32(i));
  EXPECT_LE(passed, 256);
}

}  // namespace
}  // namespace ntm::datapath
