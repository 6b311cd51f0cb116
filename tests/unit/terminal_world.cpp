// See the header.
#include "tests/unit/terminal_world.hpp"

#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "tests/unit/datapath_packets.hpp"

namespace ntm::terminal::testing {

namespace {
const char* const kZone = "a.example";
}

// ---- node ------------------------------------------------------------------------------------

Node::Node(World& w, const char* given, Settings s, SavedState saved)
    : world(w), label(given), settings(std::move(s)) {
  path = std::make_unique<datapath::FakeDatapath>(world.sim.now());
  datapath::SocketInfo v4 = path->open_socket({Family::V4, {}, 0, 0}).value();
  datapath::SocketInfo v6 = path->open_socket({Family::V6, {}, 0, 0}).value();
  socket4_ = v4.id;
  socket6_ = v6.id;
  port4_ = v4.port;
  port6_ = v6.port;
  host = world.network.add_host(
      label, [this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
        path->advance(world.sim.now());
        path->deliver(to.family() == Family::V4 ? socket4_ : socket6_, from, to.address, datagram);
        turn();
      });
  path->set_output([this](const datapath::Outer& outer, ByteView datagram) {
    std::uint16_t port = outer.remote.family() == Family::V4 ? port4_ : port6_;
    IpAddress local = outer.local;
    if (local.is_unspecified())
      for (const LocalAddress& a : addresses_)
        if (a.address.family() == outer.remote.family()) local = a.address;
    world.network.send(host, {local, port}, outer.remote, to_bytes(datagram));
  });
  engine = std::make_unique<Engine>(settings, std::move(saved), world.sim.random());
  give(SocketsOpened{socket4_, socket6_, port4_, port6_});
}

void Node::attach(scenario::SiteId site, const char* address, std::uint32_t metric,
                  std::uint32_t index) {
  world.network.attach(host, site, ip(address));
  addresses_.push_back({ip(address), index, "eth" + std::to_string(index),
                        wire::InterfaceKind::Ethernet, metric});
  announce();
}

void Node::detach(const char* address) {
  world.network.detach(host, ip(address));
  std::erase_if(addresses_, [&](const LocalAddress& a) { return a.address == ip(address); });
  announce();
}

void Node::announce() { give(AddressesChanged{addresses_, real_}); }

void Node::lookup(std::uint64_t id, const PeerRecords& records) { give(LookupWanted{id, records}); }

void Node::perform(const Effect& effect) {
  if (const auto* c = std::get_if<datapath::Change>(&effect)) {
    changes.push_back(*c);
    Result<void> done = path->apply(*c);
    EXPECT_TRUE(done) << label << ": " << (done ? "" : done.error().text);
  } else if (const auto* s = std::get_if<SendControl>(&effect)) {
    (void)path->send_control(s->outer, s->datagram);
  } else if (const auto* n = std::get_if<Notify>(&effect)) {
    notes.push_back(*n);
    if (std::getenv("NTM_TRACE") != nullptr) {
      std::string line;
      for (const auto& [key, value] : n->fields) line += " " + key + "=" + value;
      printf("%10.3f %-6s %s%s\n", static_cast<double>(world.sim.now().us) / 1000.0,
             label.c_str(), n->event.c_str(), line.c_str());
    }
  } else if (const auto* l = std::get_if<LookupReady>(&effect)) {
    lookups.push_back(*l);
  } else if (const auto* p = std::get_if<PingResult>(&effect)) {
    pings.push_back(*p);
  } else if (const auto* q = std::get_if<QueryPeer>(&effect)) {
    queries.push_back(*q);
    if (dns_of != nullptr && q->name == dns_of->settings.name)
      world.sim.after(milliseconds(20), [this] { give(dns_of->records()); });
  } else if (const auto* z = std::get_if<QueryZone>(&effect)) {
    zone_queries.push_back(*z);
  } else if (const auto* v = std::get_if<PersistState>(&effect)) {
    saves.push_back(*v);
  } else if (const auto* i = std::get_if<ConfigureInterface>(&effect)) {
    interface = *i;
    (void)path->open_interface({"ntm0", i->addresses, i->routes, 1400});
  }
}

void Node::turn() {
  for (int round = 0; round < 20; ++round) {
    std::vector<Effect> effects = engine->take_effects();
    for (const Effect& e : effects) perform(e);
    std::vector<datapath::Event> events = path->events();
    for (const datapath::Event& e : events) engine->handle(world.sim.now(), e);
    if (effects.empty() && events.empty()) break;
  }
  for (Bytes& packet : path->take_inner()) inner.push_back(std::move(packet));
  Instant next = std::min(engine->next_deadline(), path->next_deadline());
  if (next == Instant::never() || next == armed_) return;
  armed_ = next;
  world.sim.at(next, [this, next] {
    if (armed_ != next) return;
    armed_ = Instant::never();
    path->advance(world.sim.now());
    engine->on_timer(world.sim.now());
    turn();
  });
}

bool Node::noted(const std::string& event, const std::string& field,
                 const std::string& value) const {
  for (const Notify& n : notes) {
    if (n.event != event) continue;
    if (field.empty()) return true;
    for (const auto& [key, v] : n.fields)
      if (key == field && v == value) return true;
  }
  return false;
}

int Node::count(const std::string& event) const {
  int out = 0;
  for (const Notify& n : notes) out += n.event == event ? 1 : 0;
  return out;
}

void Node::send_packet(const Ipv4& to, std::uint16_t id) {
  path->advance(world.sim.now());
  path->inject_inner(datapath::testing::udp_packet(*interface->addresses.v4, to, 100,
                                                   static_cast<Byte>(id)));
  turn();
}

const LookupReady* Node::ready(std::uint64_t id) const {
  for (const LookupReady& l : lookups)
    if (l.id == id) return &l;
  return nullptr;
}

PeerRecords Node::records() const {
  const ScriptedDc::Terminal& t = world.dc->terminals.at(settings.name);
  PeerRecords out;
  out.name = settings.name;
  for (Family family : {Family::V4, Family::V6}) {
    wire::NtmRecord r = wire::NtmRecord::empty(family);
    r.terminal_key = settings.key.public_key;
    r.suites = crypto::kAllSuites;
    r.dc_name = name(kZone);
    r.dc_key = world.dc->key.public_key;
    if (family == Family::V4 && t.virtual_addresses.v4)
      r.virtual_address = *t.virtual_addresses.v4;
    if (family == Family::V6 && t.virtual_addresses.v6)
      r.virtual_address = *t.virtual_addresses.v6;
    std::map<Family, Endpoint>::const_iterator seen = t.observed.find(family);
    if (seen != t.observed.end()) r.real = seen->second;
    if (family == Family::V4) {
      out.v4 = r;
      out.rdata4 = wire::encode(r);
    } else {
      out.v6 = r;
      out.rdata6 = wire::encode(r);
    }
  }
  return out;
}

// ---- DC --------------------------------------------------------------------------------------

ScriptedDc::ScriptedDc(World& world, scenario::SiteId site) : world_(world) {
  key = crypto::make_key_pair(world.sim.random());
  world.sim.random().fill(reset_secret.span());
  host_ = world.network.add_host(
      "dc", [this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
        if (!silent) receive(from, to, datagram);
      });
  own_ = {{Family::V4, ep("192.0.2.1:4753")}, {Family::V6, ep("[2001:db8:1::1]:4753")}};
  for (const auto& [family, e] : own_) world.network.attach(host_, site, e.address);
  responder_ = std::make_unique<exchange::HandshakeResponder>(name(kZone), key, std::nullopt,
                                                              world.sim.random());
}

void ScriptedDc::add(const char* terminal, const char* v4, const char* v6) {
  Terminal t;
  t.name = name(terminal);
  t.virtual_addresses = {ip(v4).v4(), ip(v6).v6()};
  terminals.emplace(t.name, std::move(t));
}

void ScriptedDc::send(Terminal& t, const wire::ControlMessage& message) {
  if (!t.session || t.observed.empty()) return;
  Endpoint to = t.observed.begin()->second;
  world_.network.send(host_, own_.at(to.family()), to, t.session->seal(wire::encode(message)));
}

void ScriptedDc::forget_sessions() {
  for (auto& [n, t] : terminals) t.session.reset();
}

void ScriptedDc::hint_all() {
  for (auto& [n, t] : terminals) {
    wire::ControlHint hint;
    hint.key_hash = crypto::key_hash(t.key);
    hint.token = crypto::control_hint_token(reset_secret, hint.key_hash);
    for (const auto& [family, to] : t.observed)
      world_.network.send(host_, own_.at(family), to, wire::encode(hint));
  }
}

void ScriptedDc::receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
  if (type == wire::DatagramType::HandshakeInit) on_init(from, to, datagram);
  if (type == wire::DatagramType::Control) on_control(from, datagram);
}

