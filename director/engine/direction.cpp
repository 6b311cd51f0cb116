// Directions (paper 4.3, figure 4): from a Direction Request to Relay Direction and both Route
// Directions, sent at the same moment.
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

Reach DirectorEngine::reach_of(const store::TerminalView& view) const {
  Reach out;
  if (!view.location || (view.location->flags & store::kLocationOffline)) return out;
  out.relay_only = view.location->flags & store::kLocationRelayOnly;
  auto family = [](const store::FamilyLocation& f) -> std::optional<FamilyReach> {
    if (!f.outside.is_set()) return std::nullopt;
    return FamilyReach{{f.real, f.real_port}, f.outside, f.behind_nat};
  };
  out.v4 = family(view.location->v4);
  out.v6 = family(view.location->v6);
  return out;
}

// The asker may have moved a moment ago: the source of its request is newer than any row, and the
// planning does not wait for the registration that is under way beside it.
Reach DirectorEngine::reach_of_asker(const TerminalEntry& entry, const SessionEntry& session,
                                     const wire::DirectionRequest& request) const {
  Reach out = reach_of(entry.view);
  Family family = session.peer.family();
  for (Family f : {Family::V4, Family::V6}) {
    std::optional<FamilyReach>& place = f == Family::V4 ? out.v4 : out.v6;
    const wire::Locator* best = nullptr;
    bool still_there = false;
    for (const wire::Locator& l : request.locators) {
      if (l.endpoint.family() != f) continue;
      if (best == nullptr || l.endpoint.address == session.peer.address) best = &l;
      if (place && l.endpoint == place->local) still_there = true;
    }
    if (f == family) {
      Endpoint local = best != nullptr ? best->endpoint : session.peer;
      place = FamilyReach{local, session.peer, local != session.peer};
    } else if (!still_there) {
      place.reset();
    }
  }
  return out;
}

Reach DirectorEngine::reach_of_record(const wire::DirectionRequest& request,
                                      VirtualAddresses& addresses, PublicKey& key) const {
  Reach out;
  Result<wire::NtmRecord> v4 = wire::decode_ntm_record(Family::V4, request.peer_ntm4);
  Result<wire::NtmRecord> v6 = wire::decode_ntm_record(Family::V6, request.peer_ntm6);
  for (const Result<wire::NtmRecord>* record : {&v4, &v6}) {
    if (!*record) continue;
    const wire::NtmRecord& r = **record;
    if (r.terminal_key) key = *r.terminal_key;
    if (r.flags & wire::kNtmRelayOnly) out.relay_only = true;
    if (r.virtual_address.is_v4() && !r.virtual_address.is_unspecified())
      addresses.v4 = r.virtual_address.v4();
    if (r.virtual_address.is_v6() && !r.virtual_address.is_unspecified())
      addresses.v6 = r.virtual_address.v6();
    if (!r.has_real()) continue;
    bool nat = r.flags & wire::kNtmBehindNat;
    Endpoint outside = nat && r.nat_outside.is_set() ? r.nat_outside : r.real;
    FamilyReach reach{r.real, outside, nat};
    (r.family == Family::V4 ? out.v4 : out.v6) = reach;
  }
  return out;
}

void DirectorEngine::refuse_direction(Instant now, const Name& mn, RequestId request,
                                      wire::Status status) {
  ++counters_.directions_failed;
  std::map<Name, TerminalEntry>::iterator it = terminals_.find(mn);
  if (it == terminals_.end()) return;
  wire::ControlMessage message(wire::DirectionError{request, status});
  if (SessionEntry* session = find_session(it->second.session)) {
    answers_.put(now, session->session.peer(), request, wire::encode(message));
    send_message(it->second.session, message);
  }
}

