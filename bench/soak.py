"""`tickmaker bench soak`: does the core stay as it is over millions of events?

One core, with its journal on and the simulated venue answering, gets every raw frame of a capture
again and again, its time stamps moved on. Counted while frames are being fed: every malloc,
calloc and realloc of the process (bench/malloc_counter.c, preloaded), the interpreter's own memory
blocks, and the resident set. The journal's segments are a ring of three, as a recorder would give
them back. README.md has the method.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine, native
from bench.result import write
from engine.errors import TickmakerError

ROOT = Path(__file__).resolve().parent.parent
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
PAUSE_NS = 5_000_000_000  # of capture time between two passes
METHOD = (
    "Every raw frame of the capture through the unchanged Core.on_frame, over and over, time "
    "moved on; orders answered by the simulated venue; journal and signals on. Allocations are "
    "counted inside the calls that feed frames, a chunk of 2,048 each, and nowhere else; `calls` "
    "of them is how often the measuring program itself could have allocated. Resident set after "
    "each tenth."
)


def run(tape: Path, events: int, strategy: str, out: Path | None = None) -> dict[str, Any]:
    """Feed `events` frames in a process of its own. TickmakerError where that fails."""
    counter = native.library("malloc_counter")
    command = [sys.executable, "-m", "bench.soak", str(tape), str(events), strategy]
    environ = {**os.environ, "LD_PRELOAD": str(counter), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise TickmakerError(
            f"the soak ended with exit code {done.returncode}", "its error stands above"
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if out is not None:
        write(result, out)
    return result


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB


class Soak:
    """One core, fed the same frames again and again."""

    def __init__(self, tape: Path, strategy: str) -> None:
        from bench.core import KEY, Pool, core_config, load
        from fastcore.core import Core
        from fastcore.drive import Drive
        from fastcore.journal import JournalWriter

        source = load(tape)
        if source.frames is None:
            raise TickmakerError(f"{tape} is a tape", "give a raw capture: frames are what is fed")
        self.frames = source.frames
        self.pool = Pool()
        self.journal = JournalWriter(self.pool.next())
        self.journal.add_segment(self.pool.next())
        config = core_config(source.meta) | {"strategy": strategy}
        if strategy != "spread":
            config["params"] = {}  # its own defaults
        self.drive = Drive(
            Core(config, KEY, KEY, self.journal), entry_latency_ns=0, response_latency_ns=0
        )
        self.stamps = self.frames.recv_ts_ns.copy()
        self.span_ns = int(self.stamps[-1] - self.stamps[0]) + PAUSE_NS
        self.chunks = list(self.frames.chunks())
        self.drive.start(int(self.stamps[0]), 0)
        self.fed = self.calls = self.allocations = self.blocks = 0
        self.allocated = ctypes.CDLL(None).tickmaker_allocations
        self.allocated.restype = ctypes.c_long

    def feed(self, events: int) -> None:
        """At least so many frames, whole passes."""
        from fastcore.types import Conn

        core, last = self.drive.core, self.fed + events
        while self.fed < last:
            for first, end in self.chunks:
                offsets, stamps = self.frames.offsets[first : end + 1], self.stamps[first:end]
                arena = self.frames.arena
                blocks, before = sys.getallocatedblocks(), self.allocated()
                self.fed += self.drive.run_frames(arena, offsets, stamps)
                self.allocations += self.allocated() - before
                self.blocks += sys.getallocatedblocks() - blocks
                self.calls += 1
                if self.journal.needs_segment:
                    self.journal.add_segment(self.pool.next())
            self.stamps += self.span_ns
            now_ns = int(self.stamps[0])
            core.conn(Conn.MARKET, False, now_ns)  # the capture opens with its own snapshot
            core.conn(Conn.MARKET, True, now_ns)


def _soak(tape: Path, events: int, strategy: str) -> dict[str, Any]:
    from engine.tape.capture import sha256_of

    cpus = machine.choose_cpus(1)
    os.sched_setaffinity(0, cpus)
    soak = Soak(tape, strategy)
    soak.feed(1)  # one pass: whatever is made once is made
    soak.fed = soak.calls = soak.allocations = soak.blocks = 0
    gc.collect()
    gc.disable()
    began, resident = time.monotonic(), [_resident_kib()]
    for tenth in range(1, 11):
        soak.feed(max(1, events * tenth // 10 - soak.fed))
        resident.append(_resident_kib())
        if sys.stderr.isatty():
            print(f"\r{soak.fed:,} events", end="", file=sys.stderr, flush=True)
    print("" if sys.stderr.isatty() else f"{soak.fed:,} events", file=sys.stderr)
    core = soak.drive.core
    stats = core.stats()
    return {
        "events": soak.fed,
        "seconds": round(time.monotonic() - began, 1),
        "strategy": strategy,
        "orders_sent": stats["orders_sent"],
        "allocations": soak.allocations,
        "interpreter_blocks": soak.blocks,
        "calls": soak.calls,
        "resident_kib": resident,
        "resident_growth_kib": resident[-1] - resident[0],
        "tape": {"name": tape.name, "sha256": sha256_of(tape)},
        "targets": {"allocations": "0", "resident_growth_kib": "0"},
        "method": METHOD,
        "machine": machine.describe(cpus),
        "commit": machine.commit(),
    }


if __name__ == "__main__":
    print(json.dumps(_soak(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
