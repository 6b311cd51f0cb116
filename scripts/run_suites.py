"""The part of scripts/test that runs suites and counts.

A suite is a folder of tests/: programs registered with ctest under the suite's label, test_*.py
files for pytest, or both. Counted are individual test cases: gtest's own report of each program,
pytest's of each file, and one for a ctest entry that is neither. A program that crashes, hangs or
writes no report counts as failed, as does a suite that takes longer than SUITE_LIMIT_S.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ["unit", "vectors", "scenario", "fault", "fuzz", "arch", "netns",
         "kernel", "pdns", "api", "web", "guide", "packages"]
SANITIZED = {"unit", "vectors", "scenario", "fault", "fuzz"}
THREADED = {"unit", "scenario", "fault"}
SUITE_LIMIT_S = 360
FULL_FACTOR = 10          # --full is for what takes longer
JOBS = os.cpu_count() or 1
STARTED = int(os.environ.get("NTM_STARTED", time.time_ns())) / 1e9


def say(text):
    print(f"[{time.time() - STARTED:6.1f} s] {text}", flush=True)


@dataclass
class Count:
    passed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures += other.failures

    def __str__(self):
        return f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped"


def run(command, limit, log, env=None, cwd=ROOT):
    """Returns True when it ended in time, whatever its status; its group is ended otherwise."""
    with open(log, "wb") as out:
        child = subprocess.Popen(list(map(str, command)), stdout=out, stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL, cwd=cwd, start_new_session=True,
                                 env=os.environ | (env or {}))
    try:
        child.wait(limit)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if child.poll() is None:
            for number in (signal.SIGINT, signal.SIGKILL):
                try:
                    os.killpg(child.pid, number)
                    child.wait(15)
                    break
                except subprocess.TimeoutExpired:
                    continue


def build(preset, targets=()):
    """Through the same shell function as the other scripts; ends this program on failure."""
    script = f'. "{ROOT}/scripts/progress.sh"; set -o pipefail; build "$@"'
    done = subprocess.run(["bash", "-c", script, "scripts/test", preset, *targets], cwd=ROOT)
    if done.returncode != 0:
        print("0 passed, 1 failed, 0 skipped")  # the build itself is the failed test
        sys.exit(1)


def gtest_cases(path):
    count = Count()
    report = json.loads(path.read_text())
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            name = f"{suite['name']}.{case['name']}"
            if case.get("failures"):
                first = case["failures"][0].get("failure", "").strip().replace("\n", "\n      ")
                count.failures.append((name, first))
            elif case.get("result") == "SKIPPED" or case.get("status") == "NOTRUN":
                if case.get("result") == "SKIPPED":
                    count.skipped += 1
            else:
                count.passed += 1
    return count


def junit_cases(path):
    count = Count()
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name')}"
        problem = case.find("failure")
        if problem is None:
            problem = case.find("error")
        if problem is not None or case.get("status") == "fail":
            message = problem.get("message", "") if problem is not None else ""
            count.failures.append((name, message[:400]))
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            count.skipped += 1
        else:
            count.passed += 1
    return count


def has_ctest(preset, suite):
    done = subprocess.run(["ctest", "-N", "-L", f"^{suite}$"], cwd=ROOT / "build" / preset,
                          capture_output=True, text=True)
    return "Total Tests: 0" not in done.stdout


def last_words(case, lines=20):
    """The end of a program's output: a log file in a CI's checkout is read by nobody."""
    text = (case.findtext("system-out") or "").strip()
    return "\n".join("      " + line[:160] for line in text.splitlines()[-lines:])


def ctest(preset, suite, limit, results, env):
    folder = results / f"{suite}-{preset}"
    folder.mkdir()
    junit = folder / "ctest.xml"
    env = env | {"GTEST_OUTPUT": f"json:{folder}/"}
    in_time = run(["ctest", "-L", f"^{suite}$", "-j", JOBS, "--output-junit", junit,
                   "--output-on-failure"], limit, folder / "log", env, ROOT / "build" / preset)
    count = Count()
    if not in_time or not junit.exists():
        count.failures.append((suite, f"did not end within {limit} s, see {folder}/log"))
        return count
    for case in xml.parse(junit).getroot().iter("testcase"):
        program = case.get("name")
        report = folder / (program.split(".", 1)[-1] + ".json")
        failed = case.get("status") == "fail"
        if report.exists():
            inner = gtest_cases(report)
            count.add(inner)
            if failed and not inner.failures:
                count.failures.append((program, f"failed outside its cases:\n{last_words(case)}"))
        elif failed:
            count.failures.append((program, f"failed, crashed or hung:\n{last_words(case)}"))
        elif case.get("status") == "run":
            count.passed += 1
        else:
            count.skipped += 1
    return count


def pytest(suite, limit, results, env):
    folder = results / f"{suite}-pytest"
    folder.mkdir()
    junit = folder / "junit.xml"
    in_time = run(["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-rfE",
                   f"--junitxml={junit}", f"tests/{suite}"], limit, folder / "log",
                  env | {"PYTHONDONTWRITEBYTECODE": "1"})
    count = junit_cases(junit) if junit.exists() else Count()
    if not in_time:
        count.failures.append((suite, f"did not end within {limit} s, see {folder}/log"))
    elif not junit.exists():
        count.failures.append((suite, f"pytest did not start, see {folder}/log"))
    return count


def report(title, started, count):
    say(f"{title}: {count} in {time.time() - started:.0f} s")
    for name, message in count.failures:
        print(f"    FAILED {name}\n      {message}")


def presets_of(suite, full):
    if suite not in SANITIZED:
        return ["release"]
    if not full:
        return ["asan"]
    return ["asan", "release"] + (["tsan"] if suite in THREADED else [])


def available():
    """Suites with anything in them; each is a folder of tests/."""
    names = [p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "bench"]
    found = [n for n in names if any((ROOT / "tests" / n).glob("test_*.py"))
             or (ROOT / "tests" / n / "CMakeLists.txt").exists()]
    return sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))


def parse(words):
    full = "--full" in words
    names = [w for w in words if w != "--full"]
    known = available()
    for name in names:
        if name not in known:
            sys.exit(f"test: no suite {name}; there are: {' '.join(known)}")
    return names or known, full


def main():
    suites, full = parse(sys.argv[1:])
    results = ROOT / "build" / "test-results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    env = {"NTM_FULL": "1"} if full else {}
    limit = SUITE_LIMIT_S * (FULL_FACTOR if full else 1)
    presets = {p for s in suites for p in presets_of(s, full)}
    build("release")
    for preset in sorted(presets - {"release"}):
        targets = [f"ntm_tests_{s}" for s in suites if preset in presets_of(s, full)
                   and has_ctest("release", s)]
        if targets:
            build(preset, targets)
    total = Count()
    for suite in suites:
        for preset in presets_of(suite, full):
            if has_ctest("release", suite):
                say(f"{suite} ({preset}) …")
                started = time.time()
                count = ctest(preset, suite, limit, results, env)
                report(f"{suite} ({preset})", started, count)
                total.add(count)
        if any((ROOT / "tests" / suite).glob("test_*.py")):
            say(f"{suite} (pytest) …")
            started = time.time()
            count = pytest(suite, limit, results, env)
            report(f"{suite} (pytest)", started, count)
            total.add(count)
    print(total)
    sys.exit(1 if total.failures or total.passed == 0 else 0)


if __name__ == "__main__":
    main()
