// How fast held and repeated packets may leave once there is a path again: the rate that was
// last measured, so that a flush does not overrun the new link's queue and lose what was kept.
#pragma once

#include <algorithm>

#include "libntm/base/time.hpp"

namespace ntm::datapath {

constexpr Duration kRateWindow = milliseconds(100);
// Before anything was measured, and the least afterwards (bytes a second): 8 Mbit/s, so that a
// full hold queue of 1 MiB is gone in about a second.
constexpr std::int64_t kLeastRate = 1'000'000;
constexpr std::int64_t kPaceBurst = 48 * 1024;  // one super-packet of 32 segments at once

// The rate at which a tunnel sent lately: the mean of some 400 ms, in windows of 100 ms, remembered
// through silence. The peak would be TCP's overshoot, not what the path carried.
class RateMeter {
 public:
  void add(Instant now, std::size_t bytes) {
    if (now - since_ >= kRateWindow) {
      Duration span = now - since_;
      // A gap says nothing about the path's rate.
      if (span <= kRateWindow * 4) rate_ = smoothed(bytes_ * 1'000'000 / span.us);
      since_ = now;
      bytes_ = 0;
    }
    bytes_ += static_cast<std::int64_t>(bytes);
  }
  std::int64_t bytes_per_second() const { return rate_; }

 private:
  std::int64_t smoothed(std::int64_t sample) const {
    return rate_ == 0 ? sample : (rate_ * 3 + sample) / 4;
  }

  Instant since_{};
  std::int64_t bytes_ = 0;
  std::int64_t rate_ = 0;
};

class Pacer {
 public:
  // Call when a flush begins; later calls while it lasts change only the rate.
  void set_rate(std::int64_t bytes_per_second) { rate_ = std::max(bytes_per_second, kLeastRate); }
  bool may_send(Instant now) {
    refill(now);
    return tokens_ > 0;
  }
  void sent(std::size_t bytes) { tokens_ -= static_cast<std::int64_t>(bytes); }
  // When may_send becomes true.
  Instant next(Instant now) const {
    if (tokens_ > 0) return now;
    return now + Duration{(1 - tokens_) * 1'000'000 / rate_ + 1};
  }

 private:
  void refill(Instant now) {
    std::int64_t span = std::min<std::int64_t>((now - refilled_).us, 1'000'000);
    if (span <= 0) return;
    std::int64_t more = span * rate_ / 1'000'000;
    if (more == 0) return;
    std::int64_t burst = std::max(kPaceBurst, rate_ / 100);
    tokens_ = std::min(tokens_ + more, burst);
    refilled_ = now;
  }
  std::int64_t rate_ = kLeastRate;
  std::int64_t tokens_ = kPaceBurst;
  Instant refilled_{};
};

// A limit in units a second with a burst; a spend may overdraw once (a super-packet goes whole).
class TokenBucket {
 public:
  TokenBucket() = default;
  TokenBucket(std::int64_t per_second, std::int64_t burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}
  // Zero a second means no limit.
  bool spend(Instant now, std::int64_t units) {
    if (per_second_ == 0) return true;
    std::int64_t span = std::min<std::int64_t>((now - refilled_).us, 10'000'000);
    std::int64_t more = span > 0 ? span * per_second_ / 1'000'000 : 0;
    if (more > 0) {
      tokens_ = std::min(tokens_ + more, burst_);
      refilled_ = now;
    }
    if (tokens_ <= 0) return false;
    tokens_ -= units;
    return true;
  }

 private:
  std::int64_t per_second_ = 0;
  std::int64_t burst_ = 0;
  std::int64_t tokens_ = 0;
  Instant refilled_{};
};

}  // namespace ntm::datapath
