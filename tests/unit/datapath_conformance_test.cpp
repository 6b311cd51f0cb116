// What every datapath must do, in memory and on a real TUN device alike. The peer is a fake
// datapath of its own; the suite carries its datagrams.
#include <gtest/gtest.h>
#include <unistd.h>

#include "libntm/datapath/fake/fake_datapath.hpp"
#include "libntm/datapath/hold_queue.hpp"
#include "libntm/datapath/record.hpp"
#include "libntm/datapath/tun/tun_datapath.hpp"
#include "libntm/wire/inner_control.hpp"
#include "tests/unit/datapath_packets.hpp"
#include "tests/unit/datapath_world.hpp"

namespace ntm::datapath::testing {
namespace {

const PathId kPath{0x1111};
const TunnelId kTunnel{1};

struct OnFake {
  static std::unique_ptr<World> make() { return make_fake_world(); }
};
struct OnTun {
  static std::unique_ptr<World> make() { return make_tun_world(); }
};

PathKeys keys(bool subject, std::uint8_t epoch = 0) {
  DirectionKey a{Key32::from(Bytes(32, static_cast<Byte>(1 + epoch))), {}};
  DirectionKey b{Key32::from(Bytes(32, static_cast<Byte>(101 + epoch))), {}};
  return {0x01, epoch, subject ? a : b, subject ? b : a};
}
Bytes payload(Byte fill, std::size_t size = 100) { return Bytes(size, fill); }

template <typename T>
class Conformance : public ::testing::Test {
 protected:
  void SetUp() override {
    world = T::make();
    if (world->unavailable() != nullptr) GTEST_SKIP() << world->unavailable();
    peer = std::make_unique<FakeDatapath>(world->now());
    peer_v4 = peer->open_socket({}).value().id;
    peer_v6 = peer->open_socket({Family::V6, {}, 0, 0}).value().id;
    (void)peer->open_interface({"peer", {kPeer4, kPeer6}});
    port_v4 = world->open_port(Family::V4);
    port_v6 = world->open_port(Family::V6);
    peer->set_output([this](const Outer& outer, ByteView bytes) {
      if (!cut) world->send(port(outer.remote.family()), outer.remote, bytes);
    });
  }
  Endpoint& port(Family family) { return family == Family::V4 ? port_v4 : port_v6; }
  Datapath& subject() { return world->subject(); }

  void join(Family outer) {
    Endpoint there = world->endpoint(outer);
    ASSERT_TRUE(subject().apply(PutTunnel{kTunnel, "peer", {kPeer4, kPeer6}, true}));
    ASSERT_TRUE(subject().apply(
        PutPath{kTunnel, kPath, keys(true), Outer{world->socket(outer), port(outer)}}));
    ASSERT_TRUE(subject().apply(SelectPath{kTunnel, kPath}));
    ASSERT_TRUE(peer->apply(PutTunnel{kTunnel, "subject", {kOwn4, kOwn6}, true}));
    ASSERT_TRUE(peer->apply(PutPath{kTunnel, kPath, keys(false),
                                    Outer{outer == Family::V4 ? peer_v4 : peer_v6, there}}));
    ASSERT_TRUE(peer->apply(SelectPath{kTunnel, kPath}));
  }
  // Carries datagrams until the condition holds; at most ten (virtual or real) seconds.
  bool until(const std::function<bool()>& condition) {
    for (Instant end = world->now() + seconds(10); world->now() < end;) {
      if (condition()) return true;
      step();
    }
    return condition();
  }
  void step() {
    for (const Datagram& datagram : world->receive(milliseconds(10))) {
      seen.push_back(datagram);
      if (cut) continue;
      SocketId socket = datagram.to.family() == Family::V4 ? peer_v4 : peer_v6;
      peer->deliver(socket, datagram.from, datagram.to.address, datagram.bytes);
    }
    peer->advance(world->now());
    for (Bytes& packet : peer->take_inner()) peer_inner.push_back(std::move(packet));
    for (Family family : {Family::V4, Family::V6})
      for (Bytes& got : world->app_receive(family)) app[family].push_back(std::move(got));
    for (Event& event : subject().events()) events.push_back(std::move(event));
  }
  template <typename E>
  std::size_t count() {
    std::size_t out = 0;
    for (const Event& event : events) out += std::holds_alternative<E>(event) ? 1 : 0;
    return out;
  }
  template <typename E>
  const E& first() {
    for (const Event& event : events)
      if (const E* found = std::get_if<E>(&event)) return *found;
    static const E none{};
    ADD_FAILURE() << "no such event";
    return none;
  }
  // Payloads of UDP packets that came out of the tunnel at the peer.
  std::vector<Bytes> peer_payloads() {
    std::vector<Bytes> out;
    for (const Bytes& packet : peer_inner) {
      EXPECT_TRUE(checksum_ok(packet));
      std::optional<InnerPacket> info = parse_inner(packet);
      if (info && info->is_udp())
        out.emplace_back(packet.begin() + static_cast<std::ptrdiff_t>(info->header_length + 8),
                         packet.end());
    }
    return out;
  }
  void peer_sends(Family family, ByteView bytes) {
    Bytes udp(8);
    put_u16(&udp[0], kAppPort);
    put_u16(&udp[2], kAppPort);
    put_u16(&udp[4], static_cast<std::uint16_t>(8 + bytes.size()));
    udp.insert(udp.end(), bytes.begin(), bytes.end());
    if (family == Family::V4)
      peer->inject_inner(ip_packet(kPeer4, kOwn4, kProtocolUdp, udp));
    else
      peer->inject_inner(ip_packet(kPeer6, kOwn6, kProtocolUdp, udp));
  }

