// See datapath_world.hpp.
#include "tests/unit/datapath_world.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <string>

#include "libntm/datapath/fake/fake_datapath.hpp"
#include "libntm/datapath/tun/link.hpp"
#include "libntm/datapath/tun/tun_datapath.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/udp_socket.hpp"
#include "tests/unit/datapath_packets.hpp"

namespace ntm::datapath::testing {
namespace {

InterfaceOptions interface_options() {
  InterfaceOptions out;
  out.name = "ntm0";
  out.addresses = {kOwn4, kOwn6};
  out.routes = {{Ipv4::from_u32(0xc6120000), 24}, {Ipv6{{0xfd, 1}}, 64}};
  return out;
}
IpAddress own(Family family) {
  return family == Family::V4 ? IpAddress(kOwn4) : IpAddress(kOwn6);
}
IpAddress peer(Family family) {
  return family == Family::V4 ? IpAddress(kPeer4) : IpAddress(kPeer6);
}

class FakeWorld final : public World {
 public:
  FakeWorld() : subject_(now_) {
    v4_ = subject_.open_socket({}).value();
    v6_ = subject_.open_socket({Family::V6, {}, 0, 0}).value();
    (void)subject_.open_interface(interface_options());
    subject_.set_output([this](const Outer& outer, ByteView bytes) {
      Family family = outer.remote.family();
      arrived_.push_back({endpoint(family), outer.remote, to_bytes(bytes)});
    });
  }
  const char* unavailable() const override { return nullptr; }
  Datapath& subject() override { return subject_; }
  Instant now() const override { return now_; }
  SocketId socket(Family family) override { return (family == Family::V4 ? v4_ : v6_).id; }
  Endpoint endpoint(Family family) override {
    if (family == Family::V4) return {Ipv4::from_u32(0x0a000001), v4_.port};
    return {Ipv6{{0x20, 1}}, v6_.port};
  }
  Endpoint open_port(Family family) override {
    std::uint16_t port = next_port_++;
    if (family == Family::V4) return {Ipv4::from_u32(0x0a000002), port};
    return {Ipv6{{0x20, 2}}, port};
  }
  void send(const Endpoint& from, const Endpoint& to, ByteView bytes) override {
    subject_.deliver(socket(to.family()), from, to.address, bytes);
  }
  std::vector<Datagram> receive(Duration span) override {
    now_ = now_ + span;
    subject_.advance(now_);
    return std::exchange(arrived_, {});
  }
  bool app_send(Family family, ByteView payload) override {
    Bytes udp(8);
    put_u16(&udp[0], kAppPort);
    put_u16(&udp[2], kAppPort);
    put_u16(&udp[4], static_cast<std::uint16_t>(8 + payload.size()));
    udp.insert(udp.end(), payload.begin(), payload.end());
    sort_inner();
    if (std::exchange(refused_, false)) return false;
    subject_.inject_inner(ip_packet(own(family), peer(family), kProtocolUdp, udp));
    return true;
  }
  std::vector<Bytes> app_receive(Family family) override {
    sort_inner();
    return std::exchange(payloads_[family], {});
  }

