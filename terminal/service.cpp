// Start, the turn, effects, and stopping. See the header.
#include "terminal/service.hpp"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "libntm/datapath/tun/tun_datapath.hpp"
#include "libntm/host/files.hpp"
#include "libntm/host/log.hpp"
#include "terminal/state_file.hpp"

namespace ntm::terminal {

namespace {

constexpr Duration kWriteStateAfter = milliseconds(500);
constexpr Duration kTrafficEvery = seconds(10);
constexpr Duration kLeaveAtMost = milliseconds(500);

Settings settings_from(const Identity& identity, const Configuration& c) {
  Settings s;
  s.name = identity.name;
  s.zone = identity.zone;
  s.key = identity.key;
  s.dc_key = identity.dc_key;
  s.dc_endpoints = identity.dc_endpoints;
  s.token = identity.token;
  s.reset_secret = identity.reset_secret;
  s.suite = crypto::preferred_suite();
  s.accept_any_zone = c.accept_any_zone;
  s.accept_from = c.accept_from;
  s.virtual_ranges4 = c.virtual_ranges4;
  s.pinned_keys = c.pins;
  s.private_locators = c.private_locators;
  s.relay_only = c.relay_only;
  s.fast_handover = c.fast_handover;
  return s;
}

}  // namespace

Service::Service(const Folders& folders, const Configuration& configuration,
                 host::EventLoop& loop)
    : folders_(folders), configuration_(configuration), loop_(loop) {}

Service::~Service() {
  control_.reset();
  netwatch_.reset();
  Result<void> restored = dns::restore_system(folders_.state);
  if (!restored) host::log_error("{}", restored.error().text);
  stub_.reset();
  loop_.cancel(timer_);
  loop_.cancel(state_timer_);
  if (state_dirty_) write_state();
}

Result<std::unique_ptr<Service>> Service::open(const Folders& folders,
                                               const Configuration& configuration,
                                               host::EventLoop& loop) {
  std::unique_ptr<Service> service(new Service(folders, configuration, loop));
  Result<void> prepared = service->prepare();
  if (!prepared) return pass(prepared.error());
  return service;
}

Result<void> Service::prepare() {
  started_ = loop_.now();
  Result<Identity> identity = load_identity(folders_);
  if (!identity) return pass(identity.error());
  identity_ = std::move(*identity);
  Result<SavedState> saved = load_state(folders_.state);
  if (!saved) return pass(saved.error());
  state_ = *saved;
  Result<EventLog> events = EventLog::open(configuration_.event_log);
  if (!events) return pass(events.error());
  events_ = std::move(*events);
  Result<void> run_folder = host::make_folder(folders_.run, 0755);
  if (!run_folder) return run_folder;
  // The control socket first: a second daemon for the same folders must not get further.
  Result<std::unique_ptr<host::ControlServer>> control = host::ControlServer::open(
      loop_, folders_.socket(),
      [this](const nlohmann::json& request, Respond respond) { serve(request, respond); });
  if (!control) return pass(control.error());
  control_ = std::move(*control);
  // Before threads are started, so that none of them takes the signals.
  loop_.on_signals({SIGTERM, SIGINT}, [this](int) { stop(); });

  // Known now, not only when the first registration brings the addresses.
  if (host::Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC)); !tun)
    return fail(ErrorKind::Unavailable,
                "can't open /dev/net/tun: " + host::system_error_text(errno) +
                    "; load the module (modprobe tun) and run as root or with CAP_NET_ADMIN");
  Result<std::unique_ptr<datapath::Datapath>> made = datapath::make_tun_datapath();
  if (!made) return pass(made.error());
  datapath_ = std::move(*made);
  engine_ = std::make_unique<Engine>(settings_from(identity_, configuration_), *saved, random_);
  Result<void> sockets = open_sockets(*saved);
  if (!sockets) return sockets;
  Result<void> stub = open_stub();
  if (!stub) return stub;
  turn();
  if (failure_) return pass(*failure_);
  Result<void> pointed = point_system();
  if (!pointed) return pointed;
  return open_netwatch();
}

Result<void> Service::open_sockets(const SavedState& saved) {
  bool fixed = configuration_.port != 0;
  std::uint16_t wanted = fixed ? configuration_.port : saved.port4 ? saved.port4 : saved.port6;
  datapath::SocketOptions v4{Family::V4, {}, wanted, configuration_.mark};
  Result<datapath::SocketInfo> first = datapath_->open_socket(v4);
  if (!first && fixed) return pass(first.error());
  if (!first && wanted != 0) {  // somebody took the kept port meanwhile
    v4.port = 0;
    first = datapath_->open_socket(v4);
  }
  if (!first) return pass(first.error());
  socket4_ = *first;
  datapath::SocketOptions v6{Family::V6, {}, socket4_.port, configuration_.mark};
  Result<datapath::SocketInfo> second = datapath_->open_socket(v6);
  if (!second) {
    v6.port = 0;
    second = datapath_->open_socket(v6);
  }
  if (second) socket6_ = *second;
  else host::log_warning("no IPv6: {}", second.error().text);
  std::function<void()> wake = [this] { loop_.post([this] { turn(); }); };
  datapath_->set_wakeup(wake);
  engine_->handle(loop_.now(), SocketsOpened{socket4_.id, socket6_.id, socket4_.port,
                                             second ? socket6_.port : std::uint16_t{0}});
  return {};
}

