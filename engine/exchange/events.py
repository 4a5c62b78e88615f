"""What goes into the exchange's core and what comes out of it; no venue's words in here.

Times are UTC nanoseconds, prices ticks, quantities lots, money 1e-8 of its asset. `symbol` is the
core's key of an instrument (Instrument.key): the venue's own name, except where a venue uses one
name for several products.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from engine.exchange.book import BookOrder, Change, Quote, Side, Touch
from engine.exchange.instruments import Instrument

NEVER_NS = 1 << 62


class OrderType(Enum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class Tif(Enum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"  # post-only


class Stp(Enum):
    """Self-trade prevention, the taker's wish: what ends when both sides are of one account."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class Status(Enum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class Exec(Enum):
    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDMENT = "AMENDMENT"


class Why(Enum):
    """Why an order ended, or a balance moved, other than by its owner's request."""

    NONE = "asked for"
    IOC = "remainder of immediate-or-cancel"
    FOK = "fill-or-kill that could not be filled"
    MARKET = "market order found no more to take"
    POST_ONLY = "post-only order would take"
    REDUCE_ONLY = "position no longer covers it"
    STP = "self-trade prevention"
    GTD = "good-till date reached"
    DEAD_MAN = "dead-man switch fired"
    CLOSED = "instrument halted or delisted"
    AMENDED_AWAY = "amended to no more than was filled"


class Reason(Enum):
    """Why a command was refused; nothing has changed."""

    UNKNOWN_SYMBOL = "unknown symbol"
    CLOSED = "instrument is halted or delisted"
    UNKNOWN_ORDER = "cancel of an order that is not open"
    NO_SUCH_ORDER = "no such order to query or amend"
    DUPLICATE_CLIENT_ID = "client order id is in use"
    WOULD_TAKE = "post-only order would take"
    UNFILLABLE = "fill-or-kill order can't be filled"
    QTY_ZERO = "quantity not positive"
    QTY_MIN = "quantity under the minimum"
    QTY_MAX = "quantity over the maximum"
    PX_MIN = "price not positive"
    PX_MAX = "price over the maximum"
    PX_FAR_LOW = "price too far below the mark"
    PX_FAR_HIGH = "price too far above the mark"
    NOTIONAL_MIN = "notional under the minimum"
    MARGIN = "margin insufficient"
    BALANCE = "balance insufficient"
    REDUCE_ONLY = "reduce-only order would not reduce"
    ORDERS_MAX = "too many open orders"
    TRIGGERS_MAX = "too many conditional orders"
    TRIGGERS_NOW = "conditional order would trigger at once"
    NO_CHANGE = "nothing to change"
    NOT_SMALLER = "amendment that keeps priority must shrink the order"
    NO_LIQUIDITY = "nothing to take on the other side"
    HAS_ORDERS = "not while orders are open"
    HAS_POSITION = "not while a position is open"
    LEVERAGE = "leverage out of range"
    NO_KEY = "key does not exist"
    REVOCATION_REFUSED = "revocation refused (a fault)"


OPEN_STATUSES = (Status.NEW, Status.PARTIALLY_FILLED)
NO_ECHO: Mapping[str, str] = {}


@dataclass(slots=True, eq=False, kw_only=True)
class Order(BookOrder):
    """A user's order. `cum_cost` is tick x lot. `leaves_lots` may run ahead of `cum_lots`
    inside one match; `cum_lots` moves fill by fill. `echo` is the venue's, kept unread."""

    symbol: str
    client_order_id: str
    order_type: OrderType
    tif: Tif
    qty_lots: int
    reduce_only: bool
    create_ns: int
    update_ns: int
    stp: Stp = Stp.NONE
    gtd_ns: int = 0
    status: Status = Status.NEW
    why: Why = Why.NONE
    cum_lots: int = 0
    cum_cost: int = 0
    cum_fee_e8: int = 0  # of `fee_asset`
    fee_asset: str = ""
    locked_e8: int = 0  # spot: of the asset that it pays with
    version: int = 0  # of amendments
    trigger_id: int = 0  # of the conditional order that it came from
    echo: Mapping[str, str] = field(default_factory=lambda: NO_ECHO)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


class TriggerStatus(Enum):
    NEW = "NEW"
    TRIGGERED = "TRIGGERED"  # its order was placed
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"  # its order was refused when it triggered
    EXPIRED = "EXPIRED"


@dataclass(slots=True, eq=False)
class Trigger:
    """A conditional order: `place` is sent when the price reaches `trigger_px_ticks`."""

    trigger_id: int
    place: "Place"  # client_order_id is the conditional order's own id text
    trigger_px_ticks: int
    is_rising: bool  # triggers at or above; else at or below
    by_mark: bool  # by the mark price; else by the last trade
    create_ns: int
    update_ns: int
    status: TriggerStatus = TriggerStatus.NEW
    order_id: int = 0  # of the order that it became
    refusal: "Reason | None" = None


