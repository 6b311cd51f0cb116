"""The redirect of DNS holds for a whole conntrack entry; an entry of one side must not decide about
the other's questions when both come from the same port."""

import json
import sys

import pytest

from lab import system

MARK = 0x4E54  # the default of terminal.toml
SO_MARK = 36
# Asks the same server twice from one port: PLAIN without the stub (marked), then CN as an
# application does; or the other way round. Prints how long each took and how many answers came.
ASK = f"""
import json, socket, sys
sys.path.insert(0, sys.argv[1])
from lab import dns_probe
server, port, out = sys.argv[2], int(sys.argv[3]), []
for marked, name in zip(sys.argv[4], sys.argv[5:]):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if marked == "m":
        sock.setsockopt(socket.SOL_SOCKET, {SO_MARK}, {MARK})
    sock.bind(("", port))
    sock.settimeout(4)
    number, query = dns_probe.question(name, "A")
    sock.sendto(query, (server, 53))
    try:
        out.append(dns_probe.parse(sock.recv(2000))[1])
    except socket.timeout:
        out.append("timeout")
    sock.close()
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def running(figure7):
    made = system.System(figure7)
    made.start()
    return made


def _ask(running, port, order, *names):
    world = running.world
    return json.loads(world.mn.space.output(
        sys.executable, "-c", ASK, sys.path[0], world.resolver_address(4), port, order, *names,
        timeout=15))


def test_a_port_that_the_stub_used_does_not_lead_an_application_past_it(running):
    plain = "www.plain.example"
    passed, virtual = _ask(running, 23456, "ma", plain, system.CN_NAME)
    assert passed == [running.world.address("www", 4)]
    assert len(virtual) == 1 and running.is_virtual(virtual[0])


def test_a_port_that_an_application_used_does_not_turn_the_stub_back_to_itself(running):
    redirected, passed = _ask(running, 23457, "am", "www.plain.example", system.CN_NAME)
    assert redirected == [running.world.address("www", 4)]
    assert passed == []  # as DNS has it; the stub would have said CN's virtual address
