// What the terminal knows about other names: keys (pinned by name), virtual addresses (checked by
// the acceptance rules), the records as resolved, and the /48 of foreign zones. The lasting part
// lives in Context::saved; the rest is rebuilt by asking DNS.
#pragma once

#include <map>
#include <optional>

#include "terminal/engine/acceptance.hpp"
#include "terminal/engine/context.hpp"

namespace ntm::terminal {

// A peer that may be reached: key believed, addresses accepted.
struct Peer {
  Name name;
  Name zone;
  PublicKey key;
  wire::SuiteSet suites = crypto::kAllSuites;
  wire::DnssecState dnssec = wire::DnssecState::Insecure;
  VirtualAddresses claimed;
  VirtualAddresses addresses;          // accepted
  std::vector<std::string> left_out;   // why a family is missing
  bool zone_known = false;             // false: its /48 is still being asked
  Bytes rdata4;
  Bytes rdata6;
  Instant seen;
};

class Directory {
 public:
  explicit Directory(Context& context) : context_(context) {}

  // From DNS. Denied: a changed or bogus key; NotFound: no NTM record.
  Result<Peer*> learn(const PeerRecords& records);
  // From our DC's RouteDirection: who wants to reach us.
  Result<Peer*> learn(const wire::RouteDirection& route, const Name& zone);
  void learn_zone(const ZoneRecord& record);
  void forget(const Name& name);
  // Own pools or the machine's networks changed: judge all addresses again.
  void judge_again();

  Peer* find(const Name& name);
  // Which name a virtual address belongs to, also from former runs.
  std::optional<Name> holder(const IpAddress& address) const;
  bool is_own_zone(const Name& zone) const { return zone == context_.settings.zone; }
  const std::map<Name, Peer>& peers() const { return peers_; }
  // The peer's lasting part may be dropped when it is not `in_use`.
  std::function<bool(const Name&)> in_use;

 private:
  Result<void> believe(const Name& name, const KeyInput& input, const Name& zone,
                       const std::optional<PublicKey>& next);
  void judge(Peer& peer);
  std::optional<Prefix> zone_prefix(const Name& zone) const;
  void ask_zone(const Name& zone);
  void make_room();

  Context& context_;
  std::map<Name, Peer> peers_;
  std::map<Name, Instant> asked_zones_;
  std::set<Name> known_without_;  // zones that answered without a /48
};

}  // namespace ntm::terminal
