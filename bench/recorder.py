"""`tickmaker bench recorder`: does the ledger keep up with the engine, and how far behind is it?

A writer (this process) appends what sessions of several cores would, at a steady rate, through
the real journals; the recorder is its own process, as in a run. README.md has the method.
"""

import contextlib
import json
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

from bench import machine
from bench.result import write
from engine import clock
from engine.recorder.follow import catch_up
from engine.recorder.segments import Segments, journal_dir
from fastcore.journal import FIELDS, KIND, OUT_HEADER, JournalOrder, JournalWriter
from fastcore.types import Conn, OrderState, Verb

TARGETS = {"paced.behind_at_the_end": "0", "capacity.order_events_per_s": ">= 5000"}
METHOD = (
    "`cores` journals on disk take `rate` order events a second in all, in steps of 2 ms: an "
    "order event is a frame of 420 bytes and the ORDER record that it makes, each third with "
    "a message (OUT, 600 bytes, and SEND), each tenth with a FILL; beside them 4,000 market "
    "frames of 220 bytes a second and ten samples a core and second. The recorder is a "
    "process of its own. lag: age of the oldest record that a reader of ledger.sqlite can't "
    "see yet, looked at every 10 ms from outside, the reader's own query included. capacity: "
    "the same journals projected from the start by one process, nothing else running: order "
    "events, records and rows a second."
)
STEP_S = 0.002
LOOK_S = 0.010
MARKET_PER_S = 4_000
CONFIG = {"tick": "0.10", "lot": "0.001", "strategy": "spread", "run_tag": "0123abcd",
          "strategy_id": 1}  # fmt: skip
USER_FRAME, MARKET_FRAME, MESSAGE = b"u" * 420, b"m" * 220, b"o" * 600
_WALL_NS = 1_700_000_000_000_000_000
_ROWS = "SELECT " + " + ".join(
    f"(SELECT count(*) FROM {table})"
    for table in ("orders", "order_events", "fills", "sends", "samples", "positions")
)


