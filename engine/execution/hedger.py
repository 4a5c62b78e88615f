"""What a maker's fills leave open, taken where it costs least: when, how much and where. Pure.

Several instruments of one asset make up one position, in base units: those whose fills are to be
hedged (`of`) and those where that is done (`on`), since what was taken there is the hedge. Inside
`band` about the target nothing is done; outside, as much as brings it back to `to` from it.

What may yet happen by itself counts both ways. An order that takes, and one whose fate is not
known, may fill to its full size or not at all: the position is an interval, and only what is
outside whichever of them come true is hedged. So the same position is never hedged twice, and no
action goes past the target, whatever becomes of those before it.

Fail closed: where an `of` position can't be known, nothing is done. A core that is halted or has
no fresh, two-sided book is no place to take, and says why; what is on its way there counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median

from engine.config import HedgeConfig, InstrumentLimits
from engine.execution.router import Levels, Plan, Venue, route
from engine.venues.base import Instrument
from fastcore.core_config import VENUES
from fastcore.types import Halt, Side

# Fills may have happened that we have not heard of: what works may be filled, or part of it.
UNHEARD = Halt.RECONCILING | Halt.USER_STREAM | Halt.TRADE_STREAM | Halt.JOURNAL
SILENT = "its user stream can't be shown to be alive"
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One of ours that may fill."""

    side: Side
    leaves_lots: int
    px_ticks: int
    is_take: bool
    is_doubted: bool  # its fate is not known


@dataclass(frozen=True, slots=True)
class Leg:
    """One instrument, as its core stands now."""

    key: str  # InstrumentConfig.key
    instrument: Instrument
    limits: InstrumentLimits
    taker_ppm: int
    bits: Halt
    position_lots: int
    fees_base_e8: int  # paid in the base asset, and gone
    own: Sequence[OpenOrder]
    bids: Levels
    asks: Levels
    book_ns: int  # when the book last moved
    is_silent: bool = False  # LINK is raised by doubt of the user stream
    is_diverged: bool = False  # the venue holds what nothing explains
    aside: str = ""  # why it is left alone for now, whatever its core says

    @property
    def lot(self) -> Decimal:
        return Decimal(self.instrument.lot)

    @property
    def position(self) -> Decimal:
        """What it holds, in base units."""
        return self.position_lots * self.lot - Decimal(self.fees_base_e8).scaleb(-8)

    @property
    def is_unheard(self) -> bool:
        return bool(self.bits & UNHEARD) or self.is_silent

    def on_its_way(self, side: Side) -> Decimal:
        """What may be filled by itself, taken for filled in full."""
        lots = sum(
            order.leaves_lots for order in self.own
            if order.side == side and (order.is_take or order.is_doubted or self.is_unheard)
        )  # fmt: skip
        return lots * self.lot


@dataclass(frozen=True, slots=True)
class Decision:
    """`plan`: what is to be done, if anything. `why`: what stands against it, or against knowing
    (then `net` is only what is booked)."""

    net: Decimal
    low: Decimal  # if all that is on its way sells in full, and nothing buys
    high: Decimal
    is_known: bool
    is_within: bool  # whatever becomes of what is on its way
    plan: Plan | None = None
    why: str = ""


def decide(config: HedgeConfig, legs: Sequence[Leg], now_ns: int) -> Decision:
    """`legs`: each instrument of `of` and `on` once."""
    net = sum((leg.position for leg in legs), Decimal(0))
    low = net - sum((leg.on_its_way(Side.SELL) for leg in legs), Decimal(0))
    high = net + sum((leg.on_its_way(Side.BUY) for leg in legs), Decimal(0))
    if unknown := _not_known(config, legs):
        return Decision(net, low, high, is_known=False, is_within=False, why=_joined(unknown))
    side, wanted = wanted_of(config, low, high)
    if not wanted:
        within = low - config.target >= -config.band and high - config.target <= config.band
        return Decision(net, low, high, is_known=True, is_within=within)
    places = [leg for leg in legs if leg.key in config.on]
    venues = [_venue(leg, side, now_ns) for leg in places]
    mids = [mid for leg in legs if (mid := _mid(leg, now_ns))]
    if not any(venue.is_usable for venue in venues):
        why = _joined({venue.name: venue.why_not for venue in venues})
        return Decision(net, low, high, is_known=True, is_within=False, why=why)
    plan = route(
        side, wanted, venues, reference=median(mids), collar_ppm=config.collar_ppm,
        slice_max=config.slice_max,
    )  # fmt: skip
    why = "" if plan.slices else _joined(plan.why_not)
    return Decision(net, low, high, is_known=True, is_within=False, plan=plan, why=why)


