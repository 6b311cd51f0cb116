// The relay table by its rules: who may make an entry, how a leg's address is learned and proved,
// that nothing unauthenticated changes it, that answers never exceed requests, and how it forgets.
#include <gtest/gtest.h>

#include <random>

#include "libntm/crypto/tunnel_keys.hpp"
#include "relay/engine/early_requests.hpp"
#include "relay/engine/entry_table.hpp"

namespace ntm::relay {
namespace {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) override {
    for (Byte& b : out) b = static_cast<Byte>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

Key16 key_of(Byte value) {
  Key16 key;
  for (Byte& b : key.span()) b = value;
  return key;
}

wire::RelayDirection direction(std::uint64_t path, std::uint32_t lifetime = 3600) {
  wire::RelayDirection d;
  d.request = {7};
  d.paths = {{path}, {path + 1}};
  d.leg_a = {key_of(0xa1), Family::V6};
  d.leg_b = {key_of(0xb2), Family::V4};
  d.lifetime_seconds = lifetime;
  return d;
}

class EntryTableTest : public ::testing::Test {
 protected:
  SeededRandom random{1};
  EntryTable table{100, false, random};
  Instant now{1'000'000};
  std::vector<Effect> effects;
  Endpoint mn{*parse_address("2001:db8:1::5"), 4000};
  Endpoint cn{*parse_address("203.0.113.9"), 5000};

  EntryTable::RequestResult ask(std::uint64_t path, wire::Leg leg, const Endpoint& from,
                                std::uint64_t counter, std::uint64_t echo = 0, Bytes blob = {},
                                Byte key = 0) {
    wire::TunnelMessage m;
    m.leg = leg;
    m.counter = counter;
    m.path = {path};
    m.challenge = 1000 + counter;
    m.echo = echo;
    if (!blob.empty()) m.blob_kind = wire::BlobKind::Message2;
    m.blob = blob;
    Bytes raw = wire::encode_without_mac(m);
    if (key == 0) key = leg == wire::Leg::A ? 0xa1 : 0xb2;
    crypto::append_tunnel_mac(key_of(key), raw);
    EXPECT_EQ(raw.size(), wire::kTunnelRequestSize);
    datapath::ControlReceived r{{from.family() == Family::V4 ? 1u : 2u}, from, {}, 0, raw};
    Result<wire::TunnelMessage> decoded = wire::decode_tunnel_message(raw);
    EXPECT_TRUE(decoded.has_value());
    return table.request(now, r, *decoded, effects);
  }
  std::vector<std::pair<Endpoint, wire::TunnelMessage>> sent() {
    std::vector<std::pair<Endpoint, wire::TunnelMessage>> out;
    for (Effect& e : effects)
      if (SendControl* s = std::get_if<SendControl>(&e)) {
        Result<wire::TunnelMessage> m = wire::decode_tunnel_message(s->datagram);
        EXPECT_TRUE(m.has_value());
        EXPECT_LE(s->datagram.size(), wire::kTunnelRequestSize);
        if (m) out.push_back({s->outer.remote, *m});
      }
    effects.clear();
    return out;
  }
  const datapath::PutRelay* last_put() {
    for (std::size_t i = effects.size(); i-- > 0;)
      if (datapath::Change* c = std::get_if<datapath::Change>(&effects[i]))
        if (datapath::PutRelay* p = std::get_if<datapath::PutRelay>(c)) return p;
    return nullptr;
  }
};

TEST_F(EntryTableTest, PendingThenReadyToBothWithMessage2) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  ASSERT_EQ(ask(50, wire::Leg::A, mn, 1), EntryTable::RequestResult::Handled);
  std::vector<std::pair<Endpoint, wire::TunnelMessage>> first = sent();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_TRUE(first[0].second.pending);
  EXPECT_EQ(first[0].second.echo, 1001u);
  EXPECT_NE(first[0].second.challenge, 0u);

