// The Internet checksum (RFC 1071) over inner packets: sums that can be added up piecewise, so that
// what segments of one super-packet have in common is summed once.
//
// Sums are kept in network byte order as one's complement numbers; the order of bytes does not
// matter for one's complement addition as long as it is the same everywhere (RFC 1071 2B).
#pragma once

#include "libntm/base/address.hpp"

namespace ntm::datapath {

// One's complement sum of the bytes, added to `start`; an odd last byte is padded with zero.
std::uint64_t add_bytes(std::uint64_t start, ByteView bytes);
// Folded to 16 bits, in host representation of the network-order field (store with store_sum).
std::uint16_t fold(std::uint64_t sum);
// The sum of the pseudo header (RFC 793, RFC 8200 8.1) for `length` transport bytes.
std::uint64_t pseudo_header_sum(ByteView source, ByteView destination, std::uint8_t protocol,
                                std::uint32_t length);
// Writes `sum` (as fold returns it) to a header field.
inline void store_sum(Byte* field, std::uint16_t sum) { std::memcpy(field, &sum, 2); }
inline std::uint16_t load_sum(const Byte* field) {
  std::uint16_t sum = 0;
  std::memcpy(&sum, field, 2);
  return sum;
}
// RFC 1624 equation 3: a checksum field after the 16-bit word `before` became `after`.
std::uint16_t replace_word(std::uint16_t checksum, std::uint16_t before, std::uint16_t after);

inline void put_u16(Byte* at, std::uint16_t value) {
  at[0] = static_cast<Byte>(value >> 8);
  at[1] = static_cast<Byte>(value);
}
inline std::uint16_t get_u16(const Byte* at) {
  return static_cast<std::uint16_t>((at[0] << 8) | at[1]);
}
inline void put_u32(Byte* at, std::uint32_t value) {
  put_u16(at, static_cast<std::uint16_t>(value >> 16));
  put_u16(at + 2, static_cast<std::uint16_t>(value));
}
inline std::uint32_t get_u32(const Byte* at) {
  return (std::uint32_t{get_u16(at)} << 16) | get_u16(at + 2);
}

// Fills in an IPv4 header's checksum.
void set_ipv4_checksum(Byte* header, std::size_t header_length);

}  // namespace ntm::datapath
