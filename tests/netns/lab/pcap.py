"""Reads tcpdump's captures (standard library only) and answers the two questions that handovers
ask: when did TCP data flow again, and when did the first datagram of a kind pass."""

import ipaddress
import struct
from dataclasses import dataclass

_TCP, _UDP = 6, 17
_LINK_HEADER = {1: 14, 113: 16, 276: 20, 101: 0, 12: 0}  # Ethernet, SLL, SLL2, raw IP


@dataclass(frozen=True)
class Packet:
    time: float
    source: str
    destination: str
    protocol: int
    body: bytes        # from the transport header on, as far as it was captured
    length: int        # of the whole body on the wire

    @property
    def ports(self):
        return struct.unpack_from("!HH", self.body)

    @property
    def payload(self):
        return self.body[self._header:]

    @property
    def payload_length(self):
        return self.length - self._header

    @property
    def _header(self):
        return 8 if self.protocol == _UDP else (self.body[12] >> 4) * 4


def _ip_packet(time, data):
    if not data:
        return None
    if data[0] >> 4 == 4 and len(data) >= 20:
        header = (data[0] & 15) * 4
        total = struct.unpack_from("!H", data, 2)[0] or len(data)
        addresses, protocol, body = (data[12:16], data[16:20]), data[9], data[header:total]
        length = total - header
    elif data[0] >> 4 == 6 and len(data) >= 40:
        addresses, protocol, body = (data[8:24], data[24:40]), data[6], data[40:]
        length = struct.unpack_from("!H", data, 4)[0]
    else:
        return None
    if protocol not in (_TCP, _UDP) or len(body) < (20 if protocol == _TCP else 8):
        return None
    source, destination = (str(ipaddress.ip_address(a)) for a in addresses)
    return Packet(time, source, destination, protocol, body, length)


def packets(path):
    """TCP and UDP packets of a capture, in order; a cut last record ends the reading."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    magic = struct.unpack_from("<I", data)[0]
    order = "<" if magic in (0xA1B2C3D4, 0xA1B23C4D) else ">"
    scale = 1e-9 if magic in (0xA1B23C4D, 0x4D3CB2A1) else 1e-6
    skip = _LINK_HEADER[struct.unpack_from(order + "I", data, 20)[0]]
    position = 24
    while position + 16 <= len(data):
        seconds, fraction, kept, _ = struct.unpack_from(order + "IIII", data, position)
        position += 16
        if position + kept > len(data):
            return
        packet = _ip_packet(seconds + fraction * scale, data[position + skip:position + kept])
        if packet:
            yield packet
        position += kept


@dataclass(frozen=True)
class Progress:
    """Moments at which the receiver of a TCP stream acknowledged more, which is when its application
    could read more, and bytes that it got although it had acknowledged them."""

    times: list
    repeated_bytes: int

    def stall_after(self, moment, settled=None):
        """Seconds from `moment` to the end of the standstill around it; None when nothing came any
        more. Late packets of an old path can show up behind `moment`: of the silences that begin
        before `settled` the longest is the standstill."""
        silences = [(b - a, b) for a, b in zip(self.times, self.times[1:])
                    if b >= moment and a <= (settled or moment)]
        if not silences:
            return next((t - moment for t in self.times if t >= moment), None)
        return max(silences)[1] - moment

    def longest_silence(self, begin, end):
        """(seconds, when it began) of the longest time without progress that touches the span."""
        inside = [t for t in self.times if begin <= t <= end]
        before = [t for t in self.times if t < begin][-1:]
        after = [t for t in self.times if t > end][:1]
        marks = before + inside + after
        gaps = [(b - a, a) for a, b in zip(marks, marks[1:])]
        return max(gaps, default=(0.0, begin))


def _behind(a, b):
    """a - b on TCP's 32-bit circle."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def tcp_progress(path, source_port):
    """Of the stream that comes from `source_port` with the most data, captured where it arrives."""
    streams = {}
    for packet in packets(path):
        if packet.protocol != _TCP or source_port not in packet.ports:
            continue
        arrives = packet.ports[0] == source_port
        key = (packet.destination, packet.ports[1]) if arrives else (packet.source, packet.ports[0])
        stream = streams.setdefault(key, {"acked": None, "times": [], "again": 0, "bytes": 0})
        (_arrived if arrives else _acknowledged)(stream, packet)
    if not streams:
        return Progress([], 0)
    best = max(streams.values(), key=lambda s: s["bytes"])
    return Progress(best["times"], best["again"])


def _arrived(stream, packet):
    stream["bytes"] += packet.payload_length
    if stream["acked"] is not None and packet.payload_length:
        sequence = struct.unpack_from("!I", packet.body, 4)[0]
        stream["again"] += min(packet.payload_length, max(0, _behind(stream["acked"], sequence)))


def _acknowledged(stream, packet):
    acked = struct.unpack_from("!I", packet.body, 8)[0]
    if not packet.body[13] & 0x10:   # the SYN acknowledges nothing
        return
    if stream["acked"] is None or _behind(acked, stream["acked"]) > 0:
        if stream["acked"] is not None:
            stream["times"].append(packet.time)
        stream["acked"] = acked


def first_udp(path, after, accept):
    """Time of the first UDP packet after a moment for which accept(packet) is true, or None."""
    for packet in packets(path):
        if packet.time >= after and packet.protocol == _UDP and accept(packet):
            return packet.time
    return None
