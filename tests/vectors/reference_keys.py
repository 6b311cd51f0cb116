#!/usr/bin/python3
"""Second implementation of the key schedule, of Noise and of sealed datagrams: writes the golden
values that the C++ side is held against.

Primitives are those of python3-cryptography; everything that is NTM/1's own (labels, prologue,
what goes into which key) and the Noise handshake are written here from docs/PROTOCOL.md,
libntm/crypto/key_schedule.hpp and the Noise specification, sharing no code with the C++ side.
A case is a name and bytes in hexadecimal; keys_vectors_test.cpp computes every one by that name.

    reference_keys.py > golden/keys.json      reference_keys.py --check golden/keys.json
"""

import hashlib
import hmac as stdlib_hmac
import json
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AES, CHACHA = 1, 2
LABELS = ("key", "iv", "exp", "rekey", "pp", "psk", "mac1", "cookie", "reset", "relay", "enrol")


def run(first, count):
    return bytes((first + i) % 256 for i in range(count))


def name(text):
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def counted(wire):
    return bytes([len(wire)]) + wire


def hmac(key, data):
    return stdlib_hmac.new(key, data, hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def derive(secret, label, suite, context, length):
    info = b"ntm1 " + label.encode() + struct.pack("!BH", suite, length) + context
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=info).derive(secret)


def prologue(suite, role, initiator, responder):
    return b"NTM/1" + bytes([suite, role]) + counted(initiator) + counted(responder)


def aead(suite, key):
    return AESGCM(key) if suite == AES else ChaCha20Poly1305(key)


def record_nonce(iv, counter):
    return bytes(a ^ b for a, b in zip(iv, bytes(4) + struct.pack("!Q", counter)))


class KeyPair:
    def __init__(self, secret):
        self.private = X25519PrivateKey.from_private_bytes(secret)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def dh(self, public):
        return self.private.exchange(X25519PublicKey.from_public_bytes(public))


