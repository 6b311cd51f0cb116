"""Every program on bad input: one clear line that says what to do, a failure as exit status, and
nothing changed. The files of a host are compared byte by byte, with owner and mode."""

import hashlib
import json
import os
import shutil
import sqlite3

import pytest

from lab import core, system

ADDRESS = "198.51.100.18"
USAGE = 2


class Machine(system.Host):
    """A host that is alone in the world: its network has nothing but the gateway."""

    hidden = ()  # folders that the programs find empty

    def __init__(self, lab):
        super().__init__(lab.namespace("host"))
        self.gateway = lab.namespace("gateway")
        lab.veth(self.space, "eth0", self.gateway, "eth0")
        self.gateway.ip("address add 198.51.100.17/28 dev eth0", "link set eth0 up")
        self.space.ip(f"address add {ADDRESS}/28 dev eth0", "link set eth0 up",
                      "route add default via 198.51.100.17")

    def path(self, absolute):
        """Where a file of this machine is for the test."""
        mount = next(p for p in self.folders if absolute.startswith(p))
        return self.folders[mount] / absolute[len(mount):].lstrip("/")

    def state(self):
        found = {}
        for folder in self.folders.values():
            for path in sorted(folder.rglob("*")):
                info = path.lstat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path)] = (info.st_mode, info.st_uid, content)
        return found

    def refuses(self, program, *words, says, status=None, changes=(), timeout=20):
        """Runs it; it must end by itself with one line of stderr that has every text of `says`."""
        before = self.state()
        command = [core.program(program), *words]
        if self.hidden:  # in the mount namespace that the command has anyway
            mounts = " && ".join(f"mount -t tmpfs none {folder}" for folder in self.hidden)
            command = ["sh", "-c", f'{mounts} && exec "$@"', "sh", *command]
        done = self.space.run(*command, check=False, timeout=timeout)
        lines = done.stderr.strip().splitlines()
        print(done.stderr.strip())
        assert done.returncode not in (0, -6, -11), done
        if status is not None:
            assert done.returncode == status
        assert len(lines) == 1, f"not one line: {done.stderr!r}"
        assert lines[0].startswith(f"{program}: "), lines[0]
        for text in says:
            assert text in lines[0], f"no `{text}` in: {lines[0]}"
        assert done.stdout == ""
        after = self.state()
        for path in changes:
            before.pop(str(path), None)
            after.pop(str(path), None)
        assert after == before
        return lines[0]


@pytest.fixture(scope="module")
def lab(request):
    failed_before = request.session.testsfailed
    with core.Lab() as made:
        yield made
        made.keep_logs = request.session.testsfailed > failed_before


@pytest.fixture(scope="module")
def machine(lab):
    """A DC, a relay's configuration and nothing of a terminal."""
    made = Machine(lab)
    made.ntm("dc", "init", "--zone", "mn.example", "--address", ADDRESS)
    (made.path("/etc/ntmobile/relay.toml")).write_text(f'addresses = ["{ADDRESS}"]\n')
    return made


@pytest.fixture
def director(machine):
    """The DC's files as `ntm dc init` left them, again after the test."""
    kept = machine.space.lab.logs / "kept"
    folder = machine.path("/var/lib/ntmobile")
    shutil.copytree(folder, kept)
    yield machine
    shutil.rmtree(folder / "dc")
    shutil.copytree(kept / "dc", folder / "dc")
    shutil.rmtree(kept)


def _database(machine):
    return machine.path("/var/lib/ntmobile/dc/dc.db")


def _execute(path, *statements):
    database = sqlite3.connect(path)
    rows = [row for statement in statements for row in database.execute(statement).fetchall()]
    database.commit()
    database.close()
    return rows


def _truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def _random_bytes(path):
    path.write_bytes(os.urandom(path.stat().st_size))


def _other_application(path):
    path.unlink()
    _execute(path, "PRAGMA application_id = 77", "CREATE TABLE photos (id INTEGER)")


def _newer_schema(path):
    (version,) = _execute(path, "PRAGMA user_version")[0]
    _execute(path, f"PRAGMA user_version = {version + 1}")


