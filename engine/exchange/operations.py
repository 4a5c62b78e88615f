"""What the operator may ask of the core through the admin port, checked before it hears of it."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from engine.exchange.book import Side
from engine.exchange.commands import (
    Command,
    Place,
    ResetSequence,
    SetRefusals,
    SetState,
    SetTick,
    Shock,
    UpdateKey,
)
from engine.exchange.core import Core
from engine.exchange.faults_schedule import DURATION_NS_MAX
from engine.exchange.keys import KeyKind
from engine.exchange.terms import MarketState, OrderType, Tif

COMMANDS = ("SetState", "Shock", "SetTick", "ResetSequence", "SetRefusals", "SetKey", "Place")
TICK_FACTOR_MAX = 1_000
SPREAD_TICKS_MAX = 100_000


class BadRequestError(Exception):
    """Says what is wrong with a request: a 400."""


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _OfSymbol(_Wanted):
    symbol: str


class _SetState(_OfSymbol):
    command: Literal["SetState"]
    state: Annotated[Literal["TRADING", "HALTED", "DELISTED"], BeforeValidator(_upper)]

    def made(self, core: Core) -> Command:
        return SetState(self.symbol, MarketState[self.state])


class _Shock(_OfSymbol):
    command: Literal["Shock"]
    ticks: int = 0
    spread_ticks: int = Field(0, ge=0, le=SPREAD_TICKS_MAX)
    empty_side: Annotated[Literal["BUY", "SELL"], BeforeValidator(_upper)] | None = None
    for_ns: int = Field(0, ge=0, le=DURATION_NS_MAX)

    def made(self, core: Core) -> Command:
        if not (self.ticks or self.spread_ticks or self.empty_side):
            raise BadRequestError("a Shock wants ticks, spread_ticks or empty_side")
        bid, _, ask, _ = core.markets[self.symbol].touch()
        ticks_max = max(bid, ask) // 2
        if abs(self.ticks) > ticks_max:
            raise BadRequestError(f"ticks: at most half of the price, {ticks_max}")
        side = None if self.empty_side is None else Side[self.empty_side]
        return Shock(self.symbol, self.ticks, self.spread_ticks, side, self.for_ns)


class _SetTick(_OfSymbol):
    command: Literal["SetTick"]
    factor: int = Field(ge=2, le=TICK_FACTOR_MAX)

    def made(self, core: Core) -> Command:
        return SetTick(self.symbol, self.factor)


class _ResetSequence(_OfSymbol):
    command: Literal["ResetSequence"]

    def made(self, core: Core) -> Command:
        return ResetSequence(self.symbol)


class _SetRefusals(_Wanted):
    command: Literal["SetRefusals"]
    is_revocation_refused: bool = False
    cancel_all_max: int = Field(0, ge=0, le=1 << 31)

    def made(self, core: Core) -> Command:
        return SetRefusals(self.is_revocation_refused, self.cancel_all_max)


class _SetKey(_Wanted):
    """Of the account's keys as the ready line lists them, number `which`: what it may do from now
    on, and from where (`ips` empty: from anywhere)."""

    command: Literal["SetKey"]
    account: int = Field(ge=0)
    which: int = Field(0, ge=0)
    permissions: list[Literal["read", "trade", "withdraw"]]
    ips: list[str] = Field(default_factory=list)

    def made(self, core: Core) -> Command:
        keys = [
            key for key in core.keyring.of_account(self.account) if key.kind is KeyKind.HMAC
        ]  # in the order of the ready line, but for deleted ones
        if self.which >= len(keys):
            raise BadRequestError(f"account {self.account} has {len(keys)} keys left")
        key = keys[self.which]
        return UpdateKey(replace(key, permissions=frozenset(self.permissions),
                                 ips=tuple(self.ips)))  # fmt: skip


class _Place(_OfSymbol):
    """An order of an account's, past the venue's rate limits but no other rule: what a client may
    find at the venue, without the minutes that it takes to place hundreds."""

    command: Literal["Place"]
    account: int = Field(0, ge=0)
    side: Annotated[Literal["BUY", "SELL"], BeforeValidator(_upper)]
    px_ticks: int = Field(gt=0)
    qty_lots: int = Field(gt=0)
    client_id: str = Field(min_length=1, max_length=36)

    def made(self, core: Core) -> Command:
        if self.account >= len(core.accounts):
            raise BadRequestError(f"account: 0 to {len(core.accounts) - 1}")
        return Place(
            self.account, self.symbol, Side[self.side], OrderType.LIMIT, Tif.GTC, self.qty_lots,
            self.px_ticks, self.client_id, echo={"link": self.client_id},
        )  # fmt: skip


_Any = _SetState | _Shock | _SetTick | _ResetSequence | _SetRefusals | _SetKey | _Place
_ANY: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="command")])


def command_of(document: dict[str, Any], core: Core) -> Command:
    """BadRequestError names the field and what is wrong with it."""
    try:
        wanted = _ANY.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"].startswith("union_tag"):
            raise BadRequestError(f"command: one of {', '.join(COMMANDS)}") from None
        name, field = document["command"], ".".join(map(str, first["loc"][1:2]))
        if first["type"] == "extra_forbidden":
            known = next(each.model_fields for each in _Any.__args__ if each.__name__[1:] == name)
            raise BadRequestError(f"{name} has no {field!r}; it has {', '.join(known)}") from None
        if first["type"] == "missing":
            raise BadRequestError(f"{name} needs {field!r}") from None
        raise BadRequestError(f"{field}: {_words(first['msg'])}") from None
    symbol = getattr(wanted, "symbol", None)
    if symbol is not None and symbol not in core.markets:
        raise BadRequestError(f"symbol: one of {', '.join(core.markets)}")
    return wanted.made(core)


def _words(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("Input ")
