"""Whatever happens to a run, the machine ends up without its namespaces and processes."""

import pathlib
import signal
import subprocess
import sys

import pytest

from lab import core, process, wait

HERE = pathlib.Path(__file__).resolve().parent

_CHILD = """
import sys, time
sys.path.insert(0, {path!r})
from lab import core
with core.Lab(keep_logs=False) as lab:
    space = lab.namespace("victim")
    daemon = space.spawn("daemon", "sleep", "1000")
    print(lab.prefix, daemon.pid, flush=True)
    time.sleep(1000)
"""


def _namespaces(prefix):
    return [entry.name for entry in pathlib.Path("/run/netns").glob(prefix + "*")]


def _gone(pid):
    state = pathlib.Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def _take_interrupts():
    """A shell ignores SIGINT on behalf of what it starts with &, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_after(number):
    child = subprocess.Popen([sys.executable, "-c", _CHILD.format(path=str(HERE))],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             preexec_fn=_take_interrupts)
    prefix, daemon = child.stdout.readline().split()
    assert len(_namespaces(prefix)) == 1
    child.send_signal(number)
    child.wait(20)
    wait.until(lambda: _gone(int(daemon)), 5, "the daemon to end with its lab")
    if number == signal.SIGKILL:
        done = process.run([sys.executable, "-m", "lab.clean"], check=False, cwd=HERE)
        assert "1 namespaces" in done.stdout
    assert _namespaces(prefix) == []
    assert not pathlib.Path(f"/etc/netns/{prefix}victim").exists()
    assert not list(pathlib.Path("/tmp").glob(prefix + "*"))


def test_a_running_lab_is_left_alone_by_another():
    with core.Lab(keep_logs=False) as first:
        first.namespace("one")
        assert core.remove_leftovers() == []
        with core.Lab(keep_logs=False) as second:
            second.namespace("one")
        assert len(_namespaces(first.prefix + "one")) == 1
