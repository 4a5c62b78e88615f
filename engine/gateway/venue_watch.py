"""What a venue says of our instruments while we trade them: still trading, same grid?

Asked every few minutes. An instrument that is halted or gone must not be quoted until it trades
again; one whose tick or lot changed can't be quoted by a core that counts in the old ones, so the
session is told and that instrument waits for the next start.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from random import Random

from engine.errors import TickmakerError
from engine.gateway.listing import listed
from engine.gateway.rest import RestClient
from engine.venues.base import Adapter, Instrument

EVERY_S = 180.0


def _grid(instrument: Instrument) -> tuple[Decimal, Decimal]:
    """As numbers: "0.10" is no other tick than "0.1"."""
    return Decimal(instrument.tick), Decimal(instrument.lot)


class VenueWatch:
    """Of one account. `condition(number, True)`: not trading (HALT_VENUE of that core);
    `on_filters(number, instrument)` once, when tick or lot are others."""

    def __init__(
        self, rest: RestClient, adapter: Adapter, instruments: Mapping[int, Instrument],
        condition: Callable[[int, bool], None],
        on_filters: Callable[[int, Instrument], None], *,
        rng: Random, emit: Callable[..., None], every_s: float = EVERY_S,
    ) -> None:
        self._rest = rest
        self._adapter = adapter
        self._instruments = dict(instruments)
        self._condition = condition
        self._on_filters = on_filters
        self._rng = rng
        self._emit = emit
        self._every_s = every_s
        self._halted: set[int] = set()
        self._changed: set[int] = set()

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(self._every_s * (0.9 + 0.2 * self._rng.random()))
            try:
                await self.look()
            except TickmakerError as error:
                self._emit("warning", what=error.what, remedy=error.remedy)

    async def look(self) -> None:
        """One question for each kind of instrument. TickmakerError: it isn't known."""
        kinds: dict[str, dict[int, Instrument]] = {}
        for number, instrument in self._instruments.items():
            kinds.setdefault(instrument.venue, {})[number] = instrument
        for venue, ours in kinds.items():
            symbols = [one.symbol for one in ours.values()]
            told = await listed(self._rest, self._adapter, symbols, venue)
            for number, instrument in ours.items():
                self._compare(number, instrument, told.get(instrument.symbol))

    def _compare(self, number: int, ours: Instrument, told: Instrument | None) -> None:
        is_halted = told is None or not told.is_trading
        if is_halted != (number in self._halted):
            (self._halted.add if is_halted else self._halted.discard)(number)
            self._emit("venue", symbol=ours.symbol, state="halted" if is_halted else "trading")
            self._condition(number, is_halted)
        if told is None or number in self._changed:
            return
        if _grid(told) != _grid(ours):
            self._changed.add(number)
            self._on_filters(number, told)