  std::unique_ptr<World> world;
  std::unique_ptr<FakeDatapath> peer;
  SocketId peer_v4, peer_v6;
  Endpoint port_v4, port_v6;
  bool cut = false;  // the network loses everything
  std::vector<Datagram> seen;
  std::vector<Bytes> peer_inner;
  std::map<Family, std::vector<Bytes>> app;
  std::vector<Event> events;
};

using Datapaths = ::testing::Types<OnFake, OnTun>;
class Names {
 public:
  template <typename T>
  static std::string GetName(int) {
    return std::is_same_v<T, OnFake> ? "Fake" : "Tun";
  }
};
TYPED_TEST_SUITE(Conformance, Datapaths, Names);

TYPED_TEST(Conformance, CarriesEitherInnerOverEitherOuterFamily) {
  for (Family outer : {Family::V4, Family::V6}) {
    this->join(outer);
    for (Family inner : {Family::V4, Family::V6}) {
      this->peer_inner.clear();
      this->app.clear();
      ASSERT_TRUE(this->world->app_send(inner, payload(1)));
      EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() == 1; }));
      EXPECT_EQ(this->peer_payloads(), std::vector<Bytes>{payload(1)});
      this->peer_sends(inner, payload(2, 1200));
      EXPECT_TRUE(this->until([&] { return this->app[inner].size() == 1; }));
      EXPECT_EQ(this->app[inner], std::vector<Bytes>{payload(2, 1200)});
    }
  }
  EXPECT_EQ(this->template count<PathConfirmed>(), 1u);
  PathStatistics statistics = *this->subject().statistics(kPath);
  EXPECT_GE(statistics.packets_sent, 4u);
  EXPECT_GE(statistics.packets_received, 4u);
}

TYPED_TEST(Conformance, HoldsAndSendsInOrderOnceThereIsAPath) {
  this->join(Family::V4);
  ASSERT_TRUE(this->subject().apply(HoldTunnel{kTunnel}));
  std::vector<Bytes> want;
  for (Byte i = 0; i < 30; ++i) {
    want.push_back(payload(i));
    ASSERT_TRUE(this->world->app_send(Family::V4, want.back()));
  }
  EXPECT_TRUE(this->until([&] { return this->subject().statistics(kPath)->held == 30; }));
  EXPECT_TRUE(this->peer_inner.empty());
  ASSERT_TRUE(this->subject().apply(SelectPath{kTunnel, kPath}));
  EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() == 30; }));
  EXPECT_EQ(this->peer_payloads(), want);
}

TYPED_TEST(Conformance, AsksForATunnelAndSendsWhatWaited) {
  ASSERT_TRUE(this->world->app_send(Family::V6, payload(1)));
  ASSERT_TRUE(this->until([&] { return this->template count<NoTunnel>() == 1; }));
  EXPECT_EQ(this->template first<NoTunnel>().destination, IpAddress(kPeer6));
  EXPECT_EQ(this->template first<NoTunnel>().source, IpAddress(kOwn6));
  this->join(Family::V4);
  EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() == 1; }));
}

TYPED_TEST(Conformance, RefusalReachesTheApplication) {
  for (Family family : {Family::V4, Family::V6}) {
    this->events.clear();
    ASSERT_TRUE(this->world->app_send(family, payload(1)));
    ASSERT_TRUE(this->until([&] { return this->template count<NoTunnel>() == 1; }));
    IpAddress to = family == Family::V4 ? IpAddress(kPeer4) : IpAddress(kPeer6);
    ASSERT_TRUE(this->subject().apply(Refuse{to}));
    EXPECT_TRUE(this->until([&] { return !this->world->app_send(family, payload(2)); }));
  }
}

