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

from lab import core, dns, download, pcap, system, wait

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
    """Where a DC believes a terminal to be, {"ipv4": …, "ipv6": …}."""
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


# Keys and records that are not right

def _wait_problem(terminal):
    """Until the terminal's own status says that the DC is silent, which is what a DC is towards a
    key that it can't trust, and the other way round; returns the text."""
    def problem(status):
        assert not status["registered"]
        return any("does not answer" in f.get("problem", "") for f in status["families"])
    status = terminal.wait_status(problem, "the status to name the problem", "status", timeout=40)
    return [f["problem"] for f in status["families"]]


def _terminals(coordinator):
    return coordinator.ntm_json("dc", "terminal", "list")["terminals"]


@pytest.fixture
def stopped_mn(running):
    """MN on 3G with its daemon stopped; its files are put back afterwards and it runs again."""
    running.on_network("3g")
    running.mn.stop()
    folder = running.mn.folders["/var/lib/ntmobile"] / "terminal"
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    yield folder
    running.mn.stop()
    for path, content in kept.items():
        path.write_bytes(content)
    running.mn.start()
    running.mn.wait_registered()


def test_a_terminal_with_another_key_is_not_registered(running, stopped_mn):
    assert running.dc_mn.ntm_json("dc", "terminal", "show", MN)["state"] != "online"
    before = _rows(running.dc_mn)
    refused = running.dc_mn.ntm_json("dc", "status")["counters"]["refused"]
    (stopped_mn / "terminal.key").write_bytes(bytes(range(32)))
    running.mn.start()
    print(_wait_problem(running.mn))
    assert running.dc_mn.ntm_json("dc", "status")["counters"]["refused"] > refused
    assert "a key that is not the name's" in running.dc_mn.process.log()
    assert _rows(running.dc_mn) == before
    assert running.dc_mn.ntm_json("dc", "terminal", "show", MN)["state"] != "online"


def test_a_dc_with_another_key_gets_no_terminal(running, stopped_mn):
    coordinator = running.dc_mn
    data = coordinator.folders["/var/lib/ntmobile"] / "dc"
    right, wrong = data.with_name("dc.right"), data.with_name("dc.wrong")
    config = coordinator.folders["/etc/ntmobile"] / "director.toml"
    kept = config.read_text()
    coordinator.stop()
    data.rename(right)
    config.unlink()
    try:
        words = [word for a in coordinator.addresses for word in ("--address", a)]
        coordinator.ntm("dc", "init", "--zone", coordinator.zone, *words)
        config.write_text(kept)
        coordinator.start()
        assert _terminals(coordinator) == []
        # It even knows the name, with the terminal's true key to come.
        coordinator.terminal_token(MN)
        identity = (stopped_mn / "identity.json").read_bytes()
        running.mn.start()
        print(_wait_problem(running.mn))
        assert [t["state"] for t in _terminals(coordinator)] != ["online"]
        assert (stopped_mn / "identity.json").read_bytes() == identity
    finally:
        coordinator.stop()
        data.rename(wrong)
        right.rename(data)
        config.write_text(kept)
        coordinator.start()


_SNIFF = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
print("sniffing", flush=True)
while True:
    packet = s.recv(65535)
    head = (packet[0] & 15) * 4
    if packet[9] == 17 and int.from_bytes(packet[head + 2:head + 4], "big") == int(sys.argv[1]):
        print("datagram", packet.hex(), flush=True)
"""
_RESEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for line in sys.stdin:
    packet = bytearray.fromhex(line)
    packet[26:28] = b"\\0\\0"  # the UDP checksum, which the capture may have seen unfinished
    s.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
"""


def _database(coordinator):
    return coordinator.folders["/var/lib/ntmobile"] / "dc" / "dc.db"


def _rows(coordinator):
    """Everything that is stored about terminals, as SQLite has it now."""
    database = sqlite3.connect(_database(coordinator))
    rows = {table: database.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("terminal", "location", "token")}
    database.close()
    return rows


