"""Reconciliation."""

from dataclasses import dataclass
from typing import Literal

from engine.execution.belief import Action, Belief, Told


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration has to say about it."""

    strangers: Literal["leave", "cancel", "halt"]
    # A query's "no such order" counts when the order was sent longer ago: recvWindow + ack timeout.
    absent_after_ns: int


def reconcile(belief: Belief, told: Told, policy: Policy) -> list[Action]:
    """What follows, fills first. [Agreed] alone: nothing is left to do."""
    raise NotImplementedError