@pytest.mark.parametrize("damage, says", [
    (_truncate, ["dc.db", "damaged", "put back"]),
    (_random_bytes, ["dc.db", "not a database of ntmobile"]),
    (_other_application, ["dc.db", "database of another program; check the path"]),
    (_newer_schema, ["dc.db", "install the newer version"]),
    (os.unlink, ["dc.db", "ntm dc init"]),
])
def test_director_refuses_a_database_it_cannot_use(director, damage, says):
    assert not _database(director).with_name("dc.db-wal").exists()  # all is in dc.db
    damage(_database(director))
    director.refuses("ntm-director", says=says, status=1)


# Configuration

_CONFIGURATIONS = {"ntm-director": "/etc/ntmobile/director.toml",
                   "ntm-relay": "/etc/ntmobile/relay.toml",
                   "ntm-terminal": "/etc/ntmobile/terminal.toml"}


@pytest.fixture
def configuration(machine, request):
    """(program, its file); the file is put back after the test."""
    program = request.param
    path = machine.path(_CONFIGURATIONS[program])
    kept = path.read_bytes() if path.exists() else b""
    path.write_bytes(kept)
    yield program, path
    path.write_bytes(kept)
    if not kept:
        path.unlink()


@pytest.mark.parametrize("configuration", _CONFIGURATIONS, indirect=True)
@pytest.mark.parametrize("line, says", [
    ("prot = 4753", ["prot"]),
    ("port = 70000", ["port", "65535"]),
    ('port = "many"', ["port", "65535"]),
    ("log_level = 3", ["log_level"]),
    ('log_level = "loud"', ["log_level", "debug"]),
    ("port = = 3", []),
], ids=["unknown-key", "out-of-range", "text", "number", "level", "syntax"])
@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
def test_a_typing_error_in_a_configuration(machine, configuration, line, says, check):
    program, path = configuration
    # In front, because behind there may be a table; a key must not be there twice.
    key = line.split(" = ")[0]
    rest = [old for old in path.read_text().splitlines() if not old.startswith(f"{key} =")]
    path.write_text("\n".join(["# first line", line, *rest, ""]))
    words = ["--check-config"] if check else []
    machine.refuses(program, *words, says=[f"{_CONFIGURATIONS[program]}:2: ", *says], status=USAGE)


def test_a_program_without_configuration(machine):
    nowhere = "/etc/ntmobile/none.toml"
    machine.refuses("ntm-director", "--config", nowhere, says=[nowhere, "ntm dc init"],
                    status=USAGE)
    machine.refuses("ntm-relay", "--config", nowhere, says=[nowhere, "addresses"], status=USAGE)
    machine.refuses("ntm-terminal", says=["ntm join TOKEN"], status=1)


@pytest.mark.parametrize("program", ["ntm", "ntm-director", "ntm-relay", "ntm-terminal"])
@pytest.mark.parametrize("words", [["--colour"], ["status", "--colour"], ["extra"]])
def test_an_unknown_option(machine, program, words):
    machine.refuses(program, *words, says=[words[-1], "--help"], status=USAGE)


def test_ntm_without_a_command(machine):
    machine.refuses("ntm", says=["--help"], status=USAGE)
    machine.refuses("ntm", "dc", says=["--help"], status=USAGE)
    machine.refuses("ntm", "join", says=["TOKEN", "--help"], status=USAGE)


# Keys

def _short(path):
    path.write_bytes(path.read_bytes()[:31])


def _long(path):
    path.write_bytes(path.read_bytes() + b"\n")


def _hexadecimal(path):
    path.write_text(path.read_bytes().hex() + "\n")


def _world_readable(path):
    path.chmod(0o644)


def _other_key(path):
    path.write_bytes(os.urandom(32))


_KEY_DAMAGE = [(_short, ["not a key file", "32 bytes", "backup"]),
               (_long, ["not a key file", "32 bytes", "backup"]),
               (_hexadecimal, ["not a key file", "32 bytes", "backup"]),
               (_world_readable, ["can be read by others", "chmod 600"]),
               (os.unlink, ["does not exist", "backup"])]


@pytest.mark.parametrize("name", ["dc.key", "reset.key"])
@pytest.mark.parametrize("damage, says", _KEY_DAMAGE)
def test_director_refuses_a_bad_key(director, name, damage, says):
    damage(director.path(f"/var/lib/ntmobile/dc/{name}"))
    director.refuses("ntm-director", says=[f"/var/lib/ntmobile/dc/{name}", *says], status=1)


