// Inner packets for datapath tests: built by hand, with correct checksums.
#pragma once

#include "libntm/datapath/checksum.hpp"
#include "libntm/datapath/inner_packet.hpp"

namespace ntm::datapath::testing {

inline std::size_t checksum_at(Byte protocol) {
  return protocol == kProtocolTcp ? 16 : protocol == kProtocolUdp ? 6 : 2;
}

inline Bytes ip_packet(const IpAddress& source, const IpAddress& destination, Byte protocol,
                       ByteView transport, Byte traffic_class = 0) {
  bool v4 = source.is_v4();
  std::size_t header = v4 ? 20 : 40;
  Bytes out(header);
  if (v4) {
    out[0] = 0x45;
    out[1] = traffic_class;
    put_u16(&out[2], static_cast<std::uint16_t>(header + transport.size()));
    out[6] = 0x40;
    out[8] = 64;
    out[9] = protocol;
    std::memcpy(&out[12], source.view().data(), 4);
    std::memcpy(&out[16], destination.view().data(), 4);
    set_ipv4_checksum(out.data(), 20);
  } else {
    out[0] = static_cast<Byte>(0x60 | traffic_class >> 4);
    out[1] = static_cast<Byte>(traffic_class << 4);
    put_u16(&out[4], static_cast<std::uint16_t>(transport.size()));
    out[6] = protocol;
    out[7] = 64;
    std::memcpy(&out[8], source.view().data(), 16);
    std::memcpy(&out[24], destination.view().data(), 16);
  }
  out.insert(out.end(), transport.begin(), transport.end());
  store_sum(&out[header + checksum_at(protocol)],
            fold(pseudo_header_sum(source.view(), destination.view(), protocol,
                                   static_cast<std::uint32_t>(transport.size()))));
  complete_checksum(out, header, checksum_at(protocol));
  return out;
}

inline Bytes udp_packet(const IpAddress& source, const IpAddress& destination, std::size_t payload,
                        Byte fill = 0, Byte traffic_class = 0) {
  Bytes udp(8 + payload, fill);
  put_u16(&udp[0], 1000);
  put_u16(&udp[2], 2000);
  put_u16(&udp[4], static_cast<std::uint16_t>(udp.size()));
  put_u16(&udp[6], 0);
  return ip_packet(source, destination, kProtocolUdp, udp, traffic_class);
}

struct Tcp {
  std::uint32_t sequence = 1000;
  std::uint32_t ack = 5000;
  Byte flags = 0x10;
  std::uint16_t source_port = 1000;
  Bytes options;  // a multiple of four
  std::size_t payload = 0;
  Byte fill = 0;
};
inline Bytes tcp_packet(const IpAddress& source, const IpAddress& destination, const Tcp& tcp) {
  Bytes out(20);
  put_u16(&out[0], tcp.source_port);
  put_u16(&out[2], 80);
  put_u32(&out[4], tcp.sequence);
  put_u32(&out[8], tcp.ack);
  out[12] = static_cast<Byte>((20 + tcp.options.size()) / 4 << 4);
  out[13] = tcp.flags;
  put_u16(&out[14], 512);
  out.insert(out.end(), tcp.options.begin(), tcp.options.end());
  for (std::size_t i = 0; i < tcp.payload; ++i)
    out.push_back(static_cast<Byte>(tcp.fill + tcp.sequence + i));
  return ip_packet(source, destination, kProtocolTcp, out);
}

// The transport checksum is right and complete.
inline bool checksum_ok(ByteView packet) {
  std::optional<InnerPacket> info = parse_inner(packet);
  if (!info) return false;
  ByteView transport = packet.subspan(info->header_length);
  std::uint64_t sum =
      pseudo_header_sum(info->source.view(), info->destination.view(), info->protocol,
                        static_cast<std::uint32_t>(transport.size()));
  if (info->protocol == kProtocolIcmp) sum = 0;
  bool v4 = info->family() == Family::V4;
  if (v4 && fold(add_bytes(0, packet.first(info->header_length))) != 0xffff) return false;
  return fold(add_bytes(sum, transport)) == 0xffff;
}

}  // namespace ntm::datapath::testing
