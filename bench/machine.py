"""What a result was measured on, and with; no host names."""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fastcore
from bench.native import compiler_version
from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cython", "uvloop", "websockets", "orjson")


def describe(cpus: list[int]) -> dict[str, Any]:
    """The machine, as JSON. `cpus`: the processors that the bench runs on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "is_virtual": "hypervisor" in _cpu_field("flags").split(),
        "cpus_used": cpus,
        "load_1min_before": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {_kernel_version()}",
        "python": platform.python_version(),
        "compiler": compiler_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "build": "safe" if fastcore.SAFE else "release",
        "utc": clock.utc_now().isoformat(timespec="seconds"),
    }


def commit() -> str | None:
    """Hash of the checked-out commit, "+" behind it when files differ; None without git."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!bench/results")
    return head + ("+" if changed else "")


def choose_cpus(count: int) -> list[int]:
    """`count` processors that this process may use, the last ones; TickmakerError if fewer."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < count:
        raise TickmakerError(
            f"the bench needs {count} processors, this process may use {len(allowed)}",
            "run it on a machine with more, or widen its affinity (taskset, cgroup)",
            EXIT_USAGE,
        )
    return allowed[-count:]


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _cpu_field(name: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    match = re.search(rf"^{name}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1] if match else ""


def _cpu_model() -> str:
    """Name, family and model: a guest is often told no more than the maker's name."""
    name = _cpu_field("model name") or platform.processor() or platform.machine()
    numbers = [f"{what} {_cpu_field(field)}" for what, field in (("family", "cpu family"),
               ("model", "model")) if _cpu_field(field)]  # fmt: skip
    return ", ".join([name, *numbers])


def _kernel_version() -> str:
    match = re.match(r"[0-9.]+", platform.release())
    return match[0].rstrip(".") if match else "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
