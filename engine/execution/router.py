"""Where a taker gets the best price: one walk over several venues' books, fees included. Pure.

What a level costs a buyer is price x (1 + fee), what it brings a seller price x (1 - fee). The
levels of all venues are taken from the best such price on, so any other choice of the same size
from the same books costs as much or more; equal ones go by the venue's name. Arithmetic is exact:
prices and quantities are whole numbers of the finest decimal place in use, so neither a tie nor a
total depends on rounding.

What is left out, and why, stands in the plan: levels beyond the collar around the reference mid,
what our limits leave no room for, and orders under the venue's smallest size or notional. Where a
venue's share is too small for it, every choice of venues is walked, and the one that fills most is
taken, of those the cheapest. (Giving a venue more than its prices deserve, so that its order is
large enough, is not considered; neither is leaving a better price so that coarse lots fit.)
Reduce-only takes no more anywhere than closes the position that is held there.

A plan is of the books as they stand. Each slice goes out as one IOC limit order at the worst
level it takes (core.take() of the venue's core): what is gone by then stays unfilled, and is
routed anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from typing import Any, NamedTuple

from engine.venues.base import Instrument
from fastcore.types import Side

PPM = 1_000_000
PPM_PLACES = 6
VENUES_MAX = 8  # as many choices as 2 to that power
TOO_SMALL_A_SLICE = "slice_max is under its lot"
# Takes reduce-only orders of any notional (error -4164: "unless you choose reduce only").
NO_NOTIONAL_TO_REDUCE = frozenset({"binance_usdm"})
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
    px: Decimal
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
        return {
            "side": self.side.name,
            "wanted": decimal_text(self.wanted),
            "unfilled": decimal_text(self.unfilled),
            "reference": decimal_text(self.reference),
            "collar_ppm": self.collar_ppm,
            "reduce_only": self.is_reduce_only,
            "slices": [
                {
                    "venue": one.venue,
                    "qty": decimal_text(one.qty),
                    "qty_lots": one.qty_lots,
                    "px": decimal_text(one.px),
                    "px_ticks": one.px_ticks,
                    "notional": decimal_text(one.notional),
                    "fee": decimal_text(one.fee),
                }
                for one in self.slices
            ],
            "why_not": dict(self.why_not),
        }


@dataclass(frozen=True, slots=True)
class _Level:
    """A level as the taker sees it. Compared by what it costs, best first."""

    cost: int  # a base unit's, fee included; a seller's proceeds are negative costs
    venue: int  # index by name
    depth: int
    px_ticks: int
    qty_lots: int


class _Share:
    """What one venue is given, in one walk."""

    def __init__(self, venue: Venue, places: "_Places", room_lots: int, cap: str) -> None:
        self.venue = venue
        self.lot = places.qty_units(Decimal(venue.instrument.lot))
        self.tick = places.px_units(Decimal(venue.instrument.tick))
        self.room_lots, self.cap = room_lots, cap
        self.takes: list[tuple[int, int]] = []  # (px_ticks, qty_lots), as taken
        self.why = ""

    @property
    def qty_lots(self) -> int:
        return sum(lots for _, lots in self.takes)

    def take(self, level: _Level, wanted: int) -> int:
        """Units taken of a level: whole lots of what is wanted and there is room for."""
        left = self.room_lots - self.qty_lots
        lots = min(level.qty_lots, left, wanted // self.lot)
        if level.qty_lots > left and wanted // self.lot > left:
            self.why = self.cap
        if lots <= 0:
            return 0
        self.takes.append((level.px_ticks, lots))
        return lots * self.lot


# -- THE WALK ---


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
    argument that makes no sense, or one name twice."""
    _check(qty, venues, reference, collar_ppm, slice_max)
    usable = sorted((venue for venue in venues if venue.is_usable), key=lambda venue: venue.name)
    why_not = {venue.name: venue.why_not or "unusable" for venue in venues if not venue.is_usable}
    places = _Places.of(venues, qty, slice_max, reference)
    walk = _Walk(side, places, qty, reference, collar_ppm, slice_max, is_reduce_only)
    shares, unfilled = walk.over(usable)
    too_small = walk.too_small(shares)
    if too_small:
        shares, unfilled = walk.best_of(usable)
        chosen = {share.venue.name for share in shares}
        for venue in usable:
            if venue.name not in chosen:
                why_not[venue.name] = too_small.get(venue.name, "leaves others too little")
    why_not |= {share.venue.name: share.why for share in shares if share.why}
    slices = tuple(
        _slice(share, side, takes, places) for share in shares for takes in walk.cut(share)
    )
    left = _decimal(unfilled, places.qty)
    return Plan(side, qty, slices, left, reference, collar_ppm, is_reduce_only, why_not)


