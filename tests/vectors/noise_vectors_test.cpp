// Our Noise against published vectors (tests/vectors/data/noise_ik.txt): both handshake messages
// written and read, and two transport messages each way under the split keys.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "libntm/base/text.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/noise.hpp"

namespace ntm::crypto {
namespace {

using Vector = std::map<std::string, std::string>;

std::vector<Vector> load() {
  std::ifstream in(std::string(NTM_SOURCE_DIR) + "/tests/vectors/data/noise_ik.txt");
  std::vector<Vector> out;
  std::string line;
  while (std::getline(in, line)) {
    std::size_t eq = line.find('=');
    if (line.empty() || line[0] == '#' || eq == std::string::npos) continue;
    if (line.rfind("handshake=", 0) == 0) out.emplace_back();
    out.back()[line.substr(0, eq)] = line.substr(eq + 1);
  }
  return out;
}

Bytes hex(const Vector& v, const std::string& key) {
  Vector::const_iterator it = v.find(key);
  return it == v.end() ? Bytes{} : *from_hex(it->second);
}

KeyPair pair_of(const Vector& v, const std::string& key) {
  return key_pair_from(Key32::from(hex(v, key)));
}

// Noise's transport messages use its own nonces and no AAD.
Bytes transport(Suite suite, const Key32& key, std::uint64_t n, ByteView plain) {
  Aead aead(suite, Aead::Use::Seal, key, Iv{});
  Bytes out(plain.size() + kTag);
  aead.seal(suite == Suite::AesGcm ? n : __builtin_bswap64(n), {}, plain, out);
  return out;
}

TEST(NoiseVectors, AllRows) {
  std::vector<Vector> rows = load();
  ASSERT_EQ(rows.size(), 24u);
  for (const Vector& v : rows) {
    const std::string& name = v.at("handshake");
    SCOPED_TRACE(name);
    NoisePattern pattern = name.find("psk1") != std::string::npos   ? NoisePattern::IKpsk1
                           : name.find("psk2") != std::string::npos ? NoisePattern::IKpsk2
                                                                    : NoisePattern::IK;
    Suite suite = name.find("AESGCM") != std::string::npos ? Suite::AesGcm : Suite::ChaChaPoly;
    std::optional<Key32> psk;
    if (v.count("preshared_key")) psk = Key32::from(hex(v, "preshared_key"));
    std::optional<Key32> psk1 = pattern == NoisePattern::IKpsk1 ? psk : std::nullopt;
    std::optional<Key32> psk2 = pattern == NoisePattern::IKpsk2 ? psk : std::nullopt;
    KeyPair init = pair_of(v, "init_static");
    KeyPair resp = pair_of(v, "resp_static");
    Bytes prologue = hex(v, "prologue");
    Noise a(pattern, suite, NoiseRole::Initiator, prologue, init, resp.public_key);
    Noise b(pattern, suite, NoiseRole::Responder, prologue, resp, {});

    Result<Bytes> m1 =
        a.write_message1(pair_of(v, "gen_init_ephemeral"), hex(v, "msg_0_payload"), psk1);
    ASSERT_TRUE(m1.has_value());
    EXPECT_EQ(to_hex(*m1), v.at("msg_0_ciphertext"));
    ByteView view(*m1);
    Result<PublicKey> seen = b.read_static(view.first(32), view.subspan(32, 48));
    ASSERT_TRUE(seen.has_value());
    EXPECT_EQ(*seen, init.public_key);
    Result<Bytes> p1 = b.read_payload(view.subspan(80), psk1);
    ASSERT_TRUE(p1.has_value());
    EXPECT_EQ(*p1, hex(v, "msg_0_payload"));

    Result<Bytes> m2 =
        b.write_message2(pair_of(v, "gen_resp_ephemeral"), hex(v, "msg_1_payload"), psk2);
    ASSERT_TRUE(m2.has_value());
    EXPECT_EQ(to_hex(*m2), v.at("msg_1_ciphertext"));
    Result<Bytes> p2 = a.read_message2(*m2, psk2);
    ASSERT_TRUE(p2.has_value());
    EXPECT_EQ(*p2, hex(v, "msg_1_payload"));

    NoiseOutput out = a.split();
    EXPECT_TRUE(out.initiator_to_responder == b.split().initiator_to_responder);
    EXPECT_EQ(to_hex(transport(suite, out.initiator_to_responder, 0, hex(v, "msg_2_payload"))),
              v.at("msg_2_ciphertext"));
    EXPECT_EQ(to_hex(transport(suite, out.responder_to_initiator, 0, hex(v, "msg_3_payload"))),
              v.at("msg_3_ciphertext"));
  }
}

TEST(NoiseVectors, WrongPskKeyOrPrologueIsRefused) {
  // X25519 ignores the low three bits of a secret: the keys differ in the second byte.
  KeyPair init = key_pair_from(Key32(std::array<Byte, 32>{0, 1}));
  KeyPair resp = key_pair_from(Key32(std::array<Byte, 32>{0, 2}));
  KeyPair e1 = key_pair_from(Key32(std::array<Byte, 32>{0, 3}));
  Bytes payload{1, 2, 3};
  Key32 psk(std::array<Byte, 32>{9});
  for (int wrong = 0; wrong < 4; ++wrong) {
    Noise a(NoisePattern::IKpsk1, Suite::AesGcm, NoiseRole::Initiator, as_view("p"), init,
            resp.public_key);
    Noise b(NoisePattern::IKpsk1, Suite::AesGcm, NoiseRole::Responder,
            as_view(wrong == 1 ? "q" : "p"), wrong == 2 ? e1 : resp, {});
    Bytes m1 = *a.write_message1(e1, payload, psk);
    ByteView view(m1);
    Result<PublicKey> seen = b.read_static(view.first(32), view.subspan(32, 48));
    if (wrong == 1 || wrong == 2) {
      EXPECT_FALSE(seen.has_value());
      continue;
    }
    ASSERT_TRUE(seen.has_value());
    Key32 other(std::array<Byte, 32>{8});
    Result<Bytes> got = b.read_payload(view.subspan(80), wrong == 3 ? other : psk);
    EXPECT_EQ(got.has_value(), wrong == 0);
  }
}

}  // namespace
}  // namespace ntm::crypto
