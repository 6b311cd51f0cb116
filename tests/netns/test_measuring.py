"""The instruments, on plain networks where the right reading is known."""

import json
import sys

from lab import core, netmonitor, pcap, wait

LAB = core.REPOSITORY / "tests/netns/lab"


# What a terminal does when it sees the carrier: ask for the router at once (the kernel waits for
# the link-local address to be proved unique, and a random delay).
SOLICIT = """
import socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex("wlan0")
for _ in range(100):
    try:
        s.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), ("ff02::2", 0, 0, index))
        break
    except OSError:
        time.sleep(0.005)
"""


def _usable_after(figure7, network, interface, solicit=False):
    monitor = netmonitor.NetMonitor(figure7.mn.space)
    moved = figure7.mn.handover(network)
    wall = core.wall_clock(moved["attached"])
    if solicit:
        figure7.mn.space.run(sys.executable, "-c", SOLICIT)
    figure7.mn.wait_usable(network)
    usable = wait.until(lambda: monitor.usable_since(interface, wall - 0.5), 5, "the event")
    monitor.stop()
    return usable - wall


def test_usable_moment_is_the_kernels_word(figure7):
    """Late with duplicate address detection, early with optimism and a solicitation, at once for
    a static IPv4 address."""
    figure7.mn.space.sysctl("net.ipv6.conf.wlan0.optimistic_dad=0")
    plain = _usable_after(figure7, "ap_ipv6", "wlan0")
    static = _usable_after(figure7, "3g", "wwan0")
    figure7.mn.space.sysctl("net.ipv6.conf.wlan0.optimistic_dad=1",
                            "net.ipv6.conf.wlan0.use_optimistic=1")
    optimistic = _usable_after(figure7, "ap_ipv6", "wlan0", solicit=True)
    print(f"plain {plain * 1000:.0f} ms, optimistic {optimistic * 1000:.0f} ms, "
          f"static IPv4 {static * 1000:.0f} ms after the carrier")
    assert plain > 0.9
    assert optimistic < 0.5
    assert abs(static) < 0.2


def test_stream_counts_exactly_what_a_cut_took(figure7):
    target = figure7.address("rs", 4)
    figure7.dc_mn.wait_ping(target)
    receiver = figure7.rs.spawn("stream", sys.executable, LAB / "udp_stream.py", "receive",
                                target, 7000)
    receiver.wait_log("receiving")
    before = figure7.wire.stats()["rs"]["ba"]["cut"]
    sender = figure7.dc_mn.spawn("stream", sys.executable, LAB / "udp_stream.py", "send", target,
                                 7000, 10)
    sender.wait_log("sending")
    wait.pause(0.3)
    figure7.wire.set("rs", "ba", cut=1)
    wait.pause(0.4)
    cut = figure7.wire.stats()["rs"]["ba"]["cut"] - before
    figure7.wire.set("rs", "ba", cut=0)
    wait.pause(0.3)
    sender.signal(15)
    sender.wait(10)
    receiver.wait(10)
    result = json.loads(receiver.log().splitlines()[-1])
    print(result, "cut frames", cut)
    assert 30 <= result["lost"] <= 50
    assert cut <= result["lost"] <= cut + 2
    assert result["twice"] == 0


def test_tcp_stall_is_found_in_a_capture(figure7):
    files = figure7.lab.logs / "stall"
    files.mkdir()
    (files / "big").write_bytes(bytes(6_000_000))
    server = figure7.www.spawn("http-stall", "python3", "-m", "http.server", "8085",
                               "--directory", str(files))
    figure7.www.wait_listening(8085)
    figure7.wire.set("www", "both", rate="20mbit")
    capture = figure7.dc_mn.capture("wan")
    curl = figure7.dc_mn.spawn("curl", "curl", "-sS", "-o", "/dev/null",
                               f"http://{figure7.address('www', 4)}:8085/big")
    wait.pause(0.8)
    begin = core.wall_clock()
    figure7.wire.set("www", "both", cut=1)
    wait.pause(0.5)
    figure7.wire.set("www", "both", cut=0)
    end = core.wall_clock()
    assert curl.wait(30) == 0
    server.stop()
    figure7.wire.set("www", "both", rate="0bit")
    progress = pcap.tcp_progress(capture.stop(), 8085)
    silence, since = progress.longest_silence(begin, end)
    print(f"cut for {end - begin:.3f} s, silent for {silence:.3f} s")
    assert silence >= end - begin - 0.02 and since < end
    assert silence < 2.5
    assert progress.stall_after(end) is not None
    assert progress.repeated_bytes < 6_000_000


def test_dns_probe_times_one_question(figure7):
    mn = figure7.mn
    mn.handover("3g")
    mn.wait_usable("3g")
    # Once to fill the resolver's cache, then one round trip to it (the best of some: the machine
    # has other things to do).
    answers = [json.loads(mn.space.output(sys.executable, LAB / "dns_probe.py",
                                          "www.plain.example", "A")) for _ in range(6)]
    assert all(a["answers"] == [figure7.address("www", 4)] for a in answers)
    assert 122.9 - 1 < min(a["ms"] for a in answers[1:]) < 122.9 + 8
