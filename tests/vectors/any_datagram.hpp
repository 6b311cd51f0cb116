// One value for any datagram, so that tests can say "decode it, whatever it is, and encode it
// again". What framing leaves to the layers above it (ciphertext of a record, MAC of a tunnel
// message) is kept as bytes.
#pragma once

#include <variant>

#include "libntm/wire/framing.hpp"

namespace ntm::tests {

struct Record {
  wire::RecordHeader header;
  Bytes sealed;
  bool operator==(const Record&) const = default;
};
struct Tunnel {
  wire::TunnelMessage message;
  Bytes mac;
  bool operator==(const Tunnel&) const = default;
};
using Datagram = std::variant<Record, Tunnel, wire::HandshakeInit, wire::HandshakeResponse,
                              wire::CookieMessage, wire::TunnelHint, wire::ControlHint,
                              wire::Notice>;

Result<Datagram> decode_datagram(ByteView bytes);
Bytes encode_datagram(const Datagram& datagram);

}  // namespace ntm::tests
