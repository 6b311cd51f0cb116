// ICMP errors that the virtual interface gives back to the application's own stack: "there is no
// way" and "too big for the path". They follow RFC 1122 3.2.2 and RFC 4443 2.4: no error about an
// error, about a later fragment, or to anything but a unicast source.
#pragma once

#include <optional>

#include "libntm/datapath/inner_packet.hpp"

namespace ntm::datapath {

// Destination unreachable: host (IPv4 code 1), address (IPv6 code 3).
std::optional<Bytes> make_unreachable(ByteView packet);
// Fragmentation needed (IPv4 type 3 code 4) or Packet Too Big (IPv6 type 2), with the MTU.
std::optional<Bytes> make_too_big(ByteView packet, std::uint16_t mtu);

}  // namespace ntm::datapath
