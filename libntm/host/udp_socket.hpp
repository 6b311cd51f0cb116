// A plain UDP socket for the director and tools: one family, batches of recvmmsg, the arrival
// address of each datagram (so that a multi-homed DC answers from where it was asked).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"
#include "libntm/host/fd.hpp"

struct sockaddr_storage;

namespace ntm::host {

struct UdpDatagram {
  Endpoint from;
  IpAddress local;  // the address it was sent to
  ByteView bytes;   // valid during the callback
};

class UdpSocket {
 public:
  // `bind` unspecified = all addresses of the family. Port in use and no permission are one line.
  static Result<UdpSocket> open(Family family, const IpAddress& bind, std::uint16_t port);

  int fd() const { return fd_.get(); }
  std::uint16_t port() const { return port_; }
  // Hands at most `limit` waiting datagrams to `each`; returns how many there were.
  std::size_t receive(std::size_t limit, const std::function<void(const UdpDatagram&)>& each);
  // `local` unspecified = routing decides. A full socket buffer drops, as the network may.
  Result<void> send(const Endpoint& to, const IpAddress& local, ByteView bytes);

 private:
  Fd fd_;
  Family family_ = Family::V4;
  std::uint16_t port_ = 0;
};

// Between our addresses and the system's. `length` is written with the size in use.
void to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out, unsigned& length);
Endpoint from_sockaddr(const sockaddr_storage& address);

}  // namespace ntm::host
