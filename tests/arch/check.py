#!/usr/bin/python3
"""Runs one rule of tests/arch, so that ctest counts and names every rule by itself.

    check.py --rule NAME [--build DIR]     holds one rule of rules.py against this repository
    check.py --self-test                   every rule must find what is planted for it

Exit status 0 only when a rule ran and found nothing.
"""

import argparse
import pathlib
import sys
import tempfile

from rules import OF_THE_BUILD, OF_THE_PROGRAM, OF_THE_TREE
from source_tree import SourceTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = {rule.__name__: rule for rule in [*OF_THE_TREE, *OF_THE_BUILD, *OF_THE_PROGRAM]}


def held(name, build):
    """The violations of one rule in this repository."""
    rule = RULES[name]
    if rule in OF_THE_TREE:
        return rule(SourceTree(ROOT))
    if rule in OF_THE_BUILD:
        return rule(build)
    ntm = build / "bin" / "ntm"
    if not ntm.exists():
        return [f"{ntm}: not built; build the target ntm first"]
    return rule(SourceTree(ROOT), ntm)


def _case(planted, rule, path, content, where):
    """What is wrong with a rule's answer to one planted violation; None when nothing is."""
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        planted.write(root, planted.SOUND)
        before = rule(SourceTree(root))
        planted.write(root, {path: content})
        found = rule(SourceTree(root))
    if before:
        return f"complains about a sound tree: {before[0]}"
    if not found:
        return f"overlooks the violation planted in {where}"
    astray = [line for line in found if not line.startswith(where + ":")]
    return f"points elsewhere than {where}: {astray[0]}" if astray else None


def _without_a_table(planted, root):
    """The rules whose violation is no single file: rule -> a call that asserts that it is found."""
    def fresh():
        return pathlib.Path(tempfile.mkdtemp(dir=root))
    return {
        "readme_exists": [lambda: planted.test_readme_is_missed(fresh())],
        "tables_name_what_exists": [lambda: planted.test_stale_lines_are_found(fresh())],
        "verbs_of_documents_exist": [lambda: planted.test_unknown_verb_is_found(fresh())],
        "pure_archives_reach_nothing": [
            lambda: planted.test_missing_archives_are_no_success(fresh()),
            lambda: planted.test_impure_archive_is_found(
                "#include <time.h>\nlong f() { return time(nullptr); }", "time", fresh()),
            lambda: planted.test_impure_archive_is_found(
                "#include <stdlib.h>\nchar* f() { return getenv(\"X\"); }", "getenv", fresh())],
        "no_archive_keeps_state": [
            lambda: planted.test_state_in_an_archive_is_found("int counter = 7;", fresh())],
    }


def self_test():
    """Lines about rules that do not find their violation, or have none."""
    import test_rules_find as planted  # needs pytest, which no rule does
    found, proven = [], set()
    for rule, path, content, where in planted.PLANTED:
        proven.add(rule.__name__)
        problem = _case(planted, rule, path, content, where)
        if problem:
            found.append(f"{rule.__name__}: {problem}")
    with tempfile.TemporaryDirectory() as root:
        for name, calls in _without_a_table(planted, root).items():
            proven.add(name)
            for call in calls:
                try:
                    call()
                except AssertionError as problem:
                    found.append(f"{name}: does not find its violation: {problem}")
    missing = sorted(RULES.keys() - proven)
    return found + [f"{name}: no violation is planted for it in test_rules_find.py"
                    for name in missing]


def main():
    parser = argparse.ArgumentParser(description="Rules of the architecture, one at a time.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rule", choices=list(RULES), metavar="NAME")
    what.add_argument("--self-test", action="store_true")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="build directory (default: that of the release preset)")
    given = parser.parse_args()
    found = self_test() if given.self_test else held(given.rule, given.build)
    print("\n".join(found) if found else "nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
