"""An event loop whose time is a number: when nothing is ready it jumps to the next timer.

Everything that a session awaits is either ready or waits for a timer, because its sockets' other
ends are ours too (network.py). So a day passes in the time that its work takes, and a run depends
on nothing but its seed: time moves only between turns, and every clock of the process says what
the loop says.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine import clock
from engine.gateway import hotsocket

START_NS = 1_000 * 1_000_000_000  # of the monotonic clock: 0 would mean "never" to the core
UTC_START_NS = 1_760_000_000 * 1_000_000_000
TURNS_MAX = 200_000  # without time passing: somebody waits in a circle


class StandstillError(RuntimeError):
    """Nothing will ever happen again, or time can't pass: a bug of what runs in the loop."""


class _Jump:
    """Stands where a loop has its selector: asyncio asks it to wait, it lets time pass."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout != 0:
            self._loop.idle(timeout is None)
        else:
            self._loop.count_turn()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Timers, tasks and readers; no sockets, threads, signals or processes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = START_NS
        self._clock_resolution = 1e-9
        self._selector = _Jump(self)
        self._readers: dict[int, Callable[[], None]] = {}
        self._turns = 0
        # Called before time moves; True when it made something ready or due.
        self.before_jump: Callable[[], bool] = lambda: False

    # -- TIME ---

    def monotonic_ns(self) -> int:
        return self._now_ns

    def wall_ns(self) -> int:
        return self._now_ns - START_NS + UTC_START_NS

    def time(self) -> float:
        return self._now_ns / 1e9

    def idle(self, is_endless: bool) -> None:
        """Nothing is ready: jump to the first timer, unless bytes are still to be moved."""
        if self.before_jump():
            self.count_turn()
            return
        if is_endless:
            raise StandstillError("nothing is ready, and no timer is set")
        due_ns = round(self._scheduled[0].when() * 1e9)  # type: ignore[attr-defined]
        self._now_ns = max(due_ns, self._now_ns)
        self._turns = 0
        hotsocket.set_virtual_time(self._now_ns, self.wall_ns())

    def count_turn(self) -> None:
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise StandstillError(f"{TURNS_MAX} turns without time passing")

    def call_at_ns(
        self, when_ns: int, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """At `when_ns` of monotonic_ns(), or in the next turn if that has passed."""
        return self.call_at(when_ns / 1e9, callback, *args)

    # -- WHAT ASYNCIO ASKS OF A LOOP ---

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: readers are called by who writes (`readable`)."""

    def _write_to_self(self) -> None:
        """No other thread ever wakes this loop."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        self._readers[fd] = lambda: callback(*args)
        self.call_soon(self.readable, fd)  # bytes may wait already

    def remove_reader(self, fd: int) -> bool:  # type: ignore[override]
        return self._readers.pop(fd, None) is not None

    def readable(self, fd: int) -> None:
        """Bytes, or the end, have come to `fd`."""
        reader = self._readers.get(fd)
        if reader is not None:
            reader()


@contextmanager
def virtual_time(loop: VirtualLoop) -> Iterator[None]:
    """Every clock of this process says what `loop` says, inside the block."""
    clock.install(loop)
    hotsocket.set_virtual_time(loop.monotonic_ns(), loop.wall_ns())
    try:
        yield
    finally:
        hotsocket.set_virtual_time(0, 0)
        clock.install(None)
