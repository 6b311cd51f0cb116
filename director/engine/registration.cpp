// Registration (paper 4.2): who may say where a terminal is, the NAT verdict, and the answer after
// the commit, never before.
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

namespace {

// Two families registered at once, plus one move while they are under way.
constexpr std::size_t kMaxWaiting = 4;

std::array<Byte, 32> digest_of(const wire::RegistrationRequest& request, const Endpoint& from) {
  Bytes plain = wire::encode(wire::ControlMessage(request));
  Byte port[2] = {static_cast<Byte>(from.port >> 8), static_cast<Byte>(from.port)};
  return crypto::sha256({plain, from.address.view(), port});
}

}  // namespace

bool DirectorEngine::acceptable(const wire::RegistrationRequest& request) const {
  for (const wire::Locator& l : request.locators) {
    const IpAddress& a = l.endpoint.address;
    if (a.is_unspecified() || a.is_loopback() || a.is_multicast() || l.endpoint.port == 0)
      return false;
  }
  return true;
}

store::Location DirectorEngine::locate(const TerminalEntry& entry,
                                       const PendingRegistration& pending, WallTime wall) const {
  const wire::RegistrationRequest& request = pending.request;
  store::Location out;
  // The newest known state, also if it is still being written: a second family builds on the first.
  if (!entry.waiting.empty()) out = entry.waiting.back().location;
  else if (entry.writing) out = entry.writing->location;
  else if (entry.view.location) out = *entry.view.location;
  out.terminal = entry.view.terminal.id;
  out.counter = request.counter;
  out.digest = digest_of(request, pending.from);
  out.flags = 0;
  if (request.private_locators) out.flags |= store::kLocationPrivate;
  if (request.relay_only) out.flags |= store::kLocationRelayOnly;
  out.suites = request.suites;
  out.updated = wall;
  if (request.leaving) {
    out.flags |= store::kLocationOffline;
    out.v4 = {};
    out.v6 = {};
    return out;
  }
  Family family = pending.from.family();
  for (Family f : {Family::V4, Family::V6}) {
    store::FamilyLocation& place = f == Family::V4 ? out.v4 : out.v6;
    const wire::Locator* best = nullptr;
    for (const wire::Locator& l : request.locators) {
      if (l.endpoint.family() != f || l.endpoint.address.is_link_local()) continue;
      bool seen = l.endpoint.address == pending.from.address;
      if (best == nullptr || seen) best = &l;
      if (seen) break;
    }
    if (f != family) {
      // Known from its own registration, and still there if it is among the locators.
      bool still_there = false;
      for (const wire::Locator& l : request.locators)
        still_there = still_there || l.endpoint == Endpoint{place.real, place.real_port};
      if (!still_there) place = {};
      continue;
    }
    place.outside = pending.from;
    place.real = best != nullptr ? best->endpoint.address : pending.from.address;
    place.real_port = best != nullptr ? best->endpoint.port : pending.from.port;
    place.behind_nat = Endpoint{place.real, place.real_port} != pending.from;
  }
  return out;
}

void DirectorEngine::registration(Instant now, WallTime wall, PendingRegistration pending,
                                  TerminalEntry& entry) {
  if (!acceptable(pending.request)) {
    ++counters_.refused;
    answer_registration(now, wall, pending, entry, wire::Status::Denied, pending.request.counter,
                        false);
    return;
  }
  std::uint64_t newest = 0;
  std::array<Byte, 32> digest{};
  if (entry.view.location) {
    newest = entry.view.location->counter;
    digest = entry.view.location->digest;
  }
  bool in_flight = entry.writing && entry.writing->request.counter == pending.request.counter;
  for (const PendingRegistration& w : entry.waiting)
    in_flight = in_flight || w.request.counter == pending.request.counter;
  if (in_flight) return;  // its answer comes with the commit
  if (pending.request.counter <= newest) {
    // The same registration again (its answer was lost) is answered again; anything else is stale.
    bool same = pending.request.counter == newest &&
                digest_of(pending.request, pending.from) == digest;
    if (!same) ++counters_.stale;
    answer_registration(now, wall, pending, entry, same ? wire::Status::Ok : wire::Status::Stale,
                        newest, false);
    return;
  }
  submit(std::move(pending), entry, wall);
}

void DirectorEngine::submit(PendingRegistration pending, TerminalEntry& entry, WallTime wall) {
  pending.location = locate(entry, pending, wall);
  if (entry.writing) {
    if (entry.waiting.size() >= kMaxWaiting) entry.waiting.pop_front();
    entry.waiting.push_back(std::move(pending));
    return;
  }
  store::Batch batch;
  if (pending.token) {
    batch.atomic = true;
    batch.items.push_back(store::BindTerminalKey{*pending.token, entry.view.terminal.name,
                                                 pending.key, wall});
  }
  batch.items.push_back(store::PutLocation{pending.location});
  pending.tag = write(std::move(batch));
  writes_[pending.tag] = entry.view.terminal.name;
  entry.writing = std::move(pending);
}

