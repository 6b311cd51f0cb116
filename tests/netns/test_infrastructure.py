"""DCs and relay on figure 7, before any terminal: delegation, records, attachment, restarts."""

import pytest

from lab import dns, system


@pytest.fixture(scope="module")
def infrastructure(figure7):
    made = system.System(figure7)
    made.start_infrastructure()
    return made


def test_init_asks_for_the_delegation_that_the_parent_has(figure7, infrastructure):
    for coordinator in (infrastructure.dc_mn, infrastructure.dc_cn):
        text = "\n".join(coordinator.parent_records)
        assert f"{coordinator.zone}." in text and " NS " in f" {' '.join(text.split())} "
        for address in coordinator.addresses:
            assert address in text


def test_the_resolver_finds_each_dc_by_delegation(figure7, infrastructure):
    figure7.mn.handover("3g")
    resolver = figure7.resolver_address(4)
    for coordinator in (infrastructure.dc_mn, infrastructure.dc_cn):
        soa = dns.dig(figure7.mn.space, resolver, coordinator.zone, "SOA")
        assert soa["status"] == "NOERROR" and soa["answers"]
        svcb = dns.dig(figure7.mn.space, resolver, f"_ntm._udp.{coordinator.zone}", "TYPE64")
        assert svcb["status"] == "NOERROR" and svcb["answers"]


def test_a_terminal_without_location_has_no_address(figure7, infrastructure):
    infrastructure.dc_cn.terminal_token("never-seen")
    answer = dns.dig(figure7.dc_cn, infrastructure.dc_cn.addresses[0],
                     "never-seen.cn.example", "A")
    assert answer["status"] == "NOERROR" and answer["answers"] == []


def test_the_relay_attaches_again_after_a_directors_death(figure7, infrastructure):
    infrastructure.dc_cn.kill()
    infrastructure.dc_cn.start()
    # The relay learns it from keep-alives that nobody answers: three of at most 18 s, and a retry.
    infrastructure.dc_cn.wait_status(
        lambda answer: [relay["attached"] for relay in answer["relays"]] == [True],
        "the relay to be attached to the new director", "dc", "relay", "list", timeout=75)


def test_the_relay_attaches_again_after_its_own_death(figure7, infrastructure):
    infrastructure.relay.kill()
    infrastructure.relay.start()
    status = infrastructure.relay.wait_attached(2)
    assert {dc["zone"] for dc in status["dcs"]} == {"mn.example", "cn.example"}
