"""What the package list, the build files and the documents promise each other."""

import itertools
import json
import re
import subprocess

from source_tree import SourceTree, line_of

SETS = {"build", "run", "lab"}

# What CMake finds -> the Debian package that brings it. None: part of CMake, or optional.
PACKAGE_OF = {
    "Threads": None, "PkgConfig": "pkg-config", "GTest": "libgtest-dev", "OpenSSL": "libssl-dev",
    "nlohmann_json": "nlohmann-json3-dev", "CLI11": "libcli11-dev",
    "tomlplusplus": "libtomlplusplus-dev", "SQLite3": "libsqlite3-dev",
    "sqlite3": "libsqlite3-dev", "spdlog": "libspdlog-dev", "fmt": "libfmt-dev",
    "libnl-3.0": "libnl-3-dev", "libnl-genl-3.0": "libnl-genl-3-dev",
    "libnl-route-3.0": "libnl-route-3-dev", "ldns": "libldns-dev", "libldns": "libldns-dev",
    "libunbound": "libunbound-dev", "unbound": "libunbound-dev", "unbound.h": "libunbound-dev",
    "libsodium": "libsodium-dev", "lua.hpp": "libluajit-5.1-dev", "ldns/ldns.h": "libldns-dev",
    "boost/container/string.hpp": "libboost1.74-dev", "python3": "python3",
    "rapidcheck": "librapidcheck-dev", "ccache": None,
}
_FIND = re.compile(r"\b(find_package|pkg_check_modules|find_library|find_path|find_program)"
                   r"\s*\(([^)]*)\)")
_OPTIONS = {"REQUIRED", "IMPORTED_TARGET", "QUIET", "CONFIG", "COMPONENTS", "NAMES", "GLOBAL",
            "PATHS", "PATH_SUFFIXES", "NO_DEFAULT_PATH", "OPTIONAL_COMPONENTS"}

# What Python of ours imports beyond its standard library -> package.
PYTHON_PACKAGE = {"pytest": "python3-pytest", "dns": "python3-dnspython",
                  "cryptography": "python3-cryptography"}


def listed_packages(tree: SourceTree):
    return {line.split()[0] for line in tree.text("scripts/packages.txt").split("\n")
            if line.strip() and not line.startswith("#")}


