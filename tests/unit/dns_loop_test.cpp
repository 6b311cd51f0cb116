// The running stub on loopback: its sockets, libunbound, fail-over and TCP, against a name server
// made of the stub's own listener.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "libntm/host/clock.hpp"
#include "libntm/host/udp_socket.hpp"
#include "libntm/wire/dc_record.hpp"
#include "terminal/dns/stub.hpp"

namespace ntm::terminal::dns {
namespace {

Name name(const char* text) { return Name::parse(text).value(); }
const Endpoint kAny{Ipv4{{127, 0, 0, 1}}, 0};

class StubOnLoopback : public ::testing::Test {
 protected:
  void start(std::vector<Endpoint> upstream = {}) {
    server = Listener::open(loop, kAny, [this](ByteView m, bool tcp, Listener::Respond r) {
               serve(m, tcp, r);
             }).value();
    StubOptions options;
    options.upstream = std::move(upstream);
    options.upstream.push_back({kAny.address, server->port()});
    options.zone = name("own.example");
    StubEngine::Rules rules;
    rules.virtual_ranges4 = {parse_prefix("198.18.0.0/15").value()};
    Stub::Hooks hooks;
    hooks.on_step = [](const Step&) {};
    hooks.on_lookup = [this](const WantLookup& want) {
      lookups.push_back(want);
      LookupReady ready;
      ready.id = want.id;
      ready.addresses.v4 = parse_address("198.18.0.7")->v4();
      stub->lookup_ready(ready);
    };
    stub = Stub::open(loop, random, options, rules, hooks).value();
  }

  // The name server: cn.b.example is a terminal, others have an address.
  void serve(ByteView message, bool tcp, const Listener::Respond& respond) {
    Message query = read_message(message).value();
    const Question& q = query.questions.front();
    ++served[q.type];
    served_tcp += tcp ? 1 : 0;
    bool ntm = q.type == wire::kTypeNtmV4 || q.type == wire::kTypeNtmV6;
    if (ntm && drop_ntm) return;
    Answer answer;
    if (q.type == kTypeA) answer.records = {{q.name, kTypeA, 60, {192, 0, 2, 1}}};
    if (q.name == name("cn.b.example") && q.type == wire::kTypeNtmV4) {
      wire::NtmRecord record = wire::NtmRecord::empty(Family::V4);
      record.virtual_address = parse_address("198.18.0.7").value();
      record.dc_name = name("b.example");
      answer.records = {{q.name, wire::kTypeNtmV4, 0, wire::encode(record)}};
    }
    if (q.type == kTypeSvcb && q.name == name("_ntm._udp.b.example")) {
      wire::DcRecord dc;
      dc.dc_key.raw[0] = 1;
      dc.zone_virtual6 = parse_prefix("fdbb:1:2::/48").value();
      answer.records = {{q.name, kTypeSvcb, 60, wire::encode(dc)}};
    }
    Bytes out = make_answer(query, answer);
    if (forge_first && !tcp) {  // a wrong id, then the right answer
      Bytes forged = out;
      set_message_id(forged, static_cast<std::uint16_t>(message_id(out) + 1));
      respond(forged);
    }
    respond(out);
  }

  void run_until(const std::function<bool()>& done, Duration limit = seconds(5)) {
    Instant end = host::monotonic_now() + limit;
    std::function<void()> check = [&] {
      if (done() || host::monotonic_now() >= end) return loop.stop();
      loop.after(milliseconds(2), check);
    };
    loop.post(check);
    loop.run();
    ASSERT_TRUE(done());
  }

  // Asks as an application does; the answer and the time it took.
  Message ask(const char* who, std::uint16_t type) {
    host::UdpSocket socket = std::move(host::UdpSocket::open(Family::V4, kAny.address, 0).value());
    Bytes answer;
    loop.watch(socket.fd(), 1 /* EPOLLIN */, [&](std::uint32_t) {
      socket.receive(1, [&](const host::UdpDatagram& d) { answer = to_bytes(d.bytes); });
    });
    Instant asked = host::monotonic_now();
    (void)socket.send({kAny.address, stub->redirect_port()}, {}, make_query(7, name(who), type));
    run_until([&] { return !answer.empty(); });
    took = host::monotonic_now() - asked;
    loop.unwatch(socket.fd());
    return read_message(answer).value();
  }

