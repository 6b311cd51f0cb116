// Sessions, the answers to repeated handshakes, and sending until it is answered.
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

// ---- ids --------------------------------------------------------------------------------------
//
// random half (32) ‖ whose session (32) xor mask(K_reset, random half). After a restart the session
// is gone, but its id still says whose it was, so that a record from any address, also one that a
// NAT has changed meanwhile, gets the right hint. To others the id is random.

namespace {
constexpr std::uint32_t kRelayBit = 0x8000'0000;
constexpr std::uint32_t kNobody = 0x7fff'ffff;  // a DC; its own peers_ may be empty by then
// A DC that does not answer may have lost the session and its hint may be lost too.
constexpr int kRenewAtAttempt = 3;
}  // namespace

std::uint32_t DirectorEngine::session_mask(std::uint32_t random_half) const {
  std::array<Byte, 4> out;
  Bytes context = Writer().u32(random_half).take();
  crypto::derive(config_.reset_secret.view(), "session id", 0, context, out);
  return Reader(out).u32();
}

SessionId DirectorEngine::new_session_id(PeerKind kind, std::uint64_t id) {
  std::uint32_t whose = kNobody;
  // Ids come from one counter; one that does not fit makes a session that can't be hinted at.
  if (kind != PeerKind::Dc) whose = id < kNobody ? static_cast<std::uint32_t>(id) : 0;
  if (kind == PeerKind::Relay) whose |= kRelayBit;
  SessionId out;
  do {
    std::uint32_t half = static_cast<std::uint32_t>(random_.u64());
    out = {(std::uint64_t{half} << 32) | (whose ^ session_mask(half))};
  } while (out.is_zero() || sessions_.count(out) != 0);
  return out;
}

const PublicKey* DirectorEngine::key_behind(SessionId id, bool& of_dc) const {
  std::uint32_t half = static_cast<std::uint32_t>(id.value >> 32);
  std::uint32_t whose = static_cast<std::uint32_t>(id.value) ^ session_mask(half);
  of_dc = whose == kNobody;
  if (whose & kRelayBit) {
    for (const auto& [name, entry] : relays_)
      if (entry.relay.id.value == (whose & ~kRelayBit))
        return entry.relay.key ? &*entry.relay.key : nullptr;
    return nullptr;
  }
  std::unordered_map<std::uint64_t, Name>::const_iterator it = terminal_ids_.find(whose);
  if (it == terminal_ids_.end()) return nullptr;
  const std::optional<PublicKey>& key = terminals_.at(it->second).view.terminal.key;
  return key ? &*key : nullptr;
}

RequestId DirectorEngine::new_request_id() {
  RequestId id;
  do id = {random_.u64()};
  while (id.is_zero() || directions_.count(id.value) != 0 || forwarded_.count(id.value) != 0);
  return id;
}

// ---- sessions ---------------------------------------------------------------------------------

DirectorEngine::SessionEntry* DirectorEngine::find_session(const std::optional<SessionId>& id) {
  if (!id) return nullptr;
  std::unordered_map<SessionId, SessionEntry>::iterator it = sessions_.find(*id);
  return it == sessions_.end() ? nullptr : &it->second;
}

SessionId DirectorEngine::adopt(Instant now, exchange::Session session, PeerKind kind,
                                const Name& name, std::size_t zone, const Endpoint& peer,
                                const IpAddress& local, bool confirmed) {
  SessionId id = session.local_id();
  sessions_.emplace(id, SessionEntry{std::move(session), kind, name, zone, peer, local, confirmed,
                                     now, {}});
  if (confirmed) make_current(id);
  return id;
}

void DirectorEngine::make_current(SessionId id) {
  SessionEntry& entry = sessions_.at(id);
  if (!key_still_valid(entry)) return;
  // The old one is swept after kSessionGrace: records under it may still be on their way.
  if (entry.kind == PeerKind::Terminal) terminals_.at(entry.name).session = id;
  if (entry.kind == PeerKind::Relay) relays_.at(entry.name).session = id;
}

void DirectorEngine::forget_session(SessionId id) { sessions_.erase(id); }

void DirectorEngine::forget_sessions_of(PeerKind kind, const Name& name) {
  std::erase_if(sessions_, [&](const std::pair<const SessionId, SessionEntry>& s) {
    return s.second.kind == kind && s.second.name == name;
  });
}

void DirectorEngine::sweep_sessions(Instant now) {
  std::erase_if(sessions_, [&](const std::pair<const SessionId, SessionEntry>& item) {
    const SessionEntry& s = item.second;
    if (now - s.session.made() > exchange::kSessionLife * 2) return true;
    bool current = false;
    if (s.kind == PeerKind::Dc) {
      std::map<LinkKey, DcLink>::const_iterator link = links_.find({s.name, s.zone});
      current = link != links_.end() &&
                (link->second.session == item.first || link->second.incoming == item.first);
    } else {
      Towards towards = s.kind == PeerKind::Terminal ? Towards::Terminal : Towards::Relay;
      current = session_towards({towards, s.name}) == item.first;
    }
    return !current && now - s.last > kSessionGrace;
  });
}

void DirectorEngine::send(const SessionEntry& to, Bytes datagram) {
  effects_.push_back(SendDatagram{to.local, to.peer, std::move(datagram)});
}

bool DirectorEngine::send_message(const std::optional<SessionId>& session,
                                  const wire::ControlMessage& message) {
  SessionEntry* entry = find_session(session);
  if (entry == nullptr) return false;
  Bytes plain = wire::encode(message);
  send(*entry, entry->session.seal(plain));
  wipe(plain);
  return true;
}

