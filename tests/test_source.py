"""House rules that a linter does not know, each shown to fail on a planted file."""

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_sources import ROOT, blank

FILE_LINES_MAX = 450  # style says 400; the rest is slack for a table
FILE_LINES_MAX_OF = {"fastcore/core.pyx": 600, "tests/": 600}
FUNCTION_LINES_MAX = 75  # style says 70
CODE = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h"}
# Of final classes, and never made alone.
BASES = {
    "CoreState", "CoreSend", "CoreSteps", "DecoderBase", "EncoderBase", "HotRead", "HotSend",
    "Position", "Working",
}  # fmt: skip
OBJECTS = {"", "object", "bytes", "bytearray", "str", "list", "dict", "tuple", "set", "memoryview"}

Rule = Callable[[Path, list[Path]], Iterator[str]]


def tracked(root: Path) -> list[Path]:
    """Files that a commit holds or would hold, relative to `root`; without git, by their looks."""
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,  # git refuses a tree of another owner: then we look for ourselves
        )
        names = {Path(name) for name in listed.stdout.splitlines()}
        if listed.returncode == 0:
            return sorted(name for name in names if (root / name).is_file())
    skipped = {"build", "runs", "__pycache__"}
    return sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file()
        and path.suffix != ".so"
        and not skipped & set(path.relative_to(root).parts)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


# -- RULES -----------------------------------------------------------------------------------


