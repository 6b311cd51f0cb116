"""A child of the lab: started in its own session, output in a log file, ended by pid."""

import ctypes
import os
import signal
import subprocess

from . import wait

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    # When the lab itself is killed hard, its children go too and only namespaces stay behind
    # (lab.clean removes those).
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class CommandFailed(RuntimeError):
    def __init__(self, command, returncode, output):
        self.command, self.returncode, self.output = command, returncode, output
        super().__init__(f"`{' '.join(command)}` ended with {returncode}: {output.strip()[-2000:]}")


def run(command, timeout=60, check=True, stdin=None, cwd=None):
    """Runs to the end; returns the CompletedProcess with text output (stderr kept apart)."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                          cwd=cwd)
    if check and done.returncode != 0:
        raise CommandFailed(command, done.returncode, done.stdout + done.stderr)
    return done


class Process:
    def __init__(self, name, command, log_path, env=None):
        self.name, self.command, self.log_path = name, command, log_path
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_die_with_parent, env=env)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def wait(self, timeout=60):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise wait.TimedOut(f"{self.name} still runs after {timeout} s") from None

    def wait_log(self, text, timeout=10):
        def seen():
            if text in self.log():
                return True
            if not self.running():
                raise CommandFailed(self.command, self.popen.returncode, self.log())
            return False
        wait.until(seen, timeout, f"`{text}` in the output of {self.name} ({self.log_path})")

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, timeout=5):
        """Asks, waits, then kills; with its own process group, so that its children end too."""
        if self.running():
            self._signal_group(signal.SIGTERM)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return self.popen.returncode

    def kill(self):
        self._signal_group(signal.SIGKILL)
        self.popen.wait()

    def _signal_group(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass
