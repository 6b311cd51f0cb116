// Tunnel Requests that overtook their Relay Direction (docs/PROTOCOL.md 3, step 7).
//
// The DC sends the Relay Direction to us and the Route Directions to the terminals at the same
// moment, so a terminal near us can be first. Its request waits here: a fixed array, one slot a
// source address, the oldest evicted. Nothing is sent for it and no memory grows, so a stranger
// can only push out other early requests, which are sent again by their terminals.
#pragma once

#include <array>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/datapath/event.hpp"
#include "libntm/wire/framing.hpp"

namespace ntm::relay {

// 256 slots x (192-byte datagram + about 100 bytes) = 75 KB.
constexpr std::size_t kEarlySlots = 256;
constexpr Duration kEarlyLife = seconds(2);

class EarlyRequests {
 public:
  void keep(Instant now, PathId path, const datapath::ControlReceived& request) {
    Slot* slot = &slots_.front();
    for (Slot& s : slots_) {
      if (s.used && s.request.from.address == request.from.address) {
        slot = &s;
        break;
      }
      bool better = !s.used ? slot->used : slot->used && s.at < slot->at;
      if (better) slot = &s;
    }
    *slot = {true, now, path, request};
  }
  // Those that wait for this path, removed from the array.
  std::vector<datapath::ControlReceived> take(Instant now, PathId path) {
    std::vector<datapath::ControlReceived> out;
    for (Slot& s : slots_) {
      if (!s.used || s.path != path) continue;
      if (now - s.at <= kEarlyLife) out.push_back(std::move(s.request));
      s = {};
    }
    return out;
  }

 private:
  struct Slot {
    bool used = false;
    Instant at;
    PathId path;
    datapath::ControlReceived request;
  };
  std::array<Slot, kEarlySlots> slots_;
};

}  // namespace ntm::relay
