"""One run of the lab: unique names, log folder, every namespace and process it made, and their
removal, also after Ctrl-C, an exception or (by the next run or `python3 -m lab.clean`) a crash."""

import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

from . import netns, process

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
_STATE = pathlib.Path("/run/ntm-lab")
_NAMESPACES = pathlib.Path("/run/netns")
_NAME = re.compile(r"^(ntm(\d+)(?:\.\d+)?-)")


class Unusable(RuntimeError):
    """The machine lacks something; the message says what to do."""


def program(name):
    """A program of the build: $NTM_BUILD_DIR/bin, else the release build, else the debug build."""
    chosen = os.environ.get("NTM_BUILD_DIR")
    folders = [chosen] if chosen else [REPOSITORY / "build" / p for p in ("release", "debug")]
    for folder in folders:
        path = pathlib.Path(folder) / "bin" / name
        if path.exists():
            return path
    raise Unusable(f"{name} is not built: run `cmake --preset release && cmake --build --preset "
                   f"release`, or set NTM_BUILD_DIR to a build folder")


def wall_clock(monotonic=None):
    """Now, or a moment of time.monotonic(), on the clock that packet captures use."""
    now = time.time()
    return now if monotonic is None else now - (time.monotonic() - monotonic)


def _start_time(pid):
    """When a process was started, in clock ticks since boot; None when it does not run."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rsplit(")", 1)[1].split()[19])


class Lab:
    _count = 0

    def __init__(self, logs=None, pcap_dir=None, keep_logs=True):
        if os.geteuid() != 0:
            raise Unusable("the lab makes network namespaces: run it as root")
        for tool in ("ip", "nft", "ss", "sysctl", "ping"):
            if not shutil.which(tool):
                raise Unusable(f"{tool} is missing: run scripts/setup")
        remove_leftovers()
        serial = "" if Lab._count == 0 else f".{Lab._count}"
        Lab._count += 1
        self.prefix = f"ntm{os.getpid()}{serial}-"
        self.logs = pathlib.Path(logs or tempfile.mkdtemp(prefix=self.prefix, dir="/tmp"))
        self.logs.mkdir(parents=True, exist_ok=True)
        self.pcap_dir = pathlib.Path(pcap_dir) if pcap_dir else self.logs
        self.pcap_dir.mkdir(parents=True, exist_ok=True)
        self.keep_logs = keep_logs
        self._namespaces, self._processes = [], []
        self._remember()
        atexit.register(self.close)
        self._turn_term_into_exit()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def namespace(self, name):
        made = netns.Namespace(self, name)
        self._namespaces.append(made)
        return made

    def adopt(self, child):
        self._processes.append(child)
        return child

    def veth(self, space_a, name_a, space_b, name_b):
        process.run(["ip", "link", "add", name_a, "netns", space_a.full_name, "type", "veth",
                     "peer", "name", name_b, "netns", space_b.full_name])

    def close(self):
        """May be called twice. Ctrl-C during it is ignored: half a removal helps nobody."""
        atexit.unregister(self.close)
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
        try:
            for child in self._processes:
                if child.running():
                    child.signal(signal.SIGTERM)
            for child in self._processes:
                child.stop(timeout=3)
            for space in self._namespaces:
                space.remove()
            self._processes, self._namespaces = [], []
            (_STATE / f"{self.prefix}.json").unlink(missing_ok=True)
            if not self.keep_logs:
                shutil.rmtree(self.logs, ignore_errors=True)
        finally:
            if main:
                signal.signal(signal.SIGINT, before)

    def leave_running(self):
        """For `--keep`: the caller ends the lab later (another Lab.close or lab.clean)."""
        atexit.unregister(self.close)

    def _remember(self):
        _STATE.mkdir(exist_ok=True)
        pid = os.getpid()
        state = {"pid": pid, "start_time": _start_time(pid), "logs": str(self.logs),
                 "keep_logs": self.keep_logs}
        (_STATE / f"{self.prefix}.json").write_text(json.dumps(state))

    @staticmethod
    def _turn_term_into_exit():
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, lambda *_: sys.exit(143))


def _owner_lives(prefix, pid):
    try:
        state = json.loads((_STATE / f"{prefix}.json").read_text())
    except (OSError, ValueError):
        return _start_time(pid) is not None
    return _start_time(state["pid"]) == state["start_time"]


def remove_leftovers():
    """Removes namespaces of runs whose process is gone; returns their names."""
    removed = []
    for entry in sorted(_NAMESPACES.glob("ntm*")) if _NAMESPACES.is_dir() else []:
        match = _NAME.match(entry.name)
        if match and not _owner_lives(match.group(1), int(match.group(2))):
            netns.remove_namespace(entry.name)
            removed.append(entry.name)
    for state in _STATE.glob("ntm*.json") if _STATE.is_dir() else []:
        match = _NAME.match(state.name)
        if match and not _owner_lives(match.group(1), int(match.group(2))):
            _remove_logs(match.group(1), state)
            state.unlink(missing_ok=True)
    return removed


def _remove_logs(prefix, state):
    try:
        known = json.loads(state.read_text())
    except ValueError:
        return
    # Only what mkdtemp made for that run.
    if not known["keep_logs"] and known["logs"].startswith(f"/tmp/{prefix}"):
        shutil.rmtree(known["logs"], ignore_errors=True)
