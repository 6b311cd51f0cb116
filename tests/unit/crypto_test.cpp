// What published vectors can't say about our crypto: kept contexts equal fresh ones, packets cost
// no allocation, derived keys are all different, handshake steps out of order are refused, MACs
// refuse every damage.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <set>

#include "libntm/base/text.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "libntm/crypto/noise.hpp"
#include "libntm/crypto/tunnel_keys.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::crypto {
namespace {

// OpenSSL's allocations, counted; must be hooked before its first one, hence before main().
std::size_t allocations = 0;
void* counted_malloc(std::size_t n, const char*, int) { return ++allocations, std::malloc(n); }
void* counted_realloc(void* p, std::size_t n, const char*, int) {
  return ++allocations, std::realloc(p, n);
}
void counted_free(void* p, const char*, int) { std::free(p); }
const int hooked = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free);

Bytes run(std::size_t count, Byte first = 0) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Byte>(first + i);
  return out;
}

TEST(HmacKey, EqualsTheOneShotForAllLengthsAndAgain) {
  for (std::size_t key_length : {0u, 1u, 16u, 32u, 63u, 64u, 65u, 131u}) {
    Bytes key = run(key_length, 3);
    HmacKey kept(key);
    for (std::size_t length : {0u, 1u, 55u, 56u, 63u, 64u, 65u, 176u, 1200u}) {
      Bytes data = run(length, 7);
      Digest expected = hmac_sha256(key, {data});
      EXPECT_EQ(kept.digest({data}), expected) << key_length << " " << length;
      ByteView view(data);
      EXPECT_EQ(kept.digest({view.first(length / 3), {}, view.subspan(length / 3)}), expected);
      EXPECT_TRUE(equal(kept.mac16({data}), ByteView(expected).first(16)));
    }
    HmacKey moved = std::move(kept);
    EXPECT_EQ(moved.digest({key}), hmac_sha256(key, {key}));
  }
}

TEST(Aead, AllocatesNothingPerPacket) {
  ASSERT_EQ(hooked, 1);
  for (Suite suite : {Suite::AesGcm, Suite::ChaChaPoly}) {
    Key32 key(Reader(run(32)).array<32>());
    Aead seal(suite, Aead::Use::Seal, key, Iv{});
    Aead open(suite, Aead::Use::Open, key, Iv{});
    Bytes packet = run(1400 + kTag);
    std::size_t before = 0;
    for (std::uint64_t counter = 0; counter < 50; ++counter) {
      if (counter == 2) before = allocations;  // whatever is set up once was set up by now
      seal.seal(counter, as_view("header"), ByteView(packet).first(1400), packet);
      ASSERT_TRUE(open.open(counter, as_view("header"), packet, ByteSpan(packet).first(1400)));
    }
    EXPECT_GT(before, 0u);
    EXPECT_EQ(allocations, before) << to_string(suite);
    EXPECT_TRUE(equal(ByteView(packet).first(1400), run(1400)));
  }
}

TEST(Aead, AForgedPacketSpoilsNothing) {
  for (Suite suite : {Suite::AesGcm, Suite::ChaChaPoly}) {
    Key32 key(Reader(run(32)).array<32>());
    Aead seal(suite, Aead::Use::Seal, key, Iv{});
    Aead open(suite, Aead::Use::Open, key, Iv{});
    Bytes sealed(40 + kTag);
    seal.seal(9, as_view("aad"), run(40), sealed);
    Bytes out(40);
    for (std::size_t n = 0; n < sealed.size(); ++n)
      EXPECT_FALSE(open.open(9, as_view("aad"), ByteView(sealed).first(n), out));
    EXPECT_FALSE(open.open(9, as_view("aae"), sealed, out));
    EXPECT_FALSE(open.open(8, as_view("aad"), sealed, out));
    EXPECT_TRUE(open.open(9, as_view("aad"), sealed, out));
    EXPECT_EQ(out, run(40));
  }
}