TYPED_TEST(Conformance, HandsControlUpAndSendsIt) {
  for (Family family : {Family::V4, Family::V6}) {
    this->events.clear();
    this->seen.clear();
    Bytes hint(wire::kTunnelHintSize);
    hint[0] = static_cast<Byte>(wire::DatagramType::TunnelHint);
    Endpoint there = this->world->endpoint(family);
    this->world->send(this->port(family), there, hint);
    this->world->send(this->port(family), there, Bytes{0x00, 1, 2, 3});  // foreign: dropped
    this->world->send(this->port(family), there, Bytes{0x50});  // DATA, but too short
    ASSERT_TRUE(this->until([&] { return this->template count<ControlReceived>() == 1; }));
    const ControlReceived& got = this->template first<ControlReceived>();
    EXPECT_EQ(got.datagram, hint);
    EXPECT_EQ(got.from, this->port(family));
    EXPECT_EQ(got.local, there.address);
    ASSERT_TRUE(this->subject().send_control(Outer{got.socket, got.from, got.local}, hint));
    ASSERT_TRUE(this->until([&] { return this->seen.size() == 1; }));
    EXPECT_EQ(this->seen[0].bytes, hint);
    EXPECT_EQ(this->seen[0].from, there);
  }
  Outer wrong{this->world->socket(Family::V4), this->port(Family::V6)};
  EXPECT_FALSE(this->subject().send_control(wrong, Bytes(32)));
}

TYPED_TEST(Conformance, TellsOfUnknownPathsOncePerSecond) {
  Bytes data(wire::kMinRecord);
  put_data_header(data.data(), 0, 1, PathId{99});
  for (int i = 0; i < 20; ++i)
    this->world->send(this->port_v4, this->world->endpoint(Family::V4), data);
  ASSERT_TRUE(this->until([&] { return this->template count<UnknownPath>() >= 1; }));
  EXPECT_EQ(this->template count<UnknownPath>(), 1u);
  EXPECT_EQ(this->template first<UnknownPath>().path, PathId{99});
}

TYPED_TEST(Conformance, FollowsAPeerThatMoved) {
  this->join(Family::V4);
  this->peer_sends(Family::V4, payload(1));
  ASSERT_TRUE(this->until([&] { return this->app[Family::V4].size() == 1; }));
  Instant quiet = this->world->now() + seconds(1);
  ASSERT_TRUE(this->until([&] { return this->world->now() > quiet; }));
  this->port_v4 = this->world->open_port(Family::V4);
  this->peer_sends(Family::V4, payload(2));
  ASSERT_TRUE(this->until([&] { return this->template count<PathMoved>() == 1; }));
  EXPECT_EQ(this->template first<PathMoved>().outer.remote, this->port_v4);
  ASSERT_TRUE(this->world->app_send(Family::V4, payload(3)));
  EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() == 1; }));
  EXPECT_EQ(this->seen.back().to, this->port_v4);
}

TYPED_TEST(Conformance, RepeatsWhatThePeerDidNotReceive) {
  this->join(Family::V4);
  this->cut = true;
  std::vector<Bytes> want;
  for (Byte i = 0; i < 10; ++i) {
    want.push_back(payload(i));
    ASSERT_TRUE(this->world->app_send(Family::V4, want.back()));
  }
  ASSERT_TRUE(this->until([&] { return this->template count<PathSilent>() == 1; }));
  EXPECT_GE(this->seen.size(), 10u);
  this->cut = false;
  ASSERT_TRUE(this->peer->apply(SendReceiveState{kTunnel, kPath}));
  EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() >= 10; }));
  EXPECT_EQ(this->peer_payloads(), want);
  EXPECT_TRUE(this->until([&] { return this->template count<PathAlive>() == 1; }));
  EXPECT_EQ(this->subject().statistics(kPath)->resent, 10u);
}

TYPED_TEST(Conformance, TellsItsReceiveStateSoThatThePeerRepeats) {
  this->join(Family::V4);
  this->cut = true;
  for (Byte i = 0; i < 10; ++i) this->peer_sends(Family::V6, payload(i));
  this->step();
  this->cut = false;
  ASSERT_TRUE(this->subject().apply(SendReceiveState{kTunnel, kPath}));
  EXPECT_TRUE(this->until([&] { return this->app[Family::V6].size() == 10; }));
}

