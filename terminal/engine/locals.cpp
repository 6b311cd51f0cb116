// Choosing the address of each family. See the header.
#include "terminal/engine/locals.hpp"

#include <algorithm>

namespace ntm::terminal {

namespace {

std::size_t slot(Family family) { return family == Family::V4 ? 0 : 1; }

std::optional<LocalAddress> choose(const std::vector<LocalAddress>& addresses, Family family,
                                   const std::optional<LocalAddress>& present) {
  std::optional<LocalAddress> best;
  for (const LocalAddress& a : addresses) {
    if (a.address.family() != family) continue;
    bool is_present = present && present->address == a.address;
    if (!best || a.metric < best->metric || (a.metric == best->metric && is_present)) best = a;
  }
  return best;
}

bool same_place(const std::optional<LocalAddress>& a, const std::optional<LocalAddress>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || (a->address == b->address && a->interface == b->interface);
}

}  // namespace

Locals::Difference Locals::replace(const AddressesChanged& change) {
  Difference out;
  std::optional<LocalAddress> best4 = choose(change.addresses, Family::V4, best_[0]);
  std::optional<LocalAddress> best6 = choose(change.addresses, Family::V6, best_[1]);
  out.best4 = !same_place(best4, best_[0]);
  out.best6 = !same_place(best6, best_[1]);
  out.any = addresses_ != change.addresses;
  best_ = {best4, best6};
  addresses_ = change.addresses;
  real_prefixes_ = change.real_prefixes;
  return out;
}

const LocalAddress* Locals::best(Family family) const {
  const std::optional<LocalAddress>& found = best_[slot(family)];
  return found && port(family) != 0 ? &*found : nullptr;
}

bool Locals::has(const IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const LocalAddress& a) { return a.address == address; });
}

std::optional<datapath::Outer> Locals::outer_to(const Endpoint& remote) const {
  const LocalAddress* local = best(remote.family());
  if (local == nullptr) return std::nullopt;
  return datapath::Outer{socket(remote.family()), remote, local->address, local->interface};
}

std::vector<wire::Locator> Locals::locators() const {
  std::vector<LocalAddress> ordered = addresses_;
  std::stable_sort(ordered.begin(), ordered.end(), [&](const LocalAddress& a,
                                                       const LocalAddress& b) {
    const LocalAddress* best_a = best(a.address.family());
    const LocalAddress* best_b = best(b.address.family());
    bool a_first = best_a != nullptr && best_a->address == a.address;
    bool b_first = best_b != nullptr && best_b->address == b.address;
    return a_first != b_first ? a_first : a.metric < b.metric;
  });
  std::vector<wire::Locator> out;
  for (const LocalAddress& a : ordered) {
    if (out.size() == wire::kMaxLocators) break;
    if (port(a.address.family()) == 0) continue;
    std::uint16_t metric = static_cast<std::uint16_t>(std::min<std::uint32_t>(a.metric, 65535));
    out.push_back({{a.address, port(a.address.family())}, a.kind, metric});
  }
  return out;
}

}  // namespace ntm::terminal
