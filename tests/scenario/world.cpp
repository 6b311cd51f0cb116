// Nodes and how their engines are driven: after every event the effects are performed until there
// are none, then one timer is armed for the engine's next deadline.
#include "tests/scenario/world.hpp"

#include <algorithm>
#include <cassert>
#include <sstream>

#include "director/setup.hpp"
#include "libntm/crypto/key_schedule.hpp"
#include "pdns-backend/derived_records.hpp"

namespace ntm::scenario {

namespace {
WallTime wall(Instant now) { return {now.us + 1'700'000'000'000'000}; }
IpAddress address_of(const std::string& text) { return *parse_address(text); }
IpAddress any_of(const std::vector<IpAddress>& list, Family family) {
  for (const IpAddress& a : list)
    if (a.family() == family) return a;
  return {};
}
}  // namespace

// ---- World ------------------------------------------------------------------------------------

World::World(std::uint64_t seed) : sim(seed), net(sim) {
  net.on_delivered([this](const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
    record(from, to, datagram);
  });
}
World::~World() = default;

void World::record(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram);
  auto name = [this](const IpAddress& a) {
    std::map<IpAddress, std::string>::const_iterator it = who_.find(a);
    return it == who_.end() ? to_string(a) : it->second;
  };
  trace.push_back({sim.now(), name(from.address), name(to.address),
                   type ? wire::to_string(*type) : "?", datagram.size()});
}

std::string World::diagram(Instant from, Instant to) const {
  std::ostringstream out;
  for (const Recorded& r : trace) {
    if (r.at < from || r.at > to) continue;
    char line[160];
    std::snprintf(line, sizeof line, "%9.2f ms  %-8s -> %-8s  %-12s %4zu bytes\n",
                  static_cast<double>((r.at - from).us) / 1000.0, r.from.c_str(), r.to.c_str(),
                  r.what.c_str(), r.size);
    out << line;
  }
  return out.str();
}

SiteId World::open_site(const std::string& name, Duration access) {
  return net.add_site({name, access, std::nullopt, {}});
}

SiteId World::nat_site(const std::string& name, Duration access, const std::string& outside,
                       NatOptions nat) {
  who_[address_of(outside)] = name;
  return net.add_site({name, access, nat, address_of(outside).v4()});
}

DcNode& World::add_dc(const std::string& name, const std::string& zone, SiteId site,
                      const std::vector<std::string>& addresses) {
  dcs_.push_back(std::make_unique<DcNode>(*this, name, zone, site, addresses));
  return *dcs_.back();
}

RelayNode& World::add_relay(const std::string& name, SiteId site,
                            const std::vector<std::string>& addresses,
                            const std::vector<DcNode*>& dcs) {
  relays_.push_back(std::make_unique<RelayNode>(*this, name, site, addresses));
  for (DcNode* dc : dcs) relays_.back()->join(dc->add_relay(name));
  return *relays_.back();
}

TerminalNode& World::add_terminal(DcNode& dc, const std::string& label) {
  terminals_.push_back(std::make_unique<TerminalNode>(*this, dc.add_terminal(label)));
  return *terminals_.back();
}

DcNode* World::dc_of(const Name& name) {
  for (const std::unique_ptr<DcNode>& dc : dcs_)
    if (name.is_under(dc->zone().apex)) return dc.get();
  return nullptr;
}

terminal::PeerRecords World::resolve(const Name& name) {
  std::map<Name, terminal::PeerRecords>::iterator forged = forged_records.find(name);
  if (forged != forged_records.end()) return forged->second;
  DcNode* dc = dc_of(name);
  if (dc != nullptr) return dc->records(name);
  terminal::PeerRecords none;
  none.name = name;
  return none;
}

// ---- DcNode -----------------------------------------------------------------------------------

DcNode::DcNode(World& world, const std::string& name, const std::string& zone, SiteId site,
               const std::vector<std::string>& addresses)
    : world_(world), name_(name) {
  key_ = crypto::make_key_pair(world.sim.random());
  world.sim.random().fill(reset_.span());
  host_ = world.net.add_host(name, [this](const Endpoint& from, const Endpoint& to,
                                          const Bytes& datagram) { receive(from, to, datagram); });
  std::vector<Endpoint> endpoints;
  for (const std::string& a : addresses) {
    world.net.attach(host_, site, address_of(a));
    world.who_[address_of(a)] = name;
    endpoints.push_back({address_of(a), kPort});
  }
  zone_ = director::make_zone({1}, *Name::parse(zone), endpoints, key_.public_key, std::nullopt,
                              world.sim.random());
  // Two zones of one world must not share a pool by chance unless a test wants it.
  std::uint32_t index = static_cast<std::uint32_t>(world.dcs_.size());
  zone_.pools4 = {Prefix{Ipv4::from_u32((198u << 24) | (18u << 16) | (index << 12)), 20}};
  reader_ = std::move(*store_.open_reader());
  store::Batch batch;
  batch.items.push_back(store::PutZone{zone_});
  put(std::move(batch));
  start();
}
DcNode::~DcNode() = default;

void DcNode::put(store::Batch batch) {
  store::Completion done = store_.submit_and_wait(std::move(batch), seconds(1));
  for ([[maybe_unused]] const store::ItemResult& item : done.items)
    assert(item.outcome == store::Outcome::Applied);
}

void DcNode::start() {
  ++life_;
  director::DirectorConfig config;
  config.zones = {{zone_, key_, std::nullopt}};
  config.reset_secret = reset_;
  config.first_sender_counter = static_cast<std::uint64_t>(wall(world_.sim.now()).us);
  engine_ = std::make_unique<director::DirectorEngine>(config, world_.sim.random());
  director::Snapshot snapshot;
  Result<void> read = reader_->each_terminal(zone_.id, [&](const store::TerminalView& view) {
    snapshot.terminals.push_back(view);
    return true;
  });
  assert(read.has_value());
  snapshot.tokens = *reader_->tokens();
  snapshot.relays = *reader_->relays();
  snapshot.peers = *reader_->peer_dcs();
  engine_->start(world_.sim.now(), wall(world_.sim.now()), snapshot);
  armed_ = Instant::never();
  run();
}

void DcNode::crash() {
  engine_.reset();
  ++life_;
  store_.completions();
  tags_.clear();
  writes_.clear();
}

void DcNode::restart() {
  crash();
  start();
}

void DcNode::receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  if (!engine_ || to.port != kPort) return;
  engine_->handle(world_.sim.now(), wall(world_.sim.now()), {to.address, from, datagram});
  run();
}

void DcNode::run() {
  std::uint64_t life = life_;
  for (std::vector<director::Effect> effects = engine_->take_effects(); !effects.empty();
       effects = engine_->take_effects()) {
    for (director::Effect& effect : effects) {
      if (director::SendDatagram* send = std::get_if<director::SendDatagram>(&effect)) {
        IpAddress local = send->local;
        if (local.is_unspecified())
          local = any_of(world_.net.addresses(host_), send->to.family());
        world_.net.send(host_, {local, kPort}, send->to, send->datagram);
      } else if (director::StoreWrite* write = std::get_if<director::StoreWrite>(&effect)) {
        writes_.push_back(std::move(*write));
        submit_waiting();
      } else if (director::ResolveDc* resolve = std::get_if<director::ResolveDc>(&effect)) {
        world_.sim.after(world_.dns_delay, [this, life, zone = resolve->zone] {
          if (life != life_) return;
          DcNode* other = world_.dc_of(zone);
          Result<director::DcAddress> address = fail(ErrorKind::NotFound, "no such zone");
          if (other != nullptr && other->zone_.apex == zone)
            address = director::DcAddress{other->zone_.dc_endpoints, other->zone_.dc_key,
                                          std::nullopt, wire::DnssecState::Insecure};
          engine_->dc_resolved(world_.sim.now(), zone, address);
          run();
        });
      } else if (director::Notify* note = std::get_if<director::Notify>(&effect)) {
        notes.push_back(*note);
      }
    }
  }
  arm();
}

void DcNode::submit_waiting() {
  std::uint64_t life = life_;
  while (!writes_.empty()) {
    std::optional<store::BatchId> id = store_.submit(writes_.front().batch);
    if (!id) return;
    tags_[id->value] = writes_.front().tag;
    writes_.pop_front();
    // A commit takes a moment: the acknowledgement must not be before it.
    world_.sim.after(milliseconds(1), [this, life] {
      if (life != life_) return;
      for (const store::Completion& completion : store_.completions()) {
        std::map<std::uint64_t, std::uint64_t>::iterator tag = tags_.find(completion.batch.value);
        if (tag == tags_.end()) continue;
        std::uint64_t value = tag->second;
        tags_.erase(tag);
        engine_->store_completed(world_.sim.now(), wall(world_.sim.now()), value, completion);
      }
      submit_waiting();
      run();
    });
  }
}

void DcNode::arm() {
  Instant when = engine_->next_deadline();
  if (when == armed_ || when == Instant::never()) return;
  armed_ = when;
  std::uint64_t life = life_;
  world_.sim.at(when, [this, when, life] {
    if (life != life_ || armed_ != when) return;
    armed_ = Instant::never();
    engine_->on_timer(world_.sim.now(), wall(world_.sim.now()));
    run();
  });
}

terminal::PeerRecords DcNode::records(const Name& name) {
  terminal::PeerRecords out;
  out.name = name;
  if (!engine_) {
    out.unasked = true;
    return out;
  }
  Result<std::optional<store::TerminalView>> view = reader_->terminal(name);
  if (!view || !view->has_value()) return out;
  for (Family family : {Family::V4, Family::V6}) {
    std::optional<wire::NtmRecord> record = pdns_backend::ntm_record(zone_, **view, family);
    if (!record) continue;
    if (family == Family::V4) {
      out.v4 = *record;
      out.rdata4 = wire::encode(*record);
    } else {
      out.v6 = *record;
      out.rdata6 = wire::encode(*record);
    }
  }
  return out;
}

wire::EnrolmentToken DcNode::token(store::TokenPurpose purpose, const Name& subject) {
  wire::EnrolmentToken token;
  token.zone = zone_.apex;
  token.subject = subject;
  token.dc_key = key_.public_key;
  token.dc_endpoints = zone_.dc_endpoints;
  token.id = {world_.sim.random().u64() | 1};
  world_.sim.random().fill(token.secret.span());
  store::Token row;
  row.id = token.id;
  row.purpose = purpose;
  row.subject = subject;
  row.psk = crypto::enrolment_psk(token.secret.view(), token.id);
  row.expires = wall(world_.sim.now()) + seconds(86400);
  store::Batch batch;
  batch.items.push_back(store::PutToken{row});
  put(std::move(batch));
  engine_->token_changed(row.id, row);
  return token;
}

wire::EnrolmentToken DcNode::add_terminal(const std::string& label) {
  store::Terminal terminal;
  terminal.id = {next_id_++};
  terminal.zone = zone_.id;
  terminal.name = *zone_.apex.child(label);
  terminal.virtual_addresses = engine_->allocate(zone_.id);
  store::Batch batch;
  batch.items.push_back(store::CreateTerminal{terminal});
  put(std::move(batch));
  engine_->terminal_changed(world_.sim.now(), {terminal, std::nullopt});
  return token(store::TokenPurpose::Terminal, terminal.name);
}

wire::EnrolmentToken DcNode::add_relay(const std::string& label) {
  store::Relay relay;
  relay.id = {next_id_++};
  relay.name = *zone_.apex.child(label);
  store::Batch batch;
  batch.items.push_back(store::PutRelay{relay});
  put(std::move(batch));
  engine_->relays_changed(world_.sim.now(), *reader_->relays());
  return token(store::TokenPurpose::Relay, relay.name);
}

// ---- RelayNode --------------------------------------------------------------------------------

RelayNode::RelayNode(World& world, const std::string& name, SiteId site,
                     const std::vector<std::string>& addresses)
    : world_(world), name_(name) {
  host_ = world.net.add_host(name, [this](const Endpoint& from, const Endpoint& to,
                                          const Bytes& datagram) { receive(from, to, datagram); });
  for (const std::string& a : addresses) {
    world.net.attach(host_, site, address_of(a));
    world.who_[address_of(a)] = name;
    endpoints_.push_back({address_of(a), kPort});
  }
  key_ = crypto::make_key_pair(world.sim.random());
  world.sim.random().fill(reset_.span());
  start();
}

void RelayNode::start() {
  ++life_;
  datapath_ = std::make_unique<datapath::FakeDatapath>(world_.sim.now());
  relay::RelayConfig config;
  config.key = key_;
  config.reset_secret = reset_;
  config.counter = counter_;
  config.endpoints = endpoints_;
  for (const Endpoint& e : endpoints_) {
    datapath::SocketOptions options;
    options.family = e.family();
    options.port = kPort;
    config.sockets.push_back(datapath_->open_socket(options)->id);
    config.families.push_back(e.family());
  }
  for (const auto& [zone, dc] : dcs_) config.dcs.push_back(dc);
  std::vector<Endpoint> endpoints = endpoints_;
  datapath_->set_output([this, config](const datapath::Outer& outer, ByteView datagram) {
    Endpoint from;
    for (std::size_t i = 0; i < config.sockets.size(); ++i)
      if (config.sockets[i] == outer.socket) from = config.endpoints[i];
    world_.net.send(host_, from, outer.remote, to_bytes(datagram));
  });
  engine_ = std::make_unique<relay::RelayEngine>(config, world_.sim.random());
  engine_->start(world_.sim.now());
  armed_ = Instant::never();
  run();
}

void RelayNode::restart() { start(); }

void RelayNode::join(const wire::EnrolmentToken& token) {
  relay::AttachmentConfig dc{token.zone, token.subject, token.dc_key, token.dc_endpoints, token};
  engine_->add_dc(world_.sim.now(), dc);
  dc.token.reset();  // what the state folder keeps once enrolled
  dcs_[token.zone] = dc;
  run();
}

void RelayNode::receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  datapath_->advance(world_.sim.now());
  std::uint32_t index = 0;
  for (; index < endpoints_.size() && endpoints_[index] != to;) ++index;
  if (index == endpoints_.size()) return;
  // Sockets were opened in the order of the endpoints, so ids can be found again by family.
  datapath_->deliver(datapath::SocketId{index + 1}, from, to.address, datagram);
  run();
}

