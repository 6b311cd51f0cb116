"""The repository's files as the rules of tests/arch see them.

Problem: every rule needs the same three things, the list of our own source files, their text
without comments and strings, and their includes; if each rule found them itself, one of them would
overlook a folder. A rule is a function that takes a SourceTree and returns its violations as
lines "path:line: what is wrong"; so it can be held against the real tree and against a planted one.
"""

import functools
import pathlib
import re
from dataclasses import dataclass

CPP = {".cpp", ".hpp", ".c", ".h"}
TEXT = CPP | {".py", ".cmake", ".sql", ".in", ".sh", ".md", ".toml", ".example", ".txt"}
# Bytes that were generated or published by others: no rule on style concerns them.
DATA = ("tests/vectors/golden/", "tests/vectors/data/", "tests/fuzz/corpus/", "schema/db/releases/")
SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".pytest_cache"}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"][^>"]+[>"])', re.M)
# Raw strings first, then ordinary ones, characters and comments. A digit separator is no character.
_NOISE = re.compile(r'R"(?P<mark>[^(\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
                    r"|(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'|//[^\n]*|/\*.*?\*/", re.S)


@dataclass(frozen=True)
class Include:
    line: int
    header: str   # with its quotes or angle brackets


def blank_noise(text):
    """C++ without comments and literals; lines and columns stay where they are."""
    return _NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


class SourceTree:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    @functools.cached_property
    def paths(self):
        """Every file of ours, relative, with '/', sorted; also the ones not committed yet."""
        found = []
        for path in self.root.rglob("*"):
            parts = path.relative_to(self.root).parts
            if path.is_file() and not SKIPPED_FOLDERS & set(parts[:-1]):
                found.append("/".join(parts))
        return sorted(found)

    def exists(self, path):
        return (self.root / path).exists()

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    @functools.lru_cache(maxsize=None)
    def code(self, path):
        return blank_noise(self.text(path))

    def cpp(self):
        return [p for p in self.paths if pathlib.PurePath(p).suffix in CPP]

    def product_cpp(self):
        return [p for p in self.cpp() if not p.startswith("tests/")]

    def python(self):
        return [p for p in self.paths if p.endswith(".py")]

    def cmake(self):
        return [p for p in self.paths if p.endswith((".cmake", "CMakeLists.txt"))]

    def scripts(self):
        """Shell files by their suffix, and files without one that begin with #!."""
        return [p for p in self.paths if p.endswith(".sh") or
                ("." not in pathlib.PurePath(p).name and self.text(p).startswith("#!"))]

    def sources(self):
        """Everything that people wrote and maintain as code."""
        sql = [p for p in self.paths if p.endswith(".sql")]
        all_of_it = {*self.cpp(), *self.python(), *self.cmake(), *self.scripts(), *sql}
        return sorted(p for p in all_of_it if not p.startswith(DATA))

    def written(self):
        """Sources, documents and examples: whatever a reader may open."""
        more = [p for p in self.paths if pathlib.PurePath(p).suffix in TEXT]
        return sorted({*self.sources(), *(p for p in more if not p.startswith(DATA))})

    def includes(self, path):
        text = self.text(path)
        return [Include(text.count("\n", 0, m.start(1)) + 1, m.group(1))
                for m in _INCLUDE.finditer(text)]


def line_of(text, position):
    return text.count("\n", 0, position) + 1
