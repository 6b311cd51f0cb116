// Dispatch, sessions, reliable sending, timers. See the header for the split.
#include "director/engine/director_engine.hpp"

#include <algorithm>

#include "libntm/base/text.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

const char* to_string(Notify::Kind kind) {
  switch (kind) {
    case Notify::Kind::Info: return "info";
    case Notify::Kind::Warning: return "warning";
    case Notify::Kind::Registered: return "registered";
    case Notify::Kind::Moved: return "moved";
    case Notify::Kind::Offline: return "offline";
    case Notify::Kind::Direction: return "direction";
    case Notify::Kind::RelayUp: return "relay-up";
    case Notify::Kind::RelayDown: return "relay-down";
    case Notify::Kind::Refused: return "refused";
  }
  return "?";
}

DirectorEngine::DirectorEngine(const DirectorConfig& config, Random& random)
    : config_(config),
      random_(random),
      limiter_(random),
      sender_counter_(config.first_sender_counter) {
  for (const ZoneIdentity& z : config_.zones) {
    responders_.push_back(std::make_unique<exchange::HandshakeResponder>(z.zone.apex, z.key,
                                                                        z.next_key, random_));
    pools_.emplace_back(z.zone);
  }
}
DirectorEngine::~DirectorEngine() = default;

std::vector<Effect> DirectorEngine::take_effects() {
  std::vector<Effect> out;
  out.swap(effects_);
  return out;
}

void DirectorEngine::notify(Notify::Kind kind, const Name& subject, std::string text) {
  effects_.push_back(Notify{kind, subject, std::move(text)});
}

std::uint64_t DirectorEngine::write(store::Batch batch) {
  std::uint64_t tag = next_tag_++;
  effects_.push_back(StoreWrite{tag, std::move(batch)});
  return tag;
}

std::optional<std::size_t> DirectorEngine::zone_of(const Name& name) const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < config_.zones.size(); ++i) {
    const Name& apex = config_.zones[i].zone.apex;
    if (!name.is_under(apex)) continue;
    if (!best || apex.labels() > config_.zones[*best].zone.apex.labels()) best = i;
  }
  return best;
}

// ---- what other writers did -------------------------------------------------------------------

void DirectorEngine::zone_changed(const ZoneIdentity& identity) {
  for (std::size_t i = 0; i < config_.zones.size(); ++i) {
    if (config_.zones[i].zone.id != identity.zone.id) continue;
    config_.zones[i] = identity;
    responders_[i] = std::make_unique<exchange::HandshakeResponder>(
        identity.zone.apex, identity.key, identity.next_key, random_);
    return;
  }
  config_.zones.push_back(identity);
  responders_.push_back(std::make_unique<exchange::HandshakeResponder>(
      identity.zone.apex, identity.key, identity.next_key, random_));
  pools_.emplace_back(identity.zone);
}

void DirectorEngine::terminal_changed(Instant now, const store::TerminalView& view) {
  const Name& name = view.terminal.name;
  std::optional<std::size_t> zone = zone_of(name);
  if (!zone) return;
  TerminalEntry& entry = terminals_[name];
  if (entry.view.terminal.key && entry.view.terminal.key != view.terminal.key)
    terminal_keys_.erase(*entry.view.terminal.key);
  // A location of our own that is newer than the feed's stays: the feed may lag behind.
  std::optional<store::Location> location = view.location;
  if (entry.view.location && (!location || location->counter < entry.view.location->counter))
    location = entry.view.location;
  entry.view = view;
  entry.view.location = location;
  pools_[*zone].take(view.terminal.virtual_addresses);
  terminal_ids_[view.terminal.id.value] = name;
  if (view.terminal.key) terminal_keys_[*view.terminal.key] = name;
  const VirtualAddresses& va = view.terminal.virtual_addresses;
  if (va.v4) virtual_addresses_[*va.v4] = name;
  if (va.v6) virtual_addresses_[*va.v6] = name;
  (void)now;
}

