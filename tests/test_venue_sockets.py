"""Binance's adapters over real sockets: what is signed is what arrives, whatever the characters
(HTTP libraries like to encode addresses their own way), and greetings as the server times them."""

import asyncio
import json
from random import Random

import pytest
from support_adapter import secret_of
from support_exchange import QuietMarket
from websockets.asyncio.client import connect

from engine import clock
from engine.exchange.instruments import catalogue
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import make_core, make_face
from engine.gateway.budget import Budget
from engine.gateway.rest import RestClient, VenueError
from engine.venues import adapter
from engine.venues.base import Said
from fastcore.types import Side


class Account:
    """What engine.venues.adapter wants to know."""

    def __init__(self, venue, server):
        self.venue, self.rest_url, self.recv_window_ms = venue, server.rest_url, 5_000
        self.ws_url = server.ws_url


async def greeted(plan):
    """How many good answers there were, and how often something else came before the last."""
    async with connect(plan.url) as socket:
        for text in plan.texts:
            await socket.send(text)
        good = 0
        while good < plan.answers:
            said, error = plan.read((await socket.recv()).encode())
            assert said is not Said.BAD, error
            good += said is Said.GOOD
        return good


async def use(venue, is_ed25519):
    now_ns = clock.wall_ns()
    core = make_core(venue, [QuietMarket(catalogue(venue)["BTCUSDT"], 1, now_ns)], seed=1)
    server = ExchangeServer(make_face(venue, core))
    await server.start()
    keys = core.keys[0]
    key = keys.ed25519 if is_ed25519 else keys.keys[0]
    made = adapter(Account(venue, server), key.api_key, secret_of(key))
    rest = RestClient(made, server.rest_url, Budget(made.weight_per_min), rng=Random(1))
    await rest.open()
    try:
        async with asyncio.timeout(10):
            await trade(made, rest)
    finally:
        await rest.close()
        await server.stop()


async def trade(made, rest):
    btc = (await rest.call(made.instruments(["BTCUSDT"], "")))["BTCUSDT"]
    px = btc.ticks("50000")
    for number in range(3):
        await rest.call(made.place(
            btc, f"tm-a_:/.{number}", Side.BUY, px, btc.lots("0.01"), is_ioc=False,
            is_reduce_only=False,
        ))  # fmt: skip
    rows, _ = await rest.call(made.open_orders(btc))
    assert [row.client_id for row in rows] == ["tm-a_:/.0", "tm-a_:/.1", "tm-a_:/.2"]
    assert await rest.call(made.order(btc, "tm-a_:/.1")) == rows[1]
    many = made.cancel_many(btc, rows[:2])
    for call in [many] if many else [made.cancel(btc, row) for row in rows[:2]]:
        await rest.call(call)
    assert [row.client_id for row in (await rest.call(made.open_orders(btc)))[0]] == ["tm-a_:/.2"]
    for call in made.cancel_all(btc):
        await rest.call(call)
    with pytest.raises(VenueError) as gone:
        await rest.call(made.order(btc, "tm-never"))
    assert gone.value.failure.is_absent
    assert json.loads(await rest.raw(made.snapshot(btc)))["lastUpdateId"]
    token = made.user_token()
    listen_key = await rest.call(token) if token else ""
    utc_ms = clock.wall_ns() // 1_000_000
    plans = (made.market_plan([btc]), made.market_plan([btc] * 40), made.trade_plan(utc_ms),
             made.user_plan(listen_key, utc_ms))  # fmt: skip
    for plan in plans:
        assert await greeted(plan) == plan.answers


@pytest.mark.parametrize("is_ed25519", [False, True], ids=["hmac", "ed25519"])
@pytest.mark.parametrize("venue", ["binance_usdm", "binance_spot"])
def test_adapter_trades_over_real_sockets(venue, is_ed25519):
    asyncio.run(use(venue, is_ed25519))
