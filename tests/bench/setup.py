"""Set-up time (paper 5.3): question to answer at table 3's round trips, cases 1-1 and 1-2, beside
the same question answered without NTMobile (the resolver asked directly)."""

import json
import sys

from lab import cases, core, dns, system, world

from .figures import Figure

ROUNDS = 20


def _plain_ms(network):
    """What the paper compares with: an ordinary name, cold in the resolver, asked directly."""
    net = network.world
    net.resolver.forget_name("www.plain.example")
    answer = dns.dig(net.mn.space, net.resolver_address(6 if net.mn.attached == {"ap_ipv6"} else 4),
                     "www.plain.example")
    return answer["ms"]


def run(rounds, say):
    figures = {}
    for name, goal in (("1-1", None), ("1-2", None)):
        case = cases.CASES[name]
        figures[name] = Figure("setup", f"case {name}", "ms", "lower", goal or case.limit_ms,
                               {"paper": case.paper_ms})
    first = Figure("setup", "first contact of the two DCs", "ms", "lower")
    with core.Lab() as lab:
        under_test = system.System(world.Figure7(lab), say)
        under_test.start()
        outcome = cases.run_setup(under_test, cases.CASES["1-1"], capture=False)
        first.add(outcome.ms)
        for number in range(rounds):
            for name in ("1-1", "1-2"):
                outcome = cases.run_setup(under_test, cases.CASES[name], capture=False)
                sample = outcome.ms if outcome.extra["reached"] else None
                figures[name].add(sample, plain_dns=_plain_ms(under_test))
                say(f"  round {number + 1}: case {name} {outcome.ms:.1f} ms")
    return [first, *figures.values()]
