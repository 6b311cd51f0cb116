// Effects are performed in the order in which the engine gave them. Batches wait when the store
// has enough in flight; nothing is dropped and nothing overtakes.
#include "director/service.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "director/administration.hpp"
#include "libntm/host/files.hpp"
#include "libntm/host/log.hpp"
#include "pdns-backend/configuration.hpp"

namespace ntm::director {

namespace {
constexpr std::size_t kReceiveBatch = 256;
constexpr std::size_t kFeedBatch = 1000;
constexpr Duration kTick = seconds(1);
constexpr const char* kModule = "libntmobilebackend.so";

std::string program_folder() {
  char path[4096];
  ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) return ".";
  std::string full(path, static_cast<std::size_t>(n));
  return full.substr(0, full.rfind('/'));
}

// Where packages and the build tree have the module, relative to this program.
std::string find_module(const std::string& configured) {
  std::vector<std::string> folders;
  if (!configured.empty()) folders.push_back(configured);
  std::string here = program_folder();
  folders.push_back(here + "/../lib");
  folders.push_back(here + "/../lib/ntmobile");
  folders.push_back("/usr/lib/ntmobile");
  for (const std::string& folder : folders)
    if (host::exists(folder + "/" + kModule)) return folder;
  return "";
}
}  // namespace

Result<std::unique_ptr<Service>> Service::open(const Configuration& config, bool with_dns,
                                               host::EventLoop& loop) {
  std::unique_ptr<Service> service(new Service(config, loop));
  if (Result<void> ready = service->prepare(with_dns); !ready) return pass(ready.error());
  return service;
}

Service::Service(const Configuration& config, host::EventLoop& loop)
    : config_(config), loop_(loop) {}
Service::~Service() = default;

Result<void> Service::prepare(bool with_dns) {
  // Before any thread is started: they inherit the blocked signals.
  loop_.on_signals({SIGTERM, SIGINT}, [this](int) { loop_.stop(); });
  Result<DcKeys> keys = load_keys(config_.data);
  if (!keys) return pass(keys.error());
  keys_ = std::make_unique<DcKeys>(*keys);
  if (Result<void> done = open_sockets(); !done) return done;
  if (with_dns)
    if (Result<void> free = check_dns_ports(); !free) return free;
  if (Result<void> done = open_store(); !done) return done;
  Result<std::unique_ptr<DcLookup>> lookup =
      DcLookup::open(loop_, config_.resolvers,
                     [this](const Name& zone, const Result<DcAddress>& address) {
                       engine_->dc_resolved(loop_.now(), zone, address);
                     });
  if (!lookup) return pass(lookup.error());
  lookup_ = std::move(*lookup);
  if (Result<void> done = load(); !done) return done;
  open_status();
  administration_ = std::make_unique<Administration>(*this);
  std::string folder = config_.socket.substr(0, config_.socket.rfind('/'));
  if (!folder.empty())
    if (Result<void> made = host::make_folder(folder, 0755); !made) return made;
  Result<std::unique_ptr<host::ControlServer>> control = host::ControlServer::open(
      loop_, config_.socket,
      [this](const nlohmann::json& request, host::ControlServer::Respond respond) {
        administration_->handle(request, std::move(respond));
      });
  if (!control) return pass(control.error());
  control_ = std::move(*control);
  return with_dns ? start_dns() : Result<void>{};
}

Result<void> Service::open_sockets() {
  std::vector<IpAddress> listen = config_.listen;
  if (listen.empty()) listen = {IpAddress(Ipv4{}), IpAddress(Ipv6{})};
  for (const IpAddress& address : listen) {
    Result<host::UdpSocket> socket =
        host::UdpSocket::open(address.family(), address, config_.port);
    if (!socket) {
      // A machine without IPv6 at all still makes a good DC for IPv4.
      if (config_.listen.empty() && address.is_v6() &&
          socket.error().kind == ErrorKind::Unavailable) {
        host::log_warning("IPv6 is not available here: {}", socket.error().text);
        continue;
      }
      return pass(socket.error());
    }
    sockets_.push_back(std::move(*socket));
  }
  for (host::UdpSocket& socket : sockets_)
    loop_.watch(socket.fd(), EPOLLIN, [this, &socket](std::uint32_t) {
      socket.receive(kReceiveBatch, [this](const host::UdpDatagram& d) {
        engine_->handle(loop_.now(), host::wall_now(), Datagram{d.local, d.from, d.bytes});
      });
    });
  return {};
}

