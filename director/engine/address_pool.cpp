// Network and broadcast address of a pool are never given: some applications refuse them.
#include "director/engine/address_pool.hpp"

#include <algorithm>

namespace ntm::director {

namespace {
std::size_t usable(const Prefix& pool) {
  std::size_t size = std::size_t{1} << (32 - pool.length);
  return size > 2 ? size - 2 : 0;
}
}  // namespace

AddressPool::AddressPool(const store::Zone& zone)
    : pools4_(zone.pools4), prefix6_(zone.virtual6) {
  for (const Prefix& pool : pools4_) capacity4_ += usable(pool);
}

void AddressPool::take(const VirtualAddresses& addresses) {
  if (addresses.v4) taken4_.insert(*addresses.v4);
  if (addresses.v6) taken6_.insert(*addresses.v6);
}

void AddressPool::give_back(const VirtualAddresses& addresses) {
  if (addresses.v4) taken4_.erase(*addresses.v4);
  if (addresses.v6) taken6_.erase(*addresses.v6);
}

VirtualAddresses AddressPool::next(Random& random) {
  VirtualAddresses out;
  for (std::size_t tried = 0; tried < capacity4_ && !out.v4; ++tried) {
    std::size_t at = cursor4_;
    cursor4_ = (cursor4_ + 1) % capacity4_;
    for (const Prefix& pool : pools4_) {
      if (at >= usable(pool)) {
        at -= usable(pool);
        continue;
      }
      Ipv4 candidate = Ipv4::from_u32(pool.address.v4().u32() + 1 + static_cast<std::uint32_t>(at));
      if (taken4_.count(candidate) == 0) out.v4 = candidate;
      break;
    }
  }
  while (prefix6_ && !out.v6) {
    Ipv6 candidate = prefix6_->address.v6();
    // Subnet 0 of the /48, random host part: 64 bits, so a collision is a matter of trying again.
    random.fill(ByteSpan(candidate.raw).subspan(8));
    if (taken6_.count(candidate) == 0) out.v6 = candidate;
  }
  take(out);
  return out;
}

}  // namespace ntm::director
