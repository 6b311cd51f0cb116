"""R1 by includes, and which folder may know which (docs/ARCHITECTURE.md, Folders).

Each line of a table says why it stands there. A file that needs a header which is not listed is
either impure, or the list gets a line with its reason in the same commit.
"""

from source_tree import SourceTree

# ---- R1: what is pure ------------------------------------------------------------------------
# A folder ends with "/" and means its direct children only; anything else is a file's beginning.
PURE = {
    "libntm/base/": "values and cursors",
    "libntm/wire/": "bytes to values and back",
    "libntm/crypto/": "computes; randomness is an argument",
    "libntm/exchange/": "sessions; time and randomness are arguments",
    "libntm/datapath/": "the halves that fake and tun share; sockets are in tun/",
    "libntm/datapath/fake/": "the double that the scenarios run on",
    "libntm/store/model.": "rows as values",
    "libntm/store/rules": "what the store refuses, for every store alike",
    "director/engine/": "events in, effects out",
    "relay/engine/": "events in, effects out",
    "terminal/engine/": "events in, effects out",
    "terminal/dns/message.": "DNS bytes to values and back",
    "terminal/dns/facts.": "what is known about names",
    "terminal/dns/resolution.": "one question's way through the rules",
    "terminal/dns/stub_engine.": "the stub's rules; sockets are in listener and upstream",
    "pdns-backend/answers.": "answers from a Store, without PowerDNS",
    "pdns-backend/derived_records.": "records from a location row",
    "kernel/core/": "the same lines run in the kernel",
}

# Standard headers that can't reach the operating system by themselves. <cstdlib>, <chrono>,
# <thread>, <mutex>, <random>, <fstream>, <iostream>, <filesystem> and every <sys/...> are missing
# on purpose; symbol_rules.py checks the result in the archives.
PURE_HEADERS = {
    "<algorithm>": "searches and sorts in memory",
    "<array>": "fixed-size bytes",
    "<bit>": "counts and rotates bits",
    "<bitset>": "sets of small numbers",
    "<cassert>": "invariants: stops the program or does nothing",
    "<charconv>": "numbers as text, without locale",
    "<compare>": "order of values",
    "<concepts>": "constraints at compile time",
    "<cstddef>": "std::size_t",
    "<cstdint>": "integers of a width",
    "<cstring>": "memcpy and memcmp",
    "<deque>": "queues in memory",
    "<functional>": "callbacks that the caller gives",
    "<initializer_list>": "lists in braces",
    "<limits>": "bounds of integers",
    "<list>": "order of use in memory",
    "<map>": "tables in memory",
    "<memory>": "ownership",
    "<numeric>": "sums",
    "<optional>": "values that may be missing",
    "<set>": "sets in memory",
    "<span>": "views",
    "<string>": "text in memory",
    "<string_view>": "views of text",
    "<tuple>": "several values as one",
    "<type_traits>": "types at compile time",
    "<unordered_map>": "tables in memory",
    "<unordered_set>": "sets in memory",
    "<utility>": "move and pair",
    "<variant>": "one of several values",
    "<vector>": "lists in memory",
    "<tl/expected.hpp>": "behind Result; a header of templates without dependencies",
}

# (beginning of the path, header): reason
PURE_EXCEPTIONS = {
    ("libntm/crypto/", "<openssl/evp.h>"): "the computing half of OpenSSL, nowhere else",
    ("libntm/crypto/", "<openssl/core_names.h>"): "names of EVP parameters",
    ("libntm/crypto/", "<openssl/crypto.h>"): "OPENSSL_cleanse, constant-time comparison",
    ("libntm/crypto/", "<openssl/params.h>"): "parameters of EVP calls",
    ("libntm/crypto/", "<cstdlib>"): "std::abort when OpenSSL itself fails; getenv and rand would "
                                     "show in the symbols",
}

