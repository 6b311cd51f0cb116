// What one direction of an emulated link does to the frames that enter it.
//
// Order of effects: cut, loss, corruption, rate with a drop-tail queue, then delay and jitter.
// Jitter never reorders (a slow frame holds back those behind it, as a queue in a real network
// does); reordering is asked for explicitly and lets a frame be overtaken. A frame's due time is
// computed from the moment the kernel received it, so our own scheduling delay does not add up.
// Pure: time and random seed come from the caller, so the unit of behaviour is reproducible.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <random>
#include <vector>

#include "tests/netns/wire/frame.hpp"

namespace ntm::lab {

struct Settings {
  Nanoseconds delay = 0;
  Nanoseconds jitter = 0;       // uniform, in [-jitter, +jitter]
  double loss = 0;              // probabilities in [0, 1]
  double duplicate = 0;
  double corrupt = 0;
  double reorder = 0;
  Nanoseconds reorder_by = 5'000'000;  // how much later an overtaken frame leaves
  std::uint64_t rate = 0;              // bits a second, 0 = unlimited
  std::size_t queue_bytes = 1u << 20;  // waiting for the rate; more is dropped
  bool cut = false;                    // nothing passes, as with an unplugged cable
};

struct Counters {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  std::uint64_t cut = 0;
  std::uint64_t queue_drops = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t corrupted = 0;
  std::uint64_t send_errors = 0;
};

class Shaper {
 public:
  explicit Shaper(std::uint64_t seed) : random_(seed) {}

  Settings settings;
  Counters counters;

  void seed(std::uint64_t value) { random_.seed(value); }
  // `path_delay` comes on top of settings.delay: the delay of this source and destination.
  void offer(Nanoseconds arrival, Nanoseconds path_delay, Frame frame);
  std::optional<Nanoseconds> next_due() const;
  // The next frame that is due at `now`, in order; empty when none is.
  std::optional<Frame> take(Nanoseconds now);
  std::size_t waiting() const { return queue_.size(); }
  void drop_waiting();

 private:
  // Beyond this many frames in flight the link drops: 10 Gbit/s of 1500-byte frames for 0.2 s.
  static constexpr std::size_t kMaxWaiting = 1u << 18;

  struct Entry {
    Nanoseconds due;
    std::uint64_t order;
    mutable Frame frame;  // priority_queue::top() is const; the frame is moved out before pop()
    bool operator<(const Entry& other) const {
      return due != other.due ? due > other.due : order > other.order;
    }
  };

  bool chance(double probability);
  std::optional<Nanoseconds> leave_queue(Nanoseconds arrival, const Frame& frame);
  Nanoseconds due_time(Nanoseconds left_queue, Nanoseconds path_delay);

  std::mt19937_64 random_;
  std::priority_queue<Entry> queue_;
  std::uint64_t order_ = 0;
  Nanoseconds busy_until_ = 0;  // when the emulated transmitter has sent what is queued
  Nanoseconds last_due_ = 0;
  Nanoseconds last_path_delay_ = 0;
};

}  // namespace ntm::lab
