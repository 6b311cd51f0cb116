// The door between the control plane and packets (paper 5.1): tunnels and relay entries go in,
// events come out. It owns keys, counters, ring and hold queue; engines never see data packets.
// Three implementations pass one conformance suite (tests/unit/datapath_conformance_test.cpp):
// tun (userspace, the default), netlink (ntmobile.ko, later), fake (in memory, for engines under
// virtual time). Terminals and relays use no other door.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libntm/base/result.hpp"
#include "libntm/datapath/change.hpp"
#include "libntm/datapath/event.hpp"

namespace ntm::datapath {

struct SocketOptions {
  Family family = Family::V4;
  IpAddress bind;           // unspecified = all addresses
  std::uint16_t port = 0;   // zero = the system's choice, kept
  std::uint32_t mark = 0;   // SO_MARK, so that a tunnel can't be routed into itself
};
struct SocketInfo {
  SocketId id;
  std::uint16_t port = 0;
};

struct InterfaceOptions {
  std::string name = "ntm0";
  VirtualAddresses addresses;  // assigned to the interface as host addresses
  // Led into the interface: own pools and known peers (docs/PROTOCOL.md, Names). Calling
  // open_interface again with another list adds and removes the difference.
  std::vector<Prefix> routes;
  std::uint16_t mtu = 1400;
};
struct InterfaceInfo {
  std::string name;
  std::uint32_t index = 0;
};

struct PathStatistics {
  PathId path;
  Outer outer;
  std::uint64_t packets_sent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t replayed = 0;
  std::uint64_t forged = 0;
  std::uint64_t resent = 0;
  std::uint64_t held = 0;    // waiting in the hold queue
  std::uint64_t dropped = 0;
};

// All calls from one thread. Events are drained on that thread after the wakeup fired.
class Datapath {
 public:
  virtual ~Datapath() = default;
  virtual const char* kind() const = 0;  // "tun", "netlink", "fake"

  virtual Result<SocketInfo> open_socket(const SocketOptions& options) = 0;
  virtual void close_socket(SocketId socket) = 0;
  // Creates the virtual interface and gives it its addresses. The relay never calls it. Calling it
  // again with other addresses changes them.
  virtual Result<InterfaceInfo> open_interface(const InterfaceOptions& options) = 0;

  // Invalid when the change names something that does not exist; then nothing changed.
  virtual Result<void> apply(const Change& change) = 0;
  virtual Result<void> send_control(const Outer& outer, ByteView datagram) = 0;

  virtual std::vector<Event> events() = 0;
  // Called from any thread when events wait; must only wake the loop.
  virtual void set_wakeup(std::function<void()> wakeup) = 0;
  virtual std::optional<PathStatistics> statistics(PathId path) = 0;
};

}  // namespace ntm::datapath
