"""Somebody who trades by hand on the engine's account, over REST and under names of his own.

He places, takes and cancels, sometimes everything on a symbol, the engine's orders too. Before
the run's calm he goes home: nothing of his is open then, so that the last reading of the account
is the last word on it.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from engine.exchange.core import Core
from engine.exchange.faults import Faulty
from engine.exchange.instruments import Instrument
from engine.exchange.keys import Key
from engine.gateway.http import NoAnswerError
from engine.sim.dialects import Wish, dialect_of
from engine.sim.network import Network

ADDRESS = "127.0.0.9"  # his own: the engine's weight is not his to spend
ROOT = "http://127.0.0.1:1"
WORTH = (20, 300)  # of an order, in the quote asset
REACH_TICKS = 30
TIDY_EVERY_S = 0.5
KINDS = ("limit", "limit", "post", "market")
# An id of another program's may begin as ours do.
PREFIXES = ("web_", "x-ccxt", "tm", "tm0a1b2c3d-")


class Hand:
    """One person. `key`: one of the account's."""

    def __init__(
        self, name: str, network: Network, core: Core, face: Faulty, venue: str, key: Key,
        instruments: Sequence[Instrument], dice: Random,
    ) -> None:  # fmt: skip
        self._name = name
        self._network = network
        self._core = core
        self._face = face
        self._dialect = dialect_of(venue)
        self._key = key
        self._instruments = instruments
        self._dice = dice
        self._ids: dict[str, Instrument] = {}
        self.orders = 0

    async def trade(self, seconds: float, per_s: float) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        while loop.time() < until_s:
            await asyncio.sleep(self._dice.expovariate(per_s))
            await self._act()
        await self.go_home()

    async def go_home(self) -> None:
        """Until the exchange itself has nothing of his."""
        while left := self._open():
            for name, instrument in left:
                await self._ask(Wish("cancel", instrument, {"id": name}))
            await asyncio.sleep(TIDY_EVERY_S)

    def _open(self) -> list[tuple[str, Instrument]]:
        return [
            (order.client_order_id, instrument)
            for instrument in self._instruments
            for order in self._core.open_orders(self._key.account, instrument.key)
            if order.client_order_id in self._ids
        ]

    async def _act(self) -> None:
        dice = self._dice
        draw, instrument = dice.random(), dice.choice(self._instruments)
        if draw < 0.65:
            await self._place(instrument)
        elif draw < 0.97:
            if left := self._open():
                name, instrument = dice.choice(left)
                await self._ask(Wish("cancel", instrument, {"id": name}))
        else:
            await self._ask(Wish("cancel_all", instrument, {}))

    async def _place(self, instrument: Instrument) -> None:
        dice = self._dice
        bid, _, ask, _ = self._core.markets[instrument.key].touch()
        px_ticks = (bid or ask) + dice.randint(-REACH_TICKS, REACH_TICKS)
        if px_ticks <= REACH_TICKS:
            return
        worth = float(instrument.px.step * px_ticks * instrument.qty.step)
        qty_lots = max(1, int(dice.uniform(*WORTH) / worth))
        self.orders += 1
        name = f"{dice.choice(PREFIXES)}{self._name}{self.orders:04d}"
        self._ids[name] = instrument
        await self._ask(Wish("place", instrument, {
            "id": name, "side": dice.choice(("BUY", "SELL")), "kind": dice.choice(KINDS),
            "qty": instrument.qty.text(qty_lots), "px": instrument.px.text(px_ticks),
        }))  # fmt: skip

    async def _ask(self, wish: Wish) -> None:
        """He keeps in step with the venue's clock; whatever is answered, he looks again."""
        venue_ns = self._network.utc_ns() + self._face.skew_ns
        asked = self._dialect.http(wish, self._key, venue_ns)
        url = f"{ROOT}{asked.path}" + (f"?{asked.query}" if asked.query else "")
        try:
            await self._network.request(
                asked.method, url, asked.headers, asked.body.encode(), ip=ADDRESS
            )
        except NoAnswerError:
            return