def _check(
    qty: Decimal, venues: Sequence[Venue], reference: Decimal, collar_ppm: int, slice_max: Decimal
) -> None:
    numbers = {"qty": qty, "reference": reference, "slice_max": slice_max}
    for name, value in numbers.items():
        if not value.is_finite() or value <= 0:
            raise ValueError(f"{name} must be above 0, was {value}")
    if not 0 <= collar_ppm < PPM:
        raise ValueError(f"collar_ppm must be 0 to {PPM - 1}, was {collar_ppm}")
    if len({venue.name for venue in venues}) != len(venues) or len(venues) > VENUES_MAX:
        raise ValueError(f"Expected every venue once, and at most {VENUES_MAX}")
    if len({(venue.instrument.base, venue.instrument.quote) for venue in venues}) > 1:
        raise ValueError("Expected one asset, in one quote asset")
    if any(not -PPM < venue.taker_ppm < PPM for venue in venues):
        raise ValueError("taker_ppm must be a part of what is traded")


class _Places(NamedTuple):
    """Decimal places of which everything is a whole number."""

    px: int
    qty: int

    @classmethod
    def of(
        cls, venues: Sequence[Venue], qty: Decimal, slice_max: Decimal, reference: Decimal
    ) -> "_Places":
        prices, sizes = [reference], [qty, slice_max]
        for venue in venues:
            rules = venue.instrument
            prices.append(Decimal(rules.tick))
            sizes += [Decimal(rules.lot), rules.qty_min, rules.qty_max]
        return cls(max(map(_places_of, prices)), max(map(_places_of, sizes)))

    def px_units(self, number: Decimal) -> int:
        return _units(number, self.px)

    def qty_units(self, number: Decimal) -> int:
        return _units(number, self.qty)


