// One Ethernet frame as it crosses the lab's emulated links, with the virtio-net header that says
// what the sending kernel left undone (checksum, segmentation).
//
// Veth links hand us TSO frames of up to 64 KiB with a checksum that is only half computed. The
// header is passed through unchanged, so the receiving kernel sees exactly what it would have seen
// without us between; only a frame whose bits are flipped is completed first (see corrupt()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ntm::lab {

using Nanoseconds = std::int64_t;

inline constexpr std::size_t kEthernetHeader = 14;
// A GSO frame is at most 64 KiB of IP plus link header; VLAN tags stay inside the slack.
inline constexpr std::size_t kMaxFrame = 65536 + 64;

// The header that PACKET_VNET_HDR puts before each frame, in this machine's byte order
// (<linux/virtio_net.h> does not compile as C++ because it has a member named class).
struct OffloadHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(OffloadHeader) == 10);
inline constexpr std::uint8_t kNeedsChecksum = 1;
inline constexpr std::uint8_t kGsoNone = 0;

struct Frame {
  OffloadHeader offload;
  std::vector<std::uint8_t> bytes;

  bool is_gso() const { return offload.gso_type != kGsoNone; }
  // Bytes that the frame takes on a real wire: each segment of a GSO frame repeats the headers.
  std::size_t wire_bytes() const;
  // Computes the checksum that the sender left to its network card.
  void complete_checksum();
  // Flips one bit behind the Ethernet header. False: the frame is GSO, whose checksum the receiving
  // kernel never looks at, so the caller drops it (which is what a real receiver would do).
  bool corrupt(std::uint64_t random);
};

}  // namespace ntm::lab
