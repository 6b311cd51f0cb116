// Sender: changes from the control plane. Each either fails and changed nothing, or is done; the
// same change twice is the same state. Above all, putting a key again must not set its counter
// back: a nonce used twice gives the key away.
#include "libntm/datapath/record.hpp"
#include "libntm/datapath/sender.hpp"

namespace ntm::datapath {
namespace {

Error no_path(PathId id) { return {ErrorKind::Invalid, "no path " + to_string(id)}; }
Error no_tunnel(TunnelId id) { return {ErrorKind::Invalid, "no tunnel " + to_string(id)}; }

// Offset of the time in an encoded wire::Probe: kind 1, id 4.
constexpr std::size_t kProbeTimeAt = 5;
constexpr std::size_t kProbeSize = 13;

}  // namespace

Result<void> Sender::apply(Instant now, const Change& change, SenderOutput& out) {
  return std::visit(
      [&](const auto& c) -> Result<void> {
        if constexpr (requires { on(now, c, out); }) {
          return on(now, c, out);
        } else {
          return {};
        }
      },
      change);
}

void Sender::unmap_addresses(const Tunnel& tunnel) {
  std::erase_if(by_address_, [&](const std::pair<const IpAddress, Tunnel*>& entry) {
    return entry.second == &tunnel;
  });
  last_ = {};
}

void Sender::map_addresses(Tunnel& tunnel) {
  unmap_addresses(tunnel);
  if (tunnel.addresses.v4) by_address_[IpAddress(*tunnel.addresses.v4)] = &tunnel;
  if (tunnel.addresses.v6) by_address_[IpAddress(*tunnel.addresses.v6)] = &tunnel;
}

Result<void> Sender::on(Instant now, const PutTunnel& change, SenderOutput& out) {
  std::vector<IpAddress> addresses;
  if (change.addresses.v4) addresses.push_back(*change.addresses.v4);
  if (change.addresses.v6) addresses.push_back(*change.addresses.v6);
  Tunnel* tunnel = find_tunnel(change.tunnel);
  for (const IpAddress& address : addresses) {
    std::map<IpAddress, Tunnel*>::iterator it = by_address_.find(address);
    if (it != by_address_.end() && it->second != tunnel)
      return fail(ErrorKind::Conflict,
                  to_string(address) + " belongs to the tunnel to " + it->second->peer);
  }
  if (tunnel == nullptr) {
    std::unique_ptr<Tunnel>& made = tunnels_[change.tunnel];
    made = std::make_unique<Tunnel>();
    tunnel = made.get();
    tunnel->id = change.tunnel;
    tunnel->last_data = now;
    arm(now + kIdleAfter);
  }
  tunnel->peer = change.peer;
  tunnel->addresses = change.addresses;
  tunnel->partial_sums = change.peer_finishes_checksums;
  map_addresses(*tunnel);
  for (const IpAddress& address : addresses) {
    std::map<IpAddress, Orphan>::iterator it = orphans_.find(address);
    if (it == orphans_.end()) continue;
    tunnel->hold.take_over(it->second.hold);
    orphans_.erase(it);
    arm(now + kHoldAge);
  }
  flush(now, *tunnel, out);
  return {};
}

Result<void> Sender::on(Instant now, const RemoveTunnel& change, SenderOutput& out) {
  Tunnel* tunnel = find_tunnel(change.tunnel);
  if (tunnel == nullptr) return tl::unexpected(no_tunnel(change.tunnel));
  if (change.unreachable) refuse(now, tunnel->hold, out);
  if (tunnel->has_ring) --rings_;
  unmap_addresses(*tunnel);
  std::erase_if(paths_, [&](const std::pair<const PathId, std::unique_ptr<Path>>& entry) {
    return entry.second->tunnel == tunnel;
  });
  tunnels_.erase(change.tunnel);
  return {};
}

Result<void> Sender::add_key(Path& path, const PathKeys& keys) {
  std::optional<crypto::Suite> suite = crypto::suite_from(keys.suite);
  if (!suite || keys.epoch > 3)
    return invalid("unknown suite or epoch in the keys of path " + to_string(path.id));
  for (std::size_t i = 0; i < path.keys.size(); ++i) {
    if (path.keys[i].epoch != keys.epoch) continue;
    if (path.keys[i].secret == keys.send.key) return {};
    path.keys.erase(path.keys.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  if (path.keys.size() == kMaxEpochs) path.keys.erase(path.keys.begin());
  path.keys.push_back({keys.epoch, keys.send.key,
                       crypto::Aead(*suite, crypto::Aead::Use::Seal, keys.send.key, keys.send.iv)});
  return {};
}

void Sender::set_outer(Instant now, Path& path, const Outer& outer,
                       const std::optional<std::uint32_t>& credit) {
  bool same = path.outer && path.outer->remote == outer.remote &&
              path.outer->socket == outer.socket;
  if (!same) {
    path.mtu = 0;
    path.unanswered.reset();
    path.silent_reported = false;  // the new place has its own chance to be silent
    path.tunnel->ring_keep_until = now + kRingGrace;
  }
  path.outer = outer;
  path.roam_from = now + kRoamQuiet;
  if (!credit)
    path.allowance.reset();
  else if (!same)
    path.allowance = *credit;
}

Result<void> Sender::on(Instant now, const PutPath& change, SenderOutput& out) {
  Tunnel* tunnel = find_tunnel(change.tunnel);
  if (tunnel == nullptr) return tl::unexpected(no_tunnel(change.tunnel));
  if (change.path.is_zero()) return invalid("Path ID zero is no path");
  Path* path = find_path(change.path);
  if (path != nullptr && path->tunnel != tunnel)
    return fail(ErrorKind::Conflict, "path " + to_string(change.path) + " is of another tunnel");
  std::unique_ptr<Path> made;
  if (path == nullptr) {
    made = std::make_unique<Path>();
    path = made.get();
    path->id = change.path;
    path->tunnel = tunnel;
  }
  Result<void> added = add_key(*path, change.keys);
  if (!added) return added;
  path->epoch = change.keys.epoch;
  path->may_roam = change.may_roam;
  path->early = change.early;
  if (change.outer) set_outer(now, *path, *change.outer, change.credit);
  if (made) paths_[change.path] = std::move(made);
  flush(now, *tunnel, out);
  return {};
}

Result<void> Sender::on(Instant, const AddKeys& change, SenderOutput&) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  return add_key(*path, change.keys);
}

Result<void> Sender::on(Instant now, const UseEpoch& change, SenderOutput& out) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  for (const Key& key : path->keys) {
    if (key.epoch != change.epoch) continue;
    path->epoch = change.epoch;
    path->early = false;
    flush(now, *path->tunnel, out);
    return {};
  }
  return invalid("path " + to_string(change.path) + " has no keys of that epoch");
}

Result<void> Sender::on(Instant now, const MovePath& change, SenderOutput& out) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  set_outer(now, *path, change.outer, change.credit);
  flush(now, *path->tunnel, out);
  return {};
}