def wanted_of(config: HedgeConfig, low: Decimal, high: Decimal) -> tuple[Side, Decimal]:
    """What is outside the band whatever comes true, and a little more: to `to` from the target.
    0: nothing."""
    if low - config.target > config.band:
        return Side.SELL, low - config.target - config.to
    if config.target - high > config.band:
        return Side.BUY, config.target - high - config.to
    return Side.BUY, Decimal(0)


def _not_known(config: HedgeConfig, legs: Iterable[Leg]) -> dict[str, str]:
    """Whose position can't be known, and why. Of an instrument that hedges only it is what was
    booked, and what is on its way there: a venue that is away must not end hedging at others."""
    found = {}
    for leg in legs:
        if leg.is_diverged:
            found[leg.key] = "holds what nothing explains"
        elif leg.is_unheard and leg.key in config.of:
            found[leg.key] = f"position not known: {_names(leg.bits & UNHEARD) or SILENT}"
    return found


# -- WHERE IT MAY BE TAKEN ---


def _venue(leg: Leg, side: Side, now_ns: int) -> Venue:
    """As the router wants it: what the core's gate would deny anyway is left out."""
    why_not = _why_not(leg, now_ns)
    levels, closed = ([], "") if why_not else _levels(leg, side)
    why_not = why_not or closed
    tick, rules, limits = Decimal(leg.instrument.tick), leg.instrument, leg.limits
    px_ticks = max([px for px, _ in levels], default=1)
    lots_max = min(limits.qty_lots_max, limits.notional_max // px_ticks)
    traded = replace(
        rules,
        qty_min=max(rules.qty_min, limits.qty_lots_min * leg.lot),
        qty_max=min(rules.qty_max, lots_max * leg.lot),
        notional_min=max(rules.notional_min, limits.notional_min * tick * leg.lot),
    )
    return Venue(
        name=leg.key, instrument=traded, bids=levels if side == Side.SELL else [],
        asks=levels if side == Side.BUY else [], taker_ppm=leg.taker_ppm,
        room_lots=_room_lots(leg, side, px_ticks), position_lots=leg.position_lots,
        is_usable=not why_not, why_not=why_not,
    )  # fmt: skip


def _why_not(leg: Leg, now_ns: int) -> str:
    if leg.bits:
        return f"halted: {_names(leg.bits)}"
    if not leg.bids or not leg.asks:
        return "no two-sided book"
    if not _is_fresh(leg, now_ns):
        return f"its book is {(now_ns - leg.book_ns) // NS_PER_MS} ms old"
    if any(order.is_take for order in leg.own):
        return "an order is on its way there"
    return leg.aside


def _levels(leg: Leg, side: Side) -> tuple[list[tuple[int, int]], str]:
    """Those that the gate lets an order reach: within its collar, and not up to our own quotes."""
    sign = 1 if side == Side.BUY else -1
    levels = leg.asks if side == Side.BUY else leg.bids
    twice_mid = leg.bids[0][0] + leg.asks[0][0]
    quotes = [sign * order.px_ticks for order in leg.own if order.side != side]
    wall = min(quotes, default=None)
    inside = [
        (px, lots) for px, lots in levels
        if sign * (2 * px - twice_mid) <= 2 * leg.limits.price_collar_ticks
    ]  # fmt: skip
    free = [(px, lots) for px, lots in inside if wall is None or sign * px < wall]
    if free:
        return free, ""
    return [], "our own quote stands there" if inside else "beyond limits.price_collar_ticks"


def _room_lots(leg: Leg, side: Side, px_ticks: int) -> int:
    """What position and exposure leave with every order of the side filled; spot sells no more
    than it has."""
    sign = 1 if side == Side.BUY else -1
    open_lots = sum(order.leaves_lots for order in leg.own if order.side == side)
    mark = max(px_ticks, leg.asks[0][0] if leg.asks else 1)
    most = min(leg.limits.position_lots_max, leg.limits.exposure_max // mark)
    room = most - sign * leg.position_lots - open_lots
    if side == Side.SELL and not VENUES[leg.instrument.venue].has_reduce_only:
        room = min(room, int(leg.position // leg.lot) - open_lots)
    return max(room, 0)


# -- THE REFERENCE ---


def _is_fresh(leg: Leg, now_ns: int) -> bool:
    return now_ns - leg.book_ns <= leg.limits.book_age_ms_max * NS_PER_MS


def _mid(leg: Leg, now_ns: int) -> Decimal | None:
    """Of a book that may be believed. The reference is the median of all of them, so that one bad
    book among three has no say; that of two is their mean."""
    if leg.bits & (Halt.BOOK | Halt.FEED_STALE) or not leg.bids or not leg.asks:
        return None
    if not _is_fresh(leg, now_ns):
        return None
    return Decimal(leg.bids[0][0] + leg.asks[0][0]) * Decimal(leg.instrument.tick) / 2


def _names(bits: Halt) -> str:
    return "+".join(one.name for one in Halt if one.value and bits & one and one.name)


def _joined(told: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in told.items())
