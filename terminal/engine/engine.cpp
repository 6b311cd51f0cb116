// Dispatch of events, registration's consequences, and what every turn ends with.
#include "terminal/engine/engine.hpp"

#include <algorithm>

#include "libntm/wire/inner_control.hpp"

namespace ntm::terminal {

Engine::Engine(const Settings& settings, SavedState saved, Random& random)
    : context_(settings, std::move(saved), random),
      link_(context_),
      registration_(context_, link_),
      directory_(context_),
      directions_(context_, link_) {
  directory_.in_use = [this](const Name& name) { return tunnels_.count(name) != 0; };
}

Engine::~Engine() = default;

void Engine::handle(Instant now, const SocketsOpened& event) {
  begin(now);
  context_.locals.set_sockets(event);
  if (context_.saved.port4 != event.port4 || context_.saved.port6 != event.port6) {
    context_.saved.port4 = event.port4;
    context_.saved.port6 = event.port6;
    context_.save();
  }
  configure_interface();
  end();
}

void Engine::handle(Instant now, const datapath::Event& event) {
  begin(now);
  if (const auto* e = std::get_if<datapath::ControlReceived>(&event)) {
    on_control(*e);
  } else if (const auto* n = std::get_if<datapath::NoTunnel>(&event)) {
    on_no_tunnel(*n);
  } else if (const auto* i = std::get_if<datapath::TunnelIdle>(&event)) {
    on_idle(i->tunnel);
  } else if (const auto* u = std::get_if<datapath::UnknownPath>(&event)) {
    on_unknown_path(*u);
  } else if (const auto* r = std::get_if<datapath::InnerReceived>(&event)) {
    on_inner(*r);
  } else if (const auto* f = std::get_if<datapath::SendFailed>(&event)) {
    note_datapath(*f);
  } else {
    on_path_event(event);
  }
  end();
}

// What the datapath says about one path.
void Engine::on_path_event(const datapath::Event& event) {
  PathId id = std::visit(
      [](const auto& e) {
        if constexpr (requires { e.path; }) return e.path;
        else return PathId{};
      },
      event);
  Tunnel* tunnel = tunnel_of(id);
  Path* path = tunnel != nullptr ? tunnel->find(id) : nullptr;
  if (path == nullptr) return;
  if (const auto* c = std::get_if<datapath::PathConfirmed>(&event)) path->on_confirmed(c->epoch);
  if (const auto* m = std::get_if<datapath::PathMoved>(&event)) path->on_moved(m->outer);
  if (std::get_if<datapath::PathSilent>(&event) != nullptr) path->on_silent();
  if (std::get_if<datapath::PathAlive>(&event) != nullptr) path->on_alive();
  if (std::get_if<datapath::KeyWorn>(&event) != nullptr) path->on_key_worn();
  const auto* probe = std::get_if<datapath::ProbeAnswered>(&event);
  if (probe == nullptr) return;
  path->on_probe_answer(probe->id, probe->rtt);
  std::map<std::uint32_t, Ping>::iterator ping = pings_.find(probe->id);
  if (ping == pings_.end()) return;
  Endpoint outer = path->outer() ? path->outer()->remote : Endpoint{};
  context_.emit(PingResult{ping->second.id, true, probe->rtt, path->relayed(), outer, {}});
  pings_.erase(ping);
}

void Engine::handle(Instant now, const PathTraffic& event) {
  begin(now);
  Tunnel* tunnel = tunnel_of(event.path);
  Path* path = tunnel != nullptr ? tunnel->find(event.path) : nullptr;
  if (path != nullptr) path->on_traffic();
  end();
}

void Engine::handle(Instant now, const Leave&) {
  begin(now);
  for (const auto& [name, tunnel] : tunnels_) {
    if (!tunnel->usable()) continue;
    wire::Close close{wire::CloseReason::Leaving};
    context_.change(datapath::SendInner{tunnel->selected()->id(),
                                        wire::encode(wire::InnerControl(close))});
  }
  registration_.leave();
  end();
}

void Engine::on_timer(Instant now) {
  begin(now);
  registration_.on_timer();
  Directions::Turn turn = directions_.on_timer();
  for (const Directions::Pending& p : turn.failed)
    if (!p.message.peer_address) direction_failed(p.message.peer, "our DC does not answer");
  if (turn.session_failed) registration_.session_failed();
  for (const auto& [name, tunnel] : tunnels_) tunnel->on_timer();
  ping_timers();
  std::erase_if(answered_, [&](const auto& entry) {
    return entry.second.made + kKeepAnswered <= context_.now;
  });
  query_timers();
  end();
}

Instant Engine::next_deadline() const {
  Instant when = std::min(registration_.next_deadline(), directions_.next_deadline());
  for (const auto& [name, tunnel] : tunnels_) when = std::min(when, tunnel->next_deadline());
  for (const Lookup& l : lookups_) when = std::min(when, l.until);
  for (const auto& [name, query] : querying_) when = std::min(when, query.asked + kQueryAtMost);
  for (const auto& [id, ping] : pings_) when = std::min(when, ping.until);
  return when;
}

void Engine::end() {
  settle_tunnels();
  settle_lookups();
  if (!directions_.any_pending()) early_.clear();
}

// ---- control messages ------------------------------------------------------------------------

void Engine::on_control(const datapath::ControlReceived& received) {
  std::optional<wire::DatagramType> type = wire::datagram_type(received.datagram);
  if (!type) return;
  switch (*type) {
    case wire::DatagramType::TunnelRequest:
    case wire::DatagramType::TunnelResponse:
      return on_tunnel_message(received);
    case wire::DatagramType::TunnelHint:
      return on_tunnel_hint(received);
    case wire::DatagramType::ControlHint:
      if (link_.is_hint(received)) registration_.on_hint();
      return;
    default:
      break;
  }
  std::optional<DcLink::Incoming> incoming = link_.receive(received);
  if (incoming) on_message(*incoming);
}

void Engine::on_message(const DcLink::Incoming& incoming) {
  const wire::ControlMessage& message = incoming.message;
  if (const auto* r = std::get_if<wire::RegistrationResponse>(&message))
    on_registration(*r, incoming);
  else if (const auto* k = std::get_if<wire::KeepAlive>(&message))
    registration_.on_keep_alive(*k, incoming.family);
  else if (const auto* d = std::get_if<wire::RouteDirection>(&message))
    on_route(*d, incoming.family);
  else if (const auto* e = std::get_if<wire::DirectionError>(&message))
    on_direction_error(*e);
  else if (const auto* n = std::get_if<wire::PeerName>(&message))
    on_peer_name(*n);
  else if (const auto* v = std::get_if<wire::PathRevoke>(&message))
    on_revoke(*v, incoming.family);
}

void Engine::on_registration(const wire::RegistrationResponse& response,
                             const DcLink::Incoming& from) {
  Registration::Outcome outcome =
      registration_.on_response(response, from.family, from.handshake);
  left_ = left_ || outcome.left;
  if (outcome.addresses_changed) {
    directory_.judge_again();
    configure_interface();
  }
  directions_.set_rtt(registration_.rtt());
  if (outcome.session_is_new) directions_.resend_all(registration_.rtt());
}

void Engine::configure_interface() {
  const SavedState& saved = context_.saved;
  Acceptance own = accept_own(saved.own, saved.zone_pools4, saved.zone_virtual6,
                              context_.locals.real_prefixes());
  own_left_out_ = own.left_out;
  ConfigureInterface wanted;
  wanted.addresses = own.accepted;
  if (own.accepted.v4) wanted.routes = saved.zone_pools4;
  if (own.accepted.v6 && saved.zone_virtual6) wanted.routes.push_back(*saved.zone_virtual6);
  for (const auto& [name, peer] : saved.peers) {
    if (peer.zone == context_.settings.zone) continue;  // inside the pools
    if (own.accepted.v4 && peer.virtual_addresses.v4)
      wanted.routes.push_back({IpAddress(*peer.virtual_addresses.v4), 32});
    if (own.accepted.v6 && peer.virtual_addresses.v6)
      wanted.routes.push_back({IpAddress(*peer.virtual_addresses.v6), 128});
  }
  bool same = interface_ && interface_->addresses == wanted.addresses &&
              interface_->routes == wanted.routes;
  if (same || (!wanted.addresses.v4 && !wanted.addresses.v6)) return;
  interface_ = wanted;
  context_.emit(wanted);
}

void Engine::note_datapath(const datapath::SendFailed& event) {
  // EMSGSIZE and the like are the datapath's business; an address that is gone is told by netwatch.
  context_.note("send_failed", {{"remote", ntm::to_string(event.remote)},
                                {"errno", std::to_string(event.error)}});
}

// ---- tunnels ---------------------------------------------------------------------------------

Tunnel* Engine::tunnel_of(PathId path) {
  std::unordered_map<PathId, Name>::iterator it = path_index_.find(path);
  return it == path_index_.end() ? nullptr : find_tunnel(it->second);
}

Tunnel* Engine::find_tunnel(const Name& name) {
  std::map<Name, std::unique_ptr<Tunnel>>::iterator it = tunnels_.find(name);
  return it == tunnels_.end() ? nullptr : it->second.get();
}

Tunnel* Engine::make_tunnel(const Peer& peer) {
  Tunnel* found = find_tunnel(peer.name);
  if (found == nullptr && tunnels_.size() >= kMaxTunnels) return nullptr;
  if (found == nullptr) {
    datapath::TunnelId id{context_.random_nonzero()};
    std::unique_ptr<Tunnel> made = std::make_unique<Tunnel>(context_, id, peer.name);
    found = made.get();
    tunnels_.emplace(peer.name, std::move(made));
  }
  found->set_addresses(peer.addresses);
  return found;
}

void Engine::add_path(Tunnel& tunnel, std::unique_ptr<Path> path, bool may_be_early) {
  path_index_[path->id()] = tunnel.peer();
  Path* added = tunnel.add(std::move(path));
  tunnel.direction_started();
  added->start(may_be_early);
}

void Engine::remove_tunnel(const Name& name, bool unreachable) {
  Tunnel* tunnel = find_tunnel(name);
  if (tunnel == nullptr) return;
  for (const std::unique_ptr<Path>& p : tunnel->paths()) path_index_.erase(p->id());
  context_.change(datapath::RemoveTunnel{tunnel->id(), unreachable});
  context_.note("tunnel_removed", {{"peer", name.text()}});
  tunnels_.erase(name);
}

void Engine::settle_tunnels() {
  std::vector<Name> dead;
  for (const auto& [name, tunnel] : tunnels_) {
    Tunnel::Needs needs = tunnel->settle();
    for (PathId gone : tunnel->take_removed()) path_index_.erase(gone);
    if (needs.direction && !directions_.is_pending(name))
      start_direction(name, *needs.direction, needs.old_path);
    if (needs.dead && !directions_.is_pending(name)) dead.push_back(name);
  }
  for (const Name& name : dead) {
    fail_lookups(name, "no path to the peer came up");
    remove_tunnel(name, true);
  }
}

EngineStatus Engine::status() const {
  EngineStatus out;
  out.enrolled = context_.saved.enrolled;
  out.session = link_.has_session();
  out.dc_rtt = context_.dc_rtt;
  out.virtual_addresses = interface_ ? interface_->addresses : VirtualAddresses{};
  out.left_out = own_left_out_;
  out.families = registration_.status();
  for (const auto& [name, peer] : directory_.peers()) {
    PeerStatus p;
    p.name = name;
    p.addresses = peer.addresses;
    p.left_out = peer.left_out;
    p.state = directions_.is_pending(name) ? "asking" : "known";
    std::map<Name, std::unique_ptr<Tunnel>>::const_iterator t = tunnels_.find(name);
    if (t != tunnels_.end()) {
      p.state = t->second->usable() ? "up" : t->second->ever_up() ? "held" : "opening";
      for (const std::unique_ptr<Path>& path : t->second->paths()) {
        PathStatus s;
        s.path = path->id();
        s.state = to_string(path->state());
        s.selected = path.get() == t->second->selected();
        s.relayed = path->relayed();
        s.initiator = path->is_initiator();
        if (path->outer()) s.remote = path->outer()->remote;
        if (path->outer()) s.local = path->outer()->local;
        s.rtt = path->rtt();
        s.reason = path->reason();
        s.since = path->up_since();
        p.paths.push_back(s);
      }
    }
    out.peers.push_back(p);
  }
  return out;
}

}  // namespace ntm::terminal