def package_list_is_well_formed(tree: SourceTree):
    found, seen = [], set()
    for number, line in enumerate(tree.text("scripts/packages.txt").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where, words = f"scripts/packages.txt:{number}", line.split(None, 2)
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", words[0]):
            found.append(f"{where}: {words[0]} is no package name")
        if len(words) < 3:
            found.append(f"{where}: name, set and reason are needed")
        elif words[1] not in SETS:
            found.append(f"{where}: the set {words[1]} is none of {', '.join(sorted(SETS))}")
        if words[0] in seen:
            found.append(f"{where}: {words[0]} stands twice")
        seen.add(words[0])
    return found


def _looked_for(command, arguments):
    """The names of which a find command needs a package."""
    words = arguments.split()
    if command == "find_package":
        return words[:1]
    names = []
    for word in words[1:]:
        if word in ("PATHS", "PATH_SUFFIXES", "HINTS"):
            break
        if word not in _OPTIONS and not word.startswith("$"):
            names.append(re.split(r"[<>=]", word)[0])
    return names


def found_libraries_are_in_the_package_list(tree: SourceTree):
    found, packages = [], listed_packages(tree)
    for path in tree.cmake():
        text = re.sub(r"#[^\n]*", "", tree.text(path))
        for m in _FIND.finditer(text):
            where = f"{path}:{line_of(text, m.start())}"
            for name in _looked_for(m.group(1), m.group(2)):
                if name not in PACKAGE_OF:
                    found.append(f"{where}: which package brings {name}? PACKAGE_OF in "
                                 "tests/arch/project_rules.py must know")
                elif PACKAGE_OF[name] and PACKAGE_OF[name] not in packages:
                    found.append(f"{where}: {PACKAGE_OF[name]} is not in scripts/packages.txt")
    return found


def imported_modules_are_in_the_package_list(tree: SourceTree):
    found, packages = [], listed_packages(tree)
    for path in tree.python():
        for m in re.finditer(r"^\s*(?:import|from)\s+(\w+)", tree.text(path), re.M):
            package = PYTHON_PACKAGE.get(m.group(1))
            if package and package not in packages:
                found.append(f"{path}:{line_of(tree.text(path), m.start(1))}: {package} is not in "
                             "scripts/packages.txt")
    return found


# ---- documents -------------------------------------------------------------------------------
DOCUMENTS = re.compile(r"(README\.md|docs/[^/]+\.md)$")
_PATHLIKE = re.compile(r"(?<![\w./<-])((?:scripts|tests|libntm|director|relay|terminal|cli|schema|"
                       r"kernel|pdns-backend|docs|cmake)/[\w./*-]+[\w*/-])")
_SHELL = re.compile(r"^(?:[$#] )?"
                    r"((?:sudo )?(?:\./)?(?:scripts/|build/|cmake |ctest |ninja |ntm ).*)$", re.M)


def _commands(text):
    """Lines of fenced blocks and inline code that look like commands, with their positions."""
    for block in re.finditer(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        for m in _SHELL.finditer(block.group(1)):
            yield block.start(1) + m.start(), m.group(1)
    for m in re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", text):
        if _SHELL.fullmatch(m.group(1)):
            yield m.start(1), m.group(1)


def readme_exists(tree: SourceTree):
    return [] if tree.exists("README.md") else ["README.md:1: missing"]


def _quoted(text):
    """The same text with everything blank that is no code: "terminal/relay" in prose is no path."""
    keep = re.compile(r"^```\w*\n.*?^```|`[^`\n]+`|\]\([^)\n]+\)", re.M | re.S)
    out, at = [], 0
    for m in keep.finditer(text):
        out += [re.sub(r"[^\n]", " ", text[at:m.start()]), m.group()]
        at = m.end()
    return "".join(out)


def documents_name_files_that_exist(tree: SourceTree):
    found = []
    for path in filter(DOCUMENTS.match, tree.paths):
        for m in _PATHLIKE.finditer(_quoted(tree.text(path))):
            name = m.group(1).rstrip(".")
            if "*" in name:
                known = any(tree.root.glob(name))
            else:
                known = tree.exists(name) or any(p.startswith(name + ".") for p in tree.paths)
            if not known:
                found.append(f"{path}:{line_of(tree.text(path), m.start())}: there is no {name}")
    return found


def _problem_of(tree, words):
    command = words[0]
    if command.startswith("scripts/"):
        if not tree.exists(command):
            return f"there is no {command}"
        if not (tree.root / command).stat().st_mode & 0o111:
            return f"{command} is not executable"
        if command == "scripts/test":
            missing = [w for w in words[1:] if re.fullmatch(r"[a-z]+", w)
                       and not tree.exists(f"tests/{w}")]
            return f"there is no suite {missing[0]}" if missing else None
    if command == "cmake" and "--preset" in words:
        presets = json.loads(tree.text("CMakePresets.json"))["configurePresets"]
        name = words[words.index("--preset") + 1]
        return None if name in {p["name"] for p in presets} else f"there is no preset {name}"
    return None


def commands_of_documents_exist(tree: SourceTree):
    found = []
    for path in filter(DOCUMENTS.match, tree.paths):
        text = tree.text(path)
        for position, command in _commands(text):
            words = re.sub(r"^(?:sudo )?(?:\./)?", "", command).split()
            problem = _problem_of(tree, words)
            if problem:
                found.append(f"{path}:{line_of(text, position)}: {problem}")
    return found


def _usage(program, words):
    """The usage line that the program prints for these words; it does not act on --help."""
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=30)
    lines = [line for line in done.stdout.split("\n") if line.startswith("Usage:")]
    return lines[0] if lines else ""


def verbs_of_documents_exist(tree: SourceTree, ntm):
    """Asks the built `ntm` itself: a verb that it does not know gets the usage of the verb above,
    which then asks for a SUBCOMMAND."""
    found = []
    for path in filter(DOCUMENTS.match, tree.paths):
        text = tree.text(path)
        for position, command in _commands(text):
            words = re.sub(r"^sudo ", "", command).split()
            if words[0] != "ntm":
                continue
            verbs = list(itertools.takewhile(re.compile(r"[a-z][a-z-]*$").match, words[1:]))
            usage = _usage(ntm, verbs)
            known = 0
            while known < len(verbs) and f" {' '.join(verbs[:known + 1])} " in usage + " ":
                known += 1
            if not usage or (known < len(verbs) and "SUBCOMMAND" in usage):
                found.append(f"{path}:{line_of(text, position)}: ntm does not know "
                             f"`{' '.join(words)}`")
    return found
