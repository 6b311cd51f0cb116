// Control handshakes, sessions and reliable requests: the good course, and what wrong keys, lost,
// doubled, cut, flipped and replayed datagrams do (nothing).
#include <gtest/gtest.h>

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/exchange/handshake.hpp"
#include "libntm/exchange/requests.hpp"
#include "tests/unit/exchange_pair.hpp"

namespace ntm::exchange {
namespace {

class HandshakeTest : public ::testing::TestWithParam<crypto::Suite> {
 protected:
  SeededRandom random{11};
  Name zone = *Name::parse("mn.example");
  crypto::KeyPair terminal = crypto::make_key_pair(random);
  crypto::KeyPair dc = crypto::make_key_pair(random);
  Instant now{5'000'000};
  Bytes request{0x02, 1, 2, 3};
  Bytes answer{0x03, 9, 8};

  HandshakeTarget target() { return {dc.public_key, zone, GetParam(), {}, {}}; }
};

TEST_P(HandshakeTest, OneRoundTripThenRecordsBothWays) {
  HandshakeInitiator initiator(target(), terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  Bytes init = *initiator.start(request, random);
  EXPECT_GE(init.size(), wire::kHandshakeInitMin);
  ASSERT_TRUE(responder.is_for_us(init));
  Result<OpenedInit> opened = responder.open(init);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->initiator(), terminal.public_key);
  Result<Bytes> payload = opened->read_payload(std::nullopt);
  ASSERT_TRUE(payload.has_value());
  EXPECT_TRUE(equal(ByteView(*payload).first(request.size()), request));
  Result<OpenedInit::Answer> responded = opened->respond(answer, {77}, random, now);
  ASSERT_TRUE(responded.has_value());
  EXPECT_LE(responded->datagram.size(), init.size());
  Result<HandshakeInitiator::Established> done = initiator.response(responded->datagram, now);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->payload, answer);

