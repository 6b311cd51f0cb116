// The relay directory: who is attached, what a plan may use, and Relay Direction (paper 4.3).
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

void DirectorEngine::relay_attach(Instant now, Arrival& arrival, const wire::RelayAttach& request,
                                  RelayEntry& entry) {
  wire::RelayAttachResponse out;
  out.counter = request.counter;
  out.observed = arrival.from;
  out.keep_alive_seconds = static_cast<std::uint32_t>(kRelayKeepAlive.us / 1'000'000);
  out.control_hint_token = crypto::control_hint_token(
      config_.reset_secret, crypto::key_hash(arrival.opened.initiator()));
  bool fresh = request.counter > entry.counter;
  bool usable = !request.endpoints.empty();
  for (const Endpoint& e : request.endpoints)
    usable = usable && e.is_set() && !e.address.is_loopback() && !e.address.is_multicast();
  if (!fresh) {
    out.status = wire::Status::Stale;
    out.counter = entry.counter;
  } else if (!usable) {
    out.status = wire::Status::Denied;
  } else {
    bool was_up = entry.session.has_value();
    entry.counter = request.counter;
    entry.endpoints = request.endpoints;
    entry.token_secret = request.token_secret;
    entry.capacity = request.capacity;
    entry.entries = request.entries;
    entry.last_seen = now;
    if (!was_up) notify(Notify::Kind::RelayUp, entry.relay.name, "at " + to_string(arrival.from));
  }
  bool accepted = out.status == wire::Status::Ok;
  respond(now, arrival, wire::ControlMessage(out), PeerKind::Relay, entry.relay.name,
          entry.relay.id.value, accepted);
}

void DirectorEngine::enrol_relay(Instant now, WallTime wall, const ArrivalPtr& arrival,
                                 const wire::RelayAttach& request) {
  const store::Token& token = tokens_.at(arrival->opened.token());
  std::map<Name, RelayEntry>::iterator it = relays_.find(request.name);
  bool fits = token.purpose == store::TokenPurpose::Relay && token.subject == request.name &&
              it != relays_.end();
  if (!fits || relay_writes_.size() >= kMaxPendingStrangers) {
    ++counters_.refused;
    return;
  }
  const PublicKey& key = arrival->opened.initiator();
  if (it->second.relay.key == key) {  // its answer was lost
    relay_attach(now, *arrival, request, it->second);
    return;
  }
  store::Batch batch;
  batch.items.push_back(store::BindRelayKey{arrival->opened.token(), request.name, key, wall});
  relay_writes_.emplace(write(std::move(batch)), PendingRelay{request, arrival});
}

bool DirectorEngine::is_usable(Instant now, const RelayEntry& entry) const {
  return entry.session.has_value() && !entry.relay.drained && now - entry.last_seen <= kRelayLease;
}

std::vector<RelayOption> DirectorEngine::relay_options(Instant now, const Direction& direction,
                                                       std::vector<Name>& names) const {
  std::vector<RelayOption> out;
  names.clear();
  for (const auto& [name, entry] : relays_) {
    if (!is_usable(now, entry) || direction.refused_relays.count(name)) continue;
    RelayOption option;
    option.endpoints = entry.endpoints;
    option.load = entry.capacity == 0 ? 0
                                      : static_cast<double>(entry.entries) /
                                            static_cast<double>(entry.capacity);
    names.push_back(name);
    out.push_back(std::move(option));
  }
  return out;
}

void DirectorEngine::direct_relay(Instant now, const Direction& d) {
  wire::RelayDirection out;
  out.request = d.request;
  out.paths = {d.path};
  out.paths.insert(out.paths.end(), d.spares.begin(), d.spares.end());
  // After a handover packets that were sent under the old path are sent again, verbatim, over the
  // new one.
  if (d.asked.old_path && *d.asked.old_path != d.path) out.paths.push_back(*d.asked.old_path);
  out.leg_a = {d.leg_a, d.plan.relay_family_mn};
  out.leg_b = {d.leg_b, d.plan.relay_family_cn};
  out.lifetime_seconds = kPathLifetimeSeconds;
  send_reliably(now, {Towards::Relay, *d.relay}, out.request, wire::ControlMessage(out));
}

// With an id of its own: it may overtake the answer to the making.
void DirectorEngine::delete_at_relay(Instant now, const Name& relay,
                                     const std::vector<PathId>& paths) {
  wire::RelayDirection out;
  out.request = new_request_id();
  out.paths = paths;
  send_reliably(now, {Towards::Relay, relay}, out.request, wire::ControlMessage(out));
}

}  // namespace ntm::director
