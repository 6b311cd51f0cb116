// One UDP socket of the outer face, for one family: segmentation offload in both directions, the
// arrival address of each datagram, path MTU discovery, and ICMP errors.
//
// UDP_SEGMENT fails with EIO where the interface can't do checksums and with EINVAL where a segment
// is longer than the path's MTU. Then the run is sent one by one, and the offload pauses: the next
// interface may have it again, so it is tried again later.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/datapath/datapath.hpp"
#include "libntm/host/fd.hpp"

namespace ntm::datapath {

constexpr int kSocketBuffer = 7 * 1024 * 1024;  // measured: +29 % at 125 us round trip
constexpr Duration kOffloadPause = seconds(10);

// What one receive call gave: one datagram, or several of `segment` bytes (the last may be shorter)
// that the kernel merged.
struct Arrival {
  Outer from;  // remote, socket, local address and interface it arrived at
  ByteSpan bytes;
  std::size_t segment = 0;
};
struct SocketError {
  Endpoint remote;
  int error = 0;          // errno
  std::uint32_t mtu = 0;  // with EMSGSIZE
};

class OuterSocket {
 public:
  enum class Wait : std::uint8_t { No, Yes };
  static Result<std::shared_ptr<OuterSocket>> open(SocketId id, const SocketOptions& options);

  SocketId id() const { return id_; }
  int fd() const { return fd_.get(); }
  Family family() const { return family_; }
  std::uint16_t port() const { return port_; }

  // From any thread. Sends `bytes` as datagrams of `segment` bytes; zero or an errno. With
  // Wait::Yes a full send buffer is waited for (the sender is slowed down), else it drops.
  int send(Instant now, const Outer& outer, ByteView bytes, std::size_t segment, Wait wait);
  // ICMP errors and local "too long" reports that wait in the socket's error queue.
  void drain_errors(const std::function<void(const SocketError&)>& each);
  // The MTU of the route to `outer`, as the system knows it now; zero when there is none.
  std::uint16_t route_mtu(const Outer& outer) const;

 private:
  int send_once(const Outer& outer, ByteView bytes, std::size_t segment, Wait wait);
  int send_singly(const Outer& outer, ByteView bytes, std::size_t segment, Wait wait);

  // Set once by open(), then read by all threads.
  host::Fd fd_;
  SocketId id_;
  Family family_ = Family::V4;
  std::uint16_t port_ = 0;
  std::uint32_t mark_ = 0;
  // Any thread; a race only means that one send more or less is tried with the offload.
  std::atomic<bool> offload_{true};
  std::atomic<std::int64_t> offload_again_us_{0};
};

// Memory for receiving many merged datagrams in one call. Owned by one thread.
class ReceiveBuffers {
 public:
  ReceiveBuffers();
  // Reads what waits, without blocking; arrivals are valid until the next call.
  const std::vector<Arrival>& receive(const OuterSocket& socket);

 private:
  static constexpr std::size_t kMessages = 8;
  static constexpr std::size_t kMessageSize = 65536;
  static constexpr std::size_t kControlSize = 128;
  std::unique_ptr<Byte[]> memory_;
  std::unique_ptr<Byte[]> control_;
  std::vector<Arrival> arrivals_;
};

}  // namespace ntm::datapath
