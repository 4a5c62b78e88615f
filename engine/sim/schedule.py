"""What goes wrong in a simulated run: faults of the venue (exchange/faults*.py) and of the wire.

A schedule file is the exchange's own (`tickmaker exchange --faults`, docs/faults.md) plus tables
[[wire]] for what only a network does. A seed's swarm enables a random subset of all kinds, and
each of them a few times. Faults are numbered, so that a run can be repeated with some of them.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.faults_file import parse_schedule
from engine.exchange.faults_schedule import KINDS, Fault, S, Schedule, Span, fault

MOMENTS = ("any", "input", "message", "send")  # of a kill: sim/death.py

# What each kind reads of its table, but for `at`; anything else there would do nothing.
WIRE_FIELDS = {
    "cut": ("what", "up_lost"),
    "wire_half_open": ("what", "for"),
    "stall": ("what", "for"),
    "refuse": ("what", "for"),
    "lose_request": ("for",),
    "lose_answer": ("for",),
    "split": ("for", "share"),
}
WIRE_KINDS = tuple(WIRE_FIELDS)
CONN_KINDS = ("cut", "wire_half_open")  # of connections; there is none to lose in `http`
TABLE = re.compile(r"\s*\[")
OUR_HEAD = re.compile(r"\s*\[\[\s*(wire|engine)\s*\]\]")
What = Literal["market", "user", "trade", "http"]


class WireFault(BaseModel):
    """Of the bytes between engine and venue, whatever they mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal[WIRE_KINDS]  # type: ignore[valid-type]
    at_ns: Span = Field(0, alias="at")
    for_ns: Span = Field(1 * S, alias="for")
    what: What = "trade"
    # cut: what the engine has just sent is lost, too; else it arrives, and nobody hears of it
    is_up_lost: bool = Field(False, alias="up_lost")
    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # split: of the messages

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> "WireFault":
        fields = type(self).model_fields
        told = {fields[name].alias or name for name in self.model_fields_set}
        if idle := sorted(told - {"kind", "at", *WIRE_FIELDS[self.kind]}):
            raise ValueError(f"{self.kind} has no {', '.join(idle)}")
        if self.kind in CONN_KINDS and self.what == "http":
            raise ValueError(f"{self.kind} is of connections: market, user or trade")
        return self

    @property
    def window_ns(self) -> int:
        """0: over as soon as it has begun."""
        return self.for_ns if "for" in WIRE_FIELDS[self.kind] else 0

    def __str__(self) -> str:
        has = WIRE_FIELDS[self.kind]
        words = [f"{self.at_ns / 1e9:.3f} s: {self.kind}"]
        words += [self.what] if "what" in has else []
        words += [f"for {self.for_ns / 1e9:.3f} s"] if "for" in has else []
        words += [f"share {self.share:g}"] if "share" in has else []
        return " ".join(words) + (", with what was sent" if self.is_up_lost else "")


ENGINE_FIELDS = {
    "kill": ("for", "moment", "torn", "up_lost", "again"),
    "stop": ("for", "killed"),
    "hand": ("for", "per_s"),
}
ENGINE_KINDS = tuple(ENGINE_FIELDS)


