// Virtual addresses of one zone: which are taken, which is next.
//
// IPv4 from the zone's pools, IPv6 from its ULA /48. The first free one from a starting point that
// moves on, so that the address of a removed terminal is reused as late as possible: somebody may
// still remember it.
#pragma once

#include <set>

#include "libntm/base/address.hpp"
#include "libntm/base/random.hpp"
#include "libntm/store/model.hpp"

namespace ntm::director {

class AddressPool {
 public:
  explicit AddressPool(const store::Zone& zone);
  void take(const VirtualAddresses& addresses);
  void give_back(const VirtualAddresses& addresses);
  // IPv4 is missing when the pools are full; IPv6 never runs out.
  VirtualAddresses next(Random& random);
  std::size_t free4() const { return capacity4_ - taken4_.size(); }

 private:
  std::vector<Prefix> pools4_;
  std::optional<Prefix> prefix6_;
  std::size_t capacity4_ = 0;
  std::size_t cursor4_ = 0;
  std::set<Ipv4> taken4_;
  std::set<Ipv6> taken6_;
};

}  // namespace ntm::director