Result<void> Service::open_store() {
  store::sqlite::OpenOptions options;
  options.directory = config_.data;
  options.create = false;
  Result<std::unique_ptr<store::sqlite::SqliteStore>> opened =
      store::sqlite::SqliteStore::open(options);
  if (!opened) return pass(opened.error());
  store_ = std::move(*opened);
  Result<std::unique_ptr<store::Reader>> reader = store_->open_reader();
  if (!reader) return pass(reader.error());
  reader_ = std::move(*reader);
  if (Result<void> admin = store::sqlite::prepare_admin_database(config_.data); !admin)
    return pass(admin.error());
  store_->set_wakeup([this] {
    loop_.post([this] {
      take_completions();
      follow_feed();
    });
  });
  return {};
}

// After load(): a director that may not serve this database changes nothing.
void Service::open_status() {
  Result<std::unique_ptr<store::sqlite::StatusStore>> status =
      store::sqlite::StatusStore::open(config_.data);
  if (status) {
    status_ = std::move(*status);
    if (status_->began_anew())
      host::log_warning("status.db was damaged and is put aside; history begins anew");
  } else {
    // Losable by design: registration must not depend on it.
    host::log_warning("no status history: {}", status.error().text);
  }
}

Result<void> Service::load() {
  if (Result<void> begun = reader_->begin(); !begun) return begun;
  Result<store::ChangeToken> token = reader_->now_token();
  Result<std::vector<store::Zone>> zones = reader_->zones();
  Result<std::vector<store::Token>> tokens = reader_->tokens();
  Result<std::vector<store::Relay>> relays = reader_->relays();
  Result<std::vector<store::PeerDc>> peers = reader_->peer_dcs();
  Snapshot snapshot;
  Result<void> read{};
  if (zones)
    for (const store::Zone& zone : *zones) {
      zones_.push_back({zone, keys_->key, std::nullopt});
      if (!zone.has_terminals) continue;
      read = reader_->each_terminal(zone.id, [&](const store::TerminalView& view) {
        snapshot.terminals.push_back(view);
        return true;
      });
      if (!read) break;
    }
  reader_->end();
  if (!read) return read;
  if (!token) return pass(token.error());
  if (!zones) return pass(zones.error());
  if (!tokens) return pass(tokens.error());
  if (!relays) return pass(relays.error());
  if (!peers) return pass(peers.error());
  for (const ZoneIdentity& z : zones_)
    if (z.zone.dc_key != keys_->key.public_key)
      return invalid(config_.data + "/dc.key is not the key of zone " + z.zone.apex.text() +
                     "; put the right key file back (terminals know the zone by its key)");
  feed_ = *token;
  snapshot.tokens = *tokens;
  snapshot.relays = *relays;
  snapshot.peers = *peers;
  DirectorConfig config;
  config.zones = zones_;
  config.reset_secret = keys_->reset_secret;
  config.cookie_threshold = config_.cookie_threshold;
  // Greater than any value before this start, also after a crash: no state needed.
  config.first_sender_counter = static_cast<std::uint64_t>(host::wall_now().us);
  engine_ = std::make_unique<DirectorEngine>(config, random_);
  engine_->start(loop_.now(), host::wall_now(), snapshot);
  host::log_info("{} zones, {} terminals, {} relays", zones_.size(), snapshot.terminals.size(),
                 snapshot.relays.size());
  return {};
}

// ---- PowerDNS as a child --------------------------------------------------------------------------

// A name server that was there before is an easy mistake to make with a new DC: better said here,
// in one line, than by a child that ends again and again. The child of a director that was killed a
// moment ago may still hold the port, so this waits a little.
Result<void> Service::check_dns_ports() {
  constexpr Duration kStep = milliseconds(50);
  for (const Endpoint& e : config_.dns.listen) {
    Instant until = host::monotonic_now() + seconds(1);
    while (true) {
      Result<host::UdpSocket> held = host::UdpSocket::open(e.family(), e.address, e.port);
      if (held || held.error().kind != ErrorKind::Conflict) break;
      if (host::monotonic_now() >= until)
        return fail(ErrorKind::Conflict,
                    "UDP port " + std::to_string(e.port) + " of " + to_string(e.address) +
                        " is in use by another program; stop it (find it with `ss -ulnp`) or set "
                        "dns.listen to addresses that are free");
      ::usleep(static_cast<useconds_t>(kStep.us));
    }
  }
  return {};
}

