// Two fake datapaths joined by a wire in memory, under virtual time: the ground on which the tests
// of tunnels and relays stand.
#pragma once

#include <gtest/gtest.h>

#include <deque>

#include "libntm/datapath/fake/fake_datapath.hpp"
#include "libntm/datapath/record.hpp"
#include "tests/unit/datapath_packets.hpp"

namespace ntm::datapath::testing {

const Ipv4 kVirtualA = Ipv4::from_u32(0xc6120001);  // 198.18.0.1
const Ipv4 kVirtualB = Ipv4::from_u32(0xc6120002);
const IpAddress kRealA = Ipv4::from_u32(0x0a000001);
const IpAddress kRealB = Ipv4::from_u32(0x0a000002);
const IpAddress kRealC = Ipv4::from_u32(0x0a000003);
const PathId kPath{0x1111};
const TunnelId kTunnel{1};

struct Wire {
  SocketId socket;
  Endpoint from;
  Endpoint to;
  Bytes bytes;
};

// One end: a datapath with a socket, an address and a tunnel to the other.
struct End {
  explicit End(const IpAddress& at, Ipv4 own) : real(at), address(own), path(Instant{1'000'000}) {
    socket = path.open_socket({}).value();
    (void)path.open_interface({"ntm0", {own, std::nullopt}});
    path.set_output([this](const Outer& outer, ByteView bytes) {
      sent.push_back({outer.socket, {real, socket.port}, outer.remote, to_bytes(bytes)});
    });
  }
  Endpoint endpoint() const { return {real, socket.port}; }
  template <typename T>
  std::vector<T> seen() {
    std::vector<T> out;
    for (Event& event : path.events()) {
      if (T* wanted = std::get_if<T>(&event))
        out.push_back(*wanted);
      else
        other.push_back(event);
    }
    return out;
  }
  IpAddress real;
  Ipv4 address;
  FakeDatapath path;
  SocketInfo socket;
  std::deque<Wire> sent;
  std::vector<Event> other;
};

inline PathKeys keys(bool initiator, std::uint8_t epoch = 0) {
  DirectionKey a{Key32::from(Bytes(32, static_cast<Byte>(1 + epoch))), {}};
  DirectionKey b{Key32::from(Bytes(32, static_cast<Byte>(101 + epoch))), {}};
  return {0x01, epoch, initiator ? a : b, initiator ? b : a};
}

class FakeDatapathTest : public ::testing::Test {
 protected:
  void join() {
    for (End* end : {&a, &b}) {
      End& peer = end == &a ? b : a;
      ASSERT_TRUE(end->path.apply(PutTunnel{kTunnel, "peer", {peer.address, std::nullopt}}));
      ASSERT_TRUE(end->path.apply(
          PutPath{kTunnel, kPath, keys(end == &a), Outer{end->socket.id, peer.endpoint()}}));
      ASSERT_TRUE(end->path.apply(SelectPath{kTunnel, kPath}));
    }
  }
  // Delivers what is on its way until nothing is; returns how many datagrams.
  std::size_t run() {
    std::size_t count = 0;
    while (!a.sent.empty() || !b.sent.empty()) {
      End& from = a.sent.empty() ? b : a;
      Wire wire = from.sent.front();
      from.sent.pop_front();
      ++count;
      if (wire.to.address == b.real) b.path.deliver(b.socket.id, wire.from, b.real, wire.bytes);
      if (wire.to.address == a.real) a.path.deliver(a.socket.id, wire.from, a.real, wire.bytes);
    }
    return count;
  }
  void advance(Duration span) {
    now = now + span;
    a.path.advance(now);
    b.path.advance(now);
  }
  Bytes packet(Byte fill, std::size_t size = 100, Byte tos = 0) {
    return udp_packet(kVirtualA, kVirtualB, size, fill, tos);
  }
  Instant now{1'000'000};
  End a{kRealA, kVirtualA};
  End b{kRealB, kVirtualB};
};

}  // namespace ntm::datapath::testing
