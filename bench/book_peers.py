"""One peer's book on the update stream, for bench/book.py: run by the peers' own interpreter.

    python book_peers.py NAME STREAM.npy

Reads a mode from each line of standard input, `level` or `message`, makes one pass over the
stream and answers with a line of JSON: ns a level, the sum of the touches seen and the last touch,
so that whoever asked can see that the work was done. Time is the thread's processor time, and the
snapshot goes in before it is read first.
Nothing of Tickmaker is imported here.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

TICK, LOT = 0.1, 0.001  # any: peers count in decimals, the stream in ticks and lots
MESSAGE_NS, LEVEL_NS = 10_000_000, 100  # apart, on the feed's own time line

Rows = npt.NDArray[np.int64]
Answer = dict[str, Any]
Pass = Callable[[str], Answer]


def answer(took_ns: int, levels: int, seen: int, bid: int, ask: int) -> Answer:
    return {"ns": took_ns / levels, "seen": int(seen), "bid": int(bid), "ask": int(ask)}


# -- SORTEDCONTAINERS ----------------------------------------------------------------------------


def sorted_dict(rows: Rows) -> Pass:
    """Two SortedDicts of int ticks to int lots: what a user would write, and what our twin is."""
    factory = import_module("sortedcontainers").SortedDict
    messages = _by_message(rows)

    def run(mode: str) -> Answer:
        bids, asks = sides = (factory(), factory())
        for side, px, qty in messages[0]:
            sides[side][px] = qty
        seen = 0
        began = time.thread_time_ns()
        for message in messages[1:]:
            for side, px, qty in message:
                if qty:
                    sides[side][px] = qty
                else:
                    sides[side].pop(px, None)
                if mode == "level":
                    seen += bids.peekitem(-1)[0] + asks.peekitem(0)[0]
            if mode == "message":
                seen += bids.peekitem(-1)[0] + asks.peekitem(0)[0]
        took = time.thread_time_ns() - began
        count = len(rows) - len(messages[0])
        return answer(took, count, seen, bids.peekitem(-1)[0], asks.peekitem(0)[0])

    return run


def _by_message(rows: Rows) -> list[list[tuple[int, int, int]]]:
    edges = np.flatnonzero(np.diff(rows[:, 0])) + 1
    return [[tuple(row) for row in part[:, 1:].tolist()] for part in np.split(rows, edges)]


# -- NAUTILUS_TRADER -----------------------------------------------------------------------------


def nautilus(rows: Rows) -> Pass:
    """OrderBook.apply_delta from Python, as its strategies have it; the deltas are made before."""
    book_type = import_module("nautilus_trader.model.enums").BookType
    order_book = import_module("nautilus_trader.model.book").OrderBook
    make = _delta_maker()
    messages = [[make(*row) for row in message] for message in _by_message(rows)]
    instrument = messages[0][0].instrument_id

    def run(mode: str) -> Answer:
        book = order_book(instrument, book_type.L2_MBP)
        apply, best_bid, best_ask = book.apply_delta, book.best_bid_price, book.best_ask_price
        for delta in messages[0]:
            apply(delta)
        began = time.thread_time_ns()
        for message in messages[1:]:
            for delta in message:
                apply(delta)
                if mode == "level":
                    best_bid()
                    best_ask()
            if mode == "message":
                best_bid()
                best_ask()
        took = time.thread_time_ns() - began
        bid, ask = (round(float(best()) / TICK) for best in (best_bid, best_ask))
        return answer(took, len(rows) - len(messages[0]), 0, bid, ask)

    return run


def _delta_maker() -> Callable[[int, int, int], Any]:
    data = import_module("nautilus_trader.model.data")
    enums = import_module("nautilus_trader.model.enums")
    objects = import_module("nautilus_trader.model.objects")
    identifiers = import_module("nautilus_trader.model.identifiers")
    instrument = identifiers.InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
    tick = objects.Price.from_str(str(TICK)).raw
    lot = objects.Quantity.from_str(str(LOT)).raw
    sides = (enums.OrderSide.BUY, enums.OrderSide.SELL)

    def make(side: int, px: int, qty: int) -> Any:
        price = objects.Price.from_raw(px * tick, 1)
        order = data.BookOrder(sides[side], price, objects.Quantity.from_raw(qty * lot, 3), 0)
        action = enums.BookAction.UPDATE if qty else enums.BookAction.DELETE
        return data.OrderBookDelta(instrument, action, order, 0, 0, 0, 0)

    return make


# -- HFTBACKTEST ---------------------------------------------------------------------------------


def hftbacktest(rows: Rows, is_vector: bool) -> Pass:
    """Its books can only be reached through its backtest's loop, so that loop is in the figure.

    Only the local side sees the feed (LOCAL_EVENT), else two books would be kept. `level` waits
    for each event in turn; `message` lets the time of a whole message elapse at once. The vector
    book covers a quarter of the price to either side and leaves out the few levels beyond.
    """
    package = import_module("hftbacktest")
    data = np.zeros(len(rows), package.event_dtype)
    side = np.where(rows[:, 1] == 0, package.BUY_EVENT, package.SELL_EVENT)
    data["ev"] = side | package.DEPTH_EVENT | package.LOCAL_EVENT
    place = np.arange(len(rows)) - np.searchsorted(rows[:, 0], rows[:, 0])
    data["exch_ts"] = data["local_ts"] = rows[:, 0] * MESSAGE_NS + place * LEVEL_NS + MESSAGE_NS
    data["px"], data["qty"] = rows[:, 2] * TICK, rows[:, 3] * LOT
    start = int(np.count_nonzero(rows[:, 0] == 0))
    each_level, each_message = _compiled_loops()
    backtest = (
        package.ROIVectorMarketDepthBacktest if is_vector else package.HashMapMarketDepthBacktest
    )
    touch = int(rows[(rows[:, 0] == 0) & (rows[:, 1] == 0), 2].max())

    def run(mode: str) -> Answer:
        asset = package.BacktestAsset().data(data).linear_asset(1.0)  # borrows `data`
        asset = asset.constant_order_latency(0, 0).risk_adverse_queue_model()
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(0, 0)
        asset = asset.tick_size(TICK).lot_size(LOT)
        if is_vector:
            asset = asset.roi_lb(touch * 0.75 * TICK).roi_ub(touch * 1.25 * TICK)
        engine = backtest([asset])
        each_level(engine, start)  # the snapshot; compiles on the first pass
        each_message(engine, 0)
        count = len(rows) - start
        began = time.thread_time_ns()
        if mode == "level":
            seen = each_level(engine, count)
        else:
            seen = each_message(engine, int(rows[-1, 0]))
        took = time.thread_time_ns() - began
        depth = engine.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        engine.close()
        return answer(took, count, seen, bid, ask)

    return run


def _compiled_loops() -> tuple[Any, Any]:
    jit = import_module("numba").njit

    @jit  # type: ignore[untyped-decorator]
    def each_level(engine: Any, count: int) -> int:
        seen = 0
        for _ in range(count):
            engine.wait_next_feed(False, 1_000_000_000_000)
            depth = engine.depth(0)
            seen += depth.best_bid_tick + depth.best_ask_tick
        return seen

    @jit  # type: ignore[untyped-decorator]
    def each_message(engine: Any, count: int) -> int:
        seen = 0
        for _ in range(count):
            engine.elapse(10_000_000)  # MESSAGE_NS
            depth = engine.depth(0)
            seen += depth.best_bid_tick + depth.best_ask_tick
        return seen

    return each_level, each_message


PEERS: dict[str, tuple[str, Callable[[Rows], Pass]]] = {
    "hftbacktest_roivector": ("hftbacktest", lambda rows: hftbacktest(rows, is_vector=True)),
    "hftbacktest_hashmap": ("hftbacktest", lambda rows: hftbacktest(rows, is_vector=False)),
    "nautilus_trader": ("nautilus_trader", nautilus),
    "sortedcontainers": ("sortedcontainers", sorted_dict),
}


def main(name: str, path: str) -> None:
    package, make = PEERS[name]
    run = make(np.load(path))
    print(json.dumps({"package": package, "version": version(package)}), flush=True)
    gc.disable()
    for line in sys.stdin:
        print(json.dumps(run(line.strip())), flush=True)
        gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