Result<void> Service::start_dns() {
  std::string module = find_module(config_.dns.module_dir);
  if (module.empty())
    return fail(ErrorKind::NotFound, std::string(kModule) +
                                         " is not found; set dns.module_dir to its folder");
  dns_folder_ = config_.socket.substr(0, config_.socket.rfind('/')) + "/pdns";
  if (Result<void> made = host::make_folder(dns_folder_, 0755); !made) return made;
  pdns_backend::PdnsSettings settings;
  settings.store_directory = config_.data;
  settings.module_directory = module;
  settings.socket_directory = dns_folder_;
  settings.listen = config_.dns.listen;
  settings.transfer_to = config_.dns.transfer_to;
  settings.threads = config_.dns.threads;
  if (!config_.dns.user.empty()) settings.user = config_.dns.user;
  if (!config_.dns.group.empty()) settings.group = config_.dns.group;
  Result<std::string> text = pdns_backend::pdns_configuration(settings);
  if (!text) return pass(text.error());
  if (Result<void> w = host::replace_file(dns_folder_ + "/pdns.conf", as_view(*text), 0644); !w)
    return w;
  Result<std::unique_ptr<host::ChildProcess>> child = host::ChildProcess::start(
      loop_, {config_.dns.program, "--config-dir=" + dns_folder_},
      {[](const std::string& line) { host::log_info("pdns: {}", line); },
       [this](const std::string& how) {
         Duration wait = std::min(milliseconds(200) * (std::int64_t{1} << std::min(dns_starts_, 6)),
                                  seconds(10));
         ++dns_starts_;
         host::log_error("pdns_server ended ({}); starting it again in {} ms", how, wait.ms());
         loop_.after(wait, [this] {
           dns_.reset();
           if (Result<void> again = start_dns(); !again) host::log_error("{}", again.error().text);
         });
       }});
  if (!child) return pass(child.error());
  dns_ = std::move(*child);
  // A child that lived a minute was healthy: the next failure is waited for shortly again.
  loop_.after(seconds(60), [this] { dns_starts_ = 0; });
  return {};
}

// ---- the loop ---------------------------------------------------------------------------------------

void Service::run() {
  started_ = loop_.now();
  loop_.on_turn_end([this] {
    perform();
    arm();
  });
  tick();
  for (const host::UdpSocket& socket : sockets_)
    host::log_info("listens at UDP port {}", socket.port());
  loop_.run();
  host::log_info("director ends");
}

void Service::tick() {
  store::Batch batch;
  for (const ZoneIdentity& z : zones_)
    if (z.zone.kind != store::ZoneKind::Secondary)
      batch.items.push_back(store::BumpSerial{z.zone.id, 0});
  if (!batch.items.empty()) write(std::move(batch), [](const store::Completion&) {});
  follow_feed();
  loop_.after(kTick, [this] { tick(); });
}

void Service::perform() {
  if (!engine_) return;
  for (std::vector<Effect> effects = engine_->take_effects(); !effects.empty();
       effects = engine_->take_effects())
    for (Effect& effect : effects) perform(effect);
}

void Service::perform(Effect& effect) {
  if (SendDatagram* send = std::get_if<SendDatagram>(&effect)) {
    for (host::UdpSocket& socket : sockets_) {
      if ((socket.fd() < 0)) continue;
      Result<void> sent = socket.send(send->to, send->local, send->datagram);
      if (sent) return;
    }
    host::log_debug("can't send to {}", to_string(send->to));
  } else if (StoreWrite* w = std::get_if<StoreWrite>(&effect)) {
    std::uint64_t tag = w->tag;
    write(std::move(w->batch), [this, tag](const store::Completion& completion) {
      engine_->store_completed(loop_.now(), host::wall_now(), tag, completion);
    });
  } else if (ResolveDc* resolve = std::get_if<ResolveDc>(&effect)) {
    lookup_->resolve(resolve->zone);
  } else if (Notify* n = std::get_if<Notify>(&effect)) {
    note(*n);
  }
}

void Service::note(const Notify& n) {
  std::string line = n.subject.is_root() ? n.text : n.subject.text() + ": " + n.text;
  switch (n.kind) {
    case Notify::Kind::Warning: host::log_warning("{}", line); break;
    case Notify::Kind::Refused: host::log_warning("refused: {}", line); break;
    case Notify::Kind::Registered: host::log_debug("registered {}", line); break;
    default: host::log_info("{} {}", to_string(n.kind), line);
  }
  if (!status_) return;
  store::sqlite::Event event;
  event.at = host::wall_now();
  event.kind = to_string(n.kind);
  event.subject = n.subject.text();
  event.text = n.text;
  if (n.kind != Notify::Kind::Registered) status_->add_event(event);
  if (n.kind != Notify::Kind::Moved && n.kind != Notify::Kind::Offline) return;
  for (const DirectorEngine::TerminalStatus& t : engine_->terminals_named(n.subject)) {
    if (!t.view.location) continue;
    const store::Location& l = *t.view.location;
    status_->add_move({t.view.terminal.id, event.at, l.flags, l.v4.outside, l.v6.outside,
                       l.v4.behind_nat, l.v6.behind_nat});
  }
}

