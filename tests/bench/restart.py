"""1,000 terminals after the death of their director: `kill -9`, a new process at once, and the time
from its start until every terminal has opened a new session with it and is registered in it, over
each of its families. The terminals are ntm-swarm's (real engines and sockets; dual-stack, an IPv4
address and a /64 each); the director runs with PowerDNS on an on-disk database. Besides:

  enrol    all 1,000 enrol at one instant
  outage   the director comes back when all terminals have given it up and ask at long intervals
  loss     each datagram, also each hint of the restart, is lost with 1 %
  one NAT  all 1,000 have one IPv4 address, so that the director's limit of a source meets them

Round-trip time: table 3's longest way to a DC, MN on 3G.
"""

import json
import signal
import time

from lab import core, dns, sites, system, wait, wire

from .figures import Figure

ROUNDS = 5
_TERMINALS = 1000
_GOAL_MS = 3000.0
_RTT_MS = sites.TABLE_3["MN(IPv4)-DC_MN"][2]
_OUTAGES = 3
_OUTAGE_S = 40.0            # two keep-alives and their retransmissions are over by then
_LOSS = 0.01
_PATIENCE_S = 60
_ZONE = "swarm.example"
_DC = {4: "198.51.100.2", 6: "2001:db8:10::2"}
_ROUTER = {4: "198.51.100.1", 6: "2001:db8:10::1"}
_PREFIX = {4: "11.0.0.0/21", 6: "2001:db8:60::/48"}


class Swarm:
    """The terminals' host and its process."""

    def __init__(self, space, tokens, prefixes):
        self.marks = 0
        words = [word for prefix in prefixes for word in ("--addresses", prefix)]
        self.process = space.spawn("swarm", core.program("ntm-swarm"), tokens, *words)

    def _lines(self):
        if not self.process.running():
            raise RuntimeError("ntm-swarm ended: " + self.process.log()[-2000:])
        with open(self.process.log_path) as log:
            whole = log.read().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line["marks"] == self.marks]

    def mark(self):
        """Nothing of a former director is under way any more: count from zero."""
        self.marks += 1
        self.process.signal(signal.SIGUSR1)
        wait.until(self._lines, 5, "ntm-swarm to take the mark", interval=0.01)

    def wait_all(self):
        """CLOCK_BOOTTIME in s at which the last terminal was registered."""
        def complete():
            lines = self._lines()
            return lines[-1] if lines and lines[-1]["registered"] == _TERMINALS else None
        try:
            return wait.until(complete, _PATIENCE_S, "all terminals", interval=0.02)["at_us"] / 1e6
        except wait.TimedOut:
            lines = self._lines()
            raise wait.TimedOut(f"{lines[-1]['registered'] if lines else 0} of {_TERMINALS} "
                                f"terminals are registered after {_PATIENCE_S} s") from None


class Network:
    """The DC's host and the terminals' one, a link of the round-trip time between them."""

    def __init__(self, lab):
        self.dc, self.terminals = (lab.namespace(name) for name in ("dc", "terminals"))
        self._cables = wire.Wire(lab)
        self._cables.link("access", self.terminals, "wan", self.dc, "wan")
        self._cables.set("access", delay=f"{_RTT_MS / 2:.3f}ms")
        for space in (self.dc, self.terminals):
            space.sysctl("net.ipv6.conf.default.accept_dad=0", "net.ipv6.ip_nonlocal_bind=1")
        self.dc.ip(f"address add {_DC[4]}/24 dev wan", f"address add {_DC[6]}/64 dev wan nodad",
                   *[f"route add {_PREFIX[f]} via {_ROUTER[f]}" for f in (4, 6)])
        # A local route makes all addresses of the prefix this host's own.
        self.terminals.ip(f"address add {_ROUTER[4]}/24 dev wan",
                          f"address add {_ROUTER[6]}/64 dev wan nodad",
                          *[f"route add local {_PREFIX[f]} dev lo" for f in (4, 6)])
        self.terminals.wait_ping(_DC[4])

    def lose(self, share):
        self._cables.set("access", loss=share)


