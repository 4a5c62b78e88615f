"""Where a taker gets the best price: one walk over several venues' books, fees included. Pure.

Signatures first; the code follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.venues.base import Instrument
from fastcore.types import Side

Levels = Sequence[tuple[int, int]]  # (px_ticks, qty_lots), best first


@dataclass(frozen=True, slots=True)
class Venue:
    """One venue's book of the asset, and what may be done there. `name` is unique in a call and
    names the core (InstrumentConfig.key)."""

    name: str
    instrument: Instrument
    bids: Levels
    asks: Levels
    taker_ppm: int  # of a trade's worth; a rebate is negative
    room_lots: int  # that limits allow to take now, on the side asked for
    position_lots: int = 0  # signed: what reduce-only may close
    is_usable: bool = True
    why_not: str = ""  # where it isn't


@dataclass(frozen=True, slots=True)
class Slice:
    """One IOC limit order. Costs as the books stand: exact, in the quote asset."""

    venue: str
    side: Side
    qty_lots: int
    px_ticks: int  # the limit: the worst level that it takes
    qty: Decimal  # base units
    notional: Decimal  # of the levels taken
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    side: Side
    wanted: Decimal
    slices: tuple[Slice, ...]
    unfilled: Decimal  # of what is wanted: no book, room or collar for it
    reference: Decimal
    collar_ppm: int
    is_reduce_only: bool
    why_not: Mapping[str, str] = field(default_factory=dict)  # venues: why not (more) there

    def to_json(self) -> dict[str, Any]:
        """For the log line `{"event":"plan", ...}`: numbers as decimal texts."""
        raise NotImplementedError


def route(
    side: Side,
    qty: Decimal,
    venues: Sequence[Venue],
    *,
    reference: Decimal,
    collar_ppm: int,
    slice_max: Decimal,
    is_reduce_only: bool = False,
) -> Plan:
    """`qty` base units at the best fee-adjusted prices that the books hold, none beyond
    `collar_ppm` of the reference mid. `slice_max`: most base units an order. ValueError: an
    argument that makes no sense, or books of one name twice."""
    raise NotImplementedError
