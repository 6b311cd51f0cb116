// The 16 bytes before every DATA payload (libntm/wire/framing.hpp), written and read in place: this
// runs for each packet, so it works on the buffer instead of on a vector.
#pragma once

#include "libntm/datapath/checksum.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::datapath {

inline void put_u64(Byte* at, std::uint64_t value) {
  put_u32(at, static_cast<std::uint32_t>(value >> 32));
  put_u32(at + 4, static_cast<std::uint32_t>(value));
}
inline std::uint64_t get_u64(const Byte* at) {
  return (std::uint64_t{get_u32(at)} << 32) | get_u32(at + 4);
}

inline void put_data_header(Byte* at, std::uint8_t flags, std::uint64_t counter, PathId path) {
  put_u64(at, (std::uint64_t{static_cast<std::uint8_t>(wire::DatagramType::Data)} << 56) |
                  (std::uint64_t{flags} << 48) | (counter & wire::kMaxCounter));
  put_u64(at + 8, path.value);
}
// The caller has checked that at least kMinRecord bytes are there.
inline bool is_data(ByteView datagram) {
  return datagram.size() >= wire::kMinRecord &&
         datagram[0] == static_cast<std::uint8_t>(wire::DatagramType::Data);
}
inline std::uint8_t flags_of(ByteView datagram) { return datagram[1]; }
inline std::uint64_t counter_of(ByteView datagram) {
  return get_u64(datagram.data()) & wire::kMaxCounter;
}
inline PathId path_of(ByteView datagram) { return PathId{get_u64(datagram.data() + 8)}; }

}  // namespace ntm::datapath
