"""The router advertisements of AP_IPv6, as a program of its own (standard library only).

radvd may answer a solicitation up to 0.5 s late and multicasts at most every 3 s, as RFC 4861
lets it; handovers are measured in tens of milliseconds, so the delay must be ours to choose.

usage: router_advertiser.py INTERFACE PREFIX/64 ANSWER_DELAY_MS INTERVAL_S [RESOLVER]
"""

import ipaddress
import select
import socket
import struct
import sys
import time

_ALL_NODES, _ALL_ROUTERS = "ff02::1", "ff02::2"
_SOLICITATION, _ADVERTISEMENT = 133, 134
_ICMP6_FILTER = 1
_LIFETIME_S = 1800


def advertisement(prefix, mac, resolver):
    """RFC 4861 4.2 with prefix, link-layer address and (RFC 8106) resolver options."""
    header = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, 0, _LIFETIME_S, 0, 0)
    on_link_autonomous = 0xC0
    option_prefix = struct.pack("!BBBBIII16s", 3, 4, prefix.prefixlen, on_link_autonomous,
                                _LIFETIME_S, _LIFETIME_S, 0, prefix.network_address.packed)
    option_mac = struct.pack("!BB6s", 1, 1, mac)
    option_resolver = b""
    if resolver:
        address = ipaddress.IPv6Address(resolver).packed
        option_resolver = struct.pack("!BBHI16s", 25, 3, 0, _LIFETIME_S, address)
    return header + option_prefix + option_mac + option_resolver


def open_socket(interface):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(interface)
    blocked = [0xFFFFFFFF] * 8
    blocked[_SOLICITATION >> 5] &= ~(1 << (_SOLICITATION & 31))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
    group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return sock, index


def serve(interface, prefix, answer_delay, interval, resolver):
    sock, index = open_socket(interface)
    with open(f"/sys/class/net/{interface}/address") as file:
        mac = bytes.fromhex(file.read().strip().replace(":", ""))
    packet = advertisement(prefix, mac, resolver)
    print("advertising", prefix, "on", interface, flush=True)
    next_at = time.monotonic()
    while True:
        wait = max(0.0, next_at - time.monotonic())
        readable, _, _ = select.select([sock], [], [], wait)
        if readable:
            sock.recvfrom(1500)
            next_at = min(next_at, time.monotonic() + answer_delay)
            if answer_delay > 0:
                continue
        sock.sendto(packet, (_ALL_NODES, 0, 0, index))
        next_at = time.monotonic() + interval


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    serve(sys.argv[1], ipaddress.IPv6Network(sys.argv[2]), float(sys.argv[3]) / 1000,
          float(sys.argv[4]), sys.argv[5] if len(sys.argv) == 6 else None)
