"""Transports: how bytes travel between a venue and the core.

`Transport` is all that the session knows. `HotTransport` is the compiled one: sockets read by
`HotLoop.poll` between turns of the event loop (busy), or when the loop says that they are readable
(sleep). Others (picows, websockets) would stand beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from engine.gateway.handshake import Upgraded, upgrade
from engine.gateway.hotsocket import HotLoop

TRIES_PER_TURN = 1000  # ~0.3 ms between two turns of the loop; one turn costs ~10 us
SLEEP_TIMER_S = 0.01  # the core's due timer while nothing arrives
CONNECTIONS = (0, 1, 2)  # CONN_MARKET, CONN_TRADE, CONN_USER
# (url, what, timeout_s) -> a connected socket past its handshake, or TickmakerError.
Dial = Callable[[str, str, float], Awaitable[Upgraded]]


class Transport(Protocol):
    """Connections by number (CONN_*); what arrives goes to the core without passing here."""

    async def connect(self, conn: int, url: str, what: str, timeout_s: float) -> None:
        """Connect, upgrade, and tell the core that `conn` is up. TickmakerError if refused."""
        ...

    def disconnect(self, conn: int) -> None: ...
    def is_open(self, conn: int) -> bool: ...
    def close_text(self, conn: int) -> str: ...
    def start(self, on_cold: Callable[[int], None], on_fault: Callable[[Exception], None]) -> None:
        """Begin to move bytes. `on_cold(bits)` when Python has work, `on_fault` if that fails."""
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
        self._loop = asyncio.get_running_loop()
        self._on_cold: Callable[[int], None] | None = None
        self._on_fault: Callable[[Exception], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def connect(self, conn: int, url: str, what: str, timeout_s: float) -> None:
        upgraded = await self._dial(url, what, timeout_s)
        self.disconnect(conn)
        self.hot.attach(conn, upgraded.sock, upgraded.leftover)
        if not self._is_busy:
            self._loop.add_reader(self.hot.socket(conn).fileno, self._read)

    def disconnect(self, conn: int) -> None:
        fd = self.hot.socket(conn).fileno
        if fd >= 0 and not self._is_busy:
            self._loop.remove_reader(fd)
        self.hot.detach(conn)

    def is_open(self, conn: int) -> bool:
        return self.hot.socket(conn).is_open

    def close_text(self, conn: int) -> str:
        return self.hot.socket(conn).close_text

    def start(self, on_cold: Callable[[int], None], on_fault: Callable[[Exception], None]) -> None:
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
        self._poll(self._tries)
        self._loop.call_soon(self._turn)

    def _read(self) -> None:
        """Sleep: something is readable."""
        self._poll(1)

    def _tick(self) -> None:
        """Sleep: timer, and bytes that wait to be sent."""
        if self._on_cold is None:
            return
        self._poll(1)
        self._timer = self._loop.call_later(SLEEP_TIMER_S, self._tick)

    def _poll(self, tries: int) -> None:
        cold = self.hot.poll(tries)
        if not cold or self._on_cold is None:
            return
        if not self._is_busy:
            self._drop_failed_readers()
        try:
            self._on_cold(cold)
        except Exception as error:
            if self._on_fault is not None:
                self._on_fault(error)

    def _drop_failed_readers(self) -> None:
        """A dead socket stays readable for ever; the loop must not spin on it."""
        for conn in CONNECTIONS:
            hot = self.hot.socket(conn)
            if hot.fileno >= 0 and not hot.is_open:
                self._loop.remove_reader(hot.fileno)
