// Many terminals in one process, for measuring a director: the terminal's own engine, each with a
// key, an address and a UDP socket of its own, but no tunnel, interface, DNS or state file. What a
// thousand ntm-terminal processes would send, without a thousand namespaces.
//
//   ntm-swarm TOKENS --addresses 192.0.2.0/22 [--addresses 2001:db8:60::/48]
//
// TOKENS holds one enrolment token a line; terminal i has address i + 1 of an IPv4 prefix, host 1
// of /64 number i + 1 of an IPv6 prefix: sources that the director tells apart. The prefixes must
// be local to this host (`ip route add local PREFIX dev lo`). Without --addresses all share the
// address of the route to the DC, as terminals behind one NAT do.
//
// SIGUSR1 is a mark, given while no director runs: from then on a terminal counts only after a new
// session with its DC and an accepted registration in it. Output, one JSON object a line: after a
// mark and whenever the count changed, at most every 10 ms. at_us is the daemons' clock
// (CLOCK_BOOTTIME), read when the newest of them was counted.
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/host/clock.hpp"
#include "libntm/host/event_loop.hpp"
#include "libntm/host/udp_socket.hpp"
#include "terminal/engine/engine.hpp"

namespace ntm::terminal {
namespace {

constexpr Duration kTellEvery = milliseconds(10);
constexpr std::size_t kReceiveBatch = 64;
// A terminal has two sockets; the rest of the process needs few.
constexpr rlim_t kSpareFiles = 64;

// How many terminals are registered, told as it changes.
class Tally {
 public:
  Tally(host::EventLoop& loop, std::size_t all) : loop_(loop), all_(all) {}

  void mark() {
    ++marks_;
    registered_ = 0;
    at_ = host::monotonic_now();
    tell();
  }
  void count(int change) {
    registered_ = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(registered_) + change);
    at_ = host::monotonic_now();
    if (registered_ == all_) return tell();
    if (waiting_) return;
    waiting_ = true;
    loop_.after(kTellEvery, [this] {
      if (waiting_) tell();
    });
  }

 private:
  void tell() {
    waiting_ = false;
    std::printf("{\"at_us\": %lld, \"marks\": %d, \"registered\": %zu}\n",
                static_cast<long long>(at_.us), marks_, registered_);
    std::fflush(stdout);
  }

  host::EventLoop& loop_;
  std::size_t all_;
  std::size_t registered_ = 0;
  int marks_ = 0;
  Instant at_;
  bool waiting_ = false;
};

class SwarmTerminal {
 public:
  SwarmTerminal(host::EventLoop& loop, Random& random, Tally& tally,
                const wire::EnrolmentToken& token)
      : loop_(loop), tally_(tally), engine_(settings(token, random), SavedState{}, random) {}
  SwarmTerminal(const SwarmTerminal&) = delete;

  Result<void> open(const std::vector<IpAddress>& addresses) {
    SocketsOpened opened{{4}, {6}, 0, 0};
    AddressesChanged change;
    for (const IpAddress& address : addresses) {
      Result<host::UdpSocket> socket = host::UdpSocket::open(address.family(), address, 0);
      if (!socket) return pass(socket.error());
      (address.is_v4() ? opened.port4 : opened.port6) = socket->port();
      change.addresses.push_back({address, 1, "swarm", wire::InterfaceKind::Unknown, 0});
      sockets_.push_back(std::make_unique<host::UdpSocket>(std::move(*socket)));
      host::UdpSocket* kept = sockets_.back().get();
      std::uint64_t id = address.is_v4() ? 4 : 6;
      loop_.watch(kept->fd(), EPOLLIN, [this, kept, id](std::uint32_t) { receive(*kept, id); });
      families_.push_back(address.family());
    }
    engine_.handle(loop_.now(), opened);
    engine_.handle(loop_.now(), change);
    turn();
    return {};
  }

  // Whatever was agreed with the director so far is worth nothing.
  void mark() {
    counted_ = false;
    forget();
  }