def test_director_refuses_the_key_of_another_zone(director):
    _other_key(director.path("/var/lib/ntmobile/dc/dc.key"))
    director.refuses("ntm-director", says=["dc.key", "not the key of zone mn.example",
                                           "put the right key file back"], status=1)


# Ports and devices

_HOLD_PORT = """
import socket, sys, time
held = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, int(sys.argv[1])))
    held.append(s)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def held_port(machine):
    holder = machine.space.spawn("holder", "python3", "-c", _HOLD_PORT, system.PORT)
    holder.wait_log("held")
    yield system.PORT
    holder.stop()


def test_a_port_that_another_program_has(director, held_port):
    for program in ("ntm-director", "ntm-relay"):
        line = director.refuses(program, says=[f"UDP port {held_port}", "in use", "ss -ul"],
                                status=1, changes=_FIRST_FILES[program](director))
        assert "another port" in line


def _relay_files(machine):
    folder = machine.path("/var/lib/ntmobile/relay")
    return [folder, *(folder / name for name in ("relay.key", "reset.key"))]


# A relay makes its keys at its first start, before it opens its socket.
_FIRST_FILES = {"ntm-director": lambda machine: [], "ntm-relay": _relay_files}


@pytest.fixture
def relay(machine):
    """Folder of a relay that has been started once; it does not run."""
    machine.start_program("ntm-relay")
    machine.wait_status(lambda status: True, "the relay", "relay", "status")
    machine.stop()
    folder = machine.path("/var/lib/ntmobile/relay")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["relay.key", "reset.key"])
@pytest.mark.parametrize("damage, says", [d for d in _KEY_DAMAGE if d[0] is not os.unlink])
def test_relay_refuses_a_bad_key(machine, relay, name, damage, says):
    damage(relay / name)
    machine.refuses("ntm-relay", says=[f"/var/lib/ntmobile/relay/{name}", *says], status=1)


@pytest.mark.parametrize("name, says", [("counter", "remove it"),
                                        ("dc-00.json", "ntm relay join TOKEN")])
def test_relay_refuses_a_damaged_file(machine, relay, name, says):
    (relay / name).write_bytes(os.urandom(5))
    machine.refuses("ntm-relay", says=[f"/var/lib/ntmobile/relay/{name}", says], status=1)


def test_a_dns_port_that_another_program_has(director):
    holder = director.space.spawn("holder-53", "python3", "-c", _HOLD_PORT, 53)
    holder.wait_log("held")
    try:
        director.refuses("ntm-director", "--with-dns", says=["port 53", "in use", "dns.listen"],
                         status=1)
    finally:
        holder.stop()


def test_a_second_daemon(director):
    director.start_program("ntm-relay")
    director.wait_status(lambda status: True, "the relay", "relay", "status")
    try:
        director.refuses("ntm-relay", says=["in use"], status=1)
        # The first one is none the worse.
        assert director.ntm_json("relay", "status")["ok"]
    finally:
        director.stop()
        shutil.rmtree(director.path("/var/lib/ntmobile/relay"))


def test_relay_join_with_a_malformed_token(director):
    director.start_program("ntm-relay")
    director.wait_status(lambda status: True, "the relay", "relay", "status")
    try:
        for token in ("nonsense", "ntm1aaaa", ""):
            director.refuses("ntm", "relay", "join", token, says=["token"], status=1)
        assert director.ntm_json("relay", "status")["dcs"] == []
    finally:
        director.stop()
        shutil.rmtree(director.path("/var/lib/ntmobile/relay"))


# Nobody there

_VERBS = [("director.sock", "ntm-director", words) for words in (
    ["dc", "status"], ["dc", "zone", "list"], ["dc", "zone", "show"],
    ["dc", "zone", "add", "x.example"], ["dc", "zone", "set", "mn.example", "--policy", "closed"],
    ["dc", "terminal", "add", "t"], ["dc", "terminal", "token", "t"], ["dc", "terminal", "list"],
    ["dc", "terminal", "show", "t"], ["dc", "terminal", "remove", "t"], ["dc", "relay", "add", "r"],
    ["dc", "relay", "list"], ["dc", "relay", "remove", "r"], ["dc", "peer", "list"],
    ["dc", "peer", "add", "x.example", "00" * 32], ["dc", "peer", "remove", "x.example"])]
_VERBS += [("relay.sock", "ntm-relay", words) for words in (
    ["relay", "status"], ["relay", "join", "ntm1aaaa"])]
_VERBS += [("terminal.sock", "ntm up", words) for words in (
    ["status"], ["down"], ["ping", "x.example"], ["lookup", "x.example"], ["forget", "x.example"])]


@pytest.mark.parametrize("socket, start, words", _VERBS, ids=[" ".join(v[2][:3]) for v in _VERBS])
def test_a_command_when_its_daemon_does_not_run(machine, socket, start, words):
    machine.refuses("ntm", *words, says=[f"/run/ntmobile/{socket}", f"start it: {start}"],
                    status=1)


def test_up_without_an_identity(machine):
    machine.refuses("ntm", "up", says=["has not joined", "ntm join TOKEN"], status=1)


def test_init_over_an_existing_dc(machine):
    machine.refuses("ntm", "dc", "init", "--zone", "other.example", "--address", ADDRESS,
                    says=["set up already", "nothing was changed"], status=1)


@pytest.mark.parametrize("words, says", [
    (["--zone", "", "--address", ADDRESS], ["--zone"]),
    (["--zone", "a..b", "--address", ADDRESS], ["--zone"]),
    (["--zone", "x.example", "--address", "127.0.0.1"], ["--address", "127.0.0.1"]),
    (["--zone", "x.example", "--address", "1.2.3"], ["--address", "1.2.3"]),
    (["--zone", "x.example", "--address", ADDRESS, "--pool4", "10.0.0.0/33"], ["--pool4"]),
    (["--zone", "x.example", "--address", ADDRESS, "--pool4", "10.0.0.0/31"], ["--pool4", "29"]),
])
def test_init_with_bad_words(machine, words, says):
    machine.refuses("ntm", "dc", "init", "--data", "/var/lib/ntmobile/other", "--config",
                    "/etc/ntmobile/other.toml", *words, says=says, status=1)


# Joining

_TERMINAL = "/var/lib/ntmobile/terminal"


@pytest.fixture(scope="module")
def network(lab, machine):
    """The DC runs; a second machine is to become a terminal of it."""
    machine.start_program("ntm-director")
    machine.wait_status(lambda status: True, "the director", "dc", "status")
    yield Guest(machine)
    machine.stop()


class Guest(Machine):
    """The DC's neighbour."""

    def __init__(self, dc):
        system.Host.__init__(self, dc.gateway)
        self.dc = dc
        for folder in self.folders.values():
            assert not list(folder.iterdir())

    def token(self, name):
        return self.dc.ntm("dc", "terminal", "add", name, "--token-only").strip()


