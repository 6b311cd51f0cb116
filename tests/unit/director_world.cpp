// See the header.
#include "tests/unit/director_world.hpp"

#include "libntm/crypto/hash.hpp"
#include "libntm/wire/ntm_record.hpp"

namespace ntm::director::testing {

// ---- DC ---------------------------------------------------------------------------------------

Dc::Dc(World& w, const std::string& apex, scenario::SiteId site,
       const std::vector<std::string>& addresses)
    : world(w) {
  key = crypto::make_key_pair(world.sim.random());
  world.sim.random().fill(reset_secret.span());
  for (const std::string& a : addresses) addresses_.push_back(ip(a));
  zone.id = {1};
  zone.apex = name(apex);
  zone.virtual6 = parse_prefix(apex == "a.example" ? "fd00:a::/48" : "fd00:b::/48").value();
  zone.pools4 = {parse_prefix(apex == "a.example" ? "198.18.0.0/20" : "198.18.16.0/20").value()};
  for (const IpAddress& a : addresses_) zone.dc_endpoints.push_back({a, 4753});
  zone.dc_key = key.public_key;
  host_ = world.network.add_host(
      apex, [this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
        if (!engine) return;
        engine->handle(world.sim.now(), world.wall(), Datagram{to.address, from, datagram});
        turn();
      });
  for (const IpAddress& a : addresses_) world.network.attach(host_, site, a);
  store = std::make_unique<store::memory::MemoryStore>();
  write(store::PutZone{zone});
  restart();
}

void Dc::restart() {
  store->completions();  // of the old life
  tags_.clear();
  unsent_.clear();
  std::unique_ptr<store::Reader> reader = store->open_reader().value();
  Snapshot snapshot;
  snapshot.tokens = reader->tokens().value();
  snapshot.relays = reader->relays().value();
  snapshot.peers = reader->peer_dcs().value();
  EXPECT_TRUE(reader->each_terminal(zone.id, [&](const store::TerminalView& view) {
    snapshot.terminals.push_back(view);
    return true;
  }));
  zone = reader->zone(zone.id).value().value();
  DirectorConfig config;
  config.zones = {{zone, key, std::nullopt}};
  config.reset_secret = reset_secret;
  config.first_sender_counter = static_cast<std::uint64_t>(world.wall().us);
  config.cookie_threshold = cookie_threshold;
  engine = std::make_unique<DirectorEngine>(config, world.sim.random());
  engine->start(world.sim.now(), world.wall(), snapshot);
  turn();
}

void Dc::write(store::Operation operation) {
  store::Batch batch;
  batch.items.push_back(std::move(operation));
  store::Completion done = store->submit_and_wait(std::move(batch), seconds(1));
  ASSERT_EQ(done.items.at(0).outcome, store::Outcome::Applied) << done.items.at(0).reason;
}

void Dc::add_zone(const std::string& apex) {
  store::Zone added = zone;
  added.id = {static_cast<std::int32_t>(more_zones_.size() + 2)};
  added.apex = name(apex);
  std::string number = std::to_string(added.id.value);
  added.virtual6 = parse_prefix("fd00:" + number + "::/48").value();
  std::string third = std::to_string(16 * added.id.value % 256);
  added.pools4 = {parse_prefix("198.19." + third + ".0/20").value()};
  write(store::PutZone{added});
  more_zones_.push_back(added);
  engine->zone_changed({added, key, std::nullopt});
  world.dns.emplace(added.apex, address());
}

const store::Zone& Dc::zone_of(const Name& terminal) const {
  for (const store::Zone& z : more_zones_)
    if (terminal.is_under(z.apex)) return z;
  return zone;
}

wire::EnrolmentToken Dc::add_terminal(const std::string& terminal) {
  store::Terminal row;
  row.id = {next_id_++};
  row.name = name(terminal);
  row.zone = zone_of(row.name).id;
  row.virtual_addresses = engine->allocate(row.zone);
  write(store::CreateTerminal{row});
  engine->terminal_changed(world.sim.now(), {row, std::nullopt});
  return token_for(terminal, store::TokenPurpose::Terminal);
}

wire::EnrolmentToken Dc::add_relay(const std::string& relay) {
  store::Relay row;
  row.id = {next_id_++};
  row.name = name(relay);
  write(store::PutRelay{row});
  engine->relays_changed(world.sim.now(), store->open_reader().value()->relays().value());
  return token_for(relay, store::TokenPurpose::Relay);
}

wire::EnrolmentToken Dc::token_for(const std::string& subject, store::TokenPurpose purpose) {
  wire::EnrolmentToken token;
  token.zone = zone.apex;
  token.subject = name(subject);
  token.dc_key = key.public_key;
  token.dc_endpoints = zone.dc_endpoints;
  token.id = {world.sim.random().u64()};
  world.sim.random().fill(token.secret.span());
  store::Token row;
  row.id = token.id;
  row.purpose = purpose;
  row.subject = token.subject;
  row.psk = crypto::enrolment_psk(token.secret.view(), token.id);
  row.expires = world.wall() + seconds(86400);
  write(store::PutToken{row});
  engine->token_changed(row.id, row);
  return token;
}

std::optional<store::TerminalView> Dc::stored(const std::string& terminal) {
  return store->open_reader().value()->terminal(name(terminal)).value();
}

std::optional<store::Location> Dc::location(const std::string& terminal) {
  std::optional<store::TerminalView> view = stored(terminal);
  return view ? view->location : std::nullopt;
}

int Dc::noted(Notify::Kind kind, const std::string& subject) const {
  int out = 0;
  for (const Notify& n : notes) out += n.kind == kind && n.subject == name(subject);
  return out;
}

DcAddress Dc::address() const { return {zone.dc_endpoints, key.public_key, {}, {}}; }

Endpoint Dc::endpoint(Family family) const {
  for (const Endpoint& e : zone.dc_endpoints)
    if (e.family() == family) return e;
  return {};
}

Bytes Dc::record(const std::string& terminal, Family family) {
  std::optional<store::TerminalView> view = stored(terminal);
  wire::NtmRecord out = wire::NtmRecord::empty(family);
  bool v4 = family == Family::V4;
  out.virtual_address = v4 ? IpAddress(*view->terminal.virtual_addresses.v4)
                           : IpAddress(*view->terminal.virtual_addresses.v6);
  out.terminal_key = view->terminal.key;
  out.dc_name = zone_of(view->terminal.name).apex;
  if (view->location) {
    const store::FamilyLocation& f = v4 ? view->location->v4 : view->location->v6;
    bool hidden = view->location->flags & store::kLocationPrivate;
    if (hidden) out.flags |= wire::kNtmPrivate;
    if (f.outside.is_set() && !hidden) {
      out.real = {f.real, f.real_port};
      if (f.behind_nat) out.flags |= wire::kNtmBehindNat;
      if (f.behind_nat && v4) out.nat_outside = f.outside;
    }
  }
  return wire::encode(out);
}

void Dc::turn() {
  for (int round = 0; round < 20; ++round) {
    std::vector<Effect> effects = engine->take_effects();
    for (Effect& e : effects) perform(e);
    while (!unsent_.empty()) {
      std::optional<store::BatchId> id = store->submit(unsent_.front().batch);
      if (!id) break;
      tags_[id->value] = unsent_.front().tag;
      unsent_.pop_front();
    }
    std::vector<store::Completion> done =
        takes_completions ? store->completions() : std::vector<store::Completion>{};
    for (const store::Completion& c : done)
      if (tags_.count(c.batch.value))
        engine->store_completed(world.sim.now(), world.wall(), tags_.at(c.batch.value), c);
    if (effects.empty() && done.empty()) break;
  }
  Instant next = engine->next_deadline();
  if (next == Instant::never() || next == armed_) return;
  armed_ = next;
  DirectorEngine* of = engine.get();
  world.sim.at(next, [this, next, of] {
    if (armed_ != next || engine.get() != of) return;
    armed_ = Instant::never();
    engine->on_timer(world.sim.now(), world.wall());
    turn();
  });
}

void Dc::perform(Effect& effect) {
  if (const SendDatagram* s = std::get_if<SendDatagram>(&effect)) {
    IpAddress local = s->local;
    if (local.is_unspecified())
      for (const IpAddress& a : addresses_)
        if (a.family() == s->to.family()) local = a;
    world.network.send(host_, {local, 4753}, s->to, s->datagram);
  } else if (StoreWrite* w = std::get_if<StoreWrite>(&effect)) {
    unsent_.push_back(std::move(*w));
  } else if (const ResolveDc* r = std::get_if<ResolveDc>(&effect)) {
    resolved.push_back(r->zone);
    DirectorEngine* of = engine.get();
    world.sim.after(world.dns_delay, [this, zone = r->zone, of] {
      if (engine.get() != of) return;
      Result<DcAddress> answer = fail(ErrorKind::NotFound, "no such zone");
      if (world.dns.count(zone)) answer = world.dns.at(zone);
      else if (world.dcs_.count(zone.text())) answer = world.dcs_.at(zone.text())->address();
      engine->dc_resolved(world.sim.now(), zone, answer);
      turn();
    });
  } else if (const Notify* n = std::get_if<Notify>(&effect)) {
    notes.push_back(*n);
    if (std::getenv("NTM_TRACE") != nullptr)
      printf("%10.3f %-10s %s %s: %s\n", static_cast<double>(world.sim.now().us) / 1000.0,
             zone.apex.text().c_str(), to_string(n->kind), n->subject.text().c_str(),
             n->text.c_str());
  }
}

// ---- terminals and relays ---------------------------------------------------------------------

Peer::Peer(World& w, Dc& d, const std::string& text) : world(w), dc(&d), who(name(text)) {
  key = crypto::make_key_pair(world.sim.random());
  host_ = world.network.add_host(
      text, [this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
        receive(from, to, datagram);
      });
}

void Peer::attach(scenario::SiteId site, const std::string& address) {
  IpAddress a = ip(address);
  world.network.attach(host_, site, a);
  own_[a.family()] = {a, 40000};
}

void Peer::detach(const std::string& address) {
  world.network.detach(host_, ip(address));
  own_.erase(ip(address).family());
}

Endpoint Peer::own(Family family) const {
  std::map<Family, Endpoint>::const_iterator it = own_.find(family);
  return it == own_.end() ? Endpoint{} : it->second;
}

void Peer::send_raw(Family family, Bytes datagram) {
  world.network.send(host_, own(family), dc->endpoint(family), std::move(datagram));
}

void Peer::handshake(Family family, const wire::ControlMessage& message,
                     const std::optional<wire::EnrolmentToken>& token) {
  exchange::HandshakeTarget target;
  target.responder = dc->key.public_key;
  target.zone = dc->zone_of(who).apex;
  if (token) {
    target.token = token->id;
    target.psk = crypto::enrolment_psk(token->secret.view(), token->id);
  }
  initiator_ = std::make_unique<exchange::HandshakeInitiator>(target, key);
  init_ = initiator_->start(wire::encode(message), world.sim.random()).value();
  send_raw(family, init_);
}

void Peer::again(Family family) { send_raw(family, init_); }

void Peer::send(Family family, const wire::ControlMessage& message) {
  send_raw(family, sealed(message));
}

wire::RegistrationRequest Peer::request() {
  wire::RegistrationRequest out;
  out.counter = ++counter;
  out.name = who;
  out.suites = 3;
  for (const auto& [family, endpoint] : own_)
    out.locators.push_back({endpoint, wire::InterfaceKind::Ethernet, 0});
  out.locators.insert(out.locators.end(), extra_locators.begin(), extra_locators.end());
  return out;
}

wire::DirectionRequest Peer::direction(const std::string& peer, const std::string& zone) {
  wire::DirectionRequest out;
  out.request = {world.sim.random().u64()};
  out.peer = name(peer);
  out.peer_zone = name(zone);
  for (const auto& [family, endpoint] : own_)
    out.locators.push_back({endpoint, wire::InterfaceKind::Ethernet, 0});
  out.suite = 1;
  out.message1 = Bytes(wire::kMessage1Size, 0x11);
  for (const auto& [apex, theirs] : world.dcs_) {
    if (!theirs->stored(peer)) continue;
    out.peer_ntm4 = theirs->record(peer, Family::V4);
    out.peer_ntm6 = theirs->record(peer, Family::V6);
  }
  return out;
}

wire::Status Peer::last_status() const {
  std::vector<wire::RegistrationResponse> all = got<wire::RegistrationResponse>();
  return all.empty() ? wire::Status::Version : all.back().status;
}

bool Peer::enrol(Family family) {
  std::size_t before = answers();
  handshake(family, request(), dc->token_for(who.text(), store::TokenPurpose::Terminal));
  return world.until(seconds(1), [&] { return answers() > before; }) &&
         last_status() == wire::Status::Ok;
}

bool Peer::reg(Family family) {
  std::size_t before = answers();
  if (session) send(family, request());
  else handshake(family, request());
  return world.until(seconds(1), [&] { return answers() > before; }) &&
         last_status() == wire::Status::Ok;
}

void Peer::receive(const Endpoint&, const Endpoint& to, const Bytes& datagram) {
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
  if (!type) return;
  Family family = to.family();
  if (*type == wire::DatagramType::ControlHint) {
    wire::ControlHint hint = wire::decode_control_hint(datagram).value();
    hints.push_back(hint);
    if (!follows_hints || initiator_) return;
    session.reset();
    handshake(family, request());
  } else if (*type == wire::DatagramType::Cookie) {
    ++cookies;
    if (!initiator_) return;
    Result<Bytes> with_cookie = initiator_->cookie(datagram);
    if (with_cookie) send_raw(family, *with_cookie);
  } else if (*type == wire::DatagramType::HandshakeResponse) {
    ++responses;
    if (!initiator_) return;
    Result<exchange::HandshakeInitiator::Established> done =
        initiator_->response(datagram, world.sim.now());
    if (!done) return;
    initiator_.reset();
    session = std::move(done->session);
    react(family, wire::decode_control(done->payload).value());
  } else if (*type == wire::DatagramType::Control && session) {
    tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
        session->open(datagram);
    if (opened) react(family, wire::decode_control(opened->plaintext).value());
  }
}

void Peer::react(Family family, const wire::ControlMessage& message) {
  inbox.push_back(message);
  if (const wire::RouteDirection* r = std::get_if<wire::RouteDirection>(&message)) {
    if (acks && r->role == wire::Role::Responder)
      send(family, wire::RouteAck{r->request, ack_status, {}, {}, {}});
  } else if (const wire::PathRevoke* v = std::get_if<wire::PathRevoke>(&message)) {
    if (acks) send(family, wire::RouteAck{v->request, wire::Status::Ok, {}, {}, {}});
  } else if (const wire::RelayDirection* d = std::get_if<wire::RelayDirection>(&message)) {
    if (relays) send(family, wire::RelayResponse{d->request, relay_status, relay_endpoints});
  }
}

// ---- world ------------------------------------------------------------------------------------

World::World(std::uint64_t seed) : sim(seed), network(sim) {
  open = network.add_site({"open", milliseconds(10), std::nullopt, {}});
  scenario::NatOptions nat;
  nat_a = network.add_site({"nat-a", milliseconds(10), nat, ip("192.0.2.100").v4()});
  nat_b = network.add_site({"nat-b", milliseconds(10), nat, ip("192.0.2.101").v4()});
}

Dc& World::dc(const std::string& zone) {
  std::unique_ptr<Dc>& slot = dcs_[zone];
  if (!slot) {
    bool first = zone == "a.example";
    slot = std::make_unique<Dc>(
        *this, zone, open,
        first ? std::vector<std::string>{"192.0.2.1", "2001:db8::1"}
              : std::vector<std::string>{"192.0.2.2", "2001:db8::2"});
  }
  return *slot;
}

Peer& World::terminal(const std::string& text) {
  return terminal(text, dc(text.substr(text.find('.') + 1)));
}

Peer& World::terminal(const std::string& text, Dc& of) {
  std::unique_ptr<Peer>& slot = peers_[text];
  if (slot) return *slot;
  of.add_terminal(text);
  slot = std::make_unique<Peer>(*this, of, text);
  return *slot;
}

Peer& World::relay(const std::string& text, const std::vector<std::string>& addresses) {
  Dc& of = dc(text.substr(text.find('.') + 1));
  wire::EnrolmentToken token = of.add_relay(text);
  std::unique_ptr<Peer>& slot = peers_[text];
  slot = std::make_unique<Peer>(*this, of, text);
  slot->relays = true;
  wire::RelayAttach attach;
  attach.counter = ++slot->counter;
  attach.name = slot->who;
  for (const std::string& a : addresses) {
    slot->attach(open, a);
    attach.endpoints.push_back({ip(a), 4753});
  }
  slot->relay_endpoints = attach.endpoints;
  attach.capacity = 1000;
  attach.token_secret = crypto::relay_token_secret(slot->dc->reset_secret, of.zone.apex);
  slot->handshake(ip(addresses.front()).family(), attach, token);
  run_for(milliseconds(100));
  return *slot;
}

}  // namespace ntm::director::testing
