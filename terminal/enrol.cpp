// See the header. The engine over two plain sockets: no tunnel, no interface, no privileges.
#include "terminal/enrol.hpp"

#include <sys/epoll.h>

#include <optional>

#include "libntm/host/event_loop.hpp"
#include "libntm/host/udp_socket.hpp"
#include "terminal/engine/engine.hpp"
#include "terminal/netwatch/netwatch.hpp"
#include "terminal/state_file.hpp"

namespace ntm::terminal {

namespace {

constexpr Duration kEnrolPatience = seconds(6);

class Enrolment {
 public:
  Enrolment(const Folders& folders, const Identity& identity, SavedState saved, Random& random)
      : folders_(folders), state_(saved), engine_(settings(identity), std::move(saved), random) {
    for (const Endpoint& dc : identity.dc_endpoints) options_.destinations.push_back(dc.address);
    options_.optimistic_dad = false;
  }

  Result<void> run() {
    Result<host::UdpSocket> v4 = host::UdpSocket::open(Family::V4, IpAddress(Ipv4{}), 0);
    Result<host::UdpSocket> v6 = host::UdpSocket::open(Family::V6, IpAddress(Ipv6{}), 0);
    if (v4) v4_.emplace(std::move(*v4));
    if (v6) v6_.emplace(std::move(*v6));
    Result<std::unique_ptr<Netwatch>> watch = Netwatch::open(
        loop_, options_, [this](const AddressesChanged& a) { addresses_ = a; });
    if (!watch) return pass(watch.error());
    (*watch)->refresh();
    for (std::optional<host::UdpSocket>* s : {&v4_, &v6_})
      if (*s) loop_.watch((*s)->fd(), EPOLLIN, [this, s](std::uint32_t) { receive(**s); });
    engine_.handle(loop_.now(), SocketsOpened{{4}, {6}, v4_ ? v4_->port() : std::uint16_t{0},
                                              v6_ ? v6_->port() : std::uint16_t{0}});
    engine_.handle(loop_.now(), addresses_);
    loop_.after(kEnrolPatience, [this] { loop_.stop(); });
    turn();
    loop_.run();
    for (std::optional<host::UdpSocket>* s : {&v4_, &v6_})
      if (*s) loop_.unwatch((*s)->fd());
    return result();
  }

 private:
  static Settings settings(const Identity& i) {
    Settings s;
    s.name = i.name;
    s.zone = i.zone;
    s.key = i.key;
    s.dc_key = i.dc_key;
    s.dc_endpoints = i.dc_endpoints;
    s.token = i.token;
    s.reset_secret = i.reset_secret;
    s.suite = crypto::preferred_suite();
    return s;
  }
  void receive(host::UdpSocket& socket) {
    bool v4 = &socket == &*v4_;
    socket.receive(64, [&](const host::UdpDatagram& d) {
      datapath::ControlReceived received;
      received.socket = {v4 ? 4u : 6u};
      received.from = d.from;
      received.local = d.local;
      received.datagram = to_bytes(d.bytes);
      engine_.handle(loop_.now(), datapath::Event(received));
    });
    turn();
  }
  void turn() {
    for (const Effect& e : engine_.take_effects()) perform(e);
    if (engine_.has_left()) return loop_.stop();
    if (engine_.is_registered() && !leaving_) {
      leaving_ = true;
      engine_.handle(loop_.now(), Leave{});
      loop_.after(milliseconds(500), [this] { loop_.stop(); });
      return turn();
    }
    Instant next = engine_.next_deadline();
    loop_.cancel(timer_);
    if (next != Instant::never())
      timer_ = loop_.at(next, [this] {
        engine_.on_timer(loop_.now());
        turn();
      });
  }
  void perform(const Effect& effect) {
    if (const auto* send = std::get_if<SendControl>(&effect)) {
      std::optional<host::UdpSocket>& s = send->outer.remote.family() == Family::V4 ? v4_ : v6_;
      if (s) (void)s->send(send->outer.remote, send->outer.local, send->datagram);
    } else if (const auto* save = std::get_if<PersistState>(&effect)) {
      state_ = save->state;
      state_.port4 = state_.port6 = 0;  // this socket's port is not the daemon's
      Result<void> stored = store_state(folders_.state, state_);
      if (!stored) problem_ = stored.error().text;
    } else if (const auto* note = std::get_if<Notify>(&effect)) {
      if (note->event == "registration_failed")
        for (const auto& [key, value] : note->fields)
          if (key == "reason") problem_ = value;
      // A used-up token does not get better by waiting.
      if (problem_.find("refuses") != std::string::npos) loop_.stop();
    }
  }
  Result<void> result() {
    if (leaving_) return forget_token(folders_);
    if (addresses_.addresses.empty())
      return fail(ErrorKind::Unavailable,
                  "this machine has no route to the DC now; connect it and join again, or run: "
                  "ntm join --later TOKEN");
    bool silent = problem_.empty() || problem_.find("does not answer") != std::string::npos;
    return fail(silent ? ErrorKind::Unavailable : ErrorKind::Denied,
                silent ? "the DC does not answer: it can't be reached over UDP, or the token is used "
                         "up or expired; get a new one (there: ntm dc terminal token NAME), or to "
                         "register when it can be reached: ntm join --later TOKEN"
                       : problem_);
  }

  Folders folders_;
  SavedState state_;
  host::EventLoop loop_;
  NetwatchOptions options_;
  Engine engine_;
  std::optional<host::UdpSocket> v4_;
  std::optional<host::UdpSocket> v6_;
  AddressesChanged addresses_;
  host::EventLoop::TimerId timer_ = 0;
  bool leaving_ = false;
  std::string problem_;
};

}  // namespace

Result<void> enrol(const Folders& folders, Random& random) {
  Result<Identity> identity = load_identity(folders);
  if (!identity) return pass(identity.error());
  Result<SavedState> saved = load_state(folders.state);
  if (!saved) return pass(saved.error());
  Enrolment enrolment(folders, *identity, *saved, random);
  return enrolment.run();
}

}  // namespace ntm::terminal
