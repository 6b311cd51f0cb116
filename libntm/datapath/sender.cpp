// The way of a packet: submit, hold, fit, seal. Changes are in sender_apply.cpp, what arrives from
// the receiving side and the timers in sender_events.cpp.
#include "libntm/datapath/sender.hpp"

#include <cassert>

#include "libntm/datapath/icmp.hpp"
#include "libntm/datapath/record.hpp"

namespace ntm::datapath {
namespace {

constexpr std::size_t kHeader = wire::kRecordHeader;
constexpr std::size_t kRoomAround = wire::kMinRecord;
constexpr std::size_t kFragmentHeader = 6;  // wire::Fragment before its part

bool is_own(const VirtualAddresses& own, const IpAddress& address) {
  if (address.is_v4()) return own.v4 && *own.v4 == address.v4();
  return own.v6 && *own.v6 == address.v6();
}

Traffic traffic_of(const InnerPacket& info) {
  return info.is_tcp() ? Traffic::Stream : Traffic::Datagram;
}

}  // namespace

Sender::Path* Sender::find_path(PathId id) {
  std::unordered_map<PathId, std::unique_ptr<Path>>::iterator it = paths_.find(id);
  return it == paths_.end() ? nullptr : it->second.get();
}

Sender::Tunnel* Sender::find_tunnel(TunnelId id) {
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>>::iterator it = tunnels_.find(id);
  return it == tunnels_.end() ? nullptr : it->second.get();
}

Sender::Tunnel* Sender::find_tunnel(const IpAddress& destination) {
  if (last_.second != nullptr && last_.first == destination) return last_.second;
  std::map<IpAddress, Tunnel*>::iterator it = by_address_.find(destination);
  if (it == by_address_.end()) return nullptr;
  last_ = {destination, it->second};
  return it->second;
}

Sender::Key* Sender::key_of(Path& path) {
  for (Key& key : path.keys)
    if (key.epoch == path.epoch) return &key;
  return nullptr;
}

bool Sender::usable(const Tunnel& tunnel) {
  if (tunnel.holding || tunnel.selected == nullptr || !tunnel.selected->outer) return false;
  Key* key = key_of(*tunnel.selected);
  return key != nullptr && key->counter < kKeyDeadAt;
}

bool Sender::affords(const Path& path, std::size_t bytes) {
  return !path.allowance || *path.allowance >= static_cast<std::int64_t>(bytes);
}

std::size_t Sender::inner_limit(const Path& path) {
  if (path.mtu == 0 || !path.outer) return 65535;
  std::size_t overhead = path.outer->remote.family() == Family::V4 ? 28 : 48;
  overhead += kRoomAround;
  // Smaller than this no real path is; it keeps fragments useful if someone says so all the same.
  return std::max<std::size_t>(path.mtu, overhead + 256) - overhead;
}

bool Sender::is_silent(const Path& path, Instant now) {
  return path.unanswered && now - *path.unanswered >= kRingSilence;
}

bool Sender::keeps_ring(const Tunnel& tunnel, Instant now) {
  return tunnel.holding || tunnel.selected == nullptr || now < tunnel.ring_keep_until ||
         is_silent(*tunnel.selected, now);
}

void Sender::submit(Instant now, ByteView packet, const InnerPacket& info, const Offload& offload,
                    SenderOutput& out) {
  if (info.destination.is_multicast()) {
    ++counters_.multicast;
    return;
  }
  if (!is_own(own_, info.source)) {
    ++counters_.foreign_source;
    return;
  }
  Segmenter segments(packet, info, offload);
  Tunnel* tunnel = find_tunnel(info.destination);
  if (tunnel == nullptr) {
    hold_orphan(now, segments, info, out);
    return;
  }
  tunnel->last_data = now;
  tunnel->idle_reported = false;
  arm(now + kIdleAfter);
  if (!usable(*tunnel) || !tunnel->hold.empty()) {
    hold_segments(now, tunnel->hold, segments, 0, info);
    flush(now, *tunnel, out);
    return;
  }
  if (!fits(*tunnel->selected, segments, info, out)) return;
  send_segments(now, *tunnel, segments, info, out);
}

bool Sender::fits(Path& path, const Segmenter& segments, const InnerPacket& info,
                  SenderOutput& out) {
  std::size_t limit = inner_limit(path);
  if (segments.largest() <= limit) return true;
  // Down to IPv6's minimum the application is told; below that we must carry it in pieces.
  std::size_t told = std::max<std::size_t>(limit, kMinIpv6Mtu);
  if (segments.largest() <= told || !info.dont_fragment) return true;
  ++counters_.too_big;
  Bytes first(segments.largest());
  (void)segments.write(0, first.data(), false);
  out.inner.push_back(make_too_big(first, static_cast<std::uint16_t>(told)).value_or(Bytes{}));
  if (out.inner.back().empty()) out.inner.pop_back();
  return false;
}

void Sender::send_segments(Instant now, Tunnel& tunnel, const Segmenter& segments,
                           const InnerPacket& info, SenderOutput& out) {
  Path& path = *tunnel.selected;
  std::size_t limit = inner_limit(path);
  for (std::size_t i = 0; i < segments.count(); ++i) {
    std::size_t size = segments.size(i);
    if (!affords(path, size + kRoomAround) || (path.allowance && tunnel.ring.pending() > 0)) {
      hold_segments(now, tunnel.hold, segments, i, info);
      return;
    }
    if (size > limit) {
      Bytes whole(size);
      (void)segments.write(i, whole.data(), false);
      send_fragments(now, path, whole, traffic_of(info), out);
      continue;
    }
    Byte* room = out.datagrams.reserve(size + kRoomAround);
    bool partial = segments.write(i, room + kHeader, tunnel.partial_sums);
    if (path.mtu != 0 && segments.count() == 1)
      (void)clamp_mss(ByteSpan(room + kHeader, size), info, static_cast<std::uint16_t>(limit),
                      partial);
    if (!seal(now, path, room, size, partial, traffic_of(info), out)) return;
  }
}

bool Sender::seal(Instant now, Path& path, Byte* room, std::size_t plain, bool partial,
                  std::optional<Traffic> keep, SenderOutput& out) {
  Key* key = key_of(path);
  if (key == nullptr || key->counter >= kKeyDeadAt) {
    ++counters_.key_dead;
    ++path.dropped;
    return false;
  }
  std::size_t size = plain + kRoomAround;
  std::uint8_t flags = static_cast<std::uint8_t>(key->epoch << wire::kRecordEpochShift);
  if (path.early) flags |= wire::kRecordEarly;
  if (partial) flags |= wire::kRecordPartialSum;
  std::uint64_t counter = key->counter++;
  if (key->counter == kKeyWornAt) out.events.push_back(KeyWorn{path.id, key->epoch});
  put_data_header(room, flags, counter, path.id);
  key->aead.seal(counter, ByteView(room, kHeader), ByteView(room + kHeader, plain),
                 ByteSpan(room + kHeader, plain + wire::kTagSize));
  if (path.allowance) *path.allowance -= static_cast<std::int64_t>(size);
  ++path.packets_sent;
  path.bytes_sent += size;
  if (keep) {
    Tunnel& tunnel = *path.tunnel;
    if (!tunnel.has_ring && rings_ < kMaxRings) {
      ++rings_;
      tunnel.has_ring = true;
      arm(now + kRingIdle);
    }
    if (tunnel.has_ring) {
      tunnel.ring.age(now, keeps_ring(tunnel, now));
      tunnel.ring.add(*keep, now, path.id, key->epoch, counter, ByteView(room, size));
    }
    // What is sent into silence says nothing about the rate that the path carries.
    if (!is_silent(path, now)) tunnel.sent.add(now, size);
    if (!path.unanswered) {
      path.unanswered = now;
      if (!path.silent_reported) arm(now + kSilenceAfter);
    }
  }
  out.datagrams.commit(*path.outer, path.id, size);
  return true;
}

bool Sender::send_payload(Instant now, Path& path, ByteView payload,
                          std::optional<Traffic> keep, SenderOutput& out) {
  if (!path.outer || !affords(path, payload.size() + kRoomAround)) return false;
  Byte* room = out.datagrams.reserve(payload.size() + kRoomAround);
  if (!payload.empty()) std::memcpy(room + kHeader, payload.data(), payload.size());
  return seal(now, path, room, payload.size(), false, keep, out);
}

void Sender::send_fragments(Instant now, Path& path, ByteView packet, Traffic traffic,
                            SenderOutput& out) {
  std::size_t part = inner_limit(path) - kFragmentHeader;
  std::uint16_t id = next_fragment_++;
  for (std::size_t at = 0; at < packet.size(); at += part) {
    wire::Fragment fragment;
    fragment.id = id;
    fragment.offset = static_cast<std::uint16_t>(at);
    fragment.last = at + part >= packet.size();
    fragment.part = to_bytes(packet.subspan(at, std::min(part, packet.size() - at)));
    if (!send_payload(now, path, wire::encode(wire::InnerControl(fragment)), traffic, out)) return;
  }
}

void Sender::hold_segments(Instant now, HoldQueue& queue, const Segmenter& segments,
                           std::size_t from, const InnerPacket& info) {
  for (std::size_t i = from; i < segments.count(); ++i) {
    Bytes packet(segments.size(i));
    (void)segments.write(i, packet.data(), false);
    queue.push(now, std::move(packet), traffic_of(info), info.traffic_class);
  }
  arm(now + kHoldAge);
}

void Sender::hold_orphan(Instant now, const Segmenter& segments, const InnerPacket& info,
                         SenderOutput& out) {
  std::map<IpAddress, Orphan>::iterator it = orphans_.find(info.destination);
  if (it == orphans_.end()) {
    if (orphans_.size() >= kOrphanDestinations) {
      std::map<IpAddress, Orphan>::iterator oldest = orphans_.begin();
      for (it = orphans_.begin(); it != orphans_.end(); ++it)
        if (it->second.last < oldest->second.last) oldest = it;
      orphans_.erase(oldest);
    }
    it = orphans_.try_emplace(info.destination).first;
    it->second.asked = now - kAskAgain;
  }
  Orphan& orphan = it->second;
  hold_segments(now, orphan.hold, segments, 0, info);
  orphan.last = now;
  arm(now + kOrphanAge);
  if (now - orphan.asked < kAskAgain) return;
  orphan.asked = now;
  out.events.push_back(NoTunnel{info.destination, info.source});
}

bool Sender::send_held(Instant now, Tunnel& tunnel, const Bytes& packet, SenderOutput& out) {
  std::optional<InnerPacket> info = parse_inner(packet);
  assert(info);  // it was parsed before it was held
  Segmenter whole(packet, *info, Offload{});
  Path& path = *tunnel.selected;
  if (!affords(path, packet.size() + kRoomAround)) return false;
  if (fits(path, whole, *info, out)) send_segments(now, tunnel, whole, *info, out);
  return true;
}

void Sender::flush(Instant now, Tunnel& tunnel, SenderOutput& out) {
  if (!usable(tunnel)) return;
  Path& path = *tunnel.selected;
  tunnel.pacer.set_rate(tunnel.sent.bytes_per_second());
  while (const ResendRing::Entry* entry = tunnel.ring.next_pending()) {
    if (!affords(path, entry->size)) return;
    if (!tunnel.pacer.may_send(now)) return arm(tunnel.pacer.next(now));
    out.datagrams.append(*path.outer, path.id, tunnel.ring.bytes(*entry));
    if (path.allowance) *path.allowance -= static_cast<std::int64_t>(entry->size);
    tunnel.pacer.sent(entry->size);
    ++path.resent;
    tunnel.ring.resent(now);
  }
  while (const Bytes* packet = tunnel.hold.front(now)) {
    if (!tunnel.pacer.may_send(now)) return arm(tunnel.pacer.next(now));
    std::size_t size = packet->size();
    if (!send_held(now, tunnel, *packet, out)) return;
    tunnel.pacer.sent(size + kRoomAround);
    tunnel.hold.pop();
  }
}

void Sender::answer_icmp(Instant now, const std::optional<Bytes>& packet, SenderOutput& out) {
  if (packet && icmp_.spend(now, 1)) out.inner.push_back(*packet);
}

void Sender::refuse(Instant now, HoldQueue& queue, SenderOutput& out) {
  while (const Bytes* packet = queue.front(now)) {
    answer_icmp(now, make_unreachable(*packet), out);
    queue.pop();
  }
}

}  // namespace ntm::datapath
