// Direction (paper 4.3): our requests, Route Directions in both roles, revocation, and the tunnel
// messages that follow them.
#include <algorithm>

#include "libntm/crypto/key_schedule.hpp"
#include "terminal/engine/engine.hpp"

namespace ntm::terminal {

void Engine::start_direction(const Name& name, wire::DirectionReason reason,
                             std::optional<PathId> old_path, std::optional<Family> over) {
  Peer* peer = directory_.find(name);
  if (peer == nullptr) return;
  if (lacks_record(*peer)) {
    if (!query(name, Wanted{reason, old_path, over}, false))
      direction_failed(name, "too many questions wait");
    return;
  }
  Result<void> started = directions_.start(*peer, reason, old_path, over);
  if (!started) direction_failed(name, started.error().text);
}

// A peer that we know from its own call only: its DC is found by its record, which no look-up of
// ours has brought yet. Terminals of our zone are in our DC's rows. An old record will do: the
// peer's DC corrects the place.
bool Engine::lacks_record(const Peer& peer) const {
  return peer.zone != context_.settings.zone && peer.rdata4.empty() && peer.rdata6.empty();
}

bool Engine::query(const Name& name, std::optional<Wanted> wanted, bool ahead) {
  std::map<Name, Query>::iterator running = querying_.find(name);
  if (running != querying_.end()) {
    if (wanted) running->second.wanted = wanted;
    running->second.ahead = running->second.ahead && ahead;
    return true;
  }
  if (querying_.size() >= kMaxLookups) return false;
  querying_[name] = {context_.now, wanted, ahead};
  context_.emit(QueryPeer{name});
  return true;
}

void Engine::query_timers() {
  std::vector<std::pair<Name, Query>> late;
  for (const auto& [name, query] : querying_)
    if (query.asked + kQueryAtMost <= context_.now) late.emplace_back(name, query);
  for (const auto& [name, query] : late) {
    querying_.erase(name);
    if (query.wanted) direction_failed(name, "DNS does not answer");
  }
}

void Engine::on_queried(const Name& name, const Query& query, const Result<Peer*>& peer) {
  bool usable = peer && !lacks_record(**peer);
  if (query.wanted && find_tunnel(name) == nullptr) return;  // closed meanwhile
  if (query.wanted && usable)
    start_direction(name, query.wanted->reason, query.wanted->old_path, query.wanted->over);
  else if (query.wanted)
    direction_failed(name, peer ? "DNS has no record of it" : peer.error().text);
  else if (peer && !query.ahead)
    want_tunnel(**peer);
}

void Engine::on_route(const wire::RouteDirection& route, Family from) {
  if (route.to != context_.settings.name) return;
  context_.note("route_direction", {{"peer", route.peer.text()},
                                    {"request", ntm::to_string(route.request)},
                                    {"attempt", std::to_string(route.attempt)},
                                    {"role", route.role == wire::Role::Initiator ? "initiator"
                                                                                 : "responder"},
                                    {"mode", wire::to_string(route.mode)},
                                    {"reason", route.reason}});
  if (route.role == wire::Role::Initiator) return on_route_as_initiator(route);
  std::map<RequestId, AnsweredRoute>::iterator known = answered_.find(route.request);
  if (known != answered_.end() && known->second.attempt > route.attempt) return;
  bool repeated = known != answered_.end() && known->second.attempt == route.attempt;
  if (!repeated) {
    if (answered_.size() >= kMaxAnswered) answered_.erase(answered_.begin());
    wire::RouteAck ack;
    ack.request = route.request;
    ack.status = open_as_responder(route);
    ack.locators = context_.locals.locators();
    answered_[route.request] = {route.attempt, ack, context_.now};
    context_.note("route_ack", {{"peer", route.peer.text()},
                                {"request", ntm::to_string(route.request)},
                                {"status", wire::to_string(ack.status)}});
  }
  link_.send(answered_[route.request].ack, from);
}

bool Engine::accepts_zone(const Name& zone) const {
  return zone == context_.settings.zone || context_.settings.accept_any_zone ||
         context_.settings.accept_from.count(zone) != 0;
}

// CN's side. Whatever is refused leaves no trace.
wire::Status Engine::open_as_responder(const wire::RouteDirection& route) {
  if (!route.peer.is_under(route.initiator_zone) || !accepts_zone(route.initiator_zone))
    return wire::Status::Denied;
  if (path_index_.count(route.path) != 0) return wire::Status::PathIdInUse;
  std::optional<crypto::Suite> suite = crypto::suite_from(route.suite);
  if (!suite) return wire::Status::NoSuite;
  Result<crypto::Noise> noise = read_end_to_end(context_, *suite, route.peer,
                                                context_.settings.name, route.peer_key,
                                                route.message1);
  if (!noise) {
    context_.note("message1_refused",
                  {{"peer", route.peer.text()}, {"reason", noise.error().text}});
    return wire::Status::BadKey;
  }
  Result<Peer*> peer = directory_.learn(route, route.initiator_zone);
  if (!peer) return wire::Status::BadKey;
  configure_interface();
  Tunnel* tunnel = make_tunnel(**peer);
  if (tunnel == nullptr) return wire::Status::TryLater;
  tunnel->drop_attempts(route.request, route.attempt);
  Path::Made made{tunnel->id(), context_.settings.name, route, context_.settings.key.public_key};
  bool may_be_early = !tunnel->usable();
  add_path(*tunnel, std::make_unique<Path>(context_, made, *suite, std::move(*noise)),
           may_be_early);
  // For the day when we move and have to ask for a direction ourselves.
  if (lacks_record(**peer)) query(route.peer, std::nullopt, true);
  return wire::Status::Ok;
}

// The DC may know a newer key than DNS told us. It is believed by the same rules; then the request
// is made once more with it (docs/PROTOCOL.md 2).
bool Engine::accept_key_of(const wire::RouteDirection& route, Directions::Pending& pending) {
  if (route.peer_key == pending.key) return true;
  Name zone = pending.message.peer_zone;
  std::optional<PathId> old_path = pending.message.old_path;
  wire::DirectionReason reason = pending.message.reason;
  bool corrected = pending.key_corrected;
  directions_.drop(route.request);
  Result<Peer*> peer = directory_.learn(route, zone);
  if (corrected || !peer) {
    direction_failed(route.peer, "the DC names another key than DNS");
    return false;
  }
  Result<void> again = directions_.start(**peer, reason, old_path, std::nullopt, true);
  if (!again) direction_failed(route.peer, again.error().text);
  return false;
}

void Engine::on_route_as_initiator(const wire::RouteDirection& route) {
  Directions::Pending* pending = directions_.find(route.request);
  if (pending == nullptr || !pending->noise || pending->message.peer != route.peer) return;
  if (static_cast<int>(route.attempt) <= pending->attempt) return;
  if (!accept_key_of(route, *pending)) return;
  if (path_index_.count(route.path) != 0) return;
  Peer* peer = directory_.find(route.peer);
  Tunnel* tunnel = peer != nullptr ? make_tunnel(*peer) : nullptr;
  if (tunnel == nullptr) return;
  pending->attempt = route.attempt;
  directions_.answered(route.request);
  tunnel->drop_attempts(route.request, route.attempt);
  Path::Made made{tunnel->id(), context_.settings.name, route, context_.settings.key.public_key};
  add_path(*tunnel,
           std::make_unique<Path>(context_, made, pending->suite, *pending->noise,
                                  pending->message.message1),
           false);
  replay_early();
}

void Engine::on_direction_error(const wire::DirectionError& error) {
  Directions::Pending* pending = directions_.find(error.request);
  if (pending == nullptr) return;
  context_.note("direction_error", {{"peer", pending->message.peer.text()},
                                    {"request", ntm::to_string(error.request)},
                                    {"status", wire::to_string(error.status)}});
  if (pending->message.peer_address) {
    context_.change(datapath::Refuse{*pending->message.peer_address});
    return directions_.drop(error.request);
  }
  Name peer = pending->message.peer;
  // Also after a Route Direction: CN's own refusal travels longer than the route to us.
  Tunnel* tunnel = find_tunnel(peer);
  if (tunnel != nullptr) tunnel->drop_attempts(error.request, 255);
  directions_.drop(error.request);
  direction_failed(peer, std::string("the DC answered ") + wire::to_string(error.status));
}

void Engine::direction_failed(const Name& name, const std::string& why) {
  context_.note("direction_failed", {{"peer", name.text()}, {"reason", why}});
  Tunnel* tunnel = find_tunnel(name);
  if (tunnel != nullptr && tunnel->ever_up()) return tunnel->direction_failed();
  fail_lookups(name, why);
  Peer* peer = directory_.find(name);
  if (tunnel != nullptr) remove_tunnel(name, true);
  if (peer != nullptr) refuse(peer->addresses);
}

void Engine::on_peer_name(const wire::PeerName& answer) {
  Directions::Pending* pending = directions_.find(answer.request);
  if (pending == nullptr || !pending->message.peer_address) return;
  directions_.drop(answer.request);
  query(answer.name, std::nullopt, false);
}

void Engine::on_revoke(const wire::PathRevoke& revoke, Family from) {
  link_.send(wire::RouteAck{revoke.request, wire::Status::Ok, {}, {}, {}}, from);
  std::vector<Name> concerned;
  for (PathId path : revoke.paths) {
    Tunnel* tunnel = tunnel_of(path);
    if (tunnel == nullptr) continue;
    tunnel->revoke(revoke.paths);
    if (!tunnel->usable()) concerned.push_back(tunnel->peer());
  }
  for (const Name& name : concerned) {
    Tunnel* tunnel = find_tunnel(name);
    if (tunnel == nullptr || tunnel->usable()) continue;
    context_.note("path_revoked", {{"peer", name.text()}});
    remove_tunnel(name, revoke.reason != wire::RevokeReason::Closed);
  }
}

// ---- tunnel messages -------------------------------------------------------------------------

void Engine::on_tunnel_message(const datapath::ControlReceived& received) {
  Result<wire::TunnelMessage> message = wire::decode_tunnel_message(received.datagram);
  if (!message) return;
  Tunnel* tunnel = tunnel_of(message->path);
  Path* path = tunnel != nullptr ? tunnel->find(message->path) : nullptr;
  if (path != nullptr) {
    if (message->type == wire::DatagramType::TunnelRequest) path->on_request(*message, received);
    else path->on_response(*message, received);
    return;
  }
  // It may have overtaken our Route Direction: CN's way to us can be shorter than the DC's.
  if (message->type != wire::DatagramType::TunnelRequest || !directions_.any_pending()) return;
  std::erase_if(early_, [&](const datapath::ControlReceived& e) {
    return e.from == received.from;
  });
  if (early_.size() == kEarlyRequests) early_.pop_front();
  early_.push_back(received);
}

void Engine::replay_early() {
  std::deque<datapath::ControlReceived> waiting = std::exchange(early_, {});
  for (const datapath::ControlReceived& received : waiting) on_tunnel_message(received);
}

void Engine::on_tunnel_hint(const datapath::ControlReceived& received) {
  Result<wire::TunnelHint> hint = wire::decode_tunnel_hint(received.datagram);
  if (!hint) return;
  Tunnel* tunnel = tunnel_of(hint->path);
  Path* path = tunnel != nullptr ? tunnel->find(hint->path) : nullptr;
  if (path == nullptr || !path->outer() || path->outer()->remote != received.from) return;
  path->on_hint(*hint);
}

}  // namespace ntm::terminal
