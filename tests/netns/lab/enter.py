"""`tests/netns/enter NAMESPACE [COMMAND…]`: a command inside a running lab's host, seeing the
folders that the lab gave that host (Namespace.give_own_folder)."""

import json
import os
import pathlib
import sys

from . import core

_FOLDERS = ("/etc/ntmobile", "/run/ntmobile", "/var/lib/ntmobile")


def main():
    full_name, command = sys.argv[1], sys.argv[2:] or [os.environ.get("SHELL", "/bin/sh")]
    prefix, _, name = full_name.partition("-")
    state = pathlib.Path(f"/run/ntm-lab/{prefix}-.json")
    if not state.exists():
        sys.exit(f"enter: no lab {prefix} is running; `ip netns list` shows the namespaces")
    logs = pathlib.Path(json.loads(state.read_text())["logs"])
    mounts = [(logs / f"{name}{path.replace('/', '-')}", path) for path in _FOLDERS]
    script = " && ".join([f"mount --bind '{own}' '{path}'" for own, path in mounts
                          if own.is_dir()] + ['exec "$@"'])
    programs = core.program("ntm").parent
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    os.execvp("ip", ["ip", "netns", "exec", full_name, "sh", "-c", script, "sh", *command])


if __name__ == "__main__":
    main()
