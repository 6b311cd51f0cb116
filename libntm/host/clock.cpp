// System time and randomness: the only calls of their kind in the project.
#include "libntm/host/clock.hpp"

#include <sys/random.h>
#include <time.h>

#include <cerrno>
#include <cstdlib>

namespace ntm::host {

namespace {
std::int64_t read_us(clockid_t clock) {
  timespec ts{};
  clock_gettime(clock, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000 + ts.tv_nsec / 1000;
}
}  // namespace

Instant monotonic_now() { return {read_us(CLOCK_BOOTTIME)}; }
WallTime wall_now() { return {read_us(CLOCK_REALTIME)}; }

void SystemRandom::fill(ByteSpan out) {
  std::size_t done = 0;
  while (done < out.size()) {
    ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::abort();  // no entropy source at all: nothing safe can be done
    }
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace ntm::host
