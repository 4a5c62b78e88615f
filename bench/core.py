"""`tickmaker bench core`: from a raw frame to signed orders, in process, no socket.

Every raw frame of a capture goes through the unchanged Core.on_frame, journal and stage stamps
on, with the simulated venue (fastcore/matching) answering the orders so that it goes on. What
counts is the time of each on_frame that caused a message, all of them. README.md has the method.
"""

import gc
import mmap
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import machine
from bench.hiccups import Samples, Spinner
from bench.result import figures_us, write
from engine.config import NO_ASSETS, demo_core
from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway import hotsocket
from engine.tape.capture import Source, sha256_of
from engine.tape.format import Columns, Tape, TapeMeta, is_tape
from engine.tape.identity import identify
from engine.tape.importer import import_files
from fastcore.core import Core
from fastcore.core_stats import halt_names
from fastcore.drive import Drive
from fastcore.journal import JournalWriter
from fastcore.latency import Histogram, Stage
from fastcore.types import Halt

KEY = b"bench0000000000000000000000000000000000000000000000000000000key0"
SEGMENT_BYTES = 16 << 20  # as the live journal's
SEGMENTS_COUNT = 3  # one written, one ahead, one that was full
CHUNK_FRAMES = 2048  # so few that their journal needs one new segment at most
CHUNK_BYTES = 4 << 20
SPIN_MS = 4  # of an idle loop between two chunks, about as long as a chunk
SENDS_MAX = 10_000
FED_RAW = "copied into one buffer before the clock starts, as a read would leave it"
FED_ROWS = "decoded before, because a tape has no raw frames: no decode, no journal record of it"
METHOD = (
    "In process, one thread on one processor, garbage collector off. Every raw frame of the "
    "capture, {how}; time is the capture's own receive stamps. Unchanged "
    "Core.{entry}, journal on (16 MiB segments in memory, one always ahead), stage stamps on, "
    "one warm-up pass before the rounds. Timed by the processor's time stamp counter from before "
    "the call to after it, for every frame that caused at least one message; none is left out. "
    "Such a frame sends {messages:.2f} signed messages on average (a requote of a side is one "
    "order.modify, or a cancel and a new order where that is barred). Quoting: "
    "requote at any tick and at any time, both sides, order "
    "limits out of the way; the simulated venue answers at once, so most changes of the touch "
    "cause orders. Headline: bookTicker (depthUpdate where there is none), each percentile the "
    "median of the rounds', the maximum over all; depth and stages: the round with the median "
    "p50. Hiccups: longest gap between two clock reads of an idle loop on the same processor in "
    "each millisecond, {spin} ms between any two chunks of frames."
)


