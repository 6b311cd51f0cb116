// Virtual time for a whole network of engines in one process (architecture R3): a queue of events
// ordered by (time, sequence), one seeded generator, and a hash over everything that happened, so
// that a seed run twice must give the same hash.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <utility>

#include "libntm/base/random.hpp"
#include "libntm/base/time.hpp"

namespace ntm::scenario {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) override {
    for (Byte& b : out) b = static_cast<Byte>(engine_());
  }
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

 private:
  std::mt19937_64 engine_;
};

class Simulator {
 public:
  using Task = std::function<void()>;
  explicit Simulator(std::uint64_t seed) : random_(seed) {}

  Instant now() const { return now_; }
  SeededRandom& random() { return random_; }
  std::uint64_t events() const { return events_; }
  std::uint64_t trace_hash() const { return hash_; }

  void at(Instant when, Task task) {
    queue_.emplace(std::make_pair(std::max(when, now_), sequence_++), std::move(task));
  }
  void after(Duration delay, Task task) { at(now_ + delay, std::move(task)); }

  // FNV-1a over what nodes report; called by the network for each datagram.
  void trace(ByteView bytes) {
    for (Byte b : bytes) hash_ = (hash_ ^ b) * 0x100000001b3ull;
    hash_ = (hash_ ^ static_cast<std::uint64_t>(now_.us)) * 0x100000001b3ull;
  }

  // Runs events up to and including `end`; then now() == end.
  void run_until(Instant end) {
    while (!queue_.empty() && queue_.begin()->first.first <= end) step();
    now_ = std::max(now_, end);
  }
  void run_for(Duration span) { run_until(now_ + span); }
  // Runs until the condition holds; false when `limit` passed first.
  bool run_until_true(Duration limit, const std::function<bool()>& condition) {
    Instant end = now_ + limit;
    while (!condition()) {
      if (queue_.empty() || queue_.begin()->first.first > end) {
        now_ = end;
        return condition();
      }
      step();
    }
    return true;
  }

 private:
  void step() {
    now_ = queue_.begin()->first.first;
    Task task = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    ++events_;
    task();
  }

  Instant now_{1'000'000'000};  // not zero: a default Instant must look old, not like now
  std::uint64_t sequence_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325ull;
  std::map<std::pair<Instant, std::uint64_t>, Task> queue_;
  SeededRandom random_;
};

}  // namespace ntm::scenario
