// See offload.hpp. Numbers are those of the virtio specification 1.2, 5.1.6.
#include "libntm/datapath/offload.hpp"

namespace ntm::datapath {
namespace {

constexpr Byte kFlagNeedsChecksum = 1;
constexpr Byte kFlagDataValid = 2;
constexpr Byte kGsoTcp4 = 1;
constexpr Byte kGsoTcp6 = 4;
constexpr Byte kGsoUdp = 5;
constexpr Byte kGsoEcn = 0x80;

std::uint16_t native_u16(const Byte* at) {
  std::uint16_t value = 0;
  std::memcpy(&value, at, 2);
  return value;
}

std::optional<Gso> gso_kind(Byte type) {
  switch (type & ~kGsoEcn) {
    case 0:
      return Gso::None;
    case kGsoTcp4:
      return Gso::Tcp4;
    case kGsoTcp6:
      return Gso::Tcp6;
    case kGsoUdp:
      return Gso::Udp;
    default:
      return std::nullopt;
  }
}

// The transport header that the GSO type promises really starts where the checksum says.
bool derive_header_length(Offload& out, ByteView packet, const InnerPacket& info) {
  if (!out.needs_checksum || out.checksum_start != info.header_length || info.fragment)
    return false;
  ByteView transport = packet.subspan(info.header_length);
  if (out.gso == Gso::Udp) {
    if (!info.is_udp() || out.checksum_offset != 6 || transport.size() < 8) return false;
    out.header_length = static_cast<std::uint16_t>(info.header_length + 8);
    return true;
  }
  Family family = out.gso == Gso::Tcp4 ? Family::V4 : Family::V6;
  std::optional<std::size_t> tcp = tcp_header_length(transport);
  if (!info.is_tcp() || info.family() != family || out.checksum_offset != 16 || !tcp) return false;
  out.header_length = static_cast<std::uint16_t>(info.header_length + *tcp);
  return true;
}

}  // namespace

const char* to_string(Gso gso) {
  switch (gso) {
    case Gso::None:
      return "none";
    case Gso::Tcp4:
      return "tcp4";
    case Gso::Tcp6:
      return "tcp6";
    case Gso::Udp:
      return "udp";
  }
  return "?";
}

std::optional<Offload> read_vnet_header(ByteView header, ByteView packet,
                                        const InnerPacket& info) {
  if (header.size() < kVnetHeaderSize) return std::nullopt;
  std::optional<Gso> gso = gso_kind(header[1]);
  if (!gso) return std::nullopt;
  Offload out;
  out.gso = *gso;
  out.ecn = (header[1] & kGsoEcn) != 0;
  out.needs_checksum = (header[0] & kFlagNeedsChecksum) != 0;
  out.segment_size = native_u16(&header[4]);
  if (out.needs_checksum) {
    out.checksum_start = native_u16(&header[6]);
    out.checksum_offset = native_u16(&header[8]);
    if (std::size_t{out.checksum_start} + out.checksum_offset + 2 > packet.size())
      return std::nullopt;
    if (out.checksum_start < info.header_length) return std::nullopt;
  }
  if (out.gso == Gso::None) {
    if (out.ecn) return std::nullopt;
    return out;
  }
  if (out.segment_size == 0 || (out.ecn && out.gso == Gso::Udp)) return std::nullopt;
  if (!derive_header_length(out, packet, info)) return std::nullopt;
  return out;
}

std::array<Byte, kVnetHeaderSize> write_vnet_header(const Offload& offload) {
  std::array<Byte, kVnetHeaderSize> out{};
  if (offload.needs_checksum)
    out[0] = kFlagNeedsChecksum;
  else if (offload.checked)
    out[0] = kFlagDataValid;
  switch (offload.gso) {
    case Gso::None:
      break;
    case Gso::Tcp4:
      out[1] = kGsoTcp4;
      break;
    case Gso::Tcp6:
      out[1] = kGsoTcp6;
      break;
    case Gso::Udp:
      out[1] = kGsoUdp;
      break;
  }
  if (offload.ecn) out[1] |= kGsoEcn;
  std::memcpy(&out[2], &offload.header_length, 2);
  std::memcpy(&out[4], &offload.segment_size, 2);
  std::memcpy(&out[6], &offload.checksum_start, 2);
  std::memcpy(&out[8], &offload.checksum_offset, 2);
  return out;
}

}  // namespace ntm::datapath
