"""What a venue is to the engine: calls, plans of connections, and the rows that answers hold.

Sans-IO: an adapter makes requests and reads answers; who sends them is engine/gateway. Prices are
ticks and quantities lots here already, exactly, or ValueError: what is off the grid is nothing
that we could hold a belief about. In a list such a row must not hide the others: it comes with
`is_whole` False, and says what a cancel, or to know it again, needs. Ids are what the venue's
decoder in fastcore.codec gives for the same text, so that a row of REST and an event of a stream
name the same trade.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

from fastcore.types import FeeAsset, OrderState, Side

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
INT64_LIMIT = 1 << 63


class Urgency(IntEnum):
    """Who goes first when an address's budget runs short; a cancel is never held back for that."""

    CANCEL = 0
    UPKEEP = 1  # dead-man switch, clock: little and steady, and without it nothing may be quoted
    SAFETY = 2  # position, open orders, fills, listen key
    NORMAL = 3  # instruments, fees
    SNAPSHOT = 4


@dataclass(frozen=True, slots=True)
class Limit:
    """How many of one kind the venue takes from an account in any second."""

    name: str
    per_s: int
    count: int = 1  # of those, what the call takes: a batch counts its orders


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One REST request, unsigned, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Any], T_co]  # of the parsed JSON; ValueError: not what the venue documents
    params: Mapping[str, str] = field(default_factory=dict)
    is_signed: bool = False
    needs_key: bool = False  # the key without a signature (USD-M's listen key)
    weight: int = 1  # of the address's budget
    urgency: Urgency = Urgency.NORMAL
    may_repeat: bool = True  # twice is the same as once: may be tried again after no answer
    limit: Limit | None = None  # beside the address's budget; None: the account has none


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it goes out. Holds key and signature: never shown, and gone after the send."""

    method: str
    target: str = field(repr=False)  # path and query, encoded
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """What the venue's error says, in our terms. `code` 0: none of its own."""

    status: int
    code: int
    text: str
    is_credential: bool = False  # key, signature, permission, address: trying again is no use
    is_clock: bool = False
    is_throttled: bool = False
    retry_after_s: float = 0.0
    # The limit is the address's: nothing goes out before that, not even a cancel. Otherwise it is
    # an account's limit of that one call, and others go on.
    is_of_address: bool = False
    is_unknown: bool = False  # the fate of the request is not known
    is_absent: bool = False  # no such order

    @property
    def is_plain(self) -> bool:
        """A refusal of just this request: nothing else is wrong, and asking again is no use."""
        is_else = self.is_credential or self.is_clock or self.is_throttled or self.is_unknown
        return 0 < self.status < 500 and self.status != 408 and not is_else and self.code != 0


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the venue says of one instrument. Decimal texts as the venue wrote them."""

    venue: str  # of the codec: binance_usdm, binance_spot, bybit_linear, bybit_spot
    symbol: str
    tick: str
    lot: str
    qty_min: Decimal
    qty_max: Decimal
    notional_min: Decimal
    base: str
    quote: str
    is_trading: bool = True
    orders_per_10s_max: int | None = None  # of the account; None: not told
    orders_per_min_max: int | None = None
    orders_per_s_max: int | None = None
    open_orders_max: int | None = None

    def lots(self, text: str) -> int:
        """A quantity in lots, exactly; ValueError when it is no whole number of them."""
        return _units(text, self.lot)

    def ticks(self, text: str) -> int:
        """A price in ticks, exactly; ValueError when it is off the grid."""
        return _units(text, self.tick)

    def qty_text(self, lots: int) -> str:
        return format(Decimal(lots) * Decimal(self.lot), "f")

    def price_text(self, ticks: int) -> str:
        return format(Decimal(ticks) * Decimal(self.tick), "f")


def _units(text: str, unit: str) -> int:
    units = Decimal(text) / Decimal(unit)
    if units != int(units):
        raise ValueError(f"Expected a multiple of {unit}, was {text}")
    return int(units)


def _must_fit(*numbers: int) -> None:
    """ValueError for what a core can't count: it would end the session where it is told."""
    if not all(-INT64_LIMIT <= number < INT64_LIMIT for number in numbers):
        raise ValueError("Expected a number of 64 bits")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as a query tells of it. `px_ticks` 0: a market order."""

    symbol: str
    client_id: str
    venue_order_id: int
    side: Side
    state: OrderState  # NEW, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED, EXPIRED
    px_ticks: int
    qty_lots: int
    cum_qty_lots: int
    venue_order_text: str  # as the venue wrote it: what a cancel by id takes
    is_conditional: bool = False  # waits for its trigger, at an endpoint of its own
    # False, in lists of open orders alone: symbol, client id and venue's id are good, and it may
    # rest; state, side, price and quantities could not be read, and mean nothing.
    is_whole: bool = True

    def __post_init__(self) -> None:
        _must_fit(self.venue_order_id, self.px_ticks, self.qty_lots, self.cum_qty_lots)


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One execution of ours."""

    symbol: str
    trade_id: int
    venue_order_id: int
    client_id: str  # "" where the venue doesn't tell (Binance)
    side: Side
    px_ticks: int
    qty_lots: int
    fee_e8: int  # of the fee asset; cost is positive
    fee_asset: FeeAsset
    is_maker: bool
    exch_ts_ns: int
    venue_order_text: str
    # False: ids, side and time are good; price, quantity and fee could not be read (a trade of
    # before the venue changed its grid), and mean nothing. Booked already, it needs no reading.
    is_whole: bool = True

    def __post_init__(self) -> None:
        _must_fit(self.trade_id, self.venue_order_id, self.px_ticks, self.qty_lots, self.fee_e8,
                  self.exch_ts_ns)  # fmt: skip
        if self.trade_id < 0 or (self.is_whole and (self.px_ticks <= 0 or self.qty_lots <= 0)):
            raise ValueError("Expected an execution with an id, a price and a quantity")


