"""Keepers over the compiled transport: what a hot loop tells is what they think it tells."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from support_core import Desk
from support_keeper import QUICK, Rig, rigged

from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link
from engine.gateway.liveness import book_of
from engine.gateway.market import Snapshots
from engine.gateway.transport import HotTransport
from fastcore.types import Conn, Halt


class Live:
    """One core, three roles, three keepers, on a rig's exchange."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.desk = Desk(number=0, segment_size=16 << 20)
        self.hot = HotLoop()
        self.hot.add_core(self.desk.core)
        self.transport = HotTransport(self.hot, is_busy=False)
        link = Link(
            "main", rig.adapter, rig.rest, self.hot, self.transport, rig.link.attempts,
            Random(1), rig.emit, rig.faults.append, QUICK,
        )  # fmt: skip
        roles = {conn: self.hot.add_role(conn, [0]) for conn in Conn}
        self.market = Keeper.market(link, roles[Conn.MARKET], [rig.btc])
        self.trade = Keeper.trade(link, roles[Conn.TRADE])
        self.user = Keeper.user(link, roles[Conn.USER], doubt=rig.doubts.append)
        self.keepers = {
            keeper.role.index: keeper for keeper in (self.market, self.trade, self.user)
        }
        self.snapshots = Snapshots(link)
        self.snapshots.add(0, rig.btc, self.market)

    def on_cold(self, items: list[tuple[Cold, int, int]]) -> None:
        for what, index, slot in items:
            if what is Cold.CLOSED:
                self.keepers[index].on_closed(slot)
            elif what is Cold.SNAPSHOT:
                self.snapshots.want(index)

    async def start(self) -> None:
        self.transport.start(self.on_cold, self.rig.faults.append)
        for keeper in self.keepers.values():
            await keeper.connect()
            keeper.start()
        self.snapshots.want(0)

    async def synced(self) -> None:
        """A diff is wanted to anchor a snapshot at: somebody moves the market."""
        async with asyncio.timeout(8):
            while not book_of(self.hot, 0).is_synced:
                await self.rig.move()
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for keeper in self.keepers.values():
            await keeper.close()
        await self.snapshots.close()
        for keeper in self.keepers.values():
            for slot in range(keeper.role.slots):
                self.transport.disconnect(keeper.role, slot)
        self.transport.stop()


def run(work: Callable[[Rig, Live], Awaitable[None]]) -> None:
    async def go() -> None:
        async with rigged() as rig:
            live = Live(rig)
            try:
                await live.start()
                await work(rig, live)
            finally:
                await live.close()

    asyncio.run(go())


def halted(live: Live, bit: Halt) -> bool:
    return bool(live.hot.bits(0) & bit)


def test_book_is_synced_and_synced_again_when_every_stream_ends() -> None:
    async def work(rig: Rig, live: Live) -> None:
        await live.synced()
        best = await rig.rest.call(rig.adapter.best(rig.btc))
        await rig.until(lambda: book_of(live.hot, 0).best == best)
        rig.fault("drop_all")
        await rig.until(lambda: all(keeper.reconnects for keeper in live.keepers.values()))
        await live.synced()
        assert all(keeper.role.is_open for keeper in live.keepers.values())
        assert live.snapshots.fetched >= 2

    run(work)


def test_half_open_user_stream_is_found_by_pings_and_replaced() -> None:
    async def work(rig: Rig, live: Live) -> None:
        await asyncio.sleep(0.4)
        assert live.user.role.socket(0).pongs >= 1
        assert not rig.of("down")
        rig.fault("half_open", conn="user", for_="600ms")
        await rig.until(lambda: live.user.reconnects)
        assert "no answer to a ping" in rig.of("down")[0]["why"]
        await rig.until(lambda: rig.doubts == [True, False])

    run(work)


def test_aged_trade_connection_is_replaced_without_a_word_to_the_core() -> None:
    async def work(rig: Rig, live: Live) -> None:
        before: Any = live.hot.bits(0) & Halt.TRADE_STREAM
        assert not before
        live.trade._slots[0].age_limit_s = 0.0
        await rig.until(lambda: live.trade.role.is_slot_open(1))
        while live.trade.role.is_slot_open(0):
            assert not halted(live, Halt.TRADE_STREAM)
            await asyncio.sleep(0.005)
        assert live.trade.role.youngest == 1
        assert not halted(live, Halt.TRADE_STREAM)

    run(work)