Result<void> Sender::on(Instant, const RemovePath& change, SenderOutput&) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  // Ringed packets of it stay: the peer may still miss them and hold the keys.
  if (path->tunnel->selected == path) path->tunnel->selected = nullptr;
  paths_.erase(change.path);
  return {};
}

Result<void> Sender::on(Instant now, const SelectPath& change, SenderOutput& out) {
  Tunnel* tunnel = find_tunnel(change.tunnel);
  if (tunnel == nullptr) return tl::unexpected(no_tunnel(change.tunnel));
  Path* path = find_path(change.path);
  if (path == nullptr || path->tunnel != tunnel) return tl::unexpected(no_path(change.path));
  if (!path->outer)
    return invalid("path " + to_string(change.path) + " has no outer address to send to");
  if (tunnel->selected != path || tunnel->holding) tunnel->ring_keep_until = now + kRingGrace;
  if (tunnel->selected != nullptr && tunnel->selected != path) tunnel->selected->unanswered.reset();
  tunnel->selected = path;
  tunnel->holding = false;
  flush(now, *tunnel, out);
  return {};
}

Result<void> Sender::on(Instant, const HoldTunnel& change, SenderOutput&) {
  Tunnel* tunnel = find_tunnel(change.tunnel);
  if (tunnel == nullptr) return tl::unexpected(no_tunnel(change.tunnel));
  tunnel->holding = true;
  return {};
}

Result<void> Sender::on(Instant now, const SendInner& change, SenderOutput& out) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  if (change.payload.empty() || change.payload[0] >> 4 != 0)
    return invalid("inner control starts with a zero nibble");
  if (!path->outer) return invalid("path " + to_string(change.path) + " has no outer address");
  Bytes payload = change.payload;
  // The time of a probe is stamped here, as late as possible: what comes back is measured here.
  if (payload[0] == static_cast<Byte>(wire::InnerKind::Probe) && payload.size() == kProbeSize)
    put_u64(&payload[kProbeTimeAt], static_cast<std::uint64_t>(now.us));
  if (!send_payload(now, *path, payload, std::nullopt, out))
    return fail(ErrorKind::Full, "path " + to_string(change.path) + " has no credit left");
  return {};
}

Result<void> Sender::on(Instant now, const SendKeepAlive& change, SenderOutput& out) {
  Path* path = find_path(change.path);
  if (path == nullptr) return tl::unexpected(no_path(change.path));
  if (!path->outer) return invalid("path " + to_string(change.path) + " has no outer address");
  if (!send_payload(now, *path, {}, std::nullopt, out))
    return fail(ErrorKind::Full, "path " + to_string(change.path) + " has no credit left");
  return {};
}

Result<void> Sender::on(Instant now, const Refuse& change, SenderOutput& out) {
  std::map<IpAddress, Orphan>::iterator it = orphans_.find(change.destination);
  if (it == orphans_.end()) return {};
  refuse(now, it->second.hold, out);
  orphans_.erase(it);
  return {};
}

}  // namespace ntm::datapath
