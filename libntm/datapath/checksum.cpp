// See checksum.hpp. The loop adds 32-bit words into 64-bit accumulators: no carry handling inside,
// and four independent chains keep the adders busy; the compiler vectorises it.
#include "libntm/datapath/checksum.hpp"

namespace ntm::datapath {

std::uint64_t add_bytes(std::uint64_t start, ByteView bytes) {
  const Byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  while (left >= 16) {
    std::uint32_t words[4];
    std::memcpy(words, at, 16);
    a += words[0];
    b += words[1];
    c += words[2];
    d += words[3];
    at += 16;
    left -= 16;
  }
  std::uint64_t sum = a + b + c + d;
  while (left >= 2) {
    sum += load_sum(at);
    at += 2;
    left -= 2;
  }
  if (left == 1) {
    Byte last[2] = {*at, 0};
    sum += load_sum(last);
  }
  // `start` may be near 2^64 only after 2^32 packets' worth of words; still fold it first.
  return sum + (start & 0xffffffff) + (start >> 32);
}

std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint64_t pseudo_header_sum(ByteView source, ByteView destination, std::uint8_t protocol,
                                std::uint32_t length) {
  Byte tail[8] = {0, 0, 0, 0, 0, 0, 0, protocol};
  put_u32(tail, length);
  return add_bytes(add_bytes(add_bytes(0, source), destination), tail);
}

std::uint16_t replace_word(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) {
  std::uint64_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  return static_cast<std::uint16_t>(~fold(sum));
}

void set_ipv4_checksum(Byte* header, std::size_t header_length) {
  put_u16(header + 10, 0);
  std::uint16_t sum = fold(add_bytes(0, ByteView(header, header_length)));
  store_sum(header + 10, static_cast<std::uint16_t>(~sum));
}

}  // namespace ntm::datapath