def test_a_replayed_registration_changes_nothing(running):
    world, coordinator = running.world, running.dc_mn
    running.on_network("3g")
    running.mn.stop()
    sniffer = world.dc_mn.spawn("sniffer", "python3", "-c", _SNIFF, system.PORT)
    sniffer.wait_log("sniffing")
    running.mn.start()
    running.mn.wait_registered()
    source = ipaddress.ip_address(world.address("mn_3g", 4)).packed.hex()
    captured = [line.split()[1] for line in sniffer.log().splitlines()
                if line.startswith("datagram") and line.split()[1][24:32] == source]
    sniffer.stop()
    # UDP header at 20; 0x54 is a handshake's first message, which carries the registration.
    first = [p for p in captured if p[56:58] == "54"]
    assert first, "no registration was captured"
    # The terminal has left by now: a replay that counts would bring it back to 3G.
    running.mn.stop()
    assert coordinator.ntm_json("dc", "terminal", "show", MN)["state"] != "online"
    place, rows = _place(coordinator, MN), _rows(coordinator)
    assert _replay(running, first) == _NOTHING  # known by its MAC: the kept answer again
    assert (_place(coordinator, MN), _rows(coordinator)) == (place, rows)
    # A new process keeps no answers. It opens the message and must see that it is an old one.
    coordinator.kill()
    coordinator.start()
    rows = _rows(coordinator)
    changed = _replay(running, captured)
    print(changed)
    assert changed["handshakes"] >= len(first) and changed["stale"] == len(first)
    assert changed["registrations"] == 0
    assert (_place(coordinator, MN), _rows(coordinator)) == (place, rows)
    running.mn.start()
    running.mn.wait_registered()


_NOTHING = {"handshakes": 0, "stale": 0, "registrations": 0, "refused": 0}


def _replay(running, datagrams):
    """Sends them once more; returns what the director counted. Its answer shows that it read."""
    coordinator, world = running.dc_mn, running.world
    before = coordinator.ntm_json("dc", "status")["counters"]
    trace = world.dc_mn.capture("wan")
    world.core.run("python3", "-c", _RESEND, stdin="\n".join(datagrams) + "\n")
    source = world.address("mn_3g", 4)
    wait.until(lambda: any(p.protocol == 17 and p.destination == source
                           for p in pcap.packets(trace.path)), 5, "the DC's answer to a replay")
    trace.stop()
    after = coordinator.ntm_json("dc", "status")["counters"]
    return {key: after[key] - before[key] for key in _NOTHING}


def _edit(coordinator, *statements):
    """Rewrites a stopped DC's database: what a malicious or careless zone owner can do."""
    database = sqlite3.connect(_database(coordinator))
    for statement, values in statements:
        assert database.execute(statement, values).rowcount == 1
    database.commit()
    database.close()


@pytest.fixture
def edited_dc_cn(running):
    """Edits the database of CN's zone under a stopped director; undone afterwards."""
    coordinator = running.dc_cn
    before = _rows(coordinator)["terminal"]
    zone = sqlite3.connect(_database(coordinator)).execute("SELECT pools4 FROM zone").fetchone()
    (row,) = [r for r in before if r[2] == b"example\0cn\0cn1\0"]

    def edit(virtual4, pool4=None):
        coordinator.stop()
        _edit(coordinator, ("UPDATE terminal SET virtual4 = ? WHERE id = ?", (virtual4, row[0])),
              ("UPDATE zone SET pools4 = ?", (pool4 or zone[0],)))
        coordinator.start()
        running.cn.stop()
        running.cn.start()
        running.cn.wait_registered()
        running.world.resolver.forget_name(CN)
        running.mn.ntm("forget", CN)
        running.forget_peer()
        # The two DCs may need a while to find each other again; that is not the subject here.
        wait.until(lambda: running.world.mn.space.run("ping", "-6", "-c", "1", "-W", "1", CN,
                                                      check=False).returncode == 0,
                   20, "CN to be reached by its zone's new director", interval=0.2)

    yield edit
    edit(row[3])


