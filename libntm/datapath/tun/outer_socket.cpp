// See outer_socket.hpp.
#include "libntm/datapath/tun/outer_socket.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include "libntm/datapath/out_batch.hpp"
#include "libntm/host/udp_socket.hpp"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace ntm::datapath {
namespace {

constexpr int kWaitMs = 20;  // for a full send buffer; then the datagrams are dropped

Error socket_error(const char* what, int error) {
  return {ErrorKind::Unavailable,
          std::string(what) + " failed: " + host::system_error_text(error)};
}

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

Error bind_error(const SocketOptions& options, int error) {
  std::string where = std::string("UDP port ") + std::to_string(options.port) + " (" +
                      to_string(options.family) + ")";
  if (error == EADDRINUSE)
    return {ErrorKind::Conflict,
            where + " is in use: stop the program that holds it (ss -ulnp) or choose another port"};
  if (error == EADDRNOTAVAIL)
    return {ErrorKind::Unavailable,
            to_string(options.bind) +
                " is not an address of this machine: check the listen address"};
  if (error == EACCES)
    return {ErrorKind::Denied, where + " needs CAP_NET_BIND_SERVICE: run as root or use a port "
                                       "above 1023"};
  return socket_error("binding a UDP socket", error);
}

// Offloads and buffers help where the kernel has them; correctness needs none of them.
bool configure(int fd, const SocketOptions& options) {
  if (!set(fd, SOL_SOCKET, SO_RCVBUFFORCE, kSocketBuffer))
    (void)set(fd, SOL_SOCKET, SO_RCVBUF, kSocketBuffer);
  if (!set(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSocketBuffer))
    (void)set(fd, SOL_SOCKET, SO_SNDBUF, kSocketBuffer);
  (void)set(fd, IPPROTO_UDP, UDP_GRO, 1);
  if (options.family == Family::V4) {
    (void)set(fd, IPPROTO_IP, IP_PKTINFO, 1);
    (void)set(fd, IPPROTO_IP, IP_RECVERR, 1);
    (void)set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  } else {
    (void)set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    (void)set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    (void)set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    (void)set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
  }
  return options.mark == 0 || set(fd, SOL_SOCKET, SO_MARK, static_cast<int>(options.mark));
}

template <typename T>
void put_control(msghdr& message, int level, int type, const T& value) {
  cmsghdr* header = reinterpret_cast<cmsghdr*>(static_cast<Byte*>(message.msg_control) +
                                               message.msg_controllen);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof(T));
  std::memcpy(CMSG_DATA(header), &value, sizeof(T));
  message.msg_controllen += CMSG_SPACE(sizeof(T));
}

void put_source(msghdr& message, const Outer& outer) {
  bool pinned = !outer.local.is_unspecified() && outer.local.family() == outer.remote.family();
  if (!pinned && outer.interface == 0) return;
  if (outer.remote.family() == Family::V4) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(outer.interface);
    if (pinned) std::memcpy(&info.ipi_spec_dst, outer.local.view().data(), 4);
    put_control(message, IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    info.ipi6_ifindex = outer.interface;
    if (pinned) std::memcpy(&info.ipi6_addr, outer.local.view().data(), 16);
    put_control(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

void read_control(msghdr& message, Arrival& arrival) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int segment = 0;
      std::memcpy(&segment, CMSG_DATA(c), sizeof(segment));
      if (segment > 0) arrival.segment = static_cast<std::size_t>(segment);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof(info));
      Ipv4 local;
      std::memcpy(local.raw.data(), &info.ipi_addr, 4);
      arrival.from.local = local;
      arrival.from.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof(info));
      Ipv6 local;
      std::memcpy(local.raw.data(), &info.ipi6_addr, 16);
      arrival.from.local = local;
      arrival.from.interface = static_cast<std::uint32_t>(info.ipi6_ifindex);
    }
  }
}

}  // namespace

Result<std::shared_ptr<OuterSocket>> OuterSocket::open(SocketId id, const SocketOptions& options) {
  bool v4 = options.family == Family::V4;
  std::shared_ptr<OuterSocket> out = std::make_shared<OuterSocket>();
  out->fd_.reset(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!out->fd_) {
    if (errno == EAFNOSUPPORT)
      return fail(ErrorKind::Unavailable, std::string("this machine has no ") +
                                              to_string(options.family) +
                                              ": leave this family out or enable it");
    return tl::unexpected(socket_error("opening a UDP socket", errno));
  }
  int fd = out->fd_.get();
  if (!configure(fd, options))
    return fail(ErrorKind::Denied,
                "marking the tunnel's packets (SO_MARK) needs CAP_NET_ADMIN: run as root or grant "
                "the capability");
  IpAddress any = v4 ? IpAddress(Ipv4{}) : IpAddress(Ipv6{});
  if (!options.bind.is_unspecified()) any = options.bind;
  if (any.family() != options.family)
    return invalid(to_string(any) + " can't be bound to a socket of the other family");
  sockaddr_storage address{};
  unsigned length = 0;
  host::to_sockaddr({any, options.port}, address, length);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0)
    return tl::unexpected(bind_error(options, errno));
  socklen_t size = sizeof(address);
  (void)::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  out->id_ = id;
  out->family_ = options.family;
  out->port_ = host::from_sockaddr(address).port;
  out->mark_ = options.mark;
  int segment = 0;
  socklen_t segment_size = sizeof(segment);
  if (::getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &segment_size) != 0) {
    out->offload_ = false;
    out->offload_again_us_ = Instant::never().us;
  }
  return out;
}

