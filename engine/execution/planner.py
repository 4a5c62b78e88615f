"""Planner."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import EngineConfig
from engine.venues.base import Instrument


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What the planner must know of a venue; `of_adapter` takes it from one."""

    weight_per_min: int  # of an address
    snapshot_weight: int
    reconcile_weight: int  # of one pass over one instrument
    connect_attempts_per_min: int
    has_dead_man: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is used up: of whom, how much is wanted, how much there is."""

    what: str  # "orders in 10 s"
    of: str  # an account's, an address's or an instrument's name
    wanted: float
    there_is: float
    unit: str

    @property
    def is_kept(self) -> bool:
        return self.wanted <= self.there_is


@dataclass(frozen=True, slots=True)
class Plan:
    rows: tuple[Row, ...]
    problems: tuple[str, ...]


def plan(
    config: EngineConfig,
    instruments: Mapping[str, Instrument],  # by InstrumentConfig.key
    facts: Mapping[str, VenueFacts],  # by account's name
) -> Plan:
    raise NotImplementedError


def orders_per_s_each(instrument: Instrument, instrument_count: int) -> float:
    """Orders a second that the venue's limits leave each of n instruments of one account."""
    raise NotImplementedError