void DirectorEngine::store_completed(Instant now, WallTime wall, std::uint64_t tag,
                                     const store::Completion& completion) {
  wall_ = wall;
  latest_ = now;
  if (other_writes_.erase(tag) > 0) return;
  store::Outcome first =
      completion.items.empty() ? store::Outcome::Unknown : completion.items[0].outcome;
  if (std::map<std::uint64_t, Name>::node_type offline = offline_writes_.extract(tag)) {
    std::map<Name, TerminalEntry>::iterator it = terminals_.find(offline.mapped());
    bool failed = first == store::Outcome::Unavailable || first == store::Outcome::Unknown;
    if (failed && it != terminals_.end() && !it->second.session) {
      // DNS still shows it: try again when the next lease would have ended.
      it->second.lease_ends = now + kLease / 10;
      leases_.insert({it->second.lease_ends, offline.mapped()});
    }
    return;
  }
  if (std::map<std::uint64_t, PendingRelay>::node_type relay = relay_writes_.extract(tag)) {
    relay_written(now, std::move(relay.mapped()), completion);
    return;
  }
  if (std::map<std::uint64_t, Name>::node_type terminal = writes_.extract(tag))
    registration_written(now, wall, terminal.mapped(), tag, completion);
}

void DirectorEngine::registration_written(Instant now, WallTime wall, const Name& name,
                                          std::uint64_t tag, const store::Completion& completion) {
  std::map<Name, TerminalEntry>::iterator it = terminals_.find(name);
  if (it == terminals_.end() || !it->second.writing || it->second.writing->tag != tag) return;
  TerminalEntry& entry = it->second;
  PendingRegistration pending = std::move(*entry.writing);
  entry.writing.reset();
  store::ItemResult result =
      completion.items.empty() ? store::ItemResult{} : completion.items.back();
  // An enrolment is one transaction: when the binding is refused, the location is so with it.
  bool of_binding = pending.token && result.outcome == store::Outcome::Conflict;
  if (of_binding) result = completion.items.front();
  switch (result.outcome) {
    case store::Outcome::Applied:
      registration_applied(now, wall, entry, pending);
      break;
    case store::Outcome::Stale:
      ++counters_.stale;
      answer_registration(now, wall, pending, entry, wire::Status::Stale, result.stored_counter,
                          false);
      break;
    case store::Outcome::Conflict:
      ++counters_.refused;
      notify(Notify::Kind::Refused, name, "registration refused: " + result.reason);
      answer_registration(now, wall, pending, entry, wire::Status::Denied,
                          pending.request.counter, false);
      break;
    case store::Outcome::Unavailable:
    case store::Outcome::Unknown:
      // Not acknowledged: the terminal sends it again, with a greater counter.
      notify(Notify::Kind::Warning, name, "registration not stored: " + result.reason);
      answer_registration(now, wall, pending, entry, wire::Status::TryLater,
                          pending.request.counter, false);
      break;
  }
  if (entry.writing || entry.waiting.empty()) return;
  PendingRegistration next = std::move(entry.waiting.front());
  entry.waiting.pop_front();
  submit(std::move(next), entry, wall);
}

void DirectorEngine::registration_applied(Instant now, WallTime wall, TerminalEntry& entry,
                                          PendingRegistration& pending) {
  const Name& name = entry.view.terminal.name;
  bool moved = !entry.view.location || !(entry.view.location->v4 == pending.location.v4) ||
               !(entry.view.location->v6 == pending.location.v6);
  entry.view.location = pending.location;
  std::optional<PublicKey>& key = entry.view.terminal.key;
  if (pending.token && key != pending.key) {
    if (key) {
      // The name has a new owner: what the old key set up ends.
      revoke_paths_of(now, name, wire::RevokeReason::KeyChanged);
      terminal_keys_.erase(*key);
      entry.session.reset();
    }
    key = pending.key;
    terminal_keys_[pending.key] = name;
  }
  ++counters_.registrations;
  bool left = pending.request.leaving;
  notify(left ? Notify::Kind::Offline : moved ? Notify::Kind::Moved : Notify::Kind::Registered,
         name, left ? "left" : "at " + to_string(pending.from));
  answer_registration(now, wall, pending, entry, wire::Status::Ok, pending.request.counter, true);
  if (!left) return;
  leases_.erase({entry.lease_ends, name});
  entry.lease_ends = Instant::never();
}

