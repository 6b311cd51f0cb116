// The table of the header, row by row.
#include "director/engine/route_policy.hpp"

#include <algorithm>

namespace ntm::director {

const char* to_string(RouteClass route_class) {
  switch (route_class) {
    case RouteClass::DirectBoth: return "direct: neither is behind NAT";
    case RouteClass::DirectCnOpens: return "direct: the peer is behind NAT and opens the path";
    case RouteClass::DirectMnOpens: return "direct: the asking side is behind NAT and opens the path";
    case RouteClass::DirectLocal: return "direct on local addresses: both are behind the same NAT";
    case RouteClass::RelayBothNat: return "relayed: both are behind different NATs";
    case RouteClass::RelayNoFamily: return "relayed: no IP version in common";
    case RouteClass::RelayOnly: return "relayed: one side asks for relays only";
    case RouteClass::Unreachable: return "unreachable";
  }
  return "?";
}

namespace {

RouteClass judge(const FamilyReach& mn, const FamilyReach& cn) {
  bool same_outside =
      mn.behind_nat && cn.behind_nat && mn.outside.address == cn.outside.address;
  if (same_outside) return RouteClass::DirectLocal;
  if (!mn.behind_nat && !cn.behind_nat) return RouteClass::DirectBoth;
  if (!mn.behind_nat) return RouteClass::DirectCnOpens;
  if (!cn.behind_nat) return RouteClass::DirectMnOpens;
  return RouteClass::RelayBothNat;
}

bool is_direct(RouteClass c) { return c <= RouteClass::DirectLocal; }

// Three classes of quality: open paths, local ones (a wrong guess costs the relay's delay), relay.
int quality(RouteClass c) {
  if (c <= RouteClass::DirectMnOpens) return 0;
  return c == RouteClass::DirectLocal ? 1 : 2;
}

void add_targets(const FamilyReach& mn, const FamilyReach& cn, RouteClass c, Plan& plan) {
  auto add = [](std::vector<Endpoint>& list, const Endpoint& e) {
    bool known = std::find(list.begin(), list.end(), e) != list.end();
    if (e.is_set() && !known && list.size() < wire::kMaxTargets) list.push_back(e);
  };
  if (c == RouteClass::DirectLocal) {
    add(plan.targets_of_mn, cn.local);
    add(plan.targets_of_cn, mn.local);
    return;
  }
  add(plan.targets_of_mn, cn.outside);
  add(plan.targets_of_cn, mn.outside);
}

bool relay_serves(const RelayOption& relay, const Reach& who, Family& family) {
  // IPv6 first: no NAT mapping has to be kept alive there.
  for (Family f : {Family::V6, Family::V4}) {
    const std::optional<FamilyReach>& reach = f == Family::V6 ? who.v6 : who.v4;
    if (!reach) continue;
    for (const Endpoint& e : relay.endpoints)
      if (e.family() == f) {
        family = f;
        return true;
      }
  }
  return false;
}

// Minimal sum of round trips weighted by load; a full relay is as far as three times its distance.
void choose_relay(const Reach& mn, const Reach& cn, const std::vector<RelayOption>& relays,
                  Plan& plan) {
  double best = 0;
  for (std::size_t i = 0; i < relays.size(); ++i) {
    Family family_mn = Family::V4;
    Family family_cn = Family::V4;
    if (relays[i].load >= 1.0 || !relay_serves(relays[i], mn, family_mn) ||
        !relay_serves(relays[i], cn, family_cn))
      continue;
    double cost = (static_cast<double>(relays[i].rtt_sum.us) + 1000.0) * (1.0 + 2.0 * relays[i].load);
    if (plan.relay && cost >= best) continue;
    best = cost;
    plan.relay = i;
    plan.relay_family_mn = family_mn;
    plan.relay_family_cn = family_cn;
  }
}

}  // namespace

Plan plan_route(const Reach& mn, const Reach& cn, const std::vector<RelayOption>& relays) {
  Plan plan;
  if (!mn.is_online() || !cn.is_online()) {
    plan.reason = "one side is on no network";
    return plan;
  }
  choose_relay(mn, cn, relays, plan);

  struct Judged {
    RouteClass route_class;
    const FamilyReach* mn;
    const FamilyReach* cn;
  };
  std::vector<Judged> judged;  // IPv6 first, so that a stable sort keeps it first among equals
  if (mn.v6 && cn.v6) judged.push_back({judge(*mn.v6, *cn.v6), &*mn.v6, &*cn.v6});
  if (mn.v4 && cn.v4) judged.push_back({judge(*mn.v4, *cn.v4), &*mn.v4, &*cn.v4});
  std::stable_sort(judged.begin(), judged.end(), [](const Judged& a, const Judged& b) {
    return quality(a.route_class) < quality(b.route_class);
  });

  if (mn.relay_only || cn.relay_only) {
    plan.route_class = RouteClass::RelayOnly;
  } else if (judged.empty()) {
    plan.route_class = RouteClass::RelayNoFamily;
  } else {
    plan.route_class = judged.front().route_class;
    for (const Judged& j : judged) add_targets(*j.mn, *j.cn, j.route_class, plan);
  }
  plan.mode = is_direct(plan.route_class) ? wire::RouteMode::Direct : wire::RouteMode::Relay;
  plan.reason = to_string(plan.route_class);
  if (plan.mode == wire::RouteMode::Relay && !plan.relay) {
    plan.reason += "; but no relay reaches both";
    // Behind two NATs the simultaneous checks may still succeed; without targets nothing can.
    if (plan.targets_of_mn.empty()) plan.route_class = RouteClass::Unreachable;
  }
  return plan;
}

}  // namespace ntm::director
