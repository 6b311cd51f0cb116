// At most one event a second for each source address, in fixed memory: 256 slots by hash, so a
// flood of sources gives at most 256 events a second, and two sources that share a slot share its
// second. Nothing of it grows with what strangers send.
#pragma once

#include <array>

#include "libntm/base/address.hpp"
#include "libntm/base/time.hpp"

namespace ntm::datapath {

class SourceGate {
 public:
  bool allow(Instant now, const IpAddress& source) {
    std::uint64_t hash = 0xcbf29ce484222325ull;
    for (Byte b : source.view()) hash = (hash ^ b) * 0x100000001b3ull;
    Slot& slot = slots_[(hash ^ (hash >> 32)) % slots_.size()];
    if (slot.used && now - slot.last < seconds(1)) return false;
    slot = {true, now};
    return true;
  }

 private:
  struct Slot {
    bool used = false;
    Instant last{};
  };
  std::array<Slot, 256> slots_{};
};

}  // namespace ntm::datapath
