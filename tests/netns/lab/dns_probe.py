"""The measuring program of the paper's 5.3: time from a DNS question to its answer, as an
application has it (UDP, to SERVER or the first server of /etc/resolv.conf). Run inside a namespace:

    dns_probe.py NAME TYPE [SERVER]

prints {"ms", "status", "answers", "began"}. Standard library only.
"""

import ipaddress
import json
import random
import socket
import struct
import sys
import time

_TYPES = {"A": 1, "AAAA": 28}


def first_server():
    with open("/etc/resolv.conf") as file:
        for line in file:
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                return words[1]
    sys.exit("dns_probe: /etc/resolv.conf names no server")


def question(name, kind):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split("."))
    number = random.getrandbits(16)
    return number, struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + \
        struct.pack("!HH", _TYPES[kind], 1)


def _skip_name(data, position):
    while data[position]:
        if data[position] >= 0xC0:
            return position + 2
        position += data[position] + 1
    return position + 1


def parse(data):
    """Response code and addresses of an answer."""
    _, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    position, found = 12, []
    for _ in range(questions):
        position = _skip_name(data, position) + 4
    for _ in range(answers):
        position = _skip_name(data, position)
        kind, _, _, length = struct.unpack_from("!HHIH", data, position)
        position += 10
        if kind in (1, 28):
            found.append(str(ipaddress.ip_address(data[position:position + length])))
        position += length
    return flags & 15, found


def ask(name, kind, server, timeout=5.0):
    sock = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(timeout)
    number, packet = question(name, kind)
    began, start = time.time(), time.perf_counter()
    sock.sendto(packet, (server, 53))
    while True:
        data = sock.recv(4096)
        ms = (time.perf_counter() - start) * 1000
        if len(data) >= 12 and struct.unpack_from("!H", data)[0] == number:
            status, answers = parse(data)
            return {"ms": round(ms, 3), "status": status, "answers": answers, "began": began}


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in _TYPES:
        sys.exit(__doc__)
    try:
        chosen = sys.argv[3] if len(sys.argv) == 4 else first_server()
        print(json.dumps(ask(sys.argv[1], sys.argv[2], chosen)))
    except OSError as error:
        sys.exit(f"dns_probe: {error}")
