// The virtio-net header that stands before each packet on a TUN device with IFF_VNET_HDR: read
// with suspicion, written from what the coalescer knows. Ten bytes, in the machine's byte order.
#pragma once

#include <array>
#include <optional>

#include "libntm/datapath/inner_packet.hpp"

namespace ntm::datapath {

constexpr std::size_t kVnetHeaderSize = 10;

enum class Gso : std::uint8_t { None, Tcp4, Tcp6, Udp };
const char* to_string(Gso gso);

struct Offload {
  Gso gso = Gso::None;
  bool ecn = false;
  bool needs_checksum = false;  // the field holds the pseudo-header sum only
  bool checked = false;         // towards the kernel: complete and known to be right
  std::uint16_t segment_size = 0;
  std::uint16_t header_length = 0;  // IP and transport header; derived, never believed
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};

// nullopt when header and packet contradict each other: GSO type against IP version or protocol,
// zero segment size, ECN on other than TCP, a checksum field outside the packet. `hdr_len` of the
// kernel is ignored: on forwarded traffic it can be the whole first packet.
std::optional<Offload> read_vnet_header(ByteView header, ByteView packet, const InnerPacket& info);
std::array<Byte, kVnetHeaderSize> write_vnet_header(const Offload& offload);

}  // namespace ntm::datapath
