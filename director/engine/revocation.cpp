// Which paths live, and ending them: a removed terminal or a changed key takes its paths along, at
// the other end, at its DC and at the relay.
#include <algorithm>

#include "director/engine/director_engine.hpp"

namespace ntm::director {

void DirectorEngine::remember_path(LivePath path) {
  if (live_paths_.size() >= kMaxLivePaths) forget_live_path(live_paths_.begin()->first);
  std::uint64_t id = next_live_path_++;
  live_paths_by_terminal_.insert({path.own, id});
  if (!path.link) live_paths_by_terminal_.insert({path.other, id});
  live_paths_.emplace(id, std::move(path));
}

void DirectorEngine::forget_live_path(std::uint64_t id) {
  std::map<std::uint64_t, LivePath>::iterator it = live_paths_.find(id);
  if (it == live_paths_.end()) return;
  live_paths_by_terminal_.erase({it->second.own, id});
  live_paths_by_terminal_.erase({it->second.other, id});
  live_paths_.erase(it);
}

std::optional<std::uint64_t> DirectorEngine::live_path(const Name& terminal, PathId path) const {
  for (std::set<std::pair<Name, std::uint64_t>>::const_iterator it =
           live_paths_by_terminal_.lower_bound({terminal, 0});
       it != live_paths_by_terminal_.end() && it->first == terminal; ++it) {
    const LivePath& live = live_paths_.at(it->second);
    if (std::find(live.paths.begin(), live.paths.end(), path) != live.paths.end())
      return it->second;
  }
  return std::nullopt;
}

void DirectorEngine::sweep_live_paths(Instant now) {
  // Oldest first, and all live equally long.
  while (!live_paths_.empty() && live_paths_.begin()->second.ends <= now)
    forget_live_path(live_paths_.begin()->first);
}

void DirectorEngine::revoke_paths_of(Instant now, const Name& terminal,
                                     wire::RevokeReason reason) {
  std::vector<std::uint64_t> ids;
  for (std::set<std::pair<Name, std::uint64_t>>::iterator it =
           live_paths_by_terminal_.lower_bound({terminal, 0});
       it != live_paths_by_terminal_.end() && it->first == terminal; ++it)
    ids.push_back(it->second);
  for (std::uint64_t id : ids) {
    LivePath live = live_paths_.at(id);
    forget_live_path(id);
    wire::PathRevoke revoke;
    revoke.paths = live.paths;
    revoke.reason = reason;
    revoke.request = new_request_id();
    send_message(session_towards({Towards::Terminal, terminal}), wire::ControlMessage(revoke));
    if (live.relay && relays_.count(*live.relay))
      delete_at_relay(now, *live.relay, {live.paths.front()});
    revoke.request = new_request_id();
    if (!live.link) {
      Name other = live.own == terminal ? live.other : live.own;
      send_reliably(now, {Towards::Terminal, other}, revoke.request,
                    wire::ControlMessage(revoke));
      continue;
    }
    // Over whichever session there is; without one the path ends by its lifetime.
    revoke.to = live.other;
    const DcLink& link = links_[*live.link];
    Target dc{Towards::Dc, live.link->zone, live.link->own_zone};
    if (find_session(link.session) != nullptr)
      send_reliably(now, dc, revoke.request, wire::ControlMessage(revoke));
    else
      send_message(link.incoming, wire::ControlMessage(revoke));
  }
}

// Only the DC of a path's other end may end it.
void DirectorEngine::dc_path_revoke(Instant now, SessionEntry& session,
                                    const wire::PathRevoke& revoke) {
  wire::RouteAck ack;
  ack.request = revoke.request;
  std::vector<PathId> ours;
  for (PathId path : revoke.paths) {
    std::optional<std::uint64_t> id = live_path(revoke.to, path);
    if (!id || live_paths_.at(*id).own != revoke.to ||
        live_paths_.at(*id).link != LinkKey{session.name, session.zone})
      continue;
    ours.push_back(path);
  }
  if (ours.empty()) ack.status = wire::Status::UnknownName;
  send_message(session.session.local_id(), wire::ControlMessage(ack));
  if (ours.empty()) return;
  wire::PathRevoke inward;
  inward.request = new_request_id();
  inward.paths = ours;
  inward.reason = revoke.reason;
  send_reliably(now, {Towards::Terminal, revoke.to}, inward.request,
                wire::ControlMessage(inward));
  for (PathId path : ours)
    if (std::optional<std::uint64_t> id = live_path(revoke.to, path)) forget_live_path(*id);
}

}  // namespace ntm::director
