"""`tickmaker bench capacity`: how many instruments does one engine carry?

A whole session on one processor, a venue on the other, real sockets between them, and more and
more instruments. README.md has the method.
"""

import contextlib
import json
import os
import select
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.capacity_script import VENUE, symbol_of
from bench.native import CACHE_DIR
from bench.result import write
from engine.config import demo_core
from engine.errors import EXIT_USAGE, TickmakerError
from engine.execution.planner import documented, orders_per_s_each
from engine.live.local import local_engine

ROOT = Path(__file__).resolve().parent.parent
COUNTS = (10, 50, 100, 200, 400)
FEW = 10  # instruments: what `doubles` is held against, so their windows are longer:
FEW_TIMES = 2
RECORDER_ROUNDS = 3
RATE_PER_S = 20
START_S = 120.0
TOLD = ("connection", "warning", "doubt", "divergence", "stale")  # where something went wrong
RECORDER_NICE = 10
WARM_S = 2.0  # behind the first quotes, before any window
TARGETS = {"carried": ">= 200", "recorder.p99_ratio": "<= 1.1"}
METHOD = (
    "Loopback TCP, no TLS, two processors: a whole session (busy mode, journals, status page, "
    "clock, watches, comparison: nothing left out) on one, everything else on the other. Each "
    "instrument hears `rate` messages a second, a Poisson process of its own: depth, best price "
    "and trades of an agents' market, framed once, renamed and sent by a C program that also "
    "accepts every order (an answer on TRADE and an event on USER each). Market connections are "
    "shared as the session shares them. tick_to_order: the kernel's stamp of the frame to the end "
    "of the send, of every order that was sent in the window. away: from the end of a poll to the "
    "next, when no socket is read. Rate limits are out of the way; orders_per_s_each is what the "
    "venue's would leave. A row is the median over the rounds, each round a new process for each "
    "count. calm: of the slices of 100 ms in which and before which nobody else had the engine's "
    "processor (/proc/self/schedstat), for machines that are shared. recorder: windows with it at "
    "work and with it stopped in turn, within one engine, and the median of the rounds' ratios; "
    "it runs on the venue's processor, behind the venue (nice). carried: the most instruments at "
    "which no message was lost and no order too late to be sent."
)


def run(
    counts: Sequence[int] = COUNTS, rate: int = RATE_PER_S, seconds: float = 5.0,
    rounds: int = 2, recorder_at: int = 200, out: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure; the result is JSON and is written to `out` too. `recorder_at`: instruments of the
    recorder's windows; 0: none. Raises TickmakerError."""
    if not counts or min(counts) < 1 or max(counts) > 999 or rate < 1 or rounds < 1:
        raise TickmakerError("counts want 1 to 999, rate and rounds more than 0", "", EXIT_USAGE)
    if seconds <= 0 or recorder_at < 0:
        raise TickmakerError("seconds want more than 0, recorder_at 0 or more", "", EXIT_USAGE)
    server_cpu, engine_cpu = machine.choose_cpus(2)
    described = machine.describe([server_cpu, engine_cpu])
    rows = []
    for index in range(rounds):
        for count in counts:
            _say(f"round {index + 1}/{rounds}: {count} instruments")
            length_s = seconds * (FEW_TIMES if count <= FEW else 1)
            with Rig(count, rate, (server_cpu, engine_cpu), length_s + 5.0) as rig:
                rows.append({"round": index, "instruments": count} | rig.window(length_s)
                            | {"start_up": rig.start_up, "venue": rig.close()})  # fmt: skip
    table = [row_of(count, [row for row in rows if row["instruments"] == count])
             for count in counts]  # fmt: skip
    recorder = None
    if recorder_at:
        _say(f"recorder beside {recorder_at} instruments")
        recorder = beside_recorder(recorder_at, rate, (server_cpu, engine_cpu), seconds)
    result = {
        "rows": table, "carried": carried(rows), "doubles": doubles(table),
        "calm_doubles": doubles(table, "calm_p99_us"), "recorder": recorder, "rounds": rows,
        "rate_per_s": rate, "targets": TARGETS, "method": METHOD, "machine": described,
        "commit": machine.commit(),
    }  # fmt: skip
    if out is not None:
        write(result, out)
    return result


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"bench capacity: {text}", file=sys.stderr)


# -- FIGURES ---


