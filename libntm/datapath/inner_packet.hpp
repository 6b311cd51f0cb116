// What the datapath must know of an inner IP packet, read once and checked: addresses for the
// tunnel's filter, the transport header for segmentation, clamping and merging.
#pragma once

#include <optional>

#include "libntm/base/address.hpp"

namespace ntm::datapath {

constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kProtocolIcmpv6 = 58;
constexpr std::uint16_t kMinIpv6Mtu = 1280;  // RFC 8200 5

struct InnerPacket {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;      // IPv6: the first next header
  std::uint8_t traffic_class = 0; // DSCP in the upper six bits
  bool fragment = false;          // any fragment, the first too
  bool dont_fragment = false;     // IPv6: always
  bool plain_header = false;      // no IPv4 options, no IPv6 extension headers
  std::size_t header_length = 0;  // of the IP header; the transport header starts there

  Family family() const { return source.family(); }
  bool is_tcp() const { return protocol == kProtocolTcp; }
  bool is_udp() const { return protocol == kProtocolUdp; }
};

// nullopt: not exactly one IP packet (version, header length, total length against the size).
std::optional<InnerPacket> parse_inner(ByteView packet);

// Length of the TCP header at `transport`, or nullopt when the bytes don't hold one.
std::optional<std::size_t> tcp_header_length(ByteView transport);

// Lowers the MSS option of a SYN to what fits `mtu` (both families); keeps the checksum right,
// whether it is complete or only the pseudo-header sum. False: nothing was changed.
bool clamp_mss(ByteSpan packet, const InnerPacket& info, std::uint16_t mtu, bool partial_sum);

// Completes the transport checksum at `start + offset` over packet[start, end), whose field holds
// the pseudo-header sum.
void complete_checksum(ByteSpan packet, std::size_t start, std::size_t offset);

}  // namespace ntm::datapath
