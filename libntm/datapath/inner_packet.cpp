// See inner_packet.hpp.
#include "libntm/datapath/inner_packet.hpp"

#include "libntm/datapath/checksum.hpp"

namespace ntm::datapath {
namespace {

template <typename Address>
IpAddress address_at(const Byte* at) {
  Address out;
  std::memcpy(out.raw.data(), at, out.raw.size());
  return out;
}

std::optional<InnerPacket> parse_v4(ByteView packet) {
  if (packet.size() < 20) return std::nullopt;
  std::size_t header = std::size_t{packet[0]} % 16 * 4;
  if (header < 20 || header > packet.size()) return std::nullopt;
  if (get_u16(&packet[2]) != packet.size()) return std::nullopt;
  InnerPacket out;
  out.source = address_at<Ipv4>(&packet[12]);
  out.destination = address_at<Ipv4>(&packet[16]);
  out.protocol = packet[9];
  out.traffic_class = packet[1];
  std::uint16_t fragment = get_u16(&packet[6]);
  out.fragment = (fragment & 0x3fff) != 0;
  out.dont_fragment = (fragment & 0x4000) != 0;
  out.plain_header = header == 20;
  out.header_length = header;
  return out;
}

std::optional<InnerPacket> parse_v6(ByteView packet) {
  if (packet.size() < 40) return std::nullopt;
  if (std::size_t{get_u16(&packet[4])} + 40 != packet.size()) return std::nullopt;
  InnerPacket out;
  out.source = address_at<Ipv6>(&packet[8]);
  out.destination = address_at<Ipv6>(&packet[24]);
  out.protocol = packet[6];
  out.traffic_class = static_cast<std::uint8_t>((packet[0] << 4) | (packet[1] >> 4));
  out.fragment = packet[6] == 44;
  out.dont_fragment = true;
  out.plain_header = out.protocol == kProtocolTcp || out.protocol == kProtocolUdp ||
                     out.protocol == kProtocolIcmpv6;
  out.header_length = 40;
  return out;
}

}  // namespace

std::optional<InnerPacket> parse_inner(ByteView packet) {
  if (packet.empty()) return std::nullopt;
  if (packet[0] >> 4 == 4) return parse_v4(packet);
  if (packet[0] >> 4 == 6) return parse_v6(packet);
  return std::nullopt;
}

std::optional<std::size_t> tcp_header_length(ByteView transport) {
  if (transport.size() < 20) return std::nullopt;
  std::size_t length = std::size_t{transport[12]} / 16 * 4;
  if (length < 20 || length > transport.size()) return std::nullopt;
  return length;
}

bool clamp_mss(ByteSpan packet, const InnerPacket& info, std::uint16_t mtu, bool partial_sum) {
  if (!info.is_tcp() || info.fragment) return false;
  ByteSpan tcp = packet.subspan(info.header_length);
  std::optional<std::size_t> length = tcp_header_length(tcp);
  if (!length || (tcp[13] & 0x02) == 0) return false;
  std::size_t headers = (info.family() == Family::V4 ? 20 : 40) + 20;
  if (mtu <= headers) return false;
  std::uint16_t limit = static_cast<std::uint16_t>(mtu - headers);
  for (std::size_t at = 20; at < *length;) {
    if (tcp[at] == 0) return false;
    if (tcp[at] == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= *length || tcp[at + 1] < 2 || at + tcp[at + 1] > *length) return false;
    if (tcp[at] == 2 && tcp[at + 1] == 4) {
      if (get_u16(&tcp[at + 2]) <= limit) return false;
      // The option may start at an odd offset; then its bytes stand in two checksum words.
      Byte before[4] = {0, tcp[at + 2], tcp[at + 3], 0};
      Byte after[4] = {0, static_cast<Byte>(limit >> 8), static_cast<Byte>(limit), 0};
      const std::size_t shift = at % 2 == 0 ? 1 : 0;
      if (!partial_sum) {
        std::uint16_t sum = load_sum(&tcp[16]);
        for (std::size_t word = 0; word < 4 - 2 * shift; word += 2)
          sum = replace_word(sum, load_sum(before + shift + word), load_sum(after + shift + word));
        store_sum(&tcp[16], sum);
      }
      put_u16(&tcp[at + 2], limit);
      return true;
    }
    at += tcp[at + 1];
  }
  return false;
}

void complete_checksum(ByteSpan packet, std::size_t start, std::size_t offset) {
  // The field itself holds the pseudo-header sum, so summing over it adds that in.
  std::uint16_t sum = static_cast<std::uint16_t>(~fold(add_bytes(0, packet.subspan(start))));
  store_sum(&packet[start + offset], sum == 0 ? 0xffff : sum);
}

}  // namespace ntm::datapath
