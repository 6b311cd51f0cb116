// What every part of the engine shares in one turn: the present instant, settings, randomness, the
// machine's addresses, the saved state and the list of effects that grows.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libntm/base/random.hpp"
#include "terminal/engine/locals.hpp"
#include "terminal/engine/types.hpp"

namespace ntm::terminal {

class Context {
 public:
  Context(const Settings& given, SavedState state, Random& source)
      : settings(given), saved(std::move(state)), random(source) {
    counter_ = saved.counter_reserved;
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Settings settings;
  SavedState saved;
  Random& random;
  Instant now;
  Locals locals;
  Duration dc_rtt{};  // smoothed; zero before the first sample

  void change(datapath::Change change) { effects_.emplace_back(std::move(change)); }
  void send(const datapath::Outer& outer, Bytes datagram) {
    effects_.emplace_back(SendControl{outer, std::move(datagram)});
  }
  template <typename E>
  void emit(E effect) {
    effects_.emplace_back(std::move(effect));
  }
  using Fields = std::vector<std::pair<std::string, std::string>>;
  void note(std::string event, Fields fields = {}) {
    effects_.emplace_back(Notify{std::move(event), std::move(fields)});
  }
  void save(bool urgent = false) { effects_.emplace_back(PersistState{saved, urgent}); }

  // The persistent, strictly growing counter of docs/PROTOCOL.md 3.3.
  std::uint64_t next_counter() {
    ++counter_;
    if (counter_ >= saved.counter_reserved) {
      saved.counter_reserved = counter_ + kCounterBlock;
      save(true);
    }
    return counter_;
  }
  // The DC knows a greater one (a state file was lost): go on above it.
  void raise_counter(std::uint64_t stored) {
    if (stored + kCounterBlock <= counter_) return;
    counter_ = stored + kCounterBlock;
    saved.counter_reserved = counter_ + kCounterBlock;
    save(true);
  }
  std::uint64_t random_nonzero() {
    std::uint64_t value = 0;
    while (value == 0) value = random.u64();
    return value;
  }
  // d +- 20 %.
  Duration jittered(Duration d) {
    if (d.us < 10) return d;
    return {d.us * 4 / 5 +
            static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(d.us * 2 / 5)))};
  }

  std::vector<Effect> take() { return std::exchange(effects_, {}); }

 private:
  std::uint64_t counter_ = 0;
  std::vector<Effect> effects_;
};

}  // namespace ntm::terminal