  Bytes message2(wire::kMessage2Size, 0x5a);
  ASSERT_EQ(ask(50, wire::Leg::B, cn, 1, 0, message2), EntryTable::RequestResult::Handled);
  std::vector<std::pair<Endpoint, wire::TunnelMessage>> both = sent();
  ASSERT_EQ(both.size(), 2u);
  for (const auto& [to, m] : both) {
    EXPECT_TRUE(m.ready);
    EXPECT_FALSE(m.pending);
    if (to == mn) { EXPECT_EQ(m.blob, message2); }
    if (to == cn) { EXPECT_TRUE(m.blob.empty()); }
  }
}

TEST_F(EntryTableTest, LegIsValidOnlyAfterTheChallengeCameBack) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  ask(50, wire::Leg::A, mn, 1);
  EXPECT_FALSE(last_put()->a.validated);
  EXPECT_EQ(last_put()->a.credit, kBytesPerRequest);
  std::uint64_t challenge = sent().at(0).second.challenge;
  ask(50, wire::Leg::A, mn, 2, challenge ^ 1);
  EXPECT_FALSE(last_put()->a.validated);
  effects.clear();
  ask(50, wire::Leg::A, mn, 3, challenge);
  EXPECT_TRUE(last_put()->a.validated);
  effects.clear();
  // A move: unvalidated again, with the bounded credit that the old address earned.
  Endpoint moved{*parse_address("2001:db8:2::5"), 4000};
  ask(50, wire::Leg::A, moved, 4, challenge);
  EXPECT_FALSE(last_put()->a.validated);
  EXPECT_EQ(last_put()->a.credit, kMaxMoveCredit + kBytesPerRequest);
  EXPECT_EQ(last_put()->a.outer->remote, moved);
}

TEST_F(EntryTableTest, ForgedReplayedAndForeignRequestsChangeNothing) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  EXPECT_EQ(ask(50, wire::Leg::A, mn, 1, 0, {}, 0x77), EntryTable::RequestResult::Refused);
  EXPECT_EQ(ask(50, wire::Leg::A, {*parse_address("127.0.0.1"), 9}, 1),
            EntryTable::RequestResult::Refused);
  EXPECT_EQ(ask(50, wire::Leg::A, {*parse_address("10.0.0.1"), 9}, 1),
            EntryTable::RequestResult::Refused);
  EXPECT_EQ(ask(99, wire::Leg::A, mn, 1), EntryTable::RequestResult::UnknownPath);
  EXPECT_TRUE(effects.empty());
  EXPECT_FALSE(table.snapshot().at(0).a.outer.has_value());
  ask(50, wire::Leg::A, mn, 5);
  effects.clear();
  EXPECT_EQ(ask(50, wire::Leg::A, cn, 5), EntryTable::RequestResult::Refused);
  EXPECT_EQ(ask(50, wire::Leg::A, cn, 4), EntryTable::RequestResult::Refused);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(table.snapshot().at(0).a.outer->remote, mn);
}

TEST_F(EntryTableTest, PathIdsBelongToOneEntryAndOneOwner) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  EXPECT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);  // again
  EXPECT_EQ(table.direct(now, "other", direction(50), effects), wire::Status::PathIdInUse);
  EXPECT_EQ(table.direct(now, "other", direction(50, 0), effects), wire::Status::PathIdInUse);
  wire::RelayDirection overlapping = direction(48);
  overlapping.paths.push_back({50});
  EXPECT_EQ(table.direct(now, "other", overlapping, effects), wire::Status::PathIdInUse);
  wire::RelayDirection rekeyed = direction(50);
  rekeyed.leg_b.key = key_of(1);
  EXPECT_EQ(table.direct(now, "dc", rekeyed, effects), wire::Status::PathIdInUse);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(ask(51, wire::Leg::B, cn, 1), EntryTable::RequestResult::Handled);  // the spare
  EXPECT_EQ(sent().at(0).second.path.value, 51u);
  EXPECT_EQ(table.direct(now, "dc", direction(50, 0), effects), wire::Status::Ok);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_FALSE(table.knows({51}));
}

