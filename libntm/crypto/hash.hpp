// SHA-256, HMAC-SHA256 and HKDF (RFC 5869), over lists of views so that callers need no buffers.
#pragma once

#include <array>
#include <initializer_list>

#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/secret.hpp"

namespace ntm::crypto {

using Digest = std::array<Byte, 32>;

Digest sha256(std::initializer_list<ByteView> parts);
Digest hmac_sha256(ByteView key, std::initializer_list<ByteView> parts);
// RFC 5869 2.2: PRK.
Key32 hkdf_extract(ByteView salt, std::initializer_list<ByteView> input);
// RFC 5869 2.3; out.size() <= 255 * 32.
void hkdf_expand(ByteView prk, std::initializer_list<ByteView> info, ByteSpan out);

// First 8 bytes of SHA-256 of a public key: the responder hint of HS_INIT, and the name of a
// terminal in CTRL_HINT.
std::array<Byte, 8> key_hash(const PublicKey& key);

// Constant time in the content.
bool equal_secret(ByteView a, ByteView b);

}  // namespace ntm::crypto
