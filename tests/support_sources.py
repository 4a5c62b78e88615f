"""Read the project's sources as text: what each file imports, by which name, with code only.

Serves test_architecture and test_source. Works on any tree laid out like the project, so that
each rule can be shown to fail on a planted file. Cython has no parser in the standard library
and import tools skip it, hence text: strings and comments are blanked, then imports matched.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("fastcore", "engine", "bench")  # top-level packages that have rules
KINDS = {".py", ".pyx", ".pxd", ".pyi"}

_STRING = re.compile(
    r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*", re.DOTALL
)
_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([^\n;]+)", re.MULTILINE)
_FROM = re.compile(
    r"^[ \t]*from[ \t]+([.\w]+)[ \t]+c?import[ \t]*(\([^)]*\)|[^\n;]+)", re.MULTILINE
)


@dataclass(frozen=True)
class Source:
    """One file. `code` has the text's lines, with strings and comments blanked."""

    path: Path  # relative to the tree's root
    module: str  # dotted name; a .pyx and its .pxd and .pyi share one
    code: str
    imports: tuple[str, ...]  # absolute dotted names: modules where known, else as written

    def __str__(self) -> str:
        return self.path.as_posix()


def read(root: Path) -> list[Source]:
    """Every source under the rooms of `root`, in path order."""
    paths = sorted(p.relative_to(root) for p in _walk(root) if p.suffix in KINDS)
    known = {module_name(path) for path in paths}
    sources = []
    for path in paths:
        code = blank((root / path).read_text(encoding="utf-8"))
        found = tuple(dict.fromkeys(_imports(code, path, known)))
        sources.append(Source(path, module_name(path), code, found))
    return sources


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def blank(text: str) -> str:
    """`text` with strings emptied and comments removed; line numbers are kept."""

    def keep_lines(match: re.Match[str]) -> str:
        found = match.group()
        lines = "\n" * found.count("\n")
        return lines if found.startswith("#") else f'""{lines}'

    return _STRING.sub(keep_lines, text)


def _walk(root: Path) -> Iterator[Path]:
    for room in ROOMS:
        for path in (root / room).rglob("*"):
            if "__pycache__" not in path.parts and path.is_file():
                yield path


def _imports(code: str, path: Path, known: set[str]) -> Iterator[str]:
    joined = code.replace("\\\n", " ")
    for match in _IMPORT.finditer(joined):
        for name in match.group(1).split(","):
            yield name.split(" as ")[0].strip()
    for match in _FROM.finditer(joined):
        base = _absolute(match.group(1), path)
        for name in match.group(2).strip("()").split(","):
            bare = name.split(" as ")[0].strip()
            if bare:
                inner = f"{base}.{bare}"
                yield inner if inner in known else base


def _absolute(name: str, path: Path) -> str:
    """`.book` in fastcore/core.pyx is fastcore.book."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parents = path.parts[: len(path.parts) - dots]
    return ".".join([*parents, *filter(None, [name[dots:]])])
