"""Real programs when the network is awkward or something of it dies: NATs, IPv6-only networks,
killed directors, relays and terminals, wrong keys, replays, records that lie, names that fail.

One figure 7 for all; every test begins by bringing about what it needs, and ends with everything
running again.
"""

import hashlib
import ipaddress
import json
import sqlite3
import time

import pytest

from lab import core, dns, download, sites, system, wait

MN, CN = system.MN_NAME, system.CN_NAME
RELAY_RESTART_BOUND = 15.0


@pytest.fixture(scope="module")
def running(figure7):
    made = system.System(figure7)
    began = time.monotonic()
    made.start()
    print(f"two DCs, relay, two terminals: {time.monotonic() - began:.1f} s")
    return made


@pytest.fixture(scope="module")
def files(running):
    server = download.FileServer(running.world.cn, 4)
    yield server
    server.stop()


def _selected(terminal, peer):
    """The path that carries packets to `peer`, as `ntm status --json` tells it; None if none."""
    for known in terminal.status()["peers"]:
        if known["name"] == peer:
            return next((path for path in known["paths"] if path["selected"]), None)
    return None


def _peer(terminal, name):
    return next((p for p in terminal.status()["peers"] if p["name"] == name), None)


def _ping_name(space, name, *options):
    """By the name, as a person does."""
    done = space.run("ping", "-c", "3", "-i", "0.2", "-W", "2", *options, name, check=False)
    assert " 0% packet loss" in done.stdout, done.stdout + done.stderr
    return done.stdout


def _fetch(running, files, *options):
    """A TCP transfer by an unmodified curl; returns the address that it went to."""
    target = running.world.lab.logs / "fetched"
    done = running.world.mn.space.run(
        "curl", "-sS", "--max-time", 60, *options, "-o", target, "-w", "%{remote_ip}",
        f"http://{CN}:{files.PORT}/file", timeout=90)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == files.sha256
    assert running.is_virtual(done.stdout), done.stdout
    return done.stdout


@pytest.fixture
def hard_nats(running):
    """Both NATs give every new flow another outside port, so that no hole can be punched. Flows
    that exist, as CN's with its DC, stay as they are."""
    world = running.world
    for nat in (world.nat, world.nat2):
        nat.configure(random_ports=True)
    yield
    for nat in (world.nat, world.nat2):
        nat.configure()


def _carried(running, path):
    """Bytes that the relay forwarded on one path."""
    return {p["path"]: p["bytes"] for p in running.relay.ntm_json("relay", "status")["paths"]}[path]


# Where the terminals are

def test_two_terminals_behind_the_same_nat(running, files):
    running.on_network("ap_nat")
    running.forget_peer()
    _ping_name(running.world.mn.space, CN)
    _fetch(running, files)
    path = _selected(running.mn, CN)
    print(path)
    assert path["kind"] == "direct"


def test_two_terminals_behind_different_nats_meet_at_the_relay(running, files, hard_nats):
    running.on_network("ap_nat2")
    running.forget_peer()
    _ping_name(running.world.mn.space, CN)
    _fetch(running, files)
    path = _selected(running.mn, CN)
    assert path["kind"] == "relay"
    assert path["remote"].split(":")[0] == running.world.address("rs", 4)
    wait.until(lambda: _carried(running, path["path"]) > files.size, 20,
               "the relay to count the file")


def test_an_ipv4_only_application_on_an_ipv6_only_network(running, files):
    running.on_network("ap_ipv6")
    running.forget_peer()
    interface = running.virtual_interface(running.world.mn.space)
    real = [a for a, _ in running.world.mn.addresses(4) if not running.is_virtual(a)]
    assert real == []
    address = _fetch(running, files, "-4")
    assert ipaddress.ip_address(address).version == 4
    route = running.world.mn.space.output("ip", "route", "get", address)
    assert f"dev {interface} " in route


# What dies

class _Pings:
    """One numbered echo request in 100 ms to an address, while other things happen."""

    _EVERY = 0.1

    def __init__(self, space, address, name):
        self._process = space.spawn(f"pings-{name}", "ping", "-n", "-D", "-O", "-i", self._EVERY,
                                    address)
        wait.until(lambda: self.answered(), 10, f"first answer of {address}")

    def answered(self):
        """{number: moment} of the answers so far."""
        found = {}
        for line in self._process.log().splitlines():
            if "time=" in line:
                moment = float(line[1:line.index("]")])
                found[int(line.split("icmp_seq=")[1].split()[0])] = moment
        return found

    def wait_more(self, count=5, timeout=60):
        """Until `count` further answers came."""
        there = len(self.answered())
        wait.until(lambda: len(self.answered()) >= there + count, timeout, "pings to be answered")

    def longest_silence(self):
        moments = sorted(self.answered().values())
        return max(b - a for a, b in zip(moments, moments[1:]))

    def stop(self):
        self._process.stop()
        return self.answered()


