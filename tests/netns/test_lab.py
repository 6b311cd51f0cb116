"""The lab itself: if these fail, no other netns result means anything."""

import hashlib
import json
import statistics

import pytest

from lab import dns, sites, wait


@pytest.fixture(scope="module")
def stand_ins(figure7):
    return figure7.start_stand_in_dns()


def _round_trip(figure7, site_a, site_b):
    """Measured from the first site (a NAT's hosts can only ask, not be asked)."""
    if "ap_nat" in (site_a, site_b):
        other = site_b if site_a == "ap_nat" else site_a
        space, target = figure7.cn, figure7.address(other, 4)
    elif site_a == "mn_3g":
        space, target = figure7.mn.space, figure7.address(site_b, 4)
    elif site_a == "ap_ipv6":
        space, target = figure7.mn.space, figure7.address(site_b, 6)
    else:
        space, target = getattr(figure7, site_a), figure7.address(site_b, 4)
    space.wait_ping(target)  # neighbours are resolved now
    return statistics.median(space.ping(target, count=7, interval=0.02))


def _move(figure7, network):
    mn = figure7.mn
    if mn.attached != {network}:
        mn.handover(network)
        mn.wait_usable(network)


@pytest.mark.parametrize("pair", sites.TABLE_3)
def test_round_trips_are_those_of_table_3(figure7, pair):
    site_a, site_b, expected = sites.TABLE_3[pair]
    if "mn_3g" in (site_a, site_b):
        _move(figure7, "3g")
    elif "ap_ipv6" in (site_a, site_b):
        _move(figure7, "ap_ipv6")
    measured = _round_trip(figure7, site_a, site_b)
    print(f"{pair}: asked {expected} ms, measured {measured:.2f} ms")
    assert abs(measured - expected) < 1.0
    assert abs(measured / expected - 1) < 0.03


def test_resolver_follows_delegations_from_the_labs_root(figure7, stand_ins):
    _move(figure7, "3g")
    resolver = figure7.resolver_address(4)
    for zone, site in (("mn", "dc_mn"), ("cn", "dc_cn")):
        answer = dns.dig(figure7.mn.space, resolver, f"host.{zone}.example", "AAAA")
        assert answer["status"] == "NOERROR"
        assert answer["answers"] == [(f"host.{zone}.example.", "AAAA", figure7.address(site, 6))]
        missing = dns.dig(figure7.mn.space, resolver, f"nobody.{zone}.example")
        assert missing["status"] == "NXDOMAIN"


def test_parent_only_refers(figure7, stand_ins):
    parent = figure7.address("root", 4, sites.PARENT_HOST)
    referral = dns.dig(figure7.dc_mn, parent, "host.cn.example", "A", options=["+norecurse"])
    assert referral["answers"] == []
    assert ("cn.example.", "NS", "ns1.cn.example.") in referral["authority"]


def test_applications_find_ordinary_names_on_both_kinds_of_network(figure7):
    web = figure7.www.spawn("http", "python3", "-m", "http.server", "80", "--bind", "::",
                            "--directory", str(figure7.lab.logs / "www-files"))
    content = bytes(range(256)) * 4096
    (figure7.lab.logs / "www-files").mkdir()
    (figure7.lab.logs / "www-files" / "file").write_bytes(content)
    figure7.www.wait_listening(80)
    for network in ("3g", "ap_ipv6", "ap_nat"):
        _move(figure7, network)
        target = figure7.lab.logs / f"fetched-{network}"
        figure7.mn.space.run("curl", "-sS", "-o", target, "http://www.plain.example/file")
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()
    web.stop()


def _seen_by(server, address, source_port, port, sender):
    """Source that `server` sees of a datagram from sender:source_port."""
    log = server.spawn(f"seen-{sender.name}-{port}", "python3", "-u", "-c", (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.bind(('{address}', {port}))\n"
        "print('bound')\n"
        "print('from', *s.recvfrom(100)[1])\n"))
    log.wait_log("bound")
    sender.run("python3", "-c", (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.bind(('0.0.0.0', {source_port}))\n"
        f"s.sendto(b'x', ('{address}', {port}))\n"))
    log.wait_log("from ")
    host, source = log.log().split("from ")[1].split()
    return host, int(source)


def test_nat_keeps_or_randomises_ports_and_lets_nothing_in(figure7):
    rs_address = figure7.address("rs", 4)
    outside = figure7.address("ap_nat", 4)
    assert _seen_by(figure7.rs, rs_address, 40000, 5001, figure7.cn) == (outside, 40000)
    figure7.nat.configure(random_ports=True)
    figure7.nat.forget()
    ports = [_seen_by(figure7.rs, rs_address, 40000, port, figure7.cn)[1]
             for port in (5002, 5003, 5004)]
    figure7.nat.configure()
    figure7.nat.forget()
    assert len(set(ports)) == 3 and 40000 not in ports
    assert figure7.rs.ping(sites.LAN["ap_nat"].replace(".0/24", ".10")) == []


