// The receiving half of the datapath, pure: opens DATA in place, keeps the replay windows, checks
// who may send what, and turns tunnel control into notices for the Sender. Time is an argument.
//
// DATA of any Path ID with keys here is accepted from wherever it comes: the tag says who sent it.
// Not thread-safe: the tun datapath guards it with one lock (tun/tun_core.hpp).
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel/core/ntm_replay.h"
#include "libntm/base/time.hpp"
#include "libntm/crypto/aead.hpp"
#include "libntm/datapath/coalescer.hpp"
#include "libntm/datapath/datapath.hpp"
#include "libntm/datapath/notice.hpp"
#include "libntm/datapath/reassembly.hpp"

namespace ntm::datapath {

// docs/PROTOCOL.md, Inside the tunnel: after so many failed openings a path's keys are worn out
// (the forgery bound of ChaCha20-Poly1305 at 2^36 attempts is 2^-60).
constexpr std::uint64_t kMaxForged = std::uint64_t{1} << 36;

struct ReceiverOutput {
  std::vector<InnerDelivery>& packets;  // for the virtual interface; memory: the datagram's
  std::vector<Notice>& notices;         // for the Sender
  std::vector<Event>& events;
};

// Packets that were authentic and still went no further, and datagrams that were not.
struct ReceiverCounters {
  std::uint64_t malformed = 0;
  std::uint64_t foreign_source = 0;       // inner source is not the peer's virtual address
  std::uint64_t foreign_destination = 0;  // nor is it for us
  std::uint64_t multicast = 0;
};

class Receiver {
 public:
  void set_own_addresses(const VirtualAddresses& own) { own_ = own; }

  // Changes that don't concern receiving are accepted and ignored.
  Result<void> apply(const Change& change);
  bool has_path(PathId path) const { return paths_.contains(path); }
  // A DATA datagram (is_data) of a path that is here; decrypted in place. `from` is where it came
  // from: remote, socket, and the local address and interface that it arrived at.
  void receive(Instant now, const Outer& from, ByteSpan datagram, ReceiverOutput& out);
  // Ends a batch: tells who was heard. Packets of reassembled fragments live until the next one.
  void finish(ReceiverOutput& out);

  // What was received on a path, under its newest key; nullopt: no such path.
  std::optional<wire::ReceiveState> receive_state(PathId path) const;
  bool add_statistics(PathId path, PathStatistics& out) const;
  const ReceiverCounters& counters() const { return counters_; }

 private:
  struct Tunnel {
    TunnelId id;
    VirtualAddresses peer;
    Reassembly reassembly;
  };
  struct Window {
    Window() { ntm_replay_init(&state, bits.data(), NTM_REPLAY_DATA_WORDS); }
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    std::array<unsigned long long, NTM_REPLAY_DATA_WORDS> bits;
    ntm_replay state;
  };
  struct Key {
    std::uint8_t epoch;
    Key32 secret;
    crypto::Aead aead;
    std::unique_ptr<Window> window;  // its address must not change
    bool confirmed = false;
  };
  struct Path {
    PathId id;
    Tunnel* tunnel = nullptr;
    std::vector<Key> keys;
    std::uint8_t newest_epoch = 0;  // of the key under which the peer sends now
    bool touched = false;
    Heard heard;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t replayed = 0;
    std::uint64_t forged = 0;
    std::uint64_t dropped = 0;
  };

  Path* find_path(PathId id);
  Result<void> put_path(const PutPath& change);
  static Result<void> add_key(Path& path, const PathKeys& keys);
  static Key* key_of(Path& path, std::uint8_t epoch);
  // The authentic, never seen payload; nullopt: counted and dropped.
  std::optional<ByteSpan> open(Path& path, const Outer& from, ByteSpan datagram,
                               ReceiverOutput& out);
  void note_heard(Path& path, const Outer& from, std::size_t bytes, bool newest);
  void inner_packet(Path& path, ByteSpan packet, bool partial_sum, ReceiverOutput& out);
  void inner_control(Instant now, Path& path, const Outer& from, ByteSpan payload,
                     ReceiverOutput& out);
  static wire::ReceiveState state_of(const Path& path);

  VirtualAddresses own_;
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>> tunnels_;
  std::unordered_map<PathId, std::unique_ptr<Path>> paths_;
  Path* last_ = nullptr;  // of the previous datagram: bulk comes in runs
  std::vector<Path*> touched_;
  std::deque<Bytes> reassembled_;
  bool batch_ended_ = false;
  ReceiverCounters counters_;
};

}  // namespace ntm::datapath