# ---- which folder may know which -------------------------------------------------------------
# The longest beginning that fits a file decides. Right: the folders (with those below them) whose
# headers it may include; its own folder is always allowed.
LOW = ["libntm/base", "libntm/wire", "libntm/crypto", "libntm/exchange", "kernel/core"]
MAY_KNOW = {
    "kernel/uapi": [],
    "kernel/core": ["kernel/uapi"],
    "kernel/module": ["kernel/uapi", "kernel/core"],
    "libntm/base": [],
    "libntm/wire": ["libntm/base"],
    "libntm/crypto": ["libntm/base", "libntm/wire"],
    "libntm/exchange": ["libntm/base", "libntm/wire", "libntm/crypto", "kernel/core"],
    "libntm/datapath": ["libntm/base", "libntm/wire", "libntm/crypto", "kernel/core"],
    "libntm/datapath/tun": [*LOW, "libntm/datapath", "libntm/host"],
    "libntm/datapath/netlink": [*LOW, "libntm/datapath", "libntm/host", "kernel/uapi"],
    "libntm/store": ["libntm/base"],
    "libntm/host": ["libntm/base"],
    # Of the store an engine knows rows and the interface, as effects; of the datapath the changes
    # that it orders and the events that it gets. OF_AN_ENGINE below narrows both.
    "director/engine": [*LOW, "libntm/store"],
    "relay/engine": [*LOW, "libntm/datapath"],
    "terminal/engine": [*LOW, "libntm/datapath"],
    "director": [*LOW, "libntm/store", "libntm/host", "director"],
    "relay": [*LOW, "libntm/datapath", "libntm/host", "relay"],
    "terminal": [*LOW, "libntm/datapath", "libntm/host", "terminal"],
    "pdns-backend": ["libntm/base", "libntm/wire", "libntm/store"],
    "cli": ["libntm/base", "libntm/wire", "libntm/host"],
}
OF_AN_ENGINE = {
    "libntm/datapath/change.hpp": "what an engine orders of the datapath",
    "libntm/datapath/event.hpp": "what the datapath tells an engine",
    "libntm/store/model.hpp": "rows as values",
    "libntm/store/outcome.hpp": "how a write ended, as a value",
    "libntm/store/store.hpp": "the interface that the store's effects are written in",
}
# (file, header): reason
EDGE_EXCEPTIONS = {
    ("director/service.cpp", "pdns-backend/configuration.hpp"):
        "--with-dns writes the configuration of the pdns_server that it supervises",
    ("cli/dc_commands.cpp", "director/setup.hpp"):
        "`ntm dc init` writes files before any daemon exists (DECISIONS 1)",
    ("cli/terminal_commands.cpp", "terminal/joining.hpp"):
        "`ntm join` makes the key on this machine before any daemon exists (DECISIONS 1)",
}


def _fits(path, beginning):
    if beginning.endswith("/"):
        return path.startswith(beginning) and "/" not in path[len(beginning):]
    return path.startswith(beginning)


def is_pure(path):
    return any(_fits(path, beginning) for beginning in PURE)


def _system_allowed(path, header):
    return header in PURE_HEADERS or any(
        header == allowed and path.startswith(where) for where, allowed in PURE_EXCEPTIONS)


def pure_files_include_only_what_is_listed(tree: SourceTree):
    found = []
    for path in filter(is_pure, tree.product_cpp()):
        for include in tree.includes(path):
            header = include.header
            if header.startswith("<") and not _system_allowed(path, header):
                found.append(f"{path}:{include.line}: a pure file includes {header}; see "
                             "PURE_HEADERS in tests/arch/include_rules.py")
            if header.startswith('"libntm/host/') or header.startswith('"libntm/datapath/tun/'):
                found.append(f"{path}:{include.line}: a pure file includes {header}")
    return found


def kernel_core_includes_only_itself(tree: SourceTree):
    return [f"{path}:{include.line}: kernel/core runs in the kernel and in user space and includes "
            f"{include.header}"
            for path in tree.product_cpp() if path.startswith("kernel/core/")
            for include in tree.includes(path) if not include.header.startswith('"kernel/')]


def folder_of(path):
    fitting = [f for f in MAY_KNOW if path.startswith(f + "/")]
    return max(fitting, key=len) if fitting else None


def _edge_allowed(path, folder, header):
    if (path, header) in EDGE_EXCEPTIONS:
        return True
    target = folder_of(header)
    if target is None:
        return False
    if target == folder:
        return True
    if folder.endswith("/engine") and header.startswith(("libntm/datapath/", "libntm/store/")):
        return header in OF_AN_ENGINE
    # A subfolder with a line of its own is reached only by the part that it belongs to: nobody
    # below the services sees datapath/tun, though "libntm/datapath" is allowed to engines.
    return any(target == f or target.startswith(f + "/") for f in MAY_KNOW[folder])


def folders_know_only_lower_ones(tree: SourceTree):
    found = []
    for path in tree.product_cpp():
        folder = folder_of(path)
        if folder is None:
            found.append(f"{path}:1: its folder has no line in MAY_KNOW, so nobody decided what it "
                         "may know")
            continue
        for include in tree.includes(path):
            header = include.header.strip('"')
            ours = include.header.startswith('"') and "/" in header
            if ours and not _edge_allowed(path, folder, header):
                found.append(f"{path}:{include.line}: {folder} may not know {header}")
    return found


def includes_of_ours_exist(tree: SourceTree):
    """With the path from the root: a header found by accident in the same folder moves badly."""
    found = []
    for path in tree.cpp():
        if path == "pdns-backend/adapter.cpp":  # the only file that sees PowerDNS's headers
            continue
        for include in tree.includes(path):
            header = include.header.strip('"')
            if include.header.startswith('"') and not tree.exists(header):
                found.append(f'{path}:{include.line}: "{header}" is no path from the root of the '
                             "repository")
    return found


def tables_name_what_exists(tree: SourceTree):
    """A line whose file is gone would allow it again, unseen, under the same name."""
    stale = [b for b in PURE if not any(_fits(p, b) for p in tree.paths)]
    stale += [f for f, _ in EDGE_EXCEPTIONS if not tree.exists(f)]
    return [f"tests/arch/include_rules.py:1: nothing is called {name} any more" for name in stale]
