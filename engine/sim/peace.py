"""The last seconds before the end, in peace: who still stands aside, quotes nothing or believes in
another market has not come to terms with what happened."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.exchange.core import Core
from engine.exchange.instruments import Listing
from engine.exchange.terms import MarketState
from engine.sim.checker import OURS
from engine.sim.life import Life
from fastcore.types import Halt

PEACE_S = 8.0
SAMPLE_S = 0.25
# What an engine may stand aside for in a market that nothing is wrong with.
MARKET_HALTS = (
    Halt.SPREAD | Halt.TOXICITY | Halt.REPEATED_EXECUTION | Halt.ONE_SIDED_FILLS
    | Halt.FEED_STALE
)  # fmt: skip
SPENT = ("held back", "HTTP 429", "HTTP 418")  # what became of a snapshot


class Peace:
    """Of the last life of `lives`; `account`: the exchange's."""

    def __init__(
        self, core: Core, account: int, listings: Sequence[Listing], lives: Sequence[Life]
    ) -> None:
        self._core = core
        self._account = account
        self._listings = listings
        self._lives = lives
        self._before: dict[str, Halt] = {}
        self._after: dict[str, Halt] = {}
        self._quoted: set[str] = set()  # had an order at the venue
        self._true: set[str] = set()  # believed in the very touch that the exchange has

    async def look(self, seconds: float) -> None:
        """Until it is cancelled; the run ends after `seconds`."""
        await asyncio.sleep(max(0.0, seconds - PEACE_S))
        self._before = self._halts()
        while True:
            self._sample()
            await asyncio.sleep(SAMPLE_S)

    def end(self) -> None:
        self._after = self._halts()

    def _instruments(self) -> list[tuple[Any, Listing]]:
        """That trade, the session's and the exchange's, of an engine that has started."""
        session = self._lives[-1].session if self._lives else None
        if session is None or not session.stage.is_active:
            return []
        return [
            (instrument, listing)
            for instrument, listing in zip(session.instruments, self._listings, strict=True)
            if self.is_trading(listing)
        ]

    def is_trading(self, listing: Listing) -> bool:
        return self._core.state(listing.instrument.key) is MarketState.TRADING

    def _halts(self) -> dict[str, Halt]:
        return {one.key: Halt(one.bits) for one, _ in self._instruments()}

    def _sample(self) -> None:
        for one, listing in self._instruments():
            key = listing.instrument.key
            touch = self._core.markets[key].touch()
            if tuple(one.core.market()[3:]) == tuple(touch) or not (touch[0] and touch[2]):
                self._true.add(one.key)
            orders = self._core.open_orders(self._account, key)
            if any(OURS.fullmatch(order.client_order_id) for order in orders):
                self._quoted.add(one.key)

    @property
    def _excused(self) -> Halt:
        """A third of an address's weight is for snapshots; a bad stream may have cost it all."""
        errors = [account.snapshots.last_error for account in self._lives[-1].session.accounts]
        is_spent = any(word in error for error in errors for word in SPENT)
        return MARKET_HALTS | (Halt.BOOK | Halt.LINK) * is_spent

    def breaches(self, end_s: float, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        """`lines`: what the engine has said."""
        lasts = {
            (line["name"], line["slot"]): line["why"] for line in lines
            if line["event"] == "connection" and line["at_s"] < end_s - PEACE_S
        }
        if not self._before or any("status 418" in why for why in lasts.values()):
            return []  # not tried again since: a handshake's refusal names no time
        found = []
        for key, after in self._after.items():
            both = after & self._before.get(key, Halt.NONE)
            if bits := both & ~self._excused:
                found.append(f"{key} still stands aside after {PEACE_S:g} s of peace: {bits!s}")
            elif not both & Halt.BOOK and key not in self._true:
                found.append(f"{key} never saw the market as it is in {PEACE_S:g} s of peace")
            elif not after | self._before.get(key, Halt.NONE) and key not in self._quoted:
                found.append(f"{key} had no order at the venue in {PEACE_S:g} s of peace")
        return found
