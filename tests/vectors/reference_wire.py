#!/usr/bin/python3
"""Second encoder of NTM/1: writes the golden bytes that the C++ codecs are held against.

Written from docs/PROTOCOL-MESSAGES.md and the diagrams in libntm/wire/*.hpp, sharing no code with
the C++ side: a mistake would have to be made twice to go unnoticed. Each case is a name, a kind
and bytes; wire_cases.cpp builds the same case as a C++ value. A case with "decodes_like" is a
form that our encoder does not write but every decoder must take for the named case.

    reference_wire.py > golden/wire.json      reference_wire.py --check golden/wire.json
"""

import base64
import hashlib
import ipaddress
import json
import struct
import sys


def run(first, count):
    """Recognisable bytes: first, first+1, ..."""
    return bytes((first + i) % 256 for i in range(count))


def u8(value):
    return struct.pack("!B", value)


def u16(value):
    return struct.pack("!H", value)


def u32(value):
    return struct.pack("!I", value)


def u48(value):
    return struct.pack("!Q", value)[2:]


def u64(value):
    return struct.pack("!Q", value)


def address(text):
    return ipaddress.ip_address(text).packed


def endpoint(text, port):
    return address(text) + u16(port)


def prefix(text):
    network = ipaddress.ip_network(text)
    return u8(network.prefixlen) + network.network_address.packed


def family_endpoint(text, port):
    """Where no length says the family: in inner control and tokens."""
    return u8(ipaddress.ip_address(text).version) + endpoint(text, port)


def locator(kind, metric, text, port):
    return u8(kind) + u16(metric) + endpoint(text, port)


def name(text):
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(u8(len(label)) + label for label in labels) + b"\0"


def tlv(kind, value):
    return u8(kind) + u16(len(value)) + value


def message(kind, *tlvs):
    return u8(kind) + b"".join(tlv(number, value) for number, value in tlvs)


REQUEST = u64(0x0102030405060708)
PATH = u64(0x1112131415161718)
OLD_PATH = u64(0x2122232425262728)
SPARES = [u64(0x3132333435363738), u64(0x4142434445464748)]
LOCATORS = [
    locator(1, 10, "192.0.2.10", 40000),
    locator(2, 20, "2001:db8::10", 40001),
    locator(3, 65535, "10.1.2.3", 40002),
    locator(0, 0, "fd00::3", 40003),
    locator(1, 1, "192.0.2.14", 40004),
    locator(1, 1, "192.0.2.15", 40005),
    locator(1, 1, "192.0.2.16", 40006),
    locator(1, 1, "192.0.2.17", 40007),
]
MESSAGE1 = run(0x60, 112)
MESSAGE2 = run(0x90, 56)
CONFIRM = bytes(8) + run(0x70, 16)
MAC = run(0xa0, 16)


# ---- datagrams -----------------------------------------------------------------------------

def record(kind, flags, counter, number, rest):
    return u8(kind) + u8(flags) + u48(counter) + u64(number) + rest


def tunnel(kind, flags, counter, path, challenge, echo, blob):
    head = u8(kind) + u8(flags) + u48(counter) + path + u64(challenge) + u64(echo)
    head += u16(len(blob)) + u16(0) + blob
    if kind == 0x51:
        head += bytes(192 - 16 - len(head))
    return head + MAC


def init(suite, pattern, token, payload):
    return (u8(0x54) + u8(suite) + u8(pattern) + u8(0) + u64(0x5152535455565758)
            + run(0x20, 8) + u64(token) + run(0x30, 32) + run(0x40, 48) + payload
            + run(0x80, 16) + run(0xb0, 16))


def response(suite, payload):
    return (u8(0x55) + u8(suite) + u16(0) + u64(0x5152535455565758) + u64(0x6162636465666768)
            + run(0x30, 32) + payload + run(0x80, 16))


