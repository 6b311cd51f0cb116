// See receiver.hpp.
#include "libntm/datapath/receiver.hpp"

#include "libntm/datapath/record.hpp"

namespace ntm::datapath {
namespace {

constexpr std::size_t kMaxKeys = 3;  // previous, current, next

bool holds(const VirtualAddresses& set, const IpAddress& address) {
  if (address.is_v4()) return set.v4 && *set.v4 == address.v4();
  return set.v6 && *set.v6 == address.v6();
}

}  // namespace

Receiver::Path* Receiver::find_path(PathId id) {
  if (last_ != nullptr && last_->id == id) return last_;
  std::unordered_map<PathId, std::unique_ptr<Path>>::iterator it = paths_.find(id);
  if (it == paths_.end()) return nullptr;
  last_ = it->second.get();
  return last_;
}

Receiver::Key* Receiver::key_of(Path& path, std::uint8_t epoch) {
  for (Key& key : path.keys)
    if (key.epoch == epoch) return &key;
  return nullptr;
}

// ---- changes -----------------------------------------------------------------------------------

Result<void> Receiver::add_key(Path& path, const PathKeys& keys) {
  std::optional<crypto::Suite> suite = crypto::suite_from(keys.suite);
  if (!suite || keys.epoch > 3)
    return invalid("unknown suite or epoch in the keys of path " + to_string(path.id));
  for (std::size_t i = 0; i < path.keys.size(); ++i) {
    if (path.keys[i].epoch != keys.epoch) continue;
    if (path.keys[i].secret == keys.receive.key) return {};  // its window must not be forgotten
    path.keys.erase(path.keys.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  if (path.keys.size() == kMaxKeys) path.keys.erase(path.keys.begin());
  path.keys.push_back(
      {keys.epoch, keys.receive.key,
       crypto::Aead(*suite, crypto::Aead::Use::Open, keys.receive.key, keys.receive.iv),
       std::make_unique<Window>()});
  return {};
}

Result<void> Receiver::put_path(const PutPath& change) {
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>>::iterator tunnel =
      tunnels_.find(change.tunnel);
  if (tunnel == tunnels_.end()) return invalid("no tunnel " + to_string(change.tunnel));
  if (change.path.is_zero()) return invalid("Path ID zero is no path");
  Path* path = find_path(change.path);
  if (path != nullptr && path->tunnel != tunnel->second.get())
    return fail(ErrorKind::Conflict, "path " + to_string(change.path) + " is of another tunnel");
  std::unique_ptr<Path> made;
  if (path == nullptr) {
    made = std::make_unique<Path>();
    path = made.get();
    path->id = change.path;
    path->tunnel = tunnel->second.get();
    path->newest_epoch = change.keys.epoch;
    path->heard.path = change.path;
  }
  Result<void> added = add_key(*path, change.keys);
  if (!added) return added;
  if (made) paths_[change.path] = std::move(made);
  return {};
}

Result<void> Receiver::apply(const Change& change) {
  if (const PutTunnel* put = std::get_if<PutTunnel>(&change)) {
    std::unique_ptr<Tunnel>& tunnel = tunnels_[put->tunnel];
    if (tunnel == nullptr) tunnel = std::make_unique<Tunnel>();
    tunnel->id = put->tunnel;
    tunnel->peer = put->addresses;
  } else if (const RemoveTunnel* remove = std::get_if<RemoveTunnel>(&change)) {
    std::unordered_map<TunnelId, std::unique_ptr<Tunnel>>::iterator it =
        tunnels_.find(remove->tunnel);
    if (it == tunnels_.end()) return {};
    Tunnel* gone = it->second.get();
    last_ = nullptr;
    std::erase_if(touched_, [&](const Path* path) { return path->tunnel == gone; });
    std::erase_if(paths_, [&](const std::pair<const PathId, std::unique_ptr<Path>>& entry) {
      return entry.second->tunnel == gone;
    });
    tunnels_.erase(it);
  } else if (const PutPath* put_change = std::get_if<PutPath>(&change)) {
    return put_path(*put_change);
  } else if (const AddKeys* add = std::get_if<AddKeys>(&change)) {
    Path* path = find_path(add->path);
    if (path == nullptr) return invalid("no path " + to_string(add->path));
    return add_key(*path, add->keys);
  } else if (const RemovePath* remove_path = std::get_if<RemovePath>(&change)) {
    last_ = nullptr;
    std::erase_if(touched_, [&](const Path* path) { return path->id == remove_path->path; });
    paths_.erase(remove_path->path);
  }
  return {};
}

// ---- datagrams ---------------------------------------------------------------------------------

void Receiver::note_heard(Path& path, const Outer& from, std::size_t bytes, bool newest) {
  if (!path.touched) {
    path.touched = true;
    path.heard = Heard{path.id};
    touched_.push_back(&path);
  }
  path.heard.bytes += bytes;
  if (newest) {
    path.heard.newest = true;
    path.heard.from = from;
  }
}

std::optional<ByteSpan> Receiver::open(Path& path, const Outer& from, ByteSpan datagram,
                                       ReceiverOutput& out) {
  std::uint8_t flags = flags_of(datagram);
  std::uint8_t epoch = flags >> wire::kRecordEpochShift;
  Key* key = key_of(path, epoch);
  if (key == nullptr || (flags & wire::kRecordMustBeZero) != 0 || path.forged >= kMaxForged) {
    ++path.forged;
    return std::nullopt;
  }
  std::uint64_t counter = counter_of(datagram);
  ByteSpan sealed = datagram.subspan(wire::kRecordHeader);
  ByteSpan plain = sealed.first(sealed.size() - wire::kTagSize);
  if (!key->aead.open(counter, datagram.first(wire::kRecordHeader), sealed, plain)) {
    ++path.forged;
    return std::nullopt;
  }
  ntm_replay& window = key->window->state;
  // A late packet under an older key than the peer uses now moves nothing.
  bool newest = (window.any == 0 || counter > window.highest) &&
                (epoch == path.newest_epoch || !key->confirmed);
  if (ntm_replay_accept(&window, counter) == 0) {
    ++path.replayed;
    return std::nullopt;
  }
  if (!key->confirmed) {
    key->confirmed = true;
    path.newest_epoch = epoch;
    out.events.push_back(PathConfirmed{path.id, epoch});
  }
  ++path.packets;
  path.bytes += datagram.size();
  note_heard(path, from, datagram.size(), newest);
  return plain;
}

void Receiver::receive(Instant now, const Outer& from, ByteSpan datagram, ReceiverOutput& out) {
  if (batch_ended_) {
    reassembled_.clear();
    batch_ended_ = false;
  }
  Path* path = find_path(path_of(datagram));
  if (path == nullptr) return;
  bool partial_sum = (flags_of(datagram) & wire::kRecordPartialSum) != 0;
  std::optional<ByteSpan> payload = open(*path, from, datagram, out);
  if (!payload || payload->empty()) return;  // empty: keep-alive, it was heard
  if ((*payload)[0] >> 4 == 0)
    inner_control(now, *path, from, *payload, out);
  else
    inner_packet(*path, *payload, partial_sum, out);
}

void Receiver::inner_packet(Path& path, ByteSpan packet, bool partial_sum, ReceiverOutput& out) {
  path.heard.data = true;
  std::optional<InnerPacket> info = parse_inner(packet);
  std::uint64_t* reason = nullptr;
  if (!info)
    reason = &counters_.malformed;
  else if (info->destination.is_multicast())
    reason = &counters_.multicast;
  else if (!holds(path.tunnel->peer, info->source))
    reason = &counters_.foreign_source;
  else if (!holds(own_, info->destination))
    reason = &counters_.foreign_destination;
  if (reason != nullptr) {
    ++*reason;
    ++path.dropped;
    return;
  }
  out.packets.push_back({packet, *info, partial_sum});
}

void Receiver::inner_control(Instant now, Path& path, const Outer& from, ByteSpan payload,
                             ReceiverOutput& out) {
  Result<wire::InnerControl> decoded = wire::decode_inner_control(payload);
  if (!decoded) {
    ++counters_.malformed;
    ++path.dropped;
    return;
  }
  if (const wire::Probe* probe = std::get_if<wire::Probe>(&*decoded)) {
    out.notices.push_back(ProbeSeen{path.id, *probe, path.packets});
  } else if (const wire::ProbeReply* reply = std::get_if<wire::ProbeReply>(&*decoded)) {
    out.notices.push_back(ProbeReplySeen{path.id, *reply, from.remote});
  } else if (const wire::ReceiveState* state = std::get_if<wire::ReceiveState>(&*decoded)) {
    // It may speak of another path of the same tunnel only.
    Path* about = find_path(state->path);
    wire::ReceiveState ours;
    ours.path = state->path;
    if (about != nullptr && about->tunnel == path.tunnel) ours = state_of(*about);
    out.notices.push_back(ReceiveStateSeen{path.id, *state, ours});
  } else if (const wire::Fragment* fragment = std::get_if<wire::Fragment>(&*decoded)) {
    std::optional<Bytes> whole = path.tunnel->reassembly.add(now, *fragment);
    if (!whole) return;
    reassembled_.push_back(std::move(*whole));
    inner_packet(path, reassembled_.back(), false, out);
  } else {
    out.events.push_back(InnerReceived{path.id, to_bytes(payload)});
  }
}

void Receiver::finish(ReceiverOutput& out) {
  // Who was heard comes first: what follows may want to answer to where the path moved.
  std::vector<Notice> heard;
  for (Path* path : touched_) {
    heard.emplace_back(path->heard);
    path->touched = false;
  }
  touched_.clear();
  out.notices.insert(out.notices.begin(), heard.begin(), heard.end());
  batch_ended_ = true;
}

wire::ReceiveState Receiver::state_of(const Path& path) {
  wire::ReceiveState out;
  out.path = path.id;
  out.epoch = path.newest_epoch;
  for (const Key& key : path.keys) {
    if (key.epoch != path.newest_epoch) continue;
    const ntm_replay& window = key.window->state;
    if (window.any == 0) return out;
    out.any = true;
    out.highest = window.highest;
    // Down to the lowest that is missing; everything below was received.
    out.bitmap.assign(wire::kMaxStateBitmap, 0xff);
    for (std::uint64_t i = 0; i < wire::kMaxStateBitmap * 8 && i < window.highest; ++i)
      if (ntm_replay_seen(&window, window.highest - 1 - i) == 0)
        out.bitmap[i / 8] &= static_cast<Byte>(~(0x80 >> (i % 8)));
    while (!out.bitmap.empty() && out.bitmap.back() == 0xff) out.bitmap.pop_back();
  }
  return out;
}

std::optional<wire::ReceiveState> Receiver::receive_state(PathId id) const {
  std::unordered_map<PathId, std::unique_ptr<Path>>::const_iterator it = paths_.find(id);
  if (it == paths_.end()) return std::nullopt;
  return state_of(*it->second);
}

bool Receiver::add_statistics(PathId id, PathStatistics& out) const {
  std::unordered_map<PathId, std::unique_ptr<Path>>::const_iterator it = paths_.find(id);
  if (it == paths_.end()) return false;
  const Path& path = *it->second;
  out.path = id;
  out.packets_received = path.packets;
  out.bytes_received = path.bytes;
  out.replayed = path.replayed;
  out.forged = path.forged;
  out.dropped += path.dropped;
  return true;
}

}  // namespace ntm::datapath
