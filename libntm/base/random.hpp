// Randomness as an argument (architecture R2). Services pass the system's generator, tests and the
// simulator a seeded one. Ids, timers' jitter and key material all come through this door.
#pragma once

#include <array>

#include "libntm/base/bytes.hpp"

namespace ntm {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(ByteSpan out) = 0;

  std::uint64_t u64() {
    std::array<Byte, 8> raw{};
    fill(raw);
    return Reader(raw).u64();
  }
  // Uniform enough for jitter and choices in [0, bound); bound > 0. Not for keys.
  std::uint64_t below(std::uint64_t bound) { return u64() % bound; }
};

}  // namespace ntm
