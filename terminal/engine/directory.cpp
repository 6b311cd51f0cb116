// Learning peers from DNS and from the DC, and the persistent table behind it.
#include "terminal/engine/directory.hpp"

#include <algorithm>

namespace ntm::terminal {

namespace {

// A zone's /48 is asked again after this, so that a wrong first answer does not stay for ever.
constexpr Duration kZoneRefresh = seconds(3600);

template <typename F>
void both(const PeerRecords& records, F f) {
  if (records.v4) f(*records.v4);
  if (records.v6) f(*records.v6);
}

VirtualAddresses claimed_by(const PeerRecords& records) {
  VirtualAddresses out;
  if (records.v4 && !records.v4->virtual_address.is_unspecified())
    out.v4 = records.v4->virtual_address.v4();
  if (records.v6 && !records.v6->virtual_address.is_unspecified())
    out.v6 = records.v6->virtual_address.v6();
  return out;
}

}  // namespace

Peer* Directory::find(const Name& name) {
  std::map<Name, Peer>::iterator it = peers_.find(name);
  return it == peers_.end() ? nullptr : &it->second;
}

std::optional<Name> Directory::holder(const IpAddress& address) const {
  for (const auto& [name, peer] : context_.saved.peers) {
    bool same = address.is_v4() ? peer.virtual_addresses.v4 == address.v4()
                                : peer.virtual_addresses.v6 == address.v6();
    if (same) return name;
  }
  return std::nullopt;
}

std::optional<Prefix> Directory::zone_prefix(const Name& zone) const {
  if (is_own_zone(zone)) return context_.saved.zone_virtual6;
  std::map<Name, Prefix>::const_iterator it = context_.saved.zones.find(zone);
  if (it == context_.saved.zones.end()) return std::nullopt;
  return it->second;
}

void Directory::ask_zone(const Name& zone) {
  if (is_own_zone(zone)) return;
  std::map<Name, Instant>::iterator it = asked_zones_.find(zone);
  if (it != asked_zones_.end() && context_.now - it->second < kZoneRefresh) return;
  if (asked_zones_.size() >= kMaxZones) asked_zones_.erase(asked_zones_.begin());
  asked_zones_[zone] = context_.now;
  context_.emit(QueryZone{zone});
}

void Directory::make_room() {
  if (context_.saved.peers.size() < kMaxPeers) return;
  std::map<Name, SavedPeer>::iterator it = context_.saved.peers.begin();
  while (it != context_.saved.peers.end() && in_use && in_use(it->first)) ++it;
  if (it == context_.saved.peers.end()) return;
  peers_.erase(it->first);
  context_.saved.peers.erase(it);
}

Result<void> Directory::believe(const Name& name, const KeyInput& input, const Name& zone,
                                const std::optional<PublicKey>& next) {
  KeyInput full = input;
  std::map<Name, PublicKey>::const_iterator pin = context_.settings.pinned_keys.find(name);
  if (pin != context_.settings.pinned_keys.end()) full.pinned_out_of_band = pin->second;
  std::map<Name, SavedPeer>::iterator known = context_.saved.peers.find(name);
  if (known != context_.saved.peers.end()) {
    full.known = known->second.key;
    full.announced_next = known->second.next_key;
  }
  KeyJudgement judgement = judge_key(full);
  if (judgement.verdict == KeyVerdict::Refused) {
    context_.note("key_refused", {{"peer", name.text()}, {"reason", judgement.reason}});
    return fail(ErrorKind::Denied, name.text() + ": " + judgement.reason);
  }
  if (known == context_.saved.peers.end()) {
    make_room();
    context_.note("key_pinned", {{"peer", name.text()}});
  }
  SavedPeer& saved = context_.saved.peers[name];
  SavedPeer before = saved;
  saved.key = full.offered;
  saved.zone = zone;
  // A `next` key counts only as the word of the key's present owner, which an insecure record is
  // not: it is taken from secure records here, and inside tunnels elsewhere.
  if (full.secure) saved.next_key = next;
  if (saved != before) context_.save();
  return {};
}

void Directory::judge(Peer& peer) {
  AcceptanceInput in;
  in.name = peer.name;
  in.own_zone = is_own_zone(peer.zone);
  in.claimed = peer.claimed;
  in.zone_virtual6 = zone_prefix(peer.zone);
  in.own_pools4 = context_.saved.zone_pools4;
  in.own_virtual6 = context_.saved.zone_virtual6;
  in.own = context_.saved.own;
  in.virtual_ranges4 = &context_.settings.virtual_ranges4;
  in.real_prefixes = &context_.locals.real_prefixes();
  in.holder = [this](const IpAddress& a) { return holder(a); };
  Acceptance verdict = accept_addresses(in);
  if (verdict.left_out != peer.left_out)
    for (const std::string& why : verdict.left_out)
      context_.note("address_refused", {{"peer", peer.name.text()}, {"reason", why}});
  peer.addresses = verdict.accepted;
  peer.left_out = verdict.left_out;
  peer.zone_known = in.own_zone || in.zone_virtual6 || known_without_.count(peer.zone) != 0;
  SavedPeer& saved = context_.saved.peers[peer.name];
  if (saved.virtual_addresses != peer.addresses) {
    saved.virtual_addresses = peer.addresses;
    context_.save();
  }
}

Result<Peer*> Directory::learn(const PeerRecords& records) {
  if (records.bogus)
    return fail(ErrorKind::Denied, records.name.text() + ": DNSSEC validation failed");
  if (!records.any()) return fail(ErrorKind::NotFound, records.name.text() + " has no NTM record");
  Peer fresh;
  fresh.name = records.name;
  fresh.dnssec = records.dnssec;
  fresh.claimed = claimed_by(records);
  fresh.rdata4 = records.rdata4;
  fresh.rdata6 = records.rdata6;
  fresh.seen = context_.now;
  std::optional<PublicKey> next;
  wire::SuiteSet suites = 0;
  fresh.zone = records.name.parent();
  both(records, [&](const wire::NtmRecord& r) {
    if (r.terminal_key) fresh.key = *r.terminal_key;
    if (r.terminal_next_key) next = r.terminal_next_key;
    if (r.suites != 0) suites = r.suites;
    if (r.dc_name) fresh.zone = *r.dc_name;
  });
  if (suites != 0) fresh.suites = suites;
  if (!fresh.name.is_under(fresh.zone) || fresh.zone.is_root())
    return fail(ErrorKind::Denied, fresh.name.text() + ": its record names the DC of " +
                                       fresh.zone.text() + ", which is not above it");
  KeyInput key;
  key.offered = fresh.key;
  key.secure = records.dnssec == wire::DnssecState::Secure;
  Result<void> believed = believe(fresh.name, key, fresh.zone, next);
  if (!believed) return pass(believed.error());
  ask_zone(fresh.zone);
  Peer& peer = peers_[fresh.name];
  fresh.left_out = peer.left_out;
  peer = std::move(fresh);
  judge(peer);
  return &peer;
}

Result<Peer*> Directory::learn(const wire::RouteDirection& route, const Name& zone) {
  KeyInput key;
  key.offered = route.peer_key;
  key.secure = route.dnssec == wire::DnssecState::Secure;
  Result<void> believed = believe(route.peer, key, zone, std::nullopt);
  if (!believed) return pass(believed.error());
  ask_zone(zone);
  Peer& peer = peers_[route.peer];
  peer.name = route.peer;
  peer.zone = zone;
  peer.key = route.peer_key;
  peer.claimed = route.peer_virtual;
  peer.seen = context_.now;
  judge(peer);
  return &peer;
}

void Directory::learn_zone(const ZoneRecord& record) {
  if (record.virtual6) {
    std::map<Name, Prefix>::iterator pinned = context_.saved.zones.find(record.zone);
    if (pinned == context_.saved.zones.end()) {
      if (context_.saved.zones.size() >= kMaxZones)
        context_.saved.zones.erase(context_.saved.zones.begin());
      context_.saved.zones[record.zone] = *record.virtual6;
      context_.save();
      context_.note("zone_pinned",
                    {{"zone", record.zone.text()}, {"prefix", to_string(*record.virtual6)}});
    } else if (pinned->second != *record.virtual6) {
      context_.note("zone_prefix_refused", {{"zone", record.zone.text()},
                                            {"prefix", to_string(*record.virtual6)},
                                            {"pinned", to_string(pinned->second)}});
    }
  } else if (zone_prefix(record.zone) == std::nullopt) {
    if (known_without_.size() >= kMaxZones) known_without_.erase(known_without_.begin());
    known_without_.insert(record.zone);
    asked_zones_.erase(record.zone);  // ask again with the next look-up
  }
  for (auto& [name, peer] : peers_)
    if (peer.zone == record.zone) judge(peer);
}

void Directory::forget(const Name& name) {
  peers_.erase(name);
  if (context_.saved.peers.erase(name) != 0) context_.save();
}

void Directory::judge_again() {
  for (auto& [name, peer] : peers_) judge(peer);
}

}  // namespace ntm::terminal
