"""`scripts/bench`: runs the named benches (default: all) and writes their figures.

A bench is a file of this folder with a constant ROUNDS (its default) and a function
`run(rounds, say)` that returns a list of figures.Figure.
"""

import argparse
import importlib
import json
import pathlib
import sys
import time

from lab import core, timeline

_NOT_BENCHES = {"__init__", "figures", "run"}
MIN_ROUNDS = 3


def names():
    folder = pathlib.Path(__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if p.stem not in _NOT_BENCHES)


def _arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {' '.join(names())}")
    parser.add_argument("--rounds", type=int, help=f"interleaved rounds, at least {MIN_ROUNDS}")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--list", action="store_true", help="print the names of the benches")
    words = parser.parse_args()
    for name in words.names:
        if name not in names():
            parser.error(f"no bench {name}; there are: {' '.join(names())}")
    if words.rounds is not None and words.rounds < MIN_ROUNDS:
        parser.error(f"--rounds must be at least {MIN_ROUNDS}: a figure is a median")
    return words


def _table(rows):
    lines = [[r["bench"], r["metric"], r["unit"], r["ours"],
              "-" if not r["spread"] else f"{r['spread'][0]:g}..{r['spread'][1]:g}",
              ", ".join(f"{name} {value:g}" for name, value in r["peers"].items()) or "-",
              r["goal"], "-" if r["met"] is None else r["met"]] for r in rows]
    return timeline.table(["bench", "metric", "unit", "ours", "spread", "others", "goal", "met"],
                          lines)


def main():
    words = _arguments()
    if words.list:
        print("\n".join(names()))
        return 0
    show = timeline.Timeline(started=time.time())
    rows = []
    for name in words.names or names():
        bench = importlib.import_module(f"bench.{name}")
        rounds = words.rounds or bench.ROUNDS
        show.event(f"{name}: {rounds} rounds")
        rows += [figure.as_json() for figure in bench.run(rounds, show.event)]
    print("\n" + _table(rows))
    if words.json:
        with open(words.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0 if all(row["met"] is not False for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except core.Unusable as error:
        sys.exit(f"bench: {error}")
