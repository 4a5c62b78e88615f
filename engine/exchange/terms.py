"""The words of the exchange's core: enumerations, and a user's order. No venue's words in here.

Times are UTC nanoseconds, prices ticks, quantities lots, money 1e-8 of its asset. `symbol` is the
core's key of an instrument (Instrument.key): the venue's own name, except where a venue uses one
name for several products.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from engine.exchange.book import BookOrder

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
    LEVERAGE_MARGIN = "margin would not cover what is open at that leverage"
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


class MarketState(Enum):
    TRADING = "TRADING"
    HALTED = "HALTED"  # orders rest, none is taken
    DELISTED = "DELISTED"  # open orders are expired, the instrument is gone


class MoneyWhy(Enum):
    ORDER = "ORDER"  # a fill
    LOCK = "LOCK"  # spot: an order locked or freed money
    FUNDING = "FUNDING"
