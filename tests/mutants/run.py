"""Plant each known bug of mutants.toml in a copy of the tree: the tests named beside it must fail.

    make mutants                    all of them
    make mutants ARGS="ws_ gate_"   those whose names start so

A mutant is killed when its tests fail, survives when they pass. Exit 1 if any survives, does not
apply, or does not compile, or if its tests fail without it. Only what a mutant touches is
compiled again, and only in build/mutants.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "mutants"
PLANTED = TREE / "planted"  # names the compiled file that a mutant was built into
COPIED = (
    "fastcore", "engine", "bench", "docs", "tests", "build/cython", "pyproject.toml", "setup.py",
)  # fmt: skip
COMPILED = {".pyx", ".pxd", ".h", ".c"}
TIMEOUT_S = 300  # a mutant that hangs its tests is killed, too
ENV = {
    **os.environ,
    "PYTHONDONTWRITEBYTECODE": "1",  # two writes within a second would leave stale bytecode
    "FASTCORE_CFLAGS": "-O1 -g0",
    "TICKMAKER_BUILD": "release",
}


@dataclass(frozen=True)
class Mutant:
    name: str
    why: str  # what would go wrong in the market
    file: str
    old: str  # stands exactly once in the file
    new: str
    tests: list[str]


def load(prefixes: list[str]) -> list[Mutant]:
    text = (ROOT / "tests/mutants/mutants.toml").read_text(encoding="utf-8")
    mutants = [Mutant(**entry) for entry in tomllib.loads(text)["mutant"]]
    return [m for m in mutants if not prefixes or m.name.startswith(tuple(prefixes))]


def sync() -> None:
    """Make the copy equal to the project, times included, so that nothing sound is recompiled."""
    for name in COPIED:
        source, target = ROOT / name, TREE / name
        if not source.exists():
            continue
        files = source.rglob("*") if source.is_dir() else [source]
        for path in files:
            copy = target / path.relative_to(source)
            if path.is_file() and path.suffix != ".pyc" and _differs(path, copy):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)


def _differs(path: Path, copy: Path) -> bool:
    if not copy.exists():
        return True
    one, two = path.stat(), copy.stat()
    return one.st_size != two.st_size or one.st_mtime_ns != two.st_mtime_ns


def run(*command: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=TREE,
            env=ENV,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return -1, f"still running after {TIMEOUT_S} s"
    return done.returncode, done.stdout


def pytest(tests: list[str]) -> tuple[int, str]:
    return run("-m", "pytest", "-q", "-x", "--no-header", "--tb=line", *tests)


def verdict(mutant: Mutant) -> str:
    """'killed', or what is wrong."""
    path = TREE / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"STALE: its text stands {text.count(mutant.old)} times in {mutant.file}"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    if path.suffix in COMPILED:
        PLANTED.write_text(mutant.file, encoding="utf-8")
        code, output = run("setup.py", "-q", "build_ext", "--inplace")
        if code != 0:
            return f"DOES NOT COMPILE\n{output[-2000:]}"
    code, output = pytest(mutant.tests)
    if code in (1, -1):
        return "killed"
    if code == 0:
        return f"SURVIVED {' '.join(mutant.tests)}: {mutant.why}"
    if code < 0 or code > 128:
        return "killed"  # by a signal: it crashed
    return f"TESTS DID NOT RUN (pytest exit code {code})\n{output[-2000:]}"


def heal() -> tuple[int, str]:
    """The tree without any mutant, compiled. What was built of one is newer than the source that
    is put back, so no compiler would look at it again: it is deleted."""
    sync()
    if PLANTED.exists():
        path = TREE / PLANTED.read_text(encoding="utf-8")
        stem = path.stem if path.suffix == ".pyx" else "*"
        for built in TREE.rglob(f"{stem}.*.so"):  # build/lib, too: --inplace copies from there
            built.unlink()
        PLANTED.unlink()
    return run("setup.py", "-q", "build_ext", "--inplace")


def main() -> int:
    mutants = load(sys.argv[1:])
    code, output = heal()
    if code != 0:
        print(f"the tree does not compile without a mutant:\n{output[-4000:]}")
        return 1
    sick = {}
    for test in sorted({test for mutant in mutants for test in mutant.tests}):
        code, output = pytest([test])
        if code != 0:
            sick[test] = f"TESTS FAIL WITHOUT IT: {output[-1000:]}"
    failed = 0
    for mutant in mutants:
        found = next((sick[test] for test in mutant.tests if test in sick), "") or verdict(mutant)
        heal()
        failed += found != "killed"
        print(f"{mutant.name:32} {found}", flush=True)
    print(f"{len(mutants) - failed} passed, {failed} failed")
    return 1 if failed or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