dns::StubEngine::Rules Service::stub_rules() {
  dns::StubEngine::Rules rules;
  rules.virtual_ranges4 = configuration_.virtual_ranges4;
  rules.knowledge = [this](const Name& name) {
    if (state_.peers.count(name) != 0) return dns::Knowledge::PinnedNtm;
    if (name.is_under(identity_.zone)) return dns::Knowledge::KnownNtm;
    for (const auto& [zone, prefix] : state_.zones)
      if (name.is_under(zone)) return dns::Knowledge::KnownNtm;
    return dns::Knowledge::Nothing;
  };
  rules.is_virtual = [this](const IpAddress& a) {
    if (!a.is_v6()) return false;
    if (state_.zone_virtual6 && state_.zone_virtual6->contains(a)) return true;
    for (const auto& [zone, prefix] : state_.zones)
      if (prefix.contains(a)) return true;
    return false;
  };
  return rules;
}

Result<void> Service::open_stub() {
  if (!configuration_.dns_enabled) return {};
  dns::StubOptions options;
  options.listen = configuration_.dns_listen;
  options.upstream = configuration_.dns_upstream;
  if (options.upstream.empty()) {
    servers_watch_.emplace(folders_.state);
    (void)servers_watch_->changed();
    options.upstream = dns::system_servers(folders_.state);
  }
  if (options.upstream.empty())
    host::log_warning("no resolver is configured; set dns.upstream or /etc/resolv.conf");
  options.zone = identity_.zone;
  options.zone_servers = configuration_.dns_zone_servers;
  if (options.zone_servers.empty())
    for (const Endpoint& dc : identity_.dc_endpoints)
      options.zone_servers.push_back({dc.address, 53});
  options.trust_anchor = configuration_.dns_trust_anchor;
  options.mark = configuration_.mark;
  dns::Stub::Hooks hooks;
  hooks.on_lookup = [this](const dns::WantLookup& want) {
    engine_->handle(loop_.now(), LookupWanted{want.id, want.records});
    turn();
  };
  hooks.on_step = [this](const dns::Step& step) {
    events_.write(host::monotonic_now(), step.event, step.fields);
  };
  hooks.before_question = [this] {
    if (servers_watch_ && servers_watch_->changed())
      stub_->set_upstream(dns::system_servers(folders_.state));
  };
  Result<std::unique_ptr<dns::Stub>> stub =
      dns::Stub::open(loop_, random_, options, stub_rules(), hooks);
  if (!stub) return pass(stub.error());
  stub_ = std::move(*stub);
  return {};
}

Result<void> Service::point_system() {
  if (!stub_) return dns::restore_system(folders_.state);
  dns::HookOptions options;
  options.mode = configuration_.dns_hook;
  options.state_folder = folders_.state;
  options.interface = configuration_.interface;
  options.redirect_port = stub_->redirect_port();
  options.listen = configuration_.dns_listen;
  options.upstream = stub_->upstream();
  options.mark = configuration_.mark;
  Result<dns::HookMode> mode = dns::point_system_at_stub(options);
  if (!mode) return pass(mode.error());
  hook_ = *mode;
  host::log_info("DNS of this machine goes through the stub by {} (port {})",
                 dns::to_string(hook_), stub_->redirect_port());
  return {};
}

Result<void> Service::open_netwatch() {
  NetwatchOptions options;
  options.own_interface = configuration_.interface;
  options.optimistic_dad = configuration_.optimistic_dad;
  for (const Endpoint& dc : identity_.dc_endpoints) options.destinations.push_back(dc.address);
  Result<std::unique_ptr<Netwatch>> opened =
      Netwatch::open(loop_, options, [this](const AddressesChanged& change) {
        engine_->handle(loop_.now(), change);
        turn();
      });
  if (!opened) return pass(opened.error());
  netwatch_ = std::move(*opened);
  return {};
}

Result<void> Service::run() {
  host::log_info("{} starts; zone {}, UDP port {}", identity_.name.text(), identity_.zone.text(),
                 socket4_.port);
  netwatch_->refresh();
  watch_traffic();
  turn();
  loop_.run();
  if (failure_) return pass(*failure_);
  return {};
}

// ---- the turn --------------------------------------------------------------------------------

void Service::turn() {
  if (turning_) return;  // an effect led back here: the outer turn goes on with what came
  turning_ = true;
  while (true) {
    std::vector<Effect> effects = engine_->take_effects();
    for (const Effect& e : effects) perform(e);
    std::vector<datapath::Event> events = datapath_->events();
    for (const datapath::Event& e : events) engine_->handle(loop_.now(), e);
    if (effects.empty() && events.empty()) break;
  }
  turning_ = false;
  arm();
  if (stopping_ && engine_->has_left()) loop_.stop();
}

