"""The module's answers through a real pdns_server: types, existence, policy, transfers."""

import subprocess

import dns.flags
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

import serving
from serving import NTMV4, NTMV6

ONLINE = "location 3 {} v4=203.0.113.5:40000 v6=[2001:db8::5]:40000"


def ntm4(real, port, virtual, outside="0.0.0.0", outside_port=0, flags=0):
    """The fixed fields of an NTMv4 record."""
    def address(text):
        return bytes(int(part) for part in text.split("."))
    return (bytes([1, flags]) + address(real) + port.to_bytes(2, "big") + address(virtual)
            + address(outside) + outside_port.to_bytes(2, "big")
            + address("192.0.2.53") + (4753).to_bytes(2, "big"))


def rdata(server, owner, kind):
    reply = server.ask(owner, kind)
    return [item.data for rrset in reply.answer for item in rrset if rrset.rdtype == kind]


def test_terminal_online(server, store):
    store.commit(ONLINE.format(1))
    assert server.values("mn.example.org", "A") == ["203.0.113.5"]
    assert server.values("mn.example.org", "AAAA") == ["2001:db8::5"]
    [record] = rdata(server, "mn.example.org", NTMV4)
    assert record.startswith(ntm4("203.0.113.5", 40000, "198.18.0.3", "203.0.113.5", 40000))
    assert bytes.fromhex(serving.KEY) in record and bytes.fromhex(serving.DC_KEY) in record
    [record] = rdata(server, "mn.example.org", NTMV6)
    assert record[2:18] == bytes.fromhex("20010db8000000000000000000000005")
    assert record[20:36] == bytes.fromhex("fd123456789a00000000000000000003")
    for kind in ("A", "AAAA", NTMV4, NTMV6):
        reply = server.ask("mn.example.org", kind)
        assert [rrset.ttl for rrset in reply.answer] == [0]
        assert reply.flags & dns.flags.AA


def test_terminal_behind_nat(server, store):
    behind = "location 3 {} v4=10.0.0.2:40000 out4=203.0.113.9:50000 nat4"
    store.commit(behind.format(1))
    assert server.values("mn.example.org", "A") == []
    [record] = rdata(server, "mn.example.org", NTMV4)
    assert record.startswith(ntm4("10.0.0.2", 40000, "198.18.0.3", "203.0.113.9", 50000, 0x80))
    serving.example_zone_settings(store, "publish=outside")
    assert server.values("mn.example.org", "A") == ["203.0.113.9"]


def test_terminal_offline_and_private(server, store):
    store.commit(ONLINE.format(1))
    store.commit("offline 3 1")
    assert server.values("mn.example.org", "A") == []
    [record] = rdata(server, "mn.example.org", NTMV4)
    assert record.startswith(ntm4("0.0.0.0", 0, "198.18.0.3"))
    store.commit(ONLINE.format(2) + " private")
    assert server.values("mn.example.org", "AAAA") == []
    [record] = rdata(server, "mn.example.org", NTMV4)
    assert record.startswith(ntm4("0.0.0.0", 0, "198.18.0.3", flags=0x40))


def test_terminal_comes_and_goes(server, store):
    assert server.ask("new.example.org", "A").rcode() == dns.rcode.NXDOMAIN
    store.commit(f"terminal 4 7 new.example.org 198.18.0.4 - {serving.OTHER_KEY}")
    assert server.ask("new.example.org", "A").rcode() == dns.rcode.NOERROR
    assert server.values("new.example.org", "A") == []
    store.commit("location 4 1 v4=203.0.113.44:40000")
    assert server.values("new.example.org", "A") == ["203.0.113.44"]
    store.commit("gone 4")
    assert server.ask("new.example.org", "A").rcode() == dns.rcode.NXDOMAIN


def test_ordinary_rows(server):
    assert server.values("www.example.org", "A") == ["192.0.2.80", "192.0.2.81"]
    assert server.values("example.org", "NS") == ["ns.example.org."]
    reply = server.ask("www.example.org", "A")
    assert [rrset.ttl for rrset in reply.answer] == [300]


