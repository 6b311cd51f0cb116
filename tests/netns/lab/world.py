"""The paper's figure 7 in network namespaces.

              root + parent   www          RS (v4, v6)
                    \\          |            /
   DC_MN (v4, v6) ---- core (IPv4 and IPv6) ---- DC_CN (v4, v6)
   + resolver        /     |        \\        \\
                  "3G"  AP_IPv6    AP_NAT   AP_NAT2
                    \\     :         :  \\       :
                     MN ..:.........:   CN     :       MN is on one of the dotted networks

Every solid line passes the link emulator, which delays by pair of sites (sites.py) and can be told
to lose, limit or cut (wire.py). Everything here is ordinary software; the NTMobile programs are
started on top, by whoever uses the world.
"""

import sys

from . import dns
from .core import REPOSITORY
from .mobile import MobileNode
from .nat import NatRouter
from .sites import LAN, PARENT_HOST, RESOLVER_HOST, SITES, round_trips
from .wire import Wire

PARENT_ZONE = "example."
CN_LAN_ADDRESS = "192.168.1.10"


class Figure7:
    def __init__(self, lab, seed=1, whole_gso=False):
        self.lab, self._whole_gso = lab, whole_gso
        self.wire = Wire(lab, seed)
        self.core = self._router("core")
        self._set_round_trips()
        self.root = self._host("root", extra_hosts=[PARENT_HOST])
        self.dc_mn = self._host("dc_mn", extra_hosts=[RESOLVER_HOST])
        self.dc_cn = self._host("dc_cn")
        self.rs = self._host("rs")
        self.www = self._host("www")
        self.nat = self._nat("ap_nat")
        self.nat2 = self._nat("ap_nat2")
        self.ap_ipv6 = self._ipv6_access_point()
        self.cn = self._lan_host("cn", "ap_nat", CN_LAN_ADDRESS)
        self.mn = MobileNode(self, lab.namespace("mn"))
        self._start_dns()

    # What others need to know

    def address(self, site, family, number=2):
        return SITES[site].host(family, number)[0]

    def resolver_address(self, family):
        return self.address("dc_mn", family, RESOLVER_HOST)

    def set_round_trip(self, site_a, site_b, rtt_ms):
        for a in SITES[site_a].prefixes():
            for b in SITES[site_b].prefixes():
                if (":" in a) == (":" in b):
                    self.wire.pair(a, b, rtt_ms)

    def start_stand_in_dns(self):
        """Knot in the DCs' places, for tests of the lab itself; returns when both answer."""
        servers = []
        for site, space in (("dc_mn", self.dc_mn), ("dc_cn", self.dc_cn)):
            origin = f"{site.split('_')[1]}.{PARENT_ZONE}"
            addresses = [self.address(site, 4), self.address(site, 6)]
            records = [f"ns1 {'AAAA' if ':' in a else 'A'} {a}" for a in addresses]
            records += [f"host A {addresses[0]}", f"host AAAA {addresses[1]}"]
            zone = dns.zone_text(origin, "ns1", records)
            servers.append(dns.Knot(space, "standin", addresses, {origin: zone}))
        for server in servers:
            server.wait_ready()
        return servers

    def start_lan_terminal(self, name, network, address):
        """Another host on a LAN (ap_nat, ap_nat2), for tests with more than two terminals."""
        return self._lan_host(name, network, address)

    # Construction

    def _set_round_trips(self):
        for (a, b), rtt in round_trips().items():
            self.set_round_trip(a, b, rtt)

    def _router(self, name):
        space = self.lab.namespace(name)
        space.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                     "net.ipv6.conf.default.accept_dad=0", "net.ipv4.icmp_ratelimit=0")
        return space

    def give_gateway(self, interface, site):
        """The core's address on a site's access link, and the routes to what is behind it."""
        lines = []
        for family, prefix in ((4, site.v4), (6, site.v6)):
            if prefix:
                address, length = site.gateway(family)
                nodad = " nodad" if family == 6 else ""
                lines.append(f"address add {address}/{length} dev {interface}{nodad}")
        for prefix in site.behind:
            lines.append(f"route add {prefix} via {site.host(6)[0]}")
        self.core.ip(*lines)

    def _connect(self, space, name, extra_hosts=()):
        """The access link of a site: `wan` in the site's namespace, an interface of the core."""
        site = SITES[name]
        self.wire.link(name, space, "wan", self.core, name, whole_gso=self._whole_gso)
        self.give_gateway(name, site)
        lines = []
        for family, prefix in ((4, site.v4), (6, site.v6)):
            if not prefix:
                continue
            nodad = " nodad" if family == 6 else ""
            for number in (2, *extra_hosts):
                address, length = site.host(family, number)
                lines.append(f"address add {address}/{length} dev wan{nodad}")
            lines.append(f"route add default via {site.gateway(family)[0]}")
        space.ip(*lines)

    def _host(self, name, extra_hosts=()):
        space = self.lab.namespace(name)
        space.sysctl("net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_ra=0",
                     "net.ipv6.conf.default.accept_ra=0")
        self._connect(space, name, extra_hosts)
        return space

    def _make_lan(self, space, name, addresses):
        """The access point's LAN: a bridge among the cables, with the router on it."""
        ether = self.wire.space
        ether.ip(f"link add br-{name} type bridge stp_state 0 mcast_snooping 0",
                 f"link set br-{name} up")
        port = f"{name}.lan"
        self.lab.veth(space, "lan", ether, port)
        ether.ip(f"link set {port} master br-{name}", f"link set {port} up")
        space.ip("link set lan gso_max_segs 1", "link set lan up",
                 *[f"address add {a} dev lan" for a in addresses])

    def _nat(self, name):
        space = self.lab.namespace(name)
        self._connect(space, name)
        self._make_lan(space, name, [LAN[name].replace(".0/", ".1/")])
        return NatRouter(space, "wan", "lan", self.address(name, 4), LAN[name])

    def _ipv6_access_point(self):
        space = self._router("ap_ipv6")
        self._connect(space, "ap_ipv6")
        self._make_lan(space, "ap_ipv6", [LAN["ap_ipv6"].replace("::/", "::1/") + " nodad"])
        space.spawn("advertiser", sys.executable,
                    REPOSITORY / "tests/netns/lab/router_advertiser.py", "lan", LAN["ap_ipv6"],
                    0, 10, self.resolver_address(6)).wait_log("advertising")
        return space

    def _lan_host(self, name, network, address):
        space = self.lab.namespace(name)
        ether = self.wire.space
        port = f"{name}.air"
        self.lab.veth(space, "wlan0", ether, port)
        ether.ip(f"link set {port} master br-{network}", f"link set {port} up")
        gateway = LAN[network].replace(".0/24", ".1")
        space.ip("link set wlan0 gso_max_segs 1", "link set wlan0 up",
                 f"address add {address}/24 dev wlan0", f"route add default via {gateway}")
        space.set_resolvers([self.resolver_address(4)])
        return space

    def _start_dns(self):
        def both(site, number=2):
            return [self.address(site, 4, number), self.address(site, 6, number)]

        def glue(name, addresses):
            return [f"{name} {'AAAA' if ':' in a else 'A'} {a}" for a in addresses]

        root_zone = dns.zone_text(".", "a.root.", glue("a.root.", both("root")) + dns.delegation(
            PARENT_ZONE, f"ns.{PARENT_ZONE}", both("root", PARENT_HOST)))
        records = glue("ns", both("root", PARENT_HOST))
        for child, site in (("mn", "dc_mn"), ("cn", "dc_cn"), ("plain", "www")):
            records += dns.delegation(child, f"ns1.{child}", both(site))
        parent_zone = dns.zone_text(PARENT_ZONE, "ns", records)
        plain = f"plain.{PARENT_ZONE}"
        plain_zone = dns.zone_text(plain, "ns1", glue("ns1", both("www")) +
                                   glue("www", both("www")) + glue("*.any", both("www")))
        servers = [dns.Knot(self.root, "root", both("root"), {".": root_zone}),
                   dns.Knot(self.root, "parent", both("root", PARENT_HOST),
                            {PARENT_ZONE: parent_zone}),
                   dns.Knot(self.www, "plain", both("www"), {plain: plain_zone})]
        self.resolver = dns.Unbound(self.dc_mn, both("dc_mn", RESOLVER_HOST), both("root"))
        for server in servers:
            server.wait_ready()
        self.resolver.wait_ready()