void RelayNode::run() {
  for (int turn = 0; turn < 100; ++turn) {
    for (const datapath::Event& event : datapath_->events()) engine_->handle(world_.sim.now(), event);
    std::vector<relay::Effect> effects = engine_->take_effects();
    if (effects.empty()) break;
    for (relay::Effect& effect : effects) {
      if (datapath::Change* change = std::get_if<datapath::Change>(&effect)) {
        Result<void> done = datapath_->apply(*change);
        (void)done;
      } else if (relay::SendControl* send = std::get_if<relay::SendControl>(&effect)) {
        Result<void> done = datapath_->send_control(send->outer, send->datagram);
        (void)done;
      } else if (relay::ReserveCounter* reserve = std::get_if<relay::ReserveCounter>(&effect)) {
        counter_ = reserve->below;
      }
    }
  }
  arm();
}

void RelayNode::arm() {
  Instant when = std::min(engine_->next_deadline(), datapath_->next_deadline());
  if (when == armed_ || when == Instant::never()) return;
  armed_ = when;
  std::uint64_t life = life_;
  world_.sim.at(when, [this, when, life] {
    if (life != life_ || armed_ != when) return;
    armed_ = Instant::never();
    datapath_->advance(world_.sim.now());
    engine_->on_timer(world_.sim.now());
    run();
  });
}

