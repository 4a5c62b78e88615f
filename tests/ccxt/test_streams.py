"""ccxt.pro: public streams. The book that it keeps is the exchange's own."""

import asyncio
from copy import deepcopy
from typing import Any

import ccxt.pro
import pytest
from targets import Target
from trader import Trader
from venue import Venue

LEVELS = 10


async def pro(target: Target, venue: Venue, api: Any, account: int = 0) -> Any:
    client = target.make(ccxt.pro, venue, venue.keys(account))
    client.set_markets(deepcopy(api.markets))
    return client


async def test_watch_order_book_is_the_exchange_s(
    target: Target, venue: Venue, api: Any
) -> None:
    """Followed while it moves, then compared where both stand still: the same levels."""
    client = await pro(target, venue, api)
    try:
        first = await client.watch_order_book(target.symbol)
        assert len(first["bids"]) >= LEVELS
        for _ in range(5):
            book = await client.watch_order_book(target.symbol)
            assert book["bids"][0][0] < book["asks"][0][0]
        with venue.still(target.book):
            ours = await asyncio.to_thread(venue.admin, f"/book?symbol={target.book}&limit=20")
            wanted = {side: levels(ours[side]) for side in ("bids", "asks")}
            while {side: levels(book[side]) for side in wanted} != wanted:
                book = await client.watch_order_book(target.symbol)
            if not target.is_bybit:
                assert book["nonce"] == ours["update_id"]
    finally:
        await client.close()


def levels(side: Any) -> list[list[float]]:
    return [[float(level[0]), float(level[1])] for level in side[:LEVELS]]


async def test_watch_order_book_equals_snapshots_of_the_same_id(
    target: Target, venue: Venue, api: Any
) -> None:
    """No halt: whenever stream and snapshot have the same id, they have the same levels."""
    if target.is_bybit:
        pytest.skip("ccxt keeps no id of Bybit's books: test_pybit does this")
    client = await pro(target, venue, api)
    kept: dict[int, Any] = {}
    met: set[int] = set()
    try:

        async def watch() -> None:
            while True:
                book = await client.watch_order_book(target.symbol)
                kept[book["nonce"]] = (levels(book["bids"]), levels(book["asks"]))

        watching = asyncio.create_task(watch())
        while len(met) < 3:
            snapshot = await client.fetch_order_book(target.symbol, 50)
            await asyncio.sleep(0.12)
            assert not watching.done(), watching.exception()
            found = kept.get(snapshot["nonce"])
            if found is not None:
                assert found == (levels(snapshot["bids"]), levels(snapshot["asks"]))
                met.add(snapshot["nonce"])
        watching.cancel()
    finally:
        await client.close()


async def test_watch_trades(target: Target, venue: Venue, api: Any, trader: Trader) -> None:
    client = await pro(target, venue, api)
    try:
        watching = asyncio.create_task(client.watch_trades(target.symbol))
        while not watching.done():
            await asyncio.to_thread(trader.take)
            await asyncio.wait([watching], timeout=0.3)
        trades = watching.result()
        assert {trade["symbol"] for trade in trades} == {target.symbol}
        bid, ask = await asyncio.to_thread(trader.touch)
        assert trades[-1]["price"] == pytest.approx((bid + ask) / 2, rel=0.02)
        assert {trade["side"] for trade in trades} <= {"buy", "sell"}
        assert all(trade["amount"] > 0 and trade["id"] for trade in trades)
    finally:
        await client.close()


async def test_watch_ticker_and_best_prices(target: Target, venue: Venue, api: Any) -> None:
    client = await pro(target, venue, api)
    try:
        best = (await client.watch_bids_asks([target.symbol]))[target.symbol]
        assert 0 < best["bid"] < best["ask"]
        ticker = await client.watch_ticker(target.symbol)
        assert ticker["last"] == pytest.approx(best["bid"], rel=0.02)
    finally:
        await client.close()


async def test_streams_of_two_clients_are_apart(target: Target, venue: Venue, api: Any) -> None:
    one, two = await pro(target, venue, api), await pro(target, venue, api, 1)
    try:
        await asyncio.gather(
            one.watch_order_book(target.symbol), two.watch_order_book(target.symbol)
        )
        await one.close()
        await two.watch_order_book(target.symbol)
    finally:
        await one.close()
        await two.close()


async def test_stream_that_does_not_exist(target: Target, venue: Venue, api: Any) -> None:
    """Bybit names the topic; Binance acknowledges whatever has the form of a stream's name."""
    if not target.is_bybit:
        pytest.skip("an unknown stream of Binance is silent")
    client = await pro(target, venue, api)
    try:
        market = client.market(target.symbol)
        client.markets_by_id[market["id"]][0]["id"] = "NOSUCHUSDT"
        market["id"] = "NOSUCHUSDT"
        with pytest.raises(ccxt.BaseError, match="NOSUCHUSDT"):
            await client.watch_trades(target.symbol)
    finally:
        await client.close()