void ScriptedDc::on_init(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  if (!responder_->is_for_us(datagram)) return;
  Result<exchange::OpenedInit> opened = responder_->open(datagram);
  if (!opened) return;
  std::optional<Key32> psk;
  if (opened->pattern() == wire::Pattern::IKpsk1) {
    if (!token_id || opened->token() != *token_id) return;
    psk = token_psk;
  }
  Result<Bytes> payload = opened->read_payload(psk);
  if (!payload) return;
  Result<wire::ControlMessage> message = wire::decode_control(*payload);
  ASSERT_TRUE(message);
  const wire::RegistrationRequest* r = std::get_if<wire::RegistrationRequest>(&*message);
  ASSERT_NE(r, nullptr);
  std::map<Name, Terminal>::iterator it = terminals.find(r->name);
  if (it == terminals.end()) return;
  Terminal& t = it->second;
  bool known = t.key == opened->initiator();
  if (!known && !(psk || !token_id)) return;
  if (psk) token_id.reset();  // burnt
  t.key = opened->initiator();
  ++t.handshakes;
  wire::RegistrationResponse answer = register_at(t, *r, from);
  SessionId local{world_.sim.random().u64()};
  Result<exchange::OpenedInit::Answer> response =
      opened->respond(wire::encode(answer), local, world_.sim.random(), world_.sim.now());
  ASSERT_TRUE(response);
  t.session.emplace(std::move(response->session));
  if (std::exchange(lose_next_response, false)) return;
  world_.network.send(host_, to, from, response->datagram);
}

