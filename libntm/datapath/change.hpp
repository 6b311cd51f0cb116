// What an engine may ask of the datapath, as values (pure: engines emit them as effects, the
// service applies them with Datapath::apply). Vocabulary:
//
//   tunnel  the association of this terminal with one peer: its virtual addresses, its hold queue
//           and its ring of sent packets. Lives across moves.
//   path    one Path ID with its keys and its present outer addresses. A tunnel has a few (old and
//           new around a handover); `SelectPath` says which one data is sent on.
//   relay   a pair of legs that forward DATA of some Path IDs to each other, without keys.
//
// Set-operations are idempotent: the same change twice is the same state.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/ids.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/base/time.hpp"

namespace ntm::datapath {

using TunnelId = Id64<struct TunnelIdTag>;
// A UDP socket of this process, one a family (terminal, relay): the datapath owns it.
struct SocketId {
  std::uint32_t value = 0;
  auto operator<=>(const SocketId&) const = default;
};

// Outer addresses of a path or leg. `local` and `interface` pin the source of a multi-homed
// terminal; unspecified and 0 leave it to routing.
struct Outer {
  SocketId socket;
  Endpoint remote;
  IpAddress local;
  std::uint32_t interface = 0;
  bool operator==(const Outer&) const = default;
};

struct DirectionKey {
  Key32 key;
  std::array<Byte, 12> iv{};
  bool operator==(const DirectionKey&) const = default;
};
// Putting the same keys again keeps their counters. After RemovePath they are forgotten, so they
// must never be put a second time: a nonce would repeat.
struct PathKeys {
  std::uint8_t suite = 0;  // 0x01, 0x02
  std::uint8_t epoch = 0;  // 0..3, the two bits in the header
  DirectionKey send;
  DirectionKey receive;
  bool operator==(const PathKeys&) const = default;
};

struct PutTunnel {
  TunnelId tunnel;
  std::string peer;            // for log lines
  VirtualAddresses addresses;  // inner destination that selects it; inner source it may use
  bool peer_finishes_checksums = false;
};
struct RemoveTunnel {
  TunnelId tunnel;
  bool unreachable = false;  // held packets are answered by ICMP unreachable instead of dropped
};

struct PutPath {
  TunnelId tunnel;
  PathId path;
  PathKeys keys;
  std::optional<Outer> outer;  // none: keys are ready (receiving works), sending can't be selected
  // An authenticated packet with the newest counter from a new address moves the path by itself.
  bool may_roam = true;
  // Until the peer's address is validated: bytes that may be sent beyond 3 x received.
  std::optional<std::uint32_t> credit;
  bool early = false;  // mark DATA as sent before key confirmation
};
struct AddKeys {  // a new epoch beside the present one (rekey); both receive
  PathId path;
  PathKeys keys;
};
struct UseEpoch {  // send with it from now on; clears `early`
  PathId path;
  std::uint8_t epoch = 0;
};
struct MovePath {
  PathId path;
  Outer outer;
  std::optional<std::uint32_t> credit;  // none: validated
};
struct RemovePath {
  PathId path;
};
// Data of the tunnel goes out on this path; held packets are flushed in order, paced.
struct SelectPath {
  TunnelId tunnel;
  PathId path;
};
// No usable path: keep what applications send in the hold queue.
struct HoldTunnel {
  TunnelId tunnel;
};
// Tell the peer, over the tunnel's selected path, what was received on `about` (its ring then
// sends the rest again).
struct SendReceiveState {
  TunnelId tunnel;
  PathId about;
};
// An inner control payload (wire::InnerControl, encoded) over one path. The datapath stamps the
// time in a Probe when it leaves; ids from 2^31 on are the datapath's own.
struct SendInner {
  PathId path;
  Bytes payload;
};
struct SendKeepAlive {  // empty DATA: refreshes NATs, confirms keys
  PathId path;
};
// Packets to this virtual address that wait for a tunnel are refused with ICMP unreachable.
struct Refuse {
  IpAddress destination;
};

// ---- relay -----------------------------------------------------------------------------------

struct RelayLegState {
  std::optional<Outer> outer;  // none until its Tunnel Request was authenticated
  bool validated = false;      // the challenge came back from that address
  std::uint32_t credit = 0;    // with !validated: bytes allowed beyond 3 x received
  bool consent = true;         // false: stop sending to it (no MACed keep-alive for 30 s)
  bool operator==(const RelayLegState&) const = default;
};
struct PutRelay {
  std::vector<PathId> paths;  // all of them name the entry; the first is its key
  RelayLegState a;
  RelayLegState b;
  std::uint32_t kbit_per_second = 0;  // zero = unlimited
  std::uint32_t packets_per_second = 0;
};
struct RemoveRelay {
  PathId path;
};

using Change = std::variant<PutTunnel, RemoveTunnel, PutPath, AddKeys, UseEpoch, MovePath,
                            RemovePath, SelectPath, HoldTunnel, SendReceiveState, SendInner,
                            SendKeepAlive, Refuse, PutRelay, RemoveRelay>;

}  // namespace ntm::datapath
