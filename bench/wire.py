"""`tickmaker bench wire`: round trips over loopback, ours beside the floor and the user's way.

One exchange end, compiled, on one processor; one client on the other; real sockets between them.
The contestants take turns within each round (A B C, A B C, ...), so that whatever the machine does
meets them all, and a ratio is taken within a round before the median over rounds. README.md has
the whole method.
"""

import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import duel, machine
from bench.duel import Contestant, Duel
from bench.hiccups import Spinner
from bench.native import CACHE_DIR
from bench.result import figures_us, write
from engine.errors import EXIT_USAGE, TickmakerError

STEADY, BURST = "steady", "burst"
BURST_FRAMES = 50
BURST_RATE_PER_S = 250
EVENTS_PER_BURST_EVENT = 20  # steady events for each burst event, so that both take as long
WARMUP_SHARE = 10
WARMUP_EVENTS_MIN = 20
SPIN_MS = 200  # of the client's processor, idle, before each round

CONTESTANTS = (
    Contestant("tickmaker", "busy", STEADY, is_answered=True),
    Contestant("c_busy_poll", "busy", STEADY),
    Contestant("websockets", "sleep", STEADY),
    Contestant("c_busy_poll_one_socket", "busy", STEADY),
    Contestant("tickmaker", "sleep", STEADY, is_answered=True),
    Contestant("tickmaker", "busy", BURST, is_answered=True),
    Contestant("c_busy_poll", "busy", BURST),
    Contestant("websockets", "sleep", BURST),
)
OURS, THEIRS = ("tickmaker", "busy"), ("websockets", "sleep")
FLOOR, ONE_SOCKET = ("c_busy_poll", "busy"), ("c_busy_poll_one_socket", "busy")
TARGETS = {"tickmaker_to_c_busy_poll": "<= 1.5", "websockets_to_tickmaker": ">= 4"}
METHOD = (
    "Loopback TCP, no TLS. A compiled exchange end on one processor sends bookTicker frames at "
    "absolute times, whatever became of those before (open loop); the client runs on another. A "
    "round trip is from the clock read before send() of a frame that moves the touch to the clock "
    "read after the recv() that shows an order priced from that frame or a later one; both "
    "by the exchange end; all frames after the warm-up count. Load `burst`: 50 frames in one "
    "send(), only the last moves the touch. tickmaker: the whole chain, journal and stage stamps "
    "on, a signed cancel and a signed order a frame, accepted by answers of the exchange end. "
    "c_busy_poll: one canned order a frame, no answers; as at a venue, market data and orders "
    "have a connection each, for every client (c_busy_poll_one_socket: both on one, for "
    "reference). websockets: websockets + asyncio + orjson "
    "+ hmac, one signed order a frame, no answers. Percentiles: of all samples of a round, then "
    "the median over rounds. Ratios: of the p50 within a round, then the median over rounds. "
    "Hiccups: longest gap between two clock reads of an idle loop in each millisecond."
)


