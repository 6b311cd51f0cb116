"""MN: a host with a 3G interface and a Wi-Fi interface, and its way from network to network.

What a phone's connection manager does is done here by the lab: carrier up and down, static IPv4
address and default route at attach, flush at detach, resolv.conf. IPv6 is left to the kernel
(router advertisement, SLAAC); soliciting and optimistic DAD are the terminal's job.
"""

import time

from . import wait
from .sites import LAN, SITES

_WIFI, _CELLULAR = "wlan0", "wwan0"
_INTERFACE = {"3g": _CELLULAR, "ap_ipv6": _WIFI, "ap_nat": _WIFI, "ap_nat2": _WIFI}
NETWORKS = tuple(_INTERFACE)


class MobileNode:
    """`attached` is the set of networks that MN is on; wlan0 can be on one at a time."""

    def __init__(self, world, space, lan_host=20):
        self.world, self.space = world, space
        self._lan_host = lan_host
        self.attached = set()
        self._air = f"{space.name}.air"
        # Redirects would be a second opinion on routes that the lab sets.
        space.sysctl("net.ipv4.conf.all.accept_redirects=0", "net.ipv6.conf.all.forwarding=0")
        self._make_cellular()
        self._make_wifi()

    def _make_cellular(self):
        site = SITES["mn_3g"]
        self.world.wire.link("mn_3g", self.space, _CELLULAR, self.world.core, "mn_3g")
        self.world.give_gateway("mn_3g", site)
        self.space.ip(f"link set {_CELLULAR} down")

    def _make_wifi(self):
        ether = self.world.wire.space
        self.world.lab.veth(self.space, _WIFI, ether, self._air)
        self.space.ip(f"link set {_WIFI} gso_max_segs 1")

    def address(self, network):
        """The static IPv4 address on `network`, (address, prefix length); None for IPv6 only."""
        if network == "3g":
            return SITES["mn_3g"].host(4)
        if network == "ap_ipv6":
            return None
        lan = LAN[network]
        return f"{lan.rsplit('.', 1)[0]}.{self._lan_host}", 24

    def attach(self, network):
        """Returns the moment (time.monotonic) at which the carrier came up. IPv4 is usable then;
        for IPv6 use wait_usable()."""
        if network not in _INTERFACE:
            raise ValueError(f"no network {network}; there are {', '.join(NETWORKS)}")
        interface = _INTERFACE[network]
        if any(_INTERFACE[other] == interface for other in self.attached):
            raise ValueError(f"{interface} is attached already; detach first")
        if interface == _WIFI:
            self.world.wire.space.ip(f"link set {self._air} master br-{network}",
                                     f"link set {self._air} up")
        lines = [f"link set {interface} up"]
        if static := self.address(network):
            address, length = static
            metric = 700 if interface == _CELLULAR else 600
            gateway = (SITES["mn_3g"].gateway(4)[0] if network == "3g"
                       else LAN[network].rsplit(".", 1)[0] + ".1")
            lines += [f"address add {address}/{length} dev {interface}",
                      f"route add default via {gateway} dev {interface} metric {metric}"]
        self.space.ip(*lines)
        self.attached.add(network)
        self._point_resolver()
        return time.monotonic()

    def detach(self, network):
        interface = _INTERFACE[network]
        lines = [f"address flush dev {interface}", f"link set {interface} down"]
        if interface == _WIFI:
            # The access point goes first, as when the radio link breaks.
            self.world.wire.space.ip(f"link set {self._air} down",
                                     f"link set {self._air} nomaster")
        self.space.ip(*lines)
        self.attached.discard(network)
        self._point_resolver()
        return time.monotonic()

    def handover(self, network, gap=0.0):
        """Leaves every network, is on none for `gap` seconds, attaches to `network`. Returns
        {"left", "attached"} on the monotonic clock."""
        left = None
        for old in sorted(self.attached):
            left = self.detach(old)
        wait.pause(gap)
        return {"left": left, "attached": self.attach(network)}

    def addresses(self, family, interface=None):
        """[(address, set of flags)] of global scope."""
        words = ["ip", "-o", f"-{family}", "addr", "show", "scope", "global"]
        if interface:
            words += ["dev", interface]
        found = []
        for line in self.space.output(*words).splitlines():
            parts = line.split()
            found.append((parts[3].split("/")[0], set(parts[4:])))
        return found

    def wait_usable(self, network, timeout=10):
        """Waits until an address of this network may be used as a source (with optimistic DAD
        that is at once) and there is a default route; returns the address."""
        interface = _INTERFACE[network]
        family = 6 if network == "ap_ipv6" else 4

        def usable():
            if not self.space.output("ip", f"-{family}", "route", "show", "default", "dev",
                                     interface).strip():
                return None
            for address, flags in self.addresses(family, interface):
                if "tentative" not in flags or "optimistic" in flags:
                    return address
            return None

        return wait.until(usable, timeout, f"a usable address on {network}")

    def _point_resolver(self):
        families = {6 if network == "ap_ipv6" else 4 for network in self.attached}
        self.space.set_resolvers([self.world.resolver_address(f) for f in sorted(families)])