def datagrams():
    yield "data_smallest", record(0x50, 0, 0, 1, run(0xc0, 16))
    yield "data_all_flags", record(0x50, 0xe8, 2**48 - 1, 2**64 - 1, run(0xc0, 36))
    yield "data_epoch_1", record(0x50, 0x40, 0x010203040506, 0x1112131415161718, run(1, 100))
    yield "ctrl", record(0x56, 0, 0x0102, 0x5152535455565758, run(0xd0, 33))
    yield "tunnel_req_plain", tunnel(0x51, 0, 1, PATH, 7, 0, b"")
    yield "tunnel_req_message1", tunnel(0x51, 0x40, 2, PATH, 8, 9, MESSAGE1)
    yield "tunnel_req_rekey", tunnel(0x51, 0x48, 3, PATH, 8, 9, MESSAGE1)
    yield "tunnel_req_message2_leg_b", tunnel(0x51, 0xa0, 4, PATH, 2**64 - 1, 1, MESSAGE2)
    yield "tunnel_req_confirm_handover", tunnel(0x51, 0xd0, 2**48 - 1, PATH, 1, 2, CONFIRM)
    yield "tunnel_res_pending", tunnel(0x52, 0x04, 5, PATH, 10, 11, b"")
    yield "tunnel_res_ready_message2", tunnel(0x52, 0x82, 6, PATH, 12, 13, MESSAGE2)
    yield "tunnel_res_confirm", tunnel(0x52, 0xe0, 7, PATH, 14, 15, CONFIRM)
    yield "tunnel_res_message1", tunnel(0x52, 0x40, 8, PATH, 16, 17, MESSAGE1)
    yield "tunnel_hint_unknown", u8(0x53) + u8(1) + bytes(6) + PATH + run(0xe0, 16)
    yield "tunnel_hint_changed", u8(0x53) + u8(2) + bytes(6) + PATH + run(0xe0, 16)
    yield "hs_init_ik", init(1, 1, 0, run(0, 512 - 140))
    yield "hs_init_ikpsk1", init(2, 2, 0x7172737475767778, run(3, 600))
    yield "hs_init_longest", init(1, 1, 0, run(5, 1232 - 140))
    yield "hs_resp_empty", response(1, run(0xf0, 16))
    yield "hs_resp_longest", response(2, run(0xf1, 1232 - 68))
    yield "cookie", u8(0x57) + bytes(3) + u64(0x5152535455565758) + run(0x10, 24) + run(0x50, 32)
    yield "ctrl_hint", u8(0x58) + bytes(7) + run(0x20, 8) + run(0xe0, 16)
    yield "notice", u8(0x59) + u8(1) + u16(3)


# ---- control messages ----------------------------------------------------------------------

def registration():
    yield "keep_alive_minimal", message(1, (1, u32(0)), (2, u8(0)), (3, u32(0)))
    yield "keep_alive_asks", message(1, (1, u32(7)), (2, u8(1)), (3, u32(0xdeadbeef)))
    yield "keep_alive_echo", message(1, (1, u32(2**32 - 1)), (2, u8(2)), (3, u32(1)))
    yield "keep_alive_both", message(1, (1, u32(8)), (2, u8(3)), (3, u32(1)))
    yield "registration_request_minimal", message(
        2, (1, u64(1)), (2, name("a.example.org")), (3, u8(0)), (7, u16(0)), (8, u32(0)))
    yield "registration_request_full", message(
        2, (1, u64(2**64 - 1)), (2, name("mn.example.org")), (3, u8(7)),
        *((4, value) for value in LOCATORS), (5, address("198.18.0.7")),
        (6, address("fd12:3456:789a::7")), (7, u16(3)), (8, u32(1)), (9, run(0x10, 32)),
        (10, u64(0x5152535455565758)))
    for number, flag in enumerate(("leaving", "private", "relay_only")):
        yield f"registration_request_{flag}", message(
            2, (1, u64(5)), (2, name("a.example.org")), (3, u8(1 << number)), (7, u16(1)),
            (8, u32(0)))
    yield "registration_response_minimal", message(
        3, (1, u8(0)), (2, u64(1)), (3, endpoint("192.0.2.1", 4000)), (4, u8(0)),
        (7, name("example.org")), (10, u32(0)), (11, u32(0)), (12, bytes(16)), (14, u64(0)))
    yield "registration_response_full", message(
        3, (1, u8(10)), (2, u64(99)), (3, endpoint("2001:db8::9", 40001)), (4, u8(2)),
        (5, address("198.18.0.7")), (6, address("fd12:3456:789a::7")),
        (7, name("example.org")), (8, prefix("fd12:3456:789a::/48")),
        (9, prefix("198.18.0.0/16")), (9, prefix("198.19.0.0/17")), (9, prefix("0.0.0.0/0")),
        (9, prefix("198.18.4.4/32")), (10, u32(180)), (11, u32(15)), (12, run(0xe0, 16)),
        (13, run(0x30, 32)), (14, u64(1700000000123456)),
        (15, endpoint("192.0.2.53", 4753)), (15, endpoint("2001:db8::53", 4753)),
        (15, endpoint("192.0.2.54", 4753)), (15, endpoint("2001:db8::54", 4753)),
        (16, endpoint("192.0.2.61", 4753)), (16, endpoint("2001:db8::61", 4753)),
        (16, endpoint("192.0.2.62", 4753)), (16, endpoint("2001:db8::62", 4753)))