// ---- TerminalNode -----------------------------------------------------------------------------

TerminalNode::TerminalNode(World& world, const wire::EnrolmentToken& token)
    : world_(world), name_(token.subject) {
  host_ = world.net.add_host(name_.text(), [this](const Endpoint& from, const Endpoint& to,
                                                  const Bytes& datagram) {
    receive(from, to, datagram);
  });
  settings_.name = token.subject;
  settings_.zone = token.zone;
  settings_.key = crypto::make_key_pair(world.sim.random());
  settings_.dc_key = token.dc_key;
  settings_.dc_endpoints = token.dc_endpoints;
  settings_.token = token;
  settings_.accept_any_zone = true;
  world.sim.random().fill(settings_.reset_secret.span());
  start();
}
TerminalNode::~TerminalNode() = default;

void TerminalNode::start() {
  ++life_;
  std::uint16_t first = static_cast<std::uint16_t>(40000 + world_.sim.random().below(9000));
  if (saved_.port4 != 0) first = saved_.port4;
  datapath_ = std::make_unique<datapath::FakeDatapath>(world_.sim.now(), first);
  if (saved_.enrolled) settings_.token.reset();
  engine_ = std::make_unique<terminal::Engine>(settings_, saved_, world_.sim.random());
  terminal::SocketsOpened opened;
  datapath::SocketInfo s4 = *datapath_->open_socket({Family::V4, {}, first, 0});
  datapath::SocketInfo s6 = *datapath_->open_socket({Family::V6, {}, first, 0});
  opened.socket4 = s4.id;
  opened.socket6 = s6.id;
  opened.port4 = s4.port;
  opened.port6 = s6.port;
  datapath_->set_output([this, s4, s6](const datapath::Outer& outer, ByteView datagram) {
    IpAddress local = outer.local;
    if (local.is_unspecified())
      local = any_of(world_.net.addresses(host_), outer.remote.family());
    std::uint16_t port = outer.remote.family() == Family::V4 ? s4.port : s6.port;
    world_.net.send(host_, {local, port}, outer.remote, to_bytes(datagram));
  });
  armed_ = Instant::never();
  engine_->handle(world_.sim.now(), opened);
  tell_addresses();
}

