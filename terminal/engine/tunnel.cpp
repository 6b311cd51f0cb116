// Selecting and keeping paths. See the header.
#include "terminal/engine/tunnel.hpp"

#include <algorithm>

namespace ntm::terminal {

Tunnel::Tunnel(Context& context, datapath::TunnelId id, const Name& peer)
    : context_(context), id_(id), peer_(peer) {}

Tunnel::~Tunnel() = default;

void Tunnel::set_addresses(const VirtualAddresses& addresses) {
  if (put_ && addresses == addresses_) return;
  addresses_ = addresses;
  put_ = true;
  context_.change(datapath::PutTunnel{id_, peer_.text(), addresses_, true});
}

Path* Tunnel::find(PathId path) {
  for (const std::unique_ptr<Path>& p : paths_)
    if (p->id() == path) return p.get();
  return nullptr;
}

Path* Tunnel::add(std::unique_ptr<Path> path) {
  // Room: the oldest that carries nothing goes first.
  for (std::size_t i = 0; paths_.size() >= kMaxPaths && i < paths_.size(); ++i) {
    if (paths_[i].get() == selected_) continue;
    if (paths_[i]->has_keys()) context_.change(datapath::RemovePath{paths_[i]->id()});
    removed_.push_back(paths_[i]->id());
    paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  paths_.push_back(std::move(path));
  return paths_.back().get();
}

void Tunnel::drop_attempts(RequestId request, std::uint8_t below) {
  for (const std::unique_ptr<Path>& p : paths_) {
    if (p->route().request != request || p->route().attempt >= below) continue;
    if (p.get() != selected_) p->close(context_.now);
  }
}

bool Tunnel::beats(const Path& n, const Path& c) {
  if (n.route().old_path == c.id()) return true;
  if (c.route().old_path == n.id()) return false;
  Duration apart = n.made() > c.made() ? n.made() - c.made() : c.made() - n.made();
  if (apart <= kSimultaneous && n.initiator_key() != c.initiator_key())
    return n.initiator_key() < c.initiator_key();
  return n.made() > c.made();
}

Path* Tunnel::choose() const {
  Path* best = selected_ != nullptr && selected_->usable() ? selected_ : nullptr;
  for (const std::unique_ptr<Path>& p : paths_) {
    if (!p->usable() || p.get() == best) continue;
    // Before confirmation a path serves only when there is nothing better.
    bool early = p->state() != PathState::Up;
    if (best == nullptr || (!early && (best->state() != PathState::Up || beats(*p, *best))))
      best = p.get();
  }
  return best;
}

void Tunnel::select(Path* path) {
  Path* before = selected_;
  selected_ = path;
  held_ = false;
  context_.change(datapath::SelectPath{id_, path->id()});
  Context::Fields fields = {{"peer", peer_.text()},
                            {"path", ntm::to_string(path->id())},
                            {"kind", path->relayed() ? "relay" : "direct"},
                            {"remote", ntm::to_string(path->outer()->remote)},
                            {"reason", path->reason()}};
  context_.note("path_selected", fields);
  if (before != nullptr && before != path) {
    if (before->has_keys())
      context_.change(datapath::SendReceiveState{id_, before->id()});
    bool replaced = path->route().old_path == before->id() || before->state() == PathState::Lost;
    before->close(context_.now + (replaced ? kKeepReplaced : kKeepOther));
  }
  ever_up_ = true;
  retry_at_ = Instant::never();
  retry_every_ = kRetryFirst;
}

void Tunnel::hold() {
  if (held_) return;
  held_ = true;
  held_since_ = context_.now;
  context_.change(datapath::HoldTunnel{id_});
  context_.note("tunnel_held", {{"peer", peer_.text()}});
}

void Tunnel::collect_losses(bool works, Path* best, Needs& needs) {
  for (const std::unique_ptr<Path>& p : paths_) {
    bool lost = p->take_lost();
    bool worn = p->take_needs_direction();
    if (worn && p.get() == selected_) needs.direction = wire::DirectionReason::Rekey;
    if (lost) {
      // A path that we never used as responder is its initiator's worry.
      bool ours = p.get() == selected_ || p->is_initiator();
      bool replaced = works && best != p.get();
      if (p.get() != selected_) p->close(context_.now + kKeepReplaced);
      if (!ours || replaced) continue;
      if (!ever_up_ && ++setup_failures_ >= kSetupTries) continue;
      needs.direction = wire::DirectionReason::PathLost;
    }
    if ((lost || worn) && needs.direction && p->has_keys()) needs.old_path = p->id();
  }
  if (needs.direction && selected_ != nullptr) needs.old_path = selected_->id();
}

Tunnel::Needs Tunnel::settle() {
  Needs needs;
  bool was_usable = ever_up_ && !held_;
  Path* best = choose();
  bool moved = false;
  for (const std::unique_ptr<Path>& p : paths_)
    if (p->take_moved() && p.get() == selected_) moved = true;
  // A path from an address that is gone sends into the void, whatever its state.
  bool works = best != nullptr && best->outer() && context_.locals.has(best->outer()->local);
  collect_losses(works, best, needs);
  if (works && (best != selected_ || held_ || moved)) {
    if (best != selected_ || held_) select(best);
    if (moved) context_.change(datapath::SendReceiveState{id_, best->id()});
    needs.became_usable = !was_usable;
    note_handover(*best, moved);
  } else if (ever_up_ && !works) {
    hold();
  }
  remove_due();
  if (held_ && context_.now - held_since_ >= kHoldAtMost) needs.dead = true;
  if (!ever_up_ && !needs.direction && is_hopeless()) needs.dead = true;
  if (retry_at_ <= context_.now && context_.locals.any()) {
    retry_at_ = Instant::never();
    needs.direction = wire::DirectionReason::PathLost;
    if (selected_ != nullptr) needs.old_path = selected_->id();
  }
  return needs;
}

void Tunnel::note_handover(const Path& path, bool moved) {
  if (!handover_since_) return;
  Duration took = context_.now - *handover_since_;
  handover_since_.reset();
  context_.note("handover_complete", {{"peer", peer_.text()},
                                      {"path", ntm::to_string(path.id())},
                                      {"kind", path.relayed() ? "relay" : "direct"},
                                      {"by", moved ? "tunnel_request" : "new_path"},
                                      {"took_us", std::to_string(took.us)}});
}

// No path that may still come up.
bool Tunnel::is_hopeless() const {
  return std::none_of(paths_.begin(), paths_.end(), [](const std::unique_ptr<Path>& p) {
    return p->usable() || p->state() == PathState::Opening || p->state() == PathState::Keyed;
  });
}

void Tunnel::remove_due() {
  for (std::size_t i = 0; i < paths_.size();) {
    Path& p = *paths_[i];
    if (p.remove_at() > context_.now || &p == selected_) {
      ++i;
      continue;
    }
    if (p.has_keys()) context_.change(datapath::RemovePath{p.id()});
    removed_.push_back(p.id());
    paths_.erase(paths_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Tunnel::on_addresses() {
  for (const std::unique_ptr<Path>& p : paths_) p->on_addresses();
}

void Tunnel::revoke(const std::vector<PathId>& revoked) {
  for (const std::unique_ptr<Path>& p : paths_) {
    if (std::find(revoked.begin(), revoked.end(), p->id()) == revoked.end()) continue;
    if (p.get() == selected_) selected_ = nullptr;
    p->close(context_.now);
  }
}

void Tunnel::direction_failed() {
  if (!ever_up_) return;
  retry_at_ = context_.now + context_.jittered(retry_every_);
  retry_every_ = std::min(retry_every_ * 2, kRetryMost);
}

void Tunnel::on_timer() {
  for (const std::unique_ptr<Path>& p : paths_) p->on_timer();
}

Instant Tunnel::next_deadline() const {
  Instant when = retry_at_;
  if (held_) when = std::min(when, held_since_ + kHoldAtMost);
  for (const std::unique_ptr<Path>& p : paths_) when = std::min(when, p->next_deadline());
  return when;
}

}  // namespace ntm::terminal
