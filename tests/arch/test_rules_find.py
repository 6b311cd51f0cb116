"""The rules themselves: each finds the violation that is planted for it, and only where it is.

A rule that can't fail proves nothing. Each case is a small tree without fault in which one file is
then replaced by a faulty one; the same rule must be silent before and speak after.
"""

import os
import stat
import subprocess

import pytest

import include_rules as inc
import project_rules as proj
import symbol_rules as sym
import text_rules as text
from source_tree import SourceTree, blank_noise

HEAD = "// Bytes as values: nobody else may need to know their order.\n"

# path -> text of a tree that keeps every rule.
SOUND = {
    "README.md": "# X\n\n`scripts/test unit` runs `tests/unit/a_test.cpp`.\n",
    "scripts/test": "#!/bin/bash\n# Builds and runs the tests, all or the named ones.\n",
    "scripts/packages.txt": "# The packages.\nlibssl-dev  build  keys\npython3-pytest lab tests\n",
    "CMakePresets.json": '{"configurePresets": [{"name": "release"}]}',
    "CMakeLists.txt": "# One build for all parts of this project.\nfind_package(OpenSSL 3.0)\n",
    "kernel/core/ntm_window.h": "/* Which counters were seen, in a ring of words. */\n"
                                "struct ntm_window {\n\tint highest;\n};\n",
    "kernel/uapi/ntmobile.h": "/* What kernel and user space share, typed here only. */\n"
                              "struct ntm_tunnel {\n\tint id;\n};\n"
                              "_Static_assert(sizeof(struct ntm_tunnel) == 4, \"\");\n",
    "libntm/base/a.hpp": HEAD + "#pragma once\n#include <vector>\nnamespace ntm {\n"
                         "struct A {\n  static int count();\n};\nconstexpr int kLimit = 3;\n}\n",
    "libntm/wire/w.cpp": HEAD + '#include "libntm/base/a.hpp"\n#include <cassert>\n'
                         "namespace ntm::wire {\nnamespace {\nconst char* const kName = \"x\";\n}\n"
                         "int f() {\n  static const int k = 1;\n  return k;\n}\n}\n",
    "libntm/host/clock.cpp": HEAD + "#include <time.h>\nint now() { return clock_gettime(0, 0); }\n",
    "director/engine/e.cpp": HEAD + '#include "libntm/wire/w.hpp"\n',
    "libntm/wire/w.hpp": HEAD + "#pragma once\nnamespace ntm::wire {\nint f();\n}\n",
    "director/api/http.cpp": HEAD + "Task run() {\n  Task next = make({1, 2});\n"
                             "  int got = co_await std::move(next);\n  co_return;\n}\n",
    "tests/unit/a_test.cpp": HEAD,
    "tests/unit/conftest.py": '"""What the tests of this folder share among them."""\n'
                              "import pytest\n",
}


def write(root, files):
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        if path.startswith("scripts/") and content.startswith("#!"):
            target.chmod(0o755)


