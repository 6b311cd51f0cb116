// OpenSSL behind suite, hash and x25519. Algorithms are fetched once and never change, so the
// per-call cost is the computation.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <cstdlib>

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/suite.hpp"
#include "libntm/crypto/x25519.hpp"

namespace ntm::crypto {

namespace {
// A failure here is a broken OpenSSL installation, not bad input: nothing safe can follow.
void require(bool ok) {
  if (!ok) std::abort();
}
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require(algorithm != nullptr);
  return algorithm;
}
}  // namespace

const char* to_string(Suite suite) {
  return suite == Suite::AesGcm ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

std::optional<Suite> suite_from(std::uint8_t raw) {
  if (raw == 0x01) return Suite::AesGcm;
  if (raw == 0x02) return Suite::ChaChaPoly;
  return std::nullopt;
}

Suite preferred_suite() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") ? Suite::AesGcm
                                                                           : Suite::ChaChaPoly;
#else
  return Suite::ChaChaPoly;
#endif
}

std::optional<Suite> choose_suite(std::uint16_t mine, std::uint16_t theirs, Suite preferred) {
  std::uint16_t common = mine & theirs;
  if (common & suite_bit(preferred)) return preferred;
  for (Suite s : {Suite::AesGcm, Suite::ChaChaPoly})
    if (common & suite_bit(s)) return s;
  return std::nullopt;
}

Digest sha256(std::initializer_list<ByteView> parts) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  require(context != nullptr && EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr) == 1);
  for (ByteView part : parts) EVP_DigestUpdate(context, part.data(), part.size());
  Digest out;
  unsigned length = 0;
  require(EVP_DigestFinal_ex(context, out.data(), &length) == 1);
  EVP_MD_CTX_free(context);
  return out;
}

// One key, one use (HKDF): plain SHA-256 twice is cheaper than setting up an EVP_MAC for it. A key
// that is used again is an HmacKey.
Digest hmac_sha256(ByteView key, std::initializer_list<ByteView> parts) {
  std::array<Byte, 64> block{};
  if (key.size() > block.size()) {
    Digest folded = sha256({key});
    std::copy(folded.begin(), folded.end(), block.begin());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  std::array<Byte, 64> pad;
  for (std::size_t i = 0; i < 64; ++i) pad[i] = block[i] ^ 0x36;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  require(context != nullptr && EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr) == 1);
  EVP_DigestUpdate(context, pad.data(), pad.size());
  for (ByteView part : parts) EVP_DigestUpdate(context, part.data(), part.size());
  Digest inner;
  unsigned length = 0;
  require(EVP_DigestFinal_ex(context, inner.data(), &length) == 1);
  for (std::size_t i = 0; i < 64; ++i) pad[i] = block[i] ^ 0x5c;
  require(EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr) == 1);
  EVP_DigestUpdate(context, pad.data(), pad.size());
  EVP_DigestUpdate(context, inner.data(), inner.size());
  Digest out;
  require(EVP_DigestFinal_ex(context, out.data(), &length) == 1);
  EVP_MD_CTX_free(context);
  wipe(block);
  wipe(pad);
  return out;
}

void HmacKey::Free::operator()(evp_mac_ctx_st* context) const { EVP_MAC_CTX_free(context); }

HmacKey::HmacKey(ByteView key) {
  static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  require(algorithm != nullptr);
  context_.reset(EVP_MAC_CTX_new(algorithm));
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  // OpenSSL takes "no key" from a null pointer as "the key of before".
  Byte none = 0;
  require(context_ != nullptr && EVP_MAC_init(context_.get(), key.empty() ? &none : key.data(),
                                              key.size(), parameters) == 1);
}
HmacKey::HmacKey(HmacKey&&) noexcept = default;
HmacKey& HmacKey::operator=(HmacKey&&) noexcept = default;
HmacKey::~HmacKey() = default;

Digest HmacKey::digest(std::initializer_list<ByteView> parts) {
  EVP_MAC_CTX* c = context_.get();
  require(EVP_MAC_init(c, nullptr, 0, nullptr) == 1);
  for (ByteView part : parts) require(EVP_MAC_update(c, part.data(), part.size()) == 1);
  Digest out;
  std::size_t length = 0;
  require(EVP_MAC_final(c, out.data(), &length, out.size()) == 1 && length == out.size());
  return out;
}

Mac16 HmacKey::mac16(std::initializer_list<ByteView> parts) {
  Digest whole = digest(parts);
  Mac16 out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

Key32 hkdf_extract(ByteView salt, std::initializer_list<ByteView> input) {
  Digest prk = hmac_sha256(salt, input);
  Key32 out(prk);
  wipe(prk);
  return out;
}

void hkdf_expand(ByteView prk, std::initializer_list<ByteView> info, ByteSpan out) {
  require(out.size() <= 255 * 32);
  Bytes joined;
  for (ByteView part : info) joined.insert(joined.end(), part.begin(), part.end());
  Digest block{};
  std::size_t have = 0;
  Byte index = 1;
  for (std::size_t at = 0; at < out.size(); ++index) {
    block = hmac_sha256(prk, {ByteView(block.data(), have), joined, ByteView(&index, 1)});
    have = block.size();
    std::size_t take = std::min(have, out.size() - at);
    std::copy_n(block.begin(), take, out.begin() + static_cast<std::ptrdiff_t>(at));
    at += take;
  }
  wipe(block);
}

std::array<Byte, 8> key_hash(const PublicKey& key) {
  Digest digest = sha256({key.view()});
  std::array<Byte, 8> out;
  std::copy_n(digest.begin(), 8, out.begin());
  return out;
}

bool equal_secret(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

KeyPair make_key_pair(Random& random) {
  Key32 secret;
  random.fill(secret.span());
  return key_pair_from(secret);
}

KeyPair key_pair_from(const Key32& secret) {
  KeyPair out;
  out.secret = secret;
  EVP_PKEY* key =
      EVP_PKEY_new_raw_private_key_ex(nullptr, "X25519", nullptr, secret.view().data(), 32);
  std::size_t length = 32;
  require(key != nullptr &&
          EVP_PKEY_get_raw_public_key(key, out.public_key.raw.data(), &length) == 1);
  EVP_PKEY_free(key);
  return out;
}

Result<Key32> x25519(const Key32& secret, const PublicKey& peer) {
  EVP_PKEY* ours =
      EVP_PKEY_new_raw_private_key_ex(nullptr, "X25519", nullptr, secret.view().data(), 32);
  EVP_PKEY* theirs =
      EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, peer.raw.data(), 32);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_pkey(nullptr, ours, nullptr);
  Key32 out;
  std::size_t length = 32;
  bool ok = ours != nullptr && theirs != nullptr && context != nullptr &&
            EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, theirs) == 1 &&
            EVP_PKEY_derive(context, out.span().data(), &length) == 1;
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(theirs);
  EVP_PKEY_free(ours);
  if (!ok || out.is_zero())
    return fail(ErrorKind::Denied, "the peer's public key is a low-order point");
  return out;
}

}  // namespace ntm::crypto