# -- INTO THE CORE ---


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passed: run what is due."""


@dataclass(frozen=True, slots=True)
class Place:
    """`quote_e8` > 0: a spot market order for so much quote money, `qty_lots` ignored."""

    account: int
    symbol: str
    side: Side
    order_type: OrderType
    tif: Tif
    qty_lots: int
    px_ticks: int = 0
    client_order_id: str = ""
    reduce_only: bool = False
    stp: Stp = Stp.NONE
    gtd_ns: int = 0
    quote_e8: int = 0
    echo: Mapping[str, str] = field(default_factory=lambda: NO_ECHO)


@dataclass(frozen=True, slots=True)
class Cancel:
    """By venue id (not 0) or else by client id."""

    account: int
    symbol: str
    order_id: int = 0
    client_order_id: str = ""


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Every open order of the symbols named; at most `count_max` of them when that is not 0."""

    account: int
    symbols: tuple[str, ...]
    why: Why = Why.NONE
    count_max: int = 0


@dataclass(frozen=True, slots=True)
class Modify:
    """0 or None: as it is. `keeps_priority`: only a smaller quantity, and the place in the queue
    stays; else the order goes to the back, as a new one would."""

    account: int
    symbol: str
    qty_lots: int = 0
    px_ticks: int = 0
    order_id: int = 0
    client_order_id: str = ""
    side: Side | None = None  # when given it must be the order's
    keeps_priority: bool = False
    new_client_order_id: str = ""
    echo: Mapping[str, str] | None = None  # replaces the order's


@dataclass(frozen=True, slots=True)
class PlaceTrigger:
    place: Place
    trigger_px_ticks: int
    is_rising: bool
    by_mark: bool = False


@dataclass(frozen=True, slots=True)
class CancelTrigger:
    account: int
    symbol: str
    trigger_id: int = 0
    client_order_id: str = ""


@dataclass(frozen=True, slots=True)
class CancelAllTriggers:
    account: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Countdown:
    """Dead-man switch of one symbol: cancel all in `window_ns` unless armed again; 0 stops it."""

    account: int
    symbol: str
    window_ns: int


@dataclass(frozen=True, slots=True)
class SetLeverage:
    account: int
    symbol: str
    leverage: int


@dataclass(frozen=True, slots=True)
class SetPositionMode:
    """One-way or hedge; this exchange has one-way only, a change to hedge is refused."""

    account: int
    is_hedge: bool


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """A trading key dies at once; what had logged on with it must fail from now on."""

    api_key: str


# What only the operator or a fault schedule may send.


class MarketState(Enum):
    TRADING = "TRADING"
    HALTED = "HALTED"  # orders rest, none is taken
    DELISTED = "DELISTED"  # open orders are expired, the instrument is gone


@dataclass(frozen=True, slots=True)
class SetState:
    symbol: str
    state: MarketState


@dataclass(frozen=True, slots=True)
class SetTick:
    """The tick becomes a `factor`-th of what it was (agents' market only); users' orders expire.
    Finer only: what is held in ticks stays exact."""

    symbol: str
    factor: int


@dataclass(frozen=True, slots=True)
class Shock:
    """Disturb the agents' market: the fair value jumps by `ticks` and comes back, quotes keep
    `spread_ticks` from it, `empty_side` stays empty, for `for_ns`. 0: it jumps and stays."""

    symbol: str
    ticks: int = 0
    spread_ticks: int = 0
    empty_side: Side | None = None
    for_ns: int = 0


@dataclass(frozen=True, slots=True)
class ResetSequence:
    """Update ids start anew, as after a venue's restart: every client's chain breaks."""

    symbol: str


@dataclass(frozen=True, slots=True)
class SetRefusals:
    """Fault switches: key deletion refused; a cancel-all takes only so many orders (0: all)."""

    is_revocation_refused: bool = False
    cancel_all_max: int = 0


Command = (
    Advance | Place | Cancel | CancelAll | Modify | PlaceTrigger | CancelTrigger
    | CancelAllTriggers | Countdown | SetLeverage | SetPositionMode | DeleteKey | SetState
    | SetTick | Shock | ResetSequence | SetRefusals
)  # fmt: skip

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


class MoneyWhy(Enum):
    ORDER = "ORDER"  # a fill
    LOCK = "LOCK"  # spot: an order locked or freed money
    FUNDING = "FUNDING"


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


class Market(Protocol):
    """One instrument's matching, with whatever moves it in the background."""

    instrument: Instrument

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

    def set_tick(self, factor: int, now_ns: int) -> bool:
        """`instrument` gets a tick `factor` times finer, the book with it; no user's order rests.
        False: this market can't."""

    def pause(self, for_ns: int) -> None:
        """Time stood still for so long: what is due in the background is due so much later."""

    def touch(self) -> Touch: ...

    def last_px_ticks(self) -> int:
        """Of the last trade; 0 before the first."""

    def snapshot(self, count: int) -> DepthSnapshot: ...

    def drain(self) -> Iterable[MarketEvent]:
        """Events since the last call, oldest first."""