# rule, path of the planted file, its content, where the rule must point
PLANTED = [
    (inc.pure_files_include_only_what_is_listed, "libntm/wire/w.cpp",
     HEAD + "#include <sys/socket.h>\n", "libntm/wire/w.cpp:2"),
    (inc.pure_files_include_only_what_is_listed, "director/engine/e.cpp",
     HEAD + "#include <cassert>\n#include <chrono>\n", "director/engine/e.cpp:3"),
    (inc.pure_files_include_only_what_is_listed, "libntm/base/a.cpp",
     HEAD + "#include <openssl/evp.h>\n", "libntm/base/a.cpp:2"),
    (inc.pure_files_include_only_what_is_listed, "pdns-backend/answers.cpp",
     HEAD + "#include <sqlite3.h>\n", "pdns-backend/answers.cpp:2"),
    (inc.kernel_core_includes_only_itself, "kernel/core/ntm_window.c",
     "/* See ntm_window.h. */\n#include <string.h>\n", "kernel/core/ntm_window.c:2"),
    (inc.folders_know_only_lower_ones, "libntm/base/a.cpp",
     HEAD + '#include "libntm/wire/w.hpp"\n', "libntm/base/a.cpp:2"),
    (inc.folders_know_only_lower_ones, "relay/service.cpp",
     HEAD + '#include "director/engine/e.hpp"\n', "relay/service.cpp:2"),
    (inc.folders_know_only_lower_ones, "terminal/engine/t.cpp",
     HEAD + '#include "libntm/datapath/event.hpp"\n#include "libntm/datapath/sender.hpp"\n',
     "terminal/engine/t.cpp:3"),
    (inc.folders_know_only_lower_ones, "relay/engine/r.cpp",
     HEAD + '#include "libntm/datapath/tun/link.hpp"\n', "relay/engine/r.cpp:2"),
    (inc.folders_know_only_lower_ones, "director/engine/e.cpp",
     HEAD + '#include "director/service.hpp"\n', "director/engine/e.cpp:2"),
    (inc.folders_know_only_lower_ones, "cli/x.cpp",
     HEAD + '#include "director/setup.hpp"\n', "cli/x.cpp:2"),
    (inc.folders_know_only_lower_ones, "libntm/newpart/n.cpp", HEAD, "libntm/newpart/n.cpp:1"),
    (inc.includes_of_ours_exist, "libntm/wire/w.cpp", HEAD + '#include "w.hpp"\n',
     "libntm/wire/w.cpp:2"),
    (text.clock_and_chance_are_asked_in_one_place, "relay/service.cpp",
     HEAD + "long f() { return std::chrono::steady_clock::now(); }\n", "relay/service.cpp:2"),
    (text.clock_and_chance_are_asked_in_one_place, "libntm/wire/w.cpp",
     HEAD + "int f() { return rand(); }\n", "libntm/wire/w.cpp:2"),
    (text.clock_and_chance_are_asked_in_one_place, "libntm/wire/w.cpp",
     HEAD + "long f() {\n  return time(nullptr);\n}\n", "libntm/wire/w.cpp:3"),
    (text.shared_structures_are_typed_once, "libntm/datapath/d.hpp",
     HEAD + "struct ntm_window {\n  int highest;\n};\n", "libntm/datapath/d.hpp:2"),
    (text.shared_structures_are_typed_once, "libntm/datapath/d.hpp",
     HEAD + "struct ntm_other {\n  int x;\n};\n", "libntm/datapath/d.hpp:2"),
    (text.interface_structures_have_asserted_sizes, "kernel/uapi/ntmobile.h",
     "/* What kernel and user space share, typed here only. */\nstruct ntm_path {\n\tint id;\n};\n",
     "kernel/uapi/ntmobile.h:2"),
    (text.types_of_headers_are_defined_once, "libntm/base/b.hpp",
     HEAD + "namespace ntm {\nstruct A {\n  int y;\n};\n}\n", "libntm/base/b.hpp:3"),
    (text.names_say_what_is_inside, "libntm/base/string_util.hpp", HEAD,
     "libntm/base/string_util.hpp:1"),
    (text.names_say_what_is_inside, "tests/helpers/a.cpp", HEAD, "tests/helpers/a.cpp:1"),
    (text.nothing_global_changes, "libntm/wire/w.cpp",
     HEAD + "namespace ntm::wire {\nint counter = 0;\n}\n", "libntm/wire/w.cpp:3"),
    (text.nothing_global_changes, "libntm/wire/w.cpp",
     HEAD + "std::map<int, std::string> table;\n", "libntm/wire/w.cpp:2"),
    (text.nothing_global_changes, "libntm/wire/w.cpp",
     HEAD + 'static const char* kName = "x";\n', "libntm/wire/w.cpp:2"),
    (text.nothing_global_changes, "libntm/wire/w.cpp",
     HEAD + "int f() {\n  static int calls = 0;\n  return ++calls;\n}\n", "libntm/wire/w.cpp:3"),
    (text.nothing_global_changes, "libntm/wire/w.cpp",
     HEAD + "int f() {\n  thread_local std::string last;\n  return 0;\n}\n",
     "libntm/wire/w.cpp:3"),
    (text.files_stay_short, "libntm/wire/w.cpp", HEAD + "\n" * 700, "libntm/wire/w.cpp:701"),
    (text.every_source_says_why_it_exists, "libntm/wire/w.cpp", "#include <vector>\n",
     "libntm/wire/w.cpp:1"),
    (text.every_source_says_why_it_exists, "libntm/wire/x.cpp", "// See x.hpp.\n",
     "libntm/wire/x.cpp:1"),
    (text.every_source_says_why_it_exists, "tests/unit/t.py", "import os\n", "tests/unit/t.py:1"),
    (text.every_source_says_why_it_exists, "scripts/run.sh", "#!/bin/sh\necho x\n",
     "scripts/run.sh:1"),
    (text.nothing_refers_to_other_places, "tests/fuzz/corpus/a/seed", "/wo" + "rk/x\n",
     "tests/fuzz/corpus/a/seed:1"),
    (text.nothing_refers_to_other_places, "docs/A.md", "see " + "/wo" + "rk/x\n", "docs/A.md:1"),
    (text.nothing_refers_to_other_places, "libntm/wire/w.cpp",
     HEAD + "// ../sha" + "red/design\n", "libntm/wire/w.cpp:2"),
    (text.unfinished_work_names_an_issue, "libntm/wire/w.cpp", HEAD + "// TO" + "DO: more\n",
     "libntm/wire/w.cpp:2"),
    (text.coroutines_take_two_steps, "director/api/http.cpp",
     HEAD + "Task run() {\n  co_await f([x] { return x; });\n}\n", "director/api/http.cpp:3"),
    (text.coroutines_take_two_steps, "director/api/http.cpp",
     HEAD + "Task run() {\n  co_await f(\n      A{1, 2});\n}\n", "director/api/http.cpp:3"),
    (text.coroutines_take_two_steps, "director/api/http.cpp",
     HEAD + "Task run() {\n  int x = c ? co_await f() : 0;\n}\n", "director/api/http.cpp:3"),
    (text.coroutines_take_two_steps, "director/service.cpp",
     HEAD + "Task run() {\n  co_await f();\n}\n", "director/service.cpp:3"),
    (proj.package_list_is_well_formed, "scripts/packages.txt", "libssl-dev build\n",
     "scripts/packages.txt:1"),
    (proj.package_list_is_well_formed, "scripts/packages.txt",
     "libssl-dev build keys\nlibssl-dev lab keys\n", "scripts/packages.txt:2"),
    (proj.package_list_is_well_formed, "scripts/packages.txt", "libssl-dev other keys\n",
     "scripts/packages.txt:1"),
    (proj.found_libraries_are_in_the_package_list, "CMakeLists.txt",
     "# One build.\nfind_package(GTest REQUIRED)\n", "CMakeLists.txt:2"),
    (proj.found_libraries_are_in_the_package_list, "cmake/x.cmake",
     "pkg_check_modules(X REQUIRED IMPORTED_TARGET ldns\n                  libmagic>=2)\n",
     "cmake/x.cmake:1"),
    (proj.imported_modules_are_in_the_package_list, "tests/unit/t.py", "import dns.message\n",
     "tests/unit/t.py:1"),
    (proj.documents_name_files_that_exist, "docs/A.md", "# A\n\nSee `libntm/wire/gone.hpp`.\n",
     "docs/A.md:3"),
    (proj.commands_of_documents_exist, "README.md", "# X\n```\nscripts/gone --json\n```\n",
     "README.md:3"),
    (proj.commands_of_documents_exist, "README.md", "# X\n```sh\n$ sudo scripts/test nosuite\n```\n",
     "README.md:3"),
    (proj.commands_of_documents_exist, "README.md", "# X\n\n`cmake --preset quick`\n",
     "README.md:3"),
]