def row_of(count: int, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median over the rounds of each figure."""

    def median(*path: str) -> float | None:
        values = []
        for row in rows:
            value: Any = row
            for name in path:
                value = value[name]
            values.append(value)
        known = [value for value in values if value is not None]
        return round(statistics.median(known), 4) if known else None

    return {
        "instruments": count,
        "n": sum(row["tick_to_order"]["n"] for row in rows),
        **{name: median("tick_to_order", name)
           for name in ("p50_us", "p99_us", "p999_us", "max_us")},
        "calm_n": sum(row["calm"]["n"] for row in rows),
        "calm_p50_us": median("calm", "p50_us"), "calm_p99_us": median("calm", "p99_us"),
        "waited_share": median("waited_share"),
        "away_p99_us": median("away", "p99_us"), "away_p999_us": median("away", "p999_us"),
        "away_max_us": median("away", "max_us"),
        "busy_share": median("busy_share"),
        "orders_per_s": median("orders_per_s"),
        "rss_mb": median("memory_mb", "VmRSS"), "anonymous_mb": median("memory_mb", "RssAnon"),
        "start_up_s": median("start_up", "seconds"),
        "orders_per_s_each_by_venue": round(
            orders_per_s_each(documented(VENUE, symbol_of(0)), count), 3
        ),
    }  # fmt: skip


def doubles(table: Sequence[dict[str, Any]], figure: str = "p99_us") -> dict[str, Any]:
    """The first count whose figure is twice that of few instruments; None: none of them."""
    known = [row for row in table if row[figure] is not None]
    few = [row[figure] for row in known if row["instruments"] <= FEW]
    if not few:
        return {"few_p99_us": None, "at": None}
    least = statistics.median(few)
    over = [row["instruments"] for row in known
            if row["instruments"] > FEW and row[figure] >= 2 * least]  # fmt: skip
    return {"few_p99_us": round(least, 2), "at": min(over, default=None)}


def carried(rows: Sequence[dict[str, Any]]) -> int:
    """The most instruments at which, and at any fewer, no message was lost and no order too late,
    in any round; 0: not the fewest."""
    failed = {row["instruments"] for row in rows
              if any(row["counts"][name] for name in ("gaps", "malformed", "late"))}  # fmt: skip
    kept = {row["instruments"] for row in rows}
    return max((count for count in kept if count < min(failed, default=count + 1)), default=0)


# -- RECORDER ---


def beside_recorder(
    count: int, rate: int, cpus: tuple[int, int], seconds: float
) -> dict[str, Any]:
    """The same engine with its recorder at work, and with the recorder stopped, in turn."""
    length_s = RECORDER_ROUNDS * 4 * seconds + 10.0
    with Rig(count, rate, cpus, length_s) as rig, rig.recorder() as recorder:
        windows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        rates = []
        for _ in range(RECORDER_ROUNDS):
            time.sleep(seconds)  # it catches up with what came before
            rows = recorder.order_events()
            windows[True].append(rig.window(seconds))
            rates.append((recorder.order_events() - rows) / windows[True][-1]["seconds"])
            with recorder.stopped():
                windows[False].append(rig.window(seconds))
        venue = rig.close()

    ratios = {
        f"{figure.removesuffix('_us')}_ratio": round(statistics.median(
            beside["tick_to_order"][figure] / stopped["tick_to_order"][figure]
            for beside, stopped in zip(windows[True], windows[False], strict=True)
        ), 3)
        for figure in ("p50_us", "p99_us", "p999_us")
    }  # fmt: skip
    return {
        "instruments": count, "order_events_per_s": [round(each) for each in rates], **ratios,
        "beside": [window["tick_to_order"] for window in windows[True]],
        "stopped": [window["tick_to_order"] for window in windows[False]],
        "calm_beside": [window["calm"] for window in windows[True]],
        "calm_stopped": [window["calm"] for window in windows[False]],
        "waited_share": [[window["waited_share"] for window in windows[at]]
                         for at in (True, False)],
        "venue": venue,
    }  # fmt: skip


class Recorder:
    """The run's recorder, and what it has written."""

    def __init__(self, process: "subprocess.Popen[bytes]", run_dir: Path) -> None:
        self._process = process
        self._path = run_dir / "ledger.sqlite"

    def order_events(self) -> int:
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(self._path, timeout=5.0)) as database,
        ):
            row = database.execute("SELECT max(rowid) FROM order_events").fetchone()
            return int(row[0] or 0)
        return 0

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


# -- THE TWO SIDES ---


