"""`tickmaker bench book`: one level of a recorded diff into the book, and the touch read after it.

Ours and the peers' get the same stream of integers and take turns within each round. README.md
has the method; book_peers.py what each peer's figure includes.
"""

import gc
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench import book_peers, book_stream, machine, peers_env
from bench.result import write
from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway import hotsocket
from engine.tape.capture import sha256_of
from fastcore.book import Book
from fastcore.latency import Histogram
from fastcore.measure import BookStream

MODES = ("level", "message")
TARGETS = {
    "ours_message_ns": "<= 12",
    "fastest_hftbacktest_to_ours": ">= 3",
    "nautilus_trader_to_ours": ">= 15",
    "sortedcontainers_to_ours": ">= 50",
}
METHOD = (
    "One recorded capture: its snapshot, untimed, then every newer diff, level by level the "
    "same for all. ns a level: the processor time of the thread in one pass over the capture, "
    "so that turns of other programs don't count, divided by its levels. `message`: the touch "
    "is read after each whole diff, as the engine does. `level`: after every single level; ours"
    " gets each as a diff of its own, with all checks of a diff. All pinned to one processor, "
    "garbage collectors off, contestants taking turns within each round; a figure is the median"
    " over the rounds, a ratio that of the ratios within a round. Ours: compiled loop, prices "
    "in ticks. sortedcontainers: two SortedDicts of ints, plain Python. nautilus_trader: "
    "OrderBook.apply_delta and best_bid_price, best_ask_price from Python, its deltas made "
    "before the clock starts. hftbacktest: its books stand behind its backtest's loop only, so "
    "that loop (events read from memory, one feed to the local side alone, no orders, compiled "
    "by Numba) is in its figures. message_ns: ours, each diff timed by the processor's time "
    "stamp counter, stalls of the machine included; level_ns: the same divided by the diff's "
    "levels."
)

Progress = Callable[[float], None]