TEST(KeySchedule, NoTwoUsesShareAKey) {
  std::set<Bytes> made;
  std::size_t count = 0;
  for (std::string_view label :
       {kLabelKey, kLabelIv, kLabelExporter, kLabelRekey, kLabelPeerToPeer, kLabelPsk, kLabelMac1,
        kLabelCookie, kLabelReset, kLabelRelay, kLabelEnrol})
    for (std::uint8_t suite : {0, 1, 2})
      for (std::size_t length : {12u, 16u, 32u, 44u})
        for (std::string_view context : {"", "c"}) {
          Bytes out(length);
          derive(run(32), label, suite, as_view(context), out);
          out.resize(12);  // a shorter output is no prefix of a longer one
          made.insert(out);
          ++count;
        }
  EXPECT_EQ(count, 11u * 3 * 4 * 2);
  EXPECT_EQ(made.size(), count);
}

TEST(KeySchedule, TheTunnelPskBindsAllThatMessage1DoesNot) {
  Name a = *Name::parse("mn.example");
  Name b = *Name::parse("cn.example");
  Key32 ck(Reader(run(32, 1)).array<32>());
  Key32 user(Reader(run(32, 2)).array<32>());
  std::set<std::string> made;
  for (const Key32& secret : {ck, user}) {
    made.insert(to_hex(tunnel_psk(secret, {}, {7}, Suite::AesGcm, a, b).view()));
  }
  made.insert(to_hex(tunnel_psk(ck, user, {7}, Suite::AesGcm, a, b).view()));
  made.insert(to_hex(tunnel_psk(ck, {}, {8}, Suite::AesGcm, a, b).view()));
  made.insert(to_hex(tunnel_psk(ck, {}, {7}, Suite::ChaChaPoly, a, b).view()));
  made.insert(to_hex(tunnel_psk(ck, {}, {7}, Suite::AesGcm, b, a).view()));
  made.insert(to_hex(tunnel_psk(ck, {}, {7}, Suite::AesGcm, a, a).view()));
  EXPECT_EQ(made.size(), 7u);
}

TEST(KeySchedule, ConfirmRefusesEveryDamage) {
  Key32 exporter_key(Reader(run(32)).array<32>());
  Bytes blob = confirm_blob(exporter_key, {5});
  EXPECT_EQ(blob.size(), wire::kConfirmSize);
  EXPECT_TRUE(verify_confirm(exporter_key, {5}, blob));
  EXPECT_FALSE(verify_confirm(exporter_key, {6}, blob));
  EXPECT_FALSE(verify_confirm(Key32{}, {5}, blob));
  for (std::size_t n = 0; n < blob.size(); ++n) {
    EXPECT_FALSE(verify_confirm(exporter_key, {5}, ByteView(blob).first(n)));
    Bytes bad = blob;
    bad[n] ^= 0x40;
    EXPECT_FALSE(verify_confirm(exporter_key, {5}, bad));
  }
}

TEST(TunnelMac, RefusesEveryDamageAndBothWaysAgree) {
  Key16 key(Reader(run(16)).array<16>());
  HmacKey kept(key.view());
  for (std::size_t body : {36u, 176u}) {
    Bytes datagram = run(body);
    append_tunnel_mac(key, datagram);
    Bytes other = run(body);
    append_tunnel_mac(kept, other);
    EXPECT_EQ(datagram, other);
    EXPECT_TRUE(verify_tunnel_mac(key, datagram));
    EXPECT_TRUE(verify_tunnel_mac(kept, datagram));
    EXPECT_FALSE(verify_tunnel_mac(Key16{}, datagram));
    for (std::size_t i = 0; i < datagram.size(); ++i) {
      Bytes bad = datagram;
      bad[i] ^= static_cast<Byte>(1u << (i % 8));
      EXPECT_FALSE(verify_tunnel_mac(key, bad));
      EXPECT_FALSE(verify_tunnel_mac(kept, bad));
      EXPECT_FALSE(verify_tunnel_mac(key, ByteView(datagram).first(i)));
      EXPECT_FALSE(verify_tunnel_mac(kept, ByteView(datagram).first(i)));
    }
  }
}