class Rig:
    """A venue and an engine of `count` instruments, warm."""

    def __init__(self, count: int, rate: int, cpus: tuple[int, int], seconds: float) -> None:
        self._count = count
        self._rate = rate
        self._server_cpu, self._engine_cpu = cpus
        self._frames = int(1.5 * rate * (seconds + WARM_S + START_S / 3 + count / 10))
        self._stack = contextlib.ExitStack()
        self._said: list[dict[str, Any]] = []
        self.start_up: dict[str, Any] = {}

    def __enter__(self) -> "Rig":
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        CACHE_DIR.mkdir(parents=True, exist_ok=True)
        folder = Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(dir=CACHE_DIR, prefix="capacity-")))
        self.run_dir = folder / "run"
        self.run_dir.mkdir()
        self._venue = self._spawn(
            "capacity_venue", self._server_cpu, self._count, self._rate, self._frames, folder
        )
        ready = self._line(self._venue)
        job = folder / "job.json"
        job.write_text(json.dumps({"key": ready["key"], "config": self._config(ready)}))
        began_s = time.monotonic()
        self._engine = self._spawn("capacity_engine", job)
        steps = []
        while (line := self._line(self._engine))["event"] != "started":
            if line["event"] == "error":
                raise TickmakerError(f"bench capacity: {line['what']}", line["remedy"])
            if line["event"] == "step":
                steps.append([line["name"], line["ms"]])
        self.start_up = {"seconds": round(time.monotonic() - began_s, 2), "steps": steps}
        time.sleep(WARM_S)

    def _config(self, ready: dict[str, Any]) -> dict[str, Any]:
        cores = [core_config(number) for number in range(self._count)]
        urls = dict.fromkeys(("public", "private", "ws_api"), ready["ws_url"])
        return local_engine(
            self.run_dir, cores, ready["rest_url"], urls, seed=1, poll="busy",
            cpu=self._engine_cpu, dead_man_s=0,
        )  # fmt: skip

    def _spawn(self, module: str, *arguments: object) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            bufsize=0,  # else a line that has been read already would be waited for
        )  # fmt: skip
        self._stack.callback(_end, process)
        return process

    def _line(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """The next one of a child's."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], START_S)[0]:
            raise TickmakerError("bench capacity: no word for two minutes", "run it again")
        line = process.stdout.readline()
        if not line:
            raise TickmakerError("bench capacity: a process ended early", "its error stands above")
        told: dict[str, Any] = json.loads(line)
        if told.get("event") in TOLD and told.get("state") != "up":
            self._said = [*self._said, told][:5]
        return told

    def window(self, seconds: float) -> dict[str, Any]:
        """The engine's figures of so many seconds."""
        self._tell("mark", "marked")
        time.sleep(seconds)
        told: dict[str, Any] = self._tell("take", "taken")["figures"]
        if told["halted"]:
            raise TickmakerError(
                f"bench capacity: cores halted: {', '.join(told['halted'])}; said first: "
                f"{list(self._said)}", "report it",
            )  # fmt: skip
        sent = told["counts"]["orders_sent"] + told["counts"]["cancels_sent"]
        return told | {"orders_per_s": round(sent / told["seconds"], 1)}

    def _tell(self, word: str, answer: str) -> dict[str, Any]:
        assert self._engine.stdin is not None
        self._engine.stdin.write(word.encode() + b"\n")
        self._engine.stdin.flush()
        while (line := self._line(self._engine))["event"] != answer:
            if line["event"] in ("error", "divergence", "doubt"):
                raise TickmakerError(f"bench capacity: {line.get('what', line)}", "report it")
        return line

    def close(self) -> dict[str, Any]:
        """End the engine; what the venue counted."""
        assert self._engine.stdin is not None
        self._engine.stdin.close()
        self._engine.wait(START_S)
        counted = self._line(self._venue)
        if counted["dry"]:
            raise TickmakerError(
                f"bench capacity: {counted['dry']} messages too few were made", "run it again"
            )
        return counted

    @contextlib.contextmanager
    def recorder(self) -> Iterator[Recorder]:
        """The recorder of the run, beside the venue, which goes first: what it sends late would
        be charged to the engine."""
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.recorder", str(self.run_dir)],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
        )  # fmt: skip
        os.sched_setaffinity(process.pid, {self._server_cpu})
        os.setpriority(os.PRIO_PROCESS, process.pid, RECORDER_NICE)
        try:
            yield Recorder(process, self.run_dir)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def core_config(number: int) -> dict[str, Any]:
    """The demo's core; limits, budgets and reasons to stand aside out of the way of the load."""
    config = demo_core(symbol_of(number), "spread", "0a1b2c3d", seed=1)
    config["number"] = number
    config["quoting"] = {
        "requote_ticks": 1, "requote_ms": 0, "modify": False, "messages_per_s_max": 10_000,
    }  # fmt: skip
    # Each is a ring of time stamps: a million for each instrument would be the bench's memory.
    for owner, most in (("", 10_000), ("account_", 1_000_000)):
        for window in ("orders_per_10s", "orders_per_min", "messages_per_s", "messages_per_min"):
            config["limits"][f"{owner}{window}_max"] = most
    config["limits"] |= {
        "account_exposure_e8_max": 10**15, "book_age_ms_max": 60_000, "tick_age_ms_max": 60_000,
    }  # fmt: skip
    config["halts"] |= {"spread_factor": 0.0, "spread_ticks_max": 0}
    # An order is sent however late it is, and charged.
    config["budgets"] = {"tick_to_order_us_max": 10_000_000.0, "ack_ms_max": 60_000.0}
    return config