TEST_F(EntryTableTest, OldPathOfAHandoverStaysInItsEntry) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  wire::RelayDirection next = direction(70);
  next.paths.push_back({50});
  next.leg_a.key = key_of(0xa9);
  ASSERT_EQ(table.direct(now, "dc", next, effects), wire::Status::Ok);
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(ask(50, wire::Leg::A, mn, 1), EntryTable::RequestResult::Handled);  // the old key
  // Once both new legs are up, the old path's data goes over them and not over the old entry.
  effects.clear();
  ask(70, wire::Leg::A, mn, 1, 0, {}, 0xa9);
  EXPECT_EQ(last_put()->paths.size(), 2u);
  ask(70, wire::Leg::B, cn, 1);
  ASSERT_NE(last_put(), nullptr);
  EXPECT_EQ(last_put()->paths.front().value, 70u);
  EXPECT_EQ(last_put()->paths.back().value, 50u);
  effects.clear();
  EXPECT_EQ(ask(50, wire::Leg::A, mn, 2), EntryTable::RequestResult::Handled);
  EXPECT_EQ(last_put(), nullptr);  // consent only: it takes nothing back
  ASSERT_EQ(table.direct(now, "dc", direction(50, 0), effects), wire::Status::Ok);
  for (const Effect& e : effects)
    if (const datapath::Change* c = std::get_if<datapath::Change>(&e)) {
      EXPECT_EQ(std::get_if<datapath::RemoveRelay>(c), nullptr);
    }
  EXPECT_TRUE(table.knows({70}));
}

TEST_F(EntryTableTest, FullTableRefusesNewAndKeepsOld) {
  EntryTable small(2, false, random);
  EXPECT_EQ(small.direct(now, "dc", direction(10), effects), wire::Status::Ok);
  EXPECT_EQ(small.direct(now, "dc", direction(20), effects), wire::Status::Ok);
  EXPECT_EQ(small.direct(now, "dc", direction(30), effects), wire::Status::RelayFull);
  EXPECT_TRUE(small.knows({10}) && small.knows({20}));
}

TEST_F(EntryTableTest, ConsentEndsThenTheEntry) {
  ASSERT_EQ(table.direct(now, "dc", direction(50), effects), wire::Status::Ok);
  ask(50, wire::Leg::A, mn, 1);
  ask(50, wire::Leg::B, cn, 1);
  effects.clear();
  now = now + kConsentFor;
  ASSERT_LE(table.next_deadline(), now);
  table.expire(now, effects);
  ASSERT_NE(last_put(), nullptr);
  EXPECT_FALSE(last_put()->a.consent);
  EXPECT_FALSE(last_put()->b.consent);
  effects.clear();
  ask(50, wire::Leg::A, mn, 2);
  EXPECT_TRUE(last_put()->a.consent);
  EXPECT_TRUE(sent().at(0).second.pending);  // the other leg is silent
  now = now + kForgetAfter;
  table.expire(now, effects);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.next_deadline(), Instant::never());
}

TEST_F(EntryTableTest, LifetimeEndsTheEntryAndARefreshExtendsIt) {
  ASSERT_EQ(table.direct(now, "dc", direction(50, 40), effects), wire::Status::Ok);
  now = now + seconds(39);
  ASSERT_EQ(table.direct(now, "dc", direction(50, 40), effects), wire::Status::Ok);
  now = now + seconds(2);
  table.expire(now, effects);
  EXPECT_EQ(table.size(), 1u);
  now = now + seconds(39);
  table.expire(now, effects);
  EXPECT_EQ(table.size(), 0u);
}

TEST(EarlyRequests, OneSlotASourceAndOldestEvicted) {
  EarlyRequests early;
  datapath::ControlReceived r;
  for (std::uint32_t i = 0; i < kEarlySlots + 1; ++i) {
    r.from = {Ipv4::from_u32(0x0b000000 + i), 1};
    early.keep(Instant{i}, {i + 1}, r);
  }
  EXPECT_TRUE(early.take(Instant{300}, {1}).empty());  // evicted
  EXPECT_EQ(early.take(Instant{300}, {2}).size(), 1u);
  EXPECT_TRUE(early.take(Instant{300}, {2}).empty());
  r.from = {Ipv4::from_u32(0x0b000005), 2};
  early.keep(Instant{400}, {900}, r);                  // same address: replaces
  EXPECT_TRUE(early.take(Instant{400}, {6}).empty());
  EXPECT_EQ(early.take(Instant{400}, {900}).size(), 1u);
  early.keep(Instant{400}, {901}, r);
  EXPECT_TRUE(early.take(Instant{400} + kEarlyLife + microseconds(1), {901}).empty());
}

}  // namespace
}  // namespace ntm::relay