void DirectorEngine::terminal_removed(Instant now, store::TerminalId id) {
  std::unordered_map<std::uint64_t, Name>::iterator it = terminal_ids_.find(id.value);
  if (it == terminal_ids_.end()) return;
  Name name = it->second;
  terminal_ids_.erase(it);
  TerminalEntry& entry = terminals_.at(name);
  if (entry.session) forget_session(*entry.session);
  if (entry.view.terminal.key) terminal_keys_.erase(*entry.view.terminal.key);
  const VirtualAddresses& va = entry.view.terminal.virtual_addresses;
  if (va.v4) virtual_addresses_.erase(*va.v4);
  if (va.v6) virtual_addresses_.erase(*va.v6);
  if (std::optional<std::size_t> zone = zone_of(name)) pools_[*zone].give_back(va);
  leases_.erase({entry.lease_ends, name});
  terminals_.erase(name);
  notify(Notify::Kind::Info, name, "removed");
  (void)now;
}

void DirectorEngine::token_changed(TokenId id, const std::optional<store::Token>& token) {
  if (token) tokens_[id] = *token;
  else tokens_.erase(id);
}

void DirectorEngine::relays_changed(Instant, const std::vector<store::Relay>& relays) {
  std::set<Name> present;
  for (const store::Relay& relay : relays) {
    present.insert(relay.name);
    RelayEntry& entry = relays_[relay.name];
    if (entry.relay.key && entry.relay.key != relay.key) relay_keys_.erase(*entry.relay.key);
    entry.relay = relay;
    if (relay.key) relay_keys_[*relay.key] = relay.name;
  }
  for (std::map<Name, RelayEntry>::iterator it = relays_.begin(); it != relays_.end();) {
    if (present.count(it->first)) {
      ++it;
      continue;
    }
    if (it->second.relay.key) relay_keys_.erase(*it->second.relay.key);
    if (it->second.session) forget_session(*it->second.session);
    it = relays_.erase(it);
  }
}

void DirectorEngine::peers_changed(const std::vector<store::PeerDc>& peers) {
  for (auto& [zone, peer] : peers_) {
    peer.pinned.reset();
    peer.listed = false;
  }
  for (const store::PeerDc& p : peers) {
    peers_[p.zone].pinned = p.key;
    peers_[p.zone].listed = p.listed;
  }
}

VirtualAddresses DirectorEngine::allocate(store::ZoneId zone) {
  for (std::size_t i = 0; i < config_.zones.size(); ++i)
    if (config_.zones[i].zone.id == zone) return pools_[i].next(random_);
  return {};
}

void DirectorEngine::release(store::ZoneId zone, const VirtualAddresses& addresses) {
  for (std::size_t i = 0; i < config_.zones.size(); ++i)
    if (config_.zones[i].zone.id == zone) pools_[i].give_back(addresses);
}

// ---- datagrams --------------------------------------------------------------------------------

void DirectorEngine::handle(Instant now, WallTime wall, const Datagram& datagram) {
  wall_ = wall;
  std::optional<wire::DatagramType> type = wire::datagram_type(datagram.bytes);
  if (!type || datagram.from.port == 0 || datagram.from.address.is_multicast()) return;
  switch (*type) {
    case wire::DatagramType::HandshakeInit: handle_init(now, wall, datagram); return;
    case wire::DatagramType::Control: handle_control(now, wall, datagram); return;
    case wire::DatagramType::HandshakeResponse:
    case wire::DatagramType::Cookie: handle_dc_response(now, datagram); return;
    default: return;  // DATA and tunnel messages are not a DC's business
  }
}

