"""What the keepers of one account share, and how patient they are."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from engine.gateway.budget import Attempts
from engine.gateway.hotrole import Role
from engine.gateway.hotsocket import HotLoop
from engine.gateway.rest import RestClient
from engine.gateway.transport import Transport
from engine.venues.base import Adapter
from fastcore.types import Conn, OrderState

PENDING = frozenset({
    OrderState.PENDING_NEW, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE,
})  # fmt: skip

Emit = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may be silent, and how it is replaced. Seconds."""

    silent_s: float = 5.0  # nothing heard: it is asked (a ping)
    doubt_s: float = 1.0  # no answer: it is doubted
    answer_s: float = 3.0  # no answer: it is dropped
    age_share: float = 0.9  # of the venue's age limit, when its replacement is begun
    drain_s: float = 5.0  # a replaced connection may still bring answers for so long
    # Or for so long where an order that went out on it has none yet: beyond any usual recvWindow.
    drain_s_max: float = 30.0
    turn_s: float = 0.25  # between two looks


class Link(NamedTuple):
    """What all keepers of one account share."""

    account: str
    adapter: Adapter
    rest: RestClient
    hot: HotLoop
    transport: Transport
    attempts: Attempts
    rng: Random
    emit: Emit
    on_fault: Callable[[BaseException], None]
    patience: Patience = Patience()

    @property
    def utc_ms(self) -> int:
        return self.rest.utc_ns() // 1_000_000


def is_awaited(hot: HotLoop, role: Role, slot: int, fresh_ns: int) -> bool:
    """Whether something of TRADE's still needs a connection that is replaced: a cancel that waits
    in the socket would be lost with it, and so would the answers to what left before `fresh_ns`,
    when there was no other."""
    if role.kind != Conn.TRADE:
        return False
    if role.socket(slot).queued_bytes > 0:
        return True
    return any(
        own["state"] in PENDING and own["sent_ns"] < fresh_ns
        for number in role.numbers for own in hot.core(number).numbers()["own"]
    )
