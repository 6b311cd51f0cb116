"""What NTMobile costs the look-up of an ordinary name (the paper: 4 x). The resolver is 20 ms away
and has the address cached; asked through the stub at MN and, in the same round, directly from a
host without NTMobile at the same distance. Every round takes a new name, asked twice:

  cold     the authority answers that the NTM types do not exist, the resolver does not know yet
  dropped  the authority drops questions for types that it does not know, as some firewalls do

Last with a resolver on the machine itself, where nothing hides what the stub costs.
"""

import json
import sys

from lab import cases, core, dns, system, world

from .figures import Figure

ROUNDS = 20
_UPSTREAM_MS = 20.0
_PROBE = cases.LAB / "dns_probe.py"
# Question type of NAME.any.plain.example with a NAME of four letters, counted from the UDP header.
_TYPE_OFFSET_BITS = 8 * (8 + 12 + len("nnnn.any.plain.example") + 2)


def _drop_ntm_questions(net, on):
    types = "{ 65341, 65342 }"
    rule = f"udp dport 53 @th,{_TYPE_OFFSET_BITS},16 {types} drop" if on else ""
    net.www.nft("table inet firewall\ndelete table inet firewall\ntable inet firewall {\n"
                "  chain in {\n    type filter hook input priority filter\n"
                f"    {rule}\n  }}\n}}\n")


def _ask(space, name, *server):
    answer = json.loads(space.output(sys.executable, _PROBE, name, "A", *server))
    if not answer["answers"]:
        raise RuntimeError(f"no address for {name} from {space.name}: {answer}")
    return answer["ms"]


def _figures():
    def figure(metric, goal):
        return Figure("lookup", metric, "ms over upstream", "lower", goal)
    return {("cold", 1): figure("NTM types cold, first time", 35.0),
            ("cold", 2): figure("NTM types cold, second time", 0.1 * _UPSTREAM_MS),
            ("dropped", 1): figure("NTM types dropped, first time", 35.0),
            ("dropped", 2): figure("NTM types dropped, second time", 0.1 * _UPSTREAM_MS)}


def _on_loopback(net, under_test, rounds, say):
    """The second question for a name, with a resolver of its own on MN and on a host without us."""
    figure = Figure("lookup", "resolver on loopback", "ms over upstream", "lower", 0.3)
    local = [dns.Unbound(space, ["127.0.0.1"], [net.address("root", 4)])
             for space in (net.mn.space, net.dc_cn)]
    for resolver in local:
        resolver.wait_ready()
    net.mn.space.set_resolvers(["127.0.0.1"])
    under_test.mn.stop()
    under_test.mn.start()
    under_test.mn.wait_registered()
    for number in range(rounds):
        name = f"n2{number:02d}.any.plain.example"
        for space in (net.mn.space, net.dc_cn):
            _ask(space, name, "127.0.0.1")
        upstream, ours = (min(_ask(space, name, "127.0.0.1") for _ in range(3))
                          for space in (net.dc_cn, net.mn.space))
        figure.add(round(ours - upstream, 3))
        say(f"  {name} (loopback): {ours:.2f} ms, upstream {upstream:.2f} ms")
    return figure


def run(rounds, say):
    figures = _figures()
    worst_second = Figure("lookup", "second time, worst of all", "ms over upstream", "lower", 2.0)
    with core.Lab(keep_logs=False) as lab:
        net = world.Figure7(lab)
        under_test = system.System(net, say)
        under_test.start()
        for site in ("mn_3g", "dc_cn"):
            net.set_round_trip(site, "dc_mn", _UPSTREAM_MS)
        resolver = net.resolver_address(4)
        seconds = {"ours": [], "upstream": []}
        for number in range(rounds):
            for serial, kind in enumerate(("cold", "dropped")):
                _drop_ntm_questions(net, kind == "dropped")
                name = f"n{serial}{number:02d}.any.plain.example"
                _ask(net.dc_cn, name, resolver)  # now the resolver has the address
                for time in (1, 2):
                    upstream = _ask(net.dc_cn, name, resolver)
                    ours = _ask(net.mn.space, name)
                    figures[kind, time].add(round(ours - upstream, 3))
                    if time == 2:
                        seconds["ours"].append(ours)
                        seconds["upstream"].append(upstream)
                    say(f"  {name} ({kind}, {time}): {ours:.2f} ms, upstream {upstream:.2f} ms")
        _drop_ntm_questions(net, False)
        loopback = _on_loopback(net, under_test, rounds, say)
    # Both worsts, not the worst difference: the machine's own hiccups hit either side.
    worst_second.samples = [round(max(seconds["ours"]) - max(seconds["upstream"]), 3)]
    return [*figures.values(), worst_second, loopback]