@dataclass(frozen=True, slots=True)
class PositionRow:
    symbol: str
    position_lots: int  # signed; on spot: what is held of the base asset, locked included

    def __post_init__(self) -> None:
        _must_fit(self.position_lots)


@dataclass(frozen=True, slots=True)
class BalanceRow:
    asset: str
    total_e8: int  # wallet balance, locked included


@dataclass(frozen=True, slots=True)
class Best:
    """The best levels of a book over REST; 0 where a side is empty."""

    bid_px_ticks: int
    bid_qty_lots: int
    ask_px_ticks: int
    ask_qty_lots: int

    def __post_init__(self) -> None:
        _must_fit(self.bid_px_ticks, self.bid_qty_lots, self.ask_px_ticks, self.ask_qty_lots)


@dataclass(frozen=True, slots=True)
class FeeRates:
    maker_ppm: int
    taker_ppm: int


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the venue tells of our key; None: it can't be asked."""

    can_trade: bool | None
    can_withdraw: bool | None
    is_address_bound: bool | None


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """How the account is set up. None: the venue has no such thing."""

    position_mode: str | None  # "one_way", "hedge"
    margin_mode: str | None  # "cross", "isolated"
    can_trade: bool
    is_multi_assets: bool = False  # all assets of the wallet are one margin


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the configuration wants the account. None: left as it is."""

    margin_mode: str | None
    leverage: int | None
    fee_discount: bool | None  # pay fees in the venue's own token (Binance: BNB)
    stp: str | None = None  # "none", "expire_taker", "expire_maker", "expire_both"


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing to bring about. `is_done` reads an error that means: it is so already."""

    what: str
    call: Call[None]
    is_done: Callable[[Failure], bool]


class Said(IntEnum):
    """What one message of a greeting means."""

    NOTHING = 0  # not of the greeting: data, kept for the core
    GOOD = 1  # one of the answers that are awaited
    BAD = 2


@dataclass(frozen=True, slots=True)
class ConnPlan:
    """How a WebSocket comes to be of use: where, what to say, and how many good answers to await
    before the core is told that it is up. The texts may hold keys and signatures."""

    url: str = field(repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)
    answers: int = 0
    read: Callable[[bytes], tuple[Said, str]] = lambda _: (Said.NOTHING, "")  # and the error text
    ping_text: str = ""  # an application's ping (Bybit); "": WebSocket pings
    ping_every_s: float = 20.0
    # Of an answer that refuses: until when the whole address is to keep away; 0: not told.
    retry_utc_ms: Callable[[bytes], int] = lambda _: 0
    # Of the same: whether our time stamp may be what it refuses.
    is_clock: Callable[[bytes], bool] = lambda _: False


