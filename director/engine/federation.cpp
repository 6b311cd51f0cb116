// DC to DC: finding the other zone's DC by DNS, believing its key by the zone's policy, and the
// Route Direction as 0-RTT payload (docs/PROTOCOL.md 3; no centre).
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

namespace {
constexpr std::size_t kMaxQueued = 64;  // Route Directions that wait for DNS or a handshake
constexpr Duration kResolveAgain = seconds(60);
}  // namespace

bool DirectorEngine::believes(const DcPeer& peer, std::size_t own_zone,
                              const PublicKey& key) const {
  switch (config_.zones[own_zone].zone.peer_policy) {
    case store::PeerPolicy::Closed: return peer.listed && peer.pinned == key;
    case store::PeerPolicy::Dnssec:
      return peer.resolved_key == key && peer.dnssec == wire::DnssecState::Secure;
    case store::PeerPolicy::Tofu:
      if (peer.dnssec == wire::DnssecState::Secure) return peer.resolved_key == key;
      return peer.pinned ? peer.pinned == key : peer.resolved_key == key;
  }
  return false;
}

void DirectorEngine::pin(const Name& zone, const PublicKey& key, WallTime wall) {
  DcPeer& peer = peers_[zone];
  if (peer.pinned) return;
  peer.pinned = key;
  store::Batch batch;
  batch.items.push_back(store::PutPeerDc{store::PeerDc{zone, key, false, wall}});
  other_writes_.insert(write(std::move(batch)));
  notify(Notify::Kind::Info, zone, "first contact with this zone's DC: key pinned");
}

// ---- towards another DC -------------------------------------------------------------------------

void DirectorEngine::send_to_dc(Instant now, std::size_t own_zone, const Name& zone,
                                wire::RouteDirection route) {
  DcPeer& peer = peers_[zone];
  route.sender_counter = ++sender_counter_;
  SessionEntry* session = find_session(peer.session);
  if (session != nullptr && !session->session.is_worn(now)) {
    send_reliably(now, Towards::Dc, zone, route.request, wire::ControlMessage(route));
    return;
  }
  if (peer.queue.size() >= kMaxQueued) peer.queue.pop_front();
  peer.queue.emplace_back(own_zone, std::move(route));
  flush_dc(now, zone, peer);
}

void DirectorEngine::flush_dc(Instant now, const Name& zone, DcPeer& peer) {
  bool known = !peer.endpoints.empty() && now - peer.resolved_at < kResolveAgain;
  if (!known) {
    if (!peer.resolving) effects_.push_back(ResolveDc{zone});
    peer.resolving = true;
    return;
  }
  if (SessionEntry* session = find_session(peer.session);
      session != nullptr && !session->session.is_worn(now)) {
    while (!peer.queue.empty()) {
      wire::RouteDirection route = std::move(peer.queue.front().second);
      peer.queue.pop_front();
      send_reliably(now, Towards::Dc, zone, route.request, wire::ControlMessage(route));
    }
    return;
  }
  if (peer.handshake || peer.queue.empty()) return;
  auto& [own_zone, route] = peer.queue.front();
  PublicKey key = peer.pinned && peer.dnssec != wire::DnssecState::Secure ? *peer.pinned
                                                                         : *peer.resolved_key;
  exchange::HandshakeTarget target{key, zone, crypto::preferred_suite(), {}, {}};
  peer.handshake =
      std::make_unique<exchange::HandshakeInitiator>(target, config_.zones[own_zone].key);
  Result<Bytes> init =
      peer.handshake->start(wire::encode(wire::ControlMessage(route)), random_);
  if (!init) {
    peer.handshake.reset();
    notify(Notify::Kind::Warning, zone, "can't speak to this zone's DC: " + init.error().text);
    return;
  }
  // Sent again by the request table until HS_RESP comes; the route itself is answered by RouteAck.
  const Endpoint& to = peer.endpoints[peer.endpoint % peer.endpoints.size()];
  effects_.push_back(SendDatagram{{}, to, *init});
  outgoing_keys_[{Towards::Dc, zone, 0}] = next_outgoing_;
  outgoing_.start(now, next_outgoing_++, Outgoing{Towards::Dc, zone, RequestId{0}, *init}, rtt_,
                  random_);
}