void Service::arm() {
  Instant next = engine_->next_deadline();
  if (next == armed_) return;
  loop_.cancel(timer_);
  armed_ = next;
  if (next == Instant::never()) return;
  timer_ = loop_.at(next, [this] {
    armed_ = Instant::never();
    engine_->on_timer(loop_.now());
    turn();
  });
}

void Service::perform(const ConfigureInterface& effect) {
  datapath::InterfaceOptions options;
  options.name = configuration_.interface;
  options.addresses = effect.addresses;
  options.routes = effect.routes;
  options.mtu = configuration_.mtu;
  Result<datapath::InterfaceInfo> opened = datapath_->open_interface(options);
  if (!opened) {
    // Without its interface the terminal is of no use: end, with the reason.
    failure_ = opened.error();
    return loop_.stop();
  }
  events_.write(host::monotonic_now(), "interface_configured", {{"interface", opened->name}});
}

void Service::persist(const PersistState& effect) {
  state_ = effect.state;
  state_dirty_ = true;
  if (effect.urgent) return write_state();
  loop_.cancel(state_timer_);
  state_timer_ = loop_.after(kWriteStateAfter, [this] { write_state(); });
}

void Service::write_state() {
  if (!state_dirty_) return;
  Result<void> stored = store_state(folders_.state, state_);
  if (!stored) {
    host::log_error("{}", stored.error().text);
    return;
  }
  state_dirty_ = false;
  if (!state_.enrolled || !identity_.token) return;
  Result<void> forgotten = forget_token(folders_);
  if (forgotten) identity_.token.reset();
}

void Service::perform(const Effect& effect) {
  if (const auto* change = std::get_if<datapath::Change>(&effect)) {
    Result<void> applied = datapath_->apply(*change);
    if (!applied) host::log_debug("datapath: {}", applied.error().text);
  } else if (const auto* send = std::get_if<SendControl>(&effect)) {
    Result<void> sent = datapath_->send_control(send->outer, send->datagram);
    if (!sent) host::log_debug("send: {}", sent.error().text);
  } else if (const auto* note = std::get_if<Notify>(&effect)) {
    events_.write(host::monotonic_now(), note->event, note->fields);
  } else if (const auto* ready = std::get_if<LookupReady>(&effect)) {
    std::map<std::uint64_t, std::function<void(const LookupReady&)>>::iterator own =
        resolving_.find(ready->id);
    if (own != resolving_.end()) {
      std::function<void(const LookupReady&)> done = std::move(own->second);
      resolving_.erase(own);
      done(*ready);
    } else if (stub_) {
      stub_->lookup_ready(*ready);
    }
  } else if (const auto* save = std::get_if<PersistState>(&effect)) {
    persist(*save);
  } else if (const auto* configure = std::get_if<ConfigureInterface>(&effect)) {
    perform(*configure);
  } else if (const auto* query = std::get_if<QueryPeer>(&effect)) {
    if (!stub_) return;
    stub_->query_ntm(query->name, [this](const dns::NtmAnswer& answer) {
      PeerRecords records = answer.records;
      records.unasked = answer.state == dns::NtmState::Failed;
      engine_->handle(loop_.now(), records);
      turn();
    });
  } else if (const auto* zone = std::get_if<QueryZone>(&effect)) {
    if (!stub_) return;
    stub_->query_zone(zone->zone, [this](const ZoneRecord& record) {
      engine_->handle(loop_.now(), record);
      turn();
    });
  } else if (const auto* ping = std::get_if<PingResult>(&effect)) {
    on_ping_result(*ping);
  }
}

// The engine renews keys only where there is traffic; the datapath counts it.
void Service::watch_traffic() {
  std::map<PathId, std::uint64_t> seen;
  for (const PeerStatus& peer : engine_->status().peers)
    for (const PathStatus& path : peer.paths) {
      std::optional<datapath::PathStatistics> s = datapath_->statistics(path.path);
      if (!s) continue;
      std::uint64_t packets = s->packets_sent + s->packets_received;
      std::map<PathId, std::uint64_t>::iterator before = traffic_.find(path.path);
      // Keep-alives alone, one each way in 15 s, are no traffic.
      if (before != traffic_.end() && packets > before->second + 4)
        engine_->handle(loop_.now(), PathTraffic{path.path});
      seen[path.path] = packets;
    }
  traffic_ = std::move(seen);
  loop_.after(kTrafficEvery, [this] {
    watch_traffic();
    turn();
  });
}

void Service::stop() {
  if (stopping_) return loop_.stop();
  stopping_ = true;
  host::log_info("leaving");
  engine_->handle(loop_.now(), Leave{});
  turn();
  loop_.after(kLeaveAtMost, [this] { loop_.stop(); });
}

}  // namespace ntm::terminal
