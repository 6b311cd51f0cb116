// Towards another zone's DC: finding it by DNS, believing its key by policy, and the Route
// Direction as 0-RTT payload of the handshake (docs/PROTOCOL.md 3; there is no centre).
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

namespace {
constexpr std::size_t kMaxQueued = 64;            // a link's directions that wait
constexpr Duration kResolveAgain = seconds(60);   // the record's TTL
// A session that is younger, or on which something was heard just now, is not renewed: a silent CN
// behind a living DC must not cost handshakes, nor may forged hints.
constexpr Duration kTrustSession = seconds(1);
constexpr Duration kTrustHeard = seconds(1);
}  // namespace

bool DirectorEngine::is_fresh(Instant now, const DcPeer& peer) const {
  return peer.resolved_at && now - *peer.resolved_at < kResolveAgain;
}

bool DirectorEngine::believes(Instant now, const DcPeer& peer, std::size_t own_zone,
                              const PublicKey& key) const {
  bool by_dns = is_fresh(now, peer) && (peer.resolved_key == key || peer.resolved_next == key);
  bool secure = is_fresh(now, peer) && peer.dnssec == wire::DnssecState::Secure;
  switch (config_.zones[own_zone].zone.peer_policy) {
    case store::PeerPolicy::Closed: return peer.listed && peer.pinned == key;
    case store::PeerPolicy::Dnssec: return secure && by_dns;
    case store::PeerPolicy::Tofu:
      if (secure) return by_dns;
      return peer.pinned ? peer.pinned == key : by_dns;
  }
  return false;
}

// Only after the other side has shown that it holds the key.
void DirectorEngine::pin(const Name& zone, const PublicKey& key) {
  DcPeer& peer = peers_[zone];
  if (peer.pinned) return;
  peer.pinned = key;
  store::Batch batch;
  batch.items.push_back(store::PutPeerDc{store::PeerDc{zone, key, false, wall_}});
  other_writes_.insert(write(std::move(batch)));
  notify(Notify::Kind::Info, zone, "first contact with this zone's DC: its key is pinned");
}

void DirectorEngine::send_to_dc(Instant now, const LinkKey& key, wire::RouteDirection route) {
  RequestId request = route.request;
  bool room = peers_.count(key.zone) != 0 || peers_.size() < kMaxPeerDcs;
  DcLink* link = room ? &links_[key] : nullptr;
  if (link == nullptr || link->queue.size() >= kMaxQueued) {
    end_direction(now, directions_.at(request.value), wire::Status::TryLater);
    return;
  }
  route.sender_counter = ++sender_counter_;
  link->queue.push_back(std::move(route));
  flush_link(now, key, *link);
}

void DirectorEngine::flush_link(Instant now, const LinkKey& key, DcLink& link) {
  if (link.handshake || link.queue.empty()) return;
  SessionEntry* session = find_session(link.session);
  if (session != nullptr && !session->session.is_worn(now)) {
    while (!link.queue.empty()) {
      wire::RouteDirection route = std::move(link.queue.front());
      link.queue.pop_front();
      send_reliably(now, {Towards::Dc, key.zone, key.own_zone}, route.request,
                    wire::ControlMessage(route));
    }
    return;
  }
  DcPeer& peer = peers_[key.zone];
  if (is_fresh(now, peer)) {
    start_handshake(now, key, link);
    return;
  }
  if (!peer.resolving) effects_.push_back(ResolveDc{key.zone});
  peer.resolving = true;
}

