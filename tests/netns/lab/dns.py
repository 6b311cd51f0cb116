"""Ordinary DNS software for the lab: knot as authority (root, parent, stand-ins for the DCs' own
servers), unbound as the resolver that the terminals use. Zones are unsigned."""

import json
import pathlib
import shutil

from . import core, wait


def _executable(lab, name):
    """The daemon; where AppArmor confines it to its system folders, a copy in the run's folder."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise core.Unusable(f"{name} is missing: run scripts/setup")
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    confined = pathlib.Path(f"/etc/apparmor.d/{path.strip('/').replace('/', '.')}").exists()
    if not (confined and enabled.exists() and enabled.read_text().startswith("Y")):
        return path
    copy = lab.logs / f"bin-{name}"
    if not copy.exists():
        shutil.copy2(path, copy)
    return copy


def zone_text(origin, server_name, records):
    """A zone file: SOA, NS and `records` (lines of master file format, relative names allowed).
    The negative TTL is short so that a name that appears is seen soon."""
    head = [f"$ORIGIN {origin}", "$TTL 3600",
            f"@ SOA {server_name} hostmaster 1 3600 600 604800 5", f"@ NS {server_name}"]
    return "\n".join(head + list(records)) + "\n"


def delegation(child, server, addresses):
    """NS and glue lines for a parent zone."""
    lines = [f"{child} NS {server}"]
    return lines + [f"{server} {'AAAA' if ':' in a else 'A'} {a}" for a in addresses]


class Knot:
    """One knotd serving `zones` {origin: zone text} on `addresses`."""

    def __init__(self, space, name, addresses, zones):
        folder = space.lab.logs / f"knot-{space.name}-{name}"
        folder.mkdir()
        lines = ["server:", f'  rundir: "{folder}"', "  user: root:root",
                 "  udp-workers: 1", "  tcp-workers: 1", "  background-workers: 1"]
        lines += [f"  listen: {address}@53" for address in addresses]
        lines += ["log:", "  - target: stdout", "    any: info",
                  "database:", f'  storage: "{folder}"', "zone:"]
        for origin, text in zones.items():
            file = folder / ((origin.rstrip(".") or "root") + ".zone")
            file.write_text(text)
            lines += [f'  - domain: "{origin}"', f'    file: "{file}"']
        config = folder / "knot.conf"
        config.write_text("\n".join(lines) + "\n")
        self.process = space.spawn(f"knot-{name}", _executable(space.lab, "knotd"), "-c", config)
        self._space, self._addresses, self._zones = space, addresses, zones

    def wait_ready(self):
        wait.until(self._answers, 20, f"knot in {self._space.name} to serve {list(self._zones)}")

    def _answers(self):
        if not self.process.running():
            raise RuntimeError("knotd ended: " + self.process.log())
        return all(dig(self._space, self._addresses[0], origin, "SOA")["status"] == "NOERROR"
                   for origin in self._zones)


class Unbound:
    """The recursive resolver; it starts at the lab's root and knows nothing of the real one."""

    def __init__(self, space, addresses, root_addresses):
        self._space, self.addresses = space, addresses
        folder = space.lab.logs / f"unbound-{space.name}"
        folder.mkdir()
        hints = folder / "root.hints"
        lines = [". 3600 NS a.root."]
        lines += [f"a.root. 3600 {'AAAA' if ':' in a else 'A'} {a}" for a in root_addresses]
        hints.write_text("\n".join(lines) + "\n")
        self._control = folder / "control.sock"
        self._config = folder / "unbound.conf"
        self._config.write_text(f"""
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: "{folder}/unbound.pid"
  use-syslog: no
  do-daemonize: no
  verbosity: 1
  num-threads: 1
  module-config: "iterator"
  root-hints: "{hints}"
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  {"".join(f'''
  interface: {address}''' for address in addresses)}
remote-control:
  control-enable: yes
  control-interface: "{self._control}"
  control-use-cert: no
""")
        self.process = space.spawn("unbound", _executable(space.lab, "unbound"), "-d", "-c",
                                   self._config)

    def wait_ready(self):
        wait.until(self._control.exists, 20, "unbound's control socket")
        self._space.wait_listening(53, "udp")

    def control(self, *words):
        return self._space.output("unbound-control", "-c", self._config, *words)

    def forget_zone(self, zone):
        """Drops the cached data of a zone (also its delegation)."""
        self.control("flush_zone", zone)

    def forget_name(self, name):
        for kind in ("A", "AAAA", "TYPE65341", "TYPE65342"):
            self.control("flush_type", name, kind)


def dig(space, server, name, kind="A", options=(), timeout=5):
    """Asks `server` from `space`: {"status", "answers": [(name, type, data)], "ms"}."""
    done = space.run("dig", f"@{server}", name, kind, "+tries=1", f"+time={timeout}", *options,
                     timeout=timeout + 5, check=False)
    result = {"status": "NONE", "answers": [], "authority": [], "ms": None}
    section = ""
    for line in done.stdout.splitlines():
        if "status:" in line:
            result["status"] = line.split("status:")[1].split(",")[0].strip()
        elif line.startswith(";; Query time:"):
            result["ms"] = int(line.split()[3])
        elif line.startswith(";; ") and line.endswith(" SECTION:"):
            section = line.split()[1].lower()
        elif section in ("answer", "authority") and line and not line.startswith(";"):
            owner, _, _, rtype, data = line.split(None, 4)
            result["answers" if section == "answer" else section].append((owner, rtype, data))
    return result


def dump(result):
    return json.dumps(result, indent=1)
