// UDP with IP_PKTINFO / IPV6_PKTINFO both ways.
#include "libntm/host/udp_socket.hpp"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>

namespace ntm::host {

namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kDatagramLimit = 2048;  // control only: larger ones are not ours
constexpr int kBufferBytes = 4 << 20;         // 1,000 terminals may come back in one burst

void enable(int fd, int level, int option) {
  int one = 1;
  setsockopt(fd, level, option, &one, sizeof one);
}

IpAddress local_of(const msghdr& header) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&header), c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      Ipv4 v4;
      memcpy(v4.raw.data(), &info.ipi_addr, 4);
      return v4;
    }
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      Ipv6 v6;
      memcpy(v6.raw.data(), &info.ipi6_addr, 16);
      return v6;
    }
  }
  return {};
}

struct ReceiveBatch {
  std::array<std::array<Byte, kDatagramLimit>, kBatch> buffers;
  std::array<sockaddr_storage, kBatch> names;
  std::array<std::array<char, 64>, kBatch> controls;
  std::array<iovec, kBatch> iov;
  std::array<mmsghdr, kBatch> messages;
};

}  // namespace

void to_sockaddr(const Endpoint& endpoint, sockaddr_storage& out, unsigned& length) {
  memset(&out, 0, sizeof out);
  if (endpoint.address.is_v4()) {
    sockaddr_in* in = reinterpret_cast<sockaddr_in*>(&out);
    in->sin_family = AF_INET;
    in->sin_port = htons(endpoint.port);
    memcpy(&in->sin_addr, endpoint.address.view().data(), 4);
    length = sizeof *in;
  } else {
    sockaddr_in6* in = reinterpret_cast<sockaddr_in6*>(&out);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(endpoint.port);
    memcpy(&in->sin6_addr, endpoint.address.view().data(), 16);
    length = sizeof *in;
  }
}

Endpoint from_sockaddr(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const sockaddr_in* in = reinterpret_cast<const sockaddr_in*>(&address);
    Ipv4 v4;
    memcpy(v4.raw.data(), &in->sin_addr, 4);
    return {v4, ntohs(in->sin_port)};
  }
  const sockaddr_in6* in = reinterpret_cast<const sockaddr_in6*>(&address);
  Ipv6 v6;
  memcpy(v6.raw.data(), &in->sin6_addr, 16);
  return {v6, ntohs(in->sin6_port)};
}

Result<UdpSocket> UdpSocket::open(Family family, const IpAddress& bind_address,
                                  std::uint16_t port) {
  UdpSocket out;
  out.family_ = family;
  int domain = family == Family::V4 ? AF_INET : AF_INET6;
  out.fd_ = Fd(::socket(domain, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out.fd_)
    return fail(ErrorKind::Unavailable, std::string("can't open a UDP socket for ") +
                                            to_string(family) + ": " + system_error_text(errno));
  int fd = out.fd_.get();
  if (family == Family::V4) {
    enable(fd, IPPROTO_IP, IP_PKTINFO);
  } else {
    enable(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    enable(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
  }
  int size = kBufferBytes;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  Endpoint local{bind_address, port};
  if (bind_address.is_unspecified() && family == Family::V6) local.address = Ipv6{};
  sockaddr_storage name;
  unsigned length = 0;
  to_sockaddr(local, name, length);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&name), length) != 0) {
    std::string where = "UDP port " + std::to_string(port) + " (" + to_string(family) + ")";
    if (errno == EADDRINUSE)
      return fail(ErrorKind::Conflict,
                  where + " is in use by another program; stop it (find it with `ss -ulpn`) or "
                          "set another port in the configuration");
    return fail(ErrorKind::Unavailable, "can't bind " + to_string(local) + ": " +
                                            system_error_text(errno));
  }
  socklen_t got = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &got);
  out.port_ = from_sockaddr(name).port;
  return out;
}

std::size_t UdpSocket::receive(std::size_t limit,
                               const std::function<void(const UdpDatagram&)>& each) {
  // One batch buffer a thread: 66 KiB that would be too much for each socket or stack frame.
  thread_local std::unique_ptr<ReceiveBatch> batch = std::make_unique<ReceiveBatch>();
  std::size_t total = 0;
  while (total < limit) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      batch->iov[i] = {batch->buffers[i].data(), kDatagramLimit};
      msghdr& h = batch->messages[i].msg_hdr;
      h = {};
      h.msg_name = &batch->names[i];
      h.msg_namelen = sizeof batch->names[i];
      h.msg_iov = &batch->iov[i];
      h.msg_iovlen = 1;
      h.msg_control = batch->controls[i].data();
      h.msg_controllen = batch->controls[i].size();
    }
    int n = recvmmsg(fd_.get(), batch->messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (n <= 0) break;
    for (int i = 0; i < n; ++i) {
      const mmsghdr& m = batch->messages[i];
      if (m.msg_hdr.msg_flags & MSG_TRUNC) continue;
      UdpDatagram datagram{from_sockaddr(batch->names[i]), local_of(m.msg_hdr),
                           ByteView(batch->buffers[i].data(), m.msg_len)};
      each(datagram);
    }
    total += static_cast<std::size_t>(n);
    if (n < static_cast<int>(kBatch)) break;
  }
  return total;
}

Result<void> UdpSocket::send(const Endpoint& to, const IpAddress& local, ByteView bytes) {
  sockaddr_storage name;
  unsigned length = 0;
  to_sockaddr(to, name, length);
  iovec iov{const_cast<Byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_name = &name;
  header.msg_namelen = length;
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, 64> control{};
  if (!local.is_unspecified() && local.family() == family_) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    if (family_ == Family::V4) {
      in_pktinfo info{};
      memcpy(&info.ipi_spec_dst, local.view().data(), 4);
      c->cmsg_level = IPPROTO_IP;
      c->cmsg_type = IP_PKTINFO;
      c->cmsg_len = CMSG_LEN(sizeof info);
      memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
      in6_pktinfo info{};
      memcpy(&info.ipi6_addr, local.view().data(), 16);
      c->cmsg_level = IPPROTO_IPV6;
      c->cmsg_type = IPV6_PKTINFO;
      c->cmsg_len = CMSG_LEN(sizeof info);
      memcpy(CMSG_DATA(c), &info, sizeof info);
    }
    header.msg_controllen = CMSG_SPACE(c->cmsg_len - CMSG_LEN(0));
  }
  if (sendmsg(fd_.get(), &header, MSG_DONTWAIT) < 0)
    return fail(ErrorKind::Unavailable,
                "can't send to " + to_string(to) + ": " + system_error_text(errno));
  return {};
}

}  // namespace ntm::host