def test_static_hairpin_reaches_a_neighbour_by_the_outside_address(figure7):
    _move(figure7, "ap_nat")
    figure7.nat.configure(hairpin=True)
    figure7.nat.forward("tcp", 8088, "192.168.1.10", 8088)
    server = figure7.cn.spawn("hairpin", "python3", "-m", "http.server", "8088")
    figure7.cn.wait_listening(8088)
    code = figure7.mn.space.output("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                   f"http://{figure7.address('ap_nat', 4)}:8088/")
    server.stop()
    figure7.nat.configure()
    assert code == "200"


@pytest.mark.parametrize("gap", [0, 0.3])
@pytest.mark.parametrize("start, end", [("3g", "ap_ipv6"), ("ap_ipv6", "3g"),
                                        ("ap_nat", "ap_nat2")])
def test_handover_of_a_plain_host(figure7, start, end, gap):
    _move(figure7, start)
    moved = figure7.mn.handover(end, gap)
    assert moved["attached"] - moved["left"] >= gap
    address = figure7.mn.wait_usable(end)
    family = 6 if end == "ap_ipv6" else 4
    figure7.mn.space.wait_ping(figure7.address("rs", family))
    assert figure7.mn.space.ping(figure7.address("rs", 10 - family)) == []
    if end == "ap_ipv6":
        assert address.startswith(sites.LAN["ap_ipv6"].split("::")[0])


def test_cut_and_loss_are_what_was_asked(figure7):
    target = figure7.address("rs", 4)
    figure7.dc_mn.wait_ping(target)
    figure7.wire.set("rs", "both", cut=1)
    assert figure7.dc_mn.ping(target, timeout=3) == []
    figure7.wire.set("rs", "both", cut=0)
    figure7.dc_mn.wait_ping(target)
    figure7.wire.command("seed 7")
    figure7.wire.set("rs", "ba", loss=0.3)
    answers = len(figure7.dc_mn.ping(target, count=400, interval=0.002))
    figure7.wire.set("rs", "ba", loss=0)
    # 400 draws at 0.3 (ARP counts too): six standard deviations are 55.
    assert abs(answers - 280) < 56


def test_corruption_is_caught_by_checksums(figure7):
    """Veth leaves checksums undone; a flipped bit must not slip through for that reason."""
    receiver = figure7.www.spawn("corrupt", "python3", "-u", "-c", (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.bind(('0.0.0.0', 9009))\n"
        "s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)\n"  # SO_RCVBUFFORCE: the burst fits
        "seen = bad = 0\n"
        "while (data := s.recv(2000)) != b'end' * 9:\n"
        "    seen += 1\n"
        "    bad += data != b'payload' * 50\n"
        "print('seen', seen, 'bad', bad)\n"))
    figure7.www.wait_listening(9009, "udp")
    figure7.wire.set("www", "ba", corrupt=0.2)
    before = figure7.wire.stats()["www"]["ba"]
    _send_datagrams(figure7, b"payload" * 50, 300)

    def all_passed():
        after = figure7.wire.stats()["www"]["ba"]
        return after if after["frames"] - before["frames"] >= 300 else None

    corrupted = wait.until(all_passed, 5, "300 frames on the link")["corrupted"]
    corrupted -= before["corrupted"]
    figure7.wire.set("www", "ba", corrupt=0)
    _send_datagrams(figure7, b"end" * 9, 1)
    receiver.wait_log("seen")
    _, seen, _, bad = receiver.log().split()
    assert 30 < corrupted < 95
    # A flip in the Ethernet or IP header's don't-care bits may still arrive whole.
    assert 300 - corrupted <= int(seen) <= 300 - corrupted / 2
    assert int(bad) == 0


def _send_datagrams(figure7, payload, count):
    figure7.dc_mn.run("python3", "-c", (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for i in range({count}):\n"
        f"    s.sendto({payload!r}, ('{figure7.address('www', 4)}', 9009))\n"))


def test_rate_limits_tcp(figure7):
    figure7.wire.set("www", "both", rate="20mbit")
    server = figure7.www.spawn("iperf3", "iperf3", "-s", "-1")
    figure7.www.wait_listening(5201)
    report = json.loads(figure7.dc_mn.output("iperf3", "-J", "-t", "3", "-O", "1", "-c",
                                             figure7.address("www", 4)))
    server.wait(10)
    figure7.wire.set("www", "both", rate="0bit")
    rate = report["end"]["sum_received"]["bits_per_second"] / 1e6
    assert 16 < rate < 20.5
