"""The gateway's cold side at each venue of the local exchange, over TLS."""

import asyncio
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from support_core import Desk
from support_exchange import LINEAR, quiet_core
from support_keeper import QUICK

from engine import clock
from engine.config import ws_url_of
from engine.exchange.faults import Faulty
from engine.exchange.server import ExchangeServer
from engine.exchange.stack import VENUES, make_face
from engine.exchange.tls import server_context
from engine.gateway.account_calls import AccountCalls
from engine.gateway.budget import Hosts
from engine.gateway.clocksync import ClockSync
from engine.gateway.deadman import DeadMan
from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link
from engine.gateway.liveness import book_of
from engine.gateway.market import Snapshots
from engine.gateway.rest import RestClient, UnreachableError
from engine.gateway.transport import HotTransport
from engine.venues import adapter as adapter_of
from engine.venues.base import OrderRow
from fastcore.types import Conn, OrderState, Side

CODECS = {"binance_usdm": "binance_usdm", "binance_spot": "binance_spot", "bybit": "bybit_linear"}
PATIENCE_S = 10.0


def is_ours(row: OrderRow) -> bool:
    return row.client_id.startswith("tm")


class Account:
    """One account of one venue: all of the gateway's parts, wired as a session does."""

    def __init__(self, venue: str, server: ExchangeServer, ca_file: Path) -> None:
        self.server = server
        key = server.face.core.keys[0].keys[0]
        ws_url = ws_url_of(server.ws_url)
        self.adapter = adapter_of(
            SimpleNamespace(venue=venue, rest_url=server.rest_url, ws_url=ws_url,
                            recv_window_ms=5_000, dead_man_s=10),
            key.api_key, key.secret,
        )  # fmt: skip
        hosts = Hosts()
        self.rest = RestClient(
            self.adapter, server.rest_url, hosts.budget(server.rest_url, self.adapter),
            rng=Random(1), ca_file=ca_file,
        )
        self.hot = HotLoop()
        self.offsets: list[int] = []
        self.problems: list[Any] = []
        self.lines: list[dict[str, Any]] = []
        self.transport = HotTransport(self.hot, is_busy=False)
        self.ca_file = ca_file
        self.link = Link(
            "main", self.adapter, self.rest, self.hot, self.transport,
            hosts.attempts(server.rest_url, self.adapter), Random(1), self.emit,
            self.problems.append, QUICK,
        )  # fmt: skip
        self.clock = ClockSync(self.rest, self.adapter, self.offsets.append, rng=Random(1),
                               emit=self.emit)  # fmt: skip
        self.keepers: dict[int, Keeper] = {}

    def emit(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    async def build(self, venue: str) -> None:
        await self.rest.open()
        await self.clock.sync()
        codec = CODECS[venue]
        self.btc = (await self.rest.call(self.adapter.instruments(["BTCUSDT"], codec)))["BTCUSDT"]
        self.desk = Desk(number=0, venue=codec, tick=self.btc.tick, lot=self.btc.lot,
                         segment_size=16 << 20)  # fmt: skip
        self.hot.add_core(self.desk.core)
        roles = {conn: self.hot.add_role(conn, [0]) for conn in Conn}
        for role in roles.values():
            self.transport.trust(role, self.ca_file)
        market = Keeper.market(self.link, roles[Conn.MARKET], [self.btc])
        for keeper in (market, Keeper.trade(self.link, roles[Conn.TRADE]),
                       Keeper.user(self.link, roles[Conn.USER])):  # fmt: skip
            self.keepers[keeper.role.index] = keeper
        self.snapshots = Snapshots(self.link)
        self.snapshots.add(0, self.btc, market)
        self.calls = AccountCalls(self.rest, self.adapter, [self.btc], rng=Random(1))

    def on_cold(self, items: list[tuple[Cold, int, int]]) -> None:
        for what, index, slot in items:
            if what is Cold.CLOSED:
                self.keepers[index].on_closed(slot)
            elif what is Cold.SNAPSHOT:
                self.snapshots.want(index)

    async def start(self) -> None:
        self.transport.start(self.on_cold, self.problems.append)
        for keeper in self.keepers.values():
            await keeper.connect()
            keeper.start()
        self.snapshots.want(0)

    async def place(self, client_id: str, px_ticks: int) -> None:
        await self.rest.call(self.adapter.place(
            self.btc, client_id, Side.BUY, px_ticks, 1_000, is_ioc=False, is_reduce_only=False
        ))  # fmt: skip

    async def close(self) -> None:
        for keeper in self.keepers.values():
            await keeper.close()
        await self.snapshots.close()
        for keeper in self.keepers.values():
            for slot in range(keeper.role.slots):
                self.transport.disconnect(keeper.role, slot)
        self.transport.stop()
        await self.rest.close()


@pytest.mark.parametrize("venue", VENUES)
def test_account_is_wired_and_its_orders_are_pulled(venue: str, tmp_path: Path) -> None:
    async def go() -> None:
        context, ca_file = server_context(tmp_path)
        keys = (LINEAR,) if venue == "bybit" else ("BTCUSDT",)
        face = Faulty(make_face(venue, quiet_core(venue=venue, keys=keys)))
        server = ExchangeServer(face, context)
        await server.start()
        try:
            account = Account(venue, server, ca_file)
            await account.build(venue)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await account.start()
                    await use(account)
            finally:
                await account.close()
            assert not account.problems
        finally:
            await server.stop()

    asyncio.run(go())


async def use(account: Account) -> None:
    """Orders over REST move the book: the core follows; then all of them are pulled."""
    calls, btc = account.calls, account.btc
    best = await account.rest.call(account.adapter.best(btc))
    assert 0 < best.bid_px_ticks < best.ask_px_ticks
    for number in range(12):
        await account.place(f"tm-{number}", best.bid_px_ticks - 50 - number)
    await account.place("hand", best.bid_px_ticks - 500)
    while not book_of(account.hot, 0).is_synced:
        await account.place("hand-2", best.bid_px_ticks - 501)
        await asyncio.sleep(0.05)
        await calls.cancel_ours(btc, lambda row: row.client_id == "hand-2", 5.0)
    core = book_of(account.hot, 0).best
    assert (core.bid_px_ticks, core.ask_px_ticks) == (best.bid_px_ticks, best.ask_px_ticks)
    assert await calls.cancel_ours(btc, is_ours, 8.0) == 12
    assert [row.client_id for row in await calls.open_orders(btc)] == ["hand"]
    found = await calls.order(btc, "tm-3")
    assert found is not None
    assert (found.client_id, found.state) == ("tm-3", OrderState.CANCELED)
    assert await calls.trades_since(btc, clock.wall_ns() - 60_000_000_000) == []
    assert await calls.balances()
    held_e8 = account.server.face.core.accounts[0].balance_e8("BTC")
    lots = held_e8 * btc.lots("1") // 10**8 if btc.venue == "binance_spot" else 0
    assert await calls.position(btc) == lots
    told: list[bool] = []
    dead_man = DeadMan(account.rest, account.adapter, [btc], 10, told.append, rng=Random(1),
                       emit=account.emit)  # fmt: skip
    await dead_man.arm()
    dead_man.on_user(True)
    # Set for the first time, Bybit's takes ten seconds to work.
    is_delayed = account.adapter.dead_man_delay_s > 0
    assert dead_man.is_armed is not is_delayed
    assert told == ([True, False][: 2 - is_delayed] if dead_man.is_wanted else [])
    await dead_man.disarm()


def test_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async def go() -> None:
        context, _ = server_context(tmp_path)
        other = tmp_path / "other"
        other.mkdir()
        _, wrong = server_context(other)
        server = ExchangeServer(make_face("binance_usdm", quiet_core()), context)
        await server.start()
        account = Account("binance_usdm", server, wrong)
        await account.rest.open()
        try:
            with pytest.raises(UnreachableError) as caught:
                await account.rest.call(account.adapter.time(), tries=1)
            assert "127.0.0.1" in caught.value.what
        finally:
            await account.rest.close()
            await server.stop()

    asyncio.run(go())