wire::RegistrationResponse ScriptedDc::register_at(Terminal& t,
                                                   const wire::RegistrationRequest& r,
                                                   const Endpoint& from) {
  registrations.push_back(r);
  wire::RegistrationResponse out;
  out.counter = r.counter;
  if (r.counter < t.counter || r.counter <= stored_counter) {
    out.status = wire::Status::Stale;
    out.counter = std::max(t.counter, stored_counter);
    return out;
  }
  ++t.registrations;
  t.counter = r.counter;
  t.locators = r.locators;
  for (Family family : {Family::V4, Family::V6}) {
    bool any = false;
    for (const wire::Locator& l : r.locators) any = any || l.endpoint.family() == family;
    if (!any) t.observed.erase(family);
  }
  if (r.leaving) t.observed.clear();
  else t.observed[from.family()] = from;
  out.observed = from;
  bool same = false;
  for (const wire::Locator& l : r.locators) same = same || l.endpoint == from;
  out.nat = same ? wire::NatVerdict::None : wire::NatVerdict::Behind;
  out.virtual_addresses = t.virtual_addresses;
  out.zone = name(kZone);
  out.zone_virtual6 = net("fd12:3456:789a::/48");
  out.zone_pools4 = {net("198.18.16.0/20")};
  out.lease_seconds = 180;
  out.keep_alive_seconds = 15;
  out.control_hint_token = crypto::control_hint_token(reset_secret, crypto::key_hash(t.key));
  return out;
}

void ScriptedDc::on_control(const Endpoint& from, const Bytes& datagram) {
  for (auto& [n, t] : terminals) {
    if (!t.session) continue;
    tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
        t.session->open(datagram);
    if (!opened) continue;
    Result<wire::ControlMessage> message = wire::decode_control(opened->plaintext);
    ASSERT_TRUE(message);
    if (const auto* r = std::get_if<wire::RegistrationRequest>(&*message)) {
      wire::RegistrationResponse answer = register_at(t, *r, from);
      if (std::exchange(lose_next_response, false)) return;
      world_.network.send(host_, own_.at(from.family()), from,
                          t.session->seal(wire::encode(answer)));
    } else if (const auto* k = std::get_if<wire::KeepAlive>(&*message)) {
      wire::KeepAlive echo{k->sequence, false, true, 0};
      Byte port[2] = {static_cast<Byte>(from.port >> 8), static_cast<Byte>(from.port)};
      echo.observed_hash = Reader(crypto::sha256({from.address.view(), port})).u32();
      world_.network.send(host_, own_.at(from.family()), from,
                          t.session->seal(wire::encode(wire::ControlMessage(echo))));
    } else if (const auto* d = std::get_if<wire::DirectionRequest>(&*message)) {
      on_request(t, *d, from);
    } else if (const auto* a = std::get_if<wire::RouteAck>(&*message)) {
      acks.push_back(*a);
    }
    return;
  }
}

