// What the relay engine asks of its service (architecture R3): it never acts itself.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "libntm/base/bytes.hpp"
#include "libntm/datapath/change.hpp"

namespace ntm::relay {

struct SendControl {
  datapath::Outer outer;
  Bytes datagram;
};
// The attach counter may be used up to (not including) this value once it is on disk; the engine
// does not send a greater one before `counter_reserved()`.
struct ReserveCounter {
  std::uint64_t below = 0;
};
struct Notify {
  enum class Level : std::uint8_t { Info, Warning } level = Level::Info;
  std::string text;
};

using Effect = std::variant<datapath::Change, SendControl, ReserveCounter, Notify>;

}  // namespace ntm::relay
