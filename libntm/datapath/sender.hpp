// The sending half of the datapath, pure: which tunnel an inner packet belongs to, sealing, ring,
// hold queues, pacing, credit, silence. Time is an argument, datagrams and events come out as
// values; the tun and the fake datapath run the same object.
//
// A packet's way:  submit -> tunnel by destination -> (hold | fit to the path's MTU -> seal ->
// ring) -> OutBatch. What waits is sent by flush(), which selection, validation, incoming packets
// and the timer call.
//
// Not thread-safe: the tun datapath guards it with one lock (tun/tun_core.hpp).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "libntm/base/time.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/datapath/datapath.hpp"
#include "libntm/datapath/hold_queue.hpp"
#include "libntm/datapath/notice.hpp"
#include "libntm/datapath/out_batch.hpp"
#include "libntm/datapath/pace.hpp"
#include "libntm/datapath/resend_ring.hpp"
#include "libntm/datapath/segmenter.hpp"

namespace ntm::datapath {

// docs/PROTOCOL.md, Inside the tunnel: packets under one key before a rekey, and the hard stop.
constexpr std::uint64_t kKeyWornAt = std::uint64_t{1} << 26;
constexpr std::uint64_t kKeyDeadAt = std::uint64_t{1} << 28;
constexpr std::size_t kMaxEpochs = 3;  // previous, current, next

// Packets to addresses without a tunnel. Only local applications can fill it:
// 64 destinations x 64 KiB = 4 MiB.
constexpr std::size_t kOrphanDestinations = 64;
constexpr std::size_t kOrphanPackets = 32;
constexpr std::size_t kOrphanBytes = 64 * 1024;
constexpr Duration kOrphanAge = seconds(10);
constexpr Duration kAskAgain = seconds(1);  // NoTunnel, at most this often a destination

// Bytes that may go to an address that a path roamed to before it is validated; what came lately,
// but at most this (RFC 8046 5.6).
constexpr std::int64_t kMaxRoamCredit = 256 * 1024;
// After an explicit MovePath late packets from the old place don't move the path back.
constexpr Duration kRoamQuiet = seconds(1);
constexpr Duration kValidateAgain = milliseconds(500);
constexpr Duration kStateAgain = seconds(3);      // receive states are not answered sooner
constexpr Duration kMtuAge = seconds(600);        // RFC 8201 4: then try the full size again
constexpr Duration kRingIdle = seconds(30);       // without data: give the ring's memory back
// After silence or a move the ring keeps what it has until the peer's receive state can be here.
constexpr Duration kRingGrace = seconds(3);
constexpr std::int64_t kIcmpPerSecond = 100;      // errors to own applications
// Probe ids with this bit are the datapath's own; engines use smaller ones.
constexpr std::uint32_t kOwnProbe = 0x80000000;

struct SenderOutput {
  OutBatch& datagrams;
  std::vector<Bytes>& inner;   // ICMP errors for the virtual interface
  std::vector<Event>& events;
};

// Inner packets that went no further, by reason.
struct SenderCounters {
  std::uint64_t malformed = 0;
  std::uint64_t multicast = 0;
  std::uint64_t foreign_source = 0;
  std::uint64_t too_big = 0;
  std::uint64_t key_dead = 0;
};

class Sender {
 public:
  void set_own_addresses(const VirtualAddresses& own) { own_ = own; }

  // Changes that don't concern sending are accepted and ignored.
  Result<void> apply(Instant now, const Change& change, SenderOutput& out);
  // An IP packet or super-packet from the virtual interface; parsed and checked by the caller.
  void submit(Instant now, ByteView packet, const InnerPacket& info, const Offload& offload,
              SenderOutput& out);
  void count_malformed() { ++counters_.malformed; }
  void notice(Instant now, const Notice& notice, SenderOutput& out);
  Result<void> send_receive_state(Instant now, TunnelId tunnel, const wire::ReceiveState& state,
                                  SenderOutput& out);
  void set_path_mtu(Instant now, const IpAddress& remote, std::uint16_t mtu);

  void on_timer(Instant now, SenderOutput& out);
  Instant next_deadline() const { return deadline_; }

  bool add_statistics(PathId path, PathStatistics& out) const;
  const SenderCounters& counters() const { return counters_; }

 private:
  struct Key {
    std::uint8_t epoch;
    Key32 secret;  // to recognise the same key when it is put again: its counter must go on
    crypto::Aead aead;
    std::uint64_t counter = 0;
  };
  struct Tunnel;
  struct Path {
    PathId id;
    Tunnel* tunnel = nullptr;
    std::optional<Outer> outer;
    bool may_roam = true;
    bool early = false;
    std::uint8_t epoch = 0;
    std::vector<Key> keys;
    std::optional<std::int64_t> allowance;  // none: the address is validated
    std::uint16_t mtu = 0;                  // of the outer path; zero = not known to be small
    Instant mtu_until;
    std::optional<Instant> unanswered;  // data sent since, nothing came
    bool silent_reported = false;
    Instant roam_from{};                // not before
    Instant validate_again{};
    Instant state_again{};
    RateMeter received;
    std::uint64_t packets_sent = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t resent = 0;
    std::uint64_t dropped = 0;
  };
  struct Tunnel {
    TunnelId id;
    std::string peer;
    VirtualAddresses addresses;
    bool partial_sums = false;
    bool holding = false;
    Path* selected = nullptr;
    HoldQueue hold;
    ResendRings ring;
    bool has_ring = false;  // one of kMaxRings
    Instant ring_keep_until{};
    RateMeter sent;
    Pacer pacer;
    Instant last_data{};
    bool idle_reported = false;
  };
  struct Orphan {
    HoldQueue hold{kOrphanPackets, kOrphanBytes};
    Instant asked{};
    Instant last{};
  };
  struct Piece;  // one plaintext on its way into a datagram

