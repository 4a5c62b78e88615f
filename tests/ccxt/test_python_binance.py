"""python-binance, a second client of Binance: core calls, a public and a private stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from binance.ws.reconnecting_websocket import ReconnectingWebsocket
from venue import Venue

SYMBOL = "BTCUSDT"
QUANTITY = "0.010"


@pytest.fixture(autouse=True)
def _close_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet socket of this client closes only when its wait for a message has timed out."""
    monkeypatch.setattr(ReconnectingWebsocket, "TIMEOUT", 1)


@asynccontextmanager
async def client_of(venue: Venue) -> AsyncIterator[tuple[Any, Any]]:
    """A client and its manager of streams; their addresses are class constants."""

    class Client(AsyncClient):
        API_URL = venue.rest + "/api"
        MARGIN_API_URL = venue.rest + "/sapi"
        FUTURES_URL = venue.rest + "/fapi"
        FUTURES_DATA_URL = venue.rest + "/futures/data"
        WS_API_URL = venue.ws + "/ws-api/v3"
        WS_FUTURES_URL = venue.ws + "/ws-fapi/v1"

    class Streams(BinanceSocketManager):
        STREAM_URL = venue.ws + "/"
        FSTREAM_URL = venue.ws + "/"

    keys = venue.keys(0)
    client = Client(keys.api_key, keys.secret)
    try:
        yield client, Streams(client)
    finally:
        await client.close_connection()


async def heard(socket: Any, kind: str) -> Any:
    """The first event of `kind`."""
    while True:
        event = await socket.recv()
        event = event.get("data", event)
        if event.get("e") == kind:
            return event


async def test_spot(venues: dict[str, Venue]) -> None:
    async with client_of(venues["binance_spot"]) as (client, _):
        assert await client.ping() == {}
        info = await client.get_symbol_info(SYMBOL)
        assert info["status"] == "TRADING"
        book = await client.get_order_book(symbol=SYMBOL, limit=5)
        px = f"{float(book['bids'][0][0]) * 0.97:.2f}"
        order = await client.order_limit_buy(symbol=SYMBOL, quantity=QUANTITY, price=px)
        asked = {"symbol": SYMBOL, "orderId": order["orderId"]}
        assert (await client.get_order(**asked))["status"] == "NEW"
        assert [row["orderId"] for row in await client.get_open_orders(symbol=SYMBOL)] == [
            order["orderId"]
        ]
        assert (await client.cancel_order(**asked))["status"] == "CANCELED"
        with pytest.raises(BinanceAPIException) as caught:
            await client.cancel_order(**asked)
        assert caught.value.code == -2011
        filled = await client.order_market_buy(symbol=SYMBOL, quantity=QUANTITY)
        assert filled["status"] == "FILLED"
        trades = await client.get_my_trades(symbol=SYMBOL)
        assert filled["orderId"] in {trade["orderId"] for trade in trades}
        usdt = await client.get_asset_balance(asset="USDT")
        assert float(usdt["free"]) > 0
        status = await client.ws_get_order(**asked)
        assert status["status"] == "CANCELED"


async def test_spot_streams(venues: dict[str, Venue]) -> None:
    async with client_of(venues["binance_spot"]) as (client, streams):
        async with streams.depth_socket(SYMBOL) as socket:
            event = await heard(socket, "depthUpdate")
            assert event["s"] == SYMBOL
        async with streams.user_socket() as socket:
            order = await client.order_market_sell(symbol=SYMBOL, quantity=QUANTITY)
            while True:
                report = await heard(socket, "executionReport")
                if report["X"] == "FILLED":
                    break
            assert report["i"] == order["orderId"]


async def test_usdm(venues: dict[str, Venue]) -> None:
    async with client_of(venues["binance_usdm"]) as (client, _):
        info = await client.futures_exchange_info()
        assert SYMBOL in {row["symbol"] for row in info["symbols"]}
        book = await client.futures_order_book(symbol=SYMBOL, limit=5)
        px = f"{float(book['bids'][0][0]) * 0.97:.1f}"
        order = await client.futures_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTX", quantity=QUANTITY,
            price=px,
        )  # fmt: skip
        asked = {"symbol": SYMBOL, "orderId": order["orderId"]}
        assert (await client.futures_get_order(**asked))["status"] == "NEW"
        assert len(await client.futures_get_open_orders(symbol=SYMBOL)) == 1
        await client.futures_cancel_all_open_orders(symbol=SYMBOL)
        with pytest.raises(BinanceAPIException) as caught:
            await client.futures_cancel_order(**asked)
        assert caught.value.code == -2011
        balance = {row["asset"]: row for row in await client.futures_account_balance()}
        assert float(balance["USDT"]["balance"]) > 0
        await client.futures_create_order(
            symbol=SYMBOL, side="BUY", type="MARKET", quantity=QUANTITY
        )
        rows = await client.futures_position_information(symbol=SYMBOL)
        assert [row["positionAmt"] for row in rows] == [QUANTITY]
        await client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="MARKET", quantity=QUANTITY, reduceOnly="true"
        )
        assert len(await client.futures_account_trades(symbol=SYMBOL)) >= 2


async def test_usdm_streams(venues: dict[str, Venue]) -> None:
    async with client_of(venues["binance_usdm"]) as (client, streams):
        async with streams.futures_depth_socket(SYMBOL) as socket:
            event = await heard(socket, "depthUpdate")
            assert event["s"] == SYMBOL
        async with streams.futures_user_socket() as socket:
            book = await client.futures_order_book(symbol=SYMBOL, limit=5)
            px = f"{float(book['bids'][0][0]) * 0.97:.1f}"
            order = await client.futures_create_order(
                symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=QUANTITY,
                price=px,
            )  # fmt: skip
            report = await heard(socket, "ORDER_TRADE_UPDATE")
            assert report["o"]["i"] == order["orderId"]
            await client.futures_cancel_all_open_orders(symbol=SYMBOL)


async def test_usdm_orders_over_websocket(venues: dict[str, Venue]) -> None:
    async with client_of(venues["binance_usdm"]) as (client, _):
        book = await client.ws_futures_get_order_book(symbol=SYMBOL, limit=5)
        px = f"{float(book['bids'][0][0]) * 0.97:.1f}"
        order = await client.ws_futures_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=QUANTITY,
            price=px,
        )  # fmt: skip
        gone = await client.ws_futures_cancel_order(symbol=SYMBOL, orderId=order["orderId"])
        assert gone["status"] == "CANCELED"
