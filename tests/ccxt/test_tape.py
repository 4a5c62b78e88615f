"""ccxt on recordings: books, trades and own orders, where the market is a tape.

Recorded data is not part of the project: TICKMAKER_DATA, or ../shared/data, or nothing is tested.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest
from targets import Target
from venue import ROOT, Venue, exchange

DATA = Path(os.environ.get("TICKMAKER_DATA") or ROOT.parent / "shared" / "data")
TAPES = {
    "binance_usdm": "binance_usdm/btcusdt_20240808.gz",
    "binance_spot": "binance_spot/btcusdt_20240808.gz",
    "bybit": "raw_multivenue/BYBIT.jsonl.zst",
}
SPEED = "3"
BOOKS = 25
LEVELS = 10
AMOUNT = 0.01


async def watched(client: Any, symbol: str) -> tuple[Any, int]:
    """The book after some updates, and how many trades came meanwhile, at least one."""

    async def book() -> Any:
        for _ in range(BOOKS):
            last = await client.watch_order_book(symbol)
        return last

    seen, trades = await asyncio.gather(book(), client.watch_trades(symbol))
    return seen, len(trades)


async def same_as_ours(client: Any, running: Venue, target: Target) -> None:
    """The book that the client keeps and the exchange's own, where both stand still."""
    with running.still(target.book):
        ours = await asyncio.to_thread(running.admin, f"/book?symbol={target.book}&limit=20")
        wanted = {side: levels(ours[side]) for side in ("bids", "asks")}
        kept = client.orderbooks[target.symbol]
        while {side: levels(kept[side]) for side in wanted} != wanted:
            kept = await client.watch_order_book(target.symbol)


def levels(rows: Any) -> list[tuple[float, float]]:
    return [(float(row[0]), float(row[1])) for row in rows[:LEVELS]]


async def test_ccxt_watches_and_trades_a_recording(target: Target) -> None:
    tape = DATA / TAPES[target.venue]
    if not tape.exists():
        pytest.skip(f"recorded market data is absent: {tape} (set TICKMAKER_DATA to its folder)")
    with exchange(target.venue, "--tape", str(tape), "--speed", SPEED) as running:
        client = target.make(ccxt.pro, running, running.keys(0))
        try:
            await client.load_markets()
            before = await client.fetch_order_book(target.symbol, 5)
            seen, trades = await watched(client, target.symbol)
            assert trades > 0
            assert seen["bids"][0][0] < seen["asks"][0][0]
            await same_as_ours(client, running, target)
            assert abs(seen["bids"][0][0] / before["bids"][0][0] - 1) < 0.01
            assert await client.fetch_trades(target.symbol, limit=5)
            await client.create_order(target.symbol, "market", "buy", AMOUNT)
            (fill,) = await client.fetch_my_trades(target.symbol)
            assert (fill["side"], fill["amount"], fill["takerOrMaker"]) == ("buy", AMOUNT, "taker")
            px = client.price_to_precision(target.symbol, fill["price"] * 0.99)
            resting = await client.create_order(target.symbol, "limit", "buy", AMOUNT, float(px))
            (left,) = await client.fetch_open_orders(target.symbol)
            assert left["id"] == resting["id"]
            await client.cancel_order(resting["id"], target.symbol)
            assert not await client.fetch_open_orders(target.symbol)
        finally:
            await client.close()
