// See the header for the table of a leg's states.
#include "relay/engine/entry_table.hpp"

#include <algorithm>
#include <cassert>

#include "libntm/crypto/tunnel_keys.hpp"

namespace ntm::relay {

bool acceptable_source(const Endpoint& from, bool allow_private) {
  const IpAddress& a = from.address;
  if (from.port == 0 || a.is_unspecified() || a.is_loopback() || a.is_link_local() ||
      a.is_multicast())
    return false;
  return allow_private || !a.is_private();
}

EntryTable::EntryTable(std::size_t max_entries, bool allow_private, Random& random)
    : max_entries_(max_entries), allow_private_(allow_private), random_(random) {}
EntryTable::~EntryTable() = default;

EntryTable::Entry* EntryTable::find(PathId path) {
  std::unordered_map<PathId, std::uint64_t>::iterator it = by_path_.find(path);
  return it == by_path_.end() ? nullptr : &entries_.at(it->second);
}

const std::string* EntryTable::owner_of(PathId path) const {
  std::unordered_map<PathId, std::uint64_t>::const_iterator it = by_path_.find(path);
  return it == by_path_.end() ? nullptr : &entries_.at(it->second).owner;
}

wire::Status EntryTable::direct(Instant now, const std::string& owner,
                                const wire::RelayDirection& direction,
                                std::vector<Effect>& effects) {
  assert(!direction.paths.empty());
  Entry* known = find(direction.paths.front());
  if (known != nullptr && known->owner != owner) return wire::Status::PathIdInUse;
  if (direction.lifetime_seconds == 0) {
    if (known != nullptr) remove(known->id, effects);
    return wire::Status::Ok;
  }
  // The first Path ID must be free. Others may stand in an older entry of the same pair (handover).
  std::vector<PathId> paths;
  std::vector<PathId> adopts;
  for (PathId path : direction.paths) {
    Entry* other = find(path);
    if (other == nullptr) paths.push_back(path);
    else if (other != known && other->owner != owner) return wire::Status::PathIdInUse;
    else if (other != known) adopts.push_back(path);
  }
  Duration life = std::min(seconds(direction.lifetime_seconds), kMaxLifetime);
  if (known != nullptr) {
    // The same direction again (a lost answer, a refresh). Other keys under a living Path ID would
    // hand an existing path to somebody else: refused unchanged.
    if (!(known->legs[0].key == direction.leg_a.key && known->legs[1].key == direction.leg_b.key))
      return wire::Status::PathIdInUse;
    known->ends = now + life;
    reschedule(*known);
    return wire::Status::Ok;
  }
  if (entries_.size() >= max_entries_) return wire::Status::RelayFull;

  Entry entry;
  entry.id = next_id_++;
  entry.owner = owner;
  entry.paths = std::move(paths);
  entry.adopts = std::move(adopts);
  entry.legs[0].key = direction.leg_a.key;
  entry.legs[0].family = direction.leg_a.family;
  entry.legs[1].key = direction.leg_b.key;
  entry.legs[1].family = direction.leg_b.family;
  entry.made = now;
  entry.ends = now + life;
  entry.kbit_per_second = direction.kbit_per_second;
  entry.packets_per_second = direction.packets_per_second;
  for (PathId path : entry.paths) by_path_[path] = entry.id;
  std::uint64_t id = entry.id;
  Entry& placed = entries_.emplace(id, std::move(entry)).first->second;
  reschedule(placed);
  return wire::Status::Ok;
}

bool EntryTable::authentic(const LegState& leg, const wire::TunnelMessage& message,
                           ByteView raw) const {
  if (message.counter <= leg.last_counter) return false;
  return crypto::verify_tunnel_mac(leg.key, raw);
}

void EntryTable::bind_leg(Instant now, LegState& leg, const datapath::ControlReceived& from,
                          const wire::TunnelMessage& message) {
  datapath::Outer outer{from.socket, from.from, from.local, from.interface};
  bool same = leg.outer && leg.outer->remote == outer.remote && leg.outer->socket == outer.socket;
  if (!same) {
    // The credit is what the old, proven address earned recently; a first address has none.
    leg.credit = leg.validated ? kMaxMoveCredit : 0;
    leg.validated = false;
    leg.ready_sent = false;
    leg.our_challenge = random_.u64() | 1;  // never zero: zero means "none" on the wire
  } else if (leg.our_challenge != 0 && message.echo == leg.our_challenge) {
    leg.validated = true;
  }
  leg.outer = outer;
  leg.last_counter = message.counter;
  leg.peer_challenge = message.challenge;
  leg.last_path = message.path;
  leg.last_request = now;
  leg.consent = true;
}

EntryTable::RequestResult EntryTable::request(Instant now, const datapath::ControlReceived& from,
                                              const wire::TunnelMessage& message,
                                              std::vector<Effect>& effects) {
  Entry* entry = find(message.path);
  if (entry == nullptr) return RequestResult::UnknownPath;
  std::size_t index = message.leg == wire::Leg::A ? 0 : 1;
  LegState& leg = entry->legs[index];
  if (!acceptable_source(from.from, allow_private_) || !authentic(leg, message, from.datagram)) {
    ++forged_;
    return RequestResult::Refused;
  }
  bind_leg(now, leg, from, message);
  if (message.blob_kind == wire::BlobKind::Message2 && index == 1) entry->message2 = message.blob;

  LegState& other = entry->legs[1 - index];
  bool both = other.outer.has_value() && other.consent;
  wire::Leg which = message.leg;
  wire::Leg opposite = which == wire::Leg::A ? wire::Leg::B : wire::Leg::A;
  if (both) adopt(*entry, effects);
  announce(*entry, effects);
  answer(*entry, which, both, effects);
  // The side that waited with `pending` learns at once that the other arrived.
  if (both && !other.ready_sent) answer(*entry, opposite, true, effects);
  reschedule(*entry);
  return RequestResult::Handled;
}

void EntryTable::answer(Entry& entry, wire::Leg which, bool ready, std::vector<Effect>& effects) {
  LegState& leg = entry.legs[which == wire::Leg::A ? 0 : 1];
  wire::TunnelMessage response;
  response.type = wire::DatagramType::TunnelResponse;
  response.leg = which;
  response.pending = !ready;
  response.ready = ready;
  response.counter = ++leg.our_counter;
  response.path = leg.last_path;
  response.challenge = leg.our_challenge;
  response.echo = leg.peer_challenge;
  if (ready && which == wire::Leg::A && !entry.message2.empty()) {
    response.blob_kind = wire::BlobKind::Message2;
    response.blob = entry.message2;
  }
  if (ready) leg.ready_sent = true;
  Bytes datagram = wire::encode_without_mac(response);
  crypto::append_tunnel_mac(leg.key, datagram);
  assert(datagram.size() <= wire::kTunnelRequestSize);
  effects.push_back(SendControl{*leg.outer, std::move(datagram)});
}

void EntryTable::adopt(Entry& entry, std::vector<Effect>& effects) {
  for (PathId path : entry.adopts) {
    Entry* older = find(path);
    if (older == nullptr || older == &entry || older->data_elsewhere) continue;
    older->data_elsewhere = true;
    effects.push_back(datapath::Change(datapath::RemoveRelay{older->paths.front()}));
  }
}

void EntryTable::announce(const Entry& entry, std::vector<Effect>& effects) const {
  if (entry.data_elsewhere) return;
  datapath::PutRelay put;
  put.paths = entry.paths;
  bool both = true;
  for (const LegState& leg : entry.legs) both = both && leg.outer && leg.consent;
  if (both) put.paths.insert(put.paths.end(), entry.adopts.begin(), entry.adopts.end());
  datapath::RelayLegState* out[2] = {&put.a, &put.b};
  for (std::size_t i = 0; i < 2; ++i) {
    const LegState& leg = entry.legs[i];
    out[i]->outer = leg.outer;
    out[i]->validated = leg.validated;
    out[i]->credit = leg.credit + kBytesPerRequest;
    out[i]->consent = leg.consent;
  }
  put.kbit_per_second = entry.kbit_per_second;
  put.packets_per_second = entry.packets_per_second;
  effects.push_back(datapath::Change(std::move(put)));
}

void EntryTable::activity(Instant, const datapath::RelayActivity& activity) {
  Entry* entry = find(activity.path);
  if (entry == nullptr) return;
  entry->packets += activity.packets;
  entry->bytes += activity.bytes;
}

Instant EntryTable::deadline_of(const Entry& entry) const {
  Instant when = entry.ends;
  Instant newest = entry.made;
  for (const LegState& leg : entry.legs) {
    if (leg.outer) newest = std::max(newest, leg.last_request);
    if (leg.consent) when = std::min(when, leg.last_request + kConsentFor);
  }
  return std::min(when, newest + kForgetAfter);
}

void EntryTable::reschedule(Entry& entry) {
  std::unordered_map<std::uint64_t, Instant>::iterator old = deadline_of_id_.find(entry.id);
  if (old != deadline_of_id_.end()) deadlines_.erase({old->second, entry.id});
  Instant when = deadline_of(entry);
  deadlines_[{when, entry.id}] = true;
  deadline_of_id_[entry.id] = when;
}

void EntryTable::expire(Instant now, std::vector<Effect>& effects) {
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    std::uint64_t id = deadlines_.begin()->first.second;
    Entry& entry = entries_.at(id);
    Instant newest = entry.made;
    bool changed = false;
    for (LegState& leg : entry.legs) {
      if (leg.outer) newest = std::max(newest, leg.last_request);
      if (leg.consent && leg.last_request + kConsentFor <= now) {
        leg.consent = false;
        leg.ready_sent = false;
        changed = true;
      }
    }
    if (entry.ends <= now || newest + kForgetAfter <= now) {
      remove(id, effects);
      continue;
    }
    if (changed) announce(entry, effects);
    reschedule(entry);
  }
}