void DirectorEngine::start_handshake(Instant now, const LinkKey& key, DcLink& link) {
  const DcPeer& peer = peers_[key.zone];
  if (!believes(now, peer, key.own_zone, *peer.resolved_key)) {
    notify(Notify::Kind::Refused, key.zone, "its DC's key is not one that the peer policy accepts");
    fail_link(now, key, link, wire::Status::Denied);
    return;
  }
  exchange::HandshakeTarget target{*peer.resolved_key, key.zone, crypto::preferred_suite(), {}, {}};
  link.asked_key = *peer.resolved_key;
  link.handshake = std::make_unique<exchange::HandshakeInitiator>(
      target, config_.zones[key.own_zone].key);
  Result<Bytes> init =
      link.handshake->start(wire::encode(wire::ControlMessage(link.queue.front())), random_);
  if (!init) {
    notify(Notify::Kind::Warning, key.zone,
           "can't speak to this zone's DC: " + init.error().text);
    fail_link(now, key, link, wire::Status::TryLater);
    return;
  }
  const Endpoint& to = peer.endpoints[link.endpoint % peer.endpoints.size()];
  effects_.push_back(SendDatagram{{}, to, *init});
  track(now, {Towards::Dc, key.zone, key.own_zone}, RequestId{0}, std::move(*init), {});
}

void DirectorEngine::renew_link(Instant now, const LinkKey& key, Bytes plaintext) {
  DcLink& link = links_[key];
  SessionEntry* session = find_session(link.session);
  if (link.handshake || (session != nullptr && (now - session->session.made() < kTrustSession ||
                                                now - session->last < kTrustHeard)))
    return;
  Result<wire::ControlMessage> message = wire::decode_control(plaintext);
  wipe(plaintext);
  wire::RouteDirection* route = message ? std::get_if<wire::RouteDirection>(&*message) : nullptr;
  if (route == nullptr) return;
  for (const wire::RouteDirection& waiting : link.queue)
    if (waiting.request == route->request) return;
  route->sender_counter = ++sender_counter_;
  link.session.reset();
  link.queue.push_front(std::move(*route));
  flush_link(now, key, link);
}

// Everything that waits for this link ends.
void DirectorEngine::fail_link(Instant now, const LinkKey& key, DcLink& link,
                               wire::Status status) {
  link.handshake.reset();
  link.session.reset();
  stop_sending(now, {Towards::Dc, key.zone, key.own_zone}, RequestId{0});
  std::deque<wire::RouteDirection> queue = std::exchange(link.queue, {});
  for (const wire::RouteDirection& route : queue) {
    std::map<std::uint64_t, Direction>::iterator it = directions_.find(route.request.value);
    if (it != directions_.end()) end_direction(now, it->second, status);
  }
}

void DirectorEngine::dc_resolved(Instant now, const Name& zone, const Result<DcAddress>& address) {
  latest_ = now;
  DcPeer& peer = peers_[zone];
  peer.resolving = false;
  bool usable = address && !address->endpoints.empty();
  if (usable) {
    peer.endpoints = address->endpoints;
    peer.resolved_key = address->key;
    peer.resolved_next = address->next_key;
    peer.dnssec = address->dnssec;
    peer.resolved_at = now;
  } else if (!address && address.error().kind == ErrorKind::Unavailable && peer.pinned &&
             !peer.endpoints.empty()) {
    // DNS is down, not the DC: the pinned key still proves who answers at the old address.
    peer.resolved_key = peer.pinned;
    peer.resolved_next.reset();
    peer.dnssec = wire::DnssecState::Unknown;
    peer.resolved_at = now;
    usable = true;
  } else {
    notify(Notify::Kind::Warning, zone,
           "no DC found for this zone: " +
               (address ? std::string("its record names no address") : address.error().text));
  }
  for (std::map<LinkKey, DcLink>::iterator it = links_.lower_bound({zone, 0});
       it != links_.end() && it->first.zone == zone; ++it) {
    if (usable) flush_link(now, it->first, it->second);
    else if (!it->second.handshake) fail_link(now, it->first, it->second,
                                              wire::Status::UnknownName);
  }
  std::vector<Stranger> waiting;
  for (Stranger& s : strangers_)
    if (s.zone == zone) waiting.push_back(s);
  std::erase_if(strangers_, [&](const Stranger& s) { return s.zone == zone; });
  for (Stranger& s : waiting) answer_stranger(now, s);
}

