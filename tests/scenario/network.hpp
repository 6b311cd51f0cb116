// A simulated Internet with the kinds of NAT of RFC 4787.
//
//   host --interface(address)-- site --(NAT box)-- core -- site -- host
//
// A site is one network: an access line with a delay to the core, faults, and perhaps a NAT for
// IPv4. Hosts in one site reach each other directly. The delay between two sites is the sum of
// their access delays unless a pair has its own (the paper's table 3 is no tree).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libntm/base/address.hpp"
#include "tests/scenario/simulator.hpp"

namespace ntm::scenario {

// RFC 4787 4.1 and 5: what a mapping and a filter depend on.
enum class NatBehaviour : std::uint8_t {
  EndpointIndependent,
  AddressDependent,
  AddressAndPortDependent,
};
const char* to_string(NatBehaviour behaviour);

struct NatOptions {
  NatBehaviour mapping = NatBehaviour::EndpointIndependent;
  NatBehaviour filtering = NatBehaviour::AddressAndPortDependent;
  bool port_preserving = false;
  bool hairpin = true;
  Duration timeout = seconds(120);
};

struct Faults {
  double loss = 0;         // probabilities per datagram
  double duplicate = 0;
  double reorder = 0;      // delayed by up to reorder_by more
  double corrupt = 0;      // one bit flipped
  Duration reorder_by = milliseconds(50);
  Duration jitter{};
  bool cut = false;
};

struct SiteOptions {
  std::string name;
  Duration access_delay = milliseconds(5);  // one way to the core
  std::optional<NatOptions> nat;            // IPv4 only
  Ipv4 nat_outside;
};

using SiteId = std::size_t;
using HostId = std::size_t;

class Network {
 public:
  // from, to: as the receiver sees them.
  using Receive =
      std::function<void(const Endpoint& from, const Endpoint& to, const Bytes& datagram)>;

  explicit Network(Simulator& simulator) : simulator_(simulator) {}

  SiteId add_site(const SiteOptions& options);
  HostId add_host(const std::string& name, Receive receive);
  // An address of a host in a site; an address is in one place at a time (the newest).
  void attach(HostId host, SiteId site, const IpAddress& address);
  void detach(HostId host, const IpAddress& address);
  std::vector<IpAddress> addresses(HostId host) const;

  // Drops silently, as networks do, when the source address is not the host's or nothing is there.
  void send(HostId host, const Endpoint& from, const Endpoint& to, Bytes datagram);

  void set_pair_delay(SiteId a, SiteId b, Duration one_way);
  Faults& faults(SiteId site) { return sites_.at(site).faults; }
  void reboot_nat(SiteId site);  // all mappings gone
  void on_delivered(std::function<void(const Endpoint&, const Endpoint&, const Bytes&)> tap) {
    tap_ = std::move(tap);
  }

 private:
  struct Mapping {
    Endpoint inside;
    Endpoint outside;
    Endpoint key;  // the part of the destination that the mapping depends on
    Instant used;
    std::map<Endpoint, Instant> sent_to;  // for filtering
  };
  struct Site {
    SiteOptions options;
    Faults faults;
    std::vector<Mapping> mappings;
    std::uint16_t next_port = 20000;
  };
  struct Place {
    HostId host;
    SiteId site;
  };
  struct Host {
    std::string name;
    Receive receive;
  };

  Duration delay_between(SiteId a, SiteId b) const;
  Mapping& map_out(Site& site, const Endpoint& from, const Endpoint& to);
  const Mapping* map_in(Site& site, const Endpoint& from, const Endpoint& to);
  std::optional<SiteId> site_of_outside(const IpAddress& address) const;
  void carry(SiteId from_site, SiteId to_site, Duration delay, const Endpoint& from,
             const Endpoint& to, Bytes datagram);
  void arrive(SiteId site, const Endpoint& from, const Endpoint& to, const Bytes& datagram,
              bool from_outside);

  Simulator& simulator_;
  std::vector<Site> sites_;
  std::vector<Host> hosts_;
  std::map<std::pair<SiteId, IpAddress>, HostId> inside_;  // private addresses repeat across sites
  std::map<std::pair<HostId, IpAddress>, SiteId> places_;
  std::map<std::pair<SiteId, SiteId>, Duration> pair_delay_;
  std::function<void(const Endpoint&, const Endpoint&, const Bytes&)> tap_;
};

}  // namespace ntm::scenario
