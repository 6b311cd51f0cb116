// See segmenter.hpp. Which fields change: IPv4 total length, identification and checksum; IPv6
// payload length; TCP sequence, FIN and PSH only on the last, CWR only on the first; UDP length.
#include "libntm/datapath/segmenter.hpp"

#include "libntm/datapath/checksum.hpp"

namespace ntm::datapath {
namespace {

// A 16-bit number as the checksum's word.
std::uint64_t word(std::uint16_t value) {
  Byte bytes[2];
  put_u16(bytes, value);
  return load_sum(bytes);
}

constexpr Byte kTcpFin = 0x01;
constexpr Byte kTcpPush = 0x08;
constexpr Byte kTcpCwr = 0x80;

}  // namespace

Segmenter::Segmenter(ByteView packet, const InnerPacket& info, const Offload& offload)
    : packet_(packet), info_(info), offload_(offload) {
  if (offload.gso == Gso::None) {
    header_ = packet.size();
    return;
  }
  header_ = offload.header_length;
  payload_ = packet.size() - header_;
  std::size_t mss = offload.segment_size;
  count_ = payload_ == 0 ? 1 : (payload_ + mss - 1) / mss;
  address_sum_ =
      pseudo_header_sum(info.source.view(), info.destination.view(), info.protocol, 0);
  if (info.family() == Family::V6) return;
  ip_sum_ = add_bytes(add_bytes(add_bytes(0, packet.first(2)), packet.subspan(6, 4)),
                      packet.subspan(12, info.header_length - 12));
}

std::size_t Segmenter::payload_size(std::size_t index) const {
  if (offload_.gso == Gso::None) return 0;
  std::size_t start = index * offload_.segment_size;
  return std::min<std::size_t>(offload_.segment_size, payload_ - start);
}

void Segmenter::fix_ip(std::size_t index, Byte* out, std::size_t size) const {
  if (info_.family() == Family::V6) {
    put_u16(out + 4, static_cast<std::uint16_t>(size - 40));
    return;
  }
  std::uint16_t length = static_cast<std::uint16_t>(size);
  std::uint16_t id = static_cast<std::uint16_t>(get_u16(out + 4) + index);
  put_u16(out + 2, length);
  put_u16(out + 4, id);
  store_sum(out + 10, static_cast<std::uint16_t>(~fold(ip_sum_ + word(length) + word(id))));
}

void Segmenter::fix_transport(std::size_t index, Byte* out, std::size_t size) const {
  Byte* transport = out + info_.header_length;
  if (offload_.gso == Gso::Udp) {
    put_u16(transport + 4, static_cast<std::uint16_t>(size - info_.header_length));
    return;
  }
  std::uint32_t advance = static_cast<std::uint32_t>(index * offload_.segment_size);
  put_u32(transport + 4, get_u32(transport + 4) + advance);
  if (index + 1 != count_) transport[13] &= static_cast<Byte>(~(kTcpFin | kTcpPush));
  if (index != 0) transport[13] &= static_cast<Byte>(~kTcpCwr);
}

bool Segmenter::write_whole(Byte* out, bool partial) const {
  std::memcpy(out, packet_.data(), packet_.size());
  if (!offload_.needs_checksum) return false;
  bool known = !info_.fragment && info_.plain_header &&
               offload_.checksum_start == info_.header_length &&
               ((info_.is_tcp() && offload_.checksum_offset == 16) ||
                (info_.is_udp() && offload_.checksum_offset == 6));
  if (partial && known) return true;
  complete_checksum(ByteSpan(out, packet_.size()), offload_.checksum_start,
                    offload_.checksum_offset);
  return false;
}

bool Segmenter::write(std::size_t index, Byte* out, bool partial) const {
  if (offload_.gso == Gso::None) return write_whole(out, partial);
  std::size_t piece = payload_size(index);
  std::size_t size = header_ + piece;
  std::memcpy(out, packet_.data(), header_);
  std::memcpy(out + header_, packet_.data() + header_ + index * offload_.segment_size, piece);
  fix_ip(index, out, size);
  fix_transport(index, out, size);

  std::size_t start = info_.header_length;
  std::uint16_t pseudo = fold(address_sum_ + word(static_cast<std::uint16_t>(size - start)));
  store_sum(out + start + offload_.checksum_offset, pseudo);
  if (partial) return true;
  complete_checksum(ByteSpan(out, size), start, offload_.checksum_offset);
  return false;
}

}  // namespace ntm::datapath