class Core:
    """One core's journal, and a plausible life of its orders."""

    def __init__(self, run_dir: Path, number: int, order: JournalOrder) -> None:
        self.number = number
        self.events = self.samples = 0
        self._segments = Segments(journal_dir(run_dir, f"main.binance_usdm.C{number}USDT"))
        self._writer = JournalWriter(self._segments.next(), _WALL_NS, order)
        config = CONFIG | {"symbol": f"C{number}USDT", "number": number}
        self._append("CONFIG", 0, json.dumps(config).encode())

    def order_event(self) -> None:
        self.events += 1
        intent = (self.number << 36) + 1 + self.events // 3
        self._append("FRAME", Conn.USER, USER_FRAME)
        if self.events % 3 == 0:
            head = OUT_HEADER.pack(self.events // 3, intent, Conn.TRADE, 0, 1)
            self._append("OUT", Verb.PLACE, head + MESSAGE)
        state = (OrderState.PENDING_NEW, OrderState.NEW, OrderState.CANCELED)[self.events % 3]
        self._row("ORDER", intent, 7 * intent, 0, state, 600_000, 10, 0, 0)
        if self.events % 3 == 0:
            now_ns = clock.monotonic_ns()
            self._row("SEND", self.events // 3, now_ns, now_ns + 5_000)
        if self.events % 10 == 0:
            names = FIELDS[KIND["FILL"]]
            values = dict.fromkeys(names, 0) | {"intent_id": intent, "trade_id": self.events}
            self._row("FILL", *(values[name] for name in names))

    def market(self) -> None:
        self._append("FRAME", Conn.MARKET, MARKET_FRAME)

    def sample(self) -> None:
        self._row("SAMPLE", *range(len(FIELDS[KIND["SAMPLE"]])))

    @property
    def next_seq(self) -> int:
        """Of the run's next record."""
        return self._writer.next_seq

    def close(self) -> None:
        del self._writer
        self._segments.close()

    def _row(self, kind: str, *values: int) -> None:
        self._append(kind, 0, struct.pack(f"<{len(values)}q", *values))

    def _append(self, kind: str, arg: int, payload: bytes) -> None:
        if self._writer.needs_segment and self._segments.prepare(128 << 10):
            self._writer.add_segment(self._segments.next())
        now_ns = clock.monotonic_ns()
        if not self._writer.append(KIND[kind], arg, payload, now_ns, now_ns):
            raise RuntimeError("no journal segment was ready in time")


class Watch(threading.Thread):
    """Looks at the ledger as any reader would: (when, records in it)."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.looks: list[tuple[int, int]] = []
        self.is_done = threading.Event()
        self._path = path

    def run(self) -> None:
        while not self._path.exists() and not self.is_done.wait(LOOK_S):
            pass
        with contextlib.closing(sqlite3.connect(self._path, timeout=1.0)) as database:
            while not self.is_done.wait(LOOK_S):
                with contextlib.suppress(sqlite3.OperationalError):  # not made yet
                    at_ns = clock.monotonic_ns()
                    row = database.execute("SELECT total(records) FROM journals").fetchone()
                    self.looks.append((at_ns, int(row[0])))


def run(
    rate: int = 5_000, seconds: float = 20.0, cores: int = 10, out: Path | None = None
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tickmaker-bench-") as folder:
        run_dir = Path(folder)
        paced = _paced(run_dir, rate, seconds, cores)
        (run_dir / "ledger.sqlite").unlink()
        capacity = _capacity(run_dir, paced["order_events"])
    result = {
        "paced": paced, "capacity": capacity, "targets": TARGETS, "method": METHOD,
        "machine": machine.describe([]), "commit": machine.commit(),
    }  # fmt: skip
    if out is not None:
        write(result, out)
    return result


def _paced(run_dir: Path, rate: int, seconds: float, count: int) -> dict[str, Any]:
    order = JournalOrder()
    cores = [Core(run_dir, number, order) for number in range(count)]
    recorder = subprocess.Popen(
        [sys.executable, "-m", "engine.recorder", str(run_dir)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watch = Watch(run_dir / "ledger.sqlite")
    watch.start()
    try:
        written, events = _write(cores, rate, seconds)
        last = cores[0].next_seq
        behind = last - (watch.looks[-1][1] if watch.looks else 0)
        settled_ms = _settled(watch, last)
    finally:
        watch.is_done.set()
        watch.join()
        for core in cores:
            core.close()
        _, errors = recorder.communicate()
    if recorder.returncode:
        raise RuntimeError(f"the recorder failed: {errors}")
    lags_ms = sorted(_lags_ms(written, watch.looks))
    return {
        "rate_wanted": rate, "cores": count, "order_events": events, "records": last,
        "order_events_per_s": round(events / ((written[-1][0] - written[0][0]) / 1e9)),
        "records_per_s": round(last / ((written[-1][0] - written[0][0]) / 1e9)),
        "lag_p50_ms": _rank(lags_ms, 0.5), "lag_p99_ms": _rank(lags_ms, 0.99),
        "lag_p999_ms": _rank(lags_ms, 0.999), "lag_max_ms": _rank(lags_ms, 1.0),
        "looks": len(lags_ms),
        "records_behind_when_writing_ended": behind, "settled_after_ms": settled_ms,
        "behind_at_the_end": last - watch.looks[-1][1],
    }  # fmt: skip


def _write(cores: list[Core], rate: int, seconds: float) -> tuple[list[tuple[int, int]], int]:
    """[(when, records by then)] a step, and the number of order events."""
    written = [(clock.monotonic_ns(), cores[0].next_seq)]
    begin, events, market, samples = time.perf_counter(), 0, 0, 0
    while (elapsed := time.perf_counter() - begin) < seconds:
        while events < elapsed * rate:
            cores[events % len(cores)].order_event()
            events += 1
        while market < elapsed * MARKET_PER_S:
            cores[market % len(cores)].market()
            market += 1
        while samples < elapsed * 10 * len(cores):
            cores[samples % len(cores)].sample()
            samples += 1
        written.append((clock.monotonic_ns(), cores[0].next_seq))
        time.sleep(STEP_S)
    return written, events


def _settled(watch: Watch, last: int) -> float | None:
    """Milliseconds until the ledger held everything; None: not within 30 s."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < 30.0:
        if watch.looks and watch.looks[-1][1] >= last:
            return round((time.perf_counter() - begin) * 1000, 1)
        time.sleep(LOOK_S)
    return None


def _lags_ms(written: list[tuple[int, int]], looks: list[tuple[int, int]]) -> list[float]:
    """Age, at each look, of the first step that was not whole in the ledger."""
    counts = [count for _, count in written]
    lags = []
    for at_ns, seen in looks:
        index = bisect_right(counts, seen)
        if index < len(written):
            lags.append(max(at_ns - written[index][0], 0) / 1e6)
        else:
            lags.append(0.0)
    return lags


def _rank(ordered: list[float], part: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(-(-round(len(ordered) * part * 1000) // 1000), 1) - 1], 2)


def _capacity(run_dir: Path, order_events: int) -> dict[str, Any]:
    begin, cpu = time.perf_counter(), time.process_time()
    records = catch_up(run_dir)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    with contextlib.closing(sqlite3.connect(run_dir / "ledger.sqlite")) as database:
        rows = database.execute(_ROWS).fetchone()[0]
    return {
        "order_events_per_s": round(order_events / seconds),
        "records_per_s": round(records / seconds),
        "rows_per_s": round(rows / seconds), "us_per_record": round(seconds * 1e6 / records, 2),
        "cpu_s": round(cpu_s, 2), "seconds": round(seconds, 2),
        "ledger_bytes_per_order_event": round(
            (run_dir / "ledger.sqlite").stat().st_size / order_events
        ),
    }  # fmt: skip
