"""R2, R4, R5, R6 and the house's customs, as far as the text of a file shows them."""

import pathlib
import re

from source_tree import SourceTree, line_of

MAX_LINES = 700
MIN_HEAD = 30  # signs; shorter than that no comment says which problem a file solves

FORBIDDEN_WORDS = {"util", "utils", "common", "misc", "helper", "helpers"}

# ---- R2 --------------------------------------------------------------------------------------
_CLOCK_OR_CHANCE = re.compile(
    r"\b(clock_gettime|gettimeofday|steady_clock|system_clock|high_resolution_clock|std::time|"
    r"getrandom|random_device|arc4random|RAND_bytes|srand|drand48)\b|(?<![\w:.>])rand\s*\(|"
    r"(?<![\w:.>])time\s*\(\s*(?:nullptr|NULL|0|&)")
MAY_ASK_THE_SYSTEM = {
    "libntm/host/clock.cpp": "the one clock and the one random source of every service",
    "libntm/host/clock.hpp": "its head comment names the calls",
    "libntm/store/sqlite/writer.cpp": "its own thread's commit pace; PowerDNS has no host loop",
}


def clock_and_chance_are_asked_in_one_place(tree: SourceTree):
    return [f"{path}:{line_of(tree.code(path), m.start())}: {m.group().strip()} belongs to "
            "libntm/host/clock (R2)"
            for path in tree.product_cpp() if path not in MAY_ASK_THE_SYSTEM
            for m in _CLOCK_OR_CHANCE.finditer(tree.code(path))]


# ---- R4 --------------------------------------------------------------------------------------
_TYPE = re.compile(r"^(?:template\s*<[^\n]*>\s*)?(?:struct|class|enum class|enum|union)\s+"
                   r"(\w+)[^;{()=]*\{", re.M)
_NAMESPACE = re.compile(r"^namespace\s+([\w:]+)\s*\{", re.M)
_C_STRUCT = re.compile(r"\b(?:struct|union|enum)\s+(ntm_\w+)\s*\{")


def shared_structures_are_typed_once(tree: SourceTree):
    """What kernel and user space share is `ntm_*`, in kernel/, once."""
    found, home = [], {}
    for path in tree.cpp():
        code = tree.code(path)
        for m in _C_STRUCT.finditer(code):
            where = f"{path}:{line_of(code, m.start())}"
            if m.group(1) in home:
                found.append(f"{where}: {m.group(1)} stands in {home[m.group(1)]} already")
            elif not path.startswith("kernel/"):
                found.append(f"{where}: {m.group(1)} is shared with the kernel and belongs to "
                             "kernel/")
            home.setdefault(m.group(1), where)
    return found


def interface_structures_have_asserted_sizes(tree: SourceTree):
    found = []
    for path in tree.cpp():
        if path.startswith("kernel/uapi/"):
            code = tree.code(path)
            for m in _C_STRUCT.finditer(code):
                name = m.group(1)
                asserted = re.compile(rf"assert\w*\s*\(\s*sizeof\s*\(\s*struct\s+{name}\s*\)")
                if not any(asserted.search(tree.code(p)) for p in tree.cpp()):
                    found.append(f"{path}:{line_of(code, m.start())}: no static assertion on "
                                 f"sizeof(struct {name})")
    return found


def types_of_headers_are_defined_once(tree: SourceTree):
    found, home = [], {}
    for path in tree.product_cpp():
        if not path.endswith((".hpp", ".h")):
            continue
        code = tree.code(path)
        namespaces = [(m.start(), m.group(1)) for m in _NAMESPACE.finditer(code)]
        for m in _TYPE.finditer(code):
            space = [n for at, n in namespaces if at < m.start()][-1:] or [""]
            name = f"{space[0]}::{m.group(1)}"
            where = f"{path}:{line_of(code, m.start())}"
            if name in home and "template" not in m.group():
                found.append(f"{where}: {name} stands in {home[name]} already")
            home.setdefault(name, where)
    return found