void DirectorEngine::dc_resolved(Instant now, const Name& zone, const Result<DcAddress>& address) {
  DcPeer& peer = peers_[zone];
  peer.resolving = false;
  if (!address || address->endpoints.empty()) {
    std::string why = address ? "it names no address" : address.error().text;
    notify(Notify::Kind::Warning, zone, "no DC found for this zone: " + why);
    std::deque<std::pair<std::size_t, wire::RouteDirection>> queue;
    queue.swap(peer.queue);
    for (auto& [own_zone, route] : queue) {
      std::map<std::uint64_t, Direction>::iterator it = directions_.find(route.request.value);
      if (it != directions_.end()) end_direction(now, it->second, wire::Status::UnknownName);
    }
  } else {
    peer.endpoints = address->endpoints;
    peer.resolved_key = address->key;
    peer.dnssec = address->dnssec;
    peer.resolved_at = now;
    std::size_t own_zone = peer.queue.empty() ? 0 : peer.queue.front().first;
    bool believed = believes(peer, own_zone, address->key);
    if (!believed && address->next_key && believes(peer, own_zone, *address->next_key))
      believed = true;
    if (believed) {
      if (config_.zones[own_zone].zone.peer_policy == store::PeerPolicy::Tofu)
        pin(zone, address->key, wall_);
      flush_dc(now, zone, peer);
    } else if (!peer.queue.empty()) {
      notify(Notify::Kind::Refused, zone, "its DC's key is not the one that policy accepts");
      std::deque<std::pair<std::size_t, wire::RouteDirection>> queue;
      queue.swap(peer.queue);
      for (auto& [z, route] : queue) {
        std::map<std::uint64_t, Direction>::iterator it = directions_.find(route.request.value);
        if (it != directions_.end()) end_direction(now, it->second, wire::Status::Denied);
      }
    }
  }
  std::vector<Stranger> waiting;
  for (std::vector<Stranger>::iterator it = strangers_.begin(); it != strangers_.end();) {
    if (it->zone != zone) {
      ++it;
      continue;
    }
    waiting.push_back(std::move(*it));
    it = strangers_.erase(it);
  }
  for (Stranger& s : waiting) answer_stranger(now, s);
}

void DirectorEngine::handle_dc_response(Instant now, const Datagram& datagram) {
  for (auto& [zone, peer] : peers_) {
    if (!peer.handshake) continue;
    if (wire::datagram_type(datagram.bytes) == wire::DatagramType::Cookie) {
      Result<Bytes> again = peer.handshake->cookie(datagram.bytes);
      if (!again) continue;
      effects_.push_back(SendDatagram{{}, datagram.from, *again});
      return;
    }
    Result<exchange::HandshakeInitiator::Established> done =
        peer.handshake->response(datagram.bytes, now);
    if (!done) continue;
    stop_sending(now, Towards::Dc, zone, RequestId{0});
    peer.handshake.reset();
    std::size_t own_zone = peer.queue.empty() ? 0 : peer.queue.front().first;
    SessionId id = adopt(now, std::move(done->session), PeerKind::Dc, zone, own_zone,
                         datagram.from, datagram.local, true);
    peer.session = id;
    // The first Route Direction went with the handshake: from here its RouteAck is awaited.
    if (!peer.queue.empty()) {
      wire::RouteDirection first = std::move(peer.queue.front().second);
      peer.queue.pop_front();
      OutgoingKey key{Towards::Dc, zone, first.request.value};
      outgoing_keys_[key] = next_outgoing_;
      outgoing_.start(now, next_outgoing_++,
                      Outgoing{Towards::Dc, zone, first.request,
                               wire::encode(wire::ControlMessage(first))},
                      rtt_, random_);
    }
    Result<wire::ControlMessage> message = wire::decode_control(done->payload);
    if (message)
      if (const wire::RouteAck* ack = std::get_if<wire::RouteAck>(&*message))
        route_ack(now, sessions_.at(id), *ack);
    flush_dc(now, zone, peer);
    return;
  }
}

// ---- from another DC ----------------------------------------------------------------------------

void DirectorEngine::stranger(Instant now, Stranger s) {
  DcPeer& peer = peers_[s.zone];
  // Claims of our own zones, or of the root, are nonsense.
  if (s.zone.is_root() || zone_of(s.zone)) {
    ++counters_.refused;
    if (!peer.pinned && peer.endpoints.empty()) peers_.erase(s.zone);
    return;
  }
  if (believes(peer, s.own_zone, s.init->initiator())) {
    answer_stranger(now, s);
    return;
  }
  bool closed = config_.zones[s.own_zone].zone.peer_policy == store::PeerPolicy::Closed;
  bool fresh = peer.resolved_key && now - peer.resolved_at < kResolveAgain;
  if (closed || fresh || strangers_.size() >= kMaxPendingStrangers) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, s.zone, "a DC whose key policy does not accept");
    return;
  }
  if (!peer.resolving) effects_.push_back(ResolveDc{s.zone});
  peer.resolving = true;
  strangers_.push_back(std::move(s));
}

