"""When the store can't be asked: SERVFAIL and a line that says why, never NXDOMAIN."""

import shutil
import stat

import dns.query
import dns.rcode
import pytest

import serving


def corrupt(directory):
    database = directory / "dc.db"
    for side in ("dc.db-wal", "dc.db-shm"):
        (directory / side).unlink(missing_ok=True)
    database.write_bytes(b"this is no database at all" * 400)


def test_missing_database(folder):
    (folder / "store").mkdir()
    with serving.Server(folder, folder / "store", wait=False) as server:
        reply = serving.eventually(lambda: server.ask("example.org", "SOA", timeout=0.3))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert server.ask("mn.example.org", "A").rcode() == dns.rcode.SERVFAIL
        assert "dc.db" in server.log()
        # It heals without a restart.
        with serving.Store(folder / "store") as store:
            serving.example_zone(store)
            assert server.values("www.example.org", "A") == ["192.0.2.80", "192.0.2.81"]


def test_corrupt_database(folder):
    with serving.Store(folder / "store") as store:
        serving.example_zone(store)
    corrupt(folder / "store")
    with serving.Server(folder, folder / "store", wait=False) as server:
        reply = serving.eventually(lambda: server.ask("www.example.org", "A", timeout=0.3))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert "ntmobile: " in server.log() and "dc.db" in server.log()


def test_database_that_breaks_and_is_restored_meanwhile(folder, store):
    serving.example_zone(store)
    store.close()
    saved = folder / "saved.db"
    shutil.copy(store.directory / "dc.db", saved)
    with serving.Server(folder, store.directory) as server:
        assert server.values("www.example.org", "A") == ["192.0.2.80", "192.0.2.81"]
        corrupt(store.directory)
        for owner in ("www.example.org", "absent.example.org", "mn.example.org"):
            assert server.ask(owner, "A").rcode() == dns.rcode.SERVFAIL
        restored = store.directory / "restored"
        shutil.copy(saved, restored)
        restored.rename(store.directory / "dc.db")
        assert server.values("www.example.org", "A") == ["192.0.2.80", "192.0.2.81"]


def test_store_that_the_server_may_not_read(folder, store):
    serving.example_zone(store)
    store.directory.chmod(0o700)
    with serving.Server(folder, store.directory, user="pdns", wait=False) as server:
        reply = serving.eventually(lambda: server.ask("www.example.org", "A", timeout=0.3))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert "ntmobile: " in server.log() and str(store.directory) in server.log()


def test_transfer_of_a_missing_database_fails(folder):
    (folder / "store").mkdir()
    with serving.Server(folder, folder / "store", wait=False) as server:
        serving.eventually(lambda: server.ask("example.org", "SOA", timeout=0.3))
        with pytest.raises(Exception):
            list(dns.query.xfr("127.0.0.1", "example.org", port=server.port, lifetime=5))


def test_unprivileged_server_reads_the_store(folder, store):
    """The pdns user, which shares only the folder's group with the director."""
    serving.example_zone(store)
    for path in [store.directory, *store.directory.iterdir()]:
        shutil.chown(path, group="pdns")
    mode = stat.S_IMODE(store.directory.stat().st_mode)
    assert mode == 0o2770
    with serving.Server(folder, store.directory, user="pdns") as server:
        for counter in range(1, 20):
            store.commit(f"location 3 {counter} v4=203.0.113.{counter}:40000")
            assert server.values("mn.example.org", "A") == [f"203.0.113.{counter}"]


def test_another_release_is_refused(folder, store):
    """The same module with another release written into it: the server must not start."""
    serving.example_zone(store)
    modules = folder / "patched"
    modules.mkdir()
    code = serving.module().read_bytes()
    release = serving.pdns_release()
    other = "9" + release[1:]
    assert code.count(release.encode() + b"\0") >= 1
    code = code.replace(release.encode() + b"\0", other.encode() + b"\0")
    (modules / serving.module().name).write_bytes(code)
    with serving.Server(folder, store.directory, wait=False, modules=modules) as server:
        assert server.process.wait(timeout=20) != 0
        assert f"built for PowerDNS {other} and refuses" in server.log()