  host::EventLoop loop;
  host::SystemRandom random;
  std::unique_ptr<Listener> server;
  std::unique_ptr<Stub> stub;
  std::vector<WantLookup> lookups;
  std::map<std::uint16_t, int> served;
  int served_tcp = 0;
  bool drop_ntm = false;
  bool forge_first = false;
  Duration took;
};

TEST_F(StubOnLoopback, PlainNameAndItsMemory) {
  start();
  Message m = ask("www.plain.example", kTypeA);
  EXPECT_EQ(to_string(address_facts(m, kTypeA).addresses.at(0)), "192.0.2.1");
  run_until([&] { return served[wire::kTypeNtmV4] == 1 && served[wire::kTypeNtmV6] == 1; });
  run_until([] { return true; });
  ask("www.plain.example", kTypeA);
  EXPECT_EQ(served[wire::kTypeNtmV4], 1);  // remembered
}

TEST_F(StubOnLoopback, TerminalIsFoundThroughLibunbound) {
  start();
  Message m = ask("cn.b.example", kTypeA);
  EXPECT_EQ(to_string(address_facts(m, kTypeA).addresses.at(0)), "198.18.0.7");
  ASSERT_EQ(lookups.size(), 1u);
  EXPECT_EQ(lookups[0].records.name, name("cn.b.example"));
  ASSERT_TRUE(lookups[0].records.v4);
  EXPECT_FALSE(lookups[0].records.v6);
  EXPECT_EQ(lookups[0].records.dnssec, wire::DnssecState::Insecure);
  EXPECT_FALSE(lookups[0].records.rdata4.empty());
}

TEST_F(StubOnLoopback, DroppedNtmTypesCostLittle) {
  start();
  drop_ntm = true;
  ask("www.plain.example", kTypeA);
  EXPECT_GE(took.ms(), 29);
  EXPECT_LE(took.ms(), 200);  // 30 ms, and room for a busy machine
  // Not held again. The best of a few: the machine may be busy with other things.
  Duration best = took;
  for (int i = 0; i < 5; ++i) {
    ask("www.plain.example", kTypeA);
    best = std::min(best, took);
  }
  EXPECT_LE(best.ms(), 20);
}

TEST_F(StubOnLoopback, DeadServerIsPassedOver) {
  Endpoint dead;
  {
    std::unique_ptr<Listener> gone = Listener::open(loop, kAny, {}).value();
    dead = {kAny.address, gone->port()};
  }
  start({dead});
  Message m = ask("www.plain.example", kTypeA);
  EXPECT_EQ(address_facts(m, kTypeA).addresses.size(), 1u);
}

TEST_F(StubOnLoopback, AnswersWithAWrongIdAreIgnored) {
  start();
  forge_first = true;
  Message m = ask("www.plain.example", kTypeA);
  EXPECT_EQ(m.id, 7);
  EXPECT_EQ(address_facts(m, kTypeA).addresses.size(), 1u);
}

TEST_F(StubOnLoopback, ZonePrefixIsAsked) {
  start();
  std::optional<ZoneRecord> got;
  stub->query_zone(name("b.example"), [&](const ZoneRecord& z) { got = z; });
  run_until([&] { return got.has_value(); });
  EXPECT_EQ(got->virtual6, parse_prefix("fdbb:1:2::/48").value());
  got.reset();
  stub->query_zone(name("c.example"), [&](const ZoneRecord& z) { got = z; });
  run_until([&] { return got.has_value(); });
  EXPECT_FALSE(got->virtual6);
}

TEST_F(StubOnLoopback, TcpQuestions) {
  start();
  host::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_storage address{};
  unsigned length = 0;
  host::to_sockaddr({kAny.address, stub->redirect_port()}, address, length);
  (void)::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length);
  Bytes query = make_query(9, name("www.plain.example"), kTypeA);
  Bytes framed = {0, static_cast<Byte>(query.size())};
  framed.insert(framed.end(), query.begin(), query.end());
  Bytes received;
  bool sent = false;
  run_until([&] {
    if (!sent) sent = ::send(fd.get(), framed.data(), framed.size(), 0) > 0;
    Byte buffer[4096];
    ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) received.insert(received.end(), buffer, buffer + n);
    return received.size() > 2 &&
           received.size() == 2u + static_cast<std::size_t>((received[0] << 8) | received[1]);
  });
  Message m = read_message(ByteView(received).subspan(2)).value();
  EXPECT_EQ(m.id, 9);
  EXPECT_EQ(address_facts(m, kTypeA).addresses.size(), 1u);
  EXPECT_GE(served_tcp, 1);
}

TEST_F(StubOnLoopback, NoServerMeansNoAnswerAndNoHang) {
  server = Listener::open(loop, kAny, {}).value();
  StubOptions options;
  stub = Stub::open(loop, random, options, {}, {[](const WantLookup&) {}, [](const Step&) {}, {}})
             .value();
  std::optional<NtmAnswer> got;
  stub->query_ntm(name("cn.b.example"), [&](const NtmAnswer& a) { got = a; });
  run_until([&] { return got.has_value(); }, seconds(10));
  EXPECT_EQ(got->state, NtmState::Failed);
}

}  // namespace
}  // namespace ntm::terminal::dns
