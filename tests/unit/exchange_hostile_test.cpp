// What a network and a stranger do to handshakes and sessions: every cut, every flipped bit,
// doubled, late, reflected and out of turn. Nothing of it may be believed, and nothing may spoil
// what the genuine datagram finds afterwards.
#include <gtest/gtest.h>

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "tests/unit/exchange_pair.hpp"

namespace ntm::exchange {
namespace {

class Hostile : public ::testing::TestWithParam<crypto::Suite>, protected HandshakePair {
 protected:
  Hostile() : HandshakePair(GetParam()) {}
};

// Calls `refused` with every truncation and with every single-bit change of a datagram.
template <typename Check>
void every_damage(ByteView genuine, Check refused) {
  for (std::size_t n = 0; n < genuine.size(); ++n) {
    SCOPED_TRACE("cut to " + std::to_string(n));
    refused(to_bytes(genuine.first(n)));
  }
  Bytes bad = to_bytes(genuine);
  for (std::size_t bit = 0; bit < genuine.size() * 8; ++bit) {
    SCOPED_TRACE("bit " + std::to_string(bit));
    bad[bit / 8] ^= static_cast<Byte>(1u << (bit % 8));
    refused(bad);
    bad[bit / 8] = genuine[bit / 8];
  }
  bad.push_back(0);
  refused(bad);
}

TEST_P(Hostile, DamagedHsInitStopsAtMac1) {
  Bytes init = *initiator.start(request, random);
  // mac2 says something only about a cookie: its 16 bytes are not covered.
  Bytes tail(init.end() - 16, init.end());
  every_damage(ByteView(init).first(init.size() - 16), [&](Bytes bad) {
    bad.insert(bad.end(), tail.begin(), tail.end());
    EXPECT_FALSE(responder.is_for_us(bad));
    EXPECT_FALSE(responder.open(bad).has_value());
  });
  for (std::size_t n = 0; n < init.size(); ++n) {
    EXPECT_FALSE(responder.is_for_us(ByteView(init).first(n)));
    EXPECT_FALSE(responder.open(ByteView(init).first(n)).has_value());
  }
  EXPECT_TRUE(responder.open(init).has_value());
}

TEST_P(Hostile, DamagedHsRespLeavesTheHandshakeWaiting) {
  OpenedInit::Answer responded = respond_to(*initiator.start(request, random));
  every_damage(responded.datagram, [&](const Bytes& bad) {
    EXPECT_FALSE(initiator.response(bad, now).has_value());
  });
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
}

// Whoever knows the terminal's public key can make mac1; the answer must still be to our session.
TEST_P(Hostile, HsRespForAnotherSessionIsRefusedWithAGoodMac1) {
  OpenedInit::Answer responded = respond_to(*initiator.start(request, random));
  Bytes other = responded.datagram;
  other[4] ^= 1;  // the receiver's session id
  crypto::HmacKey mac1(crypto::mac1_key(terminal.public_key).view());
  crypto::Mac16 mac = mac1.mac16({ByteView(other).first(other.size() - 16)});
  std::copy(mac.begin(), mac.end(), other.end() - 16);
  EXPECT_FALSE(initiator.response(other, now).has_value());
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
}

TEST_P(Hostile, DamagedCookieLeavesTheHandshakeWaiting) {
  Endpoint source = *parse_endpoint("[2001:db8::7]:4000");
  Bytes init = *initiator.start(request, random);
  Bytes cookie = *responder.demand_cookie(now, source, init);
  every_damage(cookie, [&](const Bytes& bad) { EXPECT_FALSE(initiator.cookie(bad).has_value()); });
  Bytes again = *initiator.cookie(cookie);
  EXPECT_FALSE(responder.demand_cookie(now, source, again).has_value());
  // Only mac2 differs, so message 1 and what answers it stay valid.
  EXPECT_TRUE(equal(ByteView(init).first(init.size() - 16),
                    ByteView(again).first(again.size() - 16)));
  OpenedInit::Answer responded = respond_to(again);
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
}

TEST_P(Hostile, CookieHoldsForAddressAndPortAndTwoGenerations) {
  Endpoint source = *parse_endpoint("192.0.2.1:4000");
  Bytes init = *initiator.start(request, random);
  Bytes again = *initiator.cookie(*responder.demand_cookie(now, source, init));
  for (const char* other : {"192.0.2.1:4001", "192.0.2.2:4000", "[::ffff:192.0.2.1]:4000"})
    EXPECT_TRUE(responder.demand_cookie(now, *parse_endpoint(other), again).has_value()) << other;
  Instant last = now + seconds(240) - microseconds(1);
  EXPECT_FALSE(responder.demand_cookie(now + seconds(119), source, again).has_value());
  EXPECT_FALSE(responder.demand_cookie(now + seconds(120), source, again).has_value());
  EXPECT_FALSE(responder.demand_cookie(last, source, again).has_value());
  EXPECT_TRUE(responder.demand_cookie(now + seconds(240), source, again).has_value());
}

TEST_P(Hostile, DamagedRecordChangesNothing) {
  Sessions s = sessions();
  Bytes first = s.terminal.seal(request);
  every_damage(first, [&](const Bytes& bad) { EXPECT_FALSE(s.dc.open(bad).has_value()); });
  // A forged far counter did not move the window: the genuine one is still new, and the newest.
  tl::expected<Session::Opened, Session::Refusal> got = s.dc.open(first);
  ASSERT_TRUE(got.has_value());
  EXPECT_TRUE(got->newest);
  EXPECT_EQ(got->plaintext, request);
}

TEST_P(Hostile, EachRefusalSaysWhy) {
  Sessions s = sessions();
  Bytes record = s.terminal.seal(request);
  Bytes other = record;
  other[15] ^= 1;  // the session id
  EXPECT_EQ(s.dc.open(other).error(), Session::Refusal::WrongSession);
  Bytes forged = record;
  forged.back() ^= 1;
  EXPECT_EQ(s.dc.open(forged).error(), Session::Refusal::Forged);
  EXPECT_EQ(s.dc.open(ByteView(record).first(31)).error(), Session::Refusal::Malformed);
  ASSERT_TRUE(s.dc.open(record).has_value());
  EXPECT_EQ(s.dc.open(record).error(), Session::Refusal::Replay);
  // One's own record sent back: another session id; with that mended, another key.
  Bytes reflected = s.terminal.seal(request);
  EXPECT_EQ(s.terminal.open(reflected).error(), Session::Refusal::WrongSession);
  for (int i = 0; i < 8; ++i)
    reflected[static_cast<std::size_t>(8 + i)] =
        static_cast<Byte>(s.terminal.local_id().value >> (56 - 8 * i));
  EXPECT_EQ(s.terminal.open(reflected).error(), Session::Refusal::Forged);
}

TEST_P(Hostile, LostDoubledAndReorderedRecordsArriveOnceEach) {
  Sessions s = sessions();
  std::vector<Bytes> sent;
  for (int i = 0; i < 48; ++i) sent.push_back(s.terminal.seal(Bytes{0x01, static_cast<Byte>(i)}));
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < sent.size(); ++i)
    if (i % 5 != 3)
      for (int copy = 0; copy < 2; ++copy) order.push_back(i);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  std::vector<int> arrived(sent.size(), 0);
  std::size_t newest = 0;
  for (std::size_t i : order) {
    tl::expected<Session::Opened, Session::Refusal> got = s.dc.open(sent[i]);
    if (!got) {
      EXPECT_EQ(got.error(), Session::Refusal::Replay);
      continue;
    }
    EXPECT_EQ(got->plaintext[1], i);
    EXPECT_EQ(got->newest, i + 1 > newest);
    newest = std::max(newest, i + 1);
    ++arrived[i];
  }
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(arrived[i], i % 5 != 3) << i;
}

TEST_P(Hostile, OnlyTheNewestHandshakeCanBeAnswered) {
  OpenedInit::Answer old = respond_to(*initiator.start(request, random));
  Bytes second = *initiator.start(request, random);
  EXPECT_FALSE(initiator.response(old.datagram, now).has_value());
  EXPECT_TRUE(initiator.response(respond_to(second).datagram, now).has_value());
}

// The same HS_INIT twice (retransmission, or a replay): two answers under two ephemerals; the
// initiator takes one and the sessions of the other fit nobody.
TEST_P(Hostile, ADoubledHsInitGivesOneSession) {
  Bytes init = *initiator.start(request, random);
  OpenedInit::Answer first = respond_to(init);
  OpenedInit::Answer second = respond_to(init);
  Result<HandshakeInitiator::Established> done = initiator.response(second.datagram, now);
  ASSERT_TRUE(done.has_value());
  EXPECT_FALSE(initiator.response(first.datagram, now).has_value());
  Bytes record = done->session.seal(request);
  EXPECT_EQ(first.session.open(record).error(), Session::Refusal::Forged);
  EXPECT_TRUE(second.session.open(record).has_value());
}

// The suite is in the prologue: a changed one can't be opened even with mac1 made anew.
TEST_P(Hostile, ASuiteThatWasSwappedOnTheWayIsRefused) {
  Bytes init = *initiator.start(request, random);
  init[1] ^= 3;  // 1 <-> 2
  crypto::HmacKey mac1(crypto::mac1_key(dc.public_key).view());
  std::size_t at = init.size() - wire::kMac1FromEnd;
  crypto::Mac16 mac = mac1.mac16({ByteView(init).first(at)});
  std::copy(mac.begin(), mac.end(), init.begin() + static_cast<std::ptrdiff_t>(at));
  ASSERT_TRUE(responder.is_for_us(init));
  EXPECT_FALSE(responder.open(init).has_value());
}

TEST_P(Hostile, NoAnswerBeforeThePayloadOpened) {
  HandshakeTarget target{dc.public_key, zone, suite, TokenId{42},
                         crypto::enrolment_psk(as_view("0123456789abcdef"), {42})};
  HandshakeInitiator enrolling(target, terminal);
  Bytes init = *enrolling.start(request, random);
  OpenedInit unread = *responder.open(init);
  EXPECT_FALSE(unread.respond(answer, {77}, random, now).has_value());
  EXPECT_FALSE(unread.read_payload(target.psk).has_value());  // dead after a step out of turn
  OpenedInit wrong = *responder.open(init);
  EXPECT_FALSE(wrong.read_payload(Key32{}).has_value());
  EXPECT_FALSE(wrong.respond(answer, {77}, random, now).has_value());
  OpenedInit again = *responder.open(init);
  EXPECT_FALSE(again.read_payload(Key32{}).has_value());
  EXPECT_FALSE(again.read_payload(target.psk).has_value());  // dead after a failure
  OpenedInit right = *responder.open(init);
  EXPECT_TRUE(right.read_payload(target.psk).has_value());
  EXPECT_TRUE(right.respond(answer, {77}, random, now).has_value());
  EXPECT_FALSE(right.respond(answer, {77}, random, now).has_value());  // once
}

TEST_P(Hostile, AStaticSecretKeptForThePeerSavesADhAndAWrongOneFails) {
  Bytes init = *initiator.start(request, random);
  OpenedInit opened = *responder.open(init);
  EXPECT_EQ(opened.responder(), dc.public_key);
  Key32 shared = *crypto::x25519(dc.secret, opened.initiator());
  EXPECT_TRUE(opened.read_payload(std::nullopt, shared).has_value());
  OpenedInit::Answer responded = *opened.respond(answer, {77}, random, now);
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
  OpenedInit again = *responder.open(init);
  EXPECT_FALSE(again.read_payload(std::nullopt, Key32{}).has_value());
}

TEST_P(Hostile, HsInitIsAtLeast512BytesAndAnswersFitIt) {
  for (std::size_t length = 1; length < 400; ++length) {
    Bytes payload(length, 0x11);
    Bytes init = *initiator.start(payload, random);
    // One or two missing bytes are filled by a padding TLV of three.
    EXPECT_GE(init.size(), wire::kHandshakeInitMin);
    EXPECT_LE(init.size(), std::max<std::size_t>(wire::kHandshakeInitMin + 2,
                                                 wire::kHandshakeInitFixed + length));
    if (length % 50 != 1) continue;
    OpenedInit opened = *responder.open(init);
    Bytes read = *opened.read_payload(std::nullopt);
    EXPECT_TRUE(equal(ByteView(read).first(length), payload));
    Bytes too_long(init.size() - wire::kHandshakeResponseFixed + 1, 1);
    EXPECT_EQ(opened.respond(too_long, {77}, random, now).error().kind, ErrorKind::Internal);
    too_long.pop_back();
    EXPECT_EQ(opened.respond(too_long, {77}, random, now)->datagram.size(), init.size());
  }
}

TEST_P(Hostile, SessionIsWornAfterAnHour) {
  Sessions s = sessions();
  EXPECT_FALSE(s.dc.is_worn(now + seconds(3600) - microseconds(1)));
  EXPECT_TRUE(s.dc.is_worn(now + seconds(3600)));
}

INSTANTIATE_TEST_SUITE_P(Suites, Hostile,
                         ::testing::Values(crypto::Suite::AesGcm, crypto::Suite::ChaChaPoly));

}  // namespace
}  // namespace ntm::exchange
