"""What goes into the exchange's core. Units and names: terms.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.exchange.book import Side
from engine.exchange.keys import Key
from engine.exchange.terms import NO_ECHO, MarketState, OrderType, Stp, Tif, Why

# -- USERS ---


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passed: run what is due."""


@dataclass(frozen=True, slots=True)
class Place:
    """`quote_e8` > 0: a spot market order for so much quote money, `qty_lots` ignored.
    `closes_position`: reduce-only, as large as the position is then, `qty_lots` ignored."""

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
    closes_position: bool = False
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
    stp: Stp | None = None  # replaces the order's
    echo: Mapping[str, str] | None = None  # replaces the order's


@dataclass(frozen=True, slots=True)
class PlaceTrigger:
    place: Place
    trigger_px_ticks: int
    is_rising: bool
    by_mark: bool = False


@dataclass(frozen=True, slots=True)
class AmendTrigger:
    """Of one that waits still; 0: as it is."""

    account: int
    symbol: str
    trigger_id: int
    trigger_px_ticks: int = 0
    qty_lots: int = 0
    px_ticks: int = 0


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


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """The key of that name gets these permissions and addresses."""

    key: Key


# -- THE OPERATOR, AND FAULTS ---


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
    Advance | Place | Cancel | CancelAll | Modify | PlaceTrigger | AmendTrigger | CancelTrigger
    | CancelAllTriggers | Countdown | SetLeverage | SetPositionMode | DeleteKey | UpdateKey
    | SetState | SetTick | Shock | ResetSequence | SetRefusals
)  # fmt: skip
