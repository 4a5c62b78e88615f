"""Bybit's adapter over real sockets, through the gateway's own client: cursors come back as the
venue gave them (HTTP libraries like to encode addresses their own way), pages and greetings."""

import asyncio
from random import Random
from types import SimpleNamespace

import pytest
from bybit_client import quiet_core
from support_bybit_adapter import PREFIX
from websockets.asyncio.client import connect

from engine import clock
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_face
from engine.gateway.account_calls import AccountCalls
from engine.gateway.budget import Budget
from engine.gateway.pace import Pace
from engine.gateway.rest import RestClient
from engine.venues import adapter
from engine.venues.base import Adapter, ConnPlan, Instrument, Said
from fastcore.types import Side

COUNT = 60  # orders and fills: more than a page of orders


async def greeted(plan: ConnPlan) -> None:
    """Each text after the answer to the one before."""
    async with connect(plan.url) as socket:
        for text in plan.texts:
            await socket.send(text)
            said = Said.NOTHING
            while said is Said.NOTHING:
                frame = await socket.recv()
                said, error = plan.read(frame.encode() if isinstance(frame, str) else frame)
            assert said is Said.GOOD, error


async def trade(made: Adapter, rest: RestClient, category: str) -> None:
    named = await rest.call(made.instruments(["BTCUSDT"], category))
    btc: Instrument = named["BTCUSDT"]
    account = AccountCalls(rest, made, [btc], rng=Random(1))
    start_ns, lots = clock.wall_ns(), btc.lots("0.01")
    before = (await account.positions())[btc.venue, btc.symbol]
    for number in range(COUNT):
        is_taker = number % 2 == 1
        px = btc.ticks("60500" if is_taker else "59000")
        call = made.place(
            btc, f"{PREFIX}{number:012x}", Side.BUY, px, lots, is_ioc=is_taker,
            is_reduce_only=False,
        )  # fmt: skip
        await rest.call(call)
    for number in range(COUNT, 2 * COUNT):
        await rest.call(made.place(
            btc, f"{PREFIX}{number:012x}", Side.BUY, btc.ticks("58000"), lots, is_ioc=False,
            is_reduce_only=False,
        ))  # fmt: skip
    rows = await account.open_orders(btc)
    assert len(rows) == COUNT // 2 + COUNT
    trades = await account.trades_since(btc, start_ns)
    assert sum(row.qty_lots for row in trades) == COUNT // 2 * lots
    assert trades == sorted(trades, key=lambda row: row.exch_ts_ns)
    fees = sum(row.fee_e8 for row in trades) if category == "spot" else 0
    dust = -(-fees // 100) if category == "spot" else 0  # a lot of 0.000001 is 100 of 1e-8
    after = (await account.positions())[btc.venue, btc.symbol]
    assert after == before + COUNT // 2 * lots - dust
    assert await account.order(btc, f"{PREFIX}{0:012x}") in rows
    assert await account.order(btc, f"{PREFIX}ffffffffffff") is None
    seen = await account.cancel_ours(btc, lambda row: row.client_id.startswith("tm"), 5.0)
    assert seen == len(rows)
    assert await account.open_orders(btc) == []
    utc_ms = clock.wall_ns() // 1_000_000
    for plan in (made.market_plan([btc]), made.trade_plan(utc_ms), made.user_plan("", utc_ms)):
        await greeted(plan)


async def use(category: str) -> None:
    core = quiet_core()
    server = ExchangeServer(make_face("bybit", core, limit_factor=100))
    await server.start()
    key = core.keys[0].keys[0]
    urls = {name.removeprefix("public_"): url for name, url in server.ws_url.items()}
    account = SimpleNamespace(
        venue="bybit", rest_url=server.rest_url, ws_url=urls, recv_window_ms=5_000, dead_man_s=5
    )
    made = adapter(account, key.api_key, key.secret)
    rest = RestClient(made, server.rest_url, Budget(100 * made.weight_per_min), rng=Random(1),
                      pace=Pace(100))  # fmt: skip
    await rest.open()
    try:
        async with asyncio.timeout(20):
            await trade(made, rest, category)
    finally:
        await rest.close()
        await server.stop()


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_adapter_trades_over_real_sockets(category: str) -> None:
    asyncio.run(use(category))