def relay():
    yield "relay_direction_minimal", message(
        5, (1, REQUEST), (2, PATH), (3, run(0x10, 16) + u8(4)), (4, run(0x20, 16) + u8(4)),
        (5, u32(0)), (6, u32(0)), (7, u32(0)))
    yield "relay_direction_full", message(
        5, (1, REQUEST), (2, PATH), (2, OLD_PATH), (2, SPARES[0]), (2, SPARES[1]),
        (3, run(0x10, 16) + u8(6)), (4, run(0x20, 16) + u8(4)),
        (5, u32(3600)), (6, u32(100000)), (7, u32(2**32 - 1)))
    yield "relay_response_minimal", message(6, (1, REQUEST), (2, u8(0)))
    yield "relay_response_full", message(
        6, (1, REQUEST), (2, u8(7)), (3, endpoint("192.0.2.61", 4753)),
        (3, endpoint("2001:db8::61", 4753)))
    yield "relay_attach_minimal", message(
        11, (1, u64(1)), (2, name("rs.example.org")), (4, u32(0)), (5, u32(0)),
        (6, run(0x40, 32)), (7, u8(0)))
    yield "relay_attach_full", message(
        11, (1, u64(2**63)), (2, name("rs.example.org")), (3, endpoint("192.0.2.61", 4753)),
        (3, endpoint("2001:db8::61", 4753)), (4, u32(1000000)), (5, u32(17)),
        (6, run(0x40, 32)), (7, u8(1)))
    yield "relay_attach_response_minimal", message(
        12, (1, u8(0)), (2, u64(1)), (3, endpoint("192.0.2.61", 4753)), (4, u32(0)),
        (5, bytes(16)))
    yield "relay_attach_response_full", message(
        12, (1, u8(13)), (2, u64(2)), (3, endpoint("2001:db8::61", 4753)), (4, u32(15)),
        (5, run(0xe0, 16)))
    yield "relay_status_minimal", message(13, (1, u32(0)), (2, u32(0)), (3, u32(0)))
    yield "relay_status_full", message(13, (1, u32(5)), (2, u32(1000)), (3, u32(123456)))


