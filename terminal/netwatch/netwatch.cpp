// See the header.
#include "terminal/netwatch/netwatch.hpp"

#include <net/if.h>
#include <netinet/icmp6.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/nexthop.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "libntm/host/files.hpp"
#include "libntm/host/log.hpp"

namespace ntm::terminal {

namespace {

// Addresses without a default route come after all others.
constexpr std::uint32_t kNoDefaultRoute = 1'000'000;

struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Cache = std::unique_ptr<nl_cache, FreeCache>;

std::optional<IpAddress> address_of(nl_addr* address) {
  if (address == nullptr) return std::nullopt;
  const Byte* raw = static_cast<const Byte*>(nl_addr_get_binary_addr(address));
  if (nl_addr_get_family(address) == AF_INET && nl_addr_get_len(address) == 4) {
    Ipv4 out;
    std::copy_n(raw, 4, out.raw.begin());
    return IpAddress(out);
  }
  if (nl_addr_get_family(address) == AF_INET6 && nl_addr_get_len(address) == 16) {
    Ipv6 out;
    std::copy_n(raw, 16, out.raw.begin());
    return IpAddress(out);
  }
  return std::nullopt;
}

template <typename T, typename F>
void for_each(nl_cache* cache, F f) {
  for (nl_object* o = nl_cache_get_first(cache); o != nullptr; o = nl_cache_get_next(o))
    f(reinterpret_cast<T*>(o));
}

struct Route {
  int interface = 0;
  Prefix prefix;
  bool is_default = false;
  std::uint32_t metric = 0;
};

// Unicast routes of the main table.
std::vector<Route> read_routes(nl_cache* cache) {
  std::vector<Route> out;
  for_each<rtnl_route>(cache, [&](rtnl_route* r) {
    if (rtnl_route_get_table(r) != RT_TABLE_MAIN || rtnl_route_get_type(r) != RTN_UNICAST) return;
    nl_addr* destination = rtnl_route_get_dst(r);
    if (destination == nullptr) return;
    Route route;
    unsigned length = nl_addr_get_prefixlen(destination);
    std::optional<IpAddress> address = address_of(destination);
    route.is_default = length == 0 || !address;
    if (!address)
      address = rtnl_route_get_family(r) == AF_INET ? IpAddress(Ipv4{}) : IpAddress(Ipv6{});
    route.prefix = {*address, static_cast<std::uint8_t>(route.is_default ? 0 : length)};
    route.metric = rtnl_route_get_priority(r);
    for (int i = 0; i < rtnl_route_get_nnexthops(r); ++i) {
      rtnl_nexthop* hop = rtnl_route_nexthop_n(r, i);
      if ((rtnl_route_nh_get_flags(hop) & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0) continue;
      route.interface = rtnl_route_nh_get_ifindex(hop);
      out.push_back(route);
    }
  });
  return out;
}

wire::InterfaceKind kind_of(const std::string& name) {
  if (host::exists("/sys/class/net/" + name + "/wireless") ||
      host::exists("/sys/class/net/" + name + "/phy80211"))
    return wire::InterfaceKind::Wireless;
  if (name.rfind("wwan", 0) == 0 || name.rfind("ppp", 0) == 0) return wire::InterfaceKind::Cellular;
  return wire::InterfaceKind::Ethernet;
}

bool can_be_used(const IpAddress& a) {
  return !a.is_unspecified() && !a.is_loopback() && !a.is_link_local() && !a.is_multicast();
}

void set_sysctl(const std::string& path, const char* value) {
  FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return;  // no IPv6, or not ours to change
  std::fputs(value, file);
  std::fclose(file);
}

}  // namespace

Netwatch::Netwatch(host::EventLoop& loop, const NetwatchOptions& options, Changed changed)
    : loop_(loop), options_(options), changed_(std::move(changed)) {}

Netwatch::~Netwatch() {
  if (events_ != nullptr) {
    loop_.unwatch(nl_socket_get_fd(events_));
    nl_socket_free(events_);
  }
  if (queries_ != nullptr) nl_socket_free(queries_);
}

Result<std::unique_ptr<Netwatch>> Netwatch::open(host::EventLoop& loop,
                                                 const NetwatchOptions& options,
                                                 Changed changed) {
  std::unique_ptr<Netwatch> watch(new Netwatch(loop, options, std::move(changed)));
  Result<void> subscribed = watch->subscribe();
  if (!subscribed) return pass(subscribed.error());
  if (options.optimistic_dad)
    for (const char* which : {"all", "default"})
      for (const char* key : {"optimistic_dad", "use_optimistic"})
        set_sysctl(std::string("/proc/sys/net/ipv6/conf/") + which + "/" + key, "1");
  // Raw, for Router Solicitations; without the privilege the kernel's own ones must do.
  watch->icmp_ = host::Fd(::socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                   IPPROTO_ICMPV6));
  return watch;
}

Result<void> Netwatch::subscribe() {
  events_ = nl_socket_alloc();
  queries_ = nl_socket_alloc();
  if (events_ == nullptr || queries_ == nullptr)
    return fail(ErrorKind::Internal, "no memory for netlink");
  nl_socket_disable_seq_check(events_);
  int error = nl_connect(events_, NETLINK_ROUTE);
  if (error == 0)
    error = nl_socket_add_memberships(events_, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
                                      RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                      0);
  if (error == 0) error = nl_connect(queries_, NETLINK_ROUTE);
  if (error != 0)
    return fail(ErrorKind::Unavailable, std::string("can't watch the network (rtnetlink): ") +
                                            nl_geterror(error));
  nl_socket_set_nonblocking(events_);
  loop_.watch(nl_socket_get_fd(events_), EPOLLIN, [this](std::uint32_t) { on_readable(); });
  return {};
}

void Netwatch::on_readable() {
  // The content does not matter (see the header); an overrun (ENOBUFS) says the same: look again.
  Byte buffer[65536];
  while (::recv(nl_socket_get_fd(events_), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
  }
  refresh();
}

void Netwatch::refresh() {
  greet_links();
  AddressesChanged now = dump();
  bool same = told_any_ && now.addresses == told_.addresses &&
              now.real_prefixes == told_.real_prefixes;
  if (same) return;
  told_ = now;
  told_any_ = true;
  changed_(now);
}

AddressesChanged Netwatch::dump() {
  nl_cache *links = nullptr, *addresses = nullptr, *routes = nullptr;
  AddressesChanged out;
  bool failed = rtnl_link_alloc_cache(queries_, AF_UNSPEC, &links) != 0;
  Cache keep_links(links);
  failed = failed || rtnl_addr_alloc_cache(queries_, &addresses) != 0;
  Cache keep_addresses(addresses);
  failed = failed || rtnl_route_alloc_cache(queries_, AF_UNSPEC, 0, &routes) != 0;
  Cache keep_routes(routes);
  if (failed) {
    host::log_warning("the network's state can't be read (rtnetlink); keeping the last one");
    return told_;
  }
  std::map<int, std::string> names;
  for_each<rtnl_link>(links, [&](rtnl_link* l) {
    unsigned flags = rtnl_link_get_flags(l);
    const char* name = rtnl_link_get_name(l);
    if ((flags & IFF_UP) == 0 || (flags & IFF_RUNNING) == 0 || (flags & IFF_LOOPBACK) != 0) return;
    if (name == nullptr || options_.own_interface == name) return;
    names[rtnl_link_get_ifindex(l)] = name;
  });
  std::vector<Route> all = read_routes(routes);
  for (const Route& r : all) {
    if (r.is_default || names.count(r.interface) == 0 || r.prefix.address.is_link_local() ||
        r.prefix.address.is_multicast())
      continue;
    out.real_prefixes.push_back(r.prefix);
  }
  std::sort(out.real_prefixes.begin(), out.real_prefixes.end());
  out.real_prefixes.erase(std::unique(out.real_prefixes.begin(), out.real_prefixes.end()),
                          out.real_prefixes.end());
  for_each<rtnl_addr>(addresses, [&](rtnl_addr* a) {
    int index = rtnl_addr_get_ifindex(a);
    std::optional<IpAddress> address = address_of(rtnl_addr_get_local(a));
    unsigned flags = rtnl_addr_get_flags(a);
    // Tentative: not ours yet, unless optimistic (RFC 4429). Deprecated: on its way out.
    bool waits = (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
    if (!address || !can_be_used(*address) || names.count(index) == 0 || waits ||
        (flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)) != 0)
      return;
    std::optional<std::uint32_t> metric;
    for (const Route& r : all) {
      if (r.interface != index || r.prefix.address.family() != address->family()) continue;
      bool leads = r.is_default;
      std::uint32_t cost = r.metric + (r.is_default ? 0 : kNoDefaultRoute);
      for (const IpAddress& d : options_.destinations) leads = leads || r.prefix.contains(d);
      if (leads && (!metric || cost < *metric)) metric = cost;
    }
    if (!metric) return;
    const std::string& name = names[index];
    out.addresses.push_back(
        {*address, static_cast<std::uint32_t>(index), name, kind_of(name), *metric});
  });
  return out;
}

// State of a link for solicitation: 0 down, 1 running, 2 running with a link-local address. Each
// step up is a reason to ask for a router now.
void Netwatch::greet_links() {
  if (!icmp_) return;
  nl_cache *links = nullptr, *addresses = nullptr;
  if (rtnl_link_alloc_cache(queries_, AF_UNSPEC, &links) != 0) return;
  Cache keep_links(links);
  if (rtnl_addr_alloc_cache(queries_, &addresses) != 0) return;
  Cache keep_addresses(addresses);
  std::map<int, int> states;
  for_each<rtnl_link>(links, [&](rtnl_link* l) {
    unsigned flags = rtnl_link_get_flags(l);
    const char* name = rtnl_link_get_name(l);
    bool running = (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0;
    bool ours = name != nullptr && options_.own_interface == name;
    if ((flags & (IFF_LOOPBACK | IFF_POINTOPOINT)) == 0 && !ours)
      states[rtnl_link_get_ifindex(l)] = running ? 1 : 0;
  });
  for_each<rtnl_addr>(addresses, [&](rtnl_addr* a) {
    std::optional<IpAddress> address = address_of(rtnl_addr_get_local(a));
    bool link_local = address && address->is_v6() && address->is_link_local();
    std::map<int, int>::iterator state = states.find(rtnl_addr_get_ifindex(a));
    if (link_local && state != states.end() && state->second == 1) state->second = 2;
  });
  for (const auto& [index, state] : states) {
    int before = solicited_.count(index) != 0 ? solicited_[index] : 0;
    if (state > before) solicit(index);
  }
  solicited_ = states;
}

void Netwatch::solicit(int index) {
  nd_router_solicit message{};
  message.nd_rs_type = ND_ROUTER_SOLICIT;
  int hops = 255;
  (void)::setsockopt(icmp_.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
  (void)::setsockopt(icmp_.get(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  sockaddr_in6 all_routers{};
  all_routers.sin6_family = AF_INET6;
  all_routers.sin6_addr.s6_addr[0] = 0xff;
  all_routers.sin6_addr.s6_addr[1] = 0x02;
  all_routers.sin6_addr.s6_addr[15] = 2;
  all_routers.sin6_scope_id = static_cast<std::uint32_t>(index);
  // Refused while the link has no address that may be a source: the next step up asks again.
  (void)::sendto(icmp_.get(), &message, sizeof message, 0,
                 reinterpret_cast<sockaddr*>(&all_routers), sizeof all_routers);
}

}  // namespace ntm::terminal
