"""The NTMobile programs on figure 7: two DCs of two owners, a relay, and the terminals MN and CN.

Everything that knows a command line of ours is in this file. The programs run with their default
paths; each host has its own /etc/ntmobile, /run/ntmobile and /var/lib/ntmobile (netns.py).
"""

import ipaddress
import json
import shutil

from . import core, dns, wait

MN_NAME, CN_NAME = "mn1.mn.example", "cn1.cn.example"
PORT = 4753
_FOLDERS = ("/etc/ntmobile", "/run/ntmobile", "/var/lib/ntmobile")
_VIRTUAL = (ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fc00::/7"))


class Host:
    """A namespace with our programs in it."""

    def __init__(self, space):
        self.space = space
        for folder in _FOLDERS:
            space.give_own_folder(folder)

    def ntm(self, *words, timeout=30):
        return self.space.output(core.program("ntm"), *words, timeout=timeout)

    def ntm_json(self, *words, timeout=30):
        return json.loads(self.ntm(*words, "--json", timeout=timeout))


class Coordinator(Host):
    """ntm-director with pdns_server as its child."""

    def __init__(self, space, zone, addresses):
        super().__init__(space)
        self.zone, self.addresses = zone, addresses
        self.process = None
        words = [word for address in addresses for word in ("--address", address)]
        self.ntm("dc", "init", zone, *words)

    def start(self):
        self.process = self.space.spawn("director", core.program("ntm-director"), "--with-dns")
        self.space.wait_listening(PORT, "udp")
        wait.until(lambda: dns.dig(self.space, self.addresses[0], self.zone, "SOA",
                                   timeout=1)["status"] == "NOERROR", 20, f"DNS of {self.zone}")

    def kill(self):
        self.process.kill()

    def terminal_token(self, name):
        return self.ntm("dc", "terminal", "add", name).split()[-1]

    def relay_token(self, name):
        return self.ntm("dc", "relay", "add", name).split()[-1]


class Relay(Host):
    def __init__(self, space, addresses):
        super().__init__(space)
        self.process = None
        quoted = ", ".join(f'"{address}"' for address in addresses)
        (space.lab.logs / f"{space.name}-etc-ntmobile" / "relay.toml").write_text(
            f"addresses = [{quoted}]\n")

    def join(self, token):
        self.ntm("relay", "join", token)

    def start(self):
        self.process = self.space.spawn("relay", core.program("ntm-relay"))
        self.space.wait_listening(PORT, "udp")


class Terminal(Host):
    def __init__(self, space, token):
        super().__init__(space)
        self.process, self._starts = None, 0
        self.ntm("join", token)

    def start(self):
        self._starts += 1
        self.process = self.space.spawn(f"terminal{self._starts}", core.program("ntm-terminal"))

    def stop(self):
        self.process.stop()

    def status(self):
        return self.ntm_json("status")

    def registered(self):
        done = self.space.run(core.program("ntm"), "status", "--json", check=False)
        return done.returncode == 0 and bool(json.loads(done.stdout).get("registered"))

    def wait_registered(self, timeout=15):
        wait.until(self.registered, timeout, f"{self.space.name} to be registered")


class System:
    """What cases.py asks of a system under test."""

    def __init__(self, world, say=lambda text: None):
        self.world, self._say = world, say
        self.cn_name = CN_NAME
        self.dc_mn = self.dc_cn = self.relay = self.mn = self.cn = None

    def start(self):
        for name in ("ntm-director", "ntm-relay", "ntm-terminal", "ntm"):
            core.program(name)  # says what to do when one is not built
        if not shutil.which("pdns_server", path="/usr/sbin"):
            raise core.Unusable("pdns_server is missing: run scripts/setup")
        self._start_infrastructure()
        self._say("two DCs answer, the relay is attached; starting the terminals")
        self.world.mn.attach("3g")
        self.mn = Terminal(self.world.mn.space, self.dc_mn.terminal_token(MN_NAME))
        self.cn = Terminal(self.world.cn, self.dc_cn.terminal_token(CN_NAME))
        for terminal in (self.mn, self.cn):
            terminal.start()
        for terminal in (self.mn, self.cn):
            terminal.wait_registered()
        self._say(f"{MN_NAME} and {CN_NAME} are registered")

    def _start_infrastructure(self):
        world = self.world
        self.dc_mn = Coordinator(world.dc_mn, "mn.example",
                                 [world.address("dc_mn", 4), world.address("dc_mn", 6)])
        self.dc_cn = Coordinator(world.dc_cn, "cn.example",
                                 [world.address("dc_cn", 4), world.address("dc_cn", 6)])
        for coordinator in (self.dc_mn, self.dc_cn):
            coordinator.start()
        self.relay = Relay(world.rs, [world.address("rs", 4), world.address("rs", 6)])
        for coordinator in (self.dc_mn, self.dc_cn):
            self.relay.join(coordinator.relay_token(f"rs.{coordinator.zone}"))
        self.relay.start()

    # Asked by cases.py

    def on_network(self, network):
        if self.world.mn.attached != {network}:
            self.world.mn.handover(network)
            self.world.mn.wait_usable(network)
        self.mn.wait_registered()

    def usable(self, network):
        """Nothing to do: the terminal sees the new network itself."""

    def forget_peer(self):
        """No tunnel, and nothing of CN's in the resolver; the delegations stay cached."""
        self.mn.stop()
        self.mn.start()
        self.mn.wait_registered()
        self.world.resolver.forget_name(CN_NAME)

    def is_virtual(self, address):
        value = ipaddress.ip_address(address)
        return any(value.version == n.version and value in n for n in _VIRTUAL)

    def virtual_interface(self, space):
        names = [line.split(":")[1].strip() for line in
                 space.output("ip", "-o", "link", "show", "type", "tun").splitlines()]
        if len(names) != 1:
            raise wait.TimedOut(f"{space.name} has {len(names)} tun interfaces, not one")
        return names[0]

    def mn_virtual_address(self, family):
        found = self.world.mn.addresses(family, self.virtual_interface(self.world.mn.space))
        return next((a for a, _ in found if self.is_virtual(a)), None)