std::vector<Endpoint> ScriptedDc::targets(const Terminal& of, const Terminal& for_whom) const {
  std::vector<Endpoint> out;
  for (Family family : {Family::V6, Family::V4})
    if (of.observed.count(family) != 0 && for_whom.observed.count(family) != 0)
      out.push_back(of.observed.at(family));
  return out;
}

void ScriptedDc::on_request(Terminal& mn, const wire::DirectionRequest& request,
                            const Endpoint& from) {
  requests.push_back(request);
  if (answered_.count(request.request) != 0) {
    for (const auto& [to, route] : answered_[request.request]) send(terminals.at(to), route);
    return;
  }
  if (request.peer_address) {
    for (const auto& [n, t] : terminals)
      if (t.virtual_addresses.v4 && IpAddress(*t.virtual_addresses.v4) == *request.peer_address)
        return send(mn, wire::PeerName{request.request, n});
    return send(mn, wire::DirectionError{request.request, wire::Status::UnknownName});
  }
  std::map<Name, Terminal>::iterator it = terminals.find(request.peer);
  if (refuse || it == terminals.end() || it->second.observed.empty())
    return send(mn, wire::DirectionError{request.request,
                                         refuse ? *refuse : wire::Status::Offline});
  Terminal& cn = it->second;
  mn.observed[from.family()] = from;
  mn.locators = request.locators;
  for (Family family : {Family::V4, Family::V6}) {
    bool any = false;
    for (const wire::Locator& l : request.locators) any = any || l.endpoint.family() == family;
    if (!any) mn.observed.erase(family);
  }
  Random& random = world_.sim.random();
  wire::RouteDirection base;
  base.request = request.request;
  base.path = {random.u64() | 1};
  random.fill(base.path_secret.span());
  base.mode = mode;
  base.reason = "as the test says";
  base.initiator_zone = base.responder_zone = name(kZone);
  base.direction_reason = request.reason;
  base.old_path = request.old_path;
  base.suite = request.suite;
  base.lifetime_seconds = 3600;
  wire::RelayDirection relay;
  if (with_relay) {
    relay.request = {random.u64() | 1};
    relay.paths = {base.path};
    // What is sent again after the move carries the old Path ID (docs/PROTOCOL.md, Handover).
    if (base.old_path && !world_.relay_knows(*base.old_path)) relay.paths.push_back(*base.old_path);
    random.fill(relay.leg_a.key.span());
    random.fill(relay.leg_b.key.span());
    relay.lifetime_seconds = 3600;
    world_.relay_direction(relay);
  }
  wire::RouteDirection to_mn = base;
  to_mn.to = mn.name;
  to_mn.role = wire::Role::Initiator;
  to_mn.peer = cn.name;
  to_mn.peer_key = cn.key;
  to_mn.peer_virtual = cn.virtual_addresses;
  to_mn.targets = targets(cn, mn);
  wire::RouteDirection to_cn = base;
  to_cn.to = cn.name;
  to_cn.role = wire::Role::Responder;
  to_cn.peer = mn.name;
  to_cn.peer_key = mn.key;
  to_cn.peer_virtual = mn.virtual_addresses;
  to_cn.targets = targets(mn, cn);
  to_cn.message1 = request.message1;
  if (with_relay) {
    to_mn.relay = wire::RelayTarget{world_.relay_endpoints(), base.path, relay.leg_a.key,
                                    wire::Leg::A, {}};
    to_cn.relay = wire::RelayTarget{world_.relay_endpoints(), base.path, relay.leg_b.key,
                                    wire::Leg::B, {}};
  }
  answered_[request.request] = {{mn.name, to_mn}, {cn.name, to_cn}};
  if (!drop_route_to_initiator) send(mn, to_mn);
  send(cn, to_cn);
  // Again until CN's Route Ack comes.
  for (int wait : {250, 750, 1750, 3750})
    world_.sim.after(milliseconds(wait), [this, to_cn] {
      for (const wire::RouteAck& a : acks)
        if (a.request == to_cn.request) return;
      send(terminals.at(to_cn.to), to_cn);
    });
}