void DirectorEngine::direction_request(Instant now, SessionEntry& session,
                                       const wire::DirectionRequest& request) {
  // A repeated request gets the same answer; an unanswered one that is under way, nothing yet.
  if (const Bytes* answer = answers_.find(now, session.session.peer(), request.request)) {
    send(session, session.session.seal(*answer));
    return;
  }
  for (const auto& [id, d] : directions_)
    if (d.mn == session.name && d.mn_request == request.request) return;
  TerminalEntry& mn = terminals_.at(session.name);
  if (!mn.directions.allow(now, kDirectionsPerSecond)) {
    refuse_direction(now, session.name, request.request, wire::Status::RateLimited);
    return;
  }
  if (request.peer_address) {
    std::map<IpAddress, Name>::iterator it = virtual_addresses_.find(*request.peer_address);
    if (it == virtual_addresses_.end()) {
      refuse_direction(now, session.name, request.request, wire::Status::UnknownName);
      return;
    }
    wire::ControlMessage message(wire::PeerName{request.request, it->second});
    answers_.put(now, session.session.peer(), request.request, wire::encode(message));
    send_message(session.session.local_id(), message);
    return;
  }
  ++counters_.directions;
  Direction d;
  d.mn_request = request.request;
  do d.request = {random_.u64()};
  while (directions_.count(d.request.value) != 0 || forwarded_.count(d.request.value) != 0);
  d.mn = session.name;
  d.cn = request.peer;
  d.asked = request;
  d.mn_reach = reach_of_asker(mn, session, request);
  d.made = now;
  d.path_secret.span()[0] = 0;
  random_.fill(d.path_secret.span());
  wire::Status status = fill_peer(d);
  if (status != wire::Status::Ok) {
    refuse_direction(now, session.name, request.request, status);
    return;
  }
  plan(now, d);
  std::uint64_t id = d.request.value;
  Direction& placed = directions_.emplace(id, std::move(d)).first->second;
  send_directions(now, placed);
}

// Who CN is, from our own rows or from the record that MN resolved (as in the paper). What the
// record claims is only told to MN, who resolved it, and judged by CN's own DC.
wire::Status DirectorEngine::fill_peer(Direction& d) const {
  if (d.cn == d.mn) return wire::Status::Denied;
  std::optional<std::size_t> own = zone_of(d.cn);
  if (own) {
    d.cn_is_ours = true;
    d.cn_zone = config_.zones[*own].zone.apex;
    std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(d.cn);
    if (it == terminals_.end() || !it->second.view.terminal.key) return wire::Status::UnknownName;
    const store::TerminalView& view = it->second.view;
    d.cn_reach = reach_of(view);
    d.cn_virtual = view.terminal.virtual_addresses;
    d.cn_key = *view.terminal.key;
    if (!d.cn_reach.is_online() || !it->second.session) return wire::Status::Offline;
    return wire::Status::Ok;
  }
  if (d.asked.peer_zone.is_root() || !d.cn.is_under(d.asked.peer_zone))
    return wire::Status::UnknownName;
  d.cn_zone = d.asked.peer_zone;
  d.cn_reach = reach_of_record(d.asked, d.cn_virtual, d.cn_key);
  if (d.cn_key.is_zero()) return wire::Status::UnknownName;
  return d.cn_reach.is_online() ? wire::Status::Ok : wire::Status::Offline;
}

void DirectorEngine::plan(Instant now, Direction& d) {
  std::vector<RelayOption> options = relay_options(now, d, d.relay_names);
  d.plan = plan_route(d.mn_reach, d.cn_reach, options);
  d.relay.reset();
  if (d.plan.relay) d.relay = d.relay_names[*d.plan.relay];
  // Every attempt is a new path: a relay or a terminal may hold the old Path ID already.
  auto draw = [this] {
    PathId id;
    do id = {random_.u64()};
    while (id.is_zero());
    return id;
  };
  d.path = draw();
  d.spares = {draw(), draw()};
  random_.fill(d.leg_a.span());
  random_.fill(d.leg_b.span());
}

wire::RouteDirection DirectorEngine::route_for(const Direction& d, wire::Role role) const {
  bool initiator = role == wire::Role::Initiator;
  wire::RouteDirection out;
  out.request = initiator ? d.mn_request : d.request;
  out.attempt = d.attempt;
  out.to = initiator ? d.mn : d.cn;
  out.role = role;
  out.path = d.path;
  out.spares = d.spares;
  out.path_secret = d.path_secret;
  out.mode = d.plan.mode;
  out.reason = d.plan.reason.substr(0, wire::kMaxReasonText);
  out.targets = initiator ? d.plan.targets_of_mn : d.plan.targets_of_cn;
  out.peer = initiator ? d.cn : d.mn;
  const TerminalEntry& mn = terminals_.at(d.mn);
  out.initiator_zone = config_.zones[*zone_of(d.mn)].zone.apex;
  out.responder_zone = d.cn_zone;
  out.peer_virtual = initiator ? d.cn_virtual : mn.view.terminal.virtual_addresses;
  out.peer_key = initiator ? d.cn_key : *mn.view.terminal.key;
  out.direction_reason = d.asked.reason;
  out.old_path = d.asked.old_path;
  out.suite = d.asked.suite;
  if (!initiator) out.message1 = d.asked.message1;
  out.lifetime_seconds = kPathLifetimeSeconds;
  if (d.relay) {
    const RelayEntry& relay = relays_.at(*d.relay);
    wire::RelayTarget target;
    target.endpoints = relay.endpoints;
    target.path = d.path;
    target.leg_key = initiator ? d.leg_a : d.leg_b;
    target.leg = initiator ? wire::Leg::A : wire::Leg::B;
    target.reset_token = crypto::path_hint_token(relay.token_secret, d.path);
    out.relay = std::move(target);
  }
  return out;
}

