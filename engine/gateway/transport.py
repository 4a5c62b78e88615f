"""Transports: how bytes travel between a venue and the cores.

`Transport` is all that keepers and sessions know. `HotTransport` is the compiled one: sockets read
by `HotLoop.poll` between turns of the event loop (busy), or when the loop says that they are
readable (sleep).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from engine.errors import TickmakerError
from engine.gateway.greeting import greet
from engine.gateway.handshake import Upgraded, strerror, upgrade
from engine.gateway.hotrole import Role
from engine.gateway.hotsocket import Cold, HotLoop
from engine.gateway.tls import client_context
from engine.venues.base import ConnPlan

TRIES_PER_TURN = 1000  # ~0.3 ms between two turns of the loop; one turn costs ~10 us
SLEEP_S_MIN, SLEEP_S_MAX = 0.001, 0.1  # a loop's timers count milliseconds; no core: look again
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


class HotTransport:
    """The compiled transport, busy-polled or sleeping."""

    def __init__(
        self, hot: HotLoop, *, is_busy: bool, tries: int = TRIES_PER_TURN, dial: Dial = upgrade
    ) -> None:
        self.hot = hot
        self._dial = dial
        self._is_busy = is_busy
        self._tries = tries
        self._ca_files: dict[int, Path] = {}  # by role; of the others a public authority signed
        self._contexts: dict[Path | None, ssl.SSLContext] = {}
        self._loop = asyncio.get_running_loop()
        self._on_cold: Callable[[list[ColdItem]], None] | None = None
        self._on_fault: Callable[[Exception], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def trust(self, role: Role, ca_file: Path | None) -> None:
        """Which authority signed the certificates of a role's venue; None: a public one."""
        if ca_file is None:
            self._ca_files.pop(role.index, None)
        else:
            self._ca_files[role.index] = ca_file

    def _context_of(self, role: Role) -> ssl.SSLContext:
        ca_file = self._ca_files.get(role.index)
        if ca_file not in self._contexts:
            self._contexts[ca_file] = client_context(ca_file)
        return self._contexts[ca_file]

    async def connect(
        self, role: Role, slot: int, plan: ConnPlan, what: str, timeout_s: float
    ) -> None:
        tls = self._context_of(role) if plan.url.startswith("wss:") else None
        end_s = self._loop.time() + timeout_s
        upgraded = await self._dial(plan.url, what, timeout_s, tls)
        if plan.texts or plan.answers:
            upgraded = await greet(upgraded, plan, what, end_s - self._loop.time())
        self.disconnect(role, slot)
        try:
            self.hot.attach(role, slot, upgraded.sock, upgraded.leftover, upgraded.tls)
        except OSError as error:
            upgraded.sock.close()
            raise TickmakerError(
                f"{what}: connection lost at once: {strerror(error)}", "check the exchange's log"
            ) from None
        if not self._is_busy and role.is_slot_open(slot):
            self._loop.add_reader(role.fileno(slot), self._read)

    def disconnect(self, role: Role, slot: int) -> None:
        fd = role.fileno(slot)
        if fd >= 0 and not self._is_busy:
            self._loop.remove_reader(fd)
        self.hot.detach(role, slot)

    def start(
        self, on_cold: Callable[[list[ColdItem]], None], on_fault: Callable[[Exception], None]
    ) -> None:
        self._on_cold = on_cold
        self._on_fault = on_fault
        if self._is_busy:
            self._loop.call_soon(self._turn)
        else:
            self._tick()

    def stop(self) -> None:
        self._on_cold = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        """Busy: poll for a while, let the loop run what else is ready, come back."""
        if self._on_cold is None:
            return
        if self.hot.poll(self._tries):
            self._take()
        self._loop.call_soon(self._turn)

    def _read(self) -> None:
        """Sleep: something is readable."""
        if self.hot.poll(1):
            self._take()

    def _tick(self) -> None:
        """Sleep: the cores' timers, when they are due, and bytes that wait to be sent."""
        if self._on_cold is None:
            return
        if self.hot.poll(1):
            self._take()
        due_s = self.hot.due_in_s(SLEEP_S_MIN, SLEEP_S_MAX)
        self._timer = self._loop.call_later(due_s, self._tick)

    def _take(self) -> None:
        if self._on_cold is None:
            return
        items = self.hot.take_cold()
        if not self._is_busy:
            self._drop_failed_readers(items)
        try:
            self._on_cold(items)
        except Exception as error:
            if self._on_fault is not None:
                self._on_fault(error)

    def _drop_failed_readers(self, items: list[ColdItem]) -> None:
        """A dead socket stays readable for ever; the loop must not spin on it."""
        roles = self.hot.roles
        for what, index, slot in items:
            if what is Cold.CLOSED and (fd := roles[index].fileno(slot)) >= 0:
                self._loop.remove_reader(fd)
