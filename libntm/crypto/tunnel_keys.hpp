// The MAC of Tunnel Requests and Responses: HMAC-SHA256-128 under K_leg or K_pp over everything
// before it.
#pragma once

#include "libntm/base/bytes.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/crypto/hash.hpp"

namespace ntm::crypto {

// Appends 16 MAC bytes to an encoded message.
void append_tunnel_mac(const Key16& key, Bytes& datagram);
// Over the whole datagram with its MAC at the end.
bool verify_tunnel_mac(const Key16& key, ByteView datagram);

// The same for a key that stays (a relay's leg).
void append_tunnel_mac(HmacKey& key, Bytes& datagram);
bool verify_tunnel_mac(HmacKey& key, ByteView datagram);

}  // namespace ntm::crypto
