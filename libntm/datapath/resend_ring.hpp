// The last sent ciphertexts of a tunnel, to be sent again verbatim after a move (docs/PROTOCOL.md,
// Handover): same counters, so the other end's replay window removes what arrived after all.
//
// While the path lives packets age out after 500 ms: TCP has had its answer by then. Once the path
// has been silent for 200 ms ageing stops and the newest stay up to 60 s, because they are exactly
// what the peer will miss.
//
// TCP has a ring of its own: in a gap it falls silent but for a few repetitions, and whatever keeps
// sending (a voice stream) would push out all that TCP needs to find out what is missing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "libntm/base/ids.hpp"
#include "libntm/base/time.hpp"
#include "libntm/wire/inner_control.hpp"

namespace ntm::datapath {

struct RingSize {
  std::size_t packets;
  std::size_t bytes;
};
// 768 KiB of full packets are 560; the rest of the places is for acknowledgements.
constexpr RingSize kStreamRing{1024, 768 * 1024};
// 2048 packets of 256 bytes: 20 s of a stream of 100 a second.
constexpr RingSize kDatagramRing{2048, 512 * 1024};
constexpr Duration kRingAge = milliseconds(500);
constexpr Duration kRingSilentAge = seconds(60);
constexpr Duration kRingSilence = milliseconds(200);
// The same packet is not sent again sooner: two receive states can be on their way at once.
constexpr Duration kResendAgain = milliseconds(200);
// Tunnels that have rings at a time, with 56 bytes an entry: 64 x (768 + 56 + 512 + 112 KiB) =
// 91 MiB at most.
constexpr std::size_t kMaxRings = 64;

class ResendRing {
 public:
  explicit ResendRing(RingSize limits) : limits_(limits) {}

  struct Entry {
    PathId path;
    std::uint8_t epoch = 0;
    bool pending = false;  // to be sent again
    std::uint64_t counter = 0;
    std::size_t offset = 0;
    std::size_t size = 0;
    Instant sent;
    Instant resent{std::numeric_limits<std::int64_t>::min() / 2};
  };

  bool allocated() const { return memory_ != nullptr; }
  void allocate();
  void release();  // forgets everything

  void add(Instant now, PathId path, std::uint8_t epoch, std::uint64_t counter, ByteView sealed);
  // `silent`: the path has been silent for kRingSilence.
  void age(Instant now, bool silent);
  // Marks what the state says did not arrive; returns how many were marked.
  std::size_t mark_missing(Instant now, const wire::ReceiveState& state);

  std::size_t size() const { return count_; }
  std::size_t pending() const { return pending_; }
  // The oldest packet that waits to be sent again; valid until the ring changes.
  const Entry* next_pending() const;
  ByteView bytes(const Entry& entry) const { return {memory_.get() + entry.offset, entry.size}; }
  void resent(Instant now);  // the oldest pending one was sent

 private:
  Entry& at(std::size_t index) { return table_[(first_ + index) % limits_.packets]; }
  const Entry& at(std::size_t index) const { return table_[(first_ + index) % limits_.packets]; }
  void drop_oldest();
  void make_room(std::size_t size);

  RingSize limits_;
  std::unique_ptr<Byte[]> memory_;
  std::unique_ptr<Entry[]> table_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t pending_ = 0;
  std::size_t done_ = 0;   // none of the oldest so many is pending
  std::size_t write_ = 0;  // where the next ciphertext goes
};

// What a packet is kept as.
enum class Traffic : std::uint8_t { Stream, Datagram };

// Both rings of a tunnel, each allocated with its first packet.
class ResendRings {
 public:
  void release();
  void add(Traffic traffic, Instant now, PathId path, std::uint8_t epoch, std::uint64_t counter,
           ByteView sealed);
  void age(Instant now, bool silent);
  std::size_t mark_missing(Instant now, const wire::ReceiveState& state);
  std::size_t size() const { return stream_.size() + datagrams_.size(); }
  std::size_t pending() const { return stream_.pending() + datagrams_.pending(); }
  // In the order in which they were sent first.
  const ResendRing::Entry* next_pending();
  ByteView bytes(const ResendRing::Entry& entry) const { return turn_->bytes(entry); }
  void resent(Instant now) { turn_->resent(now); }

 private:
  ResendRing stream_{kStreamRing};
  ResendRing datagrams_{kDatagramRing};
  ResendRing* turn_ = &stream_;  // which one next_pending() spoke of
};

}  // namespace ntm::datapath
