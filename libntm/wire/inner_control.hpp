// Tunnel control inside DATA (docs/PROTOCOL.md, "Inside the tunnel"). The first nibble of a
// decrypted payload says what it is: 4 or 6 = an IP packet, 0 = one of these; empty = keep-alive.
// They use the tunnel's own counters and keys, so a relay can't tell them from data.
#pragma once

#include <array>
#include <variant>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/bytes.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/result.hpp"

namespace ntm::wire {

enum class InnerKind : std::uint8_t {
  Probe = 0x01,
  ProbeReply = 0x02,
  ReceiveState = 0x03,
  Close = 0x04,
  Candidates = 0x05,
  Fragment = 0x06,
};

struct Probe {  // 0x01 ‖ id 4 ‖ sent time 8 (sender's clock, opaque to the peer)
  std::uint32_t id = 0;
  std::uint64_t sent_us = 0;
  bool operator==(const Probe&) const = default;
};
struct ProbeReply {  // 0x02 ‖ the probe's id and time ‖ packets received on this path 6
  std::uint32_t id = 0;
  std::uint64_t sent_us = 0;
  std::uint64_t received = 0;
  bool operator==(const ProbeReply&) const = default;
};
// 0x03 ‖ Path ID 8 ‖ epoch 1 ‖ highest counter 6 ‖ length 2 ‖ bitmap of so many bytes: 0 to
// 512, the last of them not 0xff. Bit i of the bitmap (most significant bit of byte 0 first) = counter highest-1-i
// was received; what lies below the bitmap counts as received. The Path ID is explicit because it
// may be sent under newer keys than those it reports on.
constexpr std::size_t kMaxStateBitmap = 512;
struct ReceiveState {
  PathId path;
  std::uint8_t epoch = 0;
  std::uint64_t highest = 0;
  bool any = false;  // false: nothing was received on that path; then highest is 0 (encoded as a flag in the epoch byte, bit 7)
  Bytes bitmap;
  bool operator==(const ReceiveState&) const = default;
};
enum class CloseReason : std::uint8_t { Idle = 0, Leaving = 1, Policy = 2, KeyChanged = 3 };
struct Close {  // 0x04 ‖ reason 1
  CloseReason reason = CloseReason::Idle;
  bool operator==(const Close&) const = default;
};
struct Candidates {  // 0x05 ‖ count 1 ‖ {family 1 ‖ address ‖ port 2}; at most 8
  std::vector<Endpoint> endpoints;
  bool operator==(const Candidates&) const = default;
};
struct Fragment {  // 0x06 ‖ id 2 ‖ offset 2 (bytes) ‖ flags 1 (bit 0: last) ‖ part of a packet
  std::uint16_t id = 0;
  std::uint16_t offset = 0;
  bool last = false;
  Bytes part;
  bool operator==(const Fragment&) const = default;
};
constexpr std::size_t kMaxCandidates = 8;

using InnerControl = std::variant<Probe, ProbeReply, ReceiveState, Close, Candidates, Fragment>;
Bytes encode(const InnerControl& control);
Result<InnerControl> decode_inner_control(ByteView payload);

}  // namespace ntm::wire