TYPED_TEST(Conformance, MeasuresProbes) {
  this->join(Family::V6);
  Bytes probe = wire::encode(wire::InnerControl(wire::Probe{5, 0}));
  ASSERT_TRUE(this->subject().apply(SendInner{kPath, probe}));
  ASSERT_TRUE(this->until([&] { return this->template count<ProbeAnswered>() == 1; }));
  EXPECT_EQ(this->template first<ProbeAnswered>().id, 5u);
  EXPECT_GE(this->template first<ProbeAnswered>().rtt, Duration{});
  EXPECT_LT(this->template first<ProbeAnswered>().rtt, seconds(5));
}

TYPED_TEST(Conformance, RekeysWithoutAGap) {
  this->join(Family::V4);
  ASSERT_TRUE(this->world->app_send(Family::V4, payload(1)));
  ASSERT_TRUE(this->until([&] { return this->peer_payloads().size() == 1; }));
  ASSERT_TRUE(this->subject().apply(AddKeys{kPath, keys(true, 1)}));
  ASSERT_TRUE(this->peer->apply(AddKeys{kPath, keys(false, 1)}));
  ASSERT_TRUE(this->subject().apply(UseEpoch{kPath, 1}));
  ASSERT_TRUE(this->world->app_send(Family::V4, payload(2)));
  EXPECT_TRUE(this->until([&] { return this->peer_payloads().size() == 2; }));
  this->peer_sends(Family::V4, payload(3));
  EXPECT_TRUE(this->until([&] { return this->app[Family::V4].size() == 1; }));
  ASSERT_TRUE(this->peer->apply(UseEpoch{kPath, 1}));
  this->peer_sends(Family::V4, payload(4));
  EXPECT_TRUE(this->until([&] { return this->app[Family::V4].size() == 2; }));
  EXPECT_EQ(this->template count<PathConfirmed>(), 2u);
}

TYPED_TEST(Conformance, RefusesChangesThatNameNothing) {
  Datapath& subject = this->subject();
  PathId path{5};
  TunnelId tunnel{5};
  const Change changes[] = {RemoveTunnel{tunnel},
                            PutPath{tunnel, path, keys(true)},
                            AddKeys{path, keys(true)},
                            UseEpoch{path, 0},
                            MovePath{path, {}},
                            RemovePath{path},
                            SelectPath{tunnel, path},
                            HoldTunnel{tunnel},
                            SendReceiveState{tunnel, path},
                            SendInner{path, Bytes{1}},
                            SendKeepAlive{path},
                            PutRelay{},
                            RemoveRelay{path}};
  for (const Change& change : changes) {
    Result<void> done = subject.apply(change);
    ASSERT_FALSE(done) << change.index();
    EXPECT_EQ(done.error().kind, ErrorKind::Invalid) << change.index();
  }
  ASSERT_TRUE(subject.apply(PutTunnel{tunnel, "x", {kPeer4, kPeer6}}));
  PathKeys bad = keys(true);
  bad.suite = 9;
  EXPECT_FALSE(subject.apply(PutPath{tunnel, path, bad}));
  EXPECT_FALSE(subject.statistics(path));
  EXPECT_FALSE(subject.apply(PutTunnel{TunnelId{6}, "y", {kPeer4, {}}})) << "address taken";
  ASSERT_TRUE(subject.apply(PutPath{tunnel, path, keys(true)}));
  EXPECT_FALSE(subject.apply(SelectPath{tunnel, path})) << "no outer address yet";
}

TYPED_TEST(Conformance, RelaysBetweenFamiliesAndOnlyBetweenTheLegs) {
  Endpoint a = this->port_v4;
  Endpoint b = this->port_v6;
  RelayLegState leg_a{Outer{this->world->socket(Family::V4), a}, true};
  RelayLegState leg_b{Outer{this->world->socket(Family::V6), b}, true};
  ASSERT_TRUE(this->subject().apply(PutRelay{{kPath}, leg_a, leg_b}));
  this->cut = true;  // nothing of this is for the peer
  Bytes data(200, 0x77);
  put_data_header(data.data(), 0, 1, kPath);
  this->world->send(a, this->world->endpoint(Family::V4), data);
  ASSERT_TRUE(this->until([&] { return this->seen.size() == 1; }));
  EXPECT_EQ(this->seen[0].to, b);
  EXPECT_EQ(this->seen[0].from, this->world->endpoint(Family::V6));
  EXPECT_EQ(this->seen[0].bytes, data);
  this->world->send(b, this->world->endpoint(Family::V6), data);
  ASSERT_TRUE(this->until([&] { return this->seen.size() == 2; }));
  EXPECT_EQ(this->seen[1].to, a);
  EXPECT_TRUE(this->until([&] { return this->template count<RelayActivity>() >= 1; }));
  Endpoint stranger = this->world->open_port(Family::V4);
  this->world->send(stranger, this->world->endpoint(Family::V4), data);
  ASSERT_TRUE(this->until([&] { return this->template count<RelayForeignSource>() == 1; }));
  EXPECT_EQ(this->template first<RelayForeignSource>().from, stranger);
  EXPECT_EQ(this->seen.size(), 2u);
}