def test_any_is_all_types_over_tcp_and_truncated_over_udp(server, store):
    store.commit(ONLINE.format(1))
    reply = server.ask("mn.example.org", "ANY", tcp=True)
    assert {rrset.rdtype for rrset in reply.answer} == {1, 28, NTMV4, NTMV6}
    assert server.ask("mn.example.org", "ANY").flags & dns.flags.TC


def test_soa_has_the_zones_serial_and_minimum_zero(server, store):
    [before] = server.values("example.org", "SOA")
    assert before == "ns.example.org. hostmaster.example.org. 1 3600 600 604800 0"
    store.record("other.example.org", "A", "192.0.2.1")
    store.commit("bump 7")
    [after] = server.values("example.org", "SOA")
    assert after == "ns.example.org. hostmaster.example.org. 2 3600 600 604800 0"


def test_svcb_of_the_dc(server, store):
    [record] = server.values("_ntm._udp.example.org", "SVCB")
    assert record.startswith("1 . ")
    for part in ('port="4753"', 'ipv4hint="192.0.2.53"', 'ipv6hint="2001:db8::53"', "key65344=",
                 "key65345="):
        assert part in record
    assert server.values("_ntm._udp.example.org", "A") == ["192.0.2.53"]
    serving.example_zone_settings(store, "", dc="198.51.100.7:53")
    [record] = server.values("_ntm._udp.example.org", "SVCB")
    assert 'port="53" ipv4hint="198.51.100.7"' in record


def test_nxdomain_and_nodata(server):
    absent = server.ask("absent.example.org", "A")
    assert absent.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.rdtype for rrset in absent.authority] == [dns.rdatatype.SOA]
    assert absent.authority[0].ttl == 0
    nodata = server.ask("www.example.org", "AAAA")
    assert nodata.rcode() == dns.rcode.NOERROR and not nodata.answer
    assert server.ask("x.mn.example.org", "A").rcode() == dns.rcode.NXDOMAIN
    assert server.ask("example.net", "A").rcode() == dns.rcode.REFUSED


def test_empty_non_terminals(server):
    for owner in ("deep.example.org", "wild.example.org", "_udp.example.org"):
        reply = server.ask(owner, "A")
        assert reply.rcode() == dns.rcode.NOERROR and not reply.answer, owner
    assert server.values("a.deep.example.org", "TXT") == ['"deep"']


def test_wildcards(server, store):
    assert server.values("x.wild.example.org", "TXT") == ['"wild"']
    assert server.values("x.y.wild.example.org", "TXT") == ['"wild"']
    assert server.ask("x.wild.example.org", "A").rcode() == dns.rcode.NOERROR
    # A terminal's name exists, so no wildcard stands in for what it does not have.
    store.commit(f"terminal 5 7 mn.wild.example.org 198.18.0.5 - {serving.OTHER_KEY}")
    assert server.values("mn.wild.example.org", "TXT") == []
    assert len(rdata(server, "mn.wild.example.org", NTMV4)) == 1


def test_names_ignore_case_and_answers_keep_it(server, store):
    store.commit(ONLINE.format(1))
    reply = server.ask("mN.ExAmPlE.oRg", "A")
    assert reply.question[0].name.to_text() == "mN.ExAmPlE.oRg."
    assert reply.answer[0].name.to_text() == "mN.ExAmPlE.oRg."
    assert server.values("WWW.EXAMPLE.ORG", "A") == ["192.0.2.80", "192.0.2.81"]


def test_cname_to_a_terminal(server, store):
    store.commit(ONLINE.format(1))
    reply = server.ask("alias.example.org", "A")
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]


def test_delegation(server):
    reply = server.ask("x.sub.example.org", "A")
    assert not reply.answer and not reply.flags & dns.flags.AA
    assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.NS]
    assert reply.additional[0].to_text().endswith("192.0.2.99")


