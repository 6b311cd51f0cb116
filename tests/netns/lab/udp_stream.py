"""A numbered UDP stream, the lab's measure of lost packets. Run inside namespaces:

    udp_stream.py receive ADDRESS PORT         prints one line a second and a JSON line at the end
    udp_stream.py send ADDRESS PORT INTERVAL_MS

Both end at SIGTERM; the sender then sends a few marked last packets. A packet that comes late or
twice is told apart from one that never came. Standard library only.
"""

import json
import signal
import socket
import struct
import sys
import time

_PACKET = struct.Struct("!IBQ")  # number, last?, sender's clock in ns
_SO_RCVBUFFORCE = 33     # the module does not know it
_PADDING = bytes(187)            # 200 bytes, like a voice packet
_stopped = False


def _stop(*_):
    global _stopped
    _stopped = True


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(address, port, interval):
    sock = socket.socket(_family(address), socket.SOCK_DGRAM)
    number, due = 0, time.monotonic()
    print("sending", flush=True)
    while not _stopped:
        _transmit(sock, (address, port), number, 0)
        number += 1
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))
    for _ in range(5):
        _transmit(sock, (address, port), number, 1)
        time.sleep(0.02)
    print(json.dumps({"sent": number}), flush=True)


def _transmit(sock, target, number, last):
    try:
        sock.sendto(_PACKET.pack(number, last, time.time_ns()) + _PADDING, target)
    except OSError:
        pass  # no route for a moment counts as lost, which is what the stream is for


def receive(address, port):
    sock = socket.socket(_family(address), socket.SOCK_DGRAM)
    sock.bind((address, port))
    # Packets that waited for seconds come in one burst. The default holds 256 of them: what is
    # dropped here was delivered by the network.
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
    sock.settimeout(0.1)
    seen, twice, worst, total = set(), 0, 0.0, None
    print("receiving", flush=True)
    while not _stopped and total is None:
        try:
            data = sock.recv(2000)
        except socket.timeout:
            continue
        number, last, sent_at = _PACKET.unpack_from(data)
        if last:
            total = number
            continue
        twice += number in seen
        seen.add(number)
        worst = max(worst, (time.time_ns() - sent_at) / 1e6)
    print(json.dumps({"received": len(seen), "sent": total, "twice": twice,
                      "lost": None if total is None else total - len(seen),
                      "worst_delay_ms": round(worst, 1)}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    if len(sys.argv) == 4 and sys.argv[1] == "receive":
        receive(sys.argv[2], int(sys.argv[3]))
    elif len(sys.argv) == 5 and sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1000)
    else:
        sys.exit(__doc__)
