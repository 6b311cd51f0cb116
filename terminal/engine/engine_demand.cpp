// What makes tunnels: look-ups that the stub holds, packets without a tunnel, pings; and what ends
// them: idleness and the peer's Close.
#include <algorithm>

#include "libntm/crypto/key_schedule.hpp"
#include "libntm/wire/inner_control.hpp"
#include "terminal/engine/engine.hpp"

namespace ntm::terminal {

namespace {
constexpr std::uint32_t kPingIds = 0x40000000;  // apart from the probes of paths
}

void Engine::handle(Instant now, const LookupWanted& event) {
  begin(now);
  const Name& name = event.records.name;
  if (name == context_.settings.name) {
    VirtualAddresses own = interface_ ? interface_->addresses : context_.saved.own;
    context_.emit(LookupReady{event.id, LookupOutcome::Ready, own, {}});
    return end();
  }
  Result<Peer*> peer = directory_.learn(event.records);
  if (!peer || lookups_.size() >= kMaxLookups) {
    std::string why = peer ? "too many look-ups wait" : peer.error().text;
    context_.note("lookup_failed", {{"peer", name.text()}, {"reason", why}});
    context_.emit(LookupReady{event.id, LookupOutcome::Failed, {}, why});
    return end();
  }
  configure_interface();
  lookups_.push_back({event.id, name, context_.now + kHoldLookup, {}});
  want_tunnel(**peer);
  end();
}

void Engine::handle(Instant now, const PeerRecords& event) {
  begin(now);
  Query query;
  if (std::map<Name, Query>::node_type node = querying_.extract(event.name); node)
    query = node.mapped();
  Result<Peer*> peer = directory_.learn(event);
  if (peer) configure_interface();
  else context_.note("lookup_failed", {{"peer", event.name.text()}, {"reason", peer.error().text}});
  on_queried(event.name, query, peer);
  std::map<Name, SavedPeer>::iterator saved = context_.saved.peers.find(event.name);
  if (!peer && saved != context_.saved.peers.end() && find_tunnel(event.name) == nullptr)
    refuse(saved->second.virtual_addresses);
  end();
}

void Engine::handle(Instant now, const ZoneRecord& event) {
  begin(now);
  directory_.learn_zone(event);
  for (const auto& [name, tunnel] : tunnels_) {
    Peer* peer = directory_.find(name);
    if (peer != nullptr) tunnel->set_addresses(peer->addresses);
  }
  configure_interface();
  end();
}

void Engine::handle(Instant now, const ForgetPeer& event) {
  begin(now);
  remove_tunnel(event.name, false);
  directory_.forget(event.name);
  configure_interface();
  end();
}

void Engine::want_tunnel(Peer& peer) {
  // Without any usable address no packet could go through it; the zone's prefix may still come.
  if (peer.zone_known && !peer.addresses.v4 && !peer.addresses.v6) return;
  Tunnel* tunnel = find_tunnel(peer.name);
  if (tunnel != nullptr && (tunnel->ever_up() || !tunnel->paths().empty())) {
    tunnel->set_addresses(peer.addresses);
    return;
  }
  if (directions_.is_pending(peer.name)) return;
  start_direction(peer.name, wire::DirectionReason::New, std::nullopt);
}

bool Engine::settle_lookup(Lookup& lookup) {
  Peer* peer = directory_.find(lookup.name);
  if (peer == nullptr) {
    context_.emit(LookupReady{lookup.id, LookupOutcome::Failed, {}, "the peer was forgotten"});
    return true;
  }
  bool late = lookup.until <= context_.now;
  if (!peer->zone_known && !late) return false;
  LookupReady ready;
  ready.id = lookup.id;
  ready.addresses = peer->addresses;
  bool none = !peer->addresses.v4 && !peer->addresses.v6;
  Tunnel* tunnel = find_tunnel(lookup.name);
  if (none) {
    ready.outcome = LookupOutcome::Failed;
    ready.reason = peer->left_out.empty() ? "its record has no virtual address"
                                          : peer->left_out.front();
  } else if (tunnel != nullptr && tunnel->usable()) {
    ready.outcome = LookupOutcome::Ready;
  } else if (!lookup.problem.empty()) {
    ready.outcome = LookupOutcome::Refused;
    ready.reason = lookup.problem;
  } else if (late || (tunnel != nullptr && tunnel->ever_up())) {
    ready.outcome = LookupOutcome::Waiting;
  } else {
    return false;
  }
  context_.note("lookup_ready", {{"peer", lookup.name.text()},
                                 {"outcome", to_string(ready.outcome)},
                                 {"reason", ready.reason}});
  context_.emit(ready);
  return true;
}

void Engine::settle_lookups() {
  std::erase_if(lookups_, [&](Lookup& lookup) { return settle_lookup(lookup); });
}

void Engine::fail_lookups(const Name& name, const std::string& why) {
  for (Lookup& lookup : lookups_)
    if (lookup.name == name) lookup.problem = why;
}

void Engine::refuse(const VirtualAddresses& addresses) {
  if (addresses.v4) context_.change(datapath::Refuse{IpAddress(*addresses.v4)});
  if (addresses.v6) context_.change(datapath::Refuse{IpAddress(*addresses.v6)});
}

// ---- packets without a tunnel ----------------------------------------------------------------

void Engine::on_no_tunnel(const datapath::NoTunnel& event) {
  std::optional<Name> name = directory_.holder(event.destination);
  if (!name) {
    bool own_pool = false;
    for (const Prefix& p : context_.saved.zone_pools4)
      own_pool = own_pool || (event.destination.is_v4() && p.contains(event.destination));
    if (event.destination.is_v6() && context_.saved.zone_virtual6)
      own_pool = own_pool || context_.saved.zone_virtual6->contains(event.destination);
    if (own_pool) directions_.start_by_address(event.destination);
    else context_.change(datapath::Refuse{event.destination});
    return;
  }
  if (directions_.is_pending(*name) || querying_.count(*name) != 0) return;
  context_.note("on_demand", {{"peer", name->text()}, {"address", to_string(event.destination)}});
  Peer* peer = directory_.find(*name);
  bool fresh = peer != nullptr && !(peer->rdata4.empty() && peer->rdata6.empty()) &&
               context_.now - peer->seen < kRecordsFresh;
  if (fresh) return want_tunnel(*peer);
  query(*name, std::nullopt, false);
}

// 5 minutes without data: the tunnel goes, the peer's records stay, so that the next packet needs
// one Direction and no DNS (the keys would be too old by then in any case).
void Engine::on_idle(datapath::TunnelId id) {
  for (const auto& [name, tunnel] : tunnels_) {
    if (tunnel->id() != id) continue;
    if (tunnel->usable()) {
      wire::Close close{wire::CloseReason::Idle};
      context_.change(datapath::SendInner{tunnel->selected()->id(),
                                          wire::encode(wire::InnerControl(close))});
    }
    context_.note("tunnel_idle", {{"peer", name.text()}});
    Name gone = name;
    return remove_tunnel(gone, false);
  }
}

void Engine::on_inner(const datapath::InnerReceived& event) {
  Result<wire::InnerControl> control = wire::decode_inner_control(event.payload);
  if (!control) return;
  const wire::Close* close = std::get_if<wire::Close>(&*control);
  Tunnel* tunnel = tunnel_of(event.path);
  if (close == nullptr || tunnel == nullptr) return;
  context_.note("tunnel_closed_by_peer", {{"peer", tunnel->peer().text()}});
  Name gone = tunnel->peer();
  remove_tunnel(gone, close->reason != wire::CloseReason::Idle);
}

// The peer holds keys that we lost, by a restart: tell it (at most once a second a source; the
// datapath limits). The hint is 32 bytes, never longer than the DATA.
void Engine::on_unknown_path(const datapath::UnknownPath& event) {
  wire::TunnelHint hint;
  hint.code = wire::HintCode::UnknownPath;
  hint.path = event.path;
  hint.token = crypto::path_hint_token(context_.settings.reset_secret, event.path);
  context_.send({event.socket, event.from, event.local, 0}, wire::encode(hint));
}

// ---- ping ------------------------------------------------------------------------------------

void Engine::handle(Instant now, const PingWanted& event) {
  begin(now);
  Tunnel* tunnel = find_tunnel(event.name);
  if (tunnel == nullptr || !tunnel->usable()) {
    context_.emit(PingResult{event.id, false, {}, false, {}, "no path to the peer is up"});
    return end();
  }
  wire::Probe probe;
  probe.id = kPingIds | static_cast<std::uint32_t>(context_.random.u64() & 0x3fffffff);
  probe.sent_us = static_cast<std::uint64_t>(context_.now.us);
  PathId path = tunnel->selected()->id();
  pings_[probe.id] = {event.id, path, context_.now + kPingWait};
  context_.change(datapath::SendInner{path, wire::encode(wire::InnerControl(probe))});
  end();
}

void Engine::ping_timers() {
  for (std::map<std::uint32_t, Ping>::iterator it = pings_.begin(); it != pings_.end();) {
    if (it->second.until > context_.now) {
      ++it;
      continue;
    }
    context_.emit(PingResult{it->second.id, false, {}, false, {}, "no answer within 2 s"});
    it = pings_.erase(it);
  }
}

}  // namespace ntm::terminal