# ---- R5 --------------------------------------------------------------------------------------
def names_say_what_is_inside(tree: SourceTree):
    found = []
    for path in tree.paths:
        for part in pathlib.PurePath(path).parts:
            words = set(re.split(r"[^a-z]+", part.lower()))
            if words & FORBIDDEN_WORDS:
                found.append(f"{path}:1: {part} does not say what it is about (R5)")
                break
    return found


# A definition of an object at namespace scope: our code stands unindented there.
_GLOBAL = re.compile(
    r"^(?!using|typedef|namespace|return|template|struct|class|enum|union|friend|extern \"C\"|"
    r"case|default|public|private|protected|else|goto|static_assert|asm|concept|delete|throw)"
    r"(?P<type>(?:static |inline |thread_local |extern |const |constexpr |constinit )*"
    r"[A-Za-z_][\w:]*(?:<[^;={}()]*>)?(?:\s*[*&])*(?: const)?)\s+"
    r"(?P<name>[A-Za-z_]\w*)(?:\[[^\]\n]*\])*\s*(?:=|;|\{)", re.M)
_LOCAL_STATIC = re.compile(r"^[ \t]+(?:static|thread_local)\s+(?!_assert)(?P<rest>[^;={(]*)"
                           r"(?P<end>[;={(])", re.M)
_CONSTANT = re.compile(r"\b(?:constexpr|consteval)\b|\bconst\b(?![^<]*>)")
MAY_KEEP_STATE = {
    ("libntm/host/log.cpp", "instance"): "spdlog's logger is one per process by nature",
    ("libntm/host/udp_socket.cpp", "batch"): "a buffer a thread, written before it is read",
    ("pdns-backend/adapter.cpp", "loader"): "PowerDNS registers a module by such an object",
    ("tests/fault/power_cut.cpp", "instance"): "SQLite's VFS functions get no argument of ours",
    ("tests/unit/crypto_test.cpp", "allocations"): "OpenSSL's allocator hooks get no argument",
}


def nothing_global_changes(tree: SourceTree):
    """By the text; symbol_rules.py finds in the archives what this overlooks."""
    found = []
    for path in tree.cpp():
        code = tree.code(path)
        for m in _GLOBAL.finditer(code):
            kind = m.group("type")
            pointer_to_const = "*" in kind and not kind.rstrip().endswith("const")
            if ("const" in kind and not pointer_to_const) or "constexpr" in kind or \
                    (path, m.group("name")) in MAY_KEEP_STATE:
                continue
            found.append(f"{path}:{line_of(code, m.start())}: {m.group('name')} is a global that "
                         "can change (R5)")
        for m in _LOCAL_STATIC.finditer(code):
            rest = m.group("rest")
            name = re.findall(r"\w+", rest)[-1] if re.findall(r"\w+", rest) else "?"
            if m.group("end") == "(" or _CONSTANT.search(rest) or (path, name) in MAY_KEEP_STATE:
                continue
            if is_member_declaration(code, m.start()):
                continue
            found.append(f"{path}:{line_of(code, m.start())}: static {name} can change (R5)")
    return found


def is_member_declaration(code, position):
    """True when `static` stands in a class, where it declares and defines nothing by itself."""
    depth = 0
    for at in range(position - 1, -1, -1):
        if code[at] == "}":
            depth += 1
        elif code[at] == "{":
            if depth == 0:
                head = re.split(r"[;{}]", code[:at])[-1]
                return re.search(r"\b(struct|class|union)\s+\w+", head) is not None and \
                    ")" not in head
            depth -= 1
    return False


# ---- R6 and customs --------------------------------------------------------------------------
def files_stay_short(tree: SourceTree):
    found = []
    for path in tree.sources():
        count = tree.text(path).count("\n")
        if count > MAX_LINES:
            found.append(f"{path}:{count}: longer than {MAX_LINES} lines (R6)")
    return found


_HEAD_MARK = {".cpp": r"(?://|/\*)", ".hpp": r"(?://|/\*)", ".c": r"/\*", ".h": r"(?://|/\*)",
              ".py": r'(?:#|""")', ".cmake": "#", ".txt": "#", ".sql": "--", ".sh": "#", "": "#"}


