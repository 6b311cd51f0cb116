// One end of a tunnel with fixed keys, for measuring the tun datapath with iperf3 and ping between
// two network namespaces (tests/bench/tunnel.sh), or a relay between two such ends. The keys are in
// the source: never use it for anything else.
//
//   tunnel_bench end   a|b LOCAL-PORT REMOTE-ADDRESS:PORT [--full-sums] [--chacha] [--mtu N]
//   tunnel_bench relay PORT LEG-A-ADDRESS:PORT LEG-B-ADDRESS:PORT
//
// Virtual addresses: end a 198.18.0.1 and fd4e:746d::1, end b .2 and ::2.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <memory>

#include "libntm/datapath/tun/tun_datapath.hpp"

namespace ntm::datapath {
namespace {

constexpr PathId kPath{0x6e746d62656e6368};
volatile sig_atomic_t stopped = 0;

struct Options {
  bool a = true;
  std::uint16_t port = 0;
  Endpoint remote;
  Endpoint other;
  bool full_sums = false;
  std::uint8_t suite = 0x01;
  std::uint16_t mtu = 1400;
};

VirtualAddresses addresses(bool a) {
  Ipv6 v6{{0xfd, 0x4e, 0x74, 0x6d}};
  v6.raw[15] = a ? 1 : 2;
  return {Ipv4::from_u32(a ? 0xc6120001 : 0xc6120002), v6};
}

PathKeys keys(bool a, std::uint8_t suite) {
  DirectionKey first{Key32::from(Bytes(32, 0x0a)), {}};
  DirectionKey second{Key32::from(Bytes(32, 0x0b)), {}};
  return {suite, 0, a ? first : second, a ? second : first};
}

int complain(const std::string& text) {
  std::fprintf(stderr, "tunnel_bench: %s\n", text.c_str());
  return 1;
}

const char* name_of(const Event& event) {
  static const char* const names[] = {
      "ControlReceived", "PathConfirmed", "PathMoved",   "PathSilent",    "PathAlive",
      "ProbeAnswered",   "InnerReceived", "TunnelIdle",  "NoTunnel",      "UnknownPath",
      "KeyWorn",         "SendFailed",    "RelayActivity", "RelayForeignSource"};
  static_assert(std::size(names) == std::variant_size_v<Event>);
  return names[event.index()];
}

void show(Datapath& datapath) {
  for (const Event& event : datapath.events()) {
    if (std::holds_alternative<RelayActivity>(event)) continue;
    std::printf("%s", name_of(event));
    if (const SendFailed* failed = std::get_if<SendFailed>(&event))
      std::printf(" %s errno %d", to_string(failed->remote).c_str(), failed->error);
    std::printf("\n");
  }
  std::fflush(stdout);
}

Result<void> run_changes(Datapath& datapath, const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    Result<void> done = datapath.apply(change);
    if (!done) return done;
  }
  return {};
}

Result<void> set_up_end(Datapath& datapath, const Options& options) {
  Result<SocketInfo> socket =
      datapath.open_socket({options.remote.family(), {}, options.port, 0});
  if (!socket) return pass(socket.error());
  InterfaceOptions interface;
  interface.addresses = addresses(options.a);
  interface.mtu = options.mtu;
  Ipv6 net{{0xfd, 0x4e, 0x74, 0x6d}};
  interface.routes = {{Ipv4::from_u32(0xc6120000), 20}, {net, 64}};
  Result<InterfaceInfo> opened = datapath.open_interface(interface);
  if (!opened) return pass(opened.error());
  TunnelId tunnel{1};
  return run_changes(datapath,
                     {PutTunnel{tunnel, "bench", addresses(!options.a), !options.full_sums},
                      PutPath{tunnel, kPath, keys(options.a, options.suite),
                              Outer{socket->id, options.remote}},
                      SelectPath{tunnel, kPath}});
}

Result<void> set_up_relay(Datapath& datapath, const Options& options) {
  Result<SocketInfo> v4 = datapath.open_socket({Family::V4, {}, options.port, 0});
  if (!v4) return pass(v4.error());
  Result<SocketInfo> v6 = datapath.open_socket({Family::V6, {}, options.port, 0});
  if (!v6) return pass(v6.error());
  SocketId a = options.remote.family() == Family::V4 ? v4->id : v6->id;
  SocketId b = options.other.family() == Family::V4 ? v4->id : v6->id;
  RelayLegState leg_a{Outer{a, options.remote}, true};
  RelayLegState leg_b{Outer{b, options.other}, true};
  return run_changes(datapath, {PutRelay{{kPath}, leg_a, leg_b}});
}

void report(Datapath& datapath) {
  std::optional<PathStatistics> s = datapath.statistics(kPath);
  if (!s) return;
  std::printf("sent %llu packets %llu bytes, received %llu packets %llu bytes, replayed %llu, "
              "forged %llu, resent %llu, held %llu, dropped %llu\n",
              static_cast<unsigned long long>(s->packets_sent),
              static_cast<unsigned long long>(s->bytes_sent),
              static_cast<unsigned long long>(s->packets_received),
              static_cast<unsigned long long>(s->bytes_received),
              static_cast<unsigned long long>(s->replayed),
              static_cast<unsigned long long>(s->forged),
              static_cast<unsigned long long>(s->resent), static_cast<unsigned long long>(s->held),
              static_cast<unsigned long long>(s->dropped));
}

int serve(Datapath& datapath) {
  int wake = ::eventfd(0, EFD_NONBLOCK);
  datapath.set_wakeup([wake] {
    std::uint64_t one = 1;
    if (::write(wake, &one, sizeof(one)) < 0) return;
  });
  std::printf("ready\n");
  std::fflush(stdout);
  while (stopped == 0) {
    pollfd wait{wake, POLLIN, 0};
    if (::poll(&wait, 1, 500) <= 0) continue;
    std::uint64_t count = 0;
    if (::read(wake, &count, sizeof(count)) < 0) continue;
    show(datapath);
  }
  datapath.set_wakeup({});
  report(datapath);
  ::close(wake);
  return 0;
}

bool read_number(const char* text, std::uint16_t& out) {
  const char* end = text + std::strlen(text);
  return std::from_chars(text, end, out).ptr == end;
}

int usage() {
  return complain("usage: end a|b LOCAL-PORT REMOTE [--full-sums] [--chacha] [--mtu N]\n"
                  "       relay PORT LEG-A LEG-B");
}

int start(int argc, char** argv) {
  if (argc < 5) return usage();
  Options options;
  bool end = std::string_view(argv[1]) == "end";
  options.a = std::string_view(argv[2]) == "a";
  if (!read_number(argv[end ? 3 : 2], options.port)) return usage();
  Result<Endpoint> remote = parse_endpoint(argv[end ? 4 : 3]);
  Result<Endpoint> other = parse_endpoint(argv[4]);
  if (!remote) return complain(remote.error().text);
  if (!other) return complain(other.error().text);
  options.remote = *remote;
  options.other = *other;
  for (int i = 5; i < argc; ++i) {
    std::string_view word = argv[i];
    if (word == "--full-sums")
      options.full_sums = true;
    else if (word == "--chacha")
      options.suite = 0x02;
    else if (word != "--mtu" || ++i >= argc || !read_number(argv[i], options.mtu))
      return usage();
  }
  Result<std::unique_ptr<Datapath>> datapath = make_tun_datapath();
  if (!datapath) return complain(datapath.error().text);
  Result<void> done =
      end ? set_up_end(**datapath, options) : set_up_relay(**datapath, options);
  if (!done) return complain(done.error().text);
  return serve(**datapath);
}

}  // namespace
}  // namespace ntm::datapath

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = [](int) { ntm::datapath::stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  return ntm::datapath::start(argc, argv);
}