class EngineFault(BaseModel):
    """Of the engine's process, or of its account: a kill, an ordered stop, or somebody who trades
    by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal[ENGINE_KINDS]  # type: ignore[valid-type]
    at_ns: Span = Field(0, alias="at")
    for_ns: Span = Field(1 * S, alias="for")  # kill, stop: until it is started again
    # kill: behind which step of an input (sim/death.py); the next time that it comes to that
    moment: Literal[MOMENTS] = "any"  # type: ignore[valid-type]
    is_torn: bool = Field(False, alias="torn")  # a record was being written
    is_up_lost: bool = Field(False, alias="up_lost")  # what it had just sent is lost, too
    again_ns: Span = Field(0, alias="again")  # kill: once more, so long after its next start
    killed_ns: Span = Field(0, alias="killed")  # stop: so long after it was told; 0: it may end
    per_s: Annotated[float, Field(gt=0, le=20)] = 1.0  # hand: acts

    @model_validator(mode="after")
    def _says_nothing_idle(self) -> "EngineFault":
        fields = type(self).model_fields
        told = {fields[name].alias or name for name in self.model_fields_set}
        if idle := sorted(told - {"kind", "at", *ENGINE_FIELDS[self.kind]}):
            raise ValueError(f"{self.kind} has no {', '.join(idle)}")
        return self

    @property
    def window_ns(self) -> int:
        return self.for_ns

    def __str__(self) -> str:
        words = [f"{self.at_ns / 1e9:.3f} s: {self.kind}", f"for {self.for_ns / 1e9:.3f} s"]
        if self.kind == "hand":
            return " ".join([*words, f"per_s {self.per_s:g}"])
        if self.kind == "stop":
            killed = f"killed after {self.killed_ns / 1e9:.3f} s"
            return " ".join(words + [killed] * (self.killed_ns > 0))
        words += [f"moment {self.moment}"]
        words += ["torn"] * self.is_torn + ["with what was sent"] * self.is_up_lost
        words += [f"again {self.again_ns / 1e9:.3f} s"] * (self.again_ns > 0)
        return " ".join(words)


class Plan(NamedTuple):
    """All that goes wrong in one run, by number: the venue's, the wire's, then the engine's."""

    venue: tuple[Fault, ...] = ()
    wire: tuple[WireFault, ...] = ()
    engine: tuple[EngineFault, ...] = ()

    def __len__(self) -> int:
        return len(self.faults)

    def only(self, numbers: Sequence[int]) -> "Plan":
        kept, wires = set(numbers), len(self.venue)
        engines = wires + len(self.wire)
        return Plan(
            tuple(fault for i, fault in enumerate(self.venue) if i in kept),
            tuple(fault for i, fault in enumerate(self.wire, wires) if i in kept),
            tuple(fault for i, fault in enumerate(self.engine, engines) if i in kept),
        )

    def in_force(self, t_ns: int) -> list[str]:
        """The faults that are alive so long after the start, by number and words."""
        told = []
        for number, (one, text) in enumerate(zip(self.faults, self.texts(), strict=True)):
            since_ns = t_ns - one.at_ns
            every_ns, count = getattr(one, "every_ns", 0), getattr(one, "count", 0)
            if every_ns and since_ns >= 0:
                begun = since_ns // every_ns + 1
                since_ns -= (min(begun, count or begun) - 1) * every_ns
            if 0 <= since_ns < one.window_ns:
                told.append(f"fault {number} ({text})")
        return told

    @property
    def faults(self) -> "list[Fault | WireFault | EngineFault]":
        """By number."""
        return [*self.venue, *self.wire, *self.engine]

    def texts(self) -> list[str]:
        ours = [*self.wire, *self.engine]
        return [_text(fault) for fault in self.venue] + [str(fault) for fault in ours]


def _text(venue_fault: Fault) -> str:
    fields = venue_fault.model_dump(exclude_defaults=True, exclude={"kind", "at_ns"})
    words = [
        f"{name.removesuffix('_ns')} {value / 1e9:g} s" if name.endswith("_ns") else
        f"{name} {value}" for name, value in fields.items()
    ]  # fmt: skip
    return f"{venue_fault.at_ns / 1e9:.3f} s: {venue_fault.kind} {', '.join(words)}".rstrip()


# -- FILES ---