class Symmetric:
    """Noise specification 5.1 and 5.2."""

    def __init__(self, protocol, suite):
        self.suite = suite
        self.h = protocol.ljust(32, b"\0") if len(protocol) <= 32 else sha256(protocol)
        self.ck = self.h
        self.k = None
        self.n = 0

    def hkdf(self, data, outputs):
        temp = hmac(self.ck, data)
        out, last = [], b""
        for i in range(outputs):
            last = hmac(temp, last + bytes([i + 1]))
            out.append(last)
        return out

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def mix_key(self, data):
        self.ck, self.k = self.hkdf(data, 2)
        self.n = 0

    def mix_key_and_hash(self, data):
        self.ck, hashed, self.k = self.hkdf(data, 3)
        self.mix_hash(hashed)
        self.n = 0

    def encrypt_and_hash(self, plain):
        # Specification 12.3 and 12.4: 32 zero bits, then n, big-endian for GCM, little for ChaCha.
        nonce = bytes(4) + struct.pack(">Q" if self.suite == AES else "<Q", self.n)
        sealed = aead(self.suite, self.k).encrypt(nonce, plain, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


def handshake(pattern, suite, opening, initiator, responder, ephemerals, payloads, psk):
    """Both sides at once: a transcript needs no secrets apart. IK: <- s ... -> e es s ss, <- e ee
    se; psk1 stands at the end of message 1, psk2 at the end of message 2."""
    cipher = b"AESGCM" if suite == AES else b"ChaChaPoly"
    state = Symmetric(b"Noise_" + pattern + b"_25519_" + cipher + b"_SHA256", suite)
    state.mix_hash(opening)
    state.mix_hash(responder.public)

    def ephemeral(key):
        state.mix_hash(key.public)
        if pattern != b"IK":
            state.mix_key(key.public)
        return key.public

    message1 = ephemeral(ephemerals[0])
    state.mix_key(ephemerals[0].dh(responder.public))
    message1 += state.encrypt_and_hash(initiator.public)
    state.mix_key(initiator.dh(responder.public))
    if pattern == b"IKpsk1":
        state.mix_key_and_hash(psk)
    message1 += state.encrypt_and_hash(payloads[0])

    message2 = ephemeral(ephemerals[1])
    state.mix_key(ephemerals[1].dh(ephemerals[0].public))
    state.mix_key(ephemerals[1].dh(initiator.public))
    if pattern == b"IKpsk2":
        state.mix_key_and_hash(psk)
    message2 += state.encrypt_and_hash(payloads[1])
    to_responder, to_initiator = state.hkdf(b"", 2)
    return {"message1": message1, "message2": message2, "ck": state.ck, "h": state.h,
            "to_responder": to_responder, "to_initiator": to_initiator}


# ---- cases -----------------------------------------------------------------------------------

ORG, NET = name("example.org"), name("example.net")
PATH = struct.pack("!Q", 0x1112131415161718)
TOKEN = struct.pack("!Q", 0x7172737475767778)
RESPONDER = KeyPair(run(0x40, 32))
INITIATOR = KeyPair(run(0x01, 32))
EPHEMERALS = (KeyPair(run(0x81, 32)), KeyPair(run(0xc1, 32)))


def schedule():
    for label in LABELS:
        yield f"derive/{label}", derive(run(1, 32), label, 1, b"context", 32)
    yield "derive/no_context_12", derive(run(1, 32), "iv", 2, b"", 12)
    yield "derive/long_100", derive(run(1, 32), "key", 0, run(7, 300), 100)
    for suite in (AES, CHACHA):
        yield f"direction/{suite}/key", derive(run(9, 32), "key", suite, b"", 32)
        yield f"direction/{suite}/iv", derive(run(9, 32), "iv", suite, b"", 12)
        yield f"prologue/{suite}/control", prologue(suite, 0, name(""), ORG)
        yield f"prologue/{suite}/end_to_end", prologue(
            suite, 4, name("mn.example.org"), name("cn.example.net"))
    public = RESPONDER.public
    yield "public/responder", public
    yield "public/initiator", INITIATOR.public
    yield "key_hash", sha256(public)[:8]
    yield "mac1_key", derive(public, "mac1", 0, b"", 32)
    yield "cookie_keys", derive(public, "cookie", 0, run(0x30, 24), 44)
    yield "control_hint_token", derive(run(3, 32), "reset", 0, sha256(public)[:8], 16)
    yield "path_hint_token", derive(run(3, 32), "reset", 0, PATH, 16)
    yield "relay_token_secret", derive(run(3, 32), "relay", 0, ORG, 32)
    yield "enrolment_psk", derive(run(0x90, 16), "enrol", 0, TOKEN, 32)
    yield "peer_to_peer_key", derive(run(5, 32), "pp", 0, b"", 16)


def tunnel_psk(secret, user, suite):
    prk = hmac(b"ntm1 ck", secret + user)  # HKDF-Extract
    return derive(prk, "psk", suite, PATH + b"\0" + counted(ORG) + counted(NET), 32)


def confirm_blob(exporter):
    return bytes(8) + hmac(exporter, b"confirm" + PATH)[:16]


def safety_number(first, second):
    digest = sha256(min(first, second) + max(first, second))
    groups = (int.from_bytes(digest[i:i + 5], "big") % 100000 for i in range(0, 30, 5))
    return " ".join(f"{group:05d}" for group in groups).encode()


def end_to_end(suite):
    yield f"tunnel_psk/{suite}/plain", tunnel_psk(run(5, 32), bytes(32), suite)
    yield f"tunnel_psk/{suite}/user", tunnel_psk(run(5, 32), run(6, 32), suite)
    opening = prologue(suite, 4, name("mn.example.org"), name("cn.example.net"))
    payload1 = struct.pack("!QIHH", 77, 0, 3, 0)
    out = handshake(b"IKpsk2", suite, opening, INITIATOR, RESPONDER, EPHEMERALS,
                    (payload1, bytes(8)), tunnel_psk(run(5, 32), bytes(32), suite))
    for key, value in out.items():
        yield f"ikpsk2/{suite}/{key}", value
    exporter = derive(out["ck"], "exp", suite, out["h"], 32)
    yield f"ikpsk2/{suite}/exporter", exporter
    yield f"ikpsk2/{suite}/rekey_psk", derive(out["ck"], "rekey", suite, out["h"], 32)
    yield f"ikpsk2/{suite}/confirm", confirm_blob(exporter)
    yield f"ikpsk2/{suite}/data", data_record(suite, out["to_responder"])


def data_record(suite, split):
    """DATA, epoch 1, early, a counter that fills its 48 bits."""
    counter = 2**48 - 2
    header = bytes([0x50, 0x60]) + struct.pack("!Q", counter)[2:] + PATH
    key, iv = derive(split, "key", suite, b"", 32), derive(split, "iv", suite, b"", 12)
    return header + aead(suite, key).encrypt(record_nonce(iv, counter), run(0x45, 64), header)


def control(suite):
    opening = prologue(suite, 0, name(""), ORG)
    psk = derive(run(0x90, 16), "enrol", 0, TOKEN, 32)
    for pattern in (b"IK", b"IKpsk1"):
        label = f"{pattern.decode().lower()}/{suite}"
        out = handshake(pattern, suite, opening, INITIATOR, RESPONDER, EPHEMERALS,
                        (run(0x11, 400), run(0x22, 40)), psk)
        for key, value in out.items():
            yield f"{label}/{key}", value
        first = hs_init(pattern, suite, out["message1"])
        yield f"{label}/hs_init", first + bytes(16)
        yield f"{label}/cookie", cookie(first[-16:])
        yield f"{label}/hs_init_with_cookie", first + hmac(run(0x70, 16), first)[:16]
        yield f"{label}/hs_resp", hs_resp(suite, out["message2"])
        for number in (1, 2):
            yield f"{label}/ctrl_{number}", ctrl(suite, out["to_responder"], number)


def hs_init(pattern, suite, message1):
    """Up to mac1; mac2 is zero or made under a cookie."""
    token = bytes(8) if pattern == b"IK" else TOKEN
    body = (bytes([0x54, suite, 1 if pattern == b"IK" else 2, 0]) + run(0x51, 8)
            + sha256(RESPONDER.public)[:8] + token + message1)
    return body + hmac(derive(RESPONDER.public, "mac1", 0, b"", 32), body)[:16]


def cookie(mac1):
    """Always AES-256-GCM: the suite is not agreed yet."""
    keys = derive(RESPONDER.public, "cookie", 0, run(0x30, 24), 44)
    sealed = AESGCM(keys[:32]).encrypt(keys[32:], run(0x70, 16), mac1)
    return b"\x57\0\0\0" + run(0x51, 8) + run(0x30, 24) + sealed


def hs_resp(suite, message2):
    body = bytes([0x55, suite, 0, 0]) + run(0x51, 8) + run(0x61, 8) + message2
    return body + hmac(derive(INITIATOR.public, "mac1", 0, b"", 32), body)[:16]


def ctrl(suite, split, counter):
    header = b"\x56\0" + struct.pack("!Q", counter)[2:] + run(0x61, 8)
    key, iv = derive(split, "key", suite, b"", 32), derive(split, "iv", suite, b"", 12)
    keep_alive = bytes.fromhex("01" "01000400000007" "02000101" "030004deadbeef")
    return header + aead(suite, key).encrypt(record_nonce(iv, counter), keep_alive, header)


def tunnel_request():
    """With confirm, under K_pp of CK."""
    key = derive(run(5, 32), "pp", 0, b"", 16)
    blob = confirm_blob(run(0x33, 32))
    body = (b"\x51\xc0" + struct.pack("!Q", 2)[2:] + PATH + run(0x21, 8) + run(0x31, 8)
            + struct.pack("!HH", len(blob), 0) + blob).ljust(176, b"\0")
    return body + hmac(key, body)[:16]


def cases():
    yield from schedule()
    yield "safety_number", safety_number(INITIATOR.public, RESPONDER.public)
    for suite in (AES, CHACHA):
        yield from end_to_end(suite)
        yield from control(suite)
    yield "tunnel_req", tunnel_request()


def main():
    text = json.dumps({label: value.hex() for label, value in cases()}, indent=1) + "\n"
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as golden:
            if golden.read() != text:
                sys.exit(f"{sys.argv[2]} is not what reference_keys.py writes")
        return
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
