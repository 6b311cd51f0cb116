// The beginning, the timers, the effects. See the header for the split.
#include "director/engine/director_engine.hpp"

#include <algorithm>

namespace ntm::director {

const char* to_string(Notify::Kind kind) {
  switch (kind) {
    case Notify::Kind::Info: return "info";
    case Notify::Kind::Warning: return "warning";
    case Notify::Kind::Registered: return "registered";
    case Notify::Kind::Moved: return "moved";
    case Notify::Kind::Offline: return "offline";
    case Notify::Kind::Direction: return "direction";
    case Notify::Kind::RelayUp: return "relay-up";
    case Notify::Kind::RelayDown: return "relay-down";
    case Notify::Kind::Refused: return "refused";
  }
  return "?";
}

DirectorEngine::DirectorEngine(const DirectorConfig& config, Random& random)
    : config_(config),
      random_(random),
      limiter_(random),
      proven_salt_(random.u64()),
      proven_(kProvenSlots),
      sender_counter_(config.first_sender_counter) {
  for (const ZoneIdentity& z : config_.zones) {
    responders_.push_back(std::make_unique<exchange::HandshakeResponder>(z.zone.apex, z.key,
                                                                        z.next_key, random_));
    pools_.emplace_back(z.zone);
  }
}
DirectorEngine::~DirectorEngine() = default;

std::vector<Effect> DirectorEngine::take_effects() {
  std::vector<Effect> out;
  out.swap(effects_);
  return out;
}

void DirectorEngine::notify(Notify::Kind kind, const Name& subject, std::string text) {
  if (kind == Notify::Kind::Refused && !refusal_notes_.allow(latest_, kRefusalNotesPerSecond))
    return;
  effects_.push_back(Notify{kind, subject, std::move(text)});
}

std::uint64_t DirectorEngine::write(store::Batch batch) {
  std::uint64_t tag = next_tag_++;
  effects_.push_back(StoreWrite{tag, std::move(batch)});
  return tag;
}

std::optional<std::size_t> DirectorEngine::zone_of(const Name& name) const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < config_.zones.size(); ++i) {
    const Name& apex = config_.zones[i].zone.apex;
    if (!name.is_under(apex)) continue;
    if (!best || apex.labels() > config_.zones[*best].zone.apex.labels()) best = i;
  }
  return best;
}

// ---- timers -----------------------------------------------------------------------------------

void DirectorEngine::on_timer(Instant now, WallTime wall) {
  wall_ = wall;
  latest_ = now;
  exchange::RequestTable<Outgoing>::Turn turn = outgoing_.due(now, random_);
  for (const exchange::RequestTable<Outgoing>::Due& due : turn.again)
    send_again(now, due.to, due.attempt);
  for (const exchange::RequestTable<Outgoing>::Due& due : turn.failed) {
    // It may have been begun anew meanwhile, under another id.
    std::map<OutgoingKey, std::uint64_t>::iterator key =
        outgoing_keys_.find({due.to.target, due.to.request.value});
    if (key != outgoing_keys_.end() && key->second == due.id) outgoing_keys_.erase(key);
    outgoing_failed(now, due.to);
  }
  expire_leases(now);
  send_due_hints(now);
  if (next_sweep_ <= now) sweep(now);
}

void DirectorEngine::sweep(Instant now) {
  next_sweep_ = now + seconds(5);
  std::erase_if(directions_, [&](const std::pair<const std::uint64_t, Direction>& d) {
    if (now - d.second.made <= kDirectionLife) return false;
    directions_by_mn_.erase({d.second.mn, d.second.mn_request.value});
    return true;
  });
  std::erase_if(forwarded_, [&](const std::pair<const std::uint64_t, Forwarded>& f) {
    if (now - f.second.made <= kDirectionLife) return false;
    forwarded_by_dc_.erase({f.second.link, f.second.foreign_request.value});
    return true;
  });
  std::erase_if(strangers_, [&](const Stranger& s) { return now - s.since > seconds(10); });
  sweep_sessions(now);
  sweep_peers(now);
  sweep_live_paths(now);
  for (auto& [name, relay] : relays_)
    if (relay.session && now - relay.last_seen > kRelayLease) {
      relay.session.reset();
      notify(Notify::Kind::RelayDown, name, "silent");
    }
}

Instant DirectorEngine::next_deadline() const {
  Instant when = std::min({outgoing_.next_deadline(), next_hint_, next_sweep_});
  if (!leases_.empty()) when = std::min(when, leases_.begin()->first);
  return when;
}

void DirectorEngine::start(Instant now, WallTime wall, const Snapshot& snapshot) {
  wall_ = wall;
  latest_ = now;
  next_sweep_ = now + seconds(5);
  for (const store::TerminalView& view : snapshot.terminals) {
    terminal_changed(now, view);
    if (!view.location || (view.location->flags & store::kLocationOffline)) continue;
    TerminalEntry& entry = terminals_.at(view.terminal.name);
    touch(now, entry);  // a whole lease to come back in
    if (!view.terminal.key) continue;
    for (const store::FamilyLocation* f : {&view.location->v4, &view.location->v6})
      if (f->outside.is_set()) hints_due_.push_back({now, f->outside, *view.terminal.key, 0});
  }
  if (!hints_due_.empty()) next_hint_ = now;
  for (const store::Token& token : snapshot.tokens) tokens_[token.id] = token;
  relays_changed(now, snapshot.relays);
  peers_changed(snapshot.peers);
}

}  // namespace ntm::director
