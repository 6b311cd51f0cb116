// Packet sockets: PACKET_VNET_HDR carries offload state through, PACKET_IGNORE_OUTGOING keeps our
// own frames from coming back, kernel time stamps keep our wake-up delay out of the emulated one.
#include "tests/netns/wire/port.hpp"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace ntm::lab {
namespace {

constexpr int kSocketBuffer = 32 << 20;  // 64 KiB frames of a full TCP window wait here at most
constexpr Nanoseconds kBelievable = 50'000'000;  // an older stamp means the clock was stepped

Nanoseconds clock_now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

// The stamp is on the wall clock; only the age of the frame is taken from it.
Nanoseconds arrival_of(msghdr& header, Nanoseconds now, Nanoseconds wall) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec stamp{};
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    Nanoseconds age = wall - (stamp.tv_sec * 1'000'000'000LL + stamp.tv_nsec);
    if (age >= 0 && age < kBelievable) return now - age;
  }
  return now;
}

}  // namespace

ReceiveBatch::ReceiveBatch() : slots_(kFrames), messages_(kFrames) {
  for (std::size_t i = 0; i < kFrames; ++i) {
    Slot& slot = slots_[i];
    slot.parts = {iovec{&slot.offload, sizeof slot.offload},
                  iovec{slot.bytes.data(), slot.bytes.size()}};
    msghdr& header = messages_[i].msg_hdr;
    header = {};
    header.msg_iov = slot.parts.data();
    header.msg_iovlen = slot.parts.size();
    header.msg_control = slot.control.data();
  }
}

std::size_t ReceiveBatch::read(int fd, Nanoseconds now, std::vector<Received>& out) {
  for (std::size_t i = 0; i < kFrames; ++i)
    messages_[i].msg_hdr.msg_controllen = slots_[i].control.size();
  int count = recvmmsg(fd, messages_.data(), kFrames, MSG_DONTWAIT, nullptr);
  if (count <= 0) return 0;
  Nanoseconds wall = clock_now(CLOCK_REALTIME);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    mmsghdr& message = messages_[i];
    if (message.msg_len < sizeof(OffloadHeader) + kEthernetHeader) continue;
    if (message.msg_hdr.msg_flags & MSG_TRUNC) continue;
    Received received{arrival_of(message.msg_hdr, now, wall), {}};
    received.frame.offload = slots_[i].offload;
    const std::uint8_t* data = slots_[i].bytes.data();
    received.frame.bytes.assign(data, data + message.msg_len - sizeof(OffloadHeader));
    out.push_back(std::move(received));
  }
  return static_cast<std::size_t>(count);
}

Port::Port(const std::string& interface, std::string& error) : interface_(interface) {
  // Protocol 0: nothing arrives before bind() has chosen the interface.
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    error = std::string("cannot open a packet socket: ") + strerror(errno) + " (run as root)";
    return;
  }
  if (!configure(error)) {
    close(fd_);
    fd_ = -1;
  }
}

Port::~Port() {
  if (fd_ >= 0) close(fd_);
}

bool Port::configure(std::string& error) {
  unsigned index = if_nametoindex(interface_.c_str());
  if (index == 0) {
    error = "no interface " + interface_;
    return false;
  }
  int on = 1;
  int buffer = kSocketBuffer;
  if (setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0) {
    error = std::string("PACKET_VNET_HDR is refused: ") + strerror(errno);
    return false;
  }
  setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  setsockopt(fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  setsockopt(fd_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_ALL);
  where.sll_ifindex = static_cast<int>(index);
  if (bind(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
    error = "cannot bind to " + interface_ + ": " + strerror(errno);
    return false;
  }
  return true;
}

std::size_t Port::send(std::vector<Frame>& frames) {
  std::vector<mmsghdr> messages(frames.size());
  std::vector<std::array<iovec, 2>> parts(frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    Frame& frame = frames[i];
    frame.offload.flags &= kNeedsChecksum;  // the only flag a sender may set
    parts[i] = {iovec{&frame.offload, sizeof frame.offload},
                iovec{frame.bytes.data(), frame.bytes.size()}};
    messages[i].msg_hdr.msg_iov = parts[i].data();
    messages[i].msg_hdr.msg_iovlen = parts[i].size();
  }
  std::size_t sent = 0;
  std::size_t refused = 0;
  while (sent < messages.size()) {
    int count = sendmmsg(fd_, &messages[sent], static_cast<unsigned>(messages.size() - sent), 0);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      ++refused;  // the failing one is the first of the rest
      ++sent;
    }
  }
  return refused;
}

}  // namespace ntm::lab
