"""The bench's C programs, compiled when they are needed and kept under build/bench."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from engine.errors import TickmakerError

SOURCE_DIR = Path(__file__).resolve().parent
CACHE_DIR = SOURCE_DIR.parent / "build" / "bench"
CFLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


def compiler() -> str:
    """The C compiler: $CC, cc or gcc. TickmakerError where there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc"):
        if name and (path := shutil.which(name)):
            return path
    raise TickmakerError(
        "no C compiler: gcc was not found", "install it: apt-get install gcc libc6-dev"
    )


def compiler_version() -> str | None:
    """First line of `cc --version`; None without a compiler."""
    try:
        answer = subprocess.run(
            [compiler(), "--version"], capture_output=True, text=True, check=True
        )
    except (TickmakerError, OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.partition("\n")[0].strip() or None


def program(name: str) -> Path:
    """Path of the executable made of bench/<name>.c."""
    return _compiled(name, "", ())


def library(name: str) -> Path:
    """Path of the shared library made of bench/<name>.c."""
    return _compiled(name, ".so", ("-shared", "-fPIC"))


def _compiled(name: str, suffix: str, flags: tuple[str, ...]) -> Path:
    """Compile once for each version of the source, the header, the compiler and the flags."""
    cc = compiler()
    command = [cc, *CFLAGS, *flags]
    digest = hashlib.sha256(f"{command} {compiler_version()}".encode())
    for source in (f"{name}.c", "common.h"):
        digest.update((SOURCE_DIR / source).read_bytes())
    target = CACHE_DIR / f"{name}-{digest.hexdigest()[:16]}{suffix}"
    if target.exists():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        CACHE_DIR.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            [*command, "-o", str(partial), str(SOURCE_DIR / f"{name}.c"), "-lm"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode == 0:
            partial.replace(target)
            return target
    except OSError as error:
        raise TickmakerError(
            f"{CACHE_DIR}: can't be written: {error.strerror}",
            "make the project's folder writable",
        ) from None
    wrong = [line for line in made.stderr.splitlines() if "error" in line]
    raise TickmakerError(
        f"bench/{name}.c does not compile: {(wrong or [made.stderr.strip()])[0]}",
        "install the C library's headers: apt-get install gcc libc6-dev",
    )
