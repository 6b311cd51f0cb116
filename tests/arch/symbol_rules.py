"""R1 and R5 in what the compiler made: the symbols of the built archives.

Includes show what a file may call; symbols show what it does call. A pure archive may leave
undefined only what stands in ALLOWED, or what another pure archive of ours defines.
"""

import pathlib
import re
import subprocess

# Archive -> the archives whose symbols it may use.
PURE_ARCHIVES = {
    "libntm_kernel_core.a": [],
    "libntm_base.a": [],
    "libntm_wire.a": ["libntm_base.a"],
    "libntm_crypto.a": ["libntm_base.a", "libntm_wire.a"],
    "libntm_exchange.a": ["libntm_base.a", "libntm_wire.a", "libntm_crypto.a",
                          "libntm_kernel_core.a"],
    "libntm_datapath.a": ["libntm_base.a", "libntm_wire.a", "libntm_crypto.a",
                          "libntm_kernel_core.a"],
    "libntm_director_engine.a": ["libntm_base.a", "libntm_wire.a", "libntm_crypto.a",
                                 "libntm_exchange.a", "libntm_kernel_core.a", "libntm_store.a"],
    "libntm_relay_engine.a": ["libntm_base.a", "libntm_wire.a", "libntm_crypto.a",
                              "libntm_exchange.a", "libntm_kernel_core.a"],
    "libntm_terminal_engine.a": ["libntm_base.a", "libntm_wire.a", "libntm_crypto.a",
                                 "libntm_exchange.a", "libntm_kernel_core.a"],
    "libntm_terminal_dns.a": ["libntm_base.a", "libntm_wire.a", "libntm_terminal_engine.a"],
}

# Demangled symbols, whole. Nothing here reaches file, socket, clock, thread or random source.
ALLOWED = {
    r"mem(cpy|move|set|cmp|chr)|bcmp|str(len|cmp)|__(mem|str)\w+_chk": "bytes in memory",
    r"__stack_chk_fail|__assert_fail|abort": "stops the program",
    r"operator (new|delete)(\[\])?\(.*\)|std::nothrow": "memory",
    r"__cxa_\w+|__gxx_personality_v0|_Unwind_Resume|__dso_handle": "the compiler's unwinding",
    r"_GLOBAL_OFFSET_TABLE_|__tls_get_addr|_DYNAMIC": "the linker's",
    r"(vtable|typeinfo|typeinfo name) for (__cxxabiv1::.*|std::exception|std::bad_\w+|"
    r"std::(logic|runtime|range)_error)": "types of the C++ run time",
    r"std::(exception|bad_\w+|logic_error|runtime_error)::.*": "exceptions of the library",
    r"std::__throw_\w+\(.*\)|std::terminate\(\)": "the library's own assertions",
    r"std::__cxx11::basic_string<char, .*": "text in memory",
    r"std::operator\+.*basic_string.*|std::__cxx11::to_string\(.*\)": "text in memory",
    r"std::_Rb_tree_\w+\(.*\)": "std::map and std::set",
    r"std::__detail::_Prime_rehash_policy::.*|std::_Hash_bytes\(.*\)": "std::unordered_map",
    r"std::__detail::_List_node_base::.*": "std::list",
    r"std::(from|to)_chars\(.*\)": "numbers without locale",
    r"std::__detail::__to_chars\w*.*": "numbers without locale",
    r"std::align\(.*\)|std::_Sp_make_shared_tag::.*": "memory",
    r"__libc_single_threaded": "std::shared_ptr asks whether it may count without atomics",
}

# Archive -> symbols that only it may use.
ALLOWED_ALSO = {
    "libntm_crypto.a": {
        r"(EVP|OSSL_PARAM|OPENSSL|CRYPTO)_\w+": "the computing half of OpenSSL; RAND_* and BIO_* "
                                                "stay outside",
        r"__cpu_model|__cpu_indicator_init": "which suite this processor has instructions for",
    },
}
# A store that an engine is given is an interface; of its archive only the values are used.
FROM_STORE = re.compile(r"ntm::store::")

