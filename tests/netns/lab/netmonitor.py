"""When the kernel said what about addresses and routes of a namespace, on the wall clock (the clock
of packet captures), so that "the moment the new address is usable" is the kernel's own word."""

import re
from dataclasses import dataclass
from datetime import datetime, timezone

from . import wait

_STAMP = re.compile(r"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)\]\s*(.*)")


@dataclass(frozen=True)
class Event:
    time: float      # seconds since the epoch
    text: str

    def gives_usable_address(self, interface):
        """A global address that may be used as a source: not tentative, or optimistic."""
        if self.text.startswith("Deleted") or f" {interface} " not in self.text:
            return False
        if "scope global" not in self.text or "inet" not in self.text:
            return False
        return "tentative" not in self.text or "optimistic" in self.text

    def gives_default_route(self, interface):
        return self.text.startswith("default ") and f"dev {interface}" in self.text

    def takes_carrier(self, interface):
        return bool(re.match(rf"\d+: {interface}[:@]", self.text)) and (
            "NO-CARRIER" in self.text or "state DOWN" in self.text)


class NetMonitor:
    def __init__(self, space):
        self.space = space
        serial = sum(1 for _ in space.lab.logs.glob(f"{space.name}-monitor*.log"))
        # Local time is UTC for this child, so that stamps need no time zone data.
        self._process = space.spawn(f"monitor{serial}", "env", "TZ=UTC", "stdbuf", "-oL", "ip",
                                    "-ts", "-o", "monitor", "link", "address", "route")
        pid = self._process.pid
        wait.until(lambda: f"/{pid}" in space.output("ss", "-Hf", "netlink"), 5,
                   f"the monitor of {space.name} to listen")

    def events(self):
        found = []
        for line in self._process.log().splitlines():
            match = _STAMP.match(line)
            if match:
                stamp = datetime.fromisoformat(match.group(1)).replace(tzinfo=timezone.utc)
                text = match.group(2).replace("\\", " ")
                found.append(Event(stamp.timestamp(), text))
        return found

    def usable_since(self, interface, after):
        """The first moment after `after` at which `interface` had both a usable address and a
        default route; None when it has not."""
        address = route = None
        for event in self.events():
            if event.time < after:
                continue
            if address is None and event.gives_usable_address(interface):
                address = event.time
            if route is None and event.gives_default_route(interface):
                route = event.time
        return max(address, route) if address and route else None

    def stop(self):
        self._process.stop()
