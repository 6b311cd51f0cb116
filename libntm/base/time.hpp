// Time as the engines see it: an argument. `Instant` is monotonic (it orders deadlines and never
// jumps); `WallTime` is what the store and people see (integer microseconds since 1970, UTC) and
// never orders anything. The clock is read once per wake-up, in libntm/host (architecture R2).
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace ntm {

struct Duration {
  std::int64_t us = 0;
  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration o) const { return {us + o.us}; }
  constexpr Duration operator-(Duration o) const { return {us - o.us}; }
  constexpr Duration operator*(std::int64_t k) const { return {us * k}; }
  constexpr Duration operator/(std::int64_t k) const { return {us / k}; }
  constexpr double seconds() const { return static_cast<double>(us) / 1e6; }
  constexpr std::int64_t ms() const { return us / 1000; }
};
constexpr Duration microseconds(std::int64_t n) { return {n}; }
constexpr Duration milliseconds(std::int64_t n) { return {n * 1000}; }
constexpr Duration seconds(std::int64_t n) { return {n * 1'000'000}; }

struct Instant {
  std::int64_t us = 0;
  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return {us + d.us}; }
  constexpr Instant operator-(Duration d) const { return {us - d.us}; }
  constexpr Duration operator-(Instant o) const { return {us - o.us}; }
  static constexpr Instant never() { return {std::numeric_limits<std::int64_t>::max()}; }
};

struct WallTime {
  std::int64_t us = 0;
  constexpr auto operator<=>(const WallTime&) const = default;
  constexpr WallTime operator+(Duration d) const { return {us + d.us}; }
};

}  // namespace ntm
