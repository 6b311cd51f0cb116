// Inner packets that find no usable path: kept in order and sent when there is one, so that an
// application sees delay instead of loss (docs/PROTOCOL.md, Handover). Oldest dropped first, TCP and
// the rest within limits of their own, so that a steady stream can't push out TCP's rare repetitions.
// Voice (DSCP EF, CS5 and above) is worthless when late and ages out after 50 ms.
#pragma once

#include <array>
#include <deque>

#include "libntm/base/bytes.hpp"
#include "libntm/base/time.hpp"
#include "libntm/datapath/resend_ring.hpp"

namespace ntm::datapath {

// For TCP and once more for the rest.
constexpr std::size_t kHoldPackets = 1024;
constexpr std::size_t kHoldBytes = 768 * 1024;
constexpr Duration kHoldAge = seconds(60);
constexpr Duration kHoldUrgentAge = milliseconds(50);

// DSCP EF (46), CS5 (40) and everything above.
constexpr bool is_urgent(std::uint8_t traffic_class) { return traffic_class >> 2 >= 40; }

class HoldQueue {
 public:
  explicit HoldQueue(std::size_t packets = kHoldPackets, std::size_t bytes = kHoldBytes)
      : max_packets_(packets), max_bytes_(bytes) {}

  void push(Instant now, Bytes packet, Traffic traffic, std::uint8_t traffic_class);
  // Drops what is too old; then the oldest packet, or nullptr.
  const Bytes* front(Instant now);
  void pop();
  bool empty() const { return size() == 0; }
  std::size_t size() const { return lanes_[0].packets.size() + lanes_[1].packets.size(); }
  std::size_t bytes() const { return lanes_[0].bytes + lanes_[1].bytes; }
  std::uint64_t dropped() const { return dropped_; }
  // Appends all packets of `other`, as if they had been pushed when they were.
  void take_over(HoldQueue& other);
  void clear();

 private:
  struct Held {
    Bytes packet;
    Instant at;
    std::uint64_t number = 0;  // of arrival, across both lanes
    bool urgent = false;
  };
  struct Lane {
    std::deque<Held> packets;
    std::size_t bytes = 0;
    void pop();
  };
  Lane& oldest();
  void trim(Lane& lane);

  std::size_t max_packets_;
  std::size_t max_bytes_;
  std::array<Lane, 2> lanes_;  // by Traffic
  std::uint64_t arrived_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace ntm::datapath