std::optional<SessionId> DirectorEngine::respond(Instant now, Arrival& arrival,
                                                 const wire::ControlMessage& message,
                                                 PeerKind kind, const Name& name,
                                                 std::uint64_t id, bool confirmed) {
  Result<exchange::OpenedInit::Answer> answer =
      arrival.opened.respond(wire::encode(message), new_session_id(kind, id), random_, now);
  if (!answer) {
    notify(Notify::Kind::Warning, name, "can't answer a handshake: " + answer.error().text);
    return std::nullopt;
  }
  keep_response(now, arrival.mac1, answer->datagram);
  effects_.push_back(SendDatagram{arrival.local, arrival.from, std::move(answer->datagram)});
  return adopt(now, std::move(answer->session), kind, name, arrival.zone, arrival.from,
               arrival.local, confirmed);
}

const Bytes* DirectorEngine::kept_response(Instant now, const Mac1& mac1) {
  std::map<Mac1, std::pair<Bytes, Instant>>::iterator it = kept_responses_.find(mac1);
  if (it == kept_responses_.end() || now - it->second.second > kKeepResponse) return nullptr;
  return &it->second.first;
}

void DirectorEngine::keep_response(Instant now, const Mac1& mac1, Bytes datagram) {
  while (!kept_order_.empty() &&
         (kept_order_.size() >= kMaxKeptResponses ||
          now - kept_responses_.at(kept_order_.front()).second > kKeepResponse)) {
    kept_responses_.erase(kept_order_.front());
    kept_order_.pop_front();
  }
  bool fresh = kept_responses_.insert_or_assign(mac1, std::make_pair(std::move(datagram), now))
                   .second;
  if (fresh) kept_order_.push_back(mac1);
}

// ---- reliable sending -------------------------------------------------------------------------

std::optional<SessionId> DirectorEngine::session_towards(const Target& target) const {
  if (target.towards == Towards::Terminal) {
    std::map<Name, TerminalEntry>::const_iterator it = terminals_.find(target.name);
    return it == terminals_.end() ? std::nullopt : it->second.session;
  }
  if (target.towards == Towards::Relay) {
    std::map<Name, RelayEntry>::const_iterator it = relays_.find(target.name);
    return it == relays_.end() ? std::nullopt : it->second.session;
  }
  std::map<LinkKey, DcLink>::const_iterator it = links_.find({target.name, target.own_zone});
  return it == links_.end() ? std::nullopt : it->second.session;
}

void DirectorEngine::track(Instant now, const Target& target, RequestId request, Bytes plaintext,
                           const exchange::RttEstimator& rtt) {
  std::uint64_t& id = outgoing_keys_[{target, request.value}];
  if (id == 0) id = next_outgoing_++;
  outgoing_.start(now, id, Outgoing{target, request, std::move(plaintext)}, rtt, random_,
                  kDirectionTries);
}

void DirectorEngine::send_reliably(Instant now, const Target& target, RequestId request,
                                   const wire::ControlMessage& message) {
  Bytes plain = wire::encode(message);
  SessionEntry* session = find_session(session_towards(target));
  if (session != nullptr) send(*session, session->session.seal(plain));
  track(now, target, request, std::move(plain),
        session != nullptr ? session->rtt : exchange::RttEstimator{});
}

void DirectorEngine::stop_sending(Instant now, const Target& target, RequestId request) {
  std::map<OutgoingKey, std::uint64_t>::iterator it = outgoing_keys_.find({target, request.value});
  if (it == outgoing_keys_.end()) return;
  std::optional<Duration> rtt = outgoing_.answered(it->second, now);
  outgoing_keys_.erase(it);
  SessionEntry* session = find_session(session_towards(target));
  if (rtt && session != nullptr) session->rtt.sample(*rtt);
}

void DirectorEngine::send_again(Instant now, const Outgoing& outgoing, int attempt) {
  const Target& target = outgoing.target;
  if (target.towards == Towards::Dc) {
    LinkKey key{target.name, target.own_zone};
    DcLink& link = links_[key];
    if (!outgoing.request.is_zero()) {
      if (attempt >= kRenewAtAttempt) renew_link(now, key, outgoing.plaintext);
    } else if (const std::vector<Endpoint>& all = peers_[target.name].endpoints; !all.empty()) {
      // A handshake's first message, whole as it is, at the DC's next address.
      effects_.push_back(SendDatagram{{}, all[++link.endpoint % all.size()], outgoing.plaintext});
    }
  }
  if (outgoing.request.is_zero()) return;
  if (SessionEntry* session = find_session(session_towards(target)))
    send(*session, session->session.seal(outgoing.plaintext));
}

void DirectorEngine::outgoing_failed(Instant now, const Outgoing& outgoing) {
  const Target& target = outgoing.target;
  if (target.towards == Towards::Dc && outgoing.request.is_zero()) {
    LinkKey key{target.name, target.own_zone};
    peers_[target.name].resolved_at.reset();  // its address may have changed
    fail_link(now, key, links_[key], wire::Status::TryLater);
    return;
  }
  std::map<std::uint64_t, Forwarded>::iterator forwarded =
      forwarded_.find(outgoing.request.value);
  if (forwarded != forwarded_.end()) {
    wire::RouteAck silent;
    silent.status = wire::Status::Offline;
    forwarded_acked(now, forwarded->second, silent);
    return;
  }
  std::map<std::uint64_t, Direction>::iterator it = directions_.find(outgoing.request.value);
  if (it == directions_.end() || it->second.ended) return;
  if (target.towards == Towards::Relay) {
    it->second.refused_relays.insert(target.name);
    replan(now, it->second);
  } else {
    end_direction(now, it->second, wire::Status::Offline);
  }
}

}  // namespace ntm::director
