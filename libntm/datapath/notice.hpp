// What the receiving side noticed and the sending side must act on. Receiver and Sender share no
// state (each is guarded by its own lock in the tun datapath); these values pass between them, a
// few per batch.
#pragma once

#include <variant>

#include "libntm/datapath/change.hpp"
#include "libntm/wire/inner_control.hpp"

namespace ntm::datapath {

// Authentic packets came on a path since the last notice of this path.
struct Heard {
  PathId path;
  std::uint64_t bytes = 0;
  bool data = false;    // an IP packet was among them
  bool newest = false;  // one had a greater counter than any before...
  Outer from;           // ...and came from here (remote, and the local address it was sent to)
};
struct ProbeSeen {
  PathId path;
  wire::Probe probe;
  std::uint64_t received = 0;  // packets received on this path so far
};
struct ProbeReplySeen {
  PathId path;
  wire::ProbeReply reply;
  Endpoint from;
};
// The peer told what it received; `ours` is what to tell it in return about the same path.
struct ReceiveStateSeen {
  PathId path;  // on which it came
  wire::ReceiveState theirs;
  wire::ReceiveState ours;
};

using Notice = std::variant<Heard, ProbeSeen, ProbeReplySeen, ReceiveStateSeen>;

}  // namespace ntm::datapath