 private:
  void sort_inner() {
    for (Bytes& packet : subject_.take_inner()) {
      std::optional<InnerPacket> info = parse_inner(packet);
      if (!info || !checksum_ok(packet)) continue;
      if (info->is_udp())
        payloads_[info->family()].push_back(
            Bytes(packet.begin() + static_cast<std::ptrdiff_t>(info->header_length + 8),
                  packet.end()));
      else
        refused_ = true;
    }
  }
  Instant now_{1'000'000'000};
  FakeDatapath subject_;
  SocketInfo v4_, v6_;
  std::uint16_t next_port_ = 6000;
  std::vector<Datagram> arrived_;
  std::map<Family, std::vector<Bytes>> payloads_;
  bool refused_ = false;
};

// One namespace for the whole process: the first world makes it.
const char* enter_namespace() {
  static const char* const reason = []() -> const char* {
    if (::unshare(CLONE_NEWNET) != 0)
      return "needs root: a network namespace of its own can't be made";
    Result<Link> loopback = Link::open(1);
    if (!loopback || !loopback->up(65535)) return "the new namespace's loopback can't be set up";
    host::Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    if (!tun) return "there is no /dev/net/tun";
    return nullptr;
  }();
  return reason;
}

class TunWorld final : public World {
 public:
  TunWorld() {
    reason_ = enter_namespace();
    if (reason_ != nullptr) return;
    subject_ = std::move(make_tun_datapath().value());
    Result<SocketInfo> v4 = subject_->open_socket({Family::V4, Ipv4::from_u32(0x7f000001), 0, 0});
    Ipv6 loopback;
    loopback.raw[15] = 1;
    Result<SocketInfo> v6 = subject_->open_socket({Family::V6, loopback, 0, 0});
    Result<InterfaceInfo> opened = subject_->open_interface(interface_options());
    if (!v4 || !v6 || !opened) {
      text_ = !v4 ? v4.error().text : !v6 ? v6.error().text : opened.error().text;
      reason_ = text_.c_str();
      return;
    }
    v4_ = *v4;
    v6_ = *v6;
    for (Family family : {Family::V4, Family::V6}) apps_[family] = app_socket(family);
  }
  const char* unavailable() const override { return reason_; }
  Datapath& subject() override { return *subject_; }
  Instant now() const override { return host::monotonic_now(); }
  SocketId socket(Family family) override { return (family == Family::V4 ? v4_ : v6_).id; }
  Endpoint endpoint(Family family) override {
    return {local(family), (family == Family::V4 ? v4_ : v6_).port};
  }
  Endpoint open_port(Family family) override {
    host::UdpSocket made = host::UdpSocket::open(family, local(family), 0).value();
    Endpoint out{local(family), made.port()};
    ports_.emplace(out, std::move(made));
    return out;
  }
  void send(const Endpoint& from, const Endpoint& to, ByteView bytes) override {
    (void)ports_.at(from).send(to, {}, bytes);
  }
  std::vector<Datagram> receive(Duration span) override {
    std::vector<pollfd> wait;
    for (std::pair<const Endpoint, host::UdpSocket>& port : ports_)
      wait.push_back({port.second.fd(), POLLIN, 0});
    (void)::poll(wait.data(), wait.size(), static_cast<int>(span.ms()));
    std::vector<Datagram> out;
    for (std::pair<const Endpoint, host::UdpSocket>& port : ports_)
      port.second.receive(1000, [&](const host::UdpDatagram& datagram) {
        out.push_back({datagram.from, port.first, to_bytes(datagram.bytes)});
      });
    return out;
  }
  bool app_send(Family family, ByteView payload) override {
    sockaddr_storage to{};
    unsigned length = 0;
    host::to_sockaddr({peer(family), kAppPort}, to, length);
    return ::sendto(apps_[family].get(), payload.data(), payload.size(), 0,
                    reinterpret_cast<sockaddr*>(&to), length) >= 0;
  }
  std::vector<Bytes> app_receive(Family family) override {
    std::vector<Bytes> out;
    Bytes buffer(65536);
    for (;;) {
      ssize_t size =
          ::recv(apps_[family].get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size < 0) return out;
      out.emplace_back(buffer.begin(), buffer.begin() + size);
    }
  }

 private:
  static IpAddress local(Family family) {
    Ipv6 loopback;
    loopback.raw[15] = 1;
    return family == Family::V4 ? IpAddress(Ipv4::from_u32(0x7f000001)) : IpAddress(loopback);
  }
  // Connected and with RECVERR, so that soft ICMP errors reach it too; with room for a burst.
  static host::Fd app_socket(Family family) {
    host::Fd out(::socket(family == Family::V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0));
    int on = 1, room = 4 << 20;
    (void)::setsockopt(out.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    (void)::setsockopt(out.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
    (void)::setsockopt(out.get(), IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
    sockaddr_storage address{};
    unsigned length = 0;
    host::to_sockaddr({own(family), kAppPort}, address, length);
    // The system takes a new IPv6 address into use a moment after it was given.
    for (int attempt = 0; attempt < 200; ++attempt) {
      if (::bind(out.get(), reinterpret_cast<sockaddr*>(&address), length) == 0) break;
      (void)::poll(nullptr, 0, 5);
    }
    host::to_sockaddr({peer(family), kAppPort}, address, length);
    (void)::connect(out.get(), reinterpret_cast<sockaddr*>(&address), length);
    return out;
  }
  const char* reason_ = nullptr;
  std::string text_;
  std::unique_ptr<Datapath> subject_;
  SocketInfo v4_, v6_;
  std::map<Endpoint, host::UdpSocket> ports_;
  std::map<Family, host::Fd> apps_;
};

}  // namespace

std::unique_ptr<World> make_fake_world() { return std::make_unique<FakeWorld>(); }
std::unique_ptr<World> make_tun_world() { return std::make_unique<TunWorld>(); }

}  // namespace ntm::datapath::testing
