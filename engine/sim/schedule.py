"""What goes wrong in a simulated run: faults of the venue (exchange/faults*.py) and of the wire.

A schedule file is the exchange's own (`tickmaker exchange --faults`, docs/faults.md) plus tables
[[wire]] for what only a network does. A seed's swarm enables a random subset of all kinds, and
each of them a few times. Faults are numbered, so that a run can be repeated with some of them.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, NamedTuple

import tomllib
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.face import ConnKind
from engine.exchange.faults_file import parse_schedule
from engine.exchange.faults_schedule import MS, S, Fault, Schedule, Span, fault

WIRE_KINDS = ("cut", "wire_half_open", "stall", "refuse", "lose_request", "lose_answer", "split")
TABLE = re.compile(r"\s*\[")
WIRE_HEAD = re.compile(r"\s*\[\[\s*wire\s*\]\]")
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

    @property
    def conn(self) -> ConnKind | None:
        return None if self.what == "http" else ConnKind(self.what)

    def __str__(self) -> str:
        loss = ", with what was sent" if self.kind == "cut" and self.is_up_lost else ""
        return f"{self.at_ns / 1e9:.3f} s: {self.kind} {self.what} {self.for_ns / 1e9:.3f} s{loss}"


class Plan(NamedTuple):
    """All that goes wrong in one run, by number: first the venue's, then the wire's."""

    venue: tuple[Fault, ...]
    wire: tuple[WireFault, ...]

    def __len__(self) -> int:  # type: ignore[override]
        return len(self.venue) + len(self.wire)

    def only(self, numbers: Sequence[int]) -> "Plan":
        kept, count = set(numbers), len(self.venue)
        return Plan(
            tuple(fault for i, fault in enumerate(self.venue) if i in kept),
            tuple(fault for i, fault in enumerate(self.wire, count) if i in kept),
        )

    def texts(self) -> list[str]:
        return [_text(fault) for fault in self.venue] + [str(fault) for fault in self.wire]
