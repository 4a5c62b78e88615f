"""The engine of the capacity bench: a whole session, and figures of it at request.

    python -m bench.capacity_engine JOB_FILE

Standard input: lines `mark` (a window begins) and `take` (it ends: its figures as a line of
JSON). Standard output: the session's own lines and those. What is asked for is read by the
session's own loop, and the edge's histograms are emptied every SLICE_S: that is all that runs
beside the session.
"""

import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from engine.config import load
from engine.gateway.parent import Output
from engine.session import Session
from fastcore.core_stats import halt_names
from fastcore.latency import Histogram

SLICE_S = 0.1
CALM_NS = 100_000  # of a slice, at most, the processor was somebody else's
# Of Core.brief.
COUNTED = ("fills", "orders_sent", "cancels_sent", "late", "gaps", "malformed", "nonsense")


def waited_ns() -> int:
    """Time that this process could have run and did not: others had the processor."""
    return int(Path("/proc/self/schedstat").read_text().split()[1])


def resident() -> dict[str, float]:
    """Resident memory by kind; `file`: mapped segments of the journals, shared with the disk."""
    told = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile"):
            told[name] = round(int(value.split()[0]) / 1024, 1)
    return told


def counts(session: Session) -> dict[str, int]:
    """Of all cores together."""
    told = [core.brief()[3:] for core in session.stage.hot.cores]
    return dict(zip(COUNTED, map(sum, zip(*told, strict=True)), strict=True))


class Window:
    """What the edge measures between `mark` and `take`: in all, and in calm slices alone, in
    which and before which nobody else had the processor."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._hot = session.stage.hot
        self.all = Histogram()
        self.calm = Histogram()
        self.away = Histogram()
        self.calm_away = Histogram()
        self.slices = self.calm_slices = 0
        self._was_calm = False
        self._counts = counts(session)
        self._collected = [told["collections"] for told in gc.get_stats()]
        self._polls, self._busy_ns = self._hot.polls, self._hot.busy_ns
        self._cpu_s, self._at_s = time.process_time(), time.monotonic()
        self._begin_waited_ns = self._waited_ns = waited_ns()

    async def keep(self) -> None:
        await asyncio.sleep(SLICE_S)  # what counting took is nobody's figure
        self._hot.tick_to_order.reset()
        self._hot.away.reset()
        while True:
            await asyncio.sleep(SLICE_S)
            self.cut()

    def cut(self) -> None:
        """End one slice."""
        now_ns = waited_ns()
        is_calm = now_ns - self._waited_ns <= CALM_NS
        self._waited_ns = now_ns
        self.all.merge(self._hot.tick_to_order)
        self.away.merge(self._hot.away)
        self.slices += 1
        if is_calm and self._was_calm:
            self.calm_slices += 1
            self.calm.merge(self._hot.tick_to_order)
            self.calm_away.merge(self._hot.away)
        self._was_calm = is_calm
        self._hot.tick_to_order.reset()
        self._hot.away.reset()

    def figures(self) -> dict[str, Any]:
        self.cut()
        session, hot, seconds = self._session, self._hot, time.monotonic() - self._at_s
        cpu_s, busy_ns, polls = time.process_time(), hot.busy_ns, hot.polls
        counted = counts(session)
        after = [told["collections"] for told in gc.get_stats()]
        return {
            "seconds": round(seconds, 3),
            "tick_to_order": self.all.summary(), "calm": self.calm.summary(),
            "away": self.away.summary(), "calm_away": self.calm_away.summary(),
            "calm_share": round(self.calm_slices / max(self.slices, 1), 3),
            "cpu_share": round((cpu_s - self._cpu_s) / seconds, 3),
            "waited_share": round((self._waited_ns - self._begin_waited_ns) / seconds / 1e9, 4),
            "busy_share": round((busy_ns - self._busy_ns) / seconds / 1e9, 4),
            "polls_per_s": round((polls - self._polls) / seconds),
            "counts": {name: counted[name] - self._counts[name] for name in COUNTED},
            "collections": [b - a for a, b in zip(self._collected, after, strict=True)],
            "memory_mb": resident(),
            "halted": sorted({name for core in hot.cores for name in halt_names(core.halt_bits)}),
            "reconnects": sum(account.reconnects for account in session.accounts),
        }  # fmt: skip


class Asked:
    """Lines on standard input, read by the session's loop."""

    def __init__(self, session: Session, output: Output) -> None:
        self._session = session
        self._output = output
        self._rest = b""
        self._window: Window | None = None
        self._task: asyncio.Task[None] | None = None

    def read(self) -> None:
        data = os.read(0, 4096)
        if not data:
            os._exit(0)  # the bench has what it wanted, or is gone: nothing is left to save
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"mark":
                self._window = Window(self._session)
                self._task = asyncio.get_running_loop().create_task(self._window.keep())
                self._output.emit("marked")
            elif line == b"take" and self._window is not None and self._task is not None:
                self._task.cancel()
                self._output.emit("taken", figures=self._window.figures())


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
