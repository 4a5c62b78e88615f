"""What goes into the exchange's core and what comes out of it; no venue's words in here.

Times are UTC nanoseconds, prices ticks, quantities lots, money 1e-8 quote units.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from engine.exchange.book import BookOrder, Change, Quote, Side, Touch
from engine.exchange.instruments import Instrument


class OrderType(Enum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class Tif(Enum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"  # post-only


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


class Expiry(Enum):
    """Why an order expired; the values are the venue's `er`."""

    NONE = 0
    IOC_REMAINDER = 2
    REDUCE_ONLY = 4
    MARKET_UNFILLED = 9
    WOULD_TAKE = 11


class Reason(Enum):
    """Why a command was refused."""

    UNKNOWN_SYMBOL = "unknown symbol"
    UNKNOWN_ORDER = "cancel of an order that is not open"
    NO_SUCH_ORDER = "query of an order that never was"
    DUPLICATE_CLIENT_ID = "client order id is that of an open order"
    WOULD_TAKE = "post-only order would take"
    UNFILLABLE = "fill-or-kill order can't be filled"
    QTY_ZERO = "quantity not positive"
    QTY_MAX = "quantity over the maximum"
    PX_MIN = "price not positive"
    PX_MAX = "price over the maximum"
    PX_FAR_LOW = "price too far below the mark"
    PX_FAR_HIGH = "price too far above the mark"
    NOTIONAL_MIN = "notional under the minimum"
    MARGIN = "margin insufficient"
    REDUCE_ONLY = "reduce-only order would not reduce"
    ORDERS_MAX = "too many open orders"
    NO_CHANGE = "nothing to modify"
    NO_LISTEN_KEY = "listen key does not exist"


OPEN_STATUSES = (Status.NEW, Status.PARTIALLY_FILLED)


@dataclass(slots=True, eq=False, kw_only=True)
class Order(BookOrder):
    """A user's order. `cum_cost` is tick x lot. `leaves_lots` may run ahead of `cum_lots`
    inside one match; `cum_lots` moves fill by fill."""

    symbol: str
    client_order_id: str
    order_type: OrderType
    tif: Tif
    qty_lots: int
    reduce_only: bool
    create_ns: int
    update_ns: int
    status: Status = Status.NEW
    cum_lots: int = 0
    cum_cost: int = 0
    version: int = 0  # of amendments

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


# -- INTO THE CORE ---


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passed: run what is due."""


@dataclass(frozen=True, slots=True)
class Place:
    account: int
    symbol: str
    side: Side
    order_type: OrderType
    tif: Tif
    qty_lots: int
    px_ticks: int = 0
    client_order_id: str = ""
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """By venue id (not 0) or else by client id."""

    account: int
    symbol: str
    order_id: int = 0
    client_order_id: str = ""


@dataclass(frozen=True, slots=True)
class CancelAll:
    account: int
    symbol: str


@dataclass(frozen=True, slots=True)
class Modify:
    account: int
    symbol: str
    side: Side
    qty_lots: int
    px_ticks: int
    order_id: int = 0
    client_order_id: str = ""


class ListenKeyVerb(Enum):
    START = "start"
    KEEP_ALIVE = "keep alive"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class ListenKey:
    account: int
    verb: ListenKeyVerb


Command = Advance | Place | Cancel | CancelAll | Modify | ListenKey

# -- OUT OF THE CORE ---


class Refused(NamedTuple):
    reason: Reason


class Accepted(NamedTuple):
    """The command's own answer: the order, the orders cancelled, or the listen key."""

    order: Order | None = None
    orders: tuple[Order, ...] = ()
    listen_key: str = ""


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
    realized_e8: int = 0
    expiry: Expiry = Expiry.NONE


class AccountUpdate(NamedTuple):
    """Balance and position after a fill."""

    t_ns: int
    account: int
    symbol: str
    wallet_e8: int
    position_lots: int
    position_cost: int


class ListenKeyExpired(NamedTuple):
    t_ns: int
    account: int
    listen_key: str


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
    """A recorded frame, byte-faithful: its stream name, `{"stream":..,"data":..}`, its data."""

    stream: str
    text: str
    data: str


class Notice(NamedTuple):
    """Something the operator should know; the server logs it."""

    is_error: bool
    text: str


MarketEvent = Trade | DepthChange | BestChange | TapeFrame | Notice
Output = Refused | Accepted | OrderUpdate | AccountUpdate | ListenKeyExpired | MarketEvent


class DepthSnapshot(NamedTuple):
    update_id: int
    bids: list[Quote]
    asks: list[Quote]


NEVER_NS = 1 << 62


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

    def place(self, order: BookOrder, rests: bool, now_ns: int) -> None:
        """Match `order`; rest what is left when `rests`."""

    def cancel(self, order_id: int, now_ns: int) -> bool: ...

    def touch(self) -> Touch: ...

    def snapshot(self, count: int) -> DepthSnapshot: ...

    def drain(self) -> Iterable[MarketEvent]:
        """Events since the last call, oldest first."""
