// The waiting rules for one name (docs/PROTOCOL.md 7), pure: what has come so far and the time go
// in, what to do comes out.
//
// A plain name must not get slower because it might have been an NTM name. So after the address
// answer the NTM answers are waited for as follows, first row that fits:
//
//   | the name or its zone is known as NTM, the name pinned  | kNtmPatience from the start     |
//   | it was found to be plain lately                        | not at all                      |
//   | the address answer is NXDOMAIN                         | not at all (no type exists)     |
//   | the address answer has TTL 0                           | kNtmPatience from the start     |
//   | A and AAAA both NODATA                                 | kNtmPatience from the start     |
//   | otherwise, also for a NODATA whose other is not here   | after the answer, the longer of |
//   |   yet                                                  |   kShortWait and its own time   |
//
// A known NTM name whose NTM answers don't come is answered by SERVFAIL, never with a real address.
// A name that was pinned by itself stays an NTM name even when an answer says that it has no NTM
// records any more: an insecure answer can't prove that (`ntm forget` ends it).
#pragma once

#include <optional>

#include "libntm/base/time.hpp"
#include "terminal/dns/facts.hpp"

namespace ntm::terminal::dns {

constexpr Duration kNtmPatience = seconds(2);
constexpr Duration kShortWait = milliseconds(30);

enum class Knowledge : std::uint8_t { Nothing, KnownNtm, PinnedNtm, KnownPlain };
enum class NtmState : std::uint8_t { Asked, None, Found, Failed };
const char* to_string(NtmState state);

struct Progress {
  Instant started;
  Knowledge knowledge = Knowledge::Nothing;
  NtmState ntm = NtmState::Asked;
  // The answer to the asked type, and to the other address type.
  std::optional<AddressFacts> mine;
  Instant mine_at;
  std::optional<AddressFacts> other;
};

enum class Verdict : std::uint8_t {
  Wait,       // until `until`, or until something comes
  Plain,      // hand the upstream's answer on
  Virtual,    // the NTM answers decide: ask the engine
  ServFail,
};
struct Decision {
  Verdict verdict = Verdict::Wait;
  Instant until = Instant::never();
  bool operator==(const Decision&) const = default;
};
Decision decide(const Progress& progress, Instant now);

}  // namespace ntm::terminal::dns
