// The two tables of the header, row by row.
#include "terminal/engine/acceptance.hpp"

#include <algorithm>

namespace ntm::terminal {

namespace {

const Prefix kUniqueLocal{IpAddress(Ipv6{{0xfc}}), 7};

const Prefix* containing(const std::vector<Prefix>& prefixes, const IpAddress& address) {
  for (const Prefix& p : prefixes)
    if (p.address.family() == address.family() && p.contains(address)) return &p;
  return nullptr;
}

std::optional<std::string> refuse_v4(const AcceptanceInput& in, const IpAddress& a) {
  if (containing(*in.virtual_ranges4, a) == nullptr)
    return to_string(a) + " is outside the virtual ranges of this terminal";
  const Prefix* pool = containing(in.own_pools4, a);
  if (in.own_zone && pool == nullptr && !in.own_pools4.empty())
    return to_string(a) + " is in no pool of our zone";
  if (!in.own_zone && pool != nullptr)
    return to_string(a) + " lies in our own zone's pool " + to_string(*pool) +
           ": the two zones' IPv4 pools overlap";
  return std::nullopt;
}

std::optional<std::string> refuse_v6(const AcceptanceInput& in, const IpAddress& a) {
  if (!kUniqueLocal.contains(a)) return to_string(a) + " is outside fc00::/7";
  if (!in.zone_virtual6) return to_string(a) + ": its zone announces no virtual IPv6 prefix";
  if (!in.zone_virtual6->contains(a))
    return to_string(a) + " is outside its zone's prefix " + to_string(*in.zone_virtual6);
  if (!in.own_zone && in.own_virtual6 && in.own_virtual6->contains(a))
    return to_string(a) + " lies in our own zone's prefix " + to_string(*in.own_virtual6);
  return std::nullopt;
}

std::optional<std::string> refuse_any(const AcceptanceInput& in, const IpAddress& a) {
  const Prefix* real = containing(*in.real_prefixes, a);
  if (real != nullptr)
    return to_string(a) + " lies in " + to_string(*real) + ", a real network of this machine";
  bool ours = a.is_v4() ? in.own.v4 == a.v4() : in.own.v6 == a.v6();
  if (ours) return to_string(a) + " is our own address";
  if (in.holder) {
    std::optional<Name> other = in.holder(a);
    if (other && *other != in.name) return to_string(a) + " is held by " + other->text();
  }
  return std::nullopt;
}

}  // namespace

Acceptance accept_addresses(const AcceptanceInput& in) {
  Acceptance out;
  if (in.claimed.v4) {
    std::optional<std::string> why = refuse_v4(in, *in.claimed.v4);
    if (!why) why = refuse_any(in, *in.claimed.v4);
    if (why) out.left_out.push_back("IPv4: " + *why);
    else out.accepted.v4 = in.claimed.v4;
  }
  if (in.claimed.v6) {
    std::optional<std::string> why = refuse_v6(in, *in.claimed.v6);
    if (!why) why = refuse_any(in, *in.claimed.v6);
    if (why) out.left_out.push_back("IPv6: " + *why);
    else out.accepted.v6 = in.claimed.v6;
  }
  return out;
}

Acceptance accept_own(const VirtualAddresses& own, const std::vector<Prefix>& pools4,
                      const std::optional<Prefix>& virtual6,
                      const std::vector<Prefix>& real_prefixes) {
  Acceptance out{own, {}};
  for (const Prefix& real : real_prefixes) {
    for (const Prefix& pool : pools4) {
      if (!out.accepted.v4 || real.address.family() != Family::V4 || !pool.overlaps(real)) continue;
      out.accepted.v4.reset();
      out.left_out.push_back("IPv4: our zone's pool " + to_string(pool) + " overlaps " +
                             to_string(real) + ", a real network of this machine");
    }
    if (!out.accepted.v6 || !virtual6 || real.address.family() != Family::V6) continue;
    if (!virtual6->overlaps(real)) continue;
    out.accepted.v6.reset();
    out.left_out.push_back("IPv6: our zone's prefix " + to_string(*virtual6) + " overlaps " +
                           to_string(real) + ", a real network of this machine");
  }
  return out;
}

KeyJudgement judge_key(const KeyInput& in) {
  if (in.bogus) return {KeyVerdict::Refused, "the record's DNSSEC validation failed"};
  if (in.offered.is_zero()) return {KeyVerdict::Refused, "the record carries no key"};
  if (in.pinned_out_of_band) {
    if (*in.pinned_out_of_band == in.offered) return {KeyVerdict::Accepted, {}};
    return {KeyVerdict::Refused, "the key differs from the one pinned in the configuration"};
  }
  if (!in.known) return {KeyVerdict::AcceptedAnew, {}};
  if (*in.known == in.offered) return {KeyVerdict::Accepted, {}};
  if (in.secure || (in.announced_next && *in.announced_next == in.offered))
    return {KeyVerdict::AcceptedAnew, {}};
  return {KeyVerdict::Refused,
          "the key changed since it was first seen; if that is right, run: ntm forget NAME"};
}

}  // namespace ntm::terminal