def _tokens(lab, coordinator):
    """A file with a token for each terminal; one shell, so that 1,000 commands take seconds."""
    path = lab.logs / "tokens"
    names = " ".join(f"t{number}" for number in range(_TERMINALS))
    path.write_text(coordinator.space.output(
        "sh", "-ec", f'for n in {names}; do "$0" dc terminal add "$n" --token-only; done',
        core.program("ntm"), timeout=300))
    return path


def _now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _check(coordinator, families):
    """What the new director itself says: every terminal has a session with it and has registered
    over each of its families since it was started."""
    listed = coordinator.ntm_json("dc", "terminal", "list")["terminals"]
    # last_seen_seconds: of its session, which does not outlive the process.
    served = sum(t["state"] == "online" and "last_seen_seconds" in t for t in listed)
    registrations = coordinator.ntm_json("dc", "status")["counters"]["registrations"]
    if served != _TERMINALS or registrations < families * _TERMINALS:
        raise RuntimeError(f"the director serves {served} of {_TERMINALS} terminals after "
                           f"{registrations} registrations")


class Run:
    """One DC and its swarm, enrolled."""

    def __init__(self, lab, prefixes):
        self.network = Network(lab)
        self._families = max(1, len(prefixes))
        self._dc = system.Coordinator(self.network.dc, _ZONE, [_DC[4], _DC[6]], _DC[4])
        self._dc.start()
        tokens = _tokens(lab, self._dc)
        started = _now()
        self._swarm = Swarm(self.network.terminals, tokens, prefixes)
        self.enrolled_ms = (self._swarm.wait_all() - started) * 1000
        _check(self._dc, self._families)

    def restart(self, down=0.0):
        """ms from the new process's start until all terminals are back."""
        self._dc.kill()
        time.sleep(max(down, 4 * _RTT_MS / 1000))  # the dead one's last answers have arrived
        self._swarm.mark()
        started = _now()
        self._dc.start_program("ntm-director", "--with-dns")
        back = self._swarm.wait_all()
        _check(self._dc, self._families)
        wait.until(lambda: dns.dig(self._dc.space, _DC[4], f"t7.{_ZONE}", "SOA",
                                   timeout=1)["status"] == "NOERROR", 20, "DNS after the restart")
        return (back - started) * 1000


def run(rounds, say):
    def figure(metric, goal=_GOAL_MS):
        return Figure("restart", metric, "ms", "lower", goal)
    enrol = figure("1,000 terminals enrol at once", None)
    killed = figure("1,000 terminals back after kill -9")
    outage = figure(f"the same after {_OUTAGE_S:.0f} s without a director")
    # No goal: who loses two datagrams in a row waits for retransmissions of up to 1 s and 2 s.
    lossy = figure(f"the same at {_LOSS:.0%} loss", None)
    one_nat = figure("1,000 behind one NAT back after kill -9")
    with core.Lab() as lab:
        spread = Run(lab, [_PREFIX[4], _PREFIX[6]])
        enrol.add(spread.enrolled_ms)
        say(f"  all enrolled in {spread.enrolled_ms:.0f} ms")
        for number in range(rounds):
            killed.add(spread.restart())
            say(f"  round {number + 1}: back {killed.samples[-1]:.0f} ms after kill -9")
        for number in range(_OUTAGES):
            outage.add(spread.restart(down=_OUTAGE_S))
            say(f"  outage {number + 1}: back {outage.samples[-1]:.0f} ms after its end")
        spread.network.lose(_LOSS)
        for number in range(rounds):
            lossy.add(spread.restart())
            say(f"  round {number + 1}: back {lossy.samples[-1]:.0f} ms, at {_LOSS:.0%} loss")
    with core.Lab() as lab:
        shared = Run(lab, [])
        for number in range(rounds):
            one_nat.add(shared.restart())
            say(f"  round {number + 1}: back {one_nat.samples[-1]:.0f} ms, behind one NAT")
    return [enrol, killed, outage, lossy, one_nat]
