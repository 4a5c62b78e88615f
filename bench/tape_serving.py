"""How fast a recording is served: by the core alone, by core and face, and over sockets.

In process the exchange's clock is a number that is moved on by one turn after another, as fast
as it goes, and the processor time of that is what counts. Over sockets the tape runs at a speed,
and what counts is how late the frames are: a frame is due where the recording has it, divided by
the speed.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import uvloop

from bench import machine
from bench.result import figures_us, write
from engine import clock
from engine.errors import TickmakerError
from engine.exchange.commands import Advance
from engine.exchange.events import TapeFrame
from engine.exchange.face import Face, Tick, WsOpen, WsSend, WsText
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_core, make_face
from engine.exchange.tape.market import TapeMarket
from engine.exchange.tape.recording import open_markets
from engine.exchange.terms import NEVER_NS
from engine.tape.capture import sha256_of

TURN_NS = 10_000_000  # of the exchange's clock, in process
TURN_SPEED = 50.0
SPEEDS = (50.0, 100.0, 200.0)
LATE_NS = 50_000_000  # a frame that is later was not sustained
START_NS = 1_700_000_000_000_000_000
ROOT = "ws://127.0.0.1:1"

Int64s = npt.NDArray[np.int64]


def run(tape: Path, venue: str, rounds: int = 3, out: Path | None = None) -> dict[str, Any]:
    """Measure with one recording; JSON, written to `out` too. TickmakerError."""
    described = machine.describe(sorted(os.sched_getaffinity(0)))
    due_ns, streams = _schedule(tape, venue)
    span_s = float(due_ns[-1]) / 1e9
    in_process = {
        name: [_in_process(tape, venue, streams, make) for _ in range(rounds)]
        for name, make in (("core", _core_loop), ("face", _face_loop))
    }
    sockets = [uvloop.run(_over_sockets(tape, venue, streams, due_ns, speed)) for speed in SPEEDS]
    kept = [each["speed"] for each in sockets if each["is_sustained"]]
    result = {
        "figures": {
            **_rates(in_process, len(due_ns), span_s),
            "sockets_times_real_by_processor": round(
                span_s / min(each["server_processor_s"] for each in sockets)
            ),
            "sockets_times_real_sustained": max(kept, default=0.0),
        },
        "processor_seconds": in_process,
        "sockets": sockets,
        "recording": {
            "name": tape.name,
            "sha256": sha256_of(tape),
            "venue": venue,
            "frames": len(due_ns),
            "span_s": round(span_s, 3),
        },
        "late_ms_max": LATE_NS / 1e6,
        "machine": described,
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _rates(in_process: dict[str, list[float]], frames: int, span_s: float) -> dict[str, int]:
    """Of the quickest round."""
    rates: dict[str, int] = {}
    for name, seconds in in_process.items():
        rates[f"{name}_messages_s"] = round(frames / min(seconds))
        rates[f"{name}_times_real"] = round(span_s / min(seconds))
    return rates


def _schedule(tape: Path, venue: str) -> tuple[Int64s, list[str]]:
    """When each frame is due, from the first, at the recorded pace; the streams' names."""
    stamps: list[int] = []
    streams: dict[str, None] = {}
    (market,) = open_markets([tape], venue, [], 1.0)
    market.on_public_subscriber(1)
    while (due_ns := market.next_due_ns()) < NEVER_NS:
        market.advance(due_ns)
        for event in market.drain():
            if isinstance(event, TapeFrame):
                stamps.append(due_ns)
                streams[event.stream] = None
    if not stamps:
        raise TickmakerError(f"{tape}: holds no frames", "Give another recording.")
    due = np.array(stamps, np.int64)
    return np.maximum.accumulate(due) - 1, list(streams)


# -- IN PROCESS ---


def _in_process(
    tape: Path,
    venue: str,
    streams: list[str],
    make: Callable[[TapeMarket, str, list[str]], Callable[[int], int]],
) -> float:
    """Processor seconds for all frames; opening the file is not counted."""
    (market,) = open_markets([tape], venue, [], TURN_SPEED)
    turn = make(market, venue, streams)
    now_ns, frames = START_NS, 0
    began_ns = time.process_time_ns()
    while market.next_due_ns() < NEVER_NS:
        now_ns += TURN_NS
        frames += turn(now_ns)
    seconds = (time.process_time_ns() - began_ns) / 1e9
    if frames < market.served:
        raise TickmakerError(f"{frames} of {market.served} frames came out", "A bug: report it.")
    return round(seconds, 4)


def _core_loop(market: TapeMarket, venue: str, streams: list[str]) -> Callable[[int], int]:
    core = make_core(venue, [market], 1)
    market.on_public_subscriber(START_NS)

    def turn(now_ns: int) -> int:
        outputs = core.step(Advance(), now_ns)
        return sum(type(output) is TapeFrame for output in outputs)

    return turn


def _face_loop(market: TapeMarket, venue: str, streams: list[str]) -> Callable[[int], int]:
    face = make_face(venue, make_core(venue, [market], 1))
    target, message = subscription(face, venue, streams)
    face.step(WsOpen(1, target, {}), START_NS)
    if message:
        face.step(WsText(1, message), START_NS)

    def turn(now_ns: int) -> int:
        return sum(type(action) is WsSend for action in face.step(Tick(), now_ns))

    return turn


def subscription(face: Face, venue: str, streams: list[str]) -> tuple[str, str]:
    """Target of the handshake, and the message to send then, to get every stream."""
    urls = face.urls("", ROOT)["ws_url"]
    if venue == "bybit":
        product = streams[0].partition("/")[0]
        topics = [stream.partition("/")[2] for stream in streams]
        message = json.dumps({"op": "subscribe", "args": topics})
        return urls[f"public_{product}"].removeprefix(ROOT), message
    root = urls["public" if venue == "binance_usdm" else "market"].removeprefix(ROOT)
    return f"{root}/stream?streams={'/'.join(streams)}", ""


# -- OVER SOCKETS ---


async def _over_sockets(
    tape: Path, venue: str, streams: list[str], due_ns: Int64s, speed: float
) -> dict[str, Any]:
    (market,) = open_markets([tape], venue, [], speed)
    face = make_face(venue, make_core(venue, [market], 1))
    server = ExchangeServer(face)
    await server.start()
    try:
        port = urlsplit(server.ws_root).port
        target, message = subscription(face, venue, streams)
        arguments = ["127.0.0.1", str(port), target, str(len(due_ns)), message]
        began_ns = time.process_time_ns()
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.tape_client", *arguments,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        raw, _ = await client.communicate()
        busy_s = (time.process_time_ns() - began_ns) / 1e9
        if client.returncode:
            raise TickmakerError("the bench's client failed", "Its traceback stands above.")
    finally:
        await server.stop()
    stamps = np.frombuffer(raw, np.int64)
    start_ns = market.started_ns - (server.now_ns() - clock.monotonic_ns())
    late_ns = stamps - start_ns - (due_ns[: len(stamps)] / speed).astype(np.int64)
    elapsed_s = (int(stamps[-1]) - start_ns) / 1e9 if len(stamps) else 0.0
    is_whole = len(stamps) == len(due_ns)
    return {
        "speed": speed,
        "frames": len(stamps),
        "messages_s": round(len(stamps) / elapsed_s) if elapsed_s else 0,
        "late": figures_us(late_ns),
        "server_processor_s": round(busy_s, 3),
        "is_sustained": bool(is_whole and late_ns[-1] < LATE_NS),
        "slow_cut": server.counters.slow_cut,
    }
