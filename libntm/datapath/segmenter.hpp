// Splits what one TUN read gave -- a packet, or a TCP or UDP super-packet of up to 64 KiB -- into
// the IP packets that go into datagrams. Headers are copied and corrected per segment, so that each
// is what the application's own stack would have sent without offloads.
#pragma once

#include "libntm/datapath/offload.hpp"

namespace ntm::datapath {

class Segmenter {
 public:
  // `packet` and `offload` were checked by parse_inner and read_vnet_header; the packet must stay.
  Segmenter(ByteView packet, const InnerPacket& info, const Offload& offload);

  std::size_t count() const { return count_; }
  std::size_t size(std::size_t index) const { return header_ + payload_size(index); }
  std::size_t largest() const { return size(0); }
  // Writes packet `index` to out[0, size(index)). With `partial` allowed the transport checksum may
  // be left as the pseudo-header sum; returns whether it was.
  bool write(std::size_t index, Byte* out, bool partial) const;

 private:
  std::size_t payload_size(std::size_t index) const;
  void fix_ip(std::size_t index, Byte* out, std::size_t size) const;
  void fix_transport(std::size_t index, Byte* out, std::size_t size) const;
  bool write_whole(Byte* out, bool partial) const;

  ByteView packet_;
  const InnerPacket& info_;
  Offload offload_;
  std::size_t header_ = 0;   // bytes copied in front of each piece of payload
  std::size_t payload_ = 0;  // of all segments
  std::size_t count_ = 1;
  std::uint64_t address_sum_ = 0;  // the pseudo header without its length
  std::uint64_t ip_sum_ = 0;       // the IPv4 header without length, identification and checksum
};

}  // namespace ntm::datapath
