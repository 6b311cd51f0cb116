"""The list of the rules, once: ctest, check.py and pytest all take it from here.

CMakeLists.txt reads the names out of this text without Python, because a machine that only compiles
has none of the packages of the tests. So each list holds one `module.name,` a line.
"""

import include_rules
import project_rules
import symbol_rules
import text_rules

# Called with the tree.
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
# Called with the build directory.
OF_THE_BUILD = [
    symbol_rules.pure_archives_reach_nothing,
    symbol_rules.no_archive_keeps_state,
]
# Called with the tree and the built program ntm.
OF_THE_PROGRAM = [
    project_rules.verbs_of_documents_exist,
]