void DirectorEngine::handle_init(Instant now, WallTime wall, const Datagram& datagram) {
  for (std::size_t zone = 0; zone < responders_.size(); ++zone) {
    exchange::HandshakeResponder& responder = *responders_[zone];
    if (!responder.is_for_us(datagram.bytes)) continue;
    if (!limiter_.allow(now, datagram.from.address)) {
      ++counters_.limited;
      return;
    }
    // Under load a source must first prove that it receives; the bucket is the load meter.
    if (!handshake_load_.allow(now, static_cast<int>(config_.cookie_threshold))) {
      if (std::optional<Bytes> cookie =
              responder.demand_cookie(now, datagram.from, datagram.bytes)) {
        effects_.push_back(SendDatagram{datagram.local, datagram.from, std::move(*cookie)});
        return;
      }
    }
    ++counters_.handshakes;
    Result<exchange::OpenedInit> opened = responder.open(datagram.bytes);
    if (!opened) {
      // The hint fits several zones with one key: the prologue decides.
      continue;
    }
    std::shared_ptr<exchange::OpenedInit> init =
        std::make_shared<exchange::OpenedInit>(std::move(*opened));
    std::optional<Key32> psk;
    if (init->pattern() == wire::Pattern::IKpsk1) {
      std::map<TokenId, store::Token>::iterator token = tokens_.find(init->token());
      if (token == tokens_.end() || token->second.expires <= wall) {
        ++counters_.refused;
        return;
      }
      psk = token->second.psk;
    }
    Result<Bytes> payload = init->read_payload(psk);
    Result<wire::ControlMessage> message =
        payload ? wire::decode_control(*payload) : Result<wire::ControlMessage>(pass(payload.error()));
    if (!message) {
      ++counters_.refused;
      return;
    }
    const PublicKey& key = init->initiator();
    if (wire::RegistrationRequest* r = std::get_if<wire::RegistrationRequest>(&*message)) {
      if (psk) {
        enrol_terminal(now, wall, *init, *r, zone, datagram);
        return;
      }
      std::map<PublicKey, Name>::iterator known = terminal_keys_.find(key);
      if (known == terminal_keys_.end() || known->second != r->name) {
        ++counters_.refused;
        notify(Notify::Kind::Refused, r->name,
               "registration with a key that is not the name's, from " + to_string(datagram.from));
        return;
      }
      PendingRegistration pending;
      pending.request = std::move(*r);
      pending.from = datagram.from;
      pending.local = datagram.local;
      pending.init = init;
      pending.key = key;
      registration(now, wall, std::move(pending), terminals_.at(known->second), zone);
    } else if (wire::RelayAttach* a = std::get_if<wire::RelayAttach>(&*message)) {
      if (psk) {
        enrol_relay(now, wall, init, *a, zone, datagram);
        return;
      }
      std::map<PublicKey, Name>::iterator known = relay_keys_.find(key);
      if (known == relay_keys_.end() || known->second != a->name) {
        ++counters_.refused;
        return;
      }
      relay_attach(now, *init, *a, relays_.at(known->second), zone, datagram);
    } else if (wire::RouteDirection* d = std::get_if<wire::RouteDirection>(&*message)) {
      stranger(now, Stranger{d->initiator_zone, zone, init, std::move(*d), datagram.from,
                             datagram.local, now});
    } else {
      ++counters_.refused;
    }
    return;
  }
}

void DirectorEngine::handle_control(Instant now, WallTime wall, const Datagram& datagram) {
  Result<wire::RecordHeader> header = wire::decode_record_header(datagram.bytes);
  if (!header) return;
  std::unordered_map<SessionId, SessionEntry>::iterator it = sessions_.find({header->id});
  if (it == sessions_.end()) {
    hint_unknown_session(datagram);
    return;
  }
  SessionEntry& entry = it->second;
  tl::expected<exchange::Session::Opened, exchange::Session::Refusal> opened =
      entry.session.open(datagram.bytes);
  if (!opened) return;
  if (opened->newest) {
    entry.peer = datagram.from;
    entry.local = datagram.local;
  }
  entry.last = now;
  if (!entry.confirmed) {
    entry.confirmed = true;
    make_current(it->first);
  }
  Result<wire::ControlMessage> message = wire::decode_control(opened->plaintext);
  if (!message) {
    ++counters_.refused;
    return;
  }
  handle_message(now, wall, entry, *message);
}