// ---- world -----------------------------------------------------------------------------------

struct World::Relay {
  explicit Relay(World& w)
      : world(w), path(w.sim.now(), 4753), table(100, true, w.sim.random()) {
    v4 = path.open_socket({Family::V4, {}, 0, 0}).value().id;
    v6 = path.open_socket({Family::V6, {}, 0, 0}).value().id;
    host = world.network.add_host(
        "relay", [this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
          path.advance(world.sim.now());
          path.deliver(to.family() == Family::V4 ? v4 : v6, from, to.address, datagram);
          turn();
        });
    path.set_output([this](const datapath::Outer& outer, ByteView datagram) {
      for (const Endpoint& e : world.relay_endpoints())
        if (e.family() == outer.remote.family())
          world.network.send(host, e, outer.remote, to_bytes(datagram));
    });
    for (const Endpoint& e : world.relay_endpoints())
      world.network.attach(host, world.relay_site, e.address);
  }
  void turn() {
    std::vector<relay::Effect> effects;
    for (const datapath::Event& event : path.events()) {
      const auto* c = std::get_if<datapath::ControlReceived>(&event);
      if (c == nullptr) continue;
      Result<wire::TunnelMessage> m = wire::decode_tunnel_message(c->datagram);
      if (m) table.request(world.sim.now(), *c, *m, effects);
    }
    perform(effects);
  }
  void perform(const std::vector<relay::Effect>& effects) {
    for (const relay::Effect& e : effects) {
      if (const auto* change = std::get_if<datapath::Change>(&e)) (void)path.apply(*change);
      if (const auto* send = std::get_if<relay::SendControl>(&e))
        (void)path.send_control(send->outer, send->datagram);
    }
  }
  World& world;
  datapath::FakeDatapath path;
  relay::EntryTable table;
  scenario::HostId host = 0;
  datapath::SocketId v4;
  datapath::SocketId v6;
};

World::World(std::uint64_t seed) : sim(seed), network(sim) {
  dc_site = network.add_site({"dc", milliseconds(5), std::nullopt, {}});
  relay_site = network.add_site({"relay", milliseconds(5), std::nullopt, {}});
  left = network.add_site({"left", milliseconds(5), std::nullopt, {}});
  right = network.add_site({"right", milliseconds(5), std::nullopt, {}});
  nat_a = network.add_site({"nat-a", milliseconds(5), scenario::NatOptions{},
                            ip("203.0.113.10").v4()});
  nat_b = network.add_site({"nat-b", milliseconds(5), scenario::NatOptions{},
                            ip("203.0.113.20").v4()});
  dc = std::make_unique<ScriptedDc>(*this, dc_site);
  dc->add("mn.a.example", "198.18.16.1", "fd12:3456:789a::1");
  dc->add("cn.a.example", "198.18.16.2", "fd12:3456:789a::2");
  relay_ = std::make_unique<Relay>(*this);
}

World::~World() = default;

Settings World::settings(const char* terminal) {
  Settings s;
  s.name = name(terminal);
  s.zone = name(kZone);
  s.key = crypto::make_key_pair(sim.random());
  s.dc_key = dc->key.public_key;
  s.dc_endpoints = {ep("192.0.2.1:4753"), ep("[2001:db8:1::1]:4753")};
  sim.random().fill(s.reset_secret.span());
  return s;
}

void World::until(const char* what, Duration limit, const std::function<bool()>& condition) {
  ASSERT_TRUE(sim.run_until_true(limit, condition)) << "waited in vain for: " << what;
}

void World::relay_direction(const wire::RelayDirection& direction) {
  std::vector<relay::Effect> effects;
  EXPECT_EQ(relay_->table.direct(sim.now(), "dc", direction, effects), wire::Status::Ok);
  relay_->perform(effects);
}

bool World::relay_knows(PathId path) const { return relay_->table.knows(path); }

void World::forget_relay() {
  network.detach(relay_->host, relay_endpoints()[0].address);
  network.detach(relay_->host, relay_endpoints()[1].address);
  retired_.push_back(std::move(relay_));  // datagrams to it may still be on their way
  relay_ = std::make_unique<Relay>(*this);
}

}  // namespace ntm::terminal::testing
