// The datapath in memory and under virtual time, for engines in the simulator and for tests.
//
// It is not a mock: it runs the same Sender, Receiver and RelayTable as the tun datapath, with real
// AEAD, ring, hold queue and timers. Only the sockets and the TUN device are replaced: datagrams
// leave through `set_output`, arrive through `deliver`; inner packets enter by `inject_inner` and
// come out by `take_inner`. Nothing happens but in these calls and in `advance`.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/datapath/datapath.hpp"

namespace ntm::datapath {

class FakeDatapath final : public Datapath {
 public:
  // One datagram that leaves; `outer.socket` says through which socket, `outer.local` is its
  // pinned source if it has one.
  using Output = std::function<void(const Outer& outer, ByteView datagram)>;

  // Ports that the "system" chooses count up from `first_port`.
  explicit FakeDatapath(Instant now, std::uint16_t first_port = 40000);
  ~FakeDatapath() override;

  // ---- virtual time and the outside world --------------------------------------------------
  void set_output(Output output);
  // Time moves to `now`; timers that are due fire in order, each at its own instant.
  void advance(Instant now);
  Instant next_deadline() const;  // Instant::never() when no timer runs
  // A datagram arrived. `local` is the address it was sent to.
  void deliver(SocketId socket, const Endpoint& from, const IpAddress& local, ByteView datagram);
  // The application sent an IP packet to the virtual interface.
  void inject_inner(ByteView packet);
  // What the virtual interface handed to applications since the last call, ICMP errors included.
  std::vector<Bytes> take_inner();
  // A smaller path MTU towards this address was learned (as by ICMP at a real socket).
  void set_path_mtu(const IpAddress& remote, std::uint16_t mtu);

  // ---- Datapath ----------------------------------------------------------------------------
  const char* kind() const override { return "fake"; }
  Result<SocketInfo> open_socket(const SocketOptions& options) override;
  void close_socket(SocketId socket) override;
  Result<InterfaceInfo> open_interface(const InterfaceOptions& options) override;
  Result<void> apply(const Change& change) override;
  Result<void> send_control(const Outer& outer, ByteView datagram) override;
  std::vector<Event> events() override;
  void set_wakeup(std::function<void()> wakeup) override;
  std::optional<PathStatistics> statistics(PathId path) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ntm::datapath
