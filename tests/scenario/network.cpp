// Routing, translation and faults. See the header for the picture.
#include "tests/scenario/network.hpp"

#include <algorithm>
#include <cassert>

namespace ntm::scenario {

const char* to_string(NatBehaviour behaviour) {
  switch (behaviour) {
    case NatBehaviour::EndpointIndependent: return "endpoint-independent";
    case NatBehaviour::AddressDependent: return "address-dependent";
    case NatBehaviour::AddressAndPortDependent: return "address-and-port-dependent";
  }
  return "?";
}

namespace {
// The part of a remote endpoint that a behaviour looks at.
Endpoint key_of(NatBehaviour behaviour, const Endpoint& remote) {
  switch (behaviour) {
    case NatBehaviour::EndpointIndependent: return {};
    case NatBehaviour::AddressDependent: return {remote.address, 0};
    case NatBehaviour::AddressAndPortDependent: return remote;
  }
  return remote;
}
}  // namespace

SiteId Network::add_site(const SiteOptions& options) {
  Site site;
  site.options = options;
  sites_.push_back(std::move(site));
  return sites_.size() - 1;
}

HostId Network::add_host(const std::string& name, Receive receive) {
  hosts_.push_back({name, std::move(receive)});
  return hosts_.size() - 1;
}

void Network::attach(HostId host, SiteId site, const IpAddress& address) {
  detach(host, address);
  inside_[{site, address}] = host;
  places_[{host, address}] = site;
}

void Network::detach(HostId host, const IpAddress& address) {
  std::map<std::pair<HostId, IpAddress>, SiteId>::iterator it = places_.find({host, address});
  if (it == places_.end()) return;
  inside_.erase({it->second, address});
  places_.erase(it);
}

std::vector<IpAddress> Network::addresses(HostId host) const {
  std::vector<IpAddress> out;
  for (const auto& [key, site] : places_)
    if (key.first == host) out.push_back(key.second);
  return out;
}

void Network::set_pair_delay(SiteId a, SiteId b, Duration one_way) {
  pair_delay_[{a, b}] = one_way;
  pair_delay_[{b, a}] = one_way;
}

void Network::reboot_nat(SiteId site) { sites_.at(site).mappings.clear(); }

Duration Network::delay_between(SiteId a, SiteId b) const {
  if (a == b) return milliseconds(1);
  std::map<std::pair<SiteId, SiteId>, Duration>::const_iterator it = pair_delay_.find({a, b});
  if (it != pair_delay_.end()) return it->second;
  return sites_[a].options.access_delay + sites_[b].options.access_delay;
}

Network::Mapping& Network::map_out(Site& site, const Endpoint& from, const Endpoint& to) {
  const NatOptions& nat = *site.options.nat;
  Endpoint key = key_of(nat.mapping, to);
  Instant now = simulator_.now();
  std::erase_if(site.mappings, [&](const Mapping& m) { return now - m.used > nat.timeout; });
  for (Mapping& m : site.mappings)
    if (m.inside == from && m.key == key) {
      m.used = now;
      m.sent_to[to] = now;
      return m;
    }
  Mapping made;
  made.inside = from;
  made.key = key;
  std::uint16_t port = from.port;
  auto taken = [&](std::uint16_t p) {
    return std::any_of(site.mappings.begin(), site.mappings.end(),
                       [&](const Mapping& m) { return m.outside.port == p; });
  };
  if (!nat.port_preserving || taken(port))
    do {
      port = site.next_port++;
      if (site.next_port < 20000) site.next_port = 20000;
    } while (taken(port));
  made.outside = {site.options.nat_outside, port};
  made.used = now;
  made.sent_to[to] = now;
  site.mappings.push_back(std::move(made));
  return site.mappings.back();
}

const Network::Mapping* Network::map_in(Site& site, const Endpoint& from, const Endpoint& to) {
  const NatOptions& nat = *site.options.nat;
  Instant now = simulator_.now();
  for (Mapping& m : site.mappings) {
    if (m.outside != to || now - m.used > nat.timeout) continue;
    for (const auto& [remote, when] : m.sent_to)
      if (key_of(nat.filtering, remote) == key_of(nat.filtering, from)) return &m;
    return nullptr;
  }
  return nullptr;
}

std::optional<SiteId> Network::site_of_outside(const IpAddress& address) const {
  for (SiteId i = 0; i < sites_.size(); ++i) {
    const SiteOptions& o = sites_[i].options;
    if (o.nat && IpAddress(o.nat_outside) == address) return i;
  }
  return std::nullopt;
}

void Network::send(HostId host, const Endpoint& from, const Endpoint& to, Bytes datagram) {
  std::map<std::pair<HostId, IpAddress>, SiteId>::iterator place =
      places_.find({host, from.address});
  if (place == places_.end()) return;
  SiteId site = place->second;
  if (inside_.count({site, to.address}) != 0) {
    carry(site, site, delay_between(site, site), from, to, std::move(datagram));
    return;
  }
  Endpoint source = from;
  bool translated = sites_[site].options.nat.has_value() && from.address.is_v4();
  if (translated) source = map_out(sites_[site], from, to).outside;
  // A private address that is not in this site is nowhere.
  if (to.address.is_private() || (!translated && source.address.is_private())) return;
  if (std::optional<SiteId> nat_site = site_of_outside(to.address)) {
    if (*nat_site == site && !sites_[site].options.nat->hairpin) return;
    carry(site, *nat_site, delay_between(site, *nat_site), source, to, std::move(datagram));
    return;
  }
  for (SiteId target = 0; target < sites_.size(); ++target) {
    if (inside_.count({target, to.address}) == 0) continue;
    carry(site, target, delay_between(site, target), source, to, std::move(datagram));
    return;
  }
}

void Network::carry(SiteId from_site, SiteId to_site, Duration delay, const Endpoint& from,
                    const Endpoint& to, Bytes datagram) {
  SeededRandom& random = simulator_.random();
  int copies = 1;
  for (SiteId id : {from_site, to_site}) {
    const Faults& f = sites_[id].faults;
    if (f.cut || (f.loss > 0 && random.unit() < f.loss)) return;
    if (f.duplicate > 0 && random.unit() < f.duplicate) ++copies;
    if (f.corrupt > 0 && random.unit() < f.corrupt && !datagram.empty())
      datagram[random.below(datagram.size())] ^= static_cast<Byte>(1u << random.below(8));
    if (f.jitter.us > 0)
      delay = delay + microseconds(static_cast<std::int64_t>(
                          random.below(static_cast<std::uint64_t>(f.jitter.us))));
    if (f.reorder > 0 && random.unit() < f.reorder)
      delay = delay + microseconds(static_cast<std::int64_t>(
                          random.below(static_cast<std::uint64_t>(f.reorder_by.us) + 1)));
    if (from_site == to_site) break;
  }
  bool outside = from_site != to_site || from.address == IpAddress(sites_[to_site].options.nat_outside);
  for (int i = 0; i < copies; ++i)
    simulator_.after(delay + microseconds(i), [this, to_site, from, to, datagram, outside] {
      arrive(to_site, from, to, datagram, outside);
    });
}

void Network::arrive(SiteId site, const Endpoint& from, const Endpoint& to, const Bytes& datagram,
                     bool from_outside) {
  Endpoint target = to;
  Site& s = sites_[site];
  if (from_outside && s.options.nat && to.address == IpAddress(s.options.nat_outside)) {
    const Mapping* mapping = map_in(s, from, to);
    if (mapping == nullptr) return;
    target = mapping->inside;
  }
  std::map<std::pair<SiteId, IpAddress>, HostId>::iterator it = inside_.find({site, target.address});
  if (it == inside_.end()) return;
  simulator_.trace(datagram);
  if (tap_) tap_(from, target, datagram);
  hosts_[it->second].receive(from, target, datagram);
}

}  // namespace ntm::scenario
