// What the datapath tells an engine (pure values). Data packets are never among them.
#pragma once

#include <variant>

#include "libntm/datapath/change.hpp"

namespace ntm::datapath {

// A datagram that is not DATA of a known path: handshakes, CTRL, TUNNEL_*, hints.
struct ControlReceived {
  SocketId socket;
  Endpoint from;
  IpAddress local;             // the address it arrived at
  std::uint32_t interface = 0;
  Bytes datagram;
};
// First authentic packet of this epoch: the peer holds the key (confirmation).
struct PathConfirmed {
  PathId path;
  std::uint8_t epoch = 0;
};
// An authentic packet with the newest counter came from another address; the path follows it if
// it may roam.
struct PathMoved {
  PathId path;
  Outer outer;
};
// Data was sent and nothing authentic came back for kSilenceAfter (docs/PROTOCOL.md, Handover).
struct PathSilent {
  PathId path;
  Duration since;
};
struct PathAlive {  // after PathSilent: something authentic came again
  PathId path;
};
struct ProbeAnswered {
  PathId path;
  std::uint32_t id = 0;
  Duration rtt;
};
// Inner control that the datapath does not serve itself (it answers probes and receive states).
struct InnerReceived {
  PathId path;
  Bytes payload;
};
struct TunnelIdle {  // no data either way for kIdleAfter
  TunnelId tunnel;
};
// An application sent to a virtual address that no tunnel covers; the packets are held.
struct NoTunnel {
  IpAddress destination;
  IpAddress source;
};
// DATA with a Path ID that nothing here knows; at most 1/s per source. Answer with TUNNEL_HINT.
struct UnknownPath {
  PathId path;
  SocketId socket;
  Endpoint from;
  IpAddress local;
};
// 2^26 packets under one key: time for a rekey.
struct KeyWorn {
  PathId path;
  std::uint8_t epoch = 0;
};
// The system refused to send: no route, message too long for the link, and so on.
struct SendFailed {
  SocketId socket;
  Endpoint remote;
  PathId path;  // zero for control
  int error = 0;  // errno
};
// Bytes seen by a relay entry since the last such event, sent at most once a second while active.
struct RelayActivity {
  PathId path;
  bool from_a = false;
  bool from_b = false;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};
// DATA for a relay entry came from an address that is neither leg's: HINT "address changed".
struct RelayForeignSource {
  PathId path;
  SocketId socket;
  Endpoint from;
  IpAddress local;
};

using Event = std::variant<ControlReceived, PathConfirmed, PathMoved, PathSilent, PathAlive,
                           ProbeAnswered, InnerReceived, TunnelIdle, NoTunnel, UnknownPath,
                           KeyWorn, SendFailed, RelayActivity, RelayForeignSource>;

constexpr Duration kSilenceAfter = seconds(1);   // protocol P6
constexpr Duration kIdleAfter = seconds(300);    // protocol P7

}  // namespace ntm::datapath
