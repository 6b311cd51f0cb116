"""Every rule of docs/ARCHITECTURE.md and of the house, held against this repository.

One test case a rule. The archives are those of the release build, or of NTM_BUILD_DIR.
"""

import os
import pathlib

import pytest

from rules import OF_THE_BUILD, OF_THE_PROGRAM, OF_THE_TREE
from source_tree import SourceTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NTM_BUILD_DIR", ROOT / "build" / "release"))

def name_of(rule):
    return rule.__name__


@pytest.fixture(scope="module")
def tree():
    return SourceTree(ROOT)


@pytest.mark.parametrize("rule", OF_THE_TREE, ids=name_of)
def test_source(rule, tree):
    violations = rule(tree)
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", OF_THE_BUILD, ids=name_of)
def test_archives(rule):
    assert BUILD.is_dir(), f"{BUILD} does not exist: build first, or set NTM_BUILD_DIR"
    violations = rule(BUILD)
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", OF_THE_PROGRAM, ids=name_of)
def test_program(rule, tree):
    ntm = BUILD / "bin" / "ntm"
    assert ntm.exists(), f"{ntm} does not exist: build first, or set NTM_BUILD_DIR"
    violations = rule(tree, ntm)
    assert not violations, "\n" + "\n".join(violations)
