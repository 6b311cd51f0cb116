// Checksum completion and bit flips on one frame.
#include "tests/netns/wire/frame.hpp"

namespace ntm::lab {

std::size_t Frame::wire_bytes() const {
  if (!is_gso() || offload.gso_size == 0 || bytes.size() <= offload.hdr_len) return bytes.size();
  std::size_t payload = bytes.size() - offload.hdr_len;
  std::size_t segments = (payload + offload.gso_size - 1) / offload.gso_size;
  return payload + segments * offload.hdr_len;
}

void Frame::complete_checksum() {
  if (!(offload.flags & kNeedsChecksum)) return;
  std::size_t start = offload.csum_start;
  std::size_t field = start + offload.csum_offset;
  offload.flags &= static_cast<std::uint8_t>(~kNeedsChecksum);
  if (field + 2 > bytes.size()) return;
  // The field already holds the pseudo header's sum, so it is simply summed along.
  std::uint32_t sum = 0;
  for (std::size_t i = start; i < bytes.size(); i += 2) {
    std::uint32_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0;
    sum += (std::uint32_t{bytes[i]} << 8) | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  std::uint16_t checksum = static_cast<std::uint16_t>(~sum);
  if (checksum == 0) checksum = 0xffff;  // zero means "none" in UDP and is equal in TCP
  bytes[field] = static_cast<std::uint8_t>(checksum >> 8);
  bytes[field + 1] = static_cast<std::uint8_t>(checksum);
}

bool Frame::corrupt(std::uint64_t random) {
  if (is_gso() || bytes.size() <= kEthernetHeader) return false;
  complete_checksum();
  offload.flags = 0;  // also DATA_VALID: the receiver must check for itself
  std::uint64_t bit = random % ((bytes.size() - kEthernetHeader) * 8);
  bytes[kEthernetHeader + bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  return true;
}

}  // namespace ntm::lab