int OuterSocket::send_once(const Outer& outer, ByteView bytes, std::size_t segment, Wait wait) {
  sockaddr_storage address{};
  unsigned length = 0;
  host::to_sockaddr(outer.remote, address, length);
  iovec part{const_cast<Byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) Byte control[128] = {};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  put_source(message, outer);
  if (segment < bytes.size())
    put_control(message, IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(segment));
  if (message.msg_controllen == 0) message.msg_control = nullptr;
  // An error may be one of an earlier datagram (an ICMP that came in): asked again, it is our own.
  for (int attempt = 0;; ++attempt) {
    if (::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
    int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      if (wait == Wait::No || attempt > 0) return error;
      pollfd ready{fd_.get(), POLLOUT, 0};
      (void)::poll(&ready, 1, kWaitMs);
      continue;
    }
    if (attempt > 0 || (error != ECONNREFUSED && error != EHOSTUNREACH && error != EMSGSIZE))
      return error;
  }
}

int OuterSocket::send_singly(const Outer& outer, ByteView bytes, std::size_t segment, Wait wait) {
  int first = 0;
  while (!bytes.empty()) {
    std::size_t size = std::min(segment, bytes.size());
    int error = send_once(outer, bytes.first(size), size, wait);
    if (error != 0 && first == 0) first = error;
    bytes = bytes.subspan(size);
  }
  return first;
}

int OuterSocket::send(Instant now, const Outer& outer, ByteView bytes, std::size_t segment,
                      Wait wait) {
  if (segment >= bytes.size()) return send_once(outer, bytes, bytes.size(), wait);
  if (!offload_) {
    if (now.us < offload_again_us_) return send_singly(outer, bytes, segment, wait);
    offload_ = true;
  }
  int error = send_once(outer, bytes, segment, wait);
  if (error != EIO && error != EINVAL) return error;
  int single = send_singly(outer, bytes, segment, wait);
  // Too long for the path: the offload is not to blame, the packets will get smaller.
  if (single == EMSGSIZE) return single;
  if (single == 0 || error == EIO) {
    offload_again_us_ = (now + kOffloadPause).us;
    offload_ = false;
  }
  return single;
}

void OuterSocket::drain_errors(const std::function<void(const SocketError&)>& each) {
  for (int limit = 0; limit < 64; ++limit) {
    sockaddr_storage address{};
    alignas(cmsghdr) Byte control[512];
    Byte payload[64];
    iovec part{payload, sizeof(payload)};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof(address);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    if (::recvmsg(fd_.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      bool ours = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                  (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
      if (!ours) continue;
      sock_extended_err detail{};
      std::memcpy(&detail, CMSG_DATA(c), sizeof(detail));
      SocketError error;
      error.remote = host::from_sockaddr(address);
      error.error = static_cast<int>(detail.ee_errno);
      if (error.error == EMSGSIZE) error.mtu = detail.ee_info;
      each(error);
    }
  }
}

std::uint16_t OuterSocket::route_mtu(const Outer& outer) const {
  bool v4 = outer.remote.family() == Family::V4;
  host::Fd probe(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return 0;
  if (mark_ != 0) (void)set(probe.get(), SOL_SOCKET, SO_MARK, static_cast<int>(mark_));
  sockaddr_storage address{};
  unsigned length = 0;
  if (!outer.local.is_unspecified() && outer.local.family() == outer.remote.family()) {
    host::to_sockaddr({outer.local, 0}, address, length);
    if (::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  }
  host::to_sockaddr(outer.remote, address, length);
  if (::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  int mtu = 0;
  socklen_t size = sizeof(mtu);
  if (::getsockopt(probe.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu,
                   &size) != 0)
    return 0;
  return static_cast<std::uint16_t>(std::min(mtu, 65535));
}

// ---- receiving ---------------------------------------------------------------------------------

ReceiveBuffers::ReceiveBuffers()
    : memory_(new Byte[kMessages * kMessageSize]), control_(new Byte[kMessages * kControlSize]) {
  arrivals_.reserve(kMessages);
}

const std::vector<Arrival>& ReceiveBuffers::receive(const OuterSocket& socket) {
  mmsghdr messages[kMessages];
  iovec parts[kMessages];
  sockaddr_storage sources[kMessages];
  std::memset(messages, 0, sizeof(messages));
  for (std::size_t i = 0; i < kMessages; ++i) {
    parts[i] = {memory_.get() + i * kMessageSize, kMessageSize};
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = &sources[i];
    message.msg_namelen = sizeof(sources[i]);
    message.msg_iov = &parts[i];
    message.msg_iovlen = 1;
    message.msg_control = control_.get() + i * kControlSize;
    message.msg_controllen = kControlSize;
  }
  arrivals_.clear();
  int count = ::recvmmsg(socket.fd(), messages, kMessages, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < count; ++i) {
    Arrival arrival;
    std::size_t index = static_cast<std::size_t>(i);
    arrival.bytes = ByteSpan(memory_.get() + index * kMessageSize, messages[i].msg_len);
    arrival.segment = arrival.bytes.size();
    arrival.from.socket = socket.id();
    arrival.from.remote = host::from_sockaddr(sources[i]);
    read_control(messages[i].msg_hdr, arrival);
    if (!arrival.bytes.empty()) arrivals_.push_back(arrival);
  }
  return arrivals_;
}

}  // namespace ntm::datapath
