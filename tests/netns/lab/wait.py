"""Waiting for a condition. The lab never sleeps for a fixed time: machines differ, conditions
don't. This is the only file with a call to time.sleep."""

import time


class TimedOut(AssertionError):
    """What was waited for did not happen; an AssertionError so that a test fails, not errors."""


def until(condition, timeout, what, interval=0.01):
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(f"waited {timeout} s in vain for {what}")
        time.sleep(interval)


def pause(seconds):
    """A network-less gap or another stretch of time that is itself part of what is measured;
    never a substitute for waiting for a condition."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(left)
