// Which virtual addresses of a peer this terminal will use, and which key it believes
// (docs/PROTOCOL.md 1 and 2). Pure functions: a foreign zone must not be able to claim 8.8.8.8, or
// an address of our own pools, or the address of another name, by writing it into its record.
//
// Addresses, first row that fits decides; every refusal is a reason that `ntm status` shows:
//   | family | the address                                        | verdict                      |
//   |--------|----------------------------------------------------|------------------------------|
//   | v4     | outside the configured virtual ranges              | refused                      |
//   | v4     | peer of our zone, outside our zone's pools         | refused                      |
//   | v4     | foreign peer, inside a pool of our zone            | refused (pools overlap)      |
//   | v6     | outside fc00::/7                                   | refused                      |
//   | v6     | outside its zone's /48, or that /48 is not known   | refused                      |
//   | v6     | foreign peer, inside our zone's /48                | refused                      |
//   | both   | inside a real on-link or routed prefix             | refused                      |
//   | both   | held by another name, or our own                   | refused                      |
//   | both   | otherwise                                          | accepted                     |
//
// Keys, first row that fits:
//   | DNSSEC bogus                                            | refused, never plain         |
//   | pinned out of band, equal / different                   | accepted / refused           |
//   | nothing known                                           | accepted, pinned by name     |
//   | equal to the pinned one                                 | accepted                     |
//   | record is DNSSEC-secure, or the key was announced       | accepted, pinned anew        |
//   | otherwise (changed key)                                 | refused                      |
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "terminal/engine/types.hpp"

namespace ntm::terminal {

struct AcceptanceInput {
  Name name;
  bool own_zone = false;
  VirtualAddresses claimed;
  std::optional<Prefix> zone_virtual6;  // of the peer's zone
  std::vector<Prefix> own_pools4;
  std::optional<Prefix> own_virtual6;
  VirtualAddresses own;
  const std::vector<Prefix>* virtual_ranges4 = nullptr;
  const std::vector<Prefix>* real_prefixes = nullptr;
  // The other name that holds this address, if any.
  std::function<std::optional<Name>(const IpAddress&)> holder;
};
struct Acceptance {
  VirtualAddresses accepted;
  std::vector<std::string> left_out;  // one reason for each family that was refused
};
Acceptance accept_addresses(const AcceptanceInput& input);

// Our own addresses: a family goes when its pool overlaps a real prefix of the machine.
Acceptance accept_own(const VirtualAddresses& own, const std::vector<Prefix>& pools4,
                      const std::optional<Prefix>& virtual6,
                      const std::vector<Prefix>& real_prefixes);

struct KeyInput {
  std::optional<PublicKey> pinned_out_of_band;
  std::optional<PublicKey> known;
  std::optional<PublicKey> announced_next;  // by the known key's owner
  PublicKey offered;
  bool secure = false;
  bool bogus = false;
};
enum class KeyVerdict : std::uint8_t { Accepted, AcceptedAnew, Refused };
struct KeyJudgement {
  KeyVerdict verdict = KeyVerdict::Refused;
  std::string reason;  // when refused
};
KeyJudgement judge_key(const KeyInput& input);

}  // namespace ntm::terminal