// ---- the store ------------------------------------------------------------------------------------

void Service::write(store::Batch batch, Written done) {
  waiting_.push_back({std::move(batch), std::move(done)});
  submit_waiting();
}

void Service::submit_waiting() {
  while (!waiting_.empty() && in_flight_.size() < store::kMaxBatchesInFlight) {
    std::optional<store::BatchId> id = store_->submit(waiting_.front().batch);
    if (!id) return;
    in_flight_[id->value] = std::move(waiting_.front().done);
    waiting_.pop_front();
  }
}

void Service::take_completions() {
  for (const store::Completion& completion : store_->completions()) {
    std::map<std::uint64_t, Written>::iterator it = in_flight_.find(completion.batch.value);
    if (it == in_flight_.end()) continue;
    Written done = std::move(it->second);
    in_flight_.erase(it);
    if (done) done(completion);
  }
  submit_waiting();
}

void Service::follow_feed() {
  for (int round = 0; round < 10; ++round) {
    Result<store::Changes> changes = reader_->changes(feed_, kFeedBatch);
    if (!changes) {
      host::log_warning("can't read the change feed: {}", changes.error().text);
      return;
    }
    if (changes->too_old) {
      // More happened than the feed keeps: read everything again.
      host::log_warning("the change feed was too long behind; reading all terminals again");
      for (const ZoneIdentity& z : zones_) {
        Result<void> read = reader_->each_terminal(z.zone.id, [&](const store::TerminalView& v) {
          engine_->terminal_changed(loop_.now(), v);
          return true;
        });
        if (!read) return;
      }
      reload_relays_and_peers();
    }
    for (const store::Change& change : changes->items) apply(change);
    bool more = changes->items.size() >= kFeedBatch;
    feed_ = changes->next;
    if (!more) return;
  }
}

void Service::apply(const store::Change& change) {
  switch (change.kind) {
    case store::ChangeKind::Terminal: {
      Result<std::optional<store::TerminalView>> view =
          reader_->terminal_by_id(store::TerminalId{change.id});
      if (!view) return;
      if (*view) engine_->terminal_changed(loop_.now(), **view);
      else engine_->terminal_removed(loop_.now(), store::TerminalId{change.id});
      return;
    }
    case store::ChangeKind::Token: {
      Result<std::optional<store::Token>> token = reader_->token(TokenId{change.id});
      if (token) engine_->token_changed(TokenId{change.id}, *token);
      return;
    }
    case store::ChangeKind::Relay:
    case store::ChangeKind::PeerDc: reload_relays_and_peers(); return;
    case store::ChangeKind::Zone: reload_zones(); return;
    case store::ChangeKind::Records:
    case store::ChangeKind::Location: return;  // only the director writes locations
  }
}

void Service::reload_relays_and_peers() {
  Result<std::vector<store::Relay>> relays = reader_->relays();
  if (relays) engine_->relays_changed(loop_.now(), *relays);
  Result<std::vector<store::PeerDc>> peers = reader_->peer_dcs();
  if (peers) engine_->peers_changed(*peers);
}

void Service::reload_zones() {
  Result<std::vector<store::Zone>> zones = reader_->zones();
  if (!zones) return;
  for (const store::Zone& zone : *zones) {
    ZoneIdentity identity{zone, keys_->key, std::nullopt};
    std::vector<ZoneIdentity>::iterator known =
        std::find_if(zones_.begin(), zones_.end(),
                     [&](const ZoneIdentity& z) { return z.zone.id == zone.id; });
    if (known == zones_.end()) zones_.push_back(identity);
    else *known = identity;
    engine_->zone_changed(identity);
  }
}

void Service::arm() {
  Instant when = engine_->next_deadline();
  if (when == armed_) return;
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
  armed_ = when;
  if (when == Instant::never()) return;
  timer_ = loop_.at(when, [this] {
    timer_ = 0;
    armed_ = Instant::never();
    engine_->on_timer(loop_.now(), host::wall_now());
  });
}

}  // namespace ntm::director
