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
        self.folders = {path: space.give_own_folder(path) for path in _FOLDERS}
        self._starts = 0
        self.process = None

    def ntm(self, *words, timeout=30):
        return self.space.output(core.program("ntm"), *words, timeout=timeout)

    def ntm_json(self, *words, timeout=30):
        """The answer of a daemon; None while it does not answer or refuses."""
        done = self.space.run(core.program("ntm"), "--json", *words, timeout=timeout, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def start_program(self, name, *words):
        """Starts it; a second start (after a stop or kill) gets a log file of its own."""
        self._starts += 1
        serial = "" if self._starts == 1 else f"-{self._starts}"
        self.process = self.space.spawn(name.removeprefix("ntm-") + serial, core.program(name),
                                        *words)

    def wait_status(self, accept, what, *words, timeout=15):
        """Waits until the daemon's own status satisfies `accept`; returns that status."""
        def satisfied():
            if not self.process.running():
                raise RuntimeError(f"{self.process.name} of {self.space.name} ended: "
                                   + self.process.log()[-2000:])
            status = self.ntm_json(*words)
            return status if status and accept(status) else None
        return wait.until(satisfied, timeout, what, interval=0.05)

    def stop(self):
        self.process.stop()

    def kill(self):
        """As kill -9 does: nothing is told to anybody."""
        self.process.kill()


class Coordinator(Host):
    """ntm-director with pdns_server as its child."""

    def __init__(self, space, zone, addresses, resolver):
        super().__init__(space)
        self.zone, self.addresses = zone, addresses
        words = [word for address in addresses for word in ("--address", address)]
        self.parent_records = json.loads(
            self.ntm("--json", "dc", "init", "--zone", zone, *words))["parent_records"]
        # The resolver shares DC_MN's machine, so PowerDNS may not take port 53 of all addresses.
        listen = ", ".join(f'"[{a}]:53"' if ":" in a else f'"{a}:53"' for a in addresses)
        module = core.program("ntm-director").parent.parent / "lib"
        config = self.folders["/etc/ntmobile"] / "director.toml"
        config.write_text(f'resolvers = ["{resolver}"]\n[dns]\nlisten = [{listen}]\n'
                          f'module_dir = "{module}"\n')

    def start(self):
        self.start_program("ntm-director", "--with-dns")
        self.wait_status(lambda status: True, f"the director of {self.zone}", "dc", "status")
        wait.until(lambda: dns.dig(self.space, self.addresses[0], self.zone, "SOA",
                                   timeout=1)["status"] == "NOERROR", 20, f"DNS of {self.zone}")

    def terminal_token(self, name):
        return self.ntm("dc", "terminal", "add", name, "--token-only").strip()

    def relay_token(self, name):
        return self.ntm("dc", "relay", "add", name, "--token-only").strip()


class Relay(Host):
    def __init__(self, space, addresses):
        super().__init__(space)
        quoted = ", ".join(f'"{address}"' for address in addresses)
        (self.folders["/etc/ntmobile"] / "relay.toml").write_text(f"addresses = [{quoted}]\n")

    def start(self):
        self.start_program("ntm-relay")
        self.wait_status(lambda status: True, "the relay", "relay", "status")

    def join(self, token):
        self.ntm("relay", "join", token)

    def wait_attached(self, count):
        def attached(status):
            return sum(dc["state"] == "attached" for dc in status["dcs"]) == count
        return self.wait_status(attached, f"the relay to be attached to {count} DCs", "relay",
                                "status")


class Terminal(Host):
    def __init__(self, space, token):
        super().__init__(space)
        self.ntm("join", token)
        # The protocol's steps, for whoever has to find out why a run was slow.
        self.events = space.lab.logs / f"{space.name}-events.jsonl"
        config = self.folders["/etc/ntmobile"] / "terminal.toml"
        config.write_text(f'event_log = "{self.events}"\n' + config.read_text())

    def start(self):
        self.start_program("ntm-terminal")

    def status(self):
        return self.ntm_json("status")

    def wait_registered(self, timeout=15):
        return self.wait_status(lambda status: status.get("registered"),
                                f"{self.space.name} to be registered", "status", timeout=timeout)


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
        self.start_infrastructure()
        self._say("two DCs answer, the relay is attached; starting the terminals")
        self.world.mn.attach("3g")
        self.mn = Terminal(self.world.mn.space, self.dc_mn.terminal_token(MN_NAME))
        self.cn = Terminal(self.world.cn, self.dc_cn.terminal_token(CN_NAME))
        for terminal in (self.mn, self.cn):
            terminal.start()
        for terminal in (self.mn, self.cn):
            terminal.wait_registered()
        self._say(f"{MN_NAME} and {CN_NAME} are registered")

    def start_infrastructure(self):
        """Two DCs and the relay that both use, without terminals."""
        world = self.world
        self.dc_mn, self.dc_cn = (
            Coordinator(space, zone, [world.address(site, 4), world.address(site, 6)],
                        world.resolver_address(4))
            for space, zone, site in ((world.dc_mn, "mn.example", "dc_mn"),
                                      (world.dc_cn, "cn.example", "dc_cn")))
        self.relay = Relay(world.rs, [world.address("rs", 4), world.address("rs", 6)])
        self.relay.start()
        for coordinator in (self.dc_mn, self.dc_cn):
            coordinator.start()
            self.relay.join(coordinator.relay_token("rs"))
        self.relay.wait_attached(2)

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