  Session& a = done->session;
  Session& b = responded->session;
  EXPECT_EQ(a.remote_id().value, 77u);
  for (int i = 0; i < 3; ++i) {
    Bytes record = a.seal(request);
    tl::expected<Session::Opened, Session::Refusal> got = b.open(record);
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(got->plaintext, request);
    EXPECT_TRUE(got->newest);
    EXPECT_EQ(b.open(record).error(), Session::Refusal::Replay);
    Bytes back = b.seal(answer);
    EXPECT_EQ(a.open(back)->plaintext, answer);
  }
  // The same answer again finds no handshake: nothing changes.
  EXPECT_FALSE(initiator.response(responded->datagram, now).has_value());
}

TEST_P(HandshakeTest, RecordsOutOfOrderAreAcceptedOnceAndOnlyTheNewestMoves) {
  HandshakeInitiator initiator(target(), terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  OpenedInit opened = *responder.open(*initiator.start(request, random));
  ASSERT_TRUE(opened.read_payload(std::nullopt).has_value());
  OpenedInit::Answer responded = *opened.respond(answer, {77}, random, now);
  Session a = std::move(initiator.response(responded.datagram, now)->session);
  Session& b = responded.session;
  Bytes first = a.seal(request);
  Bytes second = a.seal(request);
  EXPECT_TRUE(b.open(second)->newest);
  EXPECT_FALSE(b.open(first)->newest);
  EXPECT_EQ(b.open(first).error(), Session::Refusal::Replay);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(b.open(a.seal(request)).has_value());
  EXPECT_EQ(b.open(second).error(), Session::Refusal::Replay);  // far behind the window
}

TEST_P(HandshakeTest, EveryFlippedBitAndEveryCutIsRefused) {
  HandshakeInitiator initiator(target(), terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  Bytes init = *initiator.start(request, random);
  for (std::size_t i = 0; i < init.size() - 16; i += 3) {  // mac2 is not covered without a cookie
    Bytes bad = init;
    bad[i] ^= static_cast<Byte>(1u << (i % 8));
    EXPECT_FALSE(responder.is_for_us(bad)) << i;
    EXPECT_FALSE(responder.open(bad).has_value()) << i;
  }
  for (std::size_t n = 0; n < init.size(); n += 7)
    EXPECT_FALSE(responder.is_for_us(ByteView(init).first(n)));
  OpenedInit opened = *responder.open(init);
  ASSERT_TRUE(opened.read_payload(std::nullopt).has_value());
  OpenedInit::Answer responded = *opened.respond(answer, {77}, random, now);
  for (std::size_t i = 0; i < responded.datagram.size(); ++i) {
    Bytes bad = responded.datagram;
    bad[i] ^= static_cast<Byte>(1u << (i % 8));
    Result<HandshakeInitiator::Established> got = initiator.response(bad, now);
    // The sender session id is the only field a flip may change unseen? No: mac1 covers it.
    EXPECT_FALSE(got.has_value()) << i;
  }
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
  Session& b = responded.session;
  Session a(responded.session.remote_id(), {77}, dc.public_key, GetParam(), {}, true, now);
  EXPECT_EQ(b.open(a.seal(request)).error(), Session::Refusal::Forged);
  EXPECT_EQ(b.open(ByteView(request)).error(), Session::Refusal::Malformed);
}

TEST_P(HandshakeTest, OtherZoneOrOtherKeyIsNotForUs) {
  HandshakeInitiator initiator(target(), terminal);
  Bytes init = *initiator.start(request, random);
  HandshakeResponder other_key(zone, crypto::make_key_pair(random), std::nullopt, random);
  EXPECT_FALSE(other_key.is_for_us(init));
  EXPECT_FALSE(other_key.open(init).has_value());
  HandshakeResponder other_zone(*Name::parse("cn.example"), dc, std::nullopt, random);
  EXPECT_FALSE(other_zone.open(init).has_value());  // the prologue names the zone
  HandshakeResponder rotated(zone, crypto::make_key_pair(random), dc, random);
  EXPECT_TRUE(rotated.open(init).has_value());  // as the announced next key
}

TEST_P(HandshakeTest, EnrolmentNeedsTheTokensPsk) {
  HandshakeTarget t = target();
  t.token = TokenId{42};
  t.psk = crypto::enrolment_psk(as_view("0123456789abcdef"), {42});
  HandshakeInitiator initiator(t, terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  Bytes init = *initiator.start(request, random);
  OpenedInit wrong = *responder.open(init);
  EXPECT_EQ(wrong.token().value, 42u);
  EXPECT_EQ(wrong.pattern(), wire::Pattern::IKpsk1);
  EXPECT_FALSE(wrong.read_payload(crypto::enrolment_psk(as_view("x"), {42})).has_value());
  OpenedInit none = *responder.open(init);
  EXPECT_FALSE(none.read_payload(std::nullopt).has_value());
  OpenedInit right = *responder.open(init);
  ASSERT_TRUE(right.read_payload(t.psk).has_value());
  OpenedInit::Answer responded = *right.respond(answer, {5}, random, now);
  EXPECT_TRUE(initiator.response(responded.datagram, now).has_value());
}

TEST_P(HandshakeTest, CookieProvesTheSource) {
  HandshakeInitiator initiator(target(), terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  Endpoint source = *parse_endpoint("192.0.2.1:4000");
  Bytes init = *initiator.start(request, random);
  std::optional<Bytes> cookie = responder.demand_cookie(now, source, init);
  ASSERT_TRUE(cookie.has_value());
  EXPECT_LT(cookie->size(), init.size());
  Bytes forged = *cookie;
  forged[40] ^= 1;
  EXPECT_FALSE(initiator.cookie(forged).has_value());
  Bytes again = *initiator.cookie(*cookie);
  EXPECT_FALSE(responder.demand_cookie(now, source, again).has_value());
  // Another source, or two rotations later: a new cookie is demanded.
  EXPECT_TRUE(responder.demand_cookie(now, *parse_endpoint("192.0.2.2:4000"), again).has_value());
  EXPECT_FALSE(responder.demand_cookie(now + seconds(130), source, again).has_value());
  EXPECT_TRUE(responder.demand_cookie(now + seconds(260), source, again).has_value());
  EXPECT_TRUE(responder.open(again).has_value());
}

// A quiet responder rotates late: the cookie of an hour ago is older than two generations.
TEST_P(HandshakeTest, AnOldCookieDiesThoughNothingHappenedMeanwhile) {
  HandshakeInitiator initiator(target(), terminal);
  HandshakeResponder responder(zone, dc, std::nullopt, random);
  Endpoint source = *parse_endpoint("192.0.2.1:4000");
  Bytes init = *initiator.start(request, random);
  Bytes again = *initiator.cookie(*responder.demand_cookie(now, source, init));
  EXPECT_TRUE(responder.demand_cookie(now + seconds(3600), source, again).has_value());
}

INSTANTIATE_TEST_SUITE_P(Suites, HandshakeTest,
                         ::testing::Values(crypto::Suite::AesGcm, crypto::Suite::ChaChaPoly));

TEST(SourceLimiter, BurstThenRateBySourcePrefix) {
  SeededRandom random(3);
  SourceLimiter limiter(random);
  Instant now{1'000'000};
  IpAddress a = *parse_address("2001:db8::1");
  IpAddress same64 = *parse_address("2001:db8::2");
  int allowed = 0;
  for (int i = 0; i < 50; ++i) allowed += limiter.allow(now, i % 2 ? a : same64);
  EXPECT_EQ(allowed, SourceLimiter::kBurst);
  allowed = 0;
  for (int i = 0; i < 1000; ++i) {
    now = now + milliseconds(10);
    allowed += limiter.allow(now, a);
  }
  EXPECT_NEAR(allowed, 200, 5);  // 10 s at 20 a second
  EXPECT_TRUE(limiter.allow(now, *parse_address("192.0.2.1")));
}

// A flood must not use up its own refill: each refused datagram would round its share of a token
// down to nothing, and whoever shares the slot would be shut out as long as the flood lasts.
TEST(SourceLimiter, AFloodStillGetsItsRate) {
  SeededRandom random(3);
  SourceLimiter limiter(random);
  Instant now{0};
  IpAddress source = *parse_address("192.0.2.1");
  int allowed = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    now = now + microseconds(10);
    allowed += limiter.allow(now, source);
  }
  EXPECT_NEAR(allowed, 205, 2);  // 10 s at 20 a second and the burst
}

TEST(SourceLimiter, TheFirstInstantIsNoSpecialCase) {
  SeededRandom random(3);
  SourceLimiter limiter(random);
  int allowed = 0;
  for (int i = 0; i < 50; ++i) allowed += limiter.allow(Instant{0}, *parse_address("192.0.2.1"));
  EXPECT_EQ(allowed, SourceLimiter::kBurst);
}

TEST(Requests, RetransmissionPlan) {
  SeededRandom random(4);
  RttEstimator rtt;
  RequestTable<int> table;
  Instant now{1'000'000};
  table.start(now, 9, 5, rtt, random);
  std::vector<std::int64_t> gaps;
  Instant last = now;
  int sent = 1;
  while (true) {
    now = table.next_deadline();
    RequestTable<int>::Turn turn = table.due(now, random);
    gaps.push_back((now - last).us);
    last = now;
    if (!turn.failed.empty()) {
      EXPECT_EQ(turn.failed[0].id, 9u);
      EXPECT_EQ(turn.failed[0].to, 5);
      break;
    }
    ASSERT_EQ(turn.again.size(), 1u);
    ++sent;
  }
  EXPECT_EQ(sent, kMaxTries);
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    double expected = 250e3 * static_cast<double>(1u << i);
    EXPECT_GE(static_cast<double>(gaps[i]), expected * 0.8 - 1) << i;
    EXPECT_LE(static_cast<double>(gaps[i]), expected * 1.2 + 1) << i;
  }
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.next_deadline(), Instant::never());
}

TEST(Requests, KarnAndBounds) {
  SeededRandom random(4);
  RttEstimator rtt;
  RequestTable<int> table;
  Instant now{1'000'000};
  table.start(now, 1, 0, rtt, random);
  EXPECT_EQ(table.answered(1, now + milliseconds(30))->us, 30000);
  EXPECT_FALSE(table.answered(1, now).has_value());
  table.start(now, 2, 0, rtt, random);
  table.due(table.next_deadline(), random);
  EXPECT_FALSE(table.answered(2, now + seconds(1)).has_value());  // ambiguous: no sample
  rtt.sample(milliseconds(2));
  EXPECT_EQ(rtt.first_timeout().us, kFirstTimeoutLow.us);
  rtt.sample(seconds(60));
  EXPECT_EQ(rtt.first_timeout().us, kFirstTimeoutHigh.us);
}

TEST(AnswerCache, KeepsFiveSecondsAndIsBounded) {
  AnswerCache cache(100);
  PublicKey peer;
  Instant now{1'000'000};
  for (std::int64_t i = 0; i < 150; ++i)
    cache.put(now + microseconds(i), peer, {static_cast<std::uint64_t>(i)},
              Bytes{static_cast<Byte>(i)});
  Instant later = now + milliseconds(1);
  EXPECT_EQ(cache.find(later, peer, {10}), nullptr);
  ASSERT_NE(cache.find(later, peer, {149}), nullptr);
  PublicKey other;
  other.raw[0] = 1;
  EXPECT_EQ(cache.find(later, other, {149}), nullptr);
  cache.put(later, peer, {149}, Bytes{1, 2});  // younger answer of the same request
  EXPECT_EQ(cache.find(now + seconds(5) + microseconds(200), peer, {149})->size(), 2u);
  EXPECT_EQ(cache.find(now + seconds(6), peer, {149}), nullptr);
}

TEST(KeepAlive, IntervalIsClampedAndJittered) {
  SeededRandom random(5);
  KeepAliveTimer timer;
  Instant now{1'000'000};
  EXPECT_EQ(timer.deadline(), Instant::never());
  timer.start(now, random);
  EXPECT_GE(timer.deadline(), now + milliseconds(13500));
  EXPECT_LE(timer.deadline(), now + milliseconds(16500));
  timer.mapping_lives(seconds(100));
  EXPECT_EQ(timer.interval().us, seconds(80).us);
  timer.mapping_lives(seconds(1000));
  EXPECT_EQ(timer.interval().us, seconds(120).us);
}

TEST(Tokens, TextFormRoundTripsAndCatchesTyping) {
  wire::EnrolmentToken token;
  token.zone = *Name::parse("mn.example");
  token.subject = *Name::parse("van-1.mn.example");
  token.dc_key.raw[5] = 9;
  token.dc_endpoints = {*parse_endpoint("192.0.2.1:4753"), *parse_endpoint("[2001:db8::1]:4753")};
  token.id = {123};
  token.secret.span()[0] = 0xee;
  std::string text = crypto::token_text(token);
  Result<wire::EnrolmentToken> back = crypto::parse_token(text + "\n");
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(*back == token);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string typo = text;
    typo[i] = typo[i] == 'a' ? 'b' : 'a';
    Result<wire::EnrolmentToken> got = crypto::parse_token(typo);
    EXPECT_FALSE(got.has_value()) << i;
  }
  EXPECT_FALSE(crypto::parse_token("").has_value());
  EXPECT_FALSE(crypto::parse_token(text.substr(0, text.size() - 3)).has_value());
}

}  // namespace
}  // namespace ntm::exchange
