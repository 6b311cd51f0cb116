"""A store filled by ntm-storefixture and a real pdns_server that answers from it on loopback."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rdata

ROOT = pathlib.Path(__file__).resolve().parents[2]
NTMV4, NTMV6 = 65341, 65342
KEY = bytes(range(0x10, 0x30)).hex()
OTHER_KEY = bytes(range(0x90, 0xb0)).hex()
DC_KEY = bytes(range(0x50, 0x70)).hex()


class Unusable(Exception):
    """Something the tests need is not there; the text says what to do."""


def build_folder():
    chosen = os.environ.get("NTM_BUILD_DIR")
    for folder in [chosen] if chosen else [ROOT / "build/release", ROOT / "build/debug"]:
        if (pathlib.Path(folder) / "bin/ntm-storefixture").exists():
            return pathlib.Path(folder)
    raise Unusable("ntm-storefixture is not built: build the release preset or set NTM_BUILD_DIR")


def module():
    path = build_folder() / "lib/libntmobilebackend.so"
    if not path.exists():
        raise Unusable(f"{path} is not built: run scripts/setup, then configure and build again")
    return path


@contextlib.contextmanager
def scratch():
    """A folder that the pdns user may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ntm-pdns-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Store:
    """ntm-storefixture; commit() returns when the line is durable."""

    def __init__(self, directory):
        self.directory = directory
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [build_folder() / "bin/ntm-storefixture", directory], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        self._process.wait(timeout=20)

    def commit(self, line):
        with self._lock:
            self._process.stdin.write(line + "\n")
            answer = self._process.stdout.readline().strip()
        assert answer == "ok", f"{line}: {answer or 'the fixture ended'}"

    def record(self, owner, kind, *texts, zone=7, ttl=300, verb="record"):
        number = dns.rdatatype.from_text(kind)
        rdata = [dns.rdata.from_text("IN", kind, text).to_wire().hex() for text in texts]
        self.commit(" ".join([verb, str(zone), owner, str(int(number)), str(ttl), *rdata]))


def example_zone_settings(store, extra="", dc="192.0.2.53:4753 dc=[2001:db8::53]:4753"):
    store.commit(f"zone 7 example.org dc={dc} key={DC_KEY} {extra}")


def example_zone(store):
    example_zone_settings(store)
    store.record("example.org", "SOA",
                 "ns.example.org. hostmaster.example.org. 0 3600 600 604800 300")
    store.record("example.org", "NS", "ns.example.org.")
    store.record("ns.example.org", "A", "192.0.2.53")
    store.record("www.example.org", "A", "192.0.2.80", "192.0.2.81")
    store.record("alias.example.org", "CNAME", "mn.example.org.")
    store.record("a.deep.example.org", "TXT", '"deep"')
    store.record("*.wild.example.org", "TXT", '"wild"')
    store.record("sub.example.org", "NS", "ns.sub.example.org.")
    store.record("ns.sub.example.org", "A", "192.0.2.99")
    store.commit(f"terminal 3 7 mn.example.org 198.18.0.3 fd12:3456:789a::3 {KEY}")


def free_port():
    """A port that is free for UDP and TCP now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(("127.0.0.1", udp.getsockname()[1]))
            except OSError:
                continue
            return udp.getsockname()[1]


class Server:
    """pdns_server with the configuration that the director generates, then `settings`."""

    def __init__(self, folder, store_directory, settings=None, user=None, wait=True, modules=None):
        self.folder = folder
        self.port = free_port()
        sockets = folder / "sockets"
        sockets.mkdir(exist_ok=True)
        if user:
            shutil.chown(sockets, user)
        text = subprocess.run(
            [build_folder() / "bin/ntm-storefixture", "--pdns-conf", store_directory,
             modules or self._module_folder(), sockets, f"127.0.0.1:{self.port}"],
            check=True, capture_output=True, text=True).stdout
        for key, value in {"loglevel": "6", **(settings or {})}.items():
            text = re.sub(rf"(?m)^{key}=.*\n", "", text) + f"{key}={value}\n"
        (folder / "pdns.conf").write_text(text)
        command = ["/usr/sbin/pdns_server", f"--config-dir={folder}"]
        if user:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        self._log = open(folder / "pdns.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        if wait:
            self._wait_ready()

    def _module_folder(self):
        """A copy beside the test: the build folder may be closed to the pdns user."""
        folder = self.folder / "modules"
        folder.mkdir(exist_ok=True)
        if not (folder / module().name).exists():
            shutil.copy(module(), folder)
        return folder

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)
        self._log.close()

    def log(self):
        return (self.folder / "pdns.log").read_text(encoding="utf-8")

    def _wait_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(dns.exception.Timeout, OSError):
                self.ask("example.org", "SOA", timeout=0.2)
                return
        self.stop()
        raise AssertionError(f"pdns_server does not answer:\n{self.log()}")

    def ask(self, owner, kind, timeout=3.0, tcp=False, dnssec=False):
        query = dns.message.make_query(owner, kind, use_edns=0, payload=1232, want_dnssec=dnssec)
        query.flags &= ~dns.flags.RD
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(query, "127.0.0.1", port=self.port, timeout=timeout)

    def values(self, owner, kind, **options):
        """The texts of the answer's RRset; rcode NOERROR is required."""
        reply = self.ask(owner, kind, **options)
        assert reply.rcode() == 0, reply
        number = dns.rdatatype.from_text(kind) if isinstance(kind, str) else kind
        return sorted(item.to_text() for rrset in reply.answer for item in rrset
                      if rrset.rdtype == number)


def eventually(attempt, seconds=20):
    """The first result of `attempt` that is no timeout: the server needs a moment to come up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (dns.exception.Timeout, OSError):
            if time.monotonic() > deadline:
                raise


def pdns_release():
    """Of the installed server, such as 4.7.3."""
    out = subprocess.run(["dpkg-query", "-W", "-f=${source:Upstream-Version}", "pdns-server"],
                         check=True, capture_output=True, text=True).stdout
    return out.strip()
