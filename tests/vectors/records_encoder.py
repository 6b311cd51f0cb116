#!/usr/bin/python3
"""Writes golden/records.txt: RDATA of NTMv4, NTMv6 and the DC's SVCB record.

Written from docs/PROTOCOL.md and RFC 9460 without a look at the C++ encoder, so that a mistake
would have to be made twice. SVCB rows are encoded a third time by dnspython from their text form.

    records_encoder.py > golden/records.txt      records_encoder.py --check golden/records.txt
"""

import ipaddress
import struct
import sys

import dns.rdata


def address(text):
    return ipaddress.ip_address(text).packed


def endpoint(text, port):
    return address(text) + struct.pack("!H", port)


def name(text):
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def key(first):
    """A recognisable 32-byte key: first, first+1, …"""
    return bytes((first + i) % 256 for i in range(32))


def parameter(number, value):
    return struct.pack("!HH", number, len(value)) + value


NTM = {
    # A terminal behind NAT with everything that a record can hold.
    "ntmv4_full": bytes([1, 0x80]) + endpoint("10.1.2.3", 40000) + address("198.18.0.7")
    + endpoint("203.0.113.9", 50123) + endpoint("192.0.2.53", 4753)
    + tlv(1, key(0x10)) + tlv(2, key(0x30)) + tlv(3, b"\x00\x03") + tlv(4, name("example.org"))
    + tlv(5, key(0x50)) + tlv(6, key(0x70)) + tlv(7, b"\x02"),
    # An offline terminal: the real address is zero, keys stay.
    "ntmv4_offline": bytes([1, 0]) + endpoint("0.0.0.0", 0) + address("198.18.0.7")
    + endpoint("0.0.0.0", 0) + endpoint("192.0.2.53", 4753)
    + tlv(1, key(0x10)) + tlv(4, name("example.org")) + tlv(5, key(0x50)) + tlv(7, b"\x00"),
    "ntmv6_full": bytes([1, 0x10]) + endpoint("2001:db8::1", 40000)
    + address("fd12:3456:789a::7") + endpoint("2001:db8::53", 4753)
    + tlv(1, key(0x10)) + tlv(3, b"\x00\x01") + tlv(4, name("example.org")) + tlv(5, key(0x50)),
    # No key, no TLV at all; private and relay-only.
    "ntmv6_bare": bytes([1, 0x60]) + endpoint("::", 0) + address("fd12:3456:789a::7")
    + endpoint("::", 0),
    # A later sender's TLV 200 in the middle is skipped.
    "ntmv6_unknown_tlv": bytes([1, 0]) + endpoint("::", 0) + address("fd12:3456:789a::7")
    + endpoint("::", 0) + tlv(200, b"later") + tlv(1, key(0x10)),
}

SVCB = {
    "svcb_full": (
        struct.pack("!H", 1) + name("dc.example.org") + parameter(3, struct.pack("!H", 4753))
        + parameter(4, address("192.0.2.53") + address("192.0.2.54"))
        + parameter(6, address("2001:db8::53"))
        + parameter(65344, key(0x50) + key(0x70))
        + parameter(65345, address("fd12:3456:789a::")[:6]),
        ("1 dc.example.org. port=4753 ipv4hint=192.0.2.53,192.0.2.54 ipv6hint=2001:db8::53",
         {65344: key(0x50) + key(0x70), 65345: address("fd12:3456:789a::")[:6]})),
    "svcb_small": (
        struct.pack("!H", 2) + b"\0" + parameter(3, struct.pack("!H", 53))
        + parameter(65344, key(0x50)),
        ("2 . port=53", {65344: key(0x50)})),
    "svcb_alias": (
        struct.pack("!H", 0) + name("_ntm._udp.example.net"),
        ("0 _ntm._udp.example.net.", {})),
}


def zone_file_value(value):
    """Letters and digits as they are, anything else as \\DDD."""
    return "".join(chr(b) if chr(b).isascii() and chr(b).isalnum() else f"\\{b:03d}" for b in value)


def zone_file_text(text, private):
    for number, value in private.items():
        text += f' key{number}="{zone_file_value(value)}"'
    return text


def lines():
    yield "# name = RDATA in hexadecimal; written by records_encoder.py"
    for label, rdata in NTM.items():
        yield f"{label} = {rdata.hex()}"
    for label, (rdata, text) in SVCB.items():
        line = zone_file_text(*text)
        if dns.rdata.from_text("IN", "SVCB", line).to_wire() != rdata:
            sys.exit(f"{label}: dnspython reads its text otherwise")
        yield f"{label} = {rdata.hex()}"
        yield f"{label}_text = {line}"


def main():
    text = "\n".join(lines()) + "\n"
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as golden:
            if golden.read() != text:
                sys.exit(f"{sys.argv[2]} is not what records_encoder.py writes")
        return
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