@dataclass(frozen=True, slots=True)
class Frames:
    """All raw frames of a capture: frame i is arena[offsets[i]:offsets[i + 1]]."""

    arena: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    recv_ts_ns: npt.NDArray[np.int64]

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of frames of at most CHUNK_FRAMES and about CHUNK_BYTES."""
        first, count = 0, len(self.recv_ts_ns)
        while first < count:
            limit = int(self.offsets[first]) + CHUNK_BYTES
            last = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            last = min(max(last, first + 1), first + CHUNK_FRAMES, count)
            yield first, last
            first = last


@dataclass(frozen=True, slots=True)
class Input:
    """What is fed: frames of a capture, or rows of a tape."""

    path: Path
    meta: TapeMeta
    frames: Frames | None
    batches: list[Columns]

    @property
    def first_ts_ns(self) -> int:
        return int(self.frames.recv_ts_ns[0] if self.frames else self.batches[0][0][0])


def run(tape: Path, rounds: int = 5, out: Path | None = None) -> dict[str, Any]:
    """Measure `rounds` passes over a raw capture or a tape; JSON, written to `out` too.

    Raises TickmakerError.
    """
    if rounds < 1:
        raise TickmakerError(f"--rounds is {rounds}", "give a number above 0", EXIT_USAGE)
    allowed = os.sched_getaffinity(0)
    cpus = machine.choose_cpus(1)
    described = machine.describe(cpus)
    source = load(tape)
    spinner = Spinner()
    try:
        os.sched_setaffinity(0, set(cpus))
        passes = [_pass(source, spinner) for _ in range(rounds + 1)][1:]
    finally:
        os.sched_setaffinity(0, allowed)
    result = _result(source, passes) | {"machine": described, "commit": machine.commit()}
    if out is not None:
        write(result, out)
    return result


# -- INPUT ---------------------------------------------------------------------------------------


def load(path: Path) -> Input:
    """A capture's raw frames, or a tape's rows. TickmakerError for anything else."""
    if is_tape(path):
        tape = Tape(path)
        batches = list(tape.batches())
        return Input(path, _checked(path, tape.meta), None, batches)
    with tempfile.TemporaryDirectory(prefix="tickmaker-") as folder:
        imported = Path(folder) / "bench.tape.arrow"
        import_files([path], imported)  # venue, symbol, tick and lot; and that every line is sound
        meta = Tape(imported).meta
    return Input(path, _checked(path, meta), _read_frames(path), [])


def _checked(path: Path, meta: TapeMeta) -> TapeMeta:
    if not meta.messages.get("snapshot") or not meta.messages.get("depth"):
        raise TickmakerError(
            f"{path}: holds no snapshot or no depth: no book can be built",
            "capture both and give that file",
        )
    return meta


def _read_frames(path: Path) -> Frames:
    source = Source([path], None, passes=2)
    identity = identify(source, None)
    source.restart(pass_index=1)
    parts, stamps = [], []
    for _, recv_ts_ns, frame in source.lines():
        if identity.is_ours(frame):
            parts.append(frame.rstrip())
            stamps.append(recv_ts_ns)
    return Frames(
        np.frombuffer(b"".join(parts), np.uint8),
        np.cumsum([0, *map(len, parts)], dtype=np.int64),
        np.array(stamps, np.int64),
    )


# -- ONE PASS ------------------------------------------------------------------------------------


class Pool:
    """Journal segments in memory, faulted in, used again and again."""

    def __init__(self) -> None:
        self._maps = [
            mmap.mmap(-1, SEGMENT_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE)
            for _ in range(SEGMENTS_COUNT)
        ]
        self._next = 0

    def next(self) -> memoryview:
        self._next += 1
        return memoryview(self._maps[self._next % SEGMENTS_COUNT])


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over the input gave."""

    drive: Drive
    core: Core
    hiccup_ns: Samples

    @property
    def headline(self) -> Histogram:
        """Of bookTicker, or of depth where a capture has no other."""
        best = self.drive.best_latency
        return best if best.count else self.drive.depth_latency

    @property
    def p50_ns(self) -> int:
        return self.headline.percentile(50)


def core_config(meta: TapeMeta) -> dict[str, Any]:
    """The demo's core at its busiest: any change of a wanted price is sent."""
    config = demo_core(meta.symbol, "spread", "0a1b2c3d", seed=1)
    config |= {"venue": meta.venue, "tick": meta.tick, "lot": meta.lot, "assets": NO_ASSETS}
    config["params"] |= {"half_spread_ticks": 1.0, "qty_lots": 1.0, "position_lots_max": 1e6}
    config["quoting"] = {
        "requote_ticks": 0,
        "requote_ms": 0,
        "modify": True,
        "messages_per_s_max": 10_000,
    }
    config["limits"] |= {
        "price_collar_ticks": 1_000_000,
        "position_lots_max": 1_000_000,
        "notional_max": 1 << 62,
        "exposure_max": 1 << 62,
        "account_exposure_e8_max": 1 << 62,
    }
    for owner in ("", "account_"):
        for window in ("orders_per_10s", "orders_per_min", "messages_per_s", "messages_per_min"):
            config["limits"][f"{owner}{window}_max"] = SENDS_MAX
    # A backtest at full speed fills as a person's account never would.
    config["halts"] |= {"spread_factor": 0.0, "spread_ticks_max": 0, "repeated_fills_max": 0,
                        "one_sided_fills_max": 0}  # fmt: skip
    return config


