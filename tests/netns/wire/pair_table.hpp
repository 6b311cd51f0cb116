// Delay by source and destination prefix.
//
// The round-trip times of the paper's table 3 do not fit any tree of access links (each link would
// need several delays at once), so the delay of a packet is looked up by the pair of sites it
// travels between. It is applied once, on the link where the packet leaves its own site.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/netns/wire/frame.hpp"

namespace ntm::lab {

struct IpPrefix {
  bool is_v6 = false;
  int length = 0;
  std::array<std::uint8_t, 16> bytes{};

  static std::optional<IpPrefix> parse(const std::string& text);  // "192.0.2.0/28", "2001:db8::/48"
  bool contains(bool v6, const std::uint8_t* address) const;
  bool operator==(const IpPrefix&) const = default;
};

class PairTable {
 public:
  void set(const IpPrefix& from, const IpPrefix& to, Nanoseconds one_way);
  void clear() { rules_.clear(); }
  // Zero for what is not IP (ARP) and for pairs without a rule.
  Nanoseconds delay_of(const Frame& frame) const;

 private:
  struct Rule {
    IpPrefix from;
    IpPrefix to;
    Nanoseconds one_way;
  };
  std::vector<Rule> rules_;
};

}  // namespace ntm::lab
