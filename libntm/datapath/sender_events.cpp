// Sender: what the receiving side noticed, and the timers.
#include "libntm/datapath/icmp.hpp"
#include "libntm/datapath/sender.hpp"

namespace ntm::datapath {

void Sender::notice(Instant now, const Notice& notice, SenderOutput& out) {
  if (const Heard* heard_on = std::get_if<Heard>(&notice)) {
    heard(now, *heard_on, out);
  } else if (const ProbeSeen* probe_seen = std::get_if<ProbeSeen>(&notice)) {
    Path* path = find_path(probe_seen->path);
    if (path == nullptr) return;
    wire::ProbeReply reply{probe_seen->probe.id, probe_seen->probe.sent_us, probe_seen->received};
    (void)send_payload(now, *path, wire::encode(wire::InnerControl(reply)), std::nullopt, out);
  } else if (const ProbeReplySeen* reply_seen = std::get_if<ProbeReplySeen>(&notice)) {
    Path* path = find_path(reply_seen->path);
    if (path == nullptr) return;
    const wire::ProbeReply& reply = reply_seen->reply;
    Duration rtt{now.us - static_cast<std::int64_t>(reply.sent_us)};
    if ((reply.id & kOwnProbe) == 0) {
      if (rtt.us >= 0) out.events.push_back(ProbeAnswered{path->id, reply.id, rtt});
    } else if (path->outer && path->outer->remote == reply_seen->from) {
      path->allowance.reset();  // our own probe came back from there: the address is real
      flush(now, *path->tunnel, out);
    }
  } else if (const ReceiveStateSeen* state = std::get_if<ReceiveStateSeen>(&notice)) {
    receive_state(now, *state, out);
  }
}

void Sender::heard(Instant now, const Heard& notice, SenderOutput& out) {
  Path* path = find_path(notice.path);
  if (path == nullptr) return;
  Tunnel& tunnel = *path->tunnel;
  // The ring must not forget in this very moment what a receive state behind this packet asks for.
  if (is_silent(*path, now)) tunnel.ring_keep_until = now + kRingGrace;
  path->unanswered.reset();
  if (path->silent_reported) {
    path->silent_reported = false;
    out.events.push_back(PathAlive{path->id});
  }
  path->received.add(now, notice.bytes);
  if (notice.data) {
    tunnel.last_data = now;
    tunnel.idle_reported = false;
    arm(now + kIdleAfter);
  }
  if (notice.newest && path->outer &&
      (path->outer->remote != notice.from.remote || path->outer->socket != notice.from.socket) &&
      path->may_roam && now >= path->roam_from)
    roam(now, *path, notice.from, out);
  if (path->allowance) {
    *path->allowance += static_cast<std::int64_t>(3 * notice.bytes);
    if (now >= path->validate_again) probe(now, *path, out);
  }
  if (tunnel.selected == path && (tunnel.ring.pending() > 0 || !tunnel.hold.empty()))
    flush(now, tunnel, out);
}

void Sender::roam(Instant now, Path& path, const Outer& to, SenderOutput& out) {
  path.outer = to;
  path.mtu = 0;
  path.allowance = std::min(path.received.bytes_per_second(), kMaxRoamCredit);
  path.validate_again = now;
  out.events.push_back(PathMoved{path.id, to});
}

void Sender::probe(Instant now, Path& path, SenderOutput& out) {
  path.validate_again = now + kValidateAgain;
  wire::Probe probe{kOwnProbe | next_probe_++ % kOwnProbe, static_cast<std::uint64_t>(now.us)};
  (void)send_payload(now, path, wire::encode(wire::InnerControl(probe)), std::nullopt, out);
}

Result<void> Sender::send_receive_state(Instant now, TunnelId id, const wire::ReceiveState& state,
                                        SenderOutput& out) {
  Tunnel* tunnel = find_tunnel(id);
  if (tunnel == nullptr) return invalid("no tunnel " + to_string(id));
  if (tunnel->selected == nullptr || !tunnel->selected->outer)
    return invalid("the tunnel to " + tunnel->peer + " has no selected path");
  Path& path = *tunnel->selected;
  path.state_again = now + kStateAgain;
  if (!send_payload(now, path, wire::encode(wire::InnerControl(state)), std::nullopt, out))
    return fail(ErrorKind::Full, "path " + to_string(path.id) + " has no credit left");
  return {};
}

void Sender::receive_state(Instant now, const ReceiveStateSeen& notice, SenderOutput& out) {
  Path* path = find_path(notice.path);
  if (path == nullptr) return;
  Tunnel& tunnel = *path->tunnel;
  if (now >= path->state_again) {
    path->state_again = now + kStateAgain;
    (void)send_payload(now, *path, wire::encode(wire::InnerControl(notice.ours)), std::nullopt, out);
  }
  tunnel.ring.mark_missing(now, notice.theirs);
  flush(now, tunnel, out);
}

void Sender::set_path_mtu(Instant now, const IpAddress& remote, std::uint16_t mtu) {
  for (std::pair<const PathId, std::unique_ptr<Path>>& entry : paths_) {
    Path& path = *entry.second;
    if (!path.outer || path.outer->remote.address != remote) continue;
    if (path.mtu != 0 && path.mtu <= mtu) continue;
    path.mtu = mtu;
    path.mtu_until = now + kMtuAge;
    arm(path.mtu_until);
  }
}

void Sender::on_timer(Instant now, SenderOutput& out) {
  if (now < deadline_) return;
  deadline_ = Instant::never();
  for (std::pair<const PathId, std::unique_ptr<Path>>& entry : paths_)
    check_silence(now, *entry.second, out);
  for (std::pair<const TunnelId, std::unique_ptr<Tunnel>>& entry : tunnels_)
    check_tunnel(now, *entry.second, out);
  for (std::map<IpAddress, Orphan>::iterator it = orphans_.begin(); it != orphans_.end();) {
    Instant due = it->second.last + kOrphanAge;
    if (now >= due) {
      it = orphans_.erase(it);
    } else {
      arm(due);
      ++it;
    }
  }
}

void Sender::check_silence(Instant now, Path& path, SenderOutput& out) {
  if (path.mtu != 0) {
    if (now >= path.mtu_until)
      path.mtu = 0;
    else
      arm(path.mtu_until);
  }
  if (!path.unanswered || path.silent_reported) return;
  Instant due = *path.unanswered + kSilenceAfter;
  if (now < due) return arm(due);
  path.silent_reported = true;
  out.events.push_back(PathSilent{path.id, now - *path.unanswered});
}

void Sender::check_tunnel(Instant now, Tunnel& tunnel, SenderOutput& out) {
  if (!tunnel.idle_reported) {
    Instant due = tunnel.last_data + kIdleAfter;
    if (now >= due) {
      tunnel.idle_reported = true;
      out.events.push_back(TunnelIdle{tunnel.id});
    } else {
      arm(due);
    }
  }
  if (tunnel.has_ring) {
    tunnel.ring.age(now, keeps_ring(tunnel, now));
    Instant due = tunnel.last_data + kRingIdle;
    if (now < due) {
      arm(due);
    } else if (tunnel.ring.size() == 0) {
      tunnel.ring.release();
      tunnel.has_ring = false;
      --rings_;
    } else {
      arm(now + kRingIdle);
    }
  }
  if (!tunnel.hold.empty()) {
    (void)tunnel.hold.front(now);
    flush(now, tunnel, out);
    if (!tunnel.hold.empty()) arm(now + seconds(1));
  } else if (tunnel.ring.pending() > 0) {
    flush(now, tunnel, out);
  }
}

bool Sender::add_statistics(PathId id, PathStatistics& out) const {
  std::unordered_map<PathId, std::unique_ptr<Path>>::const_iterator it = paths_.find(id);
  if (it == paths_.end()) return false;
  const Path& path = *it->second;
  out.path = id;
  if (path.outer) out.outer = *path.outer;
  out.packets_sent = path.packets_sent;
  out.bytes_sent = path.bytes_sent;
  out.resent = path.resent;
  if (path.tunnel->selected == &path) out.held = path.tunnel->hold.size();
  out.dropped += path.dropped + path.tunnel->hold.dropped();
  return true;
}

}  // namespace ntm::datapath