def test_axfr_has_everything_once(server, store):
    store.commit(ONLINE.format(1))
    store.record("off.example.org", "A", "192.0.2.200", verb="disabled")
    messages = dns.query.xfr("127.0.0.1", "example.org", port=server.port, relativize=False)
    rows = sorted((rrset.name.to_text(), rrset.rdtype, item.to_text())
                  for message in messages for rrset in message.answer for item in rrset)
    soa = [row for row in rows if row[1] == dns.rdatatype.SOA]
    assert len(soa) == 2 and soa[0] == soa[1]
    rows = [row for row in rows if row[1] != dns.rdatatype.SOA]
    assert len(rows) == len(set(rows))
    assert {(owner, kind) for owner, kind, _ in rows} == {
        ("example.org.", 2), ("ns.example.org.", 1), ("www.example.org.", 1),
        ("alias.example.org.", 5), ("a.deep.example.org.", 16), ("*.wild.example.org.", 16),
        ("sub.example.org.", 2), ("ns.sub.example.org.", 1),
        ("mn.example.org.", 1), ("mn.example.org.", 28), ("mn.example.org.", NTMV4),
        ("mn.example.org.", NTMV6), ("_ntm._udp.example.org.", 64), ("_ntm._udp.example.org.", 1),
        ("_ntm._udp.example.org.", 28)}
    assert ("mn.example.org.", 1, "203.0.113.5") in rows


def test_several_zones_and_a_new_one_at_once(server, store):
    assert server.ask("www.example.com", "A").rcode() == dns.rcode.REFUSED
    store.commit("zone 8 example.com terminals=no serial=5")
    store.record("example.com", "SOA", "ns.example.org. h.example.org. 0 1 2 3 77", zone=8)
    store.record("www.example.com", "A", "192.0.2.8", zone=8)
    assert server.values("www.example.com", "A") == ["192.0.2.8"]
    [soa] = server.values("example.com", "SOA")
    assert soa.endswith(" 5 1 2 3 77")  # no terminals: its own minimum
    assert server.ask("_ntm._udp.example.com", "SVCB").rcode() == dns.rcode.NXDOMAIN
    # A child zone of ours below a zone of ours.
    store.commit("zone 9 lab.example.org terminals=no")
    store.record("lab.example.org", "SOA", "ns.example.org. h.example.org. 0 1 2 3 4", zone=9)
    store.record("pc.lab.example.org", "A", "192.0.2.9", zone=9)
    assert server.values("pc.lab.example.org", "A") == ["192.0.2.9"]


def test_the_zone_cache_and_the_other_caches_may_be_on(folder, store):
    """An administrator's own pdns.conf: location records stay out of every cache."""
    serving.example_zone(store)
    settings = {"cache-ttl": "20", "query-cache-ttl": "20", "zone-cache-refresh-interval": "300"}
    store.commit(ONLINE.format(1))
    with serving.Server(folder, store.directory, settings) as server:
        for counter in range(2, 40):
            store.commit(f"location 3 {counter} v4=203.0.113.{counter}:40000")
            assert server.values("mn.example.org", "A") == [f"203.0.113.{counter}"]
            assert server.values("mn.example.org", "AAAA") == []
            [record] = rdata(server, "mn.example.org", NTMV4)
            assert record[5] == counter
            store.commit(f"offline 3 {counter}")
            assert server.values("mn.example.org", "A") == []


def test_pdnsutil_knows_the_types(server, store):
    store.commit(ONLINE.format(1))
    out = subprocess.run(["pdnsutil", f"--config-dir={server.folder}", "list-zone", "example.org"],
                         capture_output=True, text=True, check=True).stdout
    assert "mn.example.org\t0\tIN\tNTMV4\t\\# " in out
    assert "mn.example.org\t0\tIN\tA\t203.0.113.5" in out
    out = subprocess.run(["pdnsutil", f"--config-dir={server.folder}", "list-all-zones"],
                         capture_output=True, text=True, check=True).stdout
    assert out.split() == ["example.org"]


@pytest.mark.parametrize("kind", ["NTMV4", "A"])
def test_dig_shows_the_record(server, store, kind):
    """An independent client, with the RFC 3597 form of the type."""
    store.commit(ONLINE.format(1))
    name = {"NTMV4": "TYPE65341"}.get(kind, kind)
    command = ["dig", "@127.0.0.1", "-p", str(server.port), "+norec", "+short"]
    out = subprocess.run([*command, "mn.example.org", name], capture_output=True, text=True,
                         check=True).stdout
    assert out.startswith("\\# " if kind == "NTMV4" else "203.0.113.5"), out
