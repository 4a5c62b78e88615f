"""The engine of the capacity bench: a whole session, and figures of it at request.

    python -m bench.capacity_engine JOB_FILE

Standard input: lines `mark` (a window begins) and `take` (it ends: its figures as a line of JSON). Standard output: the session's own lines and those. What is asked
for is read by the session's own loop, so nothing runs beside it within a window.
"""

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from bench.result import PERCENTS
from engine.config import load
from engine.gateway.parent import Output
from engine.session import Session
from fastcore.core_stats import halt_names
from fastcore.latency import Histogram

HALF_BITS, SUB_BITS = 10, 11  # fastcore/latency.pxd
COUNTED = (
    "frames", "orders_sent", "cancels_sent", "modifies_sent", "late", "unsent", "gaps",
    "malformed", "fills",
)  # fmt: skip


class Mark:
    """What had been counted at one moment."""

    def __init__(self, session: Session) -> None:
        cores = session.stage.hot.cores
        merged = Histogram()
        for core in cores:
            merged.merge(core.histogram)
        self.tick_to_order = np.array(merged.counts())
        self.away = np.array(session.stage.hot.away.counts())
        numbers = [core.numbers() for core in cores]
        self.counts = {name: sum(told[name] for told in numbers) for name in COUNTED}
        hot = session.stage.hot
        self.polls = hot.polls
        self.busy_ns = hot.busy_ns
        self.waited_ns = waited_ns()
        self.collected = gc.get_stats()
        self.cpu_s = time.process_time()
        self.at_s = time.monotonic()


def figures(before: Mark, session: Session) -> dict[str, Any]:
    """Of the window that began with `before`."""
    memory, after = resident(), Mark(session)
    seconds = after.at_s - before.at_s
    return {
        "seconds": round(seconds, 3),
        "tick_to_order": summary(after.tick_to_order - before.tick_to_order),
        "away": summary(after.away - before.away),
        "cpu_share": round((after.cpu_s - before.cpu_s) / seconds, 3),
        "waited_share": round((after.waited_ns - before.waited_ns) / seconds / 1e9, 4),
        "busy_share": round((after.busy_ns - before.busy_ns) / seconds / 1e9, 4),
        "polls_per_s": round((after.polls - before.polls) / seconds),
        "counts": {name: after.counts[name] - before.counts[name] for name in COUNTED},
        "collections": [
            b["collections"] - a["collections"]
            for a, b in zip(before.collected, after.collected, strict=True)
        ],
        "memory_mb": memory,
        "halted": sorted({
            name for core in session.stage.hot.cores for name in halt_names(core.halt_bits)
        }),
        "reconnects": sum(account.reconnects for account in session.accounts),
    }  # fmt: skip


def summary(counts: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """As Histogram.summary, of counters; `max_us` within a thousandth."""
    n = int(counts.sum())
    if n == 0:
        return {**dict.fromkeys(PERCENTS), "n": 0}
    seen = np.cumsum(counts)
    told: dict[str, Any] = {}
    for name, percent in PERCENTS.items():
        rank = max(1, int(percent * n / 100 + 0.5))
        told[name] = highest_ns(int(np.searchsorted(seen, rank))) / 1e3
    return {**told, "n": n}


def highest_ns(index: int) -> int:
    """The highest value of a counter."""
    if index < 1 << SUB_BITS:
        return index
    bucket = (index >> HALF_BITS) - 1
    return ((index - (bucket << HALF_BITS) + 1) << bucket) - 1


def resident() -> dict[str, float]:
    """Resident memory by kind; `file`: mapped segments of the journals, shared with the disk."""
    told = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile"):
            told[name] = round(int(value.split()[0]) / 1024, 1)
    return told


def waited_ns() -> int:
    """Time that this process could have run and did not: others had the processor."""
    return int(Path("/proc/self/schedstat").read_text().split()[1])


class Asked:
    """Lines on standard input, read by the session's loop."""

    def __init__(self, session: Session, output: Output) -> None:
        self._session = session
        self._output = output
        self._rest = b""
        self._mark: Mark | None = None

    def read(self) -> None:
        data = os.read(0, 4096)
        if not data:
            os._exit(0)  # the bench has what it wanted, or is gone: nothing is left to save
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"mark":
                self._mark = Mark(self._session)
                self._output.emit("marked")
            elif line == b"take" and self._mark is not None:
                self._output.emit("taken", figures=figures(self._mark, self._session))


async def _main(job: dict[str, Any]) -> int:
    output = Output()
    session = Session(load(job["config"]), {"local": tuple(job["key"])}, output)
    for account in session.accounts:  # the bench's venue limits nothing
        account.rest.budget.weight_max = 10**9
    asked = Asked(session, output)
    asyncio.get_running_loop().add_reader(0, asked.read)
    return await session.run()


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_main(told)))