def direction_request():
    yield "direction_request_minimal", message(
        4, (1, REQUEST), (2, name("cn.example.net")), (4, name("")), (5, u8(0)),
        (10, bytes(8)), (11, u8(0)), (12, MESSAGE1))
    yield "direction_request_full", message(
        4, (1, REQUEST), (2, name("cn.example.net")), (4, name("example.net")), (5, u8(1)),
        (6, OLD_PATH), *((7, value) for value in LOCATORS), (8, run(1, 120)), (9, run(2, 150)),
        (10, run(0x20, 8)), (11, u8(2)), (12, MESSAGE1))
    for text, family in (("198.18.0.9", "v4"), ("fd12:3456:789a::9", "v6")):
        yield f"direction_request_address_{family}", message(
            4, (1, REQUEST), (2, name("")), (3, address(text)), (4, name("")), (5, u8(0)),
            (10, bytes(8)), (11, u8(0)))
    for reason in (2, 3):
        yield f"direction_request_reason_{reason}", message(
            4, (1, REQUEST), (2, name("cn.example.net")), (4, name("")), (5, u8(reason)),
            (10, bytes(8)), (11, u8(0)), (12, MESSAGE1))


def route_direction():
    yield "route_direction_minimal", message(
        7, (1, REQUEST), (2, u8(0)), (3, name("mn.example.org")), (4, u8(0)), (5, PATH),
        (7, run(0x50, 32)), (8, u8(0)), (13, name("cn.example.net")),
        (14, name("example.org")), (15, name("example.net")), (18, run(0x60, 32)),
        (19, u8(0)), (20, u8(0)), (22, u8(1)), (25, u32(0)))
    yield "route_direction_full", message(
        7, (1, REQUEST), (2, u8(255)), (3, name("cn.example.net")), (4, u8(1)), (5, PATH),
        (6, SPARES[0]), (6, SPARES[1]), (7, run(0x50, 32)), (8, u8(1)),
        (9, b"both behind NAT, relay"), (10, endpoint("192.0.2.10", 40000)),
        (10, endpoint("2001:db8::10", 40001)), (10, endpoint("203.0.113.9", 50123)),
        (11, endpoint("192.0.2.61", 4753)), (11, endpoint("2001:db8::61", 4753)),
        (12, OLD_PATH + run(0x10, 16) + u8(1) + run(0xe0, 16)),
        (13, name("mn.example.org")), (14, name("example.org")), (15, name("example.net")),
        (16, address("198.18.0.7")), (17, address("fd12:3456:789a::7")),
        (18, run(0x60, 32)), (19, u8(2)), (20, u8(3)), (21, OLD_PATH), (22, u8(2)),
        (23, MESSAGE1), *((24, value) for value in LOCATORS), (25, u32(3600)), (26, u64(77)),
        (27, endpoint("203.0.113.9", 50123)), (27, endpoint("2001:db8::10", 40001)))


def direction():
    yield from direction_request()
    yield from route_direction()
    yield "route_ack_minimal", message(8, (1, REQUEST), (2, u8(0)))
    yield "route_ack_full", message(
        8, (1, REQUEST), (2, u8(3)), *((3, value) for value in LOCATORS),
        (4, endpoint("203.0.113.9", 50123)), (5, endpoint("2001:db8::10", 40001)))
    for status in range(14):
        yield f"direction_error_status_{status}", message(9, (1, REQUEST), (2, u8(status)))
        yield f"route_ack_status_{status}", message(8, (1, REQUEST), (2, u8(status)))
    yield "path_revoke_minimal", message(
        10, (1, REQUEST), (2, name("")), (3, PATH), (4, u8(0)))
    yield "path_revoke_full", message(
        10, (1, REQUEST), (2, name("cn.example.net")), (3, PATH), (3, OLD_PATH),
        (3, SPARES[0]), (3, SPARES[1]), (4, u8(3)))
    for reason in (1, 2):
        yield f"path_revoke_reason_{reason}", message(
            10, (1, REQUEST), (2, name("")), (3, PATH), (4, u8(reason)))
    yield "peer_name_minimal", message(14, (1, REQUEST), (2, name("")))
    yield "peer_name_full", message(14, (1, REQUEST), (2, name("x_1-2." + "l" * 63 + ".org")))


def controls():
    yield from registration()
    yield from direction()
    yield from relay()