def head_of(text, suffix):
    """The comment that a file begins with, without its marks."""
    text = re.sub(r"\A#![^\n]*\n", "", text)
    mark = _HEAD_MARK[suffix]
    if not re.match(mark, text):
        return ""
    if text.startswith("/*"):
        block = text[:text.find("*/")]
    elif text.startswith('"""'):
        block = text[3:].split('"""')[0]
    else:
        lines = []
        for line in text.split("\n"):
            if not re.match(mark, line):
                break
            lines.append(line)
        block = "\n".join(lines)
    return re.sub(r"[\s/*#-]+", " ", block).strip()


def _says_why(tree, path):
    head = head_of(tree.text(path), pathlib.PurePath(path).suffix)
    if len(head) >= MIN_HEAD:
        return True
    header = re.sub(r"\.(cpp|c)$", lambda m: ".hpp" if m.group(1) == "cpp" else ".h", path)
    return header != path and head.startswith("See ") and tree.exists(header) and \
        _says_why(tree, header)


def every_source_says_why_it_exists(tree: SourceTree):
    """An implementation may point to its header; a test's .cmake part belongs to the folder's
    CMakeLists.txt."""
    return [f"{path}:1: no head paragraph: which problem, and why solved here"
            for path in tree.sources()
            if not (path.startswith("tests/") and path.endswith(".cmake"))
            and not _says_why(tree, path)]


# Written in two parts, so that this file does not name them.
_ELSEWHERE = re.compile("|".join([
    "/wo" "rk/", r"\.\./sha" "red", "/tmp/br" "ief", "/tmp/b" "-[a-z]", r"\.lib" "rary/",
    r"\bfa" "rm-", "`iss" "ues`", "`dupl" "icates`", r"proxy\.gol" "ang", r"\bpyp" r"i\.org",
    r"registry\.npm" "js", r"static\.cra" r"tes\.io", r"\bdeb\.deb" r"ian\.org",
    "/home/[a-z]", "/ro" "ot/"]))


def nothing_refers_to_other_places(tree: SourceTree):
    return [f"{path}:{line_of(tree.text(path), m.start())}: {m.group()} is not part of the "
            "repository"
            for path in tree.paths for m in _ELSEWHERE.finditer(tree.text(path))]


_UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")


def unfinished_work_names_an_issue(tree: SourceTree):
    return [f"{path}:{line_of(tree.text(path), m.start())}: {m.group()} without (#number)"
            for path in tree.sources() if path != "tests/arch/text_rules.py"
            and not path.startswith("tests/arch/test_")
            for m in _UNFINISHED.finditer(tree.text(path))]


# ---- coroutines ------------------------------------------------------------------------------
COROUTINE_FOLDER = "director/api/"


def _awaited(code, position):
    """The expression behind co_await and the sign that ended it."""
    depth = 0
    for at in range(position, len(code)):
        sign = code[at]
        if sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
            if depth < 0:
                return code[position:at]
        elif sign == ";":
            return code[position:at]
    return code[position:]


def coroutines_take_two_steps(tree: SourceTree):
    """g++ 12.2 miscompiles a co_await expression that holds a lambda, braces or a choice: the
    awaitable is made in one statement and awaited in the next. Coroutines live in one library."""
    found = []
    for path in tree.cpp():
        code = tree.code(path)
        for m in re.finditer(r"\bco_(?:await|return|yield)\b", code):
            where = f"{path}:{line_of(code, m.start())}"
            if not path.startswith(COROUTINE_FOLDER):
                found.append(f"{where}: coroutines belong to {COROUTINE_FOLDER}")
            if m.group() != "co_await":
                continue
            before = re.split(r"[;{}]", code[:m.start()])[-1]
            if re.search(r"[\[{?]", _awaited(code, m.end())) or "?" in before:
                found.append(f"{where}: co_await with a lambda, braces or a choice; make the "
                             "awaitable in a statement of its own")
    return found