void DirectorEngine::handle_dc_response(Instant now, const Datagram& datagram) {
  if (datagram.bytes.size() < 12) return;
  SessionId receiver{Reader(datagram.bytes.subspan(4, 8)).u64()};
  bool cookie = wire::datagram_type(datagram.bytes) == wire::DatagramType::Cookie;
  for (auto& [key, link] : links_) {
    if (!link.handshake || link.handshake->local_id() != receiver) continue;
    if (cookie) {
      Result<Bytes> again = link.handshake->cookie(datagram.bytes);
      if (!again) return;
      effects_.push_back(SendDatagram{datagram.local, datagram.from, *again});
      track(now, {Towards::Dc, key.zone, key.own_zone}, RequestId{0}, std::move(*again), {});
      return;
    }
    Result<exchange::HandshakeInitiator::Established> done =
        link.handshake->response(datagram.bytes, now);
    if (done) link_up(now, key, link, std::move(*done), datagram);
    return;
  }
}

// The other DC does not know our session any more (it restarted). The hint proves nothing: it only
// makes us try sooner what we would try anyway.
void DirectorEngine::handle_dc_hint(Instant now, const Datagram& datagram) {
  for (const auto& [key, id] : outgoing_keys_) {
    const Target& target = key.first;
    if (target.towards != Towards::Dc || key.second == 0) continue;
    SessionEntry* session = find_session(session_towards(target));
    const Outgoing* outgoing = outgoing_.find(id);
    if (session == nullptr || outgoing == nullptr || session->peer != datagram.from) continue;
    renew_link(now, {target.name, target.own_zone}, outgoing->plaintext);
    return;
  }
}

void DirectorEngine::link_up(Instant now, const LinkKey& key, DcLink& link,
                             exchange::HandshakeInitiator::Established done,
                             const Datagram& datagram) {
  Target target{Towards::Dc, key.zone, key.own_zone};
  stop_sending(now, target, RequestId{0});
  link.handshake.reset();
  if (config_.zones[key.own_zone].zone.peer_policy == store::PeerPolicy::Tofu)
    pin(key.zone, link.asked_key);
  SessionId id = adopt(now, std::move(done.session), PeerKind::Dc, key.zone, key.own_zone,
                       datagram.from, datagram.local, true);
  link.session = id;
  // The first Route Direction went with the handshake: from here its RouteAck is awaited.
  if (!link.queue.empty()) {
    wire::RouteDirection first = std::move(link.queue.front());
    link.queue.pop_front();
    if (outgoing_keys_.count({target, first.request.value}) == 0)
      track(now, target, first.request, wire::encode(wire::ControlMessage(first)), {});
  }
  if (Result<wire::ControlMessage> message = wire::decode_control(done.payload))
    if (const wire::RouteAck* ack = std::get_if<wire::RouteAck>(&*message))
      route_ack(now, sessions_.at(id), *ack);
  flush_link(now, key, link);
}

void DirectorEngine::sweep_peers(Instant now) {
  for (auto& [key, link] : links_) {
    if (find_session(link.session) == nullptr) link.session.reset();
    if (find_session(link.incoming) == nullptr) link.incoming.reset();
  }
  std::erase_if(links_, [](const std::pair<const LinkKey, DcLink>& item) {
    const DcLink& link = item.second;
    return !link.session && !link.incoming && !link.handshake && link.queue.empty() &&
           link.counter_seen == 0;
  });
  std::erase_if(peers_, [&](const std::pair<const Name, DcPeer>& item) {
    const DcPeer& peer = item.second;
    std::map<LinkKey, DcLink>::iterator link = links_.lower_bound({item.first, 0});
    bool linked = link != links_.end() && link->first.zone == item.first;
    return !peer.pinned && !peer.listed && !peer.resolving && !linked && !is_fresh(now, peer);
  });
}

}  // namespace ntm::director
