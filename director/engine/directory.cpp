// What other writers of the store did (the feed, `ntm dc`), and what is shown of all this.
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

void DirectorEngine::zone_changed(const ZoneIdentity& identity) {
  std::unique_ptr<exchange::HandshakeResponder> responder =
      std::make_unique<exchange::HandshakeResponder>(identity.zone.apex, identity.key,
                                                     identity.next_key, random_);
  for (std::size_t i = 0; i < config_.zones.size(); ++i) {
    if (config_.zones[i].zone.id != identity.zone.id) continue;
    // Cookies given out before stay valid unless a key changed: only then a new responder.
    bool same_keys = config_.zones[i].key.public_key == identity.key.public_key &&
                     config_.zones[i].next_key.has_value() == identity.next_key.has_value();
    config_.zones[i] = identity;
    if (!same_keys) responders_[i] = std::move(responder);
    return;
  }
  config_.zones.push_back(identity);
  responders_.push_back(std::move(responder));
  pools_.emplace_back(identity.zone);
}

void DirectorEngine::terminal_changed(Instant now, const store::TerminalView& view) {
  const Name& name = view.terminal.name;
  std::optional<std::size_t> zone = zone_of(name);
  if (!zone) return;
  std::map<Name, TerminalEntry>::iterator known = terminals_.find(name);
  if (known != terminals_.end() && known->second.view.terminal.id != view.terminal.id)
    terminal_removed(now, known->second.view.terminal.id);
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
}

void DirectorEngine::terminal_removed(Instant now, store::TerminalId id) {
  std::unordered_map<std::uint64_t, Name>::iterator it = terminal_ids_.find(id.value);
  if (it == terminal_ids_.end()) return;
  Name name = it->second;
  // While it can still be told: its paths end at both ends and at the relays.
  revoke_paths_of(now, name, wire::RevokeReason::Deleted);
  end_directions_of(now, name);
  terminal_ids_.erase(id.value);
  TerminalEntry& entry = terminals_.at(name);
  if (entry.view.terminal.key) terminal_keys_.erase(*entry.view.terminal.key);
  const VirtualAddresses& va = entry.view.terminal.virtual_addresses;
  if (va.v4) virtual_addresses_.erase(*va.v4);
  if (va.v6) virtual_addresses_.erase(*va.v6);
  if (std::optional<std::size_t> zone = zone_of(name)) pools_[*zone].give_back(va);
  leases_.erase({entry.lease_ends, name});
  terminals_.erase(name);
  forget_sessions_of(PeerKind::Terminal, name);
  notify(Notify::Kind::Info, name, "removed");
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
    if (entry.relay.key && entry.relay.key != relay.key) {
      relay_keys_.erase(*entry.relay.key);
      entry.session.reset();
      entry.counter = 0;  // the other key's
    }
    entry.relay = relay;
    if (relay.key) relay_keys_[*relay.key] = relay.name;
  }
  for (std::map<Name, RelayEntry>::iterator it = relays_.begin(); it != relays_.end();) {
    if (present.count(it->first)) {
      ++it;
      continue;
    }
    if (it->second.relay.key) relay_keys_.erase(*it->second.relay.key);
    forget_sessions_of(PeerKind::Relay, it->first);
    notify(Notify::Kind::RelayDown, it->first, "removed");
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
  // Whom the change cuts off has no session from now on. What is only old in our memory is no
  // reason to cut: belief by DNS is renewed with the next handshake.
  std::erase_if(sessions_, [&](const std::pair<const SessionId, SessionEntry>& item) {
    const SessionEntry& s = item.second;
    if (s.kind != PeerKind::Dc) return false;
    const DcPeer& peer = peers_[s.name];
    bool by_dns = config_.zones[s.zone].zone.peer_policy == store::PeerPolicy::Dnssec;
    return !by_dns && !believes(latest_, peer, s.zone, s.session.peer());
  });
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

// ---- status -----------------------------------------------------------------------------------

DirectorEngine::TerminalStatus DirectorEngine::status_of(const TerminalEntry& entry) const {
  TerminalStatus s;
  s.view = entry.view;
  s.has_session = entry.session.has_value();
  if (entry.session) s.last_seen = latest_ - entry.last_seen;
  return s;
}

std::vector<DirectorEngine::TerminalStatus> DirectorEngine::terminals(Instant) const {
  std::vector<TerminalStatus> out;
  for (const auto& [name, entry] : terminals_) out.push_back(status_of(entry));
  return out;
}

std::vector<DirectorEngine::TerminalStatus> DirectorEngine::terminals_named(
    const Name& name) const {
  std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(name);
  if (it == terminals_.end()) return {};
  return {status_of(it->second)};
}

std::vector<DirectorEngine::RelayStatusView> DirectorEngine::relays(Instant now) const {
  std::vector<RelayStatusView> out;
  for (const auto& [name, entry] : relays_)
    out.push_back({entry.relay, is_usable(now, entry), entry.endpoints, entry.entries,
                   entry.capacity});
  return out;
}

}  // namespace ntm::director
