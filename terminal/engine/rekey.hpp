// When the keys of a path must be renewed, and the state of a renewal that is on its way
// (docs/PROTOCOL.md 5). Who made the present keys starts at 120 s, the other end at 130 s, both
// only if there was traffic since; 2^26 packets start it at once.
#pragma once

#include <optional>

#include "libntm/base/time.hpp"
#include "terminal/engine/e2e.hpp"

namespace ntm::terminal {

constexpr Duration kRekeyAfter = seconds(120);
constexpr Duration kRekeyAfterOther = seconds(130);
constexpr int kRekeyTries = 6;

class Rekey {
 public:
  void keys_made(Instant now, bool by_us) {
    due_ = now + (by_us ? kRekeyAfter : kRekeyAfterOther);
    traffic_ = false;
    running.reset();
  }
  void on_traffic() { traffic_ = true; }
  void on_worn(Instant now) {
    traffic_ = true;
    due_ = now;
  }
  bool is_due(Instant now) const { return traffic_ && !running && due_ <= now; }
  void postpone(Instant until) { due_ = until; }
  Instant next_deadline() const {
    if (running) return running->next;
    return traffic_ ? due_ : Instant::never();
  }

  struct Running {
    crypto::Noise noise;
    Bytes message1;
    std::uint64_t challenge = 0;
    int tries = 0;
    Instant next;
  };
  std::optional<Running> running;
  // The answer to the peer's newest message 1, repeated when that comes again.
  Bytes answered_message1;
  Bytes answer_message2;

 private:
  Instant due_ = Instant::never();
  bool traffic_ = false;
};

}  // namespace ntm::terminal
