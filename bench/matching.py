"""`tickmaker bench matching`: orders into the exchange's book, place, cancel, shrink and take.

The orders are made first, by a seed, against a book of the same kind, so that cancels name orders
that rest and takers meet what was there. README.md has the method.
"""

import gc
import os
import random
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import machine
from bench.result import write
from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway import hotsocket
from fastcore.latency import Histogram
from fastcore.limit_book import LimitBook
from fastcore.limit_rig import LimitRig
from fastcore.order_stream import OrderStream
from fastcore.types import Side

PLACE, TAKE, CANCEL, SHRINK = range(4)
SHARES = {"place": 0.42, "cancel": 0.46, "take": 0.08, "shrink": 0.04}  # before what follows
MIDDLE_TICKS, REACH_TICKS = 600_000, 150.0
OPENING_ORDERS = 2_000  # and about so many rest all the time
TARGETS = {"events_per_s": ">= 2000000"}
METHOD = (
    "One stream of orders, seeded: places at exponential distances from the touch (some cross "
    "it), cancels of any resting order, takers at any price, shrinks; about 2,000 orders rest all "
    "the time. A compiled loop applies them one by one, reads the touch after each and clears the "
    "noted changes; the opening orders are untimed. events_per_s: processor time of the thread "
    "over a whole pass; the median of the rounds, a new book each. event_ns: each event by the "
    "processor's time stamp counter, its reads and stalls of the machine included, all rounds."
)
Rows = npt.NDArray[np.int64]


def make(events: int, seed: int = 1) -> tuple[Rows, dict[str, int]]:
    """Rows of OrderStream, the opening orders first, and how many of each verb."""
    rng, rig = random.Random(seed), LimitRig()
    rows: list[tuple[int, int, int, int, int]] = []
    live: list[int] = []
    counts = dict.fromkeys(SHARES, 0)
    for order_id in range(1, OPENING_ORDERS + events + 1):
        draw = rng.random() if order_id > OPENING_ORDERS else 0.0
        side, lots = rng.randrange(2), 1 + int(rng.expovariate(1 / 40.0))
        verb = next((v for v, bound in _BOUNDS if draw < bound), SHRINK)
        if verb == CANCEL and rig.order_count < OPENING_ORDERS:
            verb = PLACE
        victim = _pick(rng, live, rig) if verb in (CANCEL, SHRINK) else 0
        if verb != TAKE and not victim:
            verb = PLACE
        row = (verb, victim or order_id, side, 0, 1 if verb == SHRINK else lots)
        if verb == PLACE:
            row = (verb, order_id, side, _px_ticks(rng, side, rig), lots)
            live.append(order_id)
        _apply(rig, row)
        rows.append(row)
        if order_id > OPENING_ORDERS:
            counts[("place", "take", "cancel", "shrink")[verb]] += 1
    return np.array(rows, np.int64), counts


_BOUNDS = (
    (PLACE, SHARES["place"]),
    (TAKE, SHARES["place"] + SHARES["take"]),
    (CANCEL, 1.0 - SHARES["shrink"]),
)


def _px_ticks(rng: random.Random, side: int, rig: LimitRig) -> int:
    bid, _, ask, _ = rig.touch()
    best = (ask or MIDDLE_TICKS) if side == Side.BUY else (bid or MIDDLE_TICKS)
    away = 1 + int(rng.expovariate(1 / REACH_TICKS)) if rng.random() > 0.03 else 0
    return best - away if side == Side.BUY else best + away


def _pick(rng: random.Random, live: list[int], rig: LimitRig) -> int:
    """A resting order; 0 when none is found. Those gone are forgotten on the way."""
    while live:
        at = rng.randrange(len(live))
        if rig.leaves_of(live[at]) > 1:
            return live[at]
        live[at] = live[-1]
        live.pop()
    return 0


def _apply(rig: LimitRig, row: tuple[int, int, int, int, int]) -> None:
    verb, order_id, side, px_ticks, lots = row
    if verb == CANCEL:
        rig.cancel(order_id)
    elif verb == SHRINK:
        rig.shrink(order_id, lots)
    else:
        rig.place(order_id, side, px_ticks, lots, rests=verb == PLACE)


def run(events: int = 1_000_000, rounds: int = 5, out: Path | None = None) -> dict[str, Any]:
    """Measure; JSON, written to `out` too. Raises TickmakerError."""
    if rounds < 1 or events < 1:
        raise TickmakerError(
            f"--rounds is {rounds}, --events {events}", "give numbers above 0", EXIT_USAGE
        )
    rows, counts = make(events)
    stream = OrderStream(rows)
    stream.set_ticks(hotsocket.tick_capsule(), hotsocket.ns_per_tick())
    allowed, cpus = os.sched_getaffinity(0), machine.choose_cpus(1)
    described = machine.describe(cpus)
    rates, event_ns, seen = [], Histogram(), set()
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, allowed)
        os.sched_setaffinity(0, set(cpus))
        gc.disable()
        stack.callback(gc.enable)
        for _ in range(rounds):
            book = _opened(stream)
            began = time.thread_time_ns()
            seen.add(stream.run(book, OPENING_ORDERS, stream.count))
            rates.append(events / ((time.thread_time_ns() - began) / 1e9))
            seen.add(stream.run_timed(_opened(stream), OPENING_ORDERS, stream.count, event_ns))
    if len(seen) != 1:
        raise TickmakerError("the same orders gave different books", "report this: it is a bug")
    result = _result(rates, event_ns, book, counts) | {
        "machine": described,
        "commit": machine.commit(),
    }
    if out is not None:
        write(result, out)
    return result


def _opened(stream: OrderStream) -> LimitBook:
    book = LimitBook()
    stream.run(book, 0, OPENING_ORDERS)
    return book


def _result(
    rates: list[float], event_ns: Histogram, book: LimitBook, counts: dict[str, int]
) -> dict[str, Any]:
    rig = LimitRig(book)
    rig.check()
    return {
        "events_per_s": round(statistics.median(rates)),
        "rounds": [round(rate) for rate in rates],
        "event_ns": {
            "p50": event_ns.percentile(50),
            "p99": event_ns.percentile(99),
            "p999": event_ns.percentile(99.9),
            "max": event_ns.max_ns,
            "n": event_ns.count,
        },
        "events": counts,
        "resting_at_the_end": rig.order_count,
        "levels_at_the_end": [rig.level_count(side) for side in Side],
        "pool": {"orders": rig.pool_size, "growths": rig.growths},
        "targets": TARGETS,
        "method": METHOD,
    }
