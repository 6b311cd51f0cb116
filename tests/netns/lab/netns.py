"""One network namespace: commands and daemons inside it, its resolv.conf, its packet captures."""

import os
import pathlib
import signal

from . import process, wait

_ETC = pathlib.Path("/etc/netns")


class Namespace:
    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.full_name = lab.prefix + name
        self._folders = {}
        process.run(["ip", "netns", "add", self.full_name])
        self._etc = _ETC / self.full_name
        self._etc.mkdir(parents=True, exist_ok=True)
        self.resolv_conf = self._etc / "resolv.conf"
        self.set_resolvers([])
        self.sysctl(
            "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
            "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0",
            "net.ipv4.ping_group_range=0 2147483647")
        self.ip("link set lo up")

    def give_own_folder(self, path):
        """From now on `path` is a folder of this namespace's own for every command run in it, so
        that several hosts' programs find their files at the usual places of one machine."""
        own = self.lab.logs / f"{self.name}{path.replace('/', '-')}"
        own.mkdir(exist_ok=True)
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)  # the mount point
        self._folders[path] = own
        return own

    def command(self, command):
        inside = ["ip", "netns", "exec", self.full_name]
        if self._folders:
            # `ip netns exec` has made a mount namespace; these mounts end with the command.
            mounts = " && ".join(f"mount --bind '{own}' '{path}'"
                                 for path, own in self._folders.items())
            inside += ["sh", "-c", f'{mounts} && exec "$@"', "sh"]
        return inside + [str(word) for word in command]

    def run(self, *command, timeout=60, check=True, stdin=None):
        return process.run(self.command(command), timeout=timeout, check=check, stdin=stdin)

    def output(self, *command, timeout=60):
        return self.run(*command, timeout=timeout).stdout

    def spawn(self, name, *command, env=None):
        """A daemon of this namespace; its output goes to LOGS/<namespace>-<name>.log."""
        log_path = self.lab.logs / f"{self.name}-{name}.log"
        return self.lab.adopt(process.Process(name, self.command(command), log_path, env))

    def ip(self, *lines):
        """Runs `ip` commands (without the word ip) in one batch."""
        process.run(["ip", "-n", self.full_name, "-batch", "-"], stdin="\n".join(lines) + "\n")

    def sysctl(self, *settings):
        self.run("sysctl", "-q", "-w", *settings)

    def nft(self, rules):
        self.run("nft", "-f", "-", stdin=rules)

    def set_resolvers(self, addresses):
        """Written in place: processes that have it bind-mounted see the change."""
        lines = [f"nameserver {address}\n" for address in addresses]
        self.resolv_conf.write_text("".join(lines) + "options timeout:2 attempts:2\n")

    def capture(self, interface="any"):
        """Starts a packet capture (headers only) and returns it once it is really capturing."""
        return Capture(self, interface)

    def ping(self, target, count=1, interval=0.2, timeout=10, options=()):
        """Round-trip times in ms, one per answer."""
        done = self.run("ping", "-n", "-c", count, "-i", interval, "-W", 2, *options, target,
                        timeout=timeout + count * interval, check=False)
        return [float(line.split("time=")[1].split()[0])
                for line in done.stdout.splitlines() if "time=" in line]

    def wait_ping(self, target, timeout=10):
        wait.until(lambda: self.ping(target), timeout, f"{target} to answer pings from {self.name}")

    def listening(self, port, protocol="tcp"):
        flag = "-t" if protocol == "tcp" else "-u"
        return bool(self.output("ss", "-Hln", flag, f"sport = :{port}").strip())

    def wait_listening(self, port, protocol="tcp", timeout=10):
        wait.until(lambda: self.listening(port, protocol), timeout,
                   f"port {port}/{protocol} to be open in {self.name}")

    def remove(self):
        remove_namespace(self.full_name)


class Capture:
    """tcpdump, in immediate mode and unbuffered, so that what was seen is in the file."""

    _SNAP = 192  # link, IP and transport headers with options, and the first bytes behind them

    def __init__(self, space, interface):
        folder = space.lab.pcap_dir
        serial = sum(1 for _ in folder.glob(f"{space.name}-{interface}-*.pcap"))
        self.path = folder / f"{space.name}-{interface}-{serial}.pcap"
        self._process = space.spawn(f"tcpdump-{interface}-{serial}", "tcpdump", "-i", interface,
                                    "-U", "-Z", "root", "--immediate-mode", "-s", self._SNAP,
                                    "-B", 16384, "-w", self.path)
        self._process.wait_log("listening on")

    def stop(self):
        """Ends the capture and returns its file."""
        self._process.stop()
        return self.path


def pids_in(full_name):
    done = process.run(["ip", "netns", "pids", full_name], check=False)
    return [int(pid) for pid in done.stdout.split()]


def remove_namespace(full_name):
    """Ends what still runs in a namespace of the lab, then removes it and its /etc/netns folder."""
    for pid in pids_in(full_name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.run(["ip", "netns", "del", full_name], check=False)
    folder = _ETC / full_name
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()