def _change_letter(token):
    return token[:20] + ("a" if token[20] != "a" else "b") + token[21:]


@pytest.mark.parametrize("spoil, says", [
    (lambda token: "nonsense", ["token"]),
    (lambda token: token[:40], ["token"]),
    (_change_letter, ["token"]),
    (lambda token: "", ["token"]),
])
def test_join_with_a_malformed_token(network, spoil, says):
    line = network.refuses("ntm", "join", spoil(network.token(f"m{os.urandom(4).hex()}")),
                           says=says, status=1)
    assert any(text in line for text in ("copy", "whole", "must begin")), "not what to do"


_SILENCE = ["does not answer", "used up or expired", "ntm dc terminal token NAME", "--later"]


def _refuses_to_join(network, token, *words, says=_SILENCE):
    """Said by the daemon's --enrol. To an unknown token a DC is silent; that takes its 6 s."""
    before = network.state()
    done = network.space.run(core.program("ntm"), "join", *words, token, check=False)
    print(done.stderr)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("ntm-terminal: ")
    for text in says:
        assert text in line
    assert network.state() == before


def test_join_with_an_expired_token(network):
    token = network.token("late")
    dc = network.dc
    dc.stop()
    path = _database(dc)
    assert len(_execute(path, "SELECT id FROM token WHERE expires > 1000 AND subject = ("
                              "SELECT name FROM terminal ORDER BY created DESC LIMIT 1)")) == 1
    _execute(path, "UPDATE token SET expires = 1000")
    dc.start_program("ntm-director")
    dc.wait_status(lambda status: True, "the director", "dc", "status")
    _refuses_to_join(network, token)