class NoiseSteps : public ::testing::TestWithParam<NoisePattern> {
 protected:
  KeyPair static_i = key_pair_from(Key32(std::array<Byte, 32>{0, 1}));
  KeyPair static_r = key_pair_from(Key32(std::array<Byte, 32>{0, 2}));
  KeyPair ephemeral_i = key_pair_from(Key32(std::array<Byte, 32>{0, 3}));
  KeyPair ephemeral_r = key_pair_from(Key32(std::array<Byte, 32>{0, 4}));
  Key32 psk{std::array<Byte, 32>{9}};
  Bytes payload{1, 2, 3};

  Noise initiator() {
    return Noise(GetParam(), Suite::AesGcm, NoiseRole::Initiator, as_view("p"), static_i,
                 static_r.public_key);
  }
  Noise responder() {
    return Noise(GetParam(), Suite::AesGcm, NoiseRole::Responder, as_view("p"), static_r, {});
  }
};

TEST_P(NoiseSteps, OutOfOrderOrTwiceIsRefusedAndDead) {
  Noise a = initiator();
  Bytes m1 = *a.write_message1(ephemeral_i, payload, psk);
  ByteView e = ByteView(m1).first(32);
  ByteView s = ByteView(m1).subspan(32, 48);
  ByteView p = ByteView(m1).subspan(80);
  Noise b = responder();
  ASSERT_TRUE(b.read_static(e, s).has_value());
  Noise named = b;
  ASSERT_TRUE(b.read_payload(p, psk).has_value());
  Noise read = b;
  Bytes m2 = *b.write_message2(ephemeral_r, payload, psk);

  EXPECT_FALSE(responder().read_payload(p, psk).has_value());
  EXPECT_FALSE(responder().write_message2(ephemeral_r, payload, psk).has_value());
  EXPECT_FALSE(responder().write_message1(ephemeral_i, payload, psk).has_value());
  EXPECT_FALSE(initiator().read_message2(m2, psk).has_value());
  EXPECT_FALSE(initiator().read_static(e, s).has_value());
  EXPECT_FALSE(Noise(named).write_message2(ephemeral_r, payload, psk).has_value());
  EXPECT_FALSE(Noise(read).read_payload(p, psk).has_value());
  EXPECT_FALSE(Noise(b).write_message2(ephemeral_r, payload, psk).has_value());
  EXPECT_FALSE(Noise(a).write_message1(ephemeral_i, payload, psk).has_value());

  Noise misused = responder();
  EXPECT_FALSE(misused.write_message2(ephemeral_r, payload, psk).has_value());
  EXPECT_FALSE(misused.read_static(e, s).has_value());
  Noise unopened = named;
  EXPECT_FALSE(unopened.read_payload(ByteView(p).first(3), psk).has_value());
  EXPECT_FALSE(unopened.write_message2(ephemeral_r, payload, psk).has_value());
  Noise dead = named;
  Bytes forged = to_bytes(p);
  forged.back() ^= 1;
  EXPECT_FALSE(dead.read_payload(forged, psk).has_value());
  EXPECT_FALSE(dead.read_payload(p, psk).has_value());
  EXPECT_FALSE(dead.write_message2(ephemeral_r, payload, psk).has_value());

  EXPECT_TRUE(a.read_message2(m2, psk).has_value());
  EXPECT_FALSE(Noise(a).read_message2(m2, psk).has_value());
  EXPECT_TRUE(a.split().initiator_to_responder == b.split().initiator_to_responder);
}

