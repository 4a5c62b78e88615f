"""What may go wrong on purpose, and when: the entries of a fault schedule, checked by pydantic.

Every kind is one entry of FAULTS; its fields, their defaults and their meaning stand here once:
docs/faults.md is made from them. Times are durations as text ("250ms", "3s", "2m") counted from
the exchange's start, inside nanoseconds.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

UNITS_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60 * 1_000_000_000}
UNITS_NS["h"] = 60 * UNITS_NS["m"]
DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(us|ms|s|m|h)")
EVERY_NS_MIN = 10 * UNITS_NS["ms"]
DURATION_NS_MAX = 1_000 * UNITS_NS["h"]


def duration_ns(text: object) -> int:
    """Nanoseconds of "250ms", "3s", "1.5m"; ValueError for anything else."""
    match = DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a duration is text with a unit, as "250ms", "3s", "2m" or "1h"')
    value_ns = round(float(match[1]) * UNITS_NS[match[2]])
    if abs(value_ns) > DURATION_NS_MAX:
        raise ValueError("longer than 1000 hours")
    return value_ns


def _not_negative_ns(text: object) -> int:
    value_ns = duration_ns(text)
    if value_ns < 0:
        raise ValueError("negative")
    return value_ns


def _not_busy_ns(text: object) -> int:
    value_ns = _not_negative_ns(text)
    if 0 < value_ns < EVERY_NS_MIN:
        raise ValueError("oftener than every 10ms")
    return value_ns


def _some_ns(text: object) -> int:
    value_ns = _not_negative_ns(text)
    if value_ns == 0:
        raise ValueError("0s is no time to last: give a longer one, as \"2s\"")
    return value_ns


Span = Annotated[int, BeforeValidator(_not_negative_ns)]
Length = Annotated[int, BeforeValidator(_some_ns)]
Every = Annotated[int, BeforeValidator(_not_busy_ns)]
Shift = Annotated[int, BeforeValidator(duration_ns)]
Probability = Annotated[float, Field(gt=0, le=1)]
Conn = Literal["any", "market", "user", "trade"]
MS, S = UNITS_NS["ms"], UNITS_NS["s"]


class Fault(BaseModel):
    """When it happens; a kind's own class says what."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str
    at_ns: Span = Field(0, alias="at", description="first begin, after the exchange's start")
    every_ns: Every = Field(0, alias="every", description="begins again so often; 0s: once")
    count: int = Field(0, ge=0, description="begins at most so often; 0: no limit")

    @property
    def window_ns(self) -> int:
        """0: over as soon as it has begun."""
        return 0


class Window(Fault):
    for_ns: Length = Field(2 * S, alias="for", description="how long it lasts")

    @property
    def window_ns(self) -> int:
        return self.for_ns


class FrameFault(Window):
    """Messages to clients. `stream` is looked for in the message's text."""

    kind: Literal["drop", "duplicate", "reorder", "garble", "truncate"]
    conn: Conn = Field("any", description="which connections")
    stream: str = Field("", description="only messages that hold this text")
    probability: Probability = Field(1.0, description="of each message")


class DelayFault(Window):
    """Later by so much; what follows on the connection waits behind, as in any TCP stream."""

    kind: Literal["delay"]
    conn: Conn = Field("any", description="which connections")
    stream: str = Field("", description="only messages that hold this text")
    probability: Probability = Field(1.0, description="of each message")
    by_ns: Span = Field(50 * MS, alias="by", description="how late at least")
    jitter_ns: Span = Field(0, alias="jitter", description="and up to so much more")


class LinkFault(Window):
    """Connections that look alive and are not."""

    kind: Literal["half_open", "silent_subscribe", "heartbeat_only"]
    conn: Conn = Field("any", description="which connections")
    probability: Probability = Field(1.0, description="of each connection")


class RequestFault(Window):
    """REST requests and messages on order-entry connections."""

    kind: Literal["ack_lost", "error_after_effect", "unavailable"]
    via: Literal["any", "rest", "ws"] = Field("any", description="which way they came")
    match: str = Field("", description='only where "METHOD path" or the message holds this text')
    probability: Probability = Field(1.0, description="of each request")