 private:
  static Settings settings(const wire::EnrolmentToken& token, Random& random) {
    Settings s;
    s.name = token.subject;
    s.zone = token.zone;
    Key32 secret;
    random.fill(secret.span());
    s.key = crypto::key_pair_from(secret);
    s.dc_key = token.dc_key;
    s.dc_endpoints = token.dc_endpoints;
    s.token = token;
    random.fill(s.reset_secret.span());
    s.suite = crypto::preferred_suite();
    return s;
  }

  void receive(host::UdpSocket& socket, std::uint64_t id) {
    socket.receive(kReceiveBatch, [&](const host::UdpDatagram& d) {
      datapath::ControlReceived received;
      received.socket = {static_cast<decltype(received.socket.value)>(id)};
      received.from = d.from;
      received.local = d.local;
      received.datagram = to_bytes(d.bytes);
      engine_.handle(loop_.now(), datapath::Event(received));
    });
    turn();
  }

  void turn() {
    for (const Effect& effect : engine_.take_effects()) {
      if (const auto* send = std::get_if<SendControl>(&effect)) perform(*send);
      if (const auto* note = std::get_if<Notify>(&effect)) follow(*note);
    }
    // Over each family, so that dual-stack terminals are not counted half way.
    bool registered = new_session_ && registered_.size() == families_.size();
    if (registered != counted_) tally_.count(registered ? 1 : -1);
    counted_ = registered;
    arm();
  }

  void perform(const SendControl& send) {
    for (std::size_t i = 0; i < sockets_.size(); ++i)
      if (families_[i] == send.outer.remote.family())
        (void)sockets_[i]->send(send.outer.remote, send.outer.local, send.datagram);
  }

  void forget() {
    new_session_ = false;
    registered_.clear();
  }

  void follow(const Notify& note) {
    std::map<std::string, std::string> fields(note.fields.begin(), note.fields.end());
    if (note.event == "registration_sent") {
      handshaking_ = handshaking_ || fields["handshake"] == "yes";
    } else if (note.event == "registered") {
      new_session_ = new_session_ || handshaking_;
      handshaking_ = false;
      if (new_session_) registered_.insert(fields["family"]);
    } else if (note.event == "dc_restarted" || note.event == "session_lost") {
      forget();
    }
  }

  void arm() {
    Instant next = engine_.next_deadline();
    if (next == armed_) return;
    loop_.cancel(timer_);
    armed_ = next;
    if (next == Instant::never()) return;
    timer_ = loop_.at(next, [this] {
      armed_ = Instant::never();
      engine_.on_timer(loop_.now());
      turn();
    });
  }

  host::EventLoop& loop_;
  Tally& tally_;
  Engine engine_;
  std::vector<std::unique_ptr<host::UdpSocket>> sockets_;
  std::vector<Family> families_;
  host::EventLoop::TimerId timer_ = 0;
  Instant armed_ = Instant::never();
  bool handshaking_ = false;  // HS_INIT is out, its answer not in
  bool new_session_ = false;  // since the mark
  std::set<std::string> registered_;  // families, in that session
  bool counted_ = false;
};

Result<std::vector<wire::EnrolmentToken>> read_tokens(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(ErrorKind::NotFound, "can't open " + path);
  std::vector<wire::EnrolmentToken> out;
  for (std::string line; std::getline(file, line);) {
    Result<wire::EnrolmentToken> token = crypto::parse_token(line);
    if (!token)
      return invalid(path + ", line " + std::to_string(out.size() + 1) + ": " +
                     token.error().text);
    out.push_back(*token);
  }
  if (out.empty()) return invalid(path + " has no token");
  return out;
}

// See the head of this file; none: the prefix is too small.
std::optional<IpAddress> own_address(const Prefix& prefix, std::uint32_t number) {
  bool v4 = prefix.address.is_v4();
  int free_bits = (v4 ? 32 : 64) - prefix.length;
  if (free_bits < 0 || (free_bits < 32 && number >> free_bits != 0)) return std::nullopt;
  Ipv4 low;
  Ipv6 high;
  Byte* raw = v4 ? low.raw.data() : high.raw.data();
  std::ranges::copy(prefix.address.view(), raw);
  for (int i = 0; i < 4; ++i) raw[(v4 ? 3 : 7) - i] |= static_cast<Byte>(number >> (8 * i));
  if (v4) return IpAddress(low);
  high.raw[15] |= 1;
  return IpAddress(high);
}

// The address that the system's route to `remote` starts from.
std::optional<IpAddress> route_source(const Endpoint& remote) {
  host::Fd fd(::socket(remote.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_storage name{};
  unsigned length = 0;
  host::to_sockaddr(remote, name, length);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0)
    return std::nullopt;
  socklen_t got = sizeof name;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &got) != 0) return std::nullopt;
  return host::from_sockaddr(name).address;
}