void TerminalNode::restart() { start(); }

void TerminalNode::attach(SiteId site, const std::string& address) {
  world_.net.attach(host_, site, address_of(address));
  world_.who_[address_of(address)] = name_.text().substr(0, name_.text().find('.'));
  places_[address] = site;
  tell_addresses();
}

void TerminalNode::detach(const std::string& address) {
  world_.net.detach(host_, address_of(address));
  places_.erase(address);
  tell_addresses();
}

void TerminalNode::tell_addresses() {
  terminal::AddressesChanged event;
  std::uint32_t index = 1;
  for (const auto& [text, site] : places_) {
    IpAddress a = address_of(text);
    event.addresses.push_back({a, ++index, "if" + std::to_string(index),
                               wire::InterfaceKind::Ethernet, 100});
    std::uint8_t length = a.is_v4() ? 24 : 64;
    Bytes raw = to_bytes(a.view());
    for (std::size_t i = length / 8; i < raw.size(); ++i) raw[i] = 0;
    IpAddress net = a.is_v4() ? IpAddress(Ipv4{{raw[0], raw[1], raw[2], raw[3]}}) : IpAddress([&] {
      Ipv6 v;
      std::copy(raw.begin(), raw.end(), v.raw.begin());
      return v;
    }());
    event.real_prefixes.push_back({net, length});
  }
  engine_->handle(world_.sim.now(), event);
  run();
}

