// Inner packets that find no usable path: kept in order and sent when there is one, so that an
// application sees delay instead of loss (docs/PROTOCOL.md, Handover). Oldest dropped first. Voice
// (DSCP EF, CS5 and above) is worthless when late and ages out after 50 ms.
#pragma once

#include <deque>

#include "libntm/base/bytes.hpp"
#include "libntm/base/time.hpp"

namespace ntm::datapath {

constexpr std::size_t kHoldPackets = 512;
constexpr std::size_t kHoldBytes = 1024 * 1024;
constexpr Duration kHoldAge = seconds(60);
constexpr Duration kHoldUrgentAge = milliseconds(50);

// DSCP EF (46), CS5 (40) and everything above.
constexpr bool is_urgent(std::uint8_t traffic_class) { return traffic_class >> 2 >= 40; }

class HoldQueue {
 public:
  explicit HoldQueue(std::size_t packets = kHoldPackets, std::size_t bytes = kHoldBytes)
      : max_packets_(packets), max_bytes_(bytes) {}

  void push(Instant now, Bytes packet, std::uint8_t traffic_class);
  // Drops what is too old; then the oldest packet, or nullptr.
  const Bytes* front(Instant now);
  void pop();
  bool empty() const { return packets_.empty(); }
  std::size_t size() const { return packets_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t dropped() const { return dropped_; }
  // Appends all packets of `other`, as if they had been pushed when they were.
  void take_over(HoldQueue& other);
  void clear();

 private:
  struct Held {
    Bytes packet;
    Instant at;
    bool urgent = false;
  };
  void trim();

  std::size_t max_packets_;
  std::size_t max_bytes_;
  std::deque<Held> packets_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace ntm::datapath