Result<std::vector<IpAddress>> addresses_of(std::uint32_t number,
                                            const std::vector<Prefix>& prefixes,
                                            const wire::EnrolmentToken& token) {
  std::vector<IpAddress> out;
  for (const Prefix& prefix : prefixes) {
    std::optional<IpAddress> address = own_address(prefix, number + 1);
    if (!address) return invalid(to_string(prefix) + " has too few addresses for all tokens");
    out.push_back(*address);
  }
  if (!prefixes.empty()) return out;
  std::optional<IpAddress> shared = route_source(token.dc_endpoints.front());
  if (!shared)
    return fail(ErrorKind::Unavailable,
                "no route to " + to_string(token.dc_endpoints.front()) + "; connect this host");
  return std::vector<IpAddress>{*shared};
}

void allow_files(std::size_t sockets) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, sockets + kSpareFiles);
  limit.rlim_max = std::max(limit.rlim_max, limit.rlim_cur);
  setrlimit(RLIMIT_NOFILE, &limit);  // if not allowed, opening a socket says so
}

Result<void> run(const std::string& path, const std::vector<Prefix>& prefixes) {
  Result<std::vector<wire::EnrolmentToken>> tokens = read_tokens(path);
  if (!tokens) return pass(tokens.error());
  allow_files(tokens->size() * 2);
  host::EventLoop loop;
  host::SystemRandom random;
  Tally tally(loop, tokens->size());
  std::vector<std::unique_ptr<SwarmTerminal>> terminals;
  loop.on_signals({SIGTERM, SIGINT, SIGUSR1}, [&](int signal) {
    if (signal != SIGUSR1) return loop.stop();
    for (const std::unique_ptr<SwarmTerminal>& t : terminals) t->mark();
    tally.mark();
  });
  for (const wire::EnrolmentToken& token : *tokens) {
    Result<std::vector<IpAddress>> addresses =
        addresses_of(static_cast<std::uint32_t>(terminals.size()), prefixes, token);
    if (!addresses) return pass(addresses.error());
    terminals.push_back(std::make_unique<SwarmTerminal>(loop, random, tally, token));
    Result<void> opened = terminals.back()->open(*addresses);
    if (!opened) return opened;
  }
  loop.run();
  return {};
}

}  // namespace
}  // namespace ntm::terminal

int main(int argc, char** argv) {
  CLI::App app{"ntm-swarm: many terminals in one process, to measure a director with."};
  std::string tokens;
  std::vector<std::string> texts;
  app.add_option("TOKENS", tokens, "file with one enrolment token a line")->required();
  app.add_option("--addresses", texts, "prefix that is local here, one a family; an address each");
  CLI11_PARSE(app, argc, argv);
  std::vector<ntm::Prefix> prefixes;
  for (const std::string& text : texts) {
    ntm::Result<ntm::Prefix> prefix = ntm::parse_prefix(text);
    if (!prefix) {
      std::fprintf(stderr, "ntm-swarm: %s\n", prefix.error().text.c_str());
      return 2;
    }
    prefixes.push_back(*prefix);
  }
  ntm::Result<void> done = ntm::terminal::run(tokens, prefixes);
  if (!done) {
    std::fprintf(stderr, "ntm-swarm: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
