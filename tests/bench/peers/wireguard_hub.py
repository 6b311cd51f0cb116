"""WireGuard (wireguard-go of Debian) with a hub at RS: the usual way to reach a machine behind a
NAT at an address that never changes. MN and CN keep a tunnel to the hub, which forwards.

WireGuard roams within one address family when it has something to send. To be fair, a helper
script does the rest the moment the new address is usable: it sets the hub's address of the other
family and pings the hub, so that the hub learns the new place at once. Without the ping a download
stalls until the next keepalive (25 s, as the manual says for hosts behind NATs).
"""

import shutil

from lab import core, wait

_PORT = 51820
_HUB, _MN, _CN = "10.9.0.1", "10.9.0.2", "10.9.0.3"


class WireGuardHub:
    def __init__(self, world):
        self.world = world
        self.cn_name = _CN
        self._hub_key = None

    def start(self):
        for tool in ("wg", "wireguard-go"):
            if not shutil.which(tool):
                raise core.Unusable(f"{tool} is missing: run scripts/setup")
        world = self.world
        world.mn.space.sysctl("net.ipv6.conf.wlan0.optimistic_dad=1",
                              "net.ipv6.conf.wlan0.use_optimistic=1")
        world.mn.attach("3g")
        hosts = {"hub": world.rs, "mn": world.mn.space, "cn": world.cn}
        private = {name: space.output("wg", "genkey").strip() for name, space in hosts.items()}
        public = {name: world.rs.run("wg", "pubkey", stdin=key).stdout.strip()
                  for name, key in private.items()}
        self._hub_key = public["hub"]
        spokes = (f"[Peer]\nPublicKey={public['mn']}\nAllowedIPs={_MN}/32\n"
                  f"[Peer]\nPublicKey={public['cn']}\nAllowedIPs={_CN}/32\n")
        hub = (f"[Peer]\nPublicKey={public['hub']}\nAllowedIPs=10.9.0.0/24\n"
               f"PersistentKeepalive=25\nEndpoint={world.address('rs', 4)}:{_PORT}\n")
        for name, address, peers in (("hub", _HUB, spokes), ("mn", _MN, hub), ("cn", _CN, hub)):
            self._bring_up(hosts[name], private[name], address, peers)
        world.rs.sysctl("net.ipv4.ip_forward=1")
        world.mn.space.wait_ping(_CN)

    def _bring_up(self, space, key, address, peers):
        space.give_own_folder("/run/wireguard")
        space.spawn("wireguard", "env", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1",
                    "wireguard-go", "-f", "wg0")
        config = space.lab.logs / f"{space.name}-wg.conf"
        config.write_text(f"[Interface]\nPrivateKey={key}\nListenPort={_PORT}\n{peers}")
        wait.until(lambda: space.run("wg", "setconf", "wg0", config,
                                     check=False).returncode == 0, 10, "wireguard-go to listen")
        space.ip(f"address add {address}/24 dev wg0", "link set wg0 mtu 1400", "link set wg0 up")

    # Asked by cases.py

    def usable(self, network):
        """The helper script's reaction to the new network."""
        address = self.world.address("rs", 6 if network == "ap_ipv6" else 4)
        shown = f"[{address}]" if ":" in address else address
        self.world.mn.space.run("wg", "set", "wg0", "peer", self._hub_key, "endpoint",
                                f"{shown}:{_PORT}")
        self.world.mn.space.ping(_HUB)

    def on_network(self, network):
        mn = self.world.mn
        if mn.attached != {network}:
            mn.handover(network)
            mn.wait_usable(network)
            self.usable(network)
        mn.space.wait_ping(_CN)

    def virtual_interface(self, space):
        return "wg0"

    def mn_virtual_address(self, family):
        return _MN if family == 4 else None