Instant EntryTable::next_deadline() const {
  return deadlines_.empty() ? Instant::never() : deadlines_.begin()->first.first;
}

void EntryTable::remove(std::uint64_t id, std::vector<Effect>& effects) {
  Entry& entry = entries_.at(id);
  if (!entry.data_elsewhere)
    effects.push_back(datapath::Change(datapath::RemoveRelay{entry.paths.front()}));
  for (PathId path : entry.paths) by_path_.erase(path);
  deadlines_.erase({deadline_of_id_.at(id), id});
  deadline_of_id_.erase(id);
  entries_.erase(id);
}

std::vector<EntrySnapshot> EntryTable::snapshot() const {
  std::vector<EntrySnapshot> out;
  for (const auto& [id, entry] : entries_) {
    EntrySnapshot s;
    s.path = entry.paths.front();
    s.owner = entry.owner;
    s.a = {entry.legs[0].outer, entry.legs[0].validated, entry.legs[0].consent};
    s.b = {entry.legs[1].outer, entry.legs[1].validated, entry.legs[1].consent};
    s.packets = entry.packets;
    s.bytes = entry.bytes;
    out.push_back(std::move(s));
  }
  std::sort(out.begin(), out.end(),
            [](const EntrySnapshot& x, const EntrySnapshot& y) { return x.path < y.path; });
  return out;
}

}  // namespace ntm::relay