// ---- only where there is a system --------------------------------------------------------------

struct TunOnly : Conformance<OnTun> {};

TEST_F(TunOnly, PortInUseSaysWhatToDo) {
  std::uint16_t taken = world->endpoint(Family::V4).port;
  Result<SocketInfo> second =
      subject().open_socket({Family::V4, Ipv4::from_u32(0x7f000001), taken, 0});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::Conflict);
  EXPECT_NE(second.error().text.find(std::to_string(taken)), std::string::npos);
  EXPECT_NE(second.error().text.find("choose another port"), std::string::npos);
  EXPECT_EQ(second.error().text.find('\n'), std::string::npos);
}

TEST_F(TunOnly, EveryFailureToOpenIsOneLineThatSaysWhatToDo) {
  InterfaceOptions taken;  // ntm0 is the subject's
  Result<std::unique_ptr<Datapath>> other = make_tun_datapath();
  ASSERT_TRUE(other);
  struct Row {
    const char* what;
    Result<InterfaceInfo> result;
    ErrorKind kind;
    const char* advice;
  };
  InterfaceOptions nameless;
  nameless.name = "a-name-longer-than-15";
  std::vector<Row> rows;
  rows.push_back({"in use", (*other)->open_interface(taken), ErrorKind::Conflict,
                  "choose another interface name"});
  rows.push_back({"bad name", (*other)->open_interface(nameless), ErrorKind::Invalid,
                  "use 1 to 15 characters"});
  // Without privileges: /dev/net/tun may be root's alone, or creating the interface is refused.
  ASSERT_EQ(::seteuid(65534), 0);
  InterfaceOptions fresh;
  fresh.name = "ntm9";
  rows.push_back({"no privileges", (*other)->open_interface(fresh), ErrorKind::Denied, "as root"});
  Result<SocketInfo> marked = (*other)->open_socket({Family::V4, {}, 0, 42});
  ASSERT_EQ(::seteuid(0), 0);
  for (const Row& row : rows) {
    ASSERT_FALSE(row.result) << row.what;
    EXPECT_EQ(row.result.error().kind, row.kind) << row.what;
    EXPECT_NE(row.result.error().text.find(row.advice), std::string::npos)
        << row.result.error().text;
    EXPECT_EQ(row.result.error().text.find('\n'), std::string::npos);
  }
  ASSERT_FALSE(marked);
  EXPECT_NE(marked.error().text.find("CAP_NET_ADMIN"), std::string::npos);
  EXPECT_TRUE((*other)->open_interface(fresh)) << "what failed left nothing behind";
}

TEST_F(TunOnly, AddressesOfTheInterfaceChange) {
  join(Family::V4);
  InterfaceOptions options;
  options.name = "ntm0";
  options.addresses = {Ipv4::from_u32(0xc6120063), kOwn6};
  options.routes = {{Ipv4::from_u32(0xc6120000), 24}, {Ipv6{{0xfd, 1}}, 64}};
  ASSERT_TRUE(subject().open_interface(options));
  peer_sends(Family::V4, payload(1));  // still to the old address: not ours any more
  // The system takes a new IPv6 address into use a moment later, so the first may be lost.
  EXPECT_TRUE(until([&] {
    peer_sends(Family::V6, payload(2));
    return !app[Family::V6].empty();
  }));
  EXPECT_EQ(subject().statistics(kPath)->dropped, 1u);
  EXPECT_TRUE(app[Family::V4].empty());
}

TEST_F(TunOnly, MergedDatagramsArriveWhole) {
  join(Family::V4);
  // Many datagrams at once: the subject receives them merged, and writes them merged.
  for (Byte i = 0; i < 200; ++i) peer_sends(Family::V4, payload(i, 1000));
  ASSERT_TRUE(until([&] { return app[Family::V4].size() == 200; })) << app[Family::V4].size();
  for (Byte i = 0; i < 200; ++i) EXPECT_EQ(app[Family::V4][i], payload(i, 1000));
}

}  // namespace
}  // namespace ntm::datapath::testing