def files_are_short(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix in CODE:
            own = [n for place, n in FILE_LINES_MAX_OF.items() if str(path).startswith(place)]
            count = len((root / path).read_text().splitlines())
            if count > (own or [FILE_LINES_MAX])[0]:
                yield f"{path} has {count} lines"


def functions_are_short(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix == ".py":
            for node in ast.walk(ast.parse((root / path).read_text(), str(path))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    count = (node.end_lineno or node.lineno) - node.lineno + 1
                    if count > FUNCTION_LINES_MAX:
                        yield f"{path}:{node.lineno} {node.name} has {count} lines"
        elif path.suffix == ".pyx":
            for line, name, count in _cython_functions((root / path).read_text()):
                if count > FUNCTION_LINES_MAX:
                    yield f"{path}:{line} {name} has {count} lines"


def every_cython_module_has_a_stub(root: Path, files: list[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix == ".pyx" and path.with_suffix(".pyi") not in files:
            yield f"{path} has no stub {path.with_suffix('.pyi').name}"


def c_functions_say_how_they_fail(root: Path, files: list[Path]) -> Iterator[str]:
    """Without a clause Cython tests for an exception after every call."""
    cython = [path for path in files if path.suffix in {".pyx", ".pxd"}]
    codes = {path: blank((root / path).read_text()) for path in cython}
    classes = {name for code in codes.values() for name in re.findall(r"cdef class (\w+)", code)}
    for path, code in codes.items():
        for line, returns, name, tail in _c_functions(code):
            if returns not in OBJECTS | classes and not re.search(r"\b(noexcept|except)\b", tail):
                yield f"{path}:{line} {name} has no exception clause"


def compiled_classes_are_final(root: Path, files: list[Path]) -> Iterator[str]:
    """Else each call of a cdef method goes through a table."""
    for path in files:
        if path.suffix == ".pyx":
            code = blank((root / path).read_text())
            for match in re.finditer(
                r"((?:^[ \t]*@[^\n]*\n)*)^[ \t]*cdef class (\w+)", code, re.M
            ):
                if "final" not in match.group(1) and match.group(2) not in BASES:
                    yield f"{path} {match.group(2)} is not @cython.final"


def nothing_is_swallowed(root: Path, files: list[Path]) -> Iterator[str]:
    broad = r"^[ \t]*except[ \t]+(?:Base)?Exception\b[^\n:]*:\s*(?:pass|\.\.\.)[ \t]*$"
    silent = re.compile(rf"^[ \t]*except\s*:|{broad}", re.MULTILINE)
    for path in files:
        if path.suffix in {".py", ".pyx"}:
            code = blank((root / path).read_text())
            for match in silent.finditer(code):
                yield f"{path}:{_line(code, match.start())} {' '.join(match.group().split())}"


def work_to_do_has_an_owner(root: Path, files: list[Path]) -> Iterator[str]:
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!\()")
    for path, text in _texts(root, files):
        for match in mark.finditer(text):
            yield f"{path}:{_line(text, match.start())} {match.group()} names no owner and issue"


def nothing_names_a_machine(root: Path, files: list[Path]) -> Iterator[str]:
    """No path of somebody's disk and no package index: neither is there for the next person."""
    places = re.compile(
        r"(?<![\w.:/-])/(?:work|root|home)/\w|\bpythonhosted\b|\bpypi\.|--index-url\b"
    )
    for path, text in _texts(root, files):
        for match in places.finditer(text):
            yield f"{path}:{_line(text, match.start())} {match.group()}"


def _texts(root: Path, files: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in files:
        if path.suffix not in {".png", ".gz", ".arrow"} and path.name != "test_source.py":
            is_any_bytes = path.is_relative_to("tests/data/fuzz")  # which may spell no text at all
            errors = "replace" if is_any_bytes else "strict"
            yield path, (root / path).read_text(encoding="utf-8", errors=errors)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _cython_functions(text: str) -> Iterator[tuple[int, str, int]]:
    """(line, name, count of lines) of each def, cdef and cpdef function; ends at the dedent."""
    lines = blank(text).splitlines()
    for start, line in enumerate(lines):
        head = re.match(r"([ \t]*)(?:c?p?def|async def)\b[^=]*?(\w+)\(", line)
        if head is None or re.match(r"\s*cdef\s+(?:class|struct|enum|extern)\b", line):
            continue
        last = start
        for index in range(start + 1, len(lines)):
            body = lines[index]
            dedented = len(body) - len(body.lstrip()) <= len(head.group(1))
            if body.strip() and dedented and not body.lstrip().startswith(")"):
                break
            if body.strip():
                last = index
        yield start + 1, head.group(2), last - start + 1


def _c_functions(code: str) -> Iterator[tuple[int, str, str, str]]:
    """(line, return type, name, what follows the arguments) of each cdef and cpdef function."""
    head = re.compile(
        r"^[ \t]*cp?def[ \t]+(?!class\b|struct\b|enum\b|union\b|extern\b|packed\b)"
        r"(?:(?:inline|public|api)[ \t]+)*([^\n=(,:]*?)[ \t]*\b(\w+)\(",
        re.MULTILINE,
    )
    for match in head.finditer(code):
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        tail = code[end : code.index("\n", end) if "\n" in code[end:] else len(code)]
        yield _line(code, match.start()), match.group(1).strip(), match.group(2), tail


RULES: list[Rule] = [
    files_are_short,
    functions_are_short,
    every_cython_module_has_a_stub,
    c_functions_say_how_they_fail,
    compiled_classes_are_final,
    nothing_is_swallowed,
    work_to_do_has_an_owner,
    nothing_names_a_machine,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_project_keeps_the_rule(rule: Rule) -> None:
    files = tracked(ROOT)
    assert Path("fastcore/types.pyx") in files, (
        "the sources were not found, so nothing was checked"
    )
    breaches = list(rule(ROOT, files))
    assert not breaches, "\n".join(breaches)


# -- EACH RULE CAN FAIL ----------------------------------------------------------------------

LONG_BODY = "\n".join(["    x = 1"] * (FUNCTION_LINES_MAX + 5))
FINAL = "@cython.final\ncdef class Book:\n"
CLAUSE = c_functions_say_how_they_fail
PLANTS = [
    (files_are_short, "engine/a.py", "x = 1\n" * (FILE_LINES_MAX + 1)),
    (functions_are_short, "engine/a.py", f"def f():\n{LONG_BODY}\n"),
    (functions_are_short, "engine/a.py", f"async def f():\n{LONG_BODY}\n"),
    (
        functions_are_short,
        "fastcore/book.pyx",
        f"cdef int f(int x) noexcept nogil:\n{LONG_BODY}\n",
    ),
    (
        functions_are_short,
        "fastcore/book.pyx",
        f"cdef int f(\n    int x,\n) noexcept:\n{LONG_BODY}\n",
    ),
    (every_cython_module_has_a_stub, "fastcore/novel.pyx", "x = 1\n"),
    (CLAUSE, "fastcore/book.pyx", "cdef int64_t f(int x):\n    return x\n"),
    (CLAUSE, "fastcore/book.pyx", "cdef inline px_t f(int x) nogil:\n    return 1\n"),
    (CLAUSE, "fastcore/book.pxd", "cdef class Book:\n    cdef void f(self,\n  int x)\n"),
    (CLAUSE, "fastcore/book.pxd", "cdef const uint8_t* f(int x) nogil\n"),
    (
        compiled_classes_are_final,
        "fastcore/book.pyx",
        "@cython.no_gc\ncdef class Book:\n    pass\n",
    ),
    (nothing_is_swallowed, "engine/a.py", "try:\n    f()\nexcept:\n    g()\n"),
    (nothing_is_swallowed, "engine/a.py", "try:\n    f()\nexcept Exception as e:\n    pass\n"),
    (nothing_is_swallowed, "fastcore/book.pyx", "try:\n    f()\nexcept Exception: pass\n"),
    (work_to_do_has_an_owner, "Makefile", "# TO" + "DO: later\n"),
    (nothing_names_a_machine, "README.md", "cd /ho" + "me/me/tickmaker\n"),
    (
        nothing_names_a_machine,
        "requirements.lock",
        "--extra" + "-index-url x\n--index" + "-url x\n",
    ),
]


@pytest.mark.parametrize(("rule", "name", "text"), PLANTS)
def test_rule_fails_on_a_planted_breach(rule: Rule, name: str, text: str, tmp_path: Path) -> None:
    sound = {
        "engine/a.py": "def f():\n    try:\n        g()\n    except OSError:\n        return 1\n",
        "fastcore/book.pyi": "",
        "fastcore/book.pyx": f"{FINAL}    cdef int f(self) noexcept nogil:\n        return 1\n",
        "fastcore/book.pxd": "cdef class Book:\n    cdef int f(self) noexcept\n    cdef Book g()",
        "README.md": "make demo  # writes to runs/; TO" + "DO(name, issue 9)\n",
    }
    for path, body in sound.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(body)
    assert list(rule(tmp_path, tracked(tmp_path))) == []
    (tmp_path / name).write_text(text)
    found = list(rule(tmp_path, tracked(tmp_path)))
    assert len(found) == 1, found
    assert name in found[0]


def test_every_rule_has_a_plant() -> None:
    assert {rule for rule, _, _ in PLANTS} == set(RULES)
