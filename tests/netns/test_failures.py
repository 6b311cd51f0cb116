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