def run(
    tape: Path,
    rounds: int = 5,
    out: Path | None = None,
    *,
    with_peers: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure on a raw capture or a tape; JSON, written to `out` too.

    `peers` is None, and `peers_note` says why, where they were not wanted or could not be
    installed. Raises TickmakerError.
    """
    if rounds < 1:
        raise TickmakerError(f"--rounds is {rounds}", "give a number above 0", EXIT_USAGE)
    advance = progress or (lambda _: None)
    rows = book_stream.load(tape)
    interpreter, note = _interpreter(with_peers)
    allowed = os.sched_getaffinity(0)
    cpus = machine.choose_cpus(1)
    described = machine.describe(cpus)
    advance(0.1)
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="tickmaker-") as folder:
        stack.callback(os.sched_setaffinity, 0, allowed)
        os.sched_setaffinity(0, set(cpus))
        path = Path(folder) / "stream.npy"
        np.save(path, rows)
        peers = [
            stack.enter_context(Peer(name, interpreter, path))
            for name in book_peers.PEERS
            if interpreter
        ]
        passes = measure(Ours(rows), peers, rounds, advance)
    result = _result(passes, peers, Ours(rows)) | {
        "peers_note": note,
        "tape": {"name": tape.name, "sha256": sha256_of(tape)},
        "machine": described,
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _interpreter(with_peers: bool) -> tuple[Path | None, str | None]:
    if not with_peers:
        return None, "left out (--no-peers)"
    try:
        return peers_env.python(), None
    except TickmakerError as error:
        return None, error.what


# -- CONTESTANTS ---------------------------------------------------------------------------------


class Ours:
    """Our book on the stream."""

    name = "ours"

    def __init__(self, rows: book_stream.Rows) -> None:
        self.stream = BookStream(rows)
        self.level_count = int(np.count_nonzero(rows[:, 0] > 0))

    def measure(self, mode: str) -> dict[str, Any]:
        book, stream = self._fresh()
        gc.disable()
        began = time.thread_time_ns()
        seen = stream.run(book, 1, stream.message_count, mode == "level")
        took = time.thread_time_ns() - began
        gc.enable()
        bid, ask = book.bid_px_ticks, book.ask_px_ticks
        return {"ns": took / self.level_count, "seen": seen, "bid": bid, "ask": ask}

    def distribution(self) -> dict[str, dict[str, int]]:
        message_ns, level_ns = Histogram(), Histogram()
        book, stream = self._fresh()
        stream.set_ticks(hotsocket.tick_capsule(), hotsocket.ns_per_tick())
        stream.run_timed(book, 1, stream.message_count, message_ns, level_ns)
        return {"message_ns": _figures(message_ns), "level_ns": _figures(level_ns)}

    def _fresh(self) -> tuple[Book, BookStream]:
        book = Book()
        self.stream.run(book, 0, 1)
        return book, self.stream


class Peer:
    """A peer in a process of its own, one pass at each question."""

    def __init__(self, name: str, interpreter: Path, stream: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [str(interpreter), str(Path(book_peers.__file__)), name, str(stream)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.version = ""

    def __enter__(self) -> "Peer":
        self.version = str(self._answer()["version"])
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def measure(self, mode: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            raise TickmakerError(
                f"bench book: {self.name} died: {said.strip().splitlines()[-1:]}",
                "leave the peers out: --no-peers",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


# -- ROUNDS AND RESULT ---------------------------------------------------------------------------

Passes = dict[str, dict[str, list[float]]]  # contestant -> mode -> ns a level, by round


def measure(ours: Ours, peers: list[Peer], rounds: int, advance: Progress) -> Passes:
    """All contestants in turn, `rounds` times and once before that as a warm-up."""
    everybody: list[Ours | Peer] = [ours, *peers]
    passes: Passes = {each.name: {mode: [] for mode in MODES} for each in everybody}
    for number in range(rounds + 1):
        for mode in MODES:
            answers = [each.measure(mode) for each in everybody]
            for each, answer in zip(everybody, answers, strict=True):
                _check(each.name, answer, answers[0], mode)
                if number:
                    passes[each.name][mode].append(answer["ns"])
        advance(0.1 + 0.9 * (number + 1) / (rounds + 1))
    return passes


def _check(name: str, answer: dict[str, Any], ours: dict[str, Any], mode: str) -> None:
    """Whoever arrives at another touch did other work. In mid-diff a book may be crossed, which
    each shows in its own way: so the touches on the way are compared by whole diffs only."""
    compared = ["bid", "ask"] if mode == "level" or not answer["seen"] else ["bid", "ask", "seen"]
    if any(answer[key] != ours[key] for key in compared):
        raise TickmakerError(
            f"bench book: {name} has another book than ours: {answer}, {ours}",
            "report this with the capture: one of both is wrong",
        )


def _figures(histogram: Histogram) -> dict[str, int]:
    return {
        "p50": histogram.percentile(50),
        "p99": histogram.percentile(99),
        "p999": histogram.percentile(99.9),
        "max": histogram.max_ns,
        "n": histogram.count,
    }


def _result(passes: Passes, peers: list[Peer], ours: Ours) -> dict[str, Any]:
    rows = {
        name: {
            mode: {
                "ns_per_level": round(statistics.median(samples), 2),
                "rounds": [round(sample, 2) for sample in samples],
            }
            for mode, samples in modes.items()
        }
        for name, modes in passes.items()
    }
    versions = {peer.name: {"version": peer.version} for peer in peers}
    return {
        "ours": rows["ours"] | ours.distribution(),
        "peers": {name: versions[name] | rows[name] for name in versions} if peers else None,
        "ratios": {name: _ratios(passes, name) for name in versions},
        "levels": ours.level_count,
        "messages": ours.stream.message_count - 1,
        "rounds": len(passes["ours"]["level"]),
        "targets": TARGETS,
        "method": METHOD,
    }


def _ratios(passes: Passes, name: str) -> dict[str, float]:
    """How many times our time a peer took."""
    return {
        mode: round(statistics.median(
            theirs / ours
            for theirs, ours in zip(passes[name][mode], passes["ours"][mode], strict=True)
        ), 2)
        for mode in MODES
    }  # fmt: skip
