// See icmp.hpp. The error's source is the address that could not be reached: nothing else on the
// virtual interface has an address, and the stack checks only that it is unicast.
#include "libntm/datapath/icmp.hpp"

#include "libntm/datapath/checksum.hpp"

namespace ntm::datapath {
namespace {

constexpr std::size_t kQuoteV4 = 576 - 28;   // RFC 1812 4.3.2.3
constexpr std::size_t kQuoteV6 = 1280 - 48;  // RFC 4443 3.1

bool is_icmp_error(ByteView packet, const InnerPacket& info) {
  if (info.header_length >= packet.size()) return false;
  Byte type = packet[info.header_length];
  if (info.family() == Family::V6) return info.protocol == kProtocolIcmpv6 && type < 128;
  return info.protocol == kProtocolIcmp &&
         (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

bool may_answer(ByteView packet, const InnerPacket& info) {
  if (info.source.is_multicast() || info.source.is_unspecified()) return false;
  if (info.destination.is_multicast() || is_icmp_error(packet, info)) return false;
  return info.family() == Family::V6 || (get_u16(&packet[6]) & 0x1fff) == 0;
}

Bytes build_v4(ByteView packet, const InnerPacket& info, Byte code, std::uint32_t rest) {
  ByteView quote = packet.first(std::min(packet.size(), kQuoteV4));
  Bytes out(28 + quote.size());
  out[0] = 0x45;
  put_u16(&out[2], static_cast<std::uint16_t>(out.size()));
  out[8] = 64;
  out[9] = kProtocolIcmp;
  std::memcpy(&out[12], info.destination.view().data(), 4);
  std::memcpy(&out[16], info.source.view().data(), 4);
  set_ipv4_checksum(out.data(), 20);
  out[20] = 3;
  out[21] = code;
  put_u32(&out[24], rest);
  std::memcpy(&out[28], quote.data(), quote.size());
  complete_checksum(out, 20, 2);
  return out;
}

Bytes build_v6(ByteView packet, const InnerPacket& info, Byte type, Byte code,
               std::uint32_t rest) {
  ByteView quote = packet.first(std::min(packet.size(), kQuoteV6));
  Bytes out(48 + quote.size());
  out[0] = 0x60;
  put_u16(&out[4], static_cast<std::uint16_t>(out.size() - 40));
  out[6] = kProtocolIcmpv6;
  out[7] = 64;
  std::memcpy(&out[8], info.destination.view().data(), 16);
  std::memcpy(&out[24], info.source.view().data(), 16);
  out[40] = type;
  out[41] = code;
  put_u32(&out[44], rest);
  std::memcpy(&out[48], quote.data(), quote.size());
  std::uint64_t pseudo =
      pseudo_header_sum(info.source.view(), info.destination.view(), kProtocolIcmpv6,
                        static_cast<std::uint32_t>(out.size() - 40));
  store_sum(&out[42], fold(pseudo));
  complete_checksum(out, 40, 2);
  return out;
}

}  // namespace

std::optional<Bytes> make_unreachable(ByteView packet) {
  std::optional<InnerPacket> info = parse_inner(packet);
  if (!info || !may_answer(packet, *info)) return std::nullopt;
  if (info->family() == Family::V4) return build_v4(packet, *info, 1, 0);
  return build_v6(packet, *info, 1, 3, 0);
}

std::optional<Bytes> make_too_big(ByteView packet, std::uint16_t mtu) {
  std::optional<InnerPacket> info = parse_inner(packet);
  if (!info || !may_answer(packet, *info)) return std::nullopt;
  if (info->family() == Family::V4) return build_v4(packet, *info, 4, mtu);
  return build_v6(packet, *info, 2, 0, mtu);
}

}  // namespace ntm::datapath
