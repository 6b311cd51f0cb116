// The paper's central decision (4.3, 4.5, and its reference [12] for the direct cases) as one pure
// function: two terminals' addresses, the relays, and policy in; plan out.
//
// Judged for each family that both have; the best class wins, IPv6 first among equals:
//
//   MN \ CN               | same outside address    | CN open               | CN behind NAT
//   ----------------------+-------------------------+-----------------------+----------------------
//   MN open               | direct                  | direct, both send     | direct, CN opens (1-1)
//   MN behind NAT         | direct on the local     | direct, MN opens      | relay at once; targets
//                         | addresses, relay behind |                       | for an upgrade
//   no common family      |            relay (case 1-2), no targets
//   either is relay-only  |            relay, no targets
//
// Every plan names a relay too when one reaches both: in direct mode it is the fall-back.
// CN is only told addresses of MN that a DC has observed, or local ones when both share an outside
// address: locators that somebody merely claims would make CN a reflector.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "libntm/base/time.hpp"
#include "libntm/wire/control.hpp"

namespace ntm::director {

// Where a terminal is on one family.
struct FamilyReach {
  Endpoint local;    // on its interface
  Endpoint outside;  // as a DC saw it; equal to local without NAT
  bool behind_nat = false;
  bool operator==(const FamilyReach&) const = default;
};
struct Reach {
  std::optional<FamilyReach> v4;
  std::optional<FamilyReach> v6;
  bool relay_only = false;
  bool is_online() const { return v4.has_value() || v6.has_value(); }
  bool operator==(const Reach&) const = default;
};

struct RelayOption {
  std::vector<Endpoint> endpoints;  // at most one a family
  Duration rtt_sum;                 // RTT(MN,RS) + RTT(CN,RS) where known, else 0
  double load = 0;                  // entries / capacity
};

enum class RouteClass : std::uint8_t {
  DirectBoth,      // neither is behind NAT
  DirectCnOpens,   // CN behind NAT, MN open
  DirectMnOpens,   // MN behind NAT, CN open
  DirectLocal,     // both behind the same outside address
  RelayBothNat,
  RelayNoFamily,
  RelayOnly,
  Unreachable,     // one is on no network, or no relay where one is needed
};
const char* to_string(RouteClass route_class);

struct Plan {
  RouteClass route_class = RouteClass::Unreachable;
  wire::RouteMode mode = wire::RouteMode::Relay;
  std::vector<Endpoint> targets_of_mn;  // where MN sends
  std::vector<Endpoint> targets_of_cn;  // where CN sends
  std::optional<std::size_t> relay;     // index into the options
  Family relay_family_mn = Family::V4;
  Family relay_family_cn = Family::V4;
  std::string reason;                   // in words, for people
};

Plan plan_route(const Reach& mn, const Reach& cn, const std::vector<RelayOption>& relays);

}  // namespace ntm::director
