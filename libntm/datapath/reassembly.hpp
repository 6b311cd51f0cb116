// Inner fragments (docs/PROTOCOL.md, Inside the tunnel): only where the outer path carries less
// than an inner packet of 1280 bytes needs. The tag proves where they come from; the bounds here
// are against a peer that sends half packets: 16 x 1600 bytes a tunnel, one second each.
#pragma once

#include <array>
#include <optional>

#include "libntm/base/time.hpp"
#include "libntm/wire/inner_control.hpp"

namespace ntm::datapath {

constexpr std::size_t kMaxReassemblies = 16;
constexpr std::size_t kMaxReassembledSize = 1600;  // an inner packet is at most the interface's MTU
constexpr Duration kReassemblyAge = seconds(1);

class Reassembly {
 public:
  // The whole packet when this was its last missing part.
  std::optional<Bytes> add(Instant now, const wire::Fragment& fragment);

 private:
  struct Slot {
    bool used = false;
    std::uint16_t id = 0;
    Instant since{};
    Bytes bytes;
    std::vector<bool> have;   // by byte: parts may repeat, so counting them is not enough
    std::size_t got = 0;
    std::size_t total = 0;
  };
  Slot& slot_for(Instant now, std::uint16_t id);
  std::array<Slot, kMaxReassemblies> slots_;
};

}  // namespace ntm::datapath