void DirectorEngine::answer_stranger(Instant now, Stranger& s) {
  DcPeer& peer = peers_[s.zone];
  if (!believes(peer, s.own_zone, s.init->initiator())) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, s.zone, "a DC whose key is not what DNS says");
    return;
  }
  if (config_.zones[s.own_zone].zone.peer_policy == store::PeerPolicy::Tofu)
    pin(s.zone, s.init->initiator(), wall_);
  // A replayed first message makes no session and does nothing.
  if (s.message.sender_counter <= peer.counter_seen) {
    ++counters_.stale;
    return;
  }
  // The session stands at once; RouteAck follows as CTRL when CN has answered.
  SessionId id = new_session_id();
  wire::KeepAlive accepted;
  accepted.is_echo = true;
  wire::ControlMessage message(accepted);
  Result<exchange::OpenedInit::Answer> answer =
      s.init->respond(wire::encode(message), id, random_, now);
  if (!answer) return;
  effects_.push_back(SendDatagram{s.local, s.from, std::move(answer->datagram)});
  adopt(now, std::move(answer->session), PeerKind::Dc, s.zone, s.own_zone, s.from, s.local, true);
  dc_route_direction(now, sessions_.at(id), s.message);
}

void DirectorEngine::dc_route_direction(Instant now, SessionEntry& session,
                                        const wire::RouteDirection& route) {
  DcPeer& peer = peers_[session.name];
  if (const Bytes* answer = answers_.find(now, session.session.peer(), route.request)) {
    send(session, session.session.seal(*answer));
    return;
  }
  for (const auto& [id, f] : forwarded_)
    if (f.dc_zone == session.name && f.foreign_request == route.request &&
        f.paths.front() == route.path)
      return;  // under way; the acknowledgement comes when CN answers
  if (route.sender_counter <= peer.counter_seen) {
    ++counters_.stale;
    return;
  }
  peer.counter_seen = route.sender_counter;
  wire::Status status = accept_route(now, session.zone, session.name, peer, route,
                                     session.session.local_id());
  if (status == wire::Status::Ok) return;
  ++counters_.refused;
  wire::ControlMessage message(wire::RouteAck{route.request, status, {}, {}, {}});
  answers_.put(now, session.session.peer(), route.request, wire::encode(message));
  send_message(session.session.local_id(), message);
}

wire::Status DirectorEngine::accept_route(Instant now, std::size_t own_zone, const Name& dc_zone,
                                          DcPeer& peer, const wire::RouteDirection& route,
                                          std::optional<SessionId> session) {
  if (!peer.bucket.allow(now, kPeerDcPerSecond)) return wire::Status::RateLimited;
  if (!config_.zones[own_zone].zone.has_terminals) return wire::Status::UnknownName;
  // The other DC speaks for terminals of its own zone, and only for them.
  if (route.role != wire::Role::Responder || route.initiator_zone != dc_zone ||
      !route.peer.is_under(dc_zone))
    return wire::Status::Denied;
  std::map<Name, TerminalEntry>::iterator cn = terminals_.find(route.to);
  if (cn == terminals_.end()) return wire::Status::UnknownName;
  if (!cn->second.session || !reach_of(cn->second.view).is_online()) return wire::Status::Offline;
  if (!cn->second.as_target.allow(now, kPerTargetPerSecond)) return wire::Status::RateLimited;
  Forwarded forwarded;
  forwarded.foreign_request = route.request;
  forwarded.dc_zone = dc_zone;
  forwarded.session = session;
  forwarded.cn = route.to;
  forwarded.paths = {route.path};
  forwarded.made = now;
  wire::RouteDirection inward = route;
  inward.sender_counter = 0;
  inward.dnssec = peer.dnssec;
  do inward.request = {random_.u64()};
  while (directions_.count(inward.request.value) || forwarded_.count(inward.request.value));
  forwarded_.emplace(inward.request.value, std::move(forwarded));
  send_reliably(now, Towards::Terminal, route.to, inward.request, wire::ControlMessage(inward));
  return wire::Status::Ok;
}

}  // namespace ntm::director