_MUTABLE = re.compile(r"\.(bss|data|tbss|tdata)(?!\.rel\.ro)(\.|$)")
# Demangled beginning of a symbol in writable memory: reason.
MAY_CHANGE = {
    "guard variable for ": "the compiler's flag of a static constant",
    "DW.ref.": "the compiler's unwinding",
    "std::__ioinit": "<iostream>'s own, in each file that includes it",
    "CLI::": "CLI11's validators and texts; it is a library of headers, so they land in ours",
    "std::__ioinit": "what including <iostream> brings; pure archives may not even include it",
    "ntm::crypto::(anonymous namespace)::cipher_of(ntm::crypto::Suite)::":
        "const pointers, set once: fetching a cipher costs half a packet's encryption",
    "ntm::crypto::(anonymous namespace)::sha256_algorithm()::algorithm": "const, as above",
    "ntm::crypto::HmacKey::HmacKey(std::span<unsigned char const, 18446744073709551615ul>)::":
        "const, as above",
    "ntm::store::sqlite::dc_database()::kind": "const, but holds text and is built at first use",
    "ntm::store::sqlite::admin_database()::kind": "const, as above",
    "ntm::store::sqlite::status_database()::kind": "const, as above",
    "ntm::terminal::(anonymous namespace)::kUniqueLocal": "const, but Prefix has no constexpr form",
    "ntm::host::": "logger and receive buffer; text_rules.py names the variables",
}


def archives(build):
    return {p.name: p for p in pathlib.Path(build).rglob("libntm_*.a")}


def _nm(*arguments):
    done = subprocess.run(["nm", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


def _defined(archive):
    return {line.split(None, 2)[2] for line in _nm("-C", "--defined-only", archive)
            if len(line.split(None, 2)) == 3}


def _undefined(archive):
    """(object file, demangled symbol) of everything that the archive leaves to others."""
    found, member = set(), ""
    for line in _nm("-C", "-u", archive):
        if line.endswith(":"):
            member = line[:-1]
        elif line.strip():
            found.add((member, line.strip().split(" ", 1)[1]))
    return sorted(found)


def _allowed(name, symbol):
    tables = [ALLOWED, ALLOWED_ALSO.get(name, {})]
    return any(re.fullmatch(pattern, symbol) for table in tables for pattern in table)


def undefined_symbols_of(name, archive, others):
    """Symbols that `archive` may not leave undefined. Weak ones ("w", "v") count too."""
    known = _defined(archive)
    for other in others:
        known |= _defined(other)
    found = []
    for member, symbol in _undefined(archive):
        if symbol not in known and not _allowed(name, symbol):
            found.append(f"{name}({member}): uses {symbol}; see ALLOWED in "
                         "tests/arch/symbol_rules.py")
    return found


def pure_archives_reach_nothing(build):
    built, found = archives(build), []
    for name, others in PURE_ARCHIVES.items():
        if name not in built:
            found.append(f"{name}: not built in {build}")
            continue
        given = [built[o] for o in others if o in built and o != "libntm_store.a"]
        problems = undefined_symbols_of(name, built[name], given)
        if "libntm_store.a" in others:
            problems = [p for p in problems if not FROM_STORE.search(p.split(": uses ")[1])]
        found += problems
    return found


def no_archive_keeps_state(build):
    """Writable objects in any archive of ours: a mutable global, whatever the text looks like."""
    found = []
    for name, archive in sorted(archives(build).items()):
        member = ""
        for line in _nm("-C", "-f", "sysv", "--defined-only", archive):
            fields = [f.strip() for f in line.split("|")]
            if line.startswith("Symbols from"):
                member = line.split("[")[-1].rstrip("]:")
            if len(fields) == 7 and _MUTABLE.match(fields[6]) and \
                    fields[3] in ("OBJECT", "TLS", "GNU_UNIQUE", "LOOS") and \
                    not fields[0].startswith(tuple(MAY_CHANGE)):
                found.append(f"{name}({member}): {fields[0]} can change (R5)")
    return found
