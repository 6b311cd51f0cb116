"""Never a stale answer: what was acknowledged before a question is in the question's answer."""

import threading

import dns.query
import dns.rdatatype

import serving

MOVES, THREADS = 2000, 4


def address(thread, move):
    return f"203.{thread}.{move >> 8}.{move & 255}"


def follow(server, store, thread, moves, wrong):
    owner = f"t{thread}.example.org"
    for move in range(1, moves + 1):
        where = address(thread, move)
        store.commit(f"location {10 + thread} {move} v4={where}:40000")
        if server.values(owner, "A") != [where]:
            wrong.append((owner, move, "A"))
        reply = server.ask(owner, serving.NTMV4)
        if reply.answer[0][0].data[2:6] != bytes(int(part) for part in where.split(".")):
            wrong.append((owner, move, "NTMv4"))
        if len(wrong) > 5:
            return


def test_every_move_shows_at_once(folder, store):
    serving.example_zone(store)
    with serving.Server(folder, store.directory, {"distributor-threads": str(THREADS)}) as server:
        moves_show_at_once(server, store)


def moves_show_at_once(server, store):
    for thread in range(THREADS):
        key = bytes([thread + 1] * 32).hex()
        store.commit(f"terminal {10 + thread} 7 t{thread}.example.org 198.18.1.{thread} - {key}")
    wrong, failures = [], []

    def run(thread):
        try:
            follow(server, store, thread, MOVES // THREADS, wrong)
        except Exception as problem:  # reported by the test's own thread
            failures.append(problem)

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and not wrong


def moments(server):
    """What one transfer shows of the two things that change together: location, ordinary row."""
    location = row = None
    for message in dns.query.xfr("127.0.0.1", "example.org", port=server.port, relativize=False):
        for rrset in message.answer:
            if rrset.name.to_text() == "t0.example.org." and rrset.rdtype == dns.rdatatype.A:
                octets = rrset[0].to_text().split(".")
                location = int(octets[2]) * 256 + int(octets[3])
            if rrset.name.to_text() == "zz.example.org.":
                row = int(rrset[0].to_text().strip('"'))
    return location, row


def test_a_transfer_is_one_snapshot(server, store):
    """A location and then an ordinary row take the same number, over and over. A transfer that
    read them at two moments would show a row that is ahead, or far behind."""
    store.commit(f"terminal 10 7 t0.example.org 198.18.1.1 - {serving.OTHER_KEY}")
    # Terminals and rows are read one after the other: many terminals make time between the two.
    for number in range(1500):
        key = (number + 1).to_bytes(32, "big").hex()
        store.commit(f"terminal {100 + number} 7 u{number}.example.org - "
                     f"fd12:3456:789a::1:{number:x} {key}")
    stop = threading.Event()

    def move():
        for counter in range(1, 60000):
            if stop.is_set():
                return
            store.commit(f"location 10 {counter} v4={address(1, counter)}:40000")
            store.record("zz.example.org", "TXT", f'"{counter}"')

    mover = threading.Thread(target=move)
    mover.start()
    try:
        seen = [moments(server) for _ in range(40)]
    finally:
        stop.set()
        mover.join()
    seen = [(location, row) for location, row in seen if location and row]
    assert all(location - row in (0, 1) for location, row in seen), seen
    assert len(set(seen)) > 10  # the moves did go on meanwhile
