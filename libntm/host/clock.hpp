// The only place where time is read and randomness drawn from the system (architecture R2).
// Monotonic time is CLOCK_BOOTTIME: leases and key lives must also end while a machine sleeps.
#pragma once

#include "libntm/base/random.hpp"
#include "libntm/base/time.hpp"

namespace ntm::host {

Instant monotonic_now();
WallTime wall_now();

// getrandom(2); the system's generator never fails after boot, so fill() can't either.
class SystemRandom final : public Random {
 public:
  void fill(ByteSpan out) override;
};

}  // namespace ntm::host
