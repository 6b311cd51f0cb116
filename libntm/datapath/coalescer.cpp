// See coalescer.hpp.
#include "libntm/datapath/coalescer.hpp"

#include "libntm/datapath/checksum.hpp"

namespace ntm::datapath {
namespace {

constexpr Byte kAck = 0x10;
constexpr Byte kPush = 0x08;

std::uint32_t flow_hash(const InnerDelivery& delivery) {
  // Addresses and ports; only to tell flows apart quickly, so equality is checked again.
  ByteView packet = delivery.packet;
  std::size_t from = delivery.info.family() == Family::V4 ? 12 : 8;
  std::uint32_t hash = delivery.info.protocol;
  for (std::size_t at = from; at + 4 <= delivery.info.header_length + 4; at += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, &packet[at], 4);
    hash = (hash ^ word) * 0x9e3779b1u;
    hash ^= hash >> 15;
  }
  return hash;
}

// What may be merged at all, and the length of its headers.
Gso candidate(const InnerDelivery& delivery, bool tcp, bool udp, std::size_t& header) {
  const InnerPacket& info = delivery.info;
  if (info.fragment || !info.plain_header) return Gso::None;
  ByteView transport = ByteView(delivery.packet).subspan(info.header_length);
  if (tcp && info.is_tcp()) {
    std::optional<std::size_t> length = tcp_header_length(transport);
    if (!length || transport.size() == *length) return Gso::None;
    if ((transport[13] & ~kPush) != kAck) return Gso::None;
    header = info.header_length + *length;
    return info.family() == Family::V4 ? Gso::Tcp4 : Gso::Tcp6;
  }
  if (udp && info.is_udp()) {
    if (transport.size() <= 8 || get_u16(&transport[4]) != transport.size()) return Gso::None;
    // A zero checksum means "none" and must stay so.
    if (load_sum(&transport[6]) == 0) return Gso::None;
    header = info.header_length + 8;
    return Gso::Udp;
  }
  return Gso::None;
}

// Address, class and hop limit of two packets of one family are equal (not lengths and ids).
bool same_network(ByteView a, ByteView b, Family family) {
  if (family == Family::V4)
    return a[1] == b[1] && a[8] == b[8] && a[9] == b[9] && std::memcmp(&a[6], &b[6], 2) == 0 &&
           std::memcmp(&a[12], &b[12], 8) == 0;
  return std::memcmp(&a[0], &b[0], 4) == 0 && a[6] == b[6] && a[7] == b[7] &&
         std::memcmp(&a[8], &b[8], 32) == 0;
}

}  // namespace

bool Coalescer::joins(const Group& group, const InnerDelivery& delivery, std::size_t header) {
  std::size_t payload = delivery.packet.size() - header;
  if (group.closed || header != group.header || payload > group.segment ||
      group.count >= kMaxGroupSegments || group.size + payload > kMaxGroupBytes)
    return false;
  ByteView a = group.first.packet;
  ByteView b = delivery.packet;
  if (!same_network(a, b, delivery.info.family())) return false;
  const Byte* x = a.data() + delivery.info.header_length;
  const Byte* y = b.data() + delivery.info.header_length;
  if (std::memcmp(x, y, 4) != 0) return false;
  if (group.kind == Gso::Udp) return true;
  std::size_t options = header - delivery.info.header_length - 20;
  return get_u32(y + 4) == group.next_sequence && std::memcmp(x + 8, y + 8, 5) == 0 &&
         std::memcmp(x + 20, y + 20, options) == 0;
}

void Coalescer::join(Group& group, const InnerDelivery& delivery, std::size_t header) {
  ByteView payload = ByteView(delivery.packet).subspan(header);
  group.parts.push_back(payload);
  group.size += payload.size();
  group.next_sequence += static_cast<std::uint32_t>(payload.size());
  ++group.count;
  if (payload.size() < group.segment) group.closed = true;
  if (group.kind == Gso::Udp) return;
  group.last_flags = delivery.packet[delivery.info.header_length + 13];
  if ((group.last_flags & kPush) != 0) group.closed = true;
}

void Coalescer::start(const InnerDelivery& delivery, Gso kind, std::uint32_t flow,
                      std::size_t header) {
  if (used_ == groups_.size()) groups_.emplace_back();
  Group& group = groups_[used_++];
  group.kind = kind;
  group.first = delivery;
  group.flow = flow;
  group.header = header;
  group.segment = kind == Gso::None ? 0 : delivery.packet.size() - header;
  group.count = 1;
  group.size = delivery.packet.size();
  group.closed = kind == Gso::None;
  group.parts.assign(1, ByteView(delivery.packet));
  if (kind != Gso::Tcp4 && kind != Gso::Tcp6) return;
  const Byte* tcp = delivery.packet.data() + delivery.info.header_length;
  group.next_sequence = get_u32(tcp + 4) + static_cast<std::uint32_t>(group.segment);
  group.last_flags = tcp[13];
  group.closed = (tcp[13] & kPush) != 0;
}

void Coalescer::add(const InnerDelivery& delivery) {
  std::size_t header = 0;
  Gso kind = candidate(delivery, limits_.tcp, limits_.udp, header);
  std::uint32_t flow = 0;
  if (kind != Gso::None) {
    flow = flow_hash(delivery);
    // Only the newest group of the flow may grow, or packets would overtake each other.
    for (std::size_t i = used_; i-- > 0;) {
      Group& group = groups_[i];
      if (group.kind != kind || group.flow != flow) continue;
      if (!joins(group, delivery, header)) break;
      join(group, delivery, header);
      return;
    }
  }
  start(delivery, kind, flow, header);
}

Offload Coalescer::finish(Group& group) {
  const InnerPacket& info = group.first.info;
  Offload out;
  ByteSpan packet = group.first.packet;
  bool transport = info.is_tcp() || info.is_udp();
  if (group.count == 1) {
    out.needs_checksum = group.first.partial_sum && transport && !info.fragment;
    out.checked = !out.needs_checksum;
    if (!out.needs_checksum) return out;
    out.checksum_start = static_cast<std::uint16_t>(info.header_length);
    out.checksum_offset = info.is_tcp() ? 16 : 6;
    return out;
  }
  if (info.family() == Family::V4) {
    put_u16(&packet[2], static_cast<std::uint16_t>(group.size));
    set_ipv4_checksum(packet.data(), info.header_length);
  } else {
    put_u16(&packet[4], static_cast<std::uint16_t>(group.size - 40));
  }
  Byte* head = packet.data() + info.header_length;
  std::size_t length = group.size - info.header_length;
  out.gso = group.kind;
  out.needs_checksum = true;
  out.segment_size = static_cast<std::uint16_t>(group.segment);
  out.header_length = static_cast<std::uint16_t>(group.header);
  out.checksum_start = static_cast<std::uint16_t>(info.header_length);
  if (group.kind == Gso::Udp) {
    put_u16(head + 4, static_cast<std::uint16_t>(length));
    out.checksum_offset = 6;
  } else {
    head[13] |= group.last_flags & kPush;
    out.checksum_offset = 16;
  }
  store_sum(head + out.checksum_offset,
            fold(pseudo_header_sum(info.source.view(), info.destination.view(), info.protocol,
                                   static_cast<std::uint32_t>(length))));
  return out;
}

void Coalescer::flush(InnerSink& sink) {
  for (std::size_t i = 0; i < used_; ++i) {
    Offload offload = finish(groups_[i]);
    sink.write(offload, groups_[i].parts);
  }
  used_ = 0;
}

}  // namespace ntm::datapath