void TerminalNode::receive(const Endpoint& from, const Endpoint& to, const Bytes& datagram) {
  datapath_->advance(world_.sim.now());
  // open_socket gave 1 to IPv4 and 2 to IPv6.
  datapath_->deliver(datapath::SocketId{to.family() == Family::V4 ? 1u : 2u}, from, to.address,
                     datagram);
  run();
}

void TerminalNode::perform(const terminal::Effect& effect) {
  std::uint64_t life = life_;
  if (const datapath::Change* change = std::get_if<datapath::Change>(&effect)) {
    Result<void> done = datapath_->apply(*change);
    (void)done;
  } else if (const terminal::SendControl* send = std::get_if<terminal::SendControl>(&effect)) {
    Result<void> done = datapath_->send_control(send->outer, send->datagram);
    (void)done;
  } else if (const terminal::QueryPeer* query = std::get_if<terminal::QueryPeer>(&effect)) {
    world_.sim.after(world_.dns_delay, [this, life, name = query->name] {
      if (life != life_) return;
      engine_->handle(world_.sim.now(), world_.resolve(name));
      run();
    });
  } else if (const terminal::QueryZone* zone = std::get_if<terminal::QueryZone>(&effect)) {
    world_.sim.after(world_.dns_delay, [this, life, apex = zone->zone] {
      if (life != life_) return;
      terminal::ZoneRecord record{apex, std::nullopt};
      DcNode* dc = world_.dc_of(apex);
      if (dc != nullptr) record.virtual6 = dc->zone().virtual6;
      engine_->handle(world_.sim.now(), record);
      run();
    });
  } else if (const terminal::LookupReady* ready = std::get_if<terminal::LookupReady>(&effect)) {
    lookups_[ready->id] = *ready;
  } else if (const terminal::PersistState* state = std::get_if<terminal::PersistState>(&effect)) {
    saved_ = state->state;
  } else if (const terminal::ConfigureInterface* c =
                 std::get_if<terminal::ConfigureInterface>(&effect)) {
    own_ = c->addresses;
    datapath::InterfaceOptions options;
    options.addresses = c->addresses;
    Result<datapath::InterfaceInfo> done = datapath_->open_interface(options);
    (void)done;
  } else if (const terminal::Notify* note = std::get_if<terminal::Notify>(&effect)) {
    events.push_back(note->event);
  }
}