@pytest.mark.parametrize("rule, path, content, where", PLANTED,
                         ids=[f"{r.__name__}-{i}" for i, (r, *_) in enumerate(PLANTED)])
def test_rule_finds_what_is_planted(rule, path, content, where, tmp_path):
    write(tmp_path, SOUND)
    assert rule(SourceTree(tmp_path)) == []
    write(tmp_path, {path: content})
    found = rule(SourceTree(tmp_path))
    assert found and all(line.startswith(where + ":") for line in found), found


def test_readme_is_missed(tmp_path):
    assert proj.readme_exists(SourceTree(tmp_path))


def test_stale_lines_are_found(tmp_path):
    found = inc.tables_name_what_exists(SourceTree(tmp_path))
    assert len(found) == len(inc.PURE) + len(inc.EDGE_EXCEPTIONS)


def test_noise_is_blanked_and_the_rest_stays_in_place():
    code = 'int a = 1\'000; // b\nf("c;{", \'d\', R"x(e)f)x"); /* g\nh */ k();\n'
    blanked = blank_noise(code)
    assert len(blanked) == len(code) and blanked.count("\n") == code.count("\n")
    assert blanked.index("k()") == code.index("k()") and "1'000" in blanked
    assert not set("bcdegh") & set(blanked)


def test_comments_and_strings_are_no_violations(tmp_path):
    write(tmp_path, SOUND)
    write(tmp_path, {"libntm/wire/w.cpp": HEAD + '// co_await [x] rand() clock_gettime\n'
                     'const char* const kText = "co_await {rand()}";\n'})
    tree = SourceTree(tmp_path)
    assert not text.coroutines_take_two_steps(tree)
    assert not text.clock_and_chance_are_asked_in_one_place(tree)


