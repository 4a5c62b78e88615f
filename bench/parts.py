"""`tickmaker bench parts`: what each part of the hot path costs, and other decoders beside ours.

Every contestant takes one turn in each round, on one processor; a figure is the median over the
rounds, a ratio the median of the ratios within a round. README.md has the method.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import gate, machine, peers_env, strategies, user
from bench.core import Input, load
from bench.result import write
from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.capture import sha256_of
from fastcore.codec.binance_decode import Decoder
from fastcore.signals import SIGNALS, Signals
from fastcore.strategy import repeat_calls

OURS_CALLS, PEER_CALLS = 20_000, 2_000
TOUCHES = 20_000
DEMO_SIGNALS = ("ofi", "queue_imbalance", "microprice", "ewma_z")
TARGETS = {
    "decode_best_ns": "<= 60",
    "decode_depth20_ns": "<= 500",
    "orjson_to_ours": ">= 10",
    "msgspec_to_ours": ">= 4",
    "signals_demo_ns": "<= 25",
    "signals_all_ns": "<= 120",
    "strategy_builtin_ns": "<= 30",
    "strategy_user_ns": "<= 50",
    "gate_ns": "<= 30",
}
METHOD = (
    "Each figure is nanoseconds of one call in a loop without anything else, caches warm, "
    "processor time of the thread; contestants take turns within a round. decode_best: a recorded "
    "bookTicker frame, decode_depth20: the recorded depthUpdate whose levels come nearest to 20 a "
    "side, whole and validated, to integers. Peers decode the same bytes: bench/decode_peers.py "
    "says into what. signals: recorded touches; `all` is every signal of the touch, its "
    "levels, its trades and its reference once each. strategy: the dearest built-in, and "
    "docs/my_quotes.py by Numba. gate: every check of one order, four orders working."
)
Turn = Callable[[], float]


def run(
    tape: Path, rounds: int = 9, peers: bool = True, out: Path | None = None
) -> dict[str, Any]:
    """Measure; JSON. TickmakerError when the capture has not what is decoded."""
    source = load(tape)
    best, depth = _messages(source)
    cpus = machine.choose_cpus(1)
    os.sched_setaffinity(0, cpus)
    with ExitStack() as stack:
        turns = _our_turns(source, best, depth)
        problem = None
        if peers:
            try:
                turns |= _peer_turns(stack, best, depth)
            except TickmakerError as error:
                problem = str(error)
        gc.collect()
        gc.disable()
        try:
            taken = [{name: turn() for name, turn in turns.items()} for _ in range(rounds + 1)]
        finally:
            gc.enable()
    result = _result(taken[1:], problem) | {
        "depth20_levels": depth.count(b'["'),
        "tape": {"name": tape.name, "sha256": sha256_of(tape)},
        "targets": TARGETS,
        "method": METHOD,
        "machine": machine.describe(cpus),
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _messages(source: Input) -> tuple[bytes, bytes]:
    """A bookTicker frame, and the diff nearest to 20 levels a side."""
    frames = source.frames
    if frames is None:
        raise TickmakerError(
            f"{source.path} is a tape",
            "give a raw capture: frames are what is decoded",
            EXIT_USAGE,
        )
    best, depth, nearest = b"", b"", 1 << 30
    for first, last in zip(frames.offsets[:-1], frames.offsets[1:], strict=True):
        frame = frames.arena[first:last].tobytes()
        if b'"bookTicker"' in frame:
            best = best or frame
        elif b'"depthUpdate"' in frame:
            asks = frame.index(b'"a":')
            distance = abs(frame.count(b'["', 0, asks) - 20) + abs(frame.count(b'["', asks) - 20)
            if distance < nearest:
                depth, nearest = frame, distance
    if not best or not depth:
        raise TickmakerError(f"{source.path} has no bookTicker and depthUpdate", "give another")
    return best, depth


def _our_turns(source: Input, best: bytes, depth: bytes) -> dict[str, Turn]:
    meta = source.meta
    decoder = Decoder(meta.symbol, meta.tick, meta.lot)
    touches = _touches(source)
    cases = {
        "decode_best_ns": _timed(lambda: decoder.bench_decode(best, OURS_CALLS), OURS_CALLS),
        "decode_depth20_ns": _timed(lambda: decoder.bench_decode(depth, OURS_CALLS), OURS_CALLS),
        "signals_demo_ns": _signal_turn(touches, DEMO_SIGNALS),
        "signals_all_ns": _all_signals_turn(touches),
        "strategy_builtin_ns": lambda: max(_strategy(*case) for case in strategies.CASES.values()),
        "gate_ns": lambda: gate.measure(4),
    }
    example = user.example_call()
    return cases | {"strategy_user_ns": _timed(lambda: example(OURS_CALLS), OURS_CALLS)}


def _timed(work: Callable[[], object], calls: int) -> Turn:
    def turn() -> float:
        began = time.thread_time_ns()
        work()
        return (time.thread_time_ns() - began) / calls

    return turn


def _touches(source: Input) -> npt.NDArray[np.int64]:
    """Rows of Signals.bench_touches: the recorded best prices, one a bookTicker frame."""
    decoder = Decoder(source.meta.symbol, source.meta.tick, source.meta.lot)
    frames, rows = source.frames, []
    assert frames is not None
    for index, stamp in enumerate(frames.recv_ts_ns):
        first, last = frames.offsets[index], frames.offsets[index + 1]
        frame = frames.arena[first:last].tobytes()
        if b'"bookTicker"' not in frame:
            continue
        seen = decoder.decode_bytes(frame)[1]
        rows.append([seen["bid_px_ticks"], seen["bid_qty_lots"], seen["ask_px_ticks"],
                     seen["ask_qty_lots"], int(stamp)])  # fmt: skip
        if len(rows) == TOUCHES:
            break
    return np.array(rows, np.int64)


def _signal_turn(touches: npt.NDArray[np.int64], names: tuple[str, ...]) -> Turn:
    mask = sum(SIGNALS[name] for name in names)

    def turn() -> float:
        signals = Signals(mask, _settings(mask))
        return _timed(lambda: signals.bench_touches(touches), len(touches))()

    return turn


def _settings(mask: int) -> dict[str, Any]:
    """Defaults, and a table where one is needed."""
    if not mask & SIGNALS["stoikov"]:
        return {}
    return {"stoikov_table": [[0.0] * 10 for _ in range(2)]}


def _all_signals_turn(touches: npt.NDArray[np.int64]) -> Turn:
    """Touch, levels, trade and reference of every event: all that Signals has."""
    mask = sum(SIGNALS.values())

    def turn() -> float:
        signals = Signals(mask, _settings(mask))
        return _timed(lambda: signals.bench_events(touches), len(touches))()

    return turn


def _strategy(name: str, params: dict[str, float], differs: dict[str, Any]) -> float:
    view = strategies.QUOTING | differs
    return _timed(lambda: repeat_calls(name, view, params, OURS_CALLS), OURS_CALLS)()


def _peer_turns(stack: ExitStack, best: bytes, depth: bytes) -> dict[str, Turn]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickmaker-")))
    turns: dict[str, Turn] = {}
    pythons = {"orjson": sys.executable, "json": sys.executable, "msgspec": peers_env.python()}
    for case, message in (("best", best), ("depth20", depth)):
        path = folder / case
        path.write_bytes(message)
        for peer, python in pythons.items():
            script = str(Path(__file__).with_name("decode_peers.py"))
            process = subprocess.Popen(
                [str(python), script, peer, str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            stack.callback(process.kill)
            turns[f"{peer}_{case}_ns"] = _peer_turn(process)
    return turns


def _peer_turn(process: "subprocess.Popen[str]") -> Turn:
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answers = process.stdin, process.stdout

    def turn() -> float:
        asked.write(f"{PEER_CALLS}\n")
        asked.flush()
        line = answers.readline()
        if not line:
            raise TickmakerError("a peer's decoder ended early", "its error stands above")
        return float(json.loads(line)["ns"])

    return turn


def _result(taken: list[dict[str, float]], problem: str | None) -> dict[str, Any]:
    names = list(taken[0])
    figures = {name: round(statistics.median(r[name] for r in taken), 1) for name in names}
    ratios = {
        f"{peer}_{case}_to_ours": round(
            statistics.median(r[f"{peer}_{case}_ns"] / r[f"decode_{case}_ns"] for r in taken), 1
        )
        for peer in ("orjson", "msgspec", "json")
        for case in ("best", "depth20")
        if f"{peer}_{case}_ns" in names
    }
    spread = {name: [round(min(r[name] for r in taken), 1), round(max(r[name] for r in taken), 1)]
              for name in names}  # fmt: skip
    return {"figures": figures, "ratios": ratios or None, "min_max": spread,
            "rounds": len(taken), "peers_problem": problem}  # fmt: skip