def read_plan(path: Path) -> Plan:
    """TickmakerError naming file, line and reason."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise TickmakerError(
            f"--schedule {path}: can't be read: {reason}", "Give a TOML file, or `swarm`.",
            EXIT_USAGE,
        ) from None
    rest, tables = _without_ours(text)
    venue = parse_schedule(rest, str(path)).fault
    made = {
        name: tuple(
            _made(shape, name, table, line, path) for line, kind, table in tables if kind == name
        )
        for name, shape in SHAPES.items()
    }  # fmt: skip
    return Plan(venue, made["wire"], made["engine"])  # type: ignore[arg-type]


def _without_ours(text: str) -> tuple[str, list[tuple[int, str, str]]]:
    """The text with [[wire]] and [[engine]] tables blanked, line for line, and (line, which,
    text) of each of them."""
    rest: list[str] = []
    tables: list[tuple[int, str, list[str]]] = []
    is_ours = False
    for number, line in enumerate(text.splitlines(), 1):
        if TABLE.match(line):
            head = OUR_HEAD.match(line)
            is_ours = head is not None
            if head:
                tables.append((number, head[1], []))
        elif is_ours:
            tables[-1][2].append(line)
        rest.append("" if is_ours else line)
    return "\n".join(rest), [(number, name, "\n".join(lines)) for number, name, lines in tables]


SHAPES: dict[str, type[BaseModel]] = {"wire": WireFault, "engine": EngineFault}


def _made(shape: type[BaseModel], name: str, table: str, line: int, path: Path) -> BaseModel:
    try:
        return shape.model_validate(tomllib.loads(table))
    except tomllib.TOMLDecodeError as error:
        reason = f"no TOML: {error}"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        reason = f"{name}: {field}: {first['msg']}".replace(": : Value error", "")
    kinds = WIRE_KINDS if shape is WireFault else ENGINE_KINDS
    raise TickmakerError(
        f"{path}:{line}: {reason}",
        f"docs/sim.md lists the fields; kinds: {', '.join(kinds)}.", EXIT_USAGE,
    )


# -- SWARM ---

WARM_S = 3.0  # an engine has started and quotes by then
CALM_S = 20.0  # before the end: time to recover in

# Not drawn: what the engine does not use yet, and a new tick, which it can only stand aside from
# (its intents are in old ticks, the audit's sums would mean nothing). docs/sim.md says more.
VENUE_KINDS = tuple(kind for kind in KINDS if kind not in ("revocation_refused", "tick_change"))
# Bybit's ban lasts ten minutes, and names no time: the engine keeps it, and outlives no short run.
TOO_LONG = {"bybit": frozenset({"banned"})}


def swarm(seed: int, seconds: float, venue_name: str) -> Plan:
    """A random subset of the kinds, each a few times, between the warm-up and the calm."""
    dice = Random(f"sim swarm/{seed}")
    end_s = max(seconds - CALM_S, WARM_S + 1.0)
    venue = []
    for kind in VENUE_KINDS:
        if dice.random() < 0.25:
            for _ in range(dice.randint(1, 2)):
                venue.append(_venue_fault(dice, kind, end_s))
    venue = [one for one in venue if one.kind not in TOO_LONG.get(venue_name, ())]
    wire = []
    for kind in WIRE_KINDS:
        if dice.random() < 0.25:
            for _ in range(dice.randint(1, 2)):
                wire.append(_wire_fault(dice, kind, end_s))
    engine = []
    for kind in ("kill", "hand"):
        if dice.random() < 0.35:
            for _ in range(dice.randint(1, 2)):
                engine.append(_engine_fault(dice, kind, end_s))
    engine = _lives(Random(f"sim lives/{seed}"), engine, end_s)
    for found in (venue, wire, engine):
        found.sort(key=lambda fault: fault.at_ns)
    return Plan(tuple(venue), tuple(wire), tuple(engine))


def _moment(dice: Random, end_s: float) -> tuple[str, str]:
    """When, and for how long at most: (`at`, `for`)."""
    at_ms = dice.randint(int(WARM_S * 1e3), int(end_s * 1e3) - 500)
    longest_ms = max(100, min(8_000, int(end_s * 1e3) - at_ms))
    return f"{at_ms}ms", f"{dice.randint(50, longest_ms)}ms"


def _venue_fault(dice: Random, kind: str, end_s: float) -> Fault:
    """A random one of the schedule's own making, at a time of ours."""
    at, for_ = _moment(dice, end_s)
    seed = dice.getrandbits(32)
    drawn = next(
        schedule.fault[0]
        for number in range(1_000_000)
        if (schedule := Schedule.swarm(seed + number, end_s, [kind])).fault
    )
    names = {field.alias or name: name for name, field in type(drawn).model_fields.items()}
    entry = {alias: getattr(drawn, name) for alias, name in names.items()}
    for alias, name in names.items():
        if name.endswith("_ns"):
            entry[alias] = f"{entry[alias] // 1_000}us"
    entry["at"] = at
    if "for" in entry:
        entry["for"] = for_
    return fault(entry.pop("kind"), **entry)


