"""Transports: how bytes travel between a venue and the cores.

`Transport` is all that keepers and sessions know. `HotTransport` is the compiled one: sockets read
by `HotLoop.poll` between turns of the event loop (busy), or when the loop says that they are
readable (sleep).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

from engine.gateway.greeting import greet
from engine.gateway.handshake import Upgraded, upgrade
from engine.gateway.hotsocket import Cold, HotLoop, Role
from engine.venues.base import ConnPlan

TRIES_PER_TURN = 1000  # ~0.3 ms between two turns of the loop; one turn costs ~10 us
SLEEP_TIMER_S = 0.01  # the core's due timer while nothing arrives
# (url, what, timeout_s, TLS) -> a connected socket past its upgrade, or TickmakerError.
Dial = Callable[[str, str, float, ssl.SSLContext | None], Awaitable[Upgraded]]
ColdItem = tuple[Cold, int, int]  # HotLoop.take_cold


class Transport(Protocol):
    """Slots of roles; what arrives goes to the cores without passing here."""

    async def connect(
        self, role: Role, slot: int, plan: ConnPlan, what: str, timeout_s: float
    ) -> None:
        """Dial, upgrade, greet, and hand over; a live socket in the slot is closed only then.

        TickmakerError when refused; `what` names the connection in it. All within `timeout_s`.
        """
        ...

    def disconnect(self, role: Role, slot: int) -> None: ...
    def start(
        self, on_cold: Callable[[list[ColdItem]], None], on_fault: Callable[[Exception], None]
    ) -> None:
        """Begin to move bytes. `on_cold(items)` when Python has work, `on_fault` if it raises."""
        ...

    def stop(self) -> None: ...
