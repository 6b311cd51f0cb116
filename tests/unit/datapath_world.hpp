// The two worlds in which the conformance suite runs a datapath: memory under virtual time (fake),
// and a private network namespace with real sockets and a real TUN device (tun). The suite plays
// the applications on one side and the network on the other, with the same calls in both.
#pragma once

#include <memory>
#include <vector>

#include "libntm/datapath/datapath.hpp"
#include "libntm/base/time.hpp"

namespace ntm::datapath::testing {

const Ipv4 kOwn4 = Ipv4::from_u32(0xc6120001);
const Ipv4 kPeer4 = Ipv4::from_u32(0xc6120002);
const Ipv6 kOwn6{{0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
const Ipv6 kPeer6{{0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
constexpr std::uint16_t kAppPort = 2000;  // of the application, at both ends

struct Datagram {
  Endpoint from;
  Endpoint to;
  Bytes bytes;
};

class World {
 public:
  virtual ~World() = default;
  // nullptr with a reason when this machine can't run it.
  virtual const char* unavailable() const = 0;
  virtual Datapath& subject() = 0;
  virtual Instant now() const = 0;

  // ---- the network ----
  virtual SocketId socket(Family family) = 0;      // the subject's
  virtual Endpoint endpoint(Family family) = 0;    // of that socket, as the network sees it
  virtual Endpoint open_port(Family family) = 0;   // a place of ours to send from and receive at
  virtual void send(const Endpoint& from, const Endpoint& to, ByteView bytes) = 0;
  // What arrived at our ports; time may pass, at most `span`.
  virtual std::vector<Datagram> receive(Duration span) = 0;

  // ---- the applications ----
  // UDP from the own virtual address to the peer's; false: the system refused (ICMP came).
  virtual bool app_send(Family family, ByteView payload) = 0;
  virtual std::vector<Bytes> app_receive(Family family) = 0;  // payloads
};

std::unique_ptr<World> make_fake_world();
std::unique_ptr<World> make_tun_world();

}  // namespace ntm::datapath::testing
