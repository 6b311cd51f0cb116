"""The link emulator from Python: starts ntm-labwire in the namespace that holds all cables, lays
cables, and changes them while traffic runs. Commands: tests/netns/wire/switchboard.hpp."""

import json
import socket

from . import core, wait


class WireError(RuntimeError):
    pass


class Wire:
    """All links of one lab. The two ends of a link are called A (the site) and B (the core)."""

    def __init__(self, lab, seed=1):
        self.lab = lab
        self.space = lab.namespace("ether")
        # This namespace only carries frames; its own IP stack stays silent.
        self.space.sysctl("net.ipv6.conf.all.disable_ipv6=1",
                          "net.ipv6.conf.default.disable_ipv6=1")
        self.space.run("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do "
                       "[ -e $f ] && echo 0 > $f; done; true")
        path = lab.logs / "wire.sock"
        self.process = self.space.spawn("labwire", core.program("ntm-labwire"), path)
        self._socket = wait.until(lambda: self._connect(path), 5, "ntm-labwire to listen")
        self._replies = self._socket.makefile("r")
        self.command(f"seed {seed}")

    def _connect(self, path):
        if not self.process.running():
            raise WireError("ntm-labwire ended: " + self.process.log())
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            connection.close()
            return None

    def command(self, line):
        self._socket.sendall(line.encode() + b"\n")
        reply = self._replies.readline().strip()
        if not reply or reply.startswith("error"):
            raise WireError(f"`{line}`: {reply or 'ntm-labwire has ended'}")
        return reply

    def link(self, name, space_a, interface_a, space_b, interface_b, whole_gso=False):
        """A cable with the emulator in its middle. With whole_gso, segmentation-offload packets
        cross in one piece (throughput); without, the link carries packets of the MTU (loss,
        rates and captures mean what they mean on a real wire)."""
        end_a, end_b = f"{name}.a", f"{name}.b"
        self.lab.veth(space_a, interface_a, self.space, end_a)
        self.lab.veth(space_b, interface_b, self.space, end_b)
        if not whole_gso:
            space_a.ip(f"link set {interface_a} gso_max_segs 1")
            space_b.ip(f"link set {interface_b} gso_max_segs 1")
        self.space.ip(f"link set {end_a} up", f"link set {end_b} up")
        self.command(f"link {name} {end_a} {end_b}")
        space_a.ip(f"link set {interface_a} up")
        space_b.ip(f"link set {interface_b} up")

    def set(self, name, direction="both", **settings):
        """wire.set("ap_nat", "ab", delay="10ms", loss=0.01, rate="20mbit", cut=1)"""
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        self.command(f"set {name} {direction} {words}")

    def pair(self, prefix_a, prefix_b, rtt_ms):
        """Round-trip time between two prefixes, half of it each way."""
        one_way = f"{rtt_ms / 2:.6f}ms"
        self.command(f"pair {prefix_a} {prefix_b} {one_way}")
        self.command(f"pair {prefix_b} {prefix_a} {one_way}")

    def stats(self):
        return json.loads(self.command("stats"))