def other_forms():
    """Not what our encoder writes, but what it means is clear."""
    sequence, flags, observed = (1, u32(7)), (2, u8(1)), (3, u32(0xdeadbeef))
    like = "control/keep_alive_asks"
    yield "padded", message(1, (0, b""), sequence, (0, bytes(40)), flags, observed,
                            (0, run(1, 5)), (0, b"")), like
    yield "reordered", message(1, observed, sequence, flags), like
    yield "unknown_skipped", message(1, sequence, (0x7f, b"later"), flags, (4, b""), observed,
                                     (0x7f, b"again")), like
    yield "capitals", message(14, (1, REQUEST), (2, name("X_1-2." + "L" * 63 + ".OrG"))), (
        "control/peer_name_full")
    yield "optional_left_out", message(
        3, (1, u8(0)), (2, u64(1)), (3, endpoint("192.0.2.1", 4000)), (4, u8(0)),
        (7, name("example.org"))), "control/registration_response_minimal"
    yield "zero_counter", message(
        7, (26, u64(0)), (1, REQUEST), (3, name("mn.example.org")), (4, u8(0)), (5, PATH),
        (7, run(0x50, 32)), (8, u8(0)), (13, name("cn.example.net")),
        (14, name("example.org")), (15, name("example.net")), (18, run(0x60, 32)),
        (22, u8(1)), (25, u32(0))), "control/route_direction_minimal"


# ---- inner control and token -----------------------------------------------------------------

def inner():
    yield "probe", u8(1) + u32(0x01020304) + u64(0x1112131415161718)
    yield "probe_reply", u8(2) + u32(0x01020304) + u64(0x1112131415161718) + u48(2**48 - 1)
    yield "receive_state_none", u8(3) + PATH + u8(0) + u48(0) + u16(0)
    yield "receive_state", u8(3) + PATH + u8(0x83) + u48(0x010203040506) + u16(64) + run(0x80, 64)
    yield "receive_state_all", u8(3) + PATH + u8(0x80) + u48(9) + u16(0)
    yield "receive_state_full", u8(3) + PATH + u8(0x80) + u48(5000) + u16(512) + bytes(512)
    for reason in range(4):
        yield f"close_{reason}", u8(4) + u8(reason)
    yield "candidates_none", u8(5) + u8(0)
    yield "candidates_full", u8(5) + u8(8) + b"".join(
        family_endpoint("192.0.2.1" if i % 2 else "2001:db8::1", 40000 + i) for i in range(8))
    yield "fragment_first", u8(6) + u16(0x0102) + u16(0) + u8(0) + run(0x45, 50)
    yield "fragment_last", u8(6) + u16(0x0102) + u16(0xfffe) + u8(1) + b"\x45"


def tokens():
    zone, subject = name("example.org"), name("mn.example.org")
    one = endpoint_list(("192.0.2.53", 4753))
    four = endpoint_list(("192.0.2.53", 4753), ("2001:db8::53", 4753), ("192.0.2.54", 1),
                         ("2001:db8::54", 65535))
    for label, endpoints in (("token_one", one), ("token_four", four)):
        yield label, (u8(1) + zone + subject + run(0x50, 32) + endpoints
                      + u64(0x7172737475767778) + run(0x90, 16))


def endpoint_list(*endpoints):
    return u8(len(endpoints)) + b"".join(family_endpoint(*one) for one in endpoints)


def token_text(body):
    checked = body + hashlib.sha256(body).digest()[:2]
    return "ntm1" + base64.b32encode(checked).decode().rstrip("=").lower()


def cases():
    for kind, rows in (("datagram", datagrams()), ("control", controls()), ("inner", inner()),
                       ("token", tokens())):
        for label, value in rows:
            case = {"name": f"{kind}/{label}", "kind": kind, "hex": value.hex()}
            if kind == "token":
                case["text"] = token_text(value)
            yield case
    for label, value, like in other_forms():
        yield {"name": f"form/{label}", "kind": "control", "hex": value.hex(),
               "decodes_like": like}


def main():
    text = json.dumps(list(cases()), indent=1) + "\n"
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as golden:
            if golden.read() != text:
                sys.exit(f"{sys.argv[2]} is not what reference_wire.py writes")
        return
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
