// Published vectors of the primitives: RFC 7748 5.2, RFC 5869 A.1-A.3, RFC 4231 (HMAC-SHA256),
// FIPS 180 examples, RFC 8439 2.8.2, and the AES-256 cases of the GCM specification. Vectors are
// facts; each names its source.
#include <gtest/gtest.h>

#include "libntm/base/text.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/x25519.hpp"

namespace ntm::crypto {
namespace {

Bytes hex(std::string_view text) { return *from_hex(text); }
template <std::size_t N>
std::array<Byte, N> fixed(std::string_view text) {
  Bytes raw = hex(text);
  std::array<Byte, N> out{};
  EXPECT_EQ(raw.size(), N);
  std::copy(raw.begin(), raw.end(), out.begin());
  return out;
}
std::string x(std::string_view scalar, std::string_view u) {
  Result<Key32> out = x25519(Key32(fixed<32>(scalar)), PublicKey{fixed<32>(u)});
  return out ? to_hex(out->view()) : "refused";
}

TEST(X25519, Rfc7748Section52) {
  EXPECT_EQ(x("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
              "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(x("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
              "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519, Rfc7748IteratedOnceAndAThousandTimes) {
  std::string k = "0900000000000000000000000000000000000000000000000000000000000000";
  std::string u = k;
  for (int i = 1; i <= 1000; ++i) {
    std::string next = x(k, u);
    u = k;
    k = next;
    if (i == 1) {
      EXPECT_EQ(k, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519, LowOrderPointsAreRefused) {
  std::string scalar = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4";
  EXPECT_EQ(x(scalar, std::string(64, '0')), "refused");
  EXPECT_EQ(x(scalar, "01" + std::string(62, '0')), "refused");
  EXPECT_EQ(x(scalar, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            "refused");
}

TEST(Hash, Fips180) {
  EXPECT_EQ(to_hex(sha256({as_view("abc")})),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256({as_view("a"), as_view(""), as_view("bc")})),
            to_hex(sha256({as_view("abc")})));
}

TEST(Hash, Rfc4231) {
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(20, 0x0b), {as_view("Hi There")})),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(as_view("Jefe"), {as_view("what do ya want "),
                                                 as_view("for nothing?")})),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(131, 0xaa),
                               {as_view("Test Using Larger Than Block-Size Key - "
                                        "Hash Key First")})),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hkdf, Rfc5869) {
  struct Row { std::string ikm, salt, info, okm; };
  std::string ikm2;
  std::string salt2;
  std::string info2;
  for (int i = 0x00; i < 0x50; ++i) ikm2 += to_hex(Bytes{static_cast<Byte>(i)});
  for (int i = 0x60; i < 0xb0; ++i) salt2 += to_hex(Bytes{static_cast<Byte>(i)});
  for (int i = 0xb0; i < 0x100; ++i) info2 += to_hex(Bytes{static_cast<Byte>(i)});
  std::string b22;
  for (int i = 0; i < 22; ++i) b22 += "0b";
  for (const Row& row : {
           Row{b22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
               "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b88718"
               "5865"},
           Row{ikm2, salt2, info2,
               "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac78272"
               "71cb41"
               "c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
           Row{b22, "", "",
               "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a"
               "96c8"}}) {
    Bytes okm(row.okm.size() / 2);
    Bytes ikm = hex(row.ikm);
    Bytes info = hex(row.info);
    hkdf_expand(hkdf_extract(hex(row.salt), {ikm}).view(), {info}, okm);
    EXPECT_EQ(to_hex(okm), row.okm);
  }
}

// Our Aead takes IV and counter; the vectors' nonce goes in as IV with counter 0.
void check_aead(Suite suite, std::string_view key, std::string_view nonce, std::string_view aad,
                std::string_view plain, std::string_view sealed) {
  Bytes a = hex(aad);
  Bytes p = hex(plain);
  Bytes out(p.size() + kTag);
  Aead seal(suite, Aead::Use::Seal, Key32(fixed<32>(key)), fixed<12>(nonce));
  seal.seal(0, a, p, out);
  EXPECT_EQ(to_hex(out), sealed);
  Aead open(suite, Aead::Use::Open, Key32(fixed<32>(key)), fixed<12>(nonce));
  Bytes back(p.size());
  ASSERT_TRUE(open.open(0, a, out, back));
  EXPECT_EQ(back, p);
  for (std::size_t i = 0; i < out.size(); ++i) {
    Bytes forged = out;
    forged[i] ^= 1;
    EXPECT_FALSE(open.open(0, a, forged, back)) << i;
  }
  EXPECT_FALSE(open.open(1, a, out, back));
  EXPECT_FALSE(open.open(0, a, ByteView(out).first(15), back));
}

TEST(Aead, Rfc8439Section282) {
  std::string key;
  for (int i = 0x80; i < 0xa0; ++i) key += to_hex(Bytes{static_cast<Byte>(i)});
  std::string_view text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  check_aead(Suite::ChaChaPoly, key, "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
             to_hex(as_view(text)),
             "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca96712"
             "82fafb69"
             "da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4"
             "fad67594"
             "5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd060"
             "0691");
}

TEST(Aead, GcmSpecificationCases13To16) {
  // McGrew, Viega: The Galois/Counter Mode of Operation, appendix B, AES-256 test cases.
  std::string zero(64, '0');
  check_aead(Suite::AesGcm, zero, std::string(24, '0'), "", "", "530f8afbc74536b9a963b4f1c4cb738b");
  check_aead(Suite::AesGcm, zero, std::string(24, '0'), "", std::string(32, '0'),
             "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
  std::string key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  check_aead(Suite::AesGcm, key, "cafebabefacedbaddecaf888",
             "feedfacedeadbeeffeedfacedeadbeefabaddad2",
             "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
             "2fcf0e2449"
             "a6b525b16aedf5aa0de657ba637b39",
             "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3d"
             "a7b08b1056"
             "828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
}

TEST(Aead, CounterIsXoredIntoTheIvAndInPlaceWorks) {
  Key32 key(fixed<32>(std::string(64, '1')));
  Iv iv = fixed<12>("000000000000000000000000");
  Iv iv5 = fixed<12>("000000000000000000000005");
  for (Suite suite : {Suite::AesGcm, Suite::ChaChaPoly}) {
    Bytes a(20 + kTag, 7);
    Bytes b(20 + kTag, 7);
    Aead one(suite, Aead::Use::Seal, key, iv);
    Aead two(suite, Aead::Use::Seal, key, iv5);
    one.seal(5, as_view("aad"), ByteView(a).first(20), a);
    two.seal(0, as_view("aad"), ByteView(b).first(20), b);
    EXPECT_EQ(a, b);
    Aead open(suite, Aead::Use::Open, key, iv);
    ASSERT_TRUE(open.open(5, as_view("aad"), a, ByteSpan(a).first(20)));
    EXPECT_EQ(Bytes(a.begin(), a.begin() + 20), Bytes(20, 7));
  }
}

}  // namespace
}  // namespace ntm::crypto
