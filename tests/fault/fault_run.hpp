// How long a fault test goes on, and its seed: from the environment, so that a failure's moments
// can be run again and a night can run a thousand rounds.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>

namespace ntm::store::test {

inline int fault_rounds(int quick) {
  const char* given = std::getenv("NTM_FAULT_ROUNDS");
  return given ? std::atoi(given) : quick;
}

inline unsigned fault_seed() {
  const char* given = std::getenv("NTM_SEED");
  unsigned seed = given ? static_cast<unsigned>(std::atoll(given)) : std::random_device()();
  std::printf("NTM_SEED=%u\n", seed);
  return seed;
}

}  // namespace ntm::store::test