def _places(kind: str) -> tuple[str, ...]:
    if kind in CONN_KINDS:
        return ("market", "user", "trade")
    if kind in ("lose_request", "lose_answer"):
        return ("http",)
    return ("market",) if kind == "split" else ("market", "user", "trade", "http")


def _wire_fault(dice: Random, kind: str, end_s: float) -> WireFault:
    at, for_ = _moment(dice, end_s)
    drawn = {
        "for": for_,
        "what": dice.choice(_places(kind)),
        "up_lost": dice.random() < 0.5,
        "share": dice.choice((0.05, 0.3, 1.0)),
    }
    kept = {name: drawn[name] for name in WIRE_FIELDS[kind]}
    return WireFault.model_validate({"kind": kind, "at": at, **kept})


def _engine_fault(dice: Random, kind: str, end_s: float) -> EngineFault:
    at, for_ = _moment(dice, end_s)
    drawn = {
        "for": for_,
        "moment": dice.choice((*MOMENTS, "any")),
        "torn": dice.random() < 0.5,
        "up_lost": dice.random() < 0.5,
        "per_s": dice.choice((0.3, 1.0, 3.0)),
    }
    if drawn["moment"] == "send":
        drawn["up_lost"] = False  # what was sent is what it is about
    kept = {name: drawn[name] for name in ENGINE_FIELDS[kind] if name in drawn}
    return EngineFault.model_validate({"kind": kind, "at": at, **kept})


def _lives(dice: Random, engine: list[EngineFault], end_s: float) -> list[EngineFault]:
    """More of what befalls a process: it is killed while it starts, at first or once more; stopped
    in order, or killed while it stops; and somebody trades while it is dead."""
    made: list[dict[str, object]] = []
    if dice.random() < 0.1:
        made.append({"kind": "kill", "at": f"{dice.randint(1, 1_500)}ms", "for": "500ms"})
    if dice.random() < 0.2:
        at, for_ = _moment(dice, end_s)
        killed_ms = dice.choice((0, dice.randint(1, 60), dice.randint(1, 2_000)))
        made.append({"kind": "stop", "at": at, "for": for_, "killed": f"{killed_ms}ms"})
    found = [EngineFault.model_validate(one) for one in made]
    for one in engine:
        again_ms = dice.choice((dice.randint(1, 100), dice.randint(1, 3_000)))
        if one.kind == "kill" and dice.random() < 0.35:
            one = one.model_copy(update={"again_ns": again_ms * 1_000_000})
        found.append(one)
    for one in [one for one in found if one.kind != "hand"]:
        at_ms = max(0, one.at_ns // 1_000_000 - dice.randint(0, 1_000))
        for_ms = min(one.for_ns // 1_000_000 + dice.randint(500, 2_500), int(end_s * 1e3) - at_ms)
        if dice.random() < 0.3 and at_ms > WARM_S * 1e3:
            found.append(EngineFault.model_validate({
                "kind": "hand", "at": f"{at_ms}ms", "for": f"{for_ms}ms", "per_s": 3.0,
            }))  # fmt: skip
    return found
