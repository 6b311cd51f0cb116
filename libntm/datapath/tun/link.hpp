// The little of rtnetlink that the virtual interface needs: MTU and up, addresses, routes.
#pragma once

#include "libntm/base/address.hpp"
#include "libntm/base/result.hpp"
#include "libntm/host/fd.hpp"

namespace ntm::datapath {

class Link {
 public:
  static Result<Link> open(std::uint32_t index);

  Result<void> up(std::uint16_t mtu);
  // As host addresses (/32, /128), without duplicate address detection.
  Result<void> add_address(const IpAddress& address);
  Result<void> remove_address(const IpAddress& address);
  Result<void> add_route(const Prefix& prefix);
  Result<void> remove_route(const Prefix& prefix);

 private:
  Result<void> request(Bytes message, std::uint16_t type, std::uint16_t flags, const char* what);
  Result<void> address(const IpAddress& address, std::uint16_t type, std::uint16_t flags);
  Result<void> route(const Prefix& prefix, std::uint16_t type, std::uint16_t flags);

  host::Fd fd_;
  std::uint32_t index_ = 0;
  std::uint32_t sequence_ = 0;
};

}  // namespace ntm::datapath
