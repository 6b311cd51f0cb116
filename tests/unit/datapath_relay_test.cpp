// What the relay relies on: DATA goes between exactly the two legs, within credit, consent and
// quota, and what it saw is told.
#include "tests/unit/datapath_pair.hpp"

namespace ntm::datapath::testing {
namespace {

struct RelayTest : FakeDatapathTest {
  void SetUp() override {
    join();
    socket = relay.open_socket({}).value().id;
    relay.set_output([this](const Outer& outer, ByteView bytes) {
      out.push_back({outer.socket, {}, outer.remote, to_bytes(bytes)});
    });
    leg_a = {Outer{socket, a.endpoint()}, true};
    leg_b = {Outer{socket, b.endpoint()}, true};
  }
  Bytes datagram(std::size_t size = 100) {
    a.path.inject_inner(packet(1, size));
    Bytes bytes = a.sent.back().bytes;
    a.sent.clear();
    return bytes;
  }
  std::size_t from(const Endpoint& source, const Bytes& bytes) {
    std::size_t before = out.size();
    relay.deliver(socket, source, kRealC, bytes);
    return out.size() - before;
  }
  FakeDatapath relay{Instant{1'000'000}, 50000};
  SocketId socket;
  std::deque<Wire> out;
  RelayLegState leg_a, leg_b;
};

TEST_F(RelayTest, ForwardsBetweenExactlyTheTwoLegs) {
  ASSERT_TRUE(relay.apply(PutRelay{{kPath}, leg_a, leg_b}));
  Bytes bytes = datagram();
  EXPECT_EQ(from(a.endpoint(), bytes), 1u);
  EXPECT_EQ(out.back().to, b.endpoint());
  EXPECT_EQ(out.back().bytes, bytes) << "untouched";
  EXPECT_EQ(from(b.endpoint(), bytes), 1u);
  EXPECT_EQ(out.back().to, a.endpoint());
  EXPECT_EQ(from({kRealA, 1}, bytes), 0u) << "right address, other port";
  std::size_t foreign = 0;
  for (Event& event : relay.events())
    foreign += std::holds_alternative<RelayForeignSource>(event) ? 1 : 0;
  EXPECT_EQ(foreign, 1u);
}

TEST_F(RelayTest, AllPathIdsOfAnEntryNameIt) {
  PathId other{42};
  ASSERT_TRUE(relay.apply(PutRelay{{kPath, other}, leg_a, leg_b}));
  Bytes bytes = datagram();
  put_data_header(bytes.data(), 0, 1, other);
  EXPECT_EQ(from(a.endpoint(), bytes), 1u);
  EXPECT_FALSE(relay.apply(PutRelay{{PathId{9}, other}, leg_a, leg_b})) << "taken";
  ASSERT_TRUE(relay.apply(RemoveRelay{kPath}));
  EXPECT_EQ(from(a.endpoint(), bytes), 0u);
}

TEST_F(RelayTest, UnvalidatedLegGetsThreeTimesWhatItSentPlusCredit) {
  leg_b.validated = false;
  leg_b.credit = 500;
  PutRelay put{{kPath}, leg_a, leg_b};
  ASSERT_TRUE(relay.apply(put));
  Bytes bytes = datagram(100);  // 160 bytes
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) sent += from(a.endpoint(), bytes);
  EXPECT_EQ(sent, 500 / bytes.size());
  ASSERT_TRUE(relay.apply(put)) << "again: no fresh credit";
  EXPECT_EQ(from(a.endpoint(), bytes), 0u);
  EXPECT_EQ(from(b.endpoint(), bytes), 1u);
  sent = 0;
  for (int i = 0; i < 100; ++i) sent += from(a.endpoint(), bytes);
  EXPECT_EQ(sent, 3u);
  put.b.validated = true;
  ASSERT_TRUE(relay.apply(put));
  EXPECT_EQ(from(a.endpoint(), bytes), 1u);
}

TEST_F(RelayTest, NoConsentNoAddressNoPackets) {
  leg_b.consent = false;
  ASSERT_TRUE(relay.apply(PutRelay{{kPath}, leg_a, leg_b}));
  Bytes bytes = datagram();
  EXPECT_EQ(from(a.endpoint(), bytes), 0u);
  EXPECT_EQ(from(b.endpoint(), bytes), 1u) << "it may still send";
  leg_b = {};
  ASSERT_TRUE(relay.apply(PutRelay{{kPath}, leg_a, leg_b}));
  EXPECT_EQ(from(a.endpoint(), bytes), 0u);
}

TEST_F(RelayTest, QuotasHold) {
  PutRelay put{{kPath}, leg_a, leg_b};
  put.packets_per_second = 1000;
  ASSERT_TRUE(relay.apply(put));
  Bytes bytes = datagram();
  std::size_t sent = 0;
  Instant t{1'000'000};
  for (int ms = 0; ms < 2000; ++ms) {
    t = t + milliseconds(1);
    relay.advance(t);
    for (int i = 0; i < 3; ++i) sent += from(a.endpoint(), bytes);
  }
  EXPECT_NEAR(static_cast<double>(sent), 2000 + 250, 5);
}

TEST_F(RelayTest, ActivityIsReportedOnceASecondAndNothingIsLost) {
  ASSERT_TRUE(relay.apply(PutRelay{{kPath}, leg_a, leg_b}));
  Bytes bytes = datagram();
  Instant t{1'000'000};
  std::uint64_t packets = 0;
  std::size_t reports = 0;
  for (int ms = 0; ms < 5000; ++ms) {
    t = t + milliseconds(1);
    relay.advance(t);
    if (ms < 3000) from(a.endpoint(), bytes);
    for (Event& event : relay.events()) {
      RelayActivity* activity = std::get_if<RelayActivity>(&event);
      if (activity == nullptr) continue;
      EXPECT_TRUE(activity->from_a);
      EXPECT_FALSE(activity->from_b);
      packets += activity->packets;
      ++reports;
    }
  }
  EXPECT_EQ(packets, 3000u);
  EXPECT_LE(reports, 5u);
  EXPECT_GE(reports, 4u);
}

TEST_F(RelayTest, UnknownPathIsToldOnceASecondASource) {
  Bytes bytes = datagram();
  for (int i = 0; i < 5; ++i) from(a.endpoint(), bytes);
  std::vector<Event> events = relay.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<UnknownPath>(events[0]).path, kPath);
}

}  // namespace
}  // namespace ntm::datapath::testing
