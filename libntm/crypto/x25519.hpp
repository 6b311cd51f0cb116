// X25519 (RFC 7748). Randomness is the caller's; an all-zero result is refused here, because
// OpenSSL and libsodium disagree on how they report it.
#pragma once

#include "libntm/base/ids.hpp"
#include "libntm/base/random.hpp"
#include "libntm/base/result.hpp"
#include "libntm/base/secret.hpp"

namespace ntm::crypto {

struct KeyPair {
  Key32 secret;
  PublicKey public_key;
};

KeyPair make_key_pair(Random& random);
KeyPair key_pair_from(const Key32& secret);
// Denied when the result is all zero (a low-order point).
Result<Key32> x25519(const Key32& secret, const PublicKey& peer);

}  // namespace ntm::crypto
