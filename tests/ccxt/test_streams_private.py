"""ccxt.pro: an account's own stream, and orders over WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import ccxt.pro
import pytest
from targets import Target, code_of
from trader import AMOUNT, Trader
from venue import Keys, Venue


@asynccontextmanager
async def pro(
    target: Target, venue: Venue, api: Any, keys: Keys | None = None
) -> AsyncIterator[Any]:
    client = target.make(ccxt.pro, venue, keys or venue.keys(0))
    client.set_markets(deepcopy(api.markets))
    try:
        yield client
    finally:
        await client.close()


async def first(
    watch: Callable[[], Any], act: Callable[[], Any], wanted: Callable[[Any], Any]
) -> Any:
    """What `act` gives, in another thread once `watch` listens, and the first news `wanted`."""
    news: asyncio.Queue[Any] = asyncio.Queue()

    async def listen() -> None:
        while True:
            told = await watch()
            for item in told if isinstance(told, list) else [told]:
                news.put_nowait(item)

    listening = asyncio.create_task(listen())
    try:
        await asyncio.sleep(0.3)
        done = await asyncio.to_thread(act)
        while True:
            getting = asyncio.create_task(news.get())
            await asyncio.wait([getting, listening], return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                listening.result()  # raises what went wrong
            if wanted(item := getting.result()):
                return done, item
    finally:
        listening.cancel()


async def test_watch_orders(target: Target, venue: Venue, api: Any, trader: Trader) -> None:
    async with pro(target, venue, api) as client:

        def watch() -> Any:
            return client.watch_orders(target.symbol)

        placed, order = await first(watch, trader.rest, lambda order: order["status"] == "open")
        assert order["id"] == placed["id"]
        assert (order["side"], order["amount"], order["filled"]) == ("buy", AMOUNT, 0)
        _, gone = await first(
            watch,
            lambda: trader.api.cancel_order(placed["id"], target.symbol),
            lambda order: order["status"] == "canceled",
        )
        assert gone["id"] == placed["id"]


async def test_watch_orders_tells_a_fill(
    target: Target, venue: Venue, api: Any, trader: Trader
) -> None:
    async with pro(target, venue, api) as client:
        placed, order = await first(
            lambda: client.watch_orders(target.symbol),
            trader.take,
            lambda order: order["status"] == "closed",
        )
        assert order["id"] == placed["id"]
        assert order["filled"] == AMOUNT
        assert order["average"] == pytest.approx(placed["average"])


async def test_watch_my_trades(
    target: Target, venue: Venue, api: Any, trader: Trader
) -> None:
    async with pro(target, venue, api) as client:
        placed, trade = await first(
            lambda: client.watch_my_trades(target.symbol), trader.take, lambda trade: True
        )
        assert trade["order"] == placed["id"]
        assert trade["symbol"] == target.symbol
        assert trade["side"] == "buy"
        assert trade["fee"]["cost"] > 0


async def test_watch_balance(target: Target, venue: Venue, api: Any, trader: Trader) -> None:
    coin = "USDT"
    async with pro(target, venue, api) as client:
        _, balance = await first(
            client.watch_balance,
            lambda: (trader.take("buy"), trader.take("sell")),
            lambda balance: coin in balance,
        )
        while True:  # the last of the two fills may still be on its way
            rest = await asyncio.to_thread(api.fetch_balance)
            if balance[coin]["total"] == pytest.approx(rest[coin]["total"], abs=2.0):
                return
            balance = await client.watch_balance()


async def test_watch_positions(target: Target, venue: Venue, api: Any, trader: Trader) -> None:
    if not target.is_derivative:
        pytest.skip("a spot market has none")
    async with pro(target, venue, api) as client:
        _, position = await first(
            lambda: client.watch_positions([target.symbol]),
            trader.take,
            lambda position: position["contracts"],
        )
        assert position["symbol"] == target.symbol
        assert (position["side"], position["contracts"]) == ("long", AMOUNT)


async def test_order_over_websocket(
    target: Target, venue: Venue, api: Any, trader: Trader
) -> None:
    px = trader.far()
    async with pro(target, venue, api) as client:
        placed = await client.create_order_ws(target.symbol, "limit", "buy", AMOUNT, px)
        assert await asyncio.to_thread(trader.open_ids) == [placed["id"]]
        px = float(client.price_to_precision(target.symbol, px - 10))
        edited = await client.edit_order_ws(
            placed["id"], target.symbol, "limit", "buy", AMOUNT * 2, px
        )
        order = await asyncio.to_thread(trader.order, edited["id"])
        assert (order["price"], order["amount"]) == (px, AMOUNT * 2)
        await client.cancel_order_ws(edited["id"], target.symbol)
        order = await asyncio.to_thread(trader.settled, edited["id"])
        assert order["status"] == "canceled"


async def test_market_order_over_websocket_fills(
    target: Target, venue: Venue, api: Any, trader: Trader
) -> None:
    async with pro(target, venue, api) as client:
        placed = await client.create_order_ws(target.symbol, "market", "buy", AMOUNT)
    order = await asyncio.to_thread(trader.settled, placed["id"])
    assert (order["status"], order["filled"]) == ("closed", AMOUNT)


async def test_refusals_over_websocket(target: Target, venue: Venue, api: Any) -> None:
    async with pro(target, venue, api) as client:
        px = float(client.price_to_precision(target.symbol, Trader(target, api).touch()[0]))
        with pytest.raises(ccxt.BaseError) as caught:
            await client.create_order_ws(target.symbol, "limit", "buy", 100, px)
        assert code_of(caught.value) == target.codes["funds"]
        with pytest.raises(ccxt.BaseError) as caught:
            await client.cancel_order_ws("123456789", target.symbol)
        assert code_of(caught.value) == target.codes["unknown"]


async def test_balance_and_positions_over_websocket(
    target: Target, venue: Venue, api: Any, trader: Trader
) -> None:
    if target.is_bybit:
        pytest.skip("Bybit answers no queries over WebSocket")
    async with pro(target, venue, api) as client:
        rest = await asyncio.to_thread(api.fetch_balance)
        balance = await client.fetch_balance_ws()
        if target.is_derivative:
            assert balance["USDT"]["total"] == pytest.approx(rest["USDT"]["total"])
            await asyncio.to_thread(trader.take)
            positions = await client.fetch_positions_ws([target.symbol])
            assert [row["contracts"] for row in positions] == [AMOUNT]
        else:  # ccxt reads the answer as a derivative account's: only the raw one is whole
            raw = {row["asset"]: row["free"] for row in balance["info"]["balances"]}
            assert float(raw["USDT"]) == pytest.approx(rest["USDT"]["free"])


async def test_stream_with_a_wrong_secret(target: Target, venue: Venue, api: Any) -> None:
    if target.name == "usdm":
        pytest.skip("a listen key needs no signature")
    keys = venue.keys(0)
    async with pro(target, venue, api, Keys(keys.api_key, keys.secret[::-1])) as client:
        with pytest.raises((ccxt.BaseError, KeyError)) as caught:
            await client.watch_orders(target.symbol)
        error = caught.value
        if isinstance(error, KeyError):  # ccxt stumbles while it handles the refusal
            error = error.__context__
        assert isinstance(error, ccxt.AuthenticationError)