class FateFault(RequestFault):
    """The client can't know whether it was done; `effect` says whether it was."""

    kind: Literal["unknown"]  # type: ignore[assignment]
    effect: bool = Field(False, description="it is done all the same")


class TimeoutFault(FateFault):
    kind: Literal["timeout"]  # type: ignore[assignment]
    late_ns: Span = Field(
        0, alias="late", description="with `effect`: the answer comes so late; 0s: never"
    )


class LimitFault(RequestFault):
    kind: Literal["throttled", "banned"]  # type: ignore[assignment]
    retry_ns: Span = Field(
        0, alias="retry_after", description="told to clients, and kept; 0s: what is left"
    )


class InstantFault(Fault):
    kind: Literal["drop_all", "listen_key_expiry"]


class SymbolFault(Fault):
    kind: Literal["sequence_reset", "delist"]
    symbol: str = Field("", description="the exchange's key of it; empty: one by the seed's dice")


class TickFault(SymbolFault):
    kind: Literal["tick_change"]  # type: ignore[assignment]
    factor: int = Field(10, ge=2, le=1000, description="the tick becomes so many times finer")


class SymbolWindow(Window):
    kind: Literal["stale_snapshot", "halt_instrument"]
    symbol: str = Field("", description="the exchange's key of it; empty: one by the seed's dice")


class CrashFault(SymbolWindow):
    kind: Literal["flash_crash"]  # type: ignore[assignment]
    percent: float = Field(-3.0, ge=-50, le=50, description="the fair price jumps by so much")


class SpreadFault(SymbolWindow):
    kind: Literal["spread_blowout"]  # type: ignore[assignment]
    ticks: int = Field(200, ge=2, le=100_000, description="quotes keep so far from fair")


class OneSidedFault(SymbolWindow):
    kind: Literal["one_sided_book"]  # type: ignore[assignment]
    side: Literal["buy", "sell"] = Field("sell", description="the side that stays empty")


class SkewFault(Window):
    """The venue's clock is off by so much while it lasts, and right afterwards."""

    kind: Literal["clock_skew"]
    by_ns: Shift = Field(500 * MS, alias="by", description="ahead; negative: behind")


class StepFault(Fault):
    kind: Literal["clock_step"]
    by_ns: Shift = Field(500 * MS, alias="by", description="ahead from now on; negative: behind")


class DriftFault(Window):
    kind: Literal["clock_drift"]
    ppm: float = Field(500.0, ge=-1e6, le=1e6, description="runs so many millionths too fast")


class PartialFault(Window):
    kind: Literal["cancel_all_partial"]
    max: int = Field(1, ge=1, description="so many orders are cancelled, the rest stays")


class RevocationFault(Window):
    kind: Literal["revocation_refused"]


CLASSES: tuple[type[Fault], ...] = (
    FrameFault, DelayFault, LinkFault, SymbolFault, SymbolWindow, InstantFault, RequestFault,
    FateFault, TimeoutFault, LimitFault, SkewFault, StepFault, DriftFault, TickFault, PartialFault,
    RevocationFault, CrashFault, SpreadFault, OneSidedFault,
)  # fmt: skip
# Every kind, with what it does; docs/faults.md is made of it.
MEANING = {
    "drop": "messages never arrive",
    "duplicate": "messages arrive twice",
    "reorder": "a message arrives after the one that followed it",
    "delay": "messages arrive late, in their order",
    "garble": "bytes of a message are wrong; it is no JSON any more",
    "truncate": "a message ends in the middle",
    "half_open": "nothing moves either way, no pong either; TCP stays up, and is reset at the end",
    "silent_subscribe": "who subscribes in the window is answered and never hears anything",
    "heartbeat_only": "pings and answers go on, data doesn't",
    "stale_snapshot": "snapshots stand still from the fault's begin: older than the deltas",
    "sequence_reset": "update ids start anew",
    "drop_all": "every stream ends as at the venue's age limit",
    "ack_lost": "the effect happens; REST: the connection is reset, WS: the answer never comes",
    "error_after_effect": "the effect happens; the answer is a 5xx",
    "unavailable": "not done; the answer is the venue's 503",
    "unknown": "the venue's “fate unknown” (−1007); `effect` says what is true",
    "timeout": "no answer, or a late one",
    "throttled": "429 with Retry-After, or the venue's like, until the told time",
    "banned": "418 with Retry-After, or the venue's like, and no handshake, until the told time",
    "listen_key_expiry": "what keeps user streams alive runs out",
    "clock_skew": "the venue's clock is off",
    "clock_step": "the venue's clock jumps, for good",
    "clock_drift": "the venue's clock runs wrong; put right at the end",
    "tick_change": "the tick size changes, open orders expire",
    "delist": "open orders are expired, the instrument is gone",
    "halt_instrument": "orders rest, none is taken",
    "cancel_all_partial": "a cancel-all says yes and leaves orders open",
    "revocation_refused": "keys can't be deleted",
    "flash_crash": "the fair price jumps and comes back",
    "spread_blowout": "quotes go far away",
    "one_sided_book": "one side of the book is empty",
}
KINDS = tuple(MEANING)
CLASS_OF: dict[str, type[Fault]] = {
    kind: fault for fault in CLASSES for kind in get_args(fault.model_fields["kind"].annotation)
}
AnyFault = Annotated[
    FrameFault | DelayFault | LinkFault | SymbolFault | SymbolWindow | InstantFault | RequestFault
    | FateFault | TimeoutFault | LimitFault | SkewFault | StepFault | DriftFault | TickFault
    | PartialFault | RevocationFault | CrashFault | SpreadFault | OneSidedFault,
    Field(discriminator="kind"),
]  # fmt: skip