# ---- archives --------------------------------------------------------------------------------
def archive(folder, name, code):
    source, made = folder / "planted.cpp", folder / "planted.o"
    source.write_text(code)
    subprocess.run(["g++", "-std=c++20", "-O2", "-fPIC", "-c", source, "-o", made], check=True)
    subprocess.run(["ar", "rcs", folder / name, made], check=True)
    return folder / name


PURE_CODE = """
#include <map>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> f(std::string name) { return {{name + "x", {1, 2}}}; }
"""


@pytest.mark.parametrize("code, symbol", [
    ("#include <time.h>\nlong f() { return time(nullptr); }", "time"),
    ("#include <chrono>\nlong f() { return std::chrono::steady_clock::now().time_since_epoch()"
     ".count(); }", "steady_clock"),
    ("#include <stdlib.h>\nchar* f() { return getenv(\"X\"); }", "getenv"),
    ("#include <random>\nunsigned f() { std::random_device d; return d(); }", "random_device"),
    ("#include <thread>\nvoid f() { std::thread([] {}).join(); }", "std::thread"),
    ("#include <fstream>\nvoid f() { std::ofstream(\"x\") << 1; }", "basic_ofstream"),
    ("#include <sys/socket.h>\nint f() { return socket(1, 2, 3); }", "socket"),
    ("extern \"C\" int EVP_sha256();\nint f() { return EVP_sha256(); }", "EVP_sha256"),
])
def test_impure_archive_is_found(code, symbol, tmp_path):
    pure = archive(tmp_path, "libntm_base.a", PURE_CODE)
    assert sym.undefined_symbols_of("libntm_base.a", pure, []) == []
    impure = archive(tmp_path, "libntm_wire.a", code)
    found = sym.undefined_symbols_of("libntm_wire.a", impure, [pure])
    assert any(symbol in line for line in found), found


def test_openssl_is_allowed_to_crypto_only(tmp_path):
    code = "extern \"C\" int EVP_sha256();\nint f() { return EVP_sha256(); }"
    made = archive(tmp_path, "libntm_crypto.a", code)
    assert sym.undefined_symbols_of("libntm_crypto.a", made, []) == []


def test_missing_archives_are_no_success(tmp_path):
    assert len(sym.pure_archives_reach_nothing(tmp_path)) == len(sym.PURE_ARCHIVES)


@pytest.mark.parametrize("code", [
    "int counter = 7;",
    "namespace { int calls; }\nint f() { return ++calls; }",
    "int f() { static int calls = 0; return ++calls; }",
    "int f() { thread_local int calls = 0; return ++calls; }",
    "inline int shared = 1;\nint f() { return ++shared; }",
])
def test_state_in_an_archive_is_found(code, tmp_path):
    archive(tmp_path, "libntm_base.a", PURE_CODE + 'const char* const kNames[] = {"a", "b"};\n'
            'const char* g(int i) { static const char* const names[] = {"c"}; '
            "return i ? kNames[i] : names[i]; }\n")
    assert sym.no_archive_keeps_state(tmp_path) == []
    archive(tmp_path, "libntm_base.a", code)
    found = sym.no_archive_keeps_state(tmp_path)
    assert len(found) == 1 and "can change" in found[0], found


# ---- ntm's verbs -----------------------------------------------------------------------------
def test_unknown_verb_is_found(tmp_path):
    ntm = tmp_path / "ntm"
    ntm.write_text("""#!/bin/sh
case "$*" in
  "dc zone show "*) echo "Usage: ntm dc zone show [OPTIONS]" ;;
  "dc "*) echo "Usage: ntm dc [OPTIONS] SUBCOMMAND" ;;
  "join "*) echo "Usage: ntm join [OPTIONS] TOKEN" ;;
  *) echo "Usage: ntm [OPTIONS] SUBCOMMAND" ;;
esac
""")
    os.chmod(ntm, stat.S_IRWXU)
    tree = tmp_path / "tree"
    write(tree, {"README.md": "```\nntm dc zone show a.example\nsudo ntm join TOKEN\nntm\n```\n"})
    assert proj.verbs_of_documents_exist(SourceTree(tree), ntm) == []
    write(tree, {"README.md": "```\nntm dance\n```\n`ntm dc dance`\n"})
    assert len(proj.verbs_of_documents_exist(SourceTree(tree), ntm)) == 2
