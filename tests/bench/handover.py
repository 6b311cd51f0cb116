"""Handover (paper 5.4): cases 2-1 and 2-2 during a TCP download, with no gap, 0.3 s and the paper's
gap without network, counted from the moment at which the new address is usable. Beside it, in the
same rounds and an equal lab, WireGuard with a hub (gap 0.3 s)."""

from lab import cases, core, system, world

from .figures import Figure
from .peers.wireguard_hub import WireGuardHub

ROUNDS = 3


def _figures(case, gap):
    about = f"case {case.name}, gap {gap:g} s"
    return {
        "tunnel_ms": Figure("handover", f"{about}: tunnel", "ms", "lower", case.tunnel_limit_ms,
                            {"paper": case.paper_tunnel_ms}),
        "tcp_stall_ms": Figure("handover", f"{about}: TCP flows", "ms", "lower", case.limit_ms,
                               {"paper": case.paper_ms}),
        "packets_lost": Figure("handover", f"{about}: lost of a stream", "packets", "lower"),
        "sha256_ok": Figure("handover", f"{about}: files intact", "share", "higher", 1.0),
    }


_PEER_GAP = 0.3


def run(rounds, say):
    found = {}
    with core.Lab(keep_logs=False) as lab, core.Lab(keep_logs=False) as peer_lab:
        under_test = system.System(world.Figure7(lab), say)
        under_test.start()
        peer = WireGuardHub(world.Figure7(peer_lab))
        peer.start()
        for number in range(rounds):
            for name in ("2-1", "2-2"):
                case = cases.CASES[name]
                for gap in (0.0, _PEER_GAP, case.paper_gap):
                    figures = found.setdefault((name, gap), _figures(case, gap))
                    _one(under_test, case, gap, figures, say, number)
                    if gap == _PEER_GAP:
                        _one_of_peer(peer, case, figures, say)
    return [figure for group in found.values() for figure in group.values()]


def _one(under_test, case, gap, figures, say, number):
    outcome = cases.run_handover(under_test, case, gap)
    for key, figure in figures.items():
        value = outcome.extra[key]
        figure.add(float(value) if key == "sha256_ok" else value)
    # Every run must be intact: a median would hide the one that is not.
    if 0.0 in figures["sha256_ok"].samples:
        figures["sha256_ok"].samples = [0.0] * len(figures["sha256_ok"].samples)
    say(f"  round {number + 1}: case {case.name}, gap {gap:g} s: tunnel "
        f"{outcome.extra['tunnel_ms']} ms, TCP {outcome.extra['tcp_stall_ms']} ms")


def _one_of_peer(peer, case, figures, say):
    extra = cases.run_handover(peer, case, _PEER_GAP).extra
    for key in ("tcp_stall_ms", "packets_lost"):
        figures[key].peer_samples.setdefault("wireguard-go via hub", []).append(extra[key])
    say(f"  WireGuard: TCP {extra['tcp_stall_ms']} ms, lost {extra['packets_lost']}")