  Result<void> on(Instant now, const PutTunnel& change, SenderOutput& out);
  Result<void> on(Instant now, const RemoveTunnel& change, SenderOutput& out);
  Result<void> on(Instant now, const PutPath& change, SenderOutput& out);
  Result<void> on(Instant now, const AddKeys& change, SenderOutput& out);
  Result<void> on(Instant now, const UseEpoch& change, SenderOutput& out);
  Result<void> on(Instant now, const MovePath& change, SenderOutput& out);
  Result<void> on(Instant now, const RemovePath& change, SenderOutput& out);
  Result<void> on(Instant now, const SelectPath& change, SenderOutput& out);
  Result<void> on(Instant now, const HoldTunnel& change, SenderOutput& out);
  Result<void> on(Instant now, const SendInner& change, SenderOutput& out);
  Result<void> on(Instant now, const SendKeepAlive& change, SenderOutput& out);
  Result<void> on(Instant now, const Refuse& change, SenderOutput& out);

  void heard(Instant now, const Heard& notice, SenderOutput& out);
  void roam(Instant now, Path& path, const Outer& to, SenderOutput& out);
  void probe(Instant now, Path& path, SenderOutput& out);
  void receive_state(Instant now, const ReceiveStateSeen& notice, SenderOutput& out);

  Tunnel* find_tunnel(const IpAddress& destination);
  Tunnel* find_tunnel(TunnelId id);
  Path* find_path(PathId id);
  void map_addresses(Tunnel& tunnel);
  void unmap_addresses(const Tunnel& tunnel);
  static Result<void> add_key(Path& path, const PathKeys& keys);
  static Key* key_of(Path& path);
  void set_outer(Instant now, Path& path, const Outer& outer,
                 const std::optional<std::uint32_t>& credit);

  bool usable(const Tunnel& tunnel);
  static bool affords(const Path& path, std::size_t bytes);
  // The plaintext stands at room + 16; seals it in place and adds it to the batch.
  // `keep`: data, to be sent again when the peer says that it is missing.
  bool seal(Instant now, Path& path, Byte* room, std::size_t plain, bool partial,
            std::optional<Traffic> keep, SenderOutput& out);
  bool send_payload(Instant now, Path& path, ByteView payload, std::optional<Traffic> keep,
                    SenderOutput& out);
  void send_segments(Instant now, Tunnel& tunnel, const Segmenter& segments,
                     const InnerPacket& info, SenderOutput& out);
  // False: the packet was answered or dropped because it does not fit.
  bool fits(Path& path, const Segmenter& segments, const InnerPacket& info, SenderOutput& out);
  void send_fragments(Instant now, Path& path, ByteView packet, Traffic traffic,
                      SenderOutput& out);
  void hold_segments(Instant now, HoldQueue& queue, const Segmenter& segments, std::size_t from,
                     const InnerPacket& info);
  void hold_orphan(Instant now, const Segmenter& segments, const InnerPacket& info,
                   SenderOutput& out);
  bool send_held(Instant now, Tunnel& tunnel, const Bytes& packet, SenderOutput& out);
  void flush(Instant now, Tunnel& tunnel, SenderOutput& out);
  void refuse(Instant now, HoldQueue& queue, SenderOutput& out);
  void answer_icmp(Instant now, const std::optional<Bytes>& packet, SenderOutput& out);
  static std::size_t inner_limit(const Path& path);
  static bool is_silent(const Path& path, Instant now);
  // True while packets of the ring must not age out.
  static bool keeps_ring(const Tunnel& tunnel, Instant now);

  void check_silence(Instant now, Path& path, SenderOutput& out);
  void check_tunnel(Instant now, Tunnel& tunnel, SenderOutput& out);
  void arm(Instant when) { deadline_ = std::min(deadline_, when); }

  VirtualAddresses own_;
  std::unordered_map<PathId, std::unique_ptr<Path>> paths_;
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>> tunnels_;
  std::map<IpAddress, Tunnel*> by_address_;
  std::pair<IpAddress, Tunnel*> last_{};  // bulk goes to one peer for long
  std::map<IpAddress, Orphan> orphans_;
  std::size_t rings_ = 0;
  std::uint32_t next_probe_ = 0;
  std::uint16_t next_fragment_ = 0;
  TokenBucket icmp_{kIcmpPerSecond, kIcmpPerSecond};
  SenderCounters counters_;
  Instant deadline_ = Instant::never();
};

}  // namespace ntm::datapath
