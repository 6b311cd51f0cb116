// See the header: kept contexts, only the IV changes.
#include "libntm/crypto/aead.hpp"

#include <openssl/evp.h>

#include <cassert>
#include <cstdlib>

namespace ntm::crypto {

namespace {
const EVP_CIPHER* cipher_of(Suite suite) {
  static const EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return suite == Suite::AesGcm ? aes : chacha;
}
void require(bool ok) {
  if (!ok) std::abort();  // a broken library, never bad input
}
}  // namespace

void Aead::Free::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }

Aead::Aead(Suite suite, Use use, const Key32& key, const Iv& iv)
    : context_(EVP_CIPHER_CTX_new()), iv_(iv) {
  const EVP_CIPHER* cipher = cipher_of(suite);
  require(context_ != nullptr && cipher != nullptr);
  int rc = use == Use::Seal
               ? EVP_EncryptInit_ex2(context_.get(), cipher, key.view().data(), nullptr, nullptr)
               : EVP_DecryptInit_ex2(context_.get(), cipher, key.view().data(), nullptr, nullptr);
  require(rc == 1);
}
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;
Aead::~Aead() = default;

void Aead::nonce(std::uint64_t counter, Byte out[12]) const {
  for (int i = 0; i < 12; ++i) out[i] = iv_[i];
  for (int i = 0; i < 8; ++i) out[4 + i] ^= static_cast<Byte>(counter >> (56 - 8 * i));
}

void Aead::seal(std::uint64_t counter, ByteView aad, ByteView plain, ByteSpan out) {
  assert(out.size() >= plain.size() + kTag);
  Byte iv[12];
  nonce(counter, iv);
  EVP_CIPHER_CTX* c = context_.get();
  int n = 0;
  require(EVP_EncryptInit_ex2(c, nullptr, nullptr, iv, nullptr) == 1);
  if (!aad.empty())
    require(EVP_EncryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1);
  if (!plain.empty())
    require(EVP_EncryptUpdate(c, out.data(), &n, plain.data(), static_cast<int>(plain.size())) ==
            1);
  Byte rest[16];
  require(EVP_EncryptFinal_ex(c, rest, &n) == 1);
  require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTag, out.data() + plain.size()) == 1);
}

bool Aead::open(std::uint64_t counter, ByteView aad, ByteView sealed, ByteSpan out) {
  if (sealed.size() < kTag) return false;
  std::size_t size = sealed.size() - kTag;
  assert(out.size() >= size);
  Byte iv[12];
  nonce(counter, iv);
  EVP_CIPHER_CTX* c = context_.get();
  int n = 0;
  require(EVP_DecryptInit_ex2(c, nullptr, nullptr, iv, nullptr) == 1);
  if (!aad.empty())
    require(EVP_DecryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1);
  if (size > 0 &&
      EVP_DecryptUpdate(c, out.data(), &n, sealed.data(), static_cast<int>(size)) != 1)
    return false;
  Byte tag[kTag];
  for (std::size_t i = 0; i < kTag; ++i) tag[i] = sealed[size + i];
  require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTag, tag) == 1);
  Byte rest[16];
  return EVP_DecryptFinal_ex(c, rest, &n) == 1;
}

}  // namespace ntm::crypto
