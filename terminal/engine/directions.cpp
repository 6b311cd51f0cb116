// See the header.
#include "terminal/engine/directions.hpp"

#include <algorithm>

#include "libntm/crypto/hash.hpp"

namespace ntm::terminal {

Result<void> Directions::start(const Peer& peer, wire::DirectionReason reason,
                               std::optional<PathId> old_path, std::optional<Family> over,
                               bool key_corrected) {
  std::optional<crypto::Suite> suite =
      crypto::choose_suite(crypto::kAllSuites, peer.suites, context_.settings.suite);
  if (!suite) return fail(ErrorKind::Denied, "no cipher suite in common");
  Result<StartedHandshake> handshake =
      start_end_to_end(context_, *suite, context_.settings.name, peer.name, peer.key);
  if (!handshake) return pass(handshake.error());
  drop_peer(peer.name);
  Pending p;
  p.message.request = {context_.random_nonzero()};
  p.message.peer = peer.name;
  p.message.peer_zone = peer.zone;
  p.message.reason = reason;
  p.message.old_path = old_path;
  p.message.locators = context_.locals.locators();
  p.message.peer_ntm4 = peer.rdata4;
  p.message.peer_ntm6 = peer.rdata6;
  p.message.peer_key_hash = crypto::key_hash(peer.key);
  p.message.suite = static_cast<std::uint8_t>(*suite);
  p.message.message1 = std::move(handshake->message1);
  p.noise.emplace(std::move(handshake->noise));
  p.key = peer.key;
  p.suite = *suite;
  p.key_corrected = key_corrected;
  p.started = context_.now;
  context_.note("direction_request_sent", {{"peer", peer.name.text()},
                                           {"request", ntm::to_string(p.message.request)},
                                           {"reason", wire::to_string(reason)}});
  send(p, over);
  RequestId id = p.message.request;
  pending_.emplace(id, std::move(p));
  return {};
}

void Directions::start_by_address(const IpAddress& address) {
  for (const auto& [id, p] : pending_)
    if (p.message.peer_address == address && !p.routed) return;
  Pending p;
  p.message.request = {context_.random_nonzero()};
  p.message.peer_address = address;
  p.message.peer_zone = context_.settings.zone;
  p.message.locators = context_.locals.locators();
  p.started = context_.now;
  context_.note("direction_request_sent", {{"address", to_string(address)},
                                           {"request", ntm::to_string(p.message.request)}});
  send(p, std::nullopt);
  pending_.emplace(p.message.request, std::move(p));
}

void Directions::send(const Pending& pending, std::optional<Family> over) {
  std::optional<Family> family = over && link_.reaches(*over) ? over : link_.primary();
  if (!family || !link_.send(pending.message, *family)) return;  // goes out with the session
  timers_.start(context_.now, pending.message.request.value, pending.message.request, rtt_,
                context_.random);
}

bool Directions::is_pending(const Name& peer) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const auto& entry) {
    return entry.second.message.peer == peer && !entry.second.routed;
  });
}

bool Directions::any_pending() const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [](const auto& entry) { return !entry.second.routed; });
}

Directions::Pending* Directions::find(RequestId request) {
  std::map<RequestId, Pending>::iterator it = pending_.find(request);
  return it == pending_.end() ? nullptr : &it->second;
}

void Directions::answered(RequestId request) {
  timers_.cancel(request.value);
  Pending* p = find(request);
  if (p == nullptr) return;
  p->routed = true;
  p->forget = context_.now + kRememberRequest;
}

void Directions::drop(RequestId request) {
  timers_.cancel(request.value);
  pending_.erase(request);
}

void Directions::drop_peer(const Name& peer) {
  for (std::map<RequestId, Pending>::iterator it = pending_.begin(); it != pending_.end();) {
    if (it->second.message.peer != peer || it->second.routed) {
      ++it;
      continue;
    }
    timers_.cancel(it->first.value);
    it = pending_.erase(it);
  }
}

void Directions::resend_all(const exchange::RttEstimator& rtt) {
  rtt_ = rtt;
  for (auto& [id, p] : pending_) {
    if (p.routed) continue;
    p.message.locators = context_.locals.locators();
    send(p, std::nullopt);
  }
}

Directions::Turn Directions::on_timer() {
  Turn turn;
  exchange::RequestTable<RequestId>::Turn due = timers_.due(context_.now, context_.random);
  for (const exchange::RequestTable<RequestId>::Due& d : due.again) {
    Pending* p = find(d.to);
    std::optional<Family> family = link_.primary();
    if (p != nullptr && family) link_.send(p->message, *family);
  }
  for (const exchange::RequestTable<RequestId>::Due& d : due.failed) {
    turn.session_failed = true;
    Pending* p = find(d.to);
    if (p == nullptr) continue;
    turn.failed.push_back(std::move(*p));
    pending_.erase(d.to);
  }
  for (std::map<RequestId, Pending>::iterator it = pending_.begin(); it != pending_.end();) {
    Pending& p = it->second;
    bool never_sent = !p.routed && !timers_.contains(it->first.value) &&
                      p.started + kWaitForSession <= context_.now;
    if (never_sent) turn.failed.push_back(std::move(p));
    if (never_sent || p.forget <= context_.now) it = pending_.erase(it);
    else ++it;
  }
  return turn;
}

Instant Directions::next_deadline() const {
  Instant when = timers_.next_deadline();
  for (const auto& [id, p] : pending_) {
    when = std::min(when, p.forget);
    bool waits = !p.routed && !timers_.contains(id.value);
    if (waits) when = std::min(when, p.started + kWaitForSession);
  }
  return when;
}

}  // namespace ntm::terminal