class _Walk:
    """What is asked for, and how a choice of venues fares."""

    def __init__(
        self, side: Side, places: _Places, wanted: Decimal, reference: Decimal, collar_ppm: int,
        slice_max: Decimal, is_reduce_only: bool,
    ) -> None:  # fmt: skip
        self._side = side
        self._sign = 1 if side == Side.BUY else -1
        self._places = places
        self._wanted = places.qty_units(wanted)
        # The worst price in millionths, fees aside: the collar is against a bad book, not a fee.
        self._limit = places.px_units(reference) * (PPM + self._sign * collar_ppm)
        self._slice_max = places.qty_units(slice_max)
        self._is_reduce_only = is_reduce_only

    def over(self, venues: Sequence[Venue]) -> tuple[list[_Share], int]:
        """(shares, unfilled)."""
        shares = [_Share(venue, self._places, *self._room_of(venue)) for venue in venues]
        levels: list[_Level] = []
        for index, share in enumerate(shares):
            levels += self._levels(index, share)
        levels.sort(key=lambda level: (level.cost, level.venue, level.depth))
        left = self._wanted
        for level in levels:
            left -= shares[level.venue].take(level, left)
        for share in shares:
            if left < share.lot and share.why != TOO_SMALL_A_SLICE:
                share.why = "the rest is under its lot" if left else ""  # else no need for more
        return shares, left

    def best_of(self, venues: Sequence[Venue]) -> tuple[list[_Share], int]:
        """Of the choices without an order that is too small: what fills most, then what costs
        least, then fewer venues, then by name."""
        best: tuple[list[_Share], int] = [], self._wanted
        key = (self._wanted, 0)
        for count in range(1, len(venues) + 1):
            for some in combinations(venues, count):
                shares, unfilled = self.over(some)
                cost = sum(self._cost_of(share) for share in shares)
                if (unfilled, cost) < key and not self.too_small(shares):
                    best, key = (shares, unfilled), (unfilled, cost)
        return best

    def too_small(self, shares: Sequence[_Share]) -> dict[str, str]:
        """Venues whose share would be refused there, and why."""
        found: dict[str, str] = {}
        for share in shares:
            rules = share.venue.instrument
            has_no_minimum = self._is_reduce_only and rules.venue in NO_NOTIONAL_TO_REDUCE
            for takes in self.cut(share):
                size = sum(lots for _, lots in takes) * share.lot
                px = takes[-1][0] * share.tick  # the limit, by which the venue counts
                qty = _decimal(size, self._places.qty)
                worth = _decimal(size * px, self._places.qty + self._places.px)
                if qty < rules.qty_min:
                    found[share.venue.name] = f"{decimal_text(qty)} is under the smallest order"
                elif worth < rules.notional_min and not has_no_minimum:
                    found[share.venue.name] = (
                        f"{decimal_text(worth)} is under the smallest notional"
                    )
        return found

    def cut(self, share: _Share) -> list[list[tuple[int, int]]]:
        """A share as orders of like size, none above slice_max or the venue's largest: a
        remainder of its own could be too small."""
        largest = self._places.qty_units(share.venue.instrument.qty_max)
        lots_max = min(self._slice_max, largest) // share.lot
        count = -(-share.qty_lots // max(lots_max, 1))
        sizes = [share.qty_lots * (i + 1) // count - share.qty_lots * i // count
                 for i in range(count)]  # fmt: skip
        takes = list(share.takes)
        orders: list[list[tuple[int, int]]] = []
        for size in sizes:
            order: list[tuple[int, int]] = []
            while size > 0:
                px_ticks, lots = takes.pop(0)
                part = min(lots, size)
                order.append((px_ticks, part))
                size -= part
                if lots > part:
                    takes.insert(0, (px_ticks, lots - part))
            orders.append(order)
        return orders

    def _levels(self, index: int, share: _Share) -> list[_Level]:
        """Of one book within the collar; costs rise with depth."""
        venue = share.venue
        fee = PPM + self._sign * venue.taker_ppm
        found: list[_Level] = []
        book = venue.asks if self._side == Side.BUY else venue.bids
        share.why = "no more in the book"
        if book and self._slice_max < share.lot:
            share.why = TOO_SMALL_A_SLICE
            return found
        before = self._sign * book[0][0] if book else 0
        for depth, (px_ticks, qty_lots) in enumerate(book):
            if self._sign * px_ticks < before or px_ticks <= 0 or qty_lots < 0:
                raise ValueError(f"{venue.name}: Expected levels, best first")
            before = self._sign * px_ticks
            px = self._sign * px_ticks * share.tick
            if px * PPM > self._sign * self._limit:
                share.why = "beyond the collar"
                break
            found.append(_Level(px * fee, index, depth, px_ticks, qty_lots))
        return found

    def _room_of(self, venue: Venue) -> tuple[int, str]:
        """(most lots, what caps them)."""
        room = max(venue.room_lots, 0)
        if not self._is_reduce_only:
            return room, "no more room by the limits"
        closable = max(-self._sign * venue.position_lots, 0)
        if room < closable:
            return room, "no more room by the limits"
        return closable, "nothing more to reduce"

    def _cost_of(self, share: _Share) -> int:
        fee = PPM + self._sign * share.venue.taker_ppm
        units = sum(px_ticks * lots for px_ticks, lots in share.takes)
        return self._sign * units * share.tick * share.lot * fee


# -- NUMBERS ---


def _slice(
    share: _Share, side: Side, takes: list[tuple[int, int]], places: _Places
) -> Slice:
    lots = sum(count for _, count in takes)
    notional = sum(px_ticks * count for px_ticks, count in takes) * share.tick * share.lot
    px_ticks = takes[-1][0]
    return Slice(
        share.venue.name,
        side,
        lots,
        px_ticks,
        _decimal(lots * share.lot, places.qty),
        _decimal(px_ticks * share.tick, places.px),
        _decimal(notional, places.px + places.qty),
        _decimal(notional * share.venue.taker_ppm, places.px + places.qty + PPM_PLACES),
    )


def _places_of(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"Expected a finite number, was {number}")
    return max(-exponent, 0)


def _units(number: Decimal, places: int) -> int:
    """Without a context's rounding: its digits, and as many zeros as it takes."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    units: int = int("".join(map(str, digits))) * 10 ** (exponent + places)
    return -units if sign else units


def _decimal(units: int, places: int) -> Decimal:
    return Decimal(f"{units}e-{places}")


def decimal_text(value: Decimal) -> str:
    """Without an exponent, or zeros that say nothing."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
