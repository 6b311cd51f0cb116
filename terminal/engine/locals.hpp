// The addresses that the machine has now, and which of them a family uses.
//
// The best address of a family is the one with the smallest metric; among equals the one in use
// stays, so that a second interface that appears does not move tunnels back and forth.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "terminal/engine/types.hpp"

namespace ntm::terminal {

class Locals {
 public:
  struct Difference {
    bool any = false;      // the list changed: locators must be told
    bool best4 = false;    // the address that IPv4 uses is another one (or gone)
    bool best6 = false;
    bool best(Family family) const { return family == Family::V4 ? best4 : best6; }
  };
  Difference replace(const AddressesChanged& change);
  void set_sockets(const SocketsOpened& sockets) { sockets_ = sockets; }

  const LocalAddress* best(Family family) const;
  bool has(const IpAddress& address) const;
  bool any() const { return best(Family::V4) != nullptr || best(Family::V6) != nullptr; }
  const std::vector<Prefix>& real_prefixes() const { return real_prefixes_; }

  // How to reach `remote` from the best address of its family; nullopt when there is none.
  std::optional<datapath::Outer> outer_to(const Endpoint& remote) const;
  datapath::SocketId socket(Family family) const {
    return family == Family::V4 ? sockets_.socket4 : sockets_.socket6;
  }
  std::uint16_t port(Family family) const {
    return family == Family::V4 ? sockets_.port4 : sockets_.port6;
  }
  // The best address of each family first.
  std::vector<wire::Locator> locators() const;

 private:
  SocketsOpened sockets_;
  std::vector<LocalAddress> addresses_;
  std::vector<Prefix> real_prefixes_;
  std::array<std::optional<LocalAddress>, 2> best_;
};

}  // namespace ntm::terminal