void DirectorEngine::relay_written(Instant now, PendingRelay pending,
                                   const store::Completion& completion) {
  bool applied =
      !completion.items.empty() && completion.items[0].outcome == store::Outcome::Applied;
  std::map<Name, RelayEntry>::iterator it = relays_.find(pending.request.name);
  if (!applied || it == relays_.end()) {
    ++counters_.refused;
    std::string why = completion.items.empty() ? "" : completion.items[0].reason;
    notify(Notify::Kind::Refused, pending.request.name, "enrolment refused: " + why);
    return;
  }
  RelayEntry& entry = it->second;
  const PublicKey& key = pending.arrival->opened.initiator();
  if (entry.relay.key && entry.relay.key != key) {
    relay_keys_.erase(*entry.relay.key);
    entry.session.reset();
    entry.counter = 0;  // the other key's
  }
  entry.relay.key = key;
  relay_keys_[key] = pending.request.name;
  relay_attach(now, *pending.arrival, pending.request, entry);
}

wire::RegistrationResponse DirectorEngine::granted(const TerminalEntry& entry,
                                                   const PendingRegistration& pending,
                                                   WallTime wall) const {
  const ZoneIdentity& identity = config_.zones[*zone_of(entry.view.terminal.name)];
  wire::RegistrationResponse out;
  const store::FamilyLocation& place =
      pending.from.family() == Family::V4 ? entry.view.location->v4 : entry.view.location->v6;
  out.nat = place.behind_nat ? wire::NatVerdict::Behind : wire::NatVerdict::None;
  out.virtual_addresses = entry.view.terminal.virtual_addresses;
  out.zone_virtual6 = identity.zone.virtual6;
  out.zone_pools4 = identity.zone.pools4;
  if (out.zone_pools4.size() > 4) out.zone_pools4.resize(4);
  out.lease_seconds = static_cast<std::uint32_t>(kLease.us / 1'000'000);
  out.keep_alive_seconds = static_cast<std::uint32_t>(kKeepAliveInterval.us / 1'000'000);
  out.control_hint_token =
      crypto::control_hint_token(config_.reset_secret, crypto::key_hash(pending.key));
  if (identity.next_key) out.dc_next_key = identity.next_key->public_key;
  out.time_us = static_cast<std::uint64_t>(wall.us);
  out.dc_endpoints = identity.zone.dc_endpoints;
  if (out.dc_endpoints.size() > 4) out.dc_endpoints.resize(4);
  return out;
}

void DirectorEngine::answer_registration(Instant now, WallTime wall, PendingRegistration& pending,
                                         TerminalEntry& entry, wire::Status status,
                                         std::uint64_t counter, bool fresh) {
  const Name& name = entry.view.terminal.name;
  std::optional<std::size_t> zone = zone_of(name);
  if (!zone) return;
  wire::RegistrationResponse out;
  if (status == wire::Status::Ok) out = granted(entry, pending, wall);
  out.status = status;
  out.counter = counter;
  out.observed = pending.from;
  out.zone = config_.zones[*zone].zone.apex;
  // A replayed message must not keep a terminal online that is gone.
  if (status == wire::Status::Ok && (fresh || pending.session)) touch(now, entry);
  wire::ControlMessage message(std::move(out));
  if (pending.session)
    send_message(pending.session, message);
  else if (pending.arrival)
    respond(now, *pending.arrival, message, PeerKind::Terminal, name,
            entry.view.terminal.id.value, fresh);
}

void DirectorEngine::enrol_terminal(Instant now, WallTime wall, const ArrivalPtr& arrival,
                                    const wire::RegistrationRequest& request) {
  const store::Token& token = tokens_.at(arrival->opened.token());
  std::map<Name, TerminalEntry>::iterator it = terminals_.find(request.name);
  bool fits = token.purpose == store::TokenPurpose::Terminal && token.subject == request.name &&
              it != terminals_.end() && zone_of(request.name) == arrival->zone;
  // A key that already names another terminal would make two names answer to one key.
  std::map<PublicKey, Name>::iterator holder = terminal_keys_.find(arrival->opened.initiator());
  if (!fits || (holder != terminal_keys_.end() && holder->second != request.name)) {
    ++counters_.refused;
    notify(Notify::Kind::Refused, request.name,
           "enrolment that does not fit its token, from " + to_string(arrival->from));
    return;
  }
  PendingRegistration pending;
  pending.request = request;
  pending.from = arrival->from;
  pending.local = arrival->local;
  pending.arrival = arrival;
  pending.key = arrival->opened.initiator();
  pending.token = arrival->opened.token();
  registration(now, wall, std::move(pending), it->second);
}

}  // namespace ntm::director