def _answers(space, kind):
    resolver = space.resolv_conf.read_text().split()[1]
    return [data for _, rtype, data in dns.dig(space, resolver, CN, kind)["answers"]
            if rtype == kind]


def test_a_record_that_claims_a_public_address_is_refused(running, edited_dc_cn):
    space = running.world.mn.space
    running.on_network("3g")
    assert len(_answers(space, "A")) == 1
    edited_dc_cn(bytes([8, 8, 8, 8]))
    # The zone does publish it: what follows is the terminal's doing.
    assert "8.8.8.8" in json.dumps(running.mn.ntm_json("lookup", CN))
    assert _answers(space, "A") == []
    assert len(_answers(space, "AAAA")) == 1
    interface = running.virtual_interface(space)
    assert f"dev {interface}" not in space.output("ip", "route", "get", "8.8.8.8")
    peer = _peer(running.mn, CN)
    print(peer["left_out"])
    assert any("8.8.8.8 is outside the virtual ranges" in why for why in peer["left_out"])
    assert peer["virtual"]["v4"] is None
    _ping_name(space, CN, "-6")


def test_two_zones_with_overlapping_pools_meet_over_ipv6(running, edited_dc_cn):
    space = running.world.mn.space
    running.on_network("3g")
    own = ipaddress.ip_address(_virtual(running.mn)["v4"])
    database = sqlite3.connect(_database(running.dc_mn))
    (pool,) = database.execute("SELECT pools4 FROM zone").fetchone()
    database.close()
    clash = next(a for a in ipaddress.ip_network(pool).hosts() if abs(int(a) - int(own)) > 50)
    edited_dc_cn(clash.packed, pool)
    assert _virtual(running.cn)["v4"] == str(clash)
    assert _answers(space, "A") == []
    _ping_name(space, CN)
    (address,) = _answers(space, "AAAA")
    peer = _peer(running.mn, CN)
    print(peer["left_out"])
    assert peer["virtual"] == {"v4": None, "v6": address}
    assert any(str(clash) in why and "pools overlap" in why for why in peer["left_out"])
    assert "pools overlap" in running.mn.ntm("status")


# Names

def test_names_and_types_that_do_not_exist(running):
    space = running.world.mn.space
    running.on_network("3g")
    resolver = running.world.resolver_address(4)
    for name in ("nobody.cn.example", "nobody.mn.example", "nobody.plain.example"):
        assert dns.dig(space, resolver, name, "A")["status"] == "NXDOMAIN", name
        assert f'"dns_question","name":"{name}"' in running.mn.events.read_text()  # by the stub
    for name in (CN, MN, "www.plain.example"):
        for kind in ("TXT", "MX", "TYPE65400"):
            answer = dns.dig(space, resolver, name, kind)
            assert (answer["status"], answer["answers"]) == ("NOERROR", []), (name, kind)


def test_a_dead_resolver_stops_names_but_no_tunnel(running, files):
    space = running.world.mn.space
    running.on_network("3g")
    running.forget_peer()
    _ping_name(space, CN)
    virtual = _virtual(running.mn, CN)
    resolver, process = running.world.resolver_address(4), running.world.resolver.process
    process.signal(19)  # stopped: it answers nobody, and comes back as it was
    try:
        for name in ("www.plain.example", "never-asked.any.plain.example"):
            began = time.monotonic()
            answer = dns.dig(space, resolver, name, "A", timeout=15)
            took = time.monotonic() - began
            print(f"{name}: {answer['status']} after {took:.1f} s")
            assert answer["status"] == "SERVFAIL" and took < 12
        for family in ("v4", "v6"):
            assert len(space.ping(virtual[family], count=3)) == 3
    finally:
        process.signal(18)
    wait.until(lambda: dns.dig(space, resolver, "www.plain.example")["answers"], 20,
               "ordinary names to be found again")
