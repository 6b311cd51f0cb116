"""Every rule of docs/ARCHITECTURE.md and of the house, held against this repository.

One test case a rule. The archives are those of the release build, or of NTM_BUILD_DIR.
"""

import os
import pathlib

import pytest

import include_rules
import project_rules
import symbol_rules
import text_rules
from source_tree import SourceTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NTM_BUILD_DIR", ROOT / "build" / "release"))

OF_THE_TREE = [
    include_rules.pure_files_include_only_what_is_listed,
    include_rules.kernel_core_includes_only_itself,
    include_rules.folders_know_only_lower_ones,
    include_rules.includes_of_ours_exist,
    include_rules.tables_name_what_exists,
    text_rules.clock_and_chance_are_asked_in_one_place,
    text_rules.shared_structures_are_typed_once,
    text_rules.interface_structures_have_asserted_sizes,
    text_rules.types_of_headers_are_defined_once,
    text_rules.names_say_what_is_inside,
    text_rules.nothing_global_changes,
    text_rules.files_stay_short,
    text_rules.every_source_says_why_it_exists,
    text_rules.nothing_refers_to_other_places,
    text_rules.unfinished_work_names_an_issue,
    text_rules.coroutines_take_two_steps,
    project_rules.package_list_is_well_formed,
    project_rules.found_libraries_are_in_the_package_list,
    project_rules.imported_modules_are_in_the_package_list,
    project_rules.readme_exists,
    project_rules.documents_name_files_that_exist,
    project_rules.commands_of_documents_exist,
]
OF_THE_BUILD = [symbol_rules.pure_archives_reach_nothing, symbol_rules.no_archive_keeps_state]


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


def test_documents_use_verbs_that_ntm_has(tree):
    ntm = BUILD / "bin" / "ntm"
    assert ntm.exists(), f"{ntm} does not exist: build first, or set NTM_BUILD_DIR"
    violations = project_rules.verbs_of_documents_exist(tree, ntm)
    assert not violations, "\n" + "\n".join(violations)