class Adapter(Protocol):
    """One account at one venue. Built by engine.venues.adapter(AccountConfig, api_key, secret);
    holds the credential, shows it nowhere, can't be pickled."""

    name: str  # binance_usdm, binance_spot, bybit
    weight_per_min: int  # of an address
    connection_age_s_max: float  # the venue closes older connections
    has_dead_man: bool
    dead_man_delay_s: float  # until a switch that was set anew works
    keep_alive_every_s: float | None  # of what keeps the user stream alive; None: needs nothing
    cancel_batch_max: int  # of rows in cancel_many
    # cancel_many has a limit of its own: beside it as many go again, one by one.
    has_cancels_apart: bool
    market_instruments_max: int  # of one market_plan

    # (key, secret) for the core's encoder; both empty where TRADE is logged on.
    def order_credential(self) -> tuple[bytes, bytes]: ...

    # -- SIGNING, ERRORS
    def sign(self, call: Call[Any], utc_ms: int) -> Signed: ...
    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure | None: ...
    def used_weight(self, headers: Mapping[str, str]) -> int | None: ...

    # -- FACTS
    def time(self) -> Call[int]: ...  # venue's UTC, ns
    def instruments(self, symbols: Sequence[str], category: str) -> Call[
        dict[str, Instrument]]: ...
    # None: in the stream. `among` instruments that share the address's weight: the more of them,
    # the fewer levels.
    def snapshot(self, instrument: Instrument, among: int = 1) -> Call[bytes] | None: ...
    def best(self, instrument: Instrument) -> Call[Best]: ...  # cheap: tells silent from quiet
    def key_facts(self) -> Call[KeyFacts] | None: ...
    def account_facts(self) -> Call[AccountFacts] | None: ...
    def fees(self, instrument: Instrument) -> Call[FeeRates]: ...
    def settings(self, wanted: Wanted, instrument: Instrument) -> tuple[Setting, ...]: ...

    # -- WHAT WE HOLD
    def positions(self, instruments: Sequence[Instrument]) -> Call[list[PositionRow]]: ...
    def balances(self) -> Call[list[BalanceRow]]: ...
    def open_orders(self, instrument: Instrument, cursor: str = "") -> Call[
        tuple[list[OrderRow], str]]: ...  # rows, next cursor ("": no more)
    def open_conditional(self, instrument: Instrument) -> Call[list[OrderRow]] | None: ...
    def order(self, instrument: Instrument, client_id: str) -> Call[OrderRow | None]: ...
    def order_by_id(self, instrument: Instrument, order_text: str) -> Call[OrderRow | None]: ...
    # Bybit forgets what is closed in the two above: absent only if these say None as well. None:
    # the venue needs no second look.
    def order_history(self, instrument: Instrument, client_id: str) -> Call[
        OrderRow | None] | None: ...
    def order_history_by_id(self, instrument: Instrument, order_text: str) -> Call[
        OrderRow | None] | None: ...
    # Oldest first. `from_id`: the first trade wanted where the venue counts them (else ignored);
    # `since_ns`: venue's UTC. A cursor of the answer before it goes on from there.
    def trades(self, instrument: Instrument, since_ns: int, cursor: str = "") -> Call[
        tuple[list[TradeRow], str]]: ...

    # -- ORDERS OVER REST (fallback, shutdown, strangers)
    def place(self, instrument: Instrument, client_id: str, side: Side, px_ticks: int,
              qty_lots: int, *, is_ioc: bool, is_reduce_only: bool) -> Call[None]: ...
    def cancel(self, instrument: Instrument, row: OrderRow) -> Call[None]: ...
    def cancel_many(self, instrument: Instrument, rows: Sequence[OrderRow]) -> (
        Call[None] | None): ...
    def cancel_all(self, instrument: Instrument) -> tuple[Call[None], ...]: ...
    # timeout_ms 0: disarm. None: the venue has none, or arms it in the user stream.
    def dead_man(self, instruments: Sequence[Instrument], timeout_ms: int) -> tuple[
        Call[None], ...]: ...
    # Whether it is set to that already; None: the venue does not tell.
    def dead_man_is_set(self, instruments: Sequence[Instrument], timeout_ms: int) -> (
        Call[bool] | None): ...

    # -- CONNECTIONS; utc_ms as for signing
    def market_plan(self, instruments: Sequence[Instrument]) -> ConnPlan: ...
    def trade_plan(self, utc_ms: int) -> ConnPlan: ...
    def user_token(self) -> Call[str] | None: ...  # asked for before user_plan (listen key)
    def keep_alive(self, token: str) -> Call[bool] | None: ...  # False: gone, connect anew
    def user_plan(self, token: str, utc_ms: int) -> ConnPlan: ...
