// Keep Alive, leases, and the hints that bring terminals back after a restart.
#include <algorithm>

#include "director/engine/director_engine.hpp"
#include "libntm/crypto/hash.hpp"
#include "libntm/crypto/key_schedule.hpp"

namespace ntm::director {

namespace {
std::uint32_t observed_hash(const Endpoint& peer) {
  Byte port[2] = {static_cast<Byte>(peer.port >> 8), static_cast<Byte>(peer.port)};
  crypto::Digest digest = crypto::sha256({peer.address.view(), port});
  return Reader(ByteView(digest.data(), 4)).u32();
}
}  // namespace

void DirectorEngine::keep_alive(Instant now, SessionEntry& session,
                                const wire::KeepAlive& message) {
  if (session.kind == PeerKind::Terminal) {
    std::map<Name, TerminalEntry>::iterator it = terminals_.find(session.name);
    if (it != terminals_.end()) touch(now, it->second);
  } else if (session.kind == PeerKind::Relay) {
    std::map<Name, RelayEntry>::iterator it = relays_.find(session.name);
    if (it != relays_.end()) it->second.last_seen = now;
  }
  if (!message.want_echo) return;
  wire::KeepAlive echo;
  echo.sequence = message.sequence;
  echo.is_echo = true;
  echo.observed_hash = observed_hash(session.peer);
  send(session, session.session.seal(wire::encode(wire::ControlMessage(echo))));
}

void DirectorEngine::touch(Instant now, TerminalEntry& entry) {
  entry.last_seen = now;
  const Name& name = entry.view.terminal.name;
  // Moved at most every tenth of a lease: this runs for every record of every terminal.
  if (entry.lease_ends != Instant::never() && entry.lease_ends - now > kLease - kLease / 10) return;
  leases_.erase({entry.lease_ends, name});
  entry.lease_ends = now + kLease;
  leases_.insert({entry.lease_ends, name});
}

void DirectorEngine::expire_leases(Instant now) {
  while (!leases_.empty() && leases_.begin()->first <= now) {
    Name name = leases_.begin()->second;
    leases_.erase(leases_.begin());
    TerminalEntry& entry = terminals_.at(name);
    entry.lease_ends = Instant::never();
    if (entry.session) {
      forget_session(*entry.session);
      entry.session.reset();
    }
    if (!entry.view.location) continue;
    bool already = entry.view.location->flags & store::kLocationOffline;
    entry.view.location->flags |= store::kLocationOffline;
    write_offline(entry);
    if (!already) notify(Notify::Kind::Offline, name, "silent for a whole lease");
  }
}

void DirectorEngine::write_offline(const TerminalEntry& entry) {
  store::Batch batch;
  batch.items.push_back(store::SetLocationFlags{entry.view.terminal.id,
                                                entry.view.location->counter,
                                                entry.view.location->flags});
  offline_writes_[write(std::move(batch))] = entry.view.terminal.name;
}

Bytes DirectorEngine::control_hint(const PublicKey& key) const {
  wire::ControlHint hint;
  hint.key_hash = crypto::key_hash(key);
  hint.token = crypto::control_hint_token(config_.reset_secret, hint.key_hash);
  return wire::encode(hint);
}

void DirectorEngine::send_due_hints(Instant now) {
  // In steps of 10 ms, so that 10,000 a second do not leave as one burst.
  constexpr int kPerStep = kHintsPerSecond / 100;
  if (next_hint_ > now) return;
  for (int i = 0; i < kPerStep && !hints_due_.empty() && hints_due_.front().at <= now;) {
    DueHint hint = hints_due_.front();
    hints_due_.pop_front();
    std::map<PublicKey, Name>::iterator name = terminal_keys_.find(hint.key);
    if (name == terminal_keys_.end() || terminals_.at(name->second).session) continue;
    effects_.push_back(SendDatagram{{}, hint.to, control_hint(hint.key)});
    ++counters_.hints;
    ++i;
    if (++hint.times == kHintTimes) continue;
    hint.at = now + kHintAgain;
    hints_due_.push_back(hint);
  }
  next_hint_ = hints_due_.empty() ? Instant::never()
                                  : std::max(hints_due_.front().at, now + milliseconds(10));
}

// To whoever sent it: the hint is no longer than what came, and worthless to others.
void DirectorEngine::hint_unknown_session(Instant now, const Datagram& datagram, SessionId id) {
  bool of_dc = false;
  const PublicKey* key = key_behind(id, of_dc);
  if ((key == nullptr && !of_dc) || !hint_load_.allow(now, kHintsPerSecond)) return;
  // A DC gets one without a token: it only begins a handshake a little earlier because of it.
  Bytes hint = key != nullptr ? control_hint(*key) : wire::encode(wire::ControlHint{});
  if (hint.size() > datagram.bytes.size()) return;
  ++counters_.hints;
  effects_.push_back(SendDatagram{datagram.local, datagram.from, std::move(hint)});
}

}  // namespace ntm::director