void DirectorEngine::handle_message(Instant now, WallTime wall, SessionEntry& session,
                                    const wire::ControlMessage& message) {
  if (const wire::KeepAlive* m = std::get_if<wire::KeepAlive>(&message)) {
    keep_alive(now, session, *m);
    return;
  }
  if (session.kind == PeerKind::Terminal) {
    std::map<Name, TerminalEntry>::iterator it = terminals_.find(session.name);
    if (it == terminals_.end()) return;
    touch(now, it->second);
    if (const wire::RegistrationRequest* r = std::get_if<wire::RegistrationRequest>(&message)) {
      if (r->name != session.name) return;
      PendingRegistration pending;
      pending.request = *r;
      pending.from = session.peer;
      pending.local = session.local;
      pending.session = session.session.local_id();
      pending.key = session.session.peer();
      registration(now, wall, std::move(pending), it->second, session.zone);
    } else if (const wire::DirectionRequest* d = std::get_if<wire::DirectionRequest>(&message)) {
      direction_request(now, session, *d);
    } else if (const wire::RouteAck* a = std::get_if<wire::RouteAck>(&message)) {
      route_ack(now, session, *a);
    }
    return;
  }
  if (session.kind == PeerKind::Relay) {
    std::map<Name, RelayEntry>::iterator it = relays_.find(session.name);
    if (it == relays_.end()) return;
    it->second.last_seen = now;
    if (const wire::RelayStatus* s = std::get_if<wire::RelayStatus>(&message)) {
      it->second.entries = s->entries;
      it->second.capacity = s->capacity;
    } else if (const wire::RelayResponse* r = std::get_if<wire::RelayResponse>(&message)) {
      relay_response(now, session, *r);
    } else if (const wire::RelayAttach* a = std::get_if<wire::RelayAttach>(&message)) {
      if (a->leaving && a->counter > it->second.counter) {
        it->second.session.reset();
        it->second.counter = a->counter;
        notify(Notify::Kind::RelayDown, session.name, "left");
      }
    }
    return;
  }
  if (const wire::RouteDirection* d = std::get_if<wire::RouteDirection>(&message))
    dc_route_direction(now, session, *d);
  else if (const wire::RouteAck* a = std::get_if<wire::RouteAck>(&message))
    route_ack(now, session, *a);
}

// ---- sessions ---------------------------------------------------------------------------------

SessionId DirectorEngine::new_session_id() {
  SessionId id;
  do id = {random_.u64()};
  while (id.is_zero() || sessions_.count(id) != 0);
  return id;
}

DirectorEngine::SessionEntry* DirectorEngine::find_session(const std::optional<SessionId>& id) {
  if (!id) return nullptr;
  std::unordered_map<SessionId, SessionEntry>::iterator it = sessions_.find(*id);
  return it == sessions_.end() ? nullptr : &it->second;
}

SessionId DirectorEngine::adopt(Instant now, exchange::Session session, PeerKind kind,
                                const Name& name, std::size_t zone, const Endpoint& peer,
                                const IpAddress& local, bool confirmed) {
  SessionId id = session.local_id();
  sessions_.emplace(id, SessionEntry{std::move(session), kind, name, zone, peer, local, confirmed,
                                     now});
  if (confirmed) make_current(id);
  return id;
}

void DirectorEngine::make_current(SessionId id) {
  SessionEntry& entry = sessions_.at(id);
  std::optional<SessionId>* slot = nullptr;
  if (entry.kind == PeerKind::Terminal && terminals_.count(entry.name))
    slot = &terminals_.at(entry.name).session;
  else if (entry.kind == PeerKind::Relay && relays_.count(entry.name))
    slot = &relays_.at(entry.name).session;
  if (slot != nullptr) *slot = id;  // the old one is swept after kSessionGrace
}

void DirectorEngine::forget_session(SessionId id) { sessions_.erase(id); }

void DirectorEngine::send(const SessionEntry& to, Bytes datagram) {
  effects_.push_back(SendDatagram{to.local, to.peer, std::move(datagram)});
}

bool DirectorEngine::send_message(const std::optional<SessionId>& session,
                                  const wire::ControlMessage& message) {
  SessionEntry* entry = find_session(session);
  if (entry == nullptr) return false;
  Bytes plain = wire::encode(message);
  send(*entry, entry->session.seal(plain));
  wipe(plain);
  return true;
}