@pytest.fixture
def pings(running):
    """Starts pings that surely end with the test."""
    started = []

    def start(address, name):
        started.append(_Pings(running.world.mn.space, address, name))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def _virtual(terminal, peer=None):
    addresses = _peer(terminal, peer)["virtual"] if peer else terminal.status()["virtual"]
    assert addresses["v4"] and addresses["v6"]
    return addresses


def _place(coordinator, name):
    """Where a DC believes a terminal to be: {"ipv4": …, "ipv6": …} as `ntm dc terminal show`."""
    shown = coordinator.ntm_json("dc", "terminal", "show", name)
    return {family: shown.get(family) for family in ("ipv4", "ipv6")}


@pytest.mark.parametrize("which", ["dc_mn", "dc_cn"])
def test_a_killed_director_disturbs_no_tunnel(running, files, pings, which):
    world, coordinator = running.world, getattr(running, which)
    running.on_network("3g")
    running.forget_peer()
    _ping_name(world.mn.space, CN)
    flow = pings(_virtual(running.mn, CN)["v4"], which)
    coordinator.kill()
    flow.wait_more(10)
    _fetch(running, files)  # the name is known, the tunnel stands: no director is needed
    coordinator.start()
    flow.wait_more(10)
    numbers = flow.stop()
    assert len(numbers) == max(numbers) - min(numbers) + 1, "pings were lost"
    # Registration: a move is told to the new process, which never saw this terminal.
    assert not _place(running.dc_mn, MN)["ipv4"]["behind_nat"]
    running.on_network("ap_nat")
    wait.until(lambda: _place(running.dc_mn, MN)["ipv4"]["behind_nat"], 30,
               "MN's DC to know its new place")
    # Look-ups, with nothing of CN known to MN: they need both DCs, and CN registered at its own.
    began = time.monotonic()
    running.forget_peer()
    wait.until(lambda: world.mn.space.run("ping", "-c", "1", "-W", "1", CN, check=False)
               .returncode == 0, 60, "CN to be reached by a new tunnel", interval=0.2)
    print(f"{which}: a new tunnel {time.monotonic() - began:.1f} s after asking for it")
    _ping_name(world.mn.space, CN)


def _wait_relay_attached(running):
    """At the directors: the relay itself believes in a killed one until keep-alives fail."""
    for coordinator in (running.dc_mn, running.dc_cn):
        coordinator.wait_status(
            lambda answer: [relay["attached"] for relay in answer["relays"]] == [True],
            "the relay to be attached", "dc", "relay", "list", timeout=75)


def test_a_killed_relay_comes_back_to_its_paths(running, pings, hard_nats):
    _wait_relay_attached(running)
    running.on_network("ap_nat2")
    running.forget_peer()
    _ping_name(running.world.mn.space, CN)
    assert _selected(running.mn, CN)["kind"] == "relay"
    flow = pings(_virtual(running.mn, CN)["v4"], "relay")
    running.relay.kill()
    began = time.time()
    running.relay.start()
    wait.until(lambda: max(flow.answered().values()) > began + 0.5, RELAY_RESTART_BOUND,
               "traffic over the new relay")
    flow.wait_more(5)
    silence = flow.longest_silence()
    print(f"relay killed and started again: {silence:.2f} s without an answer")
    assert silence < RELAY_RESTART_BOUND
    assert _selected(running.mn, CN)["kind"] == "relay"
    running.relay.wait_attached(2)


def _finds(space, name):
    return bool(space.run("getent", "ahosts", name, check=False).stdout.strip())


@pytest.mark.parametrize("restore", [True, False], ids=["restored", "started-again"])
def test_a_killed_terminal_leaves_a_machine_that_can_be_put_right(running, restore):
    space = running.world.mn.space
    running.on_network("3g")
    assert _finds(space, "www.plain.example")
    before = _virtual(running.mn)
    running.mn.kill()
    # So that the rest shows something: with the stub gone the machine has no DNS.
    assert not _finds(space, "www.plain.example")
    if restore:
        space.run(core.program("ntm-terminal"), "--restore-dns")
        assert _finds(space, "www.plain.example")
        assert space.output("nft", "list", "ruleset").strip() == ""
    running.mn.start()
    running.mn.wait_registered()
    assert _finds(space, "www.plain.example")
    assert _virtual(running.mn) == before
    running.world.resolver.forget_name(CN)
    _ping_name(space, CN)