def _empty(network):
    """The machine forgets that it was a terminal; returns what puts it back."""
    kept = {path: (path.read_bytes(), path.stat().st_mode & 0o777)
            for folder in network.folders.values() for path in folder.rglob("*") if path.is_file()}
    for path in kept:
        path.unlink()
    network.path(_TERMINAL).rmdir()

    def put_back():
        network.path(_TERMINAL).mkdir(mode=0o700)
        for path, (content, mode) in kept.items():
            path.write_bytes(content)
            path.chmod(mode)

    return put_back


def test_join_with_a_used_token(network):
    token = network.token("twice")
    network.ntm("join", token)
    network.refuses("ntm", "join", token, says=["joined already as twice.mn.example", "--again"],
                    status=1)
    put_back = _empty(network)
    _refuses_to_join(network, token, says=["the token is used up"])
    put_back()


def test_joining_again_in_vain_keeps_the_name(network):
    token = network.token("third")
    network.dc.ntm("dc", "terminal", "remove", "third")
    identity = json.loads(network.path(f"{_TERMINAL}/identity.json").read_text())
    assert identity["name"] == "twice.mn.example"
    _refuses_to_join(network, token, "--again")


def test_join_later_makes_all_but_the_registration(network):
    put_back = _empty(network)
    token = network.token("later")
    assert "later.mn.example" in network.ntm("join", "--later", token)
    identity = json.loads(network.path(f"{_TERMINAL}/identity.json").read_text())
    assert identity["token"] == token and identity["name"] == "later.mn.example"
    shown = network.dc.ntm_json("dc", "terminal", "show", "later")
    assert shown["state"] != "online"
    _empty(network)
    put_back()


def test_a_relays_token_makes_no_terminal(network):
    put_back = _empty(network)
    token = network.dc.ntm("dc", "relay", "add", "rs", "--token-only").strip()
    _refuses_to_join(network, token)
    put_back()


# A terminal that has joined


@pytest.fixture
def joined(network):
    if not network.path(f"{_TERMINAL}/identity.json").exists():
        network.ntm("join", network.token("joined"))
    kept = network.space.lab.logs / "kept-terminal"
    shutil.copytree(network.path(_TERMINAL), kept)
    yield network
    shutil.rmtree(network.path(_TERMINAL))
    shutil.copytree(kept, network.path(_TERMINAL))
    shutil.rmtree(kept)


@pytest.mark.parametrize("name", ["terminal.key", "reset.key"])
@pytest.mark.parametrize("damage, says", _KEY_DAMAGE)
def test_terminal_refuses_a_bad_key(joined, name, damage, says):
    damage(joined.path(f"{_TERMINAL}/{name}"))
    joined.refuses("ntm-terminal", says=[f"{_TERMINAL}/{name}", *says], status=1)


@pytest.mark.parametrize("name, says", [("identity.json", ["join again with a new token"]),
                                        ("state.json", ["move it away and start again"])])
@pytest.mark.parametrize("damage", [_truncate, _random_bytes])
def test_terminal_refuses_a_damaged_file(joined, name, damage, says):
    damage(joined.path(f"{_TERMINAL}/{name}"))
    joined.refuses("ntm-terminal", says=[f"{_TERMINAL}/{name}", "damaged", *says], status=1)


def test_terminal_without_the_tun_device(joined):
    joined.hidden = ["/dev/net"]
    try:
        joined.refuses("ntm-terminal", says=["/dev/net/tun", "modprobe tun"], status=1)
    finally:
        joined.hidden = []


def test_terminal_with_a_port_that_another_program_has(joined):
    config = joined.path("/etc/ntmobile/terminal.toml")
    kept = config.read_text()
    config.write_text(f"port = {system.PORT}\n" + kept)
    holder = joined.space.spawn("holder-terminal", "python3", "-c", _HOLD_PORT, system.PORT)
    holder.wait_log("held")
    try:
        joined.refuses("ntm-terminal", says=[f"UDP port {system.PORT}", "in use", "another port"],
                       status=1)
    finally:
        holder.stop()
        config.write_text(kept)
