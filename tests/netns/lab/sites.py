"""Addresses of figure 7 and the round-trip times between its sites.

Documentation prefixes (RFC 5737, RFC 3849) stand for global addresses. Each site is one access
link to the core; its gateway is the first host address of its prefix.

Table 3 of the paper gives eight averages. No tree of access links yields them (the best fit is off
by up to 29 %), so the emulator delays by pair of sites and each of the eight is met exactly. The
pairs that the paper did not measure are the sum of two access delays from the least-squares fit of
those eight: MN(3G) 121.96, MN(IPv6) 19.68, CN 18.80, DC_MN 3.33, DC_CN 6.65, RS 18.83 ms.
"""

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Site:
    name: str
    v4: str = ""        # prefix of the access link
    v6: str = ""
    behind: tuple = field(default=())  # prefixes routed to the site behind its access link

    def _host(self, prefix, number):
        network = ipaddress.ip_network(prefix)
        return f"{network[number]}", network.prefixlen

    def gateway(self, family):
        return self._host(self.v4 if family == 4 else self.v6, 1)

    def host(self, family, number=2):
        return self._host(self.v4 if family == 4 else self.v6, number)

    def prefixes(self):
        return [p for p in (self.v4, self.v6, *self.behind) if p]


SITES = {site.name: site for site in (
    Site("root", "198.51.100.0/28", "2001:db8:1::/64"),
    Site("dc_mn", "198.51.100.16/28", "2001:db8:10::/64"),
    Site("dc_cn", "203.0.113.16/28", "2001:db8:20::/64"),
    Site("rs", "203.0.113.32/28", "2001:db8:30::/64"),
    Site("www", "203.0.113.48/28", "2001:db8:40::/64"),
    Site("mn_3g", "192.0.2.16/28"),
    Site("ap_nat", "192.0.2.32/28"),
    Site("ap_nat2", "192.0.2.48/28"),
    Site("ap_ipv6", "", "2001:db8:50::/64", behind=("2001:db8:51::/64",)),
)}

RESOLVER_HOST = 3          # beside DC_MN, an address of its own on the same machine
PARENT_HOST = 3            # the parent zone's server, beside the root's
LAN = {"ap_nat": "192.168.1.0/24", "ap_nat2": "192.168.2.0/24", "ap_ipv6": "2001:db8:51::/64"}

# name in the paper -> (site, site, average round trip in ms)
TABLE_3 = {
    "MN(IPv4)-DC_MN": ("mn_3g", "dc_mn", 122.90),
    "MN(IPv4)-CN": ("mn_3g", "ap_nat", 143.16),
    "MN(IPv6)-DC_MN": ("ap_ipv6", "dc_mn", 23.01),
    "MN(IPv6)-RS": ("ap_ipv6", "rs", 38.51),
    "CN-DC_CN": ("ap_nat", "dc_cn", 21.31),
    "CN-RS": ("ap_nat", "rs", 39.38),
    "DC_MN-DC_CN": ("dc_mn", "dc_cn", 14.12),
    "DC_MN-RS": ("dc_mn", "rs", 20.41),
}

_FITTED = {
    ("mn_3g", "dc_cn"): 128.61, ("mn_3g", "rs"): 140.79, ("ap_ipv6", "dc_cn"): 26.33,
    ("ap_nat", "dc_mn"): 22.13, ("dc_cn", "rs"): 25.48,
}

# Sites that the paper does not have: a second NAT like the first, the root's and parent's servers,
# an ordinary web site 20 ms from the resolver.
_OWN = {
    ("ap_nat", "ap_nat2"): 37.60,
    ("mn_3g", "root"): 130.0, ("ap_ipv6", "root"): 28.0, ("ap_nat", "root"): 27.0,
    ("dc_mn", "root"): 10.0, ("dc_cn", "root"): 10.0, ("rs", "root"): 25.0,
    ("mn_3g", "www"): 140.0, ("ap_ipv6", "www"): 36.0, ("ap_nat", "www"): 36.0,
    ("dc_mn", "www"): 20.0, ("dc_cn", "www"): 20.0, ("rs", "www"): 30.0, ("root", "www"): 20.0,
}


def round_trips():
    """{(site, site): ms} for every pair; ap_nat2 is as far from all others as ap_nat is."""
    table = {(a, b): rtt for a, b, rtt in TABLE_3.values()} | _FITTED | _OWN
    for (a, b), rtt in list(table.items()):
        if "ap_nat" in (a, b) and "ap_nat2" not in (a, b):
            other = b if a == "ap_nat" else a
            table[(other, "ap_nat2")] = rtt
    return table