@dataclass(frozen=True, slots=True)
class Load:
    """What the exchange end sends."""

    events: int
    rate_per_s: int
    frames: int  # an event

    @property
    def warmup(self) -> int:
        return max(self.events // WARMUP_SHARE, WARMUP_EVENTS_MIN)


def run(
    rounds: int = 5, messages: int = 20_000, rate: int = 5_000, out: Path | None = None
) -> dict[str, Any]:
    """Measure every contestant `rounds` times, `messages` at `rate` per second each.

    The result is JSON; it is written to `out` too. Raises TickmakerError.
    """
    _check(rounds, messages, rate)
    server_cpu, client_cpu = machine.choose_cpus(2)
    described = machine.describe([server_cpu, client_cpu])
    loads = {
        STEADY: Load(messages, rate, 1),
        BURST: Load(max(messages // EVENTS_PER_BURST_EVENT, 1), BURST_RATE_PER_S, BURST_FRAMES),
    }
    rows: list[dict[str, Any]] = []
    idle: list[dict[str, Any]] = []
    spinner = Spinner()
    CACHE_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE_DIR, prefix="wire-") as folder:
        for index in range(rounds):
            with _on_cpu(client_cpu):
                idle.append({"round": index} | figures_us(spinner.spin(SPIN_MS)))
            for contestant in CONTESTANTS:
                _say(f"round {index + 1}/{rounds}: {contestant.label}")
                rows.append({"round": index} | _measure(
                    contestant, loads[contestant.load], server_cpu, client_cpu, Path(folder)
                ))  # fmt: skip
    result = _result(rows, idle) | {"machine": described, "commit": machine.commit()}
    if out is not None:
        write(result, out)
    return result


def _check(rounds: int, messages: int, rate: int) -> None:
    for name, value in (("rounds", rounds), ("messages", messages), ("rate", rate)):
        if value < 1:
            raise TickmakerError(f"--{name} is {value}", "give a number above 0", EXIT_USAGE)
    for package in ("orjson", "websockets"):
        if importlib.util.find_spec(package) is None:
            raise TickmakerError(
                f"the bench's user-like client needs {package}, which is not installed",
                "`make bench` installs what benches need",
            )


@contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """This process on `cpu`, for a while."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"bench wire: {text}", file=sys.stderr)


def _measure(
    contestant: Contestant, load: Load, server_cpu: int, client_cpu: int, folder: Path
) -> dict[str, Any]:
    fought = Duel(contestant, server_cpu, client_cpu, folder).fight(
        load.events, load.warmup, load.rate_per_s, load.frames
    )
    samples = duel.read(fought.stamps_path)
    fought.stamps_path.unlink()
    if len(samples.round_trip_ns) == 0:
        raise TickmakerError(
            f"bench wire: {contestant.label} answered nothing", "report this: it is a defect"
        )
    return {
        "client": contestant.client,
        "mode": contestant.mode,
        "load": contestant.load,
        **figures_us(samples.round_trip_ns),
        "unanswered": samples.unanswered,
        "superseded": fought.exchange["superseded"],
        "late_send_p999_us": figures_us(samples.late_send_ns)["p999_us"],
        "exchange": fought.exchange,
        "own": fought.client,
        "hiccups": figures_us(samples.hiccup_ns),
    }


# -- RESULT --------------------------------------------------------------------------------------


def _result(rows: list[dict[str, Any]], idle: list[dict[str, Any]]) -> dict[str, Any]:
    busy = [
        {key: row[key] for key in ("round", "client", "mode", "load")} | row["hiccups"]
        for row in rows
    ]
    return {
        "rows": [_row(rows, contestant) for contestant in CONTESTANTS],
        "ratios": _ratios(rows),
        "targets": TARGETS,
        "hiccups": {"exchange_cpu_during": busy, "client_cpu_before": idle},
        "rounds": [{key: row[key] for key in row if key != "hiccups"} for row in rows],
        "method": METHOD,
    }


def _of(rows: list[dict[str, Any]], contestant: Contestant) -> list[dict[str, Any]]:
    wanted = (contestant.client, contestant.mode, contestant.load)
    return [row for row in rows if (row["client"], row["mode"], row["load"]) == wanted]


def _row(rows: list[dict[str, Any]], contestant: Contestant) -> dict[str, Any]:
    """Median over rounds of each percentile; n over all rounds."""
    own = _of(rows, contestant)
    medians = {
        key: round(statistics.median(row[key] for row in own), 3)
        for key in ("p50_us", "p99_us", "p999_us", "max_us")
    }
    return {
        "client": contestant.client,
        "tls": False,
        "mode": contestant.mode,
        "load": contestant.load,
        **medians,
        "n": sum(row["n"] for row in own),
    }


def _ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the p50s within each round; the medians over rounds, and every round's."""
    result: dict[str, Any] = {}
    per_round: dict[str, list[float]] = {}
    for name, over, under, load in (
        ("tickmaker_to_c_busy_poll", OURS, FLOOR, STEADY),
        ("websockets_to_tickmaker", THEIRS, OURS, STEADY),
        ("tickmaker_to_c_busy_poll_one_socket", OURS, ONE_SOCKET, STEADY),
        ("tickmaker_to_c_busy_poll_burst", OURS, FLOOR, BURST),
        ("websockets_to_tickmaker_burst", THEIRS, OURS, BURST),
    ):
        over_us, under_us = (
            [row["p50_us"] for row in _of(rows, Contestant(*side, load))] for side in (over, under)
        )
        ratios = [round(a / b, 3) for a, b in zip(over_us, under_us, strict=True)]
        result[name] = round(statistics.median(ratios), 3)
        per_round[name] = ratios
    return {**result, "per_round": per_round}
