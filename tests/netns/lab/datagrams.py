"""NTM/1 datagrams in a capture, by their first two bytes (docs/PROTOCOL.md, framing.hpp).

Contents are encrypted, but kinds and moments are not, and they are all that the paper's table 4
needs: Direction Request and Route Direction are the control records around the tunnel messages.
"""

import ipaddress
from dataclasses import dataclass

from . import pcap

DATA, TUNNEL_REQUEST, TUNNEL_RESPONSE, CONTROL = 0x50, 0x51, 0x52, 0x56
_HANDSHAKE_INIT, _HANDSHAKE_RESPONSE = 0x54, 0x55
_FIRST, _LAST = 0x50, 0x59
_PENDING = 0x04


@dataclass(frozen=True)
class Datagram:
    time: float
    kind: int
    flags: int
    size: int
    inbound: bool
    peer: str

    @property
    def brings_the_tunnel_up(self):
        """The peer's request with its half of the keys, or an answer that is not `pending`."""
        if self.kind == TUNNEL_REQUEST:
            return True
        return self.kind == TUNNEL_RESPONSE and not self.flags & _PENDING


def datagrams(capture, own_prefixes, after=0.0):
    """Those of one host, told apart by the prefixes that its own addresses are in. The capture
    may be of all interfaces."""
    own = [ipaddress.ip_network(p) for p in own_prefixes]

    def is_own(address):
        value = ipaddress.ip_address(address)
        return any(value.version == n.version and value in n for n in own)

    found = []
    for packet in pcap.packets(capture):
        if packet.protocol != 17 or packet.time < after:
            continue
        payload = packet.payload
        if len(payload) < 20 or not _FIRST <= payload[0] <= _LAST:
            continue
        inbound = is_own(packet.destination)
        if inbound == is_own(packet.source):
            continue  # inside a tunnel, or between neighbours: not this host's outer traffic
        peer = packet.source if inbound else packet.destination
        found.append(Datagram(packet.time, payload[0], payload[1], packet.payload_length, inbound, peer))
    return found


def _first(found, after, accept):
    return next((d.time for d in found if d.time >= after and accept(d)), None)


def setup_parts(found, began, answered):
    """The rows of the paper's table 4 in ms: names, Direction Request to Route Direction, that to
    the tunnel, tunnel to answer. None for what the capture does not show."""
    up = _first(found, began, lambda d: d.inbound and d.brings_the_tunnel_up)
    control = (CONTROL, _HANDSHAKE_INIT, _HANDSHAKE_RESPONSE)
    asked = _first(found, began, lambda d: not d.inbound and d.kind in control)
    directed = asked and _first(found, asked, lambda d: d.inbound and d.kind in control)
    marks = {"names": (began, asked), "direction": (asked, directed),
             "tunnel": (directed, up), "answer": (up, answered)}
    return {name: round((end - begin) * 1000, 2) if begin and end else None
            for name, (begin, end) in marks.items()}


def tunnel_after(found, moment):
    """Seconds from a moment until a tunnel was up on this interface, None when it never was."""
    up = _first(found, moment, lambda d: d.inbound and d.brings_the_tunnel_up)
    return None if up is None else up - moment
