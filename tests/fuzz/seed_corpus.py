#!/usr/bin/python3
"""Writes the seeds of the fuzz corpus from the golden bytes, one file a case.

Files in corpus/ that this script does not write are findings of a fuzzer and stay.

    seed_corpus.py            writes corpus/
    seed_corpus.py --check    fails if a seed is missing or differs
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "vectors" / "golden"
FOLDERS = {"datagram": "framing", "control": "control", "inner": "inner_control",
           "token": "token_body"}

NAMES = [".", "example.org", "a\\.b.c", "\\000\\255.x", "A" * 63 + ".org", "a..b", "x\\"]
WIRE_NAMES = [b"\0", b"\x07example\x03org\0", b"\xc0\x0c", b"\x01a\x02b"]
ADDRESSES = ["192.0.2.1", "2001:db8::1", "::", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8",
             "192.0.2.1:4753", "[2001:db8::1]:4753", "198.18.0.0/15", "fd12:3456:789a::/48",
             "1.2.3.4::", "1:1.2.3.4::1"]
CONFIGS = [
    "",
    'zone = "example.org"\nport = 4753\nlisten = ["0.0.0.0:4753", "[::]:4753"]\n'
    'pools = ["198.18.0.0/16"]\nnames = ["a", "b"]\n[dns]\nenabled = true\n'
    'resolver = ["192.0.2.53"]\n',
    'port = 0\n',
    'port = "4753"\n',
    'listen = "0.0.0.0:4753"\n',
    'listen = [1, 2]\n',
    '[dns]\nenabled = 1\nunknown = 3\n',
    'port = 99999999999999999999\n',
    'zone = "\\u0041\\n"\n[[array]]\nx = 1979-05-27T07:32:00Z\n',
    'port = ',
    'x = 1979-05-27Tx',
    'x = 1979-05-27 :',
    'port = t\n0\n',
    'port =\ufefe 1\n',
    '# d\u00e9j\u00e0\nzone = "\u00e9" # \u00e9\ntext = \"\"\"\u00e9"\n\u00e9\"\"\"\"\"\n',
    '"dns.enabled" = false\n',
    '"a\\nb" = 1\n',
]


def seeds():
    for case in json.loads((GOLDEN / "wire.json").read_text(encoding="ascii")):
        name = case["name"].split("/")[1]
        yield f"{FOLDERS[case['kind']]}/{name}", bytes.fromhex(case["hex"])
        if "text" in case:
            yield f"token_text/{name}", case["text"].encode()
            yield f"token_text/{name}_typing_error", case["text"][:-1].encode()
    yield "token_text/no_token", b"hello"
    for body in ("framing/notice_longer", "inner_control/unknown"):
        yield body, b"\x59\x01\x00\x03\x00"
    yield "token_body/cut", b"\x01\x07example"
    yield "token_body/version", b"\x02"
    for line in (GOLDEN / "records.txt").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" = ")
        if name.startswith("ntmv"):
            yield f"ntm_record/{name}", bytes([name[4] == "6"]) + bytes.fromhex(value)
        elif name.startswith("svcb") and not name.endswith("_text"):
            yield f"dc_record/{name}", bytes.fromhex(value)
    yield "dc_record/cut", bytes.fromhex("0001000003")
    for folder, values in (("name", [text.encode() for text in NAMES] + WIRE_NAMES),
                           ("address", [text.encode() for text in ADDRESSES]),
                           ("config", [text.encode() for text in CONFIGS])):
        for number, value in enumerate(values):
            yield f"{folder}/seed_{number:02d}", value


def main():
    for name, value in seeds():
        path = HERE / "corpus" / name
        if sys.argv[1:] == ["--check"]:
            if not path.is_file() or path.read_bytes() != value:
                sys.exit(f"corpus/{name} is not what seed_corpus.py writes")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)


if __name__ == "__main__":
    main()
