"""What comes out of the exchange's core, and what it asks of a market. Names: terms.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engine.exchange.book import BookOrder, Change, Quote, Side, Touch
from engine.exchange.commands import Place, Shock
from engine.exchange.instruments import Instrument
from engine.exchange.terms import (
    Exec,
    MarketState,
    MoneyWhy,
    Order,
    Reason,
    Status,
    TriggerStatus,
    Why,
)


@dataclass(slots=True, eq=False)
class Trigger:
    """A conditional order: `place` is sent when the price reaches `trigger_px_ticks`."""

    trigger_id: int
    place: Place  # client_order_id is the conditional order's own id text
    trigger_px_ticks: int
    is_rising: bool  # triggers at or above; else at or below
    by_mark: bool  # by the mark price; else by the last trade
    create_ns: int
    update_ns: int
    status: TriggerStatus = TriggerStatus.NEW
    order_id: int = 0  # of the order that it became
    locked_e8: int = 0  # spot, where the venue sets money aside for it
    refusal: Reason | None = None


# -- OUT OF THE CORE ---


class Refused(NamedTuple):
    reason: Reason


class Accepted(NamedTuple):
    """The command's own answer: the order, the orders cancelled, or the conditional order(s)."""

    order: Order | None = None
    orders: tuple[Order, ...] = ()
    trigger: Trigger | None = None
    triggers: tuple[Trigger, ...] = ()


class OrderUpdate(NamedTuple):
    """One execution report: the order as it stood then."""

    t_ns: int
    order: Order
    exec_type: Exec
    status: Status
    cum_lots: int
    cum_cost: int
    last_px_ticks: int = 0
    last_lots: int = 0
    trade_id: int = 0
    is_maker: bool = False
    fee_e8: int = 0
    fee_asset: str = ""
    realized_e8: int = 0
    why: Why = Why.NONE


class TriggerUpdate(NamedTuple):
    t_ns: int
    trigger: Trigger
    status: TriggerStatus


class BalanceNow(NamedTuple):
    """`change_e8`: by this event, fees included."""

    asset: str
    total_e8: int
    locked_e8: int
    change_e8: int


class PositionNow(NamedTuple):
    symbol: str
    lots: int
    cost: int
    realized_e8: int  # accumulated, fees apart


class AccountUpdate(NamedTuple):
    """Balances and position that changed, as they are now. Comes before the OrderUpdate of the
    fill that caused it."""

    t_ns: int
    account: int
    why: MoneyWhy
    balances: tuple[BalanceNow, ...]
    position: PositionNow | None = None


class MarkUpdate(NamedTuple):
    """Once a second a derivative: prices in ticks, the rate in 1e-8."""

    t_ns: int
    symbol: str
    mark_px_ticks: int
    index_px_ticks: int
    funding_rate_e8: int
    next_funding_ns: int


class InstrumentUpdate(NamedTuple):
    """State or tick of an instrument changed."""

    t_ns: int
    symbol: str
    state: MarketState


class KeyDeleted(NamedTuple):
    t_ns: int
    account: int
    api_key: str


# Market events: a market lists them in order, the core takes the fills out and passes them on.


class Trade(NamedTuple):
    """`is_public`: also printed on the trade stream. Orders are None where nobody is known."""

    t_ns: int
    symbol: str
    trade_id: int
    px_ticks: int
    qty_lots: int
    aggressor: Side
    maker: BookOrder | None
    taker: BookOrder | None
    is_public: bool = True


class DepthChange(NamedTuple):
    """All changes of one transaction; ids first..final, one a change."""

    t_ns: int
    symbol: str
    first_update_id: int
    final_update_id: int
    changes: list[Change]


class BestChange(NamedTuple):
    t_ns: int
    symbol: str
    update_id: int
    touch: Touch


class TapeFrame(NamedTuple):
    """A recorded frame, byte-faithful: its stream name, `{"stream":..,"data":..}`, its data.
    Bybit: `linear/` or `spot/` and the topic, then twice the whole message."""

    stream: str
    text: str
    data: str


class Notice(NamedTuple):
    """Something the operator should know; the server logs it."""

    is_error: bool
    text: str


MarketEvent = Trade | DepthChange | BestChange | TapeFrame | Notice
Output = (
    Refused | Accepted | OrderUpdate | TriggerUpdate | AccountUpdate | MarkUpdate
    | InstrumentUpdate | KeyDeleted | MarketEvent
)  # fmt: skip


class DepthSnapshot(NamedTuple):
    update_id: int
    bids: list[Quote]
    asks: list[Quote]


class StaleBook(NamedTuple):
    """A book as it was once, in the ticks of then."""

    instrument: Instrument
    book: DepthSnapshot


class Market(Protocol):
    """One instrument's matching, with whatever moves it in the background."""

    instrument: Instrument
    stale: StaleBook | None  # a fault's: what snapshot answers tell, and nothing else hears of

    def advance(self, now_ns: int) -> None:
        """Run background events due by `now_ns`."""

    def next_due_ns(self) -> int:
        """When `advance` next has something to do; NEVER_NS: not by itself."""

    def on_public_subscriber(self, now_ns: int) -> None:
        """Somebody listens: a tape starts now."""

    def would_take(self, order: BookOrder) -> bool: ...

    def fillable_lots(self, order: BookOrder) -> int: ...

    def place(
        self, order: BookOrder, rests: bool, now_ns: int, may_meet_own: bool = True
    ) -> BookOrder | None:
        """Match `order`; rest what is left when `rests`. Without `may_meet_own` matching stops in
        front of a resting order of the same account, which is returned: nothing rests then, and
        the caller decides and calls again with what is left."""

    def cancel(self, order_id: int, now_ns: int) -> bool: ...

    def shrink(self, order_id: int, qty_lots: int, now_ns: int) -> bool:
        """Take `qty_lots` off a resting order; its place in the queue stays."""

    def disturb(self, shock: Shock, now_ns: int) -> bool:
        """False: this market can't (a tape is what it is)."""

    def reset_sequence(self, now_ns: int) -> None:
        """Update ids start anew."""

    def can_set_tick(self, factor: int) -> bool:
        """Whether a tick `factor` times finer is possible here."""

    def set_tick(self, factor: int, now_ns: int) -> None:
        """`instrument` gets it, the book with it; possible, and no user's order rests."""

    def pause(self, for_ns: int) -> None:
        """Time stood still for so long: what is due in the background is due so much later."""

    def touch(self) -> Touch: ...

    def last_px_ticks(self) -> int:
        """Of the last trade; 0 before the first."""

    def snapshot(self, count: int) -> DepthSnapshot: ...

    def drain(self) -> Iterable[MarketEvent]:
        """Events since the last call, oldest first."""


def stale_snapshot(market: Market, count: int) -> DepthSnapshot | None:
    """None: answers tell the truth, as ever since the tick changed."""
    stale = market.stale
    if stale is None or stale.instrument is not market.instrument:
        return None
    update_id, bids, asks = stale.book
    return DepthSnapshot(update_id, bids[:count], asks[:count])


def told_snapshot(market: Market, count: int) -> DepthSnapshot:
    """What an answer that is a snapshot tells; matching and streams read `market.snapshot`."""
    return stale_snapshot(market, count) or market.snapshot(count)