TEST_P(NoiseSteps, EveryDamageOfEitherMessageIsRefused) {
  Noise a = initiator();
  Bytes m1 = *a.write_message1(ephemeral_i, payload, psk);
  Noise b = responder();
  ASSERT_TRUE(b.read_static(ByteView(m1).first(32), ByteView(m1).subspan(32, 48)).has_value());
  ASSERT_TRUE(b.read_payload(ByteView(m1).subspan(80), psk).has_value());
  Bytes m2 = *b.write_message2(ephemeral_r, payload, psk);
  for (std::size_t i = 0; i < m1.size(); ++i) {
    Bytes bad = m1;
    bad[i] ^= static_cast<Byte>(1u << (i % 7));  // X25519 ignores bit 7 of the last byte
    Noise fresh = responder();
    bool opened = fresh.read_static(ByteView(bad).first(32), ByteView(bad).subspan(32, 48))
                      .has_value() &&
                  fresh.read_payload(ByteView(bad).subspan(80), psk).has_value();
    EXPECT_FALSE(opened) << i;
  }
  for (std::size_t i = 0; i < m2.size(); ++i) {
    Bytes bad = m2;
    bad[i] ^= static_cast<Byte>(1u << (i % 7));
    EXPECT_FALSE(Noise(a).read_message2(bad, psk).has_value()) << i;
    EXPECT_FALSE(Noise(a).read_message2(ByteView(m2).first(i), psk).has_value()) << i;
  }
  EXPECT_TRUE(a.read_message2(m2, psk).has_value());
}

TEST_P(NoiseSteps, APskPatternWithoutPskIsRefused) {
  Noise a = initiator();
  Result<Bytes> m1 = a.write_message1(ephemeral_i, payload);
  EXPECT_EQ(m1.has_value(), GetParam() != NoisePattern::IKpsk1);
  if (!m1) return;
  Noise b = responder();
  ASSERT_TRUE(b.read_static(ByteView(*m1).first(32), ByteView(*m1).subspan(32, 48)).has_value());
  ASSERT_TRUE(b.read_payload(ByteView(*m1).subspan(80)).has_value());
  EXPECT_EQ(b.write_message2(ephemeral_r, payload).has_value(),
            GetParam() != NoisePattern::IKpsk2);
}

INSTANTIATE_TEST_SUITE_P(Patterns, NoiseSteps,
                         ::testing::Values(NoisePattern::IK, NoisePattern::IKpsk1,
                                           NoisePattern::IKpsk2));

TEST(Suites, TheChoiceIsTheInitiatorsPreferredCommonOne) {
  EXPECT_EQ(choose_suite(kAllSuites, kAllSuites, Suite::AesGcm), Suite::AesGcm);
  EXPECT_EQ(choose_suite(kAllSuites, kAllSuites, Suite::ChaChaPoly), Suite::ChaChaPoly);
  EXPECT_EQ(choose_suite(kAllSuites, 0x0002, Suite::AesGcm), Suite::ChaChaPoly);
  EXPECT_EQ(choose_suite(0x0001, kAllSuites, Suite::ChaChaPoly), Suite::AesGcm);
  EXPECT_EQ(choose_suite(0x0001, 0x0002, Suite::AesGcm), std::nullopt);
  EXPECT_EQ(choose_suite(kAllSuites, 0xfffc, Suite::AesGcm), std::nullopt);  // suites to come
  for (Suite suite : {Suite::AesGcm, Suite::ChaChaPoly})
    EXPECT_EQ(suite_from(static_cast<std::uint8_t>(suite)), suite);
  for (int raw : {0x00, 0x03, 0x11, 0x12, 0xff})
    EXPECT_EQ(suite_from(static_cast<std::uint8_t>(raw)), std::nullopt) << raw;
}

TEST(SafetyNumber, ThirtyDigitsTheSameFromBothSides) {
  PublicKey a{Reader(run(32, 1)).array<32>()};
  PublicKey b{Reader(run(32, 2)).array<32>()};
  std::string text = safety_number(a, b);
  EXPECT_EQ(text, safety_number(b, a));
  EXPECT_NE(text, safety_number(a, a));
  ASSERT_EQ(text.size(), 35u);
  for (std::size_t i = 0; i < text.size(); ++i)
    EXPECT_EQ(text[i] == ' ', i % 6 == 5) << i;
}

}  // namespace
}  // namespace ntm::crypto
