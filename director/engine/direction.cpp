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

// `hidden`: the record of a private terminal, which only its own DC can place.
Reach DirectorEngine::reach_of_record(const wire::DirectionRequest& request,
                                      VirtualAddresses& addresses, PublicKey& key,
                                      bool& hidden) const {
  Reach out;
  Result<wire::NtmRecord> v4 = wire::decode_ntm_record(Family::V4, request.peer_ntm4);
  Result<wire::NtmRecord> v6 = wire::decode_ntm_record(Family::V6, request.peer_ntm6);
  for (const Result<wire::NtmRecord>* record : {&v4, &v6}) {
    if (!*record) continue;
    const wire::NtmRecord& r = **record;
    if (r.terminal_key) key = *r.terminal_key;
    if (r.flags & wire::kNtmRelayOnly) out.relay_only = true;
    if (r.flags & wire::kNtmPrivate) hidden = true;
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

void DirectorEngine::name_peer(Instant now, SessionEntry& session,
                               const wire::DirectionRequest& request) {
  std::map<IpAddress, Name>::iterator it = virtual_addresses_.find(*request.peer_address);
  if (it == virtual_addresses_.end()) {
    refuse_direction(now, session.name, request.request, wire::Status::UnknownName);
    return;
  }
  wire::ControlMessage message(wire::PeerName{request.request, it->second});
  answers_.put(now, session.session.peer(), request.request, wire::encode(message));
  send_message(session.session.local_id(), message);
}

void DirectorEngine::direction_request(Instant now, SessionEntry& session,
                                       const wire::DirectionRequest& request) {
  // A repeated request gets the same answer; an unanswered one that is under way, nothing yet.
  if (const Bytes* answer = answers_.find(now, session.session.peer(), request.request)) {
    send(session, session.session.seal(*answer));
    return;
  }
  if (directions_by_mn_.count({session.name, request.request.value})) return;
  TerminalEntry& mn = terminals_.at(session.name);
  if (!mn.directions.allow(now, kDirectionsPerSecond)) {
    refuse_direction(now, session.name, request.request, wire::Status::RateLimited);
    return;
  }
  if (request.peer_address) {
    name_peer(now, session, request);
    return;
  }
  ++counters_.directions;
  Direction d;
  d.mn_request = request.request;
  d.request = new_request_id();
  d.mn = session.name;
  d.cn = request.peer;
  d.asked = request;
  d.mn_reach = reach_of_asker(mn, session, request);
  d.made = now;
  random_.fill(d.path_secret.span());
  wire::Status status = fill_peer(d);
  if (status != wire::Status::Ok) {
    refuse_direction(now, session.name, request.request, status);
    return;
  }
  plan(now, d);
  std::uint64_t id = d.request.value;
  directions_by_mn_[{d.mn, d.mn_request.value}] = id;
  Direction& placed = directions_.emplace(id, std::move(d)).first->second;
  send_directions(now, placed);
}

// Who CN is, from our own rows or from the record that MN resolved (as in the paper). What the
// record claims is only told to MN, who resolved it, and judged by CN's own DC.
wire::Status DirectorEngine::fill_own_peer(Direction& d, std::size_t own_zone) const {
  d.cn_is_ours = true;
  d.cn_zone = config_.zones[own_zone].zone.apex;
  std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(d.cn);
  if (it == terminals_.end() || !it->second.view.terminal.key) return wire::Status::UnknownName;
  const store::TerminalView& view = it->second.view;
  d.cn_reach = reach_of(view);
  d.cn_virtual = view.terminal.virtual_addresses;
  d.cn_key = *view.terminal.key;
  bool reachable = d.cn_reach.is_online() && it->second.session;
  return reachable ? wire::Status::Ok : wire::Status::Offline;
}

wire::Status DirectorEngine::fill_peer(Direction& d) const {
  if (d.cn == d.mn) return wire::Status::Denied;
  const Name& zone = d.asked.peer_zone;
  // A zone below one of ours may be delegated to another owner: the record names its DC.
  if (std::optional<std::size_t> own = zone_of(d.cn)) {
    const Name& apex = config_.zones[*own].zone.apex;
    bool delegated = zone != apex && zone.is_under(apex) && terminals_.count(d.cn) == 0;
    if (!delegated) return fill_own_peer(d, *own);
  }
  if (zone.is_root() || !d.cn.is_under(zone)) return wire::Status::UnknownName;
  d.cn_zone = zone;
  d.cn_reach = reach_of_record(d.asked, d.cn_virtual, d.cn_key, d.cn_unknown);
  if (d.cn_key.is_zero()) return wire::Status::UnknownName;
  d.cn_unknown = d.cn_unknown && !d.cn_reach.is_online();
  return d.cn_unknown || d.cn_reach.is_online() ? wire::Status::Ok : wire::Status::Offline;
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

DirectorEngine::Target DirectorEngine::target_of_cn(const Direction& d) const {
  if (d.cn_is_ours) return {Towards::Terminal, d.cn};
  return {Towards::Dc, d.cn_zone, *zone_of(d.mn)};
}

// False when the direction ended here.
bool DirectorEngine::send_to_cn(Instant now, Direction& d) {
  wire::RouteDirection route = route_for(d, wire::Role::Responder);
  if (!d.cn_is_ours) {
    for (const std::optional<FamilyReach>* f : {&d.cn_reach.v6, &d.cn_reach.v4})
      if (*f) route.planned.push_back((*f)->outside);
    send_to_dc(now, {d.cn_zone, *zone_of(d.mn)}, std::move(route));
    return !d.ended;
  }
  if (!terminals_.at(d.cn).as_target.allow(now, kPerTargetPerSecond)) {
    end_direction(now, d, wire::Status::RateLimited);
    return false;
  }
  send_reliably(now, target_of_cn(d), d.request, wire::ControlMessage(route));
  return true;
}

void DirectorEngine::send_directions(Instant now, Direction& d) {
  if (d.cn_unknown) {  // its DC answers Moved with the place; then the real plan is made
    send_to_cn(now, d);
    return;
  }
  if (d.plan.route_class == RouteClass::Unreachable) {
    bool somewhere = d.mn_reach.is_online() && d.cn_reach.is_online();
    end_direction(now, d, somewhere ? wire::Status::NoRelay : wire::Status::Offline);
    return;
  }
  if (d.relay) direct_relay(now, d);
  // To CN first: its way is the longer one.
  if (!send_to_cn(now, d)) return;
  wire::ControlMessage to_mn(route_for(d, wire::Role::Initiator));
  std::optional<SessionId> session = terminals_.at(d.mn).session;
  if (SessionEntry* entry = find_session(session))
    answers_.put(now, entry->session.peer(), d.mn_request, wire::encode(to_mn));
  send_message(session, to_mn);
  LivePath path{{d.path}, d.mn, d.cn, std::nullopt, d.relay,
                now + seconds(kPathLifetimeSeconds)};
  path.paths.insert(path.paths.end(), d.spares.begin(), d.spares.end());
  if (!d.cn_is_ours) path.link = LinkKey{d.cn_zone, *zone_of(d.mn)};
  remember_path(std::move(path));
  notify(Notify::Kind::Direction, d.mn, "to " + d.cn.text() + ": " + d.plan.reason);
}

// Again, with what is known now: another Path ID, perhaps another relay.
void DirectorEngine::replan(Instant now, Direction& d) {
  if (++d.attempt > kMaxAttempts) {
    end_direction(now, d, wire::Status::TryLater);
    return;
  }
  plan(now, d);
  send_directions(now, d);
}

void DirectorEngine::end_direction(Instant now, Direction& d, wire::Status status) {
  if (d.ended) return;
  d.ended = true;
  if (d.relay) {
    stop_sending(now, {Towards::Relay, *d.relay}, d.request);
    delete_at_relay(now, *d.relay, {d.path});
  }
  stop_sending(now, target_of_cn(d), d.request);
  refuse_direction(now, d.mn, d.mn_request, status);
}

void DirectorEngine::end_directions_of(Instant now, const Name& terminal) {
  for (auto& [id, d] : directions_)
    if (d.mn == terminal || d.cn == terminal) end_direction(now, d, wire::Status::UnknownName);
  std::erase_if(directions_, [&](const std::pair<const std::uint64_t, Direction>& d) {
    if (d.second.mn != terminal && d.second.cn != terminal) return false;
    directions_by_mn_.erase({d.second.mn, d.second.mn_request.value});
    return true;
  });
}

}  // namespace ntm::director
