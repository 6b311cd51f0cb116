// The relay directory: who is attached, what a plan may use, and Relay Direction (paper 4.3).
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

void DirectorEngine::relay_attach(Instant now, exchange::OpenedInit& init,
                                  const wire::RelayAttach& request, RelayEntry& entry,
                                  std::size_t zone, const Datagram& datagram) {
  wire::RelayAttachResponse out;
  out.counter = request.counter;
  out.observed = datagram.from;
  out.keep_alive_seconds = static_cast<std::uint32_t>(kRelayKeepAlive.us / 1'000'000);
  out.control_hint_token = crypto::control_hint_token(config_.reset_secret,
                                                      crypto::key_hash(init.initiator()));
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
    if (!was_up) notify(Notify::Kind::RelayUp, entry.relay.name, "at " + to_string(datagram.from));
  }
  bool accepted = out.status == wire::Status::Ok;
  respond(now, init, wire::ControlMessage(out), PeerKind::Relay, entry.relay.name, zone,
          datagram.from, datagram.local, accepted);
}

void DirectorEngine::enrol_relay(Instant now, WallTime wall,
                                 std::shared_ptr<exchange::OpenedInit> init,
                                 const wire::RelayAttach& request, std::size_t zone,
                                 const Datagram& datagram) {
  const store::Token& token = tokens_.at(init->token());
  std::map<Name, RelayEntry>::iterator it = relays_.find(request.name);
  bool fits = token.purpose == store::TokenPurpose::Relay && token.subject == request.name &&
              it != relays_.end();
  if (!fits || relay_writes_.size() >= kMaxPendingStrangers) {
    ++counters_.refused;
    return;
  }
  if (it->second.relay.key == init->initiator()) {  // its answer was lost
    relay_attach(now, *init, request, it->second, zone, datagram);
    return;
  }
  store::Batch batch;
  batch.items.push_back(
      store::BindRelayKey{init->token(), request.name, init->initiator(), wall});
  PendingRelay pending{request, datagram.from, datagram.local, init, init->initiator(), zone};
  relay_writes_.emplace(write(std::move(batch)), std::move(pending));
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

void DirectorEngine::direct_relay(Instant now, const Direction& d, std::uint32_t lifetime) {
  wire::RelayDirection out;
  // Deleting has an id of its own: it may overtake the answer to the making.
  out.request = lifetime == 0 ? RequestId{d.request.value ^ d.path.value} : d.request;
  out.paths = {d.path};
  out.paths.insert(out.paths.end(), d.spares.begin(), d.spares.end());
  // After a handover packets that were sent under the old path are sent again over the new one.
  if (d.asked.old_path && *d.asked.old_path != d.path) out.paths.push_back(*d.asked.old_path);
  out.leg_a = {d.leg_a, d.plan.relay_family_mn};
  out.leg_b = {d.leg_b, d.plan.relay_family_cn};
  out.lifetime_seconds = lifetime;
  send_reliably(now, Towards::Relay, *d.relay, out.request, wire::ControlMessage(out));
}

void DirectorEngine::relay_response(Instant now, SessionEntry& session,
                                    const wire::RelayResponse& response) {
  stop_sending(now, Towards::Relay, session.name, response.request);
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(response.request.value);
  if (it == directions_.end() || it->second.ended || response.status == wire::Status::Ok) return;
  Direction& d = it->second;
  if (d.relay != session.name) return;
  // Refused: another relay, or (Path ID in use) the same one with another Path ID.
  if (response.status != wire::Status::PathIdInUse || d.attempt > 0)
    d.refused_relays.insert(session.name);
  ++d.attempt;
  plan(now, d);
  send_directions(now, d);
}

}  // namespace ntm::director
