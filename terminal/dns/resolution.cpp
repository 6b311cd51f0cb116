// See resolution.hpp: its table, line by line.
#include "terminal/dns/resolution.hpp"

#include <algorithm>

namespace ntm::terminal::dns {

namespace {

// How long NTM answers are still waited for once the address answer is here.
Instant patience(const Progress& p) {
  Instant whole = p.started + kNtmPatience;
  if (p.knowledge == Knowledge::KnownNtm || p.knowledge == Knowledge::PinnedNtm) return whole;
  if (p.knowledge == Knowledge::KnownPlain || p.mine->is_nxdomain()) return p.mine_at;
  if (p.mine->has_zero_ttl()) return whole;
  bool both_nodata = p.mine->is_nodata() && p.other && p.other->is_nodata();
  if (both_nodata) return whole;
  Instant brief = p.mine_at + std::max(kShortWait, p.mine_at - p.started);
  return std::min(brief, whole);
}

}  // namespace

const char* to_string(NtmState state) {
  switch (state) {
    case NtmState::Asked: return "asked";
    case NtmState::None: return "none";
    case NtmState::Found: return "found";
    case NtmState::Failed: return "failed";
  }
  return "?";
}

Decision decide(const Progress& p, Instant now) {
  if (p.ntm == NtmState::Found) return {Verdict::Virtual, Instant::never()};
  bool pinned = p.knowledge == Knowledge::PinnedNtm;
  bool known = pinned || p.knowledge == Knowledge::KnownNtm;
  bool gone = p.mine && p.mine->is_nxdomain();
  if (p.ntm == NtmState::None || p.ntm == NtmState::Failed) {
    bool refuse = pinned || (known && p.ntm == NtmState::Failed);
    if (refuse && !gone && p.mine) return {Verdict::ServFail, Instant::never()};
    return {p.mine ? Verdict::Plain : Verdict::Wait, Instant::never()};
  }
  if (!p.mine) {
    Instant until = p.started + kNtmPatience;
    if (known && until <= now) return {Verdict::ServFail, Instant::never()};
    return {Verdict::Wait, known ? until : Instant::never()};
  }
  Instant until = patience(p);
  if (now < until) return {Verdict::Wait, until};
  return {known && !gone ? Verdict::ServFail : Verdict::Plain, Instant::never()};
}

}  // namespace ntm::terminal::dns
