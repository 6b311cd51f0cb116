// From another zone's DC: its first message, whether it is believed, and the Route Directions that
// it sends for terminals of ours.
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

namespace {
bool is_no_target(const Endpoint& e) {
  return !e.is_set() || e.address.is_loopback() || e.address.is_multicast() ||
         e.address.is_link_local();
}
}  // namespace

void DirectorEngine::first_contact(Instant now, Stranger s) {
  bool ours = std::any_of(config_.zones.begin(), config_.zones.end(),
                          [&](const ZoneIdentity& z) { return z.zone.apex == s.zone; });
  bool room = peers_.count(s.zone) != 0 || peers_.size() < kMaxPeerDcs;
  if (s.zone.is_root() || ours || !room) {
    ++counters_.refused;
    return;
  }
  std::map<Name, DcPeer>::iterator known = peers_.find(s.zone);
  if (known != peers_.end() &&
      believes(now, known->second, s.arrival->zone, s.arrival->opened.initiator())) {
    answer_stranger(now, s);
    return;
  }
  for (const Stranger& waiting : strangers_)
    if (waiting.arrival->mac1 == s.arrival->mac1) return;  // sent again while DNS is asked
  bool closed =
      config_.zones[s.arrival->zone].zone.peer_policy == store::PeerPolicy::Closed;
  bool asked = known != peers_.end() && is_fresh(now, known->second);
  if (closed || asked || strangers_.size() >= kMaxPendingStrangers) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, s.zone, "a DC with a key that the peer policy does not accept");
    return;
  }
  DcPeer& peer = peers_[s.zone];
  if (!peer.resolving) effects_.push_back(ResolveDc{s.zone});
  peer.resolving = true;
  strangers_.push_back(std::move(s));
}

void DirectorEngine::answer_stranger(Instant now, Stranger& s) {
  std::size_t own_zone = s.arrival->zone;
  const PublicKey key = s.arrival->opened.initiator();
  if (!believes(now, peers_[s.zone], own_zone, key)) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, s.zone, "a DC with a key that is not what DNS says");
    return;
  }
  if (config_.zones[own_zone].zone.peer_policy == store::PeerPolicy::Tofu) pin(s.zone, key);
  // A replayed first message makes no session and does nothing.
  DcLink& link = links_[{s.zone, own_zone}];
  if (s.message.sender_counter <= link.counter_seen) {
    ++counters_.stale;
    return;
  }
  link.counter_seen = s.message.sender_counter;
  // The session stands at once; RouteAck follows as CTRL when CN has answered.
  wire::KeepAlive accepted;
  accepted.is_echo = true;
  std::optional<SessionId> id = respond(now, *s.arrival, wire::ControlMessage(accepted),
                                        PeerKind::Dc, s.zone, 0, true);
  if (!id) return;
  link.incoming = id;
  dc_route_direction(now, sessions_.at(*id), s.message);
}

void DirectorEngine::dc_route_direction(Instant now, SessionEntry& session,
                                        const wire::RouteDirection& route) {
  LinkKey link{session.name, session.zone};
  links_[link].incoming = session.session.local_id();
  if (!peers_[session.name].bucket.allow(now, kPeerDcPerSecond)) {
    ++counters_.limited;
    send_message(session.session.local_id(),
                 wire::ControlMessage(
                     wire::RouteAck{route.request, wire::Status::RateLimited, {}, {}, {}}));
    return;
  }
  ForeignRequest foreign{link, route.request.value};
  std::map<ForeignRequest, std::uint64_t>::iterator known = forwarded_by_dc_.find(foreign);
  if (known != forwarded_by_dc_.end()) {
    const Forwarded& f = forwarded_.at(known->second);
    if (f.path == route.path) {  // the same again; under way, or answered
      if (f.answer) send_message(session.session.local_id(), wire::ControlMessage(*f.answer));
      return;
    }
    // A replacing one keeps the id that CN knows, so that CN drops the path it replaces.
    if (f.cn != route.to) return;
  }
  std::uint64_t id =
      known != forwarded_by_dc_.end() ? known->second : new_request_id().value;
  forwarded_by_dc_[foreign] = id;
  Forwarded& f = forwarded_[id];
  f = Forwarded{link, route.request, route.to, route.path, std::nullopt, now};
  wire::RouteAck answer;
  answer.request = route.request;
  answer.status = accept_route(now, session, route, answer);
  if (answer.status != wire::Status::Ok) {
    if (answer.status != wire::Status::Moved) ++counters_.refused;
    f.answer = answer;
    send_message(session.session.local_id(), wire::ControlMessage(answer));
    return;
  }
  wire::RouteDirection inward = route;
  inward.request = {id};
  inward.sender_counter = 0;
  inward.planned.clear();
  inward.dnssec = peers_[session.name].dnssec;
  std::erase_if(inward.targets, is_no_target);
  send_reliably(now, {Towards::Terminal, route.to}, inward.request,
                wire::ControlMessage(inward));
  LivePath path{{route.path}, route.to, route.peer, link, std::nullopt,
                now + seconds(kPathLifetimeSeconds)};
  path.paths.insert(path.paths.end(), route.spares.begin(), route.spares.end());
  remember_path(std::move(path));
}

wire::Status DirectorEngine::accept_route(Instant now, SessionEntry& session,
                                          const wire::RouteDirection& route,
                                          wire::RouteAck& answer) {
  // The other DC speaks for terminals of its own zone, and only for them; we for ours.
  if (route.role != wire::Role::Responder || route.initiator_zone != session.name ||
      !route.peer.is_under(session.name))
    return wire::Status::Denied;
  std::map<Name, TerminalEntry>::iterator cn = terminals_.find(route.to);
  if (cn == terminals_.end() || zone_of(route.to) != session.zone ||
      route.responder_zone != config_.zones[session.zone].zone.apex)
    return wire::Status::UnknownName;
  if (!cn->second.session || !reach_of(cn->second.view).is_online()) return wire::Status::Offline;
  if (has_moved(cn->second.view, route, answer)) return wire::Status::Moved;
  if (!cn->second.as_target.allow(now, kPerTargetPerSecond)) return wire::Status::RateLimited;
  return wire::Status::Ok;
}

// Whether CN is elsewhere than the other DC supposes; then `answer` says where.
bool DirectorEngine::has_moved(const store::TerminalView& cn, const wire::RouteDirection& route,
                               wire::RouteAck& answer) const {
  std::vector<Endpoint> planned = route.planned;
  std::vector<Endpoint> actual;
  for (const store::FamilyLocation* f : {&cn.location->v4, &cn.location->v6})
    if (f->outside.is_set()) actual.push_back(f->outside);
  std::sort(planned.begin(), planned.end());
  std::sort(actual.begin(), actual.end());
  if (planned == actual) return false;
  for (const store::FamilyLocation* f : {&cn.location->v4, &cn.location->v6})
    if (f->outside.is_set()) {
      answer.locators.push_back({{f->real, f->real_port}, wire::InterfaceKind::Unknown, 0});
      (f->outside.family() == Family::V4 ? answer.observed4 : answer.observed6) = f->outside;
    }
  return true;
}

}  // namespace ntm::director
