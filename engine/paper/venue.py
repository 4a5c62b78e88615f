"""The live venue, as far as everybody may see it: instruments, books, time; nothing is signed."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from engine import clock, venues
from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.accounts import FeeRates
from engine.exchange.instruments import E8, Grid, Instrument, Kind
from engine.exchange.rules import Rules, rules_of
from engine.exchange.tape.grids import TICKS_MAX, exchange_of
from engine.exchange.tape.live import LiveMarket, streams_of
from engine.gateway.budget import Hosts
from engine.gateway.clocksync import ClockSync
from engine.gateway.rest import RestClient
from engine.venues import base
from engine.venues.base import Call, ConnPlan
from fastcore.core_config import SYNC_RULES

T = TypeVar("T")
NOBODY = "nobody"  # where an adapter wants a key; never sent, as no call of ours is signed
PURSE_E8_MIN = 100_000 * E8


@dataclass(frozen=True)
class Wanted:
    """One instrument as the configuration wants it."""

    venue: str  # of the codec: bybit_linear
    symbol: str
    maker_bp: float
    taker_bp: float
    position_lots_max: int

    @property
    def key(self) -> str:
        return exchange_of(self.venue)[1] + self.symbol

    @property
    def fees(self) -> FeeRates:
        return FeeRates(round(self.maker_bp * 100), round(self.taker_bp * 100))


@dataclass(frozen=True)
class Place:
    """Where the account is, as AccountConfig has it."""

    venue: str
    rest_url: str
    ws_url: Mapping[str, str]
    ca_file: Path | None
    recv_window_ms: int
    exposure_e8_max: int
    dead_man_s: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Place":
        ca_file = None if told["ca_file"] is None else Path(told["ca_file"])
        return cls(told["venue"], told["rest_url"], told["ws_url"], ca_file,
                   told["recv_window_ms"], told["exposure_e8_max"])  # fmt: skip


class PublicVenue:
    """Calls that need no key, on a client of their own."""

    def __init__(self, place: Place, rng: Random) -> None:
        self.place = place
        self.rng = rng
        self.adapter = venues.adapter(place, NOBODY, NOBODY)
        budget = Hosts().budget(place.rest_url, self.adapter)
        self._rest = RestClient(
            self.adapter, place.rest_url, budget, rng=rng, ca_file=place.ca_file
        )
        self.clock = ClockSync(
            self._rest, self.adapter, self._apply_clock, rng=rng, emit=lambda *_, **__: None
        )
        self.skew_ns = 0  # of the venue's clock, to ours

    def _apply_clock(self, offset_ns: int) -> None:
        self.skew_ns = offset_ns - clock.wall_minus_monotonic_ns()

    async def open(self) -> None:
        await self._rest.open()
        await self.clock.sync()

    async def close(self) -> None:
        await self._rest.close()

    async def call(self, call: Call[T], *, tries: int | None = None) -> T:
        return await self._rest.call(public(call), tries=tries)

    async def raw(self, call: Call[Any]) -> bytes:
        return await self._rest.raw(public(call))

    async def instruments(self, wanted: Sequence[Wanted]) -> list[base.Instrument]:
        """In the order of `wanted`; TickmakerError for one that is not traded."""
        told: dict[tuple[str, str], base.Instrument] = {}
        for venue in dict.fromkeys(one.venue for one in wanted):
            symbols = [one.symbol for one in wanted if one.venue == venue]
            found = await self.call(self.adapter.instruments(symbols, venue))
            told |= {(venue, symbol): row for symbol, row in found.items()}
        for one in wanted:
            row = told.get((one.venue, one.symbol))
            if row is None or not row.is_trading:
                raise TickmakerError(
                    f"{one.symbol} is not traded at {one.venue} now",
                    "Correct the configuration, or wait until the venue trades it.", EXIT_USAGE,
                )  # fmt: skip
        return [told[one.venue, one.symbol] for one in wanted]


def public(call: Call[T]) -> Call[T]:
    """The same; a call that needs a key is our bug."""
    if call.is_signed or call.needs_key or call.method != "GET":
        raise AssertionError(f"{call.method} {call.path} is not public")
    return call


# -- WHAT THE LOCAL EXCHANGE IS MADE OF ---


def market_of(wanted: Wanted, traded: base.Instrument, plan: ConnPlan) -> LiveMarket:
    """The venue's instrument with the venue's rules; TickmakerError where money isn't exact."""
    kind = Kind.SPOT if wanted.venue.endswith("spot") else Kind.LINEAR
    lot = Decimal(traded.lot)
    instrument = Instrument(
        traded.symbol, traded.base, traded.quote, _grid(traded.tick), _grid(traded.lot),
        min_notional=math.ceil(traded.notional_min), qty_lots_max=int(traded.qty_max / lot),
        px_ticks_max=TICKS_MAX, qty_lots_min=max(1, math.ceil(traded.qty_min / lot)), kind=kind,
        key=wanted.key,
    )  # fmt: skip
    try:
        _ = instrument.notional_e8, instrument.lot_e8
    except ValueError as error:
        raise TickmakerError(
            f"{wanted.key} can't be traded on paper: {error}", "Trade another.", EXIT_USAGE
        ) from None
    prefix = exchange_of(wanted.venue)[1]
    own = prefix + wanted.symbol if prefix else wanted.symbol.lower() + "@"
    streams = streams_of(plan.url, [json.loads(text) for text in plan.texts], prefix)
    mine = [name for name in streams if _is_of(name, own, bool(prefix))]
    return LiveMarket(instrument, SYNC_RULES[wanted.venue], tuple(mine))


def _is_of(name: str, own: str, is_topic: bool) -> bool:
    if not is_topic:
        return name.startswith(own)
    product, _, symbol = own.partition("/")
    return name.startswith(f"{product}/") and name.endswith(f".{symbol}")


def _grid(text: str) -> Grid:
    """Decimals as the venue writes them: its frames show as many."""
    return Grid(Decimal(text), len(text.partition(".")[2]))


def paper_rules(
    place: Place, wanted: Sequence[Wanted], traded: Sequence[base.Instrument]
) -> Rules:
    """The venue's, with a purse that lets the configuration trade: of each quote asset twice the
    account's exposure, of spot's base assets half the position limit. No funding."""
    quote_e8 = max(2 * place.exposure_e8_max, PURSE_E8_MIN)
    purse = {row.quote: quote_e8 for row in traded}
    for one, row in zip(wanted, traded, strict=True):
        if one.venue.endswith("spot"):
            held_e8 = int(Decimal(one.position_lots_max // 2) * Decimal(row.lot) * E8)
            purse[row.base] = max(purse.get(row.base, 0), held_e8)
    return replace(rules_of(place.venue), purse=purse, funding_rate_e8=0)
