"""The reading of captures, on captures made here byte by byte."""

import ipaddress
import struct

import pytest

from lab import datagrams, pcap

MN, DC, CN = "192.0.2.18", "198.51.100.18", "192.0.2.34"
OWN = ["192.0.2.16/28"]


def _ipv4(source, destination, protocol, body):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0,
                       ipaddress.ip_address(source).packed,
                       ipaddress.ip_address(destination).packed)
    return head + body


def _udp(source, destination, payload):
    return _ipv4(source, destination, 17,
                 struct.pack("!HHHH", 4000, 4753, 8 + len(payload), 0) + payload)


def _tcp(sequence, length, source_port=8080):
    head = struct.pack("!HHIIBBHHH", source_port, 50000, sequence, 0, 0x50, 0x10, 1000, 0, 0)
    return _ipv4("198.18.0.2", "198.18.0.1", 6, head + bytes(length))


def _ack(number, source_port=8080):
    head = struct.pack("!HHIIBBHHH", 50000, source_port, 7, number & 0xFFFFFFFF, 0x50, 0x10, 1000,
                       0, 0)
    return _ipv4("198.18.0.1", "198.18.0.2", 6, head)


def _write(path, timed_packets, snap=65535):
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap, 101)
    for time, packet in timed_packets:
        kept = packet[:snap]
        data += struct.pack("<IIII", int(time), round(time % 1 * 1e6), len(kept), len(packet))
        data += kept
    path.write_bytes(data)
    return path


def _ntm(kind, flags=0):
    return bytes([kind, flags]) + bytes(50)


def test_parts_of_a_setup_are_those_of_table_4(tmp_path):
    capture = _write(tmp_path / "a.pcap", [
        (100.010, _udp(MN, DC, b"\x12\x34" + bytes(30))),            # a DNS question
        (100.050, _udp(MN, DC, _ntm(datagrams.CONTROL))),            # Direction Request
        (100.200, _udp(DC, MN, _ntm(datagrams.CONTROL))),            # Route Direction
        (100.210, _udp(MN, CN, _ntm(datagrams.TUNNEL_REQUEST))),
        (100.300, _udp("198.18.0.2", "198.18.0.1", _ntm(datagrams.DATA))),  # inside the tunnel
        (100.350, _udp(CN, MN, _ntm(datagrams.TUNNEL_RESPONSE))),
    ])
    found = datagrams.datagrams(capture, OWN)
    assert [d.inbound for d in found] == [False, True, False, True]
    parts = datagrams.setup_parts(found, 100.0, 100.352)
    assert parts == {"names": pytest.approx(50, abs=0.1), "direction": pytest.approx(150, abs=0.1),
                     "tunnel": pytest.approx(150, abs=0.1), "answer": pytest.approx(2, abs=0.1)}


def test_a_pending_answer_of_the_relay_is_not_a_tunnel(tmp_path):
    capture = _write(tmp_path / "a.pcap", [
        (10.1, _udp(DC, MN, _ntm(datagrams.TUNNEL_RESPONSE, flags=0x04))),
        (10.4, _udp(DC, MN, _ntm(datagrams.TUNNEL_RESPONSE, flags=0x02))),
    ])
    found = datagrams.datagrams(capture, OWN)
    assert datagrams.tunnel_after(found, 10.0) == pytest.approx(0.4, abs=1e-3)
    assert datagrams.tunnel_after(found, 11.0) is None


def test_progress_is_what_the_receiver_acknowledges_across_the_wrap(tmp_path):
    start = 0xFFFFFFFF - 1999
    capture = _write(tmp_path / "a.pcap", [
        (0.9, _ack(start)),
        (1.00, _tcp(start, 1000)),
        (1.01, _ack(start + 1000)),
        (1.2, _tcp(start, 1000)),                                   # sent again
        (1.21, _ack(start + 1000)),                                 # no progress
        (2.5, _tcp((start + 2000) & 0xFFFFFFFF, 1000)),             # behind a hole: no progress
        (2.51, _ack(start + 1000)),
        (3.0, _tcp((start + 500) & 0xFFFFFFFF, 1500)),              # a third of it is known
        (3.01, _ack(start + 3000)),                                 # behind the wrap
        (3.2, _tcp(5, 9000, source_port=22)),                       # another service
        (3.3, _ack(7000, source_port=22)),
    ], snap=96)
    progress = pcap.tcp_progress(capture, 8080)
    assert progress.times == pytest.approx([1.01, 3.01])
    assert progress.repeated_bytes == 1500
    assert progress.stall_after(1.5) == pytest.approx(1.51)
    assert progress.longest_silence(1.15, 2.0) == (pytest.approx(2.0), pytest.approx(1.01))
    assert progress.stall_after(4.0) is None


def test_a_late_packet_of_the_old_path_does_not_end_the_standstill():
    progress = pcap.Progress([0.5, 1.0, 1.002, 1.3, 1.31, 9.0], 0)
    assert progress.stall_after(1.001) == pytest.approx(0.001)
    assert progress.stall_after(1.001, 1.15) == pytest.approx(0.299)
    assert pcap.Progress([0.5], 0).stall_after(1.0, 1.1) is None