class Live(NamedTuple):
    """A fault that has begun. Its number is the one that everybody tells: log lines, the truth,
    the operator's answers."""

    number: int
    fault: Fault
    begin_ns: int
    end_ns: int


ONE: TypeAdapter[Fault] = TypeAdapter(AnyFault)


def fault(kind: str, **fields: Any) -> Fault:
    """One entry as a file would have it, `for_` for `for`. pydantic's ValidationError."""
    named = {name.rstrip("_"): value for name, value in fields.items()}
    return ONE.validate_python({"kind": kind, **named})


class Schedule(BaseModel):
    """All that goes wrong in a run. `seed` throws every die of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    PROBABILITIES: ClassVar[tuple[float, ...]] = (0.01, 0.05, 0.2, 1.0)

    seed: int = 1
    fault: tuple[AnyFault, ...] = ()

    @classmethod
    def swarm(
        cls, seed: int, seconds: float, kinds: Sequence[str] | None = None
    ) -> "Schedule":
        """A random subset of `kinds` (all), each a few times at random within `seconds`."""
        dice = Random(f"swarm/{seed}")
        faults: list[Fault] = []
        for kind in kinds or KINDS:
            if dice.random() < 0.5:
                continue
            for _ in range(dice.randint(1, 3)):
                faults.append(_random_fault(dice, kind, seconds))
        faults.sort(key=lambda fault: fault.at_ns)
        return cls(seed=seed, fault=tuple(faults))  # type: ignore[arg-type]


def _random_fault(dice: Random, kind: str, seconds: float) -> Fault:
    def ms(low: int, high: int) -> str:
        return f"{dice.randint(low, high)}ms"

    shape = CLASS_OF[kind]
    names = {field.alias or name for name, field in shape.model_fields.items()}
    entry: dict[str, Any] = {"kind": kind, "at": ms(0, int(seconds * 900))}
    choices: dict[str, Any] = {
        "for": ms(100, max(200, int(seconds * 200))),
        "probability": dice.choice(Schedule.PROBABILITIES),
        "conn": dice.choice(get_args(Conn)),
        "via": dice.choice(("any", "rest", "ws")),
        "effect": dice.random() < 0.5,
        "late": dice.choice(("0s", ms(100, 6_000))),
        "retry_after": ms(1_000, 5_000),
        "by": ms(1, 300) if kind == "delay" else ms(-3_000, 3_000),
        "jitter": ms(0, 100),
        "ppm": dice.uniform(-5_000, 5_000),
        "max": dice.randint(1, 3),
        "percent": dice.uniform(-10, 10),
        "ticks": dice.randint(20, 2_000),
        "side": dice.choice(("buy", "sell")),
        "factor": dice.choice((2, 5, 10)),
    }
    entry |= {name: value for name, value in choices.items() if name in names}
    return ONE.validate_python(entry)