void DirectorEngine::send_directions(Instant now, Direction& d) {
  if (d.plan.route_class == RouteClass::Unreachable) {
    end_direction(now, d, d.mn_reach.is_online() && d.cn_reach.is_online() ? wire::Status::NoRelay
                                                                          : wire::Status::Offline);
    return;
  }
  if (d.relay) direct_relay(now, d, kPathLifetimeSeconds);
  // To CN first: its way is the longer one.
  wire::RouteDirection to_cn = route_for(d, wire::Role::Responder);
  if (d.cn_is_ours) {
    if (!terminals_.at(d.cn).as_target.allow(now, kPerTargetPerSecond)) {
      end_direction(now, d, wire::Status::RateLimited);
      return;
    }
    send_reliably(now, Towards::Terminal, d.cn, d.request, wire::ControlMessage(to_cn));
  } else {
    send_to_dc(now, *zone_of(d.mn), d.cn_zone, std::move(to_cn));
  }
  wire::ControlMessage to_mn(route_for(d, wire::Role::Initiator));
  std::optional<SessionId> session = terminals_.at(d.mn).session;
  if (SessionEntry* entry = find_session(session))
    answers_.put(now, entry->session.peer(), d.mn_request, wire::encode(to_mn));
  send_message(session, to_mn);
  notify(Notify::Kind::Direction, d.mn, "to " + d.cn.text() + ": " + d.plan.reason);
}

void DirectorEngine::end_direction(Instant now, Direction& d, wire::Status status) {
  if (d.ended) return;
  d.ended = true;
  if (d.relay) {
    stop_sending(now, Towards::Relay, *d.relay, d.request);
    direct_relay(now, d, 0);
  }
  stop_sending(now, Towards::Terminal, d.cn, d.request);
  stop_sending(now, Towards::Dc, d.cn_zone, d.request);
  refuse_direction(now, d.mn, d.mn_request, status);
}

void DirectorEngine::route_ack(Instant now, SessionEntry& session, const wire::RouteAck& ack) {
  std::map<std::uint64_t, Forwarded>::iterator forwarded = forwarded_.find(ack.request.value);
  if (forwarded != forwarded_.end()) {
    if (session.kind != PeerKind::Terminal || session.name != forwarded->second.cn) return;
    stop_sending(now, Towards::Terminal, forwarded->second.cn, ack.request);
    wire::RouteAck back = ack;
    back.request = forwarded->second.foreign_request;
    wire::ControlMessage message(back);
    if (SessionEntry* dc = find_session(forwarded->second.session)) {
      answers_.put(now, dc->session.peer(), back.request, wire::encode(message));
      send_message(forwarded->second.session, message);
    }
    return;
  }
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(ack.request.value);
  if (it == directions_.end()) return;
  Direction& d = it->second;
  bool from_cn = session.kind == PeerKind::Terminal && d.cn_is_ours && session.name == d.cn;
  bool from_dc = session.kind == PeerKind::Dc && !d.cn_is_ours && session.name == d.cn_zone;
  if (from_cn || from_dc) direction_acked(now, d, ack);
}

void DirectorEngine::direction_acked(Instant now, Direction& d, const wire::RouteAck& ack) {
  stop_sending(now, Towards::Terminal, d.cn, d.request);
  stop_sending(now, Towards::Dc, d.cn_zone, d.request);
  if (d.ended || ack.status == wire::Status::Ok) return;
  if (ack.status != wire::Status::Moved) {
    end_direction(now, d, ack.status);
    return;
  }
  if (d.attempt >= 3) {  // CN moves faster than directions travel: MN asks again later
    end_direction(now, d, wire::Status::TryLater);
    return;
  }
  // CN is elsewhere than MN's DC believed: plan again with what its DC observed.
  Reach fresh;
  fresh.relay_only = d.cn_reach.relay_only;
  for (const wire::Locator& l : ack.locators) {
    bool v4 = l.endpoint.family() == Family::V4;
    const std::optional<Endpoint>& seen = v4 ? ack.observed4 : ack.observed6;
    Endpoint outside = seen ? *seen : l.endpoint;
    std::optional<FamilyReach>& place = v4 ? fresh.v4 : fresh.v6;
    if (!place) place = FamilyReach{l.endpoint, outside, outside != l.endpoint};
  }
  d.cn_reach = fresh;
  ++d.attempt;
  if (d.relay) direct_relay(now, d, 0);
  plan(now, d);
  send_directions(now, d);
}

}  // namespace ntm::director
