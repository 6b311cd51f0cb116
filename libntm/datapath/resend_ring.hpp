// The last sent ciphertexts of a tunnel, to be sent again verbatim after a move (docs/PROTOCOL.md,
// Handover): same counters, so the other end's replay window removes what arrived after all.
//
// While the path lives packets age out after 500 ms: TCP has had its answer by then. Once the path
// has been silent for 200 ms ageing stops and the newest stay up to 60 s, because they are exactly
// what the peer will miss.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "libntm/base/ids.hpp"
#include "libntm/base/time.hpp"
#include "libntm/wire/inner_control.hpp"

namespace ntm::datapath {

constexpr std::size_t kRingPackets = 512;
constexpr std::size_t kRingBytes = 768 * 1024;
constexpr Duration kRingAge = milliseconds(500);
constexpr Duration kRingSilentAge = seconds(60);
constexpr Duration kRingSilence = milliseconds(200);
// The same packet is not sent again sooner: two receive states can be on their way at once.
constexpr Duration kResendAgain = milliseconds(200);
// Rings are allocated while a tunnel is active: 64 x (768 KiB + 20 KiB) = 49 MiB at most.
constexpr std::size_t kMaxRings = 64;

class ResendRing {
 public:
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
  // Marks what the state says did not arrive; returns how many were marked. A counter more than 512
  // below the highest is unknown and taken as received.
  std::size_t mark_missing(Instant now, const wire::ReceiveState& state);

  std::size_t size() const { return count_; }
  std::size_t pending() const { return pending_; }
  // The oldest packet that waits to be sent again; valid until the ring changes.
  const Entry* next_pending() const;
  ByteView bytes(const Entry& entry) const { return {memory_.get() + entry.offset, entry.size}; }
  void resent(Instant now);  // the oldest pending one was sent
  void forget_path(PathId path);

 private:
  Entry& at(std::size_t index) { return (*table_)[(first_ + index) % kRingPackets]; }
  const Entry& at(std::size_t index) const { return (*table_)[(first_ + index) % kRingPackets]; }
  void drop_oldest();
  void make_room(std::size_t size);

  std::unique_ptr<Byte[]> memory_;
  std::unique_ptr<std::array<Entry, kRingPackets>> table_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t pending_ = 0;
  std::size_t write_ = 0;  // where the next ciphertext goes
};

}  // namespace ntm::datapath