void DirectorEngine::respond(Instant now, exchange::OpenedInit& init,
                             const wire::ControlMessage& message, PeerKind kind, const Name& name,
                             std::size_t zone, const Endpoint& to, const IpAddress& local,
                             bool confirmed) {
  Result<exchange::OpenedInit::Answer> answer =
      init.respond(wire::encode(message), new_session_id(), random_, now);
  if (!answer) {
    notify(Notify::Kind::Warning, name, "can't answer a handshake: " + answer.error().text);
    return;
  }
  effects_.push_back(SendDatagram{local, to, std::move(answer->datagram)});
  adopt(now, std::move(answer->session), kind, name, zone, to, local, confirmed);
}

// ---- reliable sending -------------------------------------------------------------------------

std::optional<SessionId> DirectorEngine::session_towards(Towards towards, const Name& name) {
  if (towards == Towards::Terminal) {
    std::map<Name, TerminalEntry>::iterator it = terminals_.find(name);
    return it == terminals_.end() ? std::nullopt : it->second.session;
  }
  if (towards == Towards::Relay) {
    std::map<Name, RelayEntry>::iterator it = relays_.find(name);
    return it == relays_.end() ? std::nullopt : it->second.session;
  }
  std::map<Name, DcPeer>::iterator it = peers_.find(name);
  return it == peers_.end() ? std::nullopt : it->second.session;
}

void DirectorEngine::send_reliably(Instant now, Towards towards, const Name& name,
                                   RequestId request, const wire::ControlMessage& message) {
  Bytes plain = wire::encode(message);
  if (SessionEntry* session = find_session(session_towards(towards, name)))
    send(*session, session->session.seal(plain));
  OutgoingKey key{towards, name, request.value};
  std::uint64_t& id = outgoing_keys_[key];
  if (id == 0) id = next_outgoing_++;
  outgoing_.start(now, id, Outgoing{towards, name, request, std::move(plain)}, rtt_, random_);
}

void DirectorEngine::stop_sending(Instant now, Towards towards, const Name& name,
                                  RequestId request) {
  std::map<OutgoingKey, std::uint64_t>::iterator it =
      outgoing_keys_.find({towards, name, request.value});
  if (it == outgoing_keys_.end()) return;
  outgoing_.answered(it->second, now);
  outgoing_keys_.erase(it);
}

void DirectorEngine::outgoing_failed(Instant now, const Outgoing& outgoing) {
  if (outgoing.towards == Towards::Dc) {
    // Its session is of no use any more: the next direction begins with a handshake and DNS.
    DcPeer& peer = peers_[outgoing.name];
    peer.handshake.reset();
    peer.session.reset();
    peer.resolved_at = now - seconds(3600);
    std::deque<std::pair<std::size_t, wire::RouteDirection>> queue;
    queue.swap(peer.queue);
    for (const auto& [zone, route] : queue) {
      std::map<std::uint64_t, Direction>::iterator d = directions_.find(route.request.value);
      if (d != directions_.end()) end_direction(now, d->second, wire::Status::TryLater);
    }
  }
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(outgoing.request.value);
  if (it == directions_.end() || it->second.ended) return;
  if (outgoing.towards == Towards::Relay) {
    wire::RelayResponse silent;
    silent.request = outgoing.request;
    silent.status = wire::Status::TryLater;
    it->second.refused_relays.insert(outgoing.name);
    ++it->second.attempt;
    plan(now, it->second);
    send_directions(now, it->second);
    return;
  }
  end_direction(now, it->second, wire::Status::Offline);
}

// ---- timers -----------------------------------------------------------------------------------

