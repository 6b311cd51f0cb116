// Prefix parsing and the look-up by source and destination.
#include "tests/netns/wire/pair_table.hpp"

#include <arpa/inet.h>

#include <charconv>

namespace ntm::lab {

std::optional<IpPrefix> IpPrefix::parse(const std::string& text) {
  std::size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  IpPrefix prefix;
  std::string host = text.substr(0, slash);
  prefix.is_v6 = host.find(':') != std::string::npos;
  if (inet_pton(prefix.is_v6 ? AF_INET6 : AF_INET, host.c_str(), prefix.bytes.data()) != 1)
    return std::nullopt;
  const char* end = text.data() + text.size();
  std::from_chars_result parsed = std::from_chars(text.data() + slash + 1, end, prefix.length);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  if (prefix.length < 0 || prefix.length > (prefix.is_v6 ? 128 : 32)) return std::nullopt;
  return prefix;
}

bool IpPrefix::contains(bool v6, const std::uint8_t* address) const {
  if (v6 != is_v6) return false;
  for (int bit = 0; bit < length; bit += 8) {
    int left = length - bit;
    std::uint8_t mask = left >= 8 ? 0xff : static_cast<std::uint8_t>(0xff << (8 - left));
    if ((address[bit / 8] ^ bytes[static_cast<std::size_t>(bit / 8)]) & mask) return false;
  }
  return true;
}

void PairTable::set(const IpPrefix& from, const IpPrefix& to, Nanoseconds one_way) {
  for (Rule& rule : rules_) {
    if (rule.from == from && rule.to == to) {
      rule.one_way = one_way;
      return;
    }
  }
  rules_.push_back({from, to, one_way});
}

Nanoseconds PairTable::delay_of(const Frame& frame) const {
  if (frame.bytes.size() < kEthernetHeader + 20) return 0;
  const std::uint8_t* data = frame.bytes.data();
  unsigned type = (unsigned{data[12]} << 8) | data[13];
  const std::uint8_t* ip = data + kEthernetHeader;
  bool v6 = type == 0x86dd;
  if (!v6 && type != 0x0800) return 0;
  if (v6 && frame.bytes.size() < kEthernetHeader + 40) return 0;
  const std::uint8_t* source = ip + (v6 ? 8 : 12);
  const std::uint8_t* destination = ip + (v6 ? 24 : 16);
  for (const Rule& rule : rules_) {
    if (rule.from.contains(v6, source) && rule.to.contains(v6, destination)) return rule.one_way;
  }
  return 0;
}

}  // namespace ntm::lab
