"""What we believe of one instrument, what its venue says, and what follows: the words of both."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.venues.base import OrderRow, TradeRow
from fastcore.types import OrderState, Side

OURS = "tm"  # every client id of ours begins so, of whatever run


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order of this run that the core still tracks (core.numbers()["own"])."""

    intent_id: int
    client_id: str
    venue_order_id: int  # -1: not told yet
    side: Side
    state: OrderState
    px_ticks: int
    qty_lots: int
    cum_qty_lots: int  # booked
    sent_ns: int  # monotonic: of the verb that awaits its answer
    placed_ns: int  # of the order itself: cancels and queries sent since prove nothing of it


@dataclass(frozen=True, slots=True)
class Belief:
    """One core's, at one moment: after all of what it is compared with was told, so that an order
    that we hold for dead was dead before, or died meanwhile. (A cancel of it does no harm.)"""

    symbol: str
    client_prefix: str  # of this run: tm<run_tag>-<strategy>-
    position_lots: int
    orders: Sequence[OwnOrder]
    is_quiet: bool  # halted, nothing on its way: what the venue says can be compared exactly
    booked: Container[tuple[int, Side]]  # (trade id, our side): both sides of one may be ours
    base_fees_e8: int = 0  # spot: what the venue took of the base asset, of the fills booked
    lot_e8: int = 1  # with it: the venue's position is smaller by so many lots, rounded up
    carried_e8: int = 0  # spot: what was held beside the opening's lots
    fills: int = 0  # booked: each one's fee may have been rounded up to 1e-8


@dataclass(frozen=True, slots=True)
class Told:
    """What the venue said, in the order asked: open orders, queries, trades, position: a fill that
    comes meanwhile is told of as missing, never passed over. None: not asked."""

    open_orders: Sequence[OrderRow] | None
    orders: Sequence[OrderRow]  # by client id, of own orders in doubt and of trades' orders
    absent: Sequence[str]  # client ids, or the venue's ids, that it answered it doesn't know
    trades: Sequence[TradeRow] | None  # since before the last that is booked; oldest first
    position_lots: int | None
    at_ns: int  # monotonic: when the first of it was asked for


class Owner(StrEnum):
    RUN = "run"  # an order of this run
    EARLIER = "earlier"  # ours, of an earlier run
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class BookFill:
    """An execution that we have not booked."""

    row: TradeRow
    intent_id: int  # -1 unless of this run
    owner: Owner


@dataclass(frozen=True, slots=True)
class SettleOrder:
    """What a query says of an order of this run."""

    intent_id: int
    state: OrderState  # REJECTED with absent: the venue never had it
    venue_order_id: int
    px_ticks: int
    qty_lots: int
    cum_qty_lots: int
    is_absent: bool


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """It should not rest there: an earlier run's, or a stranger's where the policy says so."""

    row: OrderRow
    owner: Owner


@dataclass(frozen=True, slots=True)
class AskOrder:
    """Fate or owner unknown: query by client id, or by the venue's id where we have none."""

    client_id: str
    venue_order_text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not agreed yet, and nothing to do about it but to ask again: what is still missing."""

    what: str


@dataclass(frozen=True, slots=True)
class Diverged:
    """What can't be explained; a halt until it is."""

    what: str
    # A fill between two questions of one reading looks the same: the next reading knows better.
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class Agreed:
    """Nothing is left to do, and the position is the same on both sides."""

    position_lots: int


Action = BookFill | SettleOrder | CancelOrder | AskOrder | Waiting | Diverged | Agreed