def _pass(source: Input, spinner: Spinner) -> Pass:
    pool = Pool()
    journal = JournalWriter(pool.next())
    journal.add_segment(pool.next())
    core = Core(core_config(source.meta), KEY, KEY, journal)
    drive = Drive(core, entry_latency_ns=0, response_latency_ns=0)
    ticks = hotsocket.tick_capsule(), hotsocket.ns_per_tick()
    core.set_ticks(*ticks)
    drive.set_ticks(*ticks)
    drive.start(source.first_ts_ns, round((source.meta.clock_offset_ms or 0.0) * 1e6))
    core.stage_clock.reset()
    gaps = []
    gc.collect()
    gc.disable()
    try:
        for feed in _feeds(source, drive):
            feed()
            if journal.needs_segment:
                journal.add_segment(pool.next())
            gaps.append(spinner.spin(SPIN_MS))
    finally:
        gc.enable()
    _check(source, drive)
    return Pass(drive, core, np.concatenate(gaps))


def _feeds(source: Input, drive: Drive) -> Iterator[Any]:
    """A call for each chunk."""
    frames = source.frames
    if frames is None:
        for columns in source.batches:
            yield lambda columns=columns: drive.run_rows(columns)
        return
    for first, last in frames.chunks():
        offsets, stamps = frames.offsets[first : last + 1], frames.recv_ts_ns[first:last]
        yield lambda o=offsets, s=stamps: drive.run_frames(frames.arena, o, s)


def _check(source: Input, drive: Drive) -> None:
    bits = drive.core.halt_bits
    if bits & Halt.JOURNAL:
        raise TickmakerError("bench core: the journal had no room", "report this: it is a defect")
    if not drive.best_latency.count and not drive.depth_latency.count:
        state = ",".join(halt_names(bits)) or "RUNNING"
        raise TickmakerError(
            f"{source.path}: no frame of it caused an order (state {state})",
            "give a capture with bookTicker, depth and a snapshot",
        )


# -- RESULT --------------------------------------------------------------------------------------


def _figures(histogram: Histogram) -> dict[str, int]:
    return {
        "p50_ns": histogram.percentile(50),
        "p99_ns": histogram.percentile(99),
        "p999_ns": histogram.percentile(99.9),
        "max_ns": histogram.max_ns,
        "n": histogram.count,
    }


def _result(source: Input, passes: list[Pass]) -> dict[str, Any]:
    middle = sorted(passes, key=lambda one: one.p50_ns)[(len(passes) - 1) // 2]
    drive, numbers = middle.drive, middle.core.numbers()
    best, depth = drive.best_latency, drive.depth_latency
    outs = drive.best_outs if best.count else drive.depth_outs
    messages = outs / middle.headline.count
    is_raw = source.frames is not None
    rounds = [_figures(one.headline) for one in passes]
    return {
        **{
            name: statistics.median_low(one[name] for one in rounds)
            for name in ("p50_ns", "p99_ns", "p999_ns")
        },
        "max_ns": max(one["max_ns"] for one in rounds),
        "n": sum(one["n"] for one in rounds),
        "headline": "bookTicker" if best.count else "depthUpdate",
        "messages_per_frame": round(messages, 3),
        "depth": {
            **_figures(depth),
            "per_level_p50_ns": drive.level_latency.percentile(50),
            "levels_per_frame": round(drive.timed_levels / max(depth.count, 1), 1),
            "messages_per_frame": round(drive.depth_outs / max(depth.count, 1), 3),
        },
        "stages": _stages(middle.core),
        "orders": numbers["orders_sent"],
        "cancels": numbers["cancels_sent"],
        "frames": drive.messages,
        "rounds": rounds,
        "hiccups": {
            "per_round": [figures_us(one.hiccup_ns) for one in passes],
            "all": figures_us(np.concatenate([one.hiccup_ns for one in passes])),
        },
        "tape": {"name": source.path.name, "sha256": sha256_of(source.path)},
        "targets": {"p50_ns": "<= 800", "p999_ns": "<= 3000"},
        "method": METHOD.format(
            how=FED_RAW if is_raw else FED_ROWS,
            entry="on_frame" if is_raw else "on_event",
            messages=messages,
            spin=SPIN_MS,
        ),
    }


def _stages(core: Core) -> dict[str, dict[str, int]]:
    """Over all frames that caused messages; a stage that did not run is left out."""
    clock = core.stage_clock
    return {
        stage.name.lower(): {
            "p50_ns": clock.histogram(stage).percentile(50),
            "p99_ns": clock.histogram(stage).percentile(99),
        }
        for stage in Stage
    }