void TerminalNode::run() {
  for (int turn = 0; turn < 200; ++turn) {
    for (const datapath::Event& event : datapath_->events()) engine_->handle(world_.sim.now(), event);
    std::vector<terminal::Effect> effects = engine_->take_effects();
    if (effects.empty()) break;
    for (const terminal::Effect& effect : effects) perform(effect);
  }
  for (const Bytes& packet : datapath_->take_inner())
    if (std::optional<std::string> payload = udp_payload(packet)) {
      received.push_back(*payload);
      ++received_count[*payload];
    }
  arm();
}

void TerminalNode::arm() {
  Instant when = std::min(engine_->next_deadline(), datapath_->next_deadline());
  if (when == armed_ || when == Instant::never()) return;
  armed_ = when;
  std::uint64_t life = life_;
  world_.sim.at(when, [this, when, life] {
    if (life != life_ || armed_ != when) return;
    armed_ = Instant::never();
    datapath_->advance(world_.sim.now());
    engine_->on_timer(world_.sim.now());
    run();
  });
}

std::uint64_t TerminalNode::look_up(const Name& name) {
  std::uint64_t id = next_lookup_++;
  std::uint64_t life = life_;
  world_.sim.after(world_.dns_delay, [this, life, id, name] {
    if (life != life_) return;
    engine_->handle(world_.sim.now(), terminal::LookupWanted{id, world_.resolve(name)});
    run();
  });
  return id;
}

const terminal::LookupReady* TerminalNode::answer(std::uint64_t id) const {
  std::map<std::uint64_t, terminal::LookupReady>::const_iterator it = lookups_.find(id);
  return it == lookups_.end() ? nullptr : &it->second;
}

bool TerminalNode::send_to(const IpAddress& to, const std::string& payload) {
  IpAddress from;
  if (to.is_v4() && own_.v4) from = *own_.v4;
  else if (to.is_v6() && own_.v6) from = *own_.v6;
  else return false;
  datapath_->advance(world_.sim.now());
  datapath_->inject_inner(udp_packet(from, to, payload));
  run();
  return true;
}

std::optional<terminal::PathStatus> TerminalNode::path_to(const Name& peer) const {
  for (const terminal::PeerStatus& p : engine_->status().peers) {
    if (p.name != peer) continue;
    for (const terminal::PathStatus& path : p.paths)
      if (path.selected) return path;
  }
  return std::nullopt;
}

// ---- packets ----------------------------------------------------------------------------------

namespace {
std::uint32_t sum16(ByteView bytes, std::uint32_t start) {
  std::uint32_t sum = start;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<std::uint32_t>(bytes[i] << 8) | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}
constexpr std::uint16_t kApplicationPort = 7777;
}  // namespace

Bytes udp_packet(const IpAddress& from, const IpAddress& to, const std::string& payload) {
  Writer udp;
  std::uint16_t length = static_cast<std::uint16_t>(8 + payload.size());
  udp.u16(kApplicationPort).u16(kApplicationPort).u16(length).u16(0).bytes(as_view(payload));
  Bytes body = udp.take();
  std::uint32_t pseudo = sum16(from.view(), 0);
  pseudo = sum16(to.view(), pseudo) + 17u + length;
  std::uint16_t check = fold(sum16(body, pseudo));
  body[6] = static_cast<Byte>(check >> 8);
  body[7] = static_cast<Byte>(check);
  Writer out;
  if (from.is_v4()) {
    Writer head;
    head.u8(0x45).u8(0).u16(static_cast<std::uint16_t>(20 + body.size())).u16(0).u16(0x4000);
    head.u8(64).u8(17).u16(0).bytes(from.view()).bytes(to.view());
    Bytes h = head.take();
    std::uint16_t hc = fold(sum16(h, 0));
    h[10] = static_cast<Byte>(hc >> 8);
    h[11] = static_cast<Byte>(hc);
    out.bytes(h);
  } else {
    out.u32(0x60000000).u16(static_cast<std::uint16_t>(body.size())).u8(17).u8(64);
    out.bytes(from.view()).bytes(to.view());
  }
  out.bytes(body);
  return out.take();
}

std::optional<std::string> udp_payload(ByteView packet) {
  if (packet.empty()) return std::nullopt;
  std::size_t header = packet[0] >> 4 == 4 ? 20 : 40;
  std::size_t protocol_at = header == 20 ? 9 : 6;
  if (packet.size() < header + 8 || packet[protocol_at] != 17) return std::nullopt;
  ByteView payload = packet.subspan(header + 8);
  return std::string(payload.begin(), payload.end());
}

}  // namespace ntm::scenario
