"""Never a stale answer: what was acknowledged before a question is in the question's answer."""

import threading

import dns.query

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


def test_a_transfer_is_one_snapshot(server, store):
    """Two terminals always move together in one commit order: t0 first. A transfer that mixed two
    moments could show t0 behind t1."""
    for thread in range(2):
        key = bytes([thread + 1] * 32).hex()
        store.commit(f"terminal {10 + thread} 7 t{thread}.example.org 198.18.1.{thread} - {key}")
    stop = threading.Event()

    def move():
        for counter in range(1, 100000):
            if stop.is_set():
                return
            for thread in range(2):
                store.commit(f"location {10 + thread} {counter} v4={address(1, counter)}:40000")

    mover = threading.Thread(target=move)
    mover.start()
    seen = set()
    try:
        for _ in range(40):
            shown = {}
            for message in dns.query.xfr("127.0.0.1", "example.org", port=server.port,
                                         relativize=False):
                for rrset in message.answer:
                    if rrset.rdtype == 1 and rrset.name.to_text()[:2] in ("t0", "t1"):
                        octets = rrset[0].to_text().split(".")
                        shown[rrset.name.to_text()[:2]] = int(octets[2]) * 256 + int(octets[3])
            if len(shown) == 2:
                assert shown["t0"] - shown["t1"] in (0, 1), shown
                seen.add(shown["t0"])
    finally:
        stop.set()
        mover.join()
    assert len(seen) > 10  # the moves did go on meanwhile