void DirectorEngine::on_timer(Instant now, WallTime wall) {
  wall_ = wall;
  exchange::RequestTable<Outgoing>::Turn turn = outgoing_.due(now, random_);
  for (const exchange::RequestTable<Outgoing>::Due& due : turn.again) {
    if (due.to.towards == Towards::Dc && due.to.request.is_zero()) {
      // A handshake's first message: whole as it is, at the DC's next address.
      DcPeer& peer = peers_[due.to.name];
      if (peer.endpoints.empty()) continue;
      const Endpoint& to = peer.endpoints[++peer.endpoint % peer.endpoints.size()];
      effects_.push_back(SendDatagram{{}, to, due.to.plaintext});
      continue;
    }
    if (SessionEntry* session = find_session(session_towards(due.to.towards, due.to.name)))
      send(*session, session->session.seal(due.to.plaintext));
  }
  for (const exchange::RequestTable<Outgoing>::Due& due : turn.failed) {
    outgoing_keys_.erase({due.to.towards, due.to.name, due.to.request.value});
    outgoing_failed(now, due.to);
  }
  expire_leases(now, wall);
  send_due_hints(now);
  if (next_sweep_ > now) return;
  next_sweep_ = now + seconds(5);
  std::erase_if(directions_, [&](const std::pair<const std::uint64_t, Direction>& d) {
    return now - d.second.made > kDirectionLife;
  });
  std::erase_if(forwarded_, [&](const std::pair<const std::uint64_t, Forwarded>& f) {
    return now - f.second.made > kDirectionLife;
  });
  std::erase_if(strangers_, [&](const Stranger& s) { return now - s.since > seconds(10); });
  for (std::unordered_map<SessionId, SessionEntry>::iterator it = sessions_.begin();
       it != sessions_.end();) {
    SessionEntry& s = it->second;
    Towards towards = s.kind == PeerKind::Terminal ? Towards::Terminal : Towards::Relay;
    bool current = s.kind == PeerKind::Dc ? now - s.last < exchange::kSessionLife * 2
                                          : session_towards(towards, s.name) == it->first;
    bool worn = now - s.session.made() > exchange::kSessionLife * 2;
    if (worn || (!current && now - s.last > kSessionGrace)) it = sessions_.erase(it);
    else ++it;
  }
  for (auto& [name, relay] : relays_)
    if (relay.session && now - relay.last_seen > kRelayLease) {
      relay.session.reset();
      notify(Notify::Kind::RelayDown, name, "silent for 60 s");
    }
}

Instant DirectorEngine::next_deadline() const {
  Instant when = std::min({outgoing_.next_deadline(), next_hint_, next_sweep_});
  if (!leases_.empty()) when = std::min(when, leases_.begin()->first);
  return when;
}

void DirectorEngine::start(Instant now, WallTime wall, const Snapshot& snapshot) {
  wall_ = wall;
  next_sweep_ = now + seconds(5);
  for (const store::TerminalView& view : snapshot.terminals) {
    terminal_changed(now, view);
    if (!view.location || (view.location->flags & store::kLocationOffline)) continue;
    TerminalEntry& entry = terminals_.at(view.terminal.name);
    touch(now, entry);  // a whole lease to come back in
    if (!view.terminal.key) continue;
    for (const store::FamilyLocation* f : {&view.location->v4, &view.location->v6})
      if (f->outside.is_set()) {
        hints_due_.emplace_back(f->outside, *view.terminal.key);
        outside_[f->outside] = view.terminal.name;
      }
  }
  if (!hints_due_.empty()) next_hint_ = now;
  for (const store::Token& token : snapshot.tokens) tokens_[token.id] = token;
  relays_changed(now, snapshot.relays);
  peers_changed(snapshot.peers);
}

// ---- status -----------------------------------------------------------------------------------

std::vector<DirectorEngine::TerminalStatus> DirectorEngine::terminals(Instant now) const {
  std::vector<TerminalStatus> out;
  for (const auto& [name, entry] : terminals_) {
    TerminalStatus s;
    s.view = entry.view;
    s.has_session = entry.session.has_value();
    if (entry.session) s.last_seen = now - entry.last_seen;
    out.push_back(std::move(s));
  }
  return out;
}

std::vector<DirectorEngine::TerminalStatus> DirectorEngine::terminals_named(
    const Name& name) const {
  std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(name);
  if (it == terminals_.end()) return {};
  TerminalStatus s;
  s.view = it->second.view;
  s.has_session = it->second.session.has_value();
  return {std::move(s)};
}

std::vector<DirectorEngine::RelayStatusView> DirectorEngine::relays(Instant now) const {
  std::vector<RelayStatusView> out;
  for (const auto& [name, entry] : relays_)
    out.push_back({entry.relay, is_usable(now, entry), entry.endpoints, entry.entries,
                   entry.capacity});
  return out;
}

}  // namespace ntm::director
