"""An event loop whose time is a number: when nothing is ready it jumps to the next timer.

Everything that a session awaits is either ready or waits for a timer, because its sockets' other
ends are ours too (network.py). So a day passes in the time that its work takes, and a run depends
on nothing but its seed: time moves only between turns, and every clock of the process says what
the loop says.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Any

from engine import clock
from engine.gateway import hotsocket

START_NS = 1_000 * 1_000_000_000  # of the monotonic clock: 0 would mean "never" to the core
UTC_START_NS = 1_760_000_000 * 1_000_000_000
TURNS_MAX = 200_000  # without time passing: somebody waits in a circle


class StandstillError(RuntimeError):
    """Nothing will ever happen again, or time can't pass: a bug of what runs in the loop."""


class _Timer(asyncio.TimerHandle):
    """asyncio's handle without what no timer here needs: a context of its own and a loop. It is
    made a hundred times a virtual second."""

    __slots__ = ()

    def __init__(self, when: float, callback: Callable[..., object], args: Any) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._scheduled = True
        self._repr = None
        self._source_traceback = None

    def __repr__(self) -> str:
        return f"<_Timer at {self._when} s: {self._callback!r}>"

    def cancel(self) -> None:
        """It stays in the heap until its time, and does nothing then."""
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class VirtualLoop(asyncio.BaseEventLoop):
    """Timers, tasks and readers; no sockets, threads, signals or processes of its own.

    Timers stand in a heap of our own, by time and then by the order in which they were set; they
    are due only when nothing is ready, so a turn costs what it runs. All are called there and
    then; the network's (`at_ns`) can't be cancelled.
    """

    _ready: deque[asyncio.Handle]  # asyncio's; call_soon fills it
    _stopping: bool  # asyncio's

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = START_NS
        self._timers: list[tuple[int, int, _Timer | None, Any]] = []
        self._timer_count = 0
        self._readers: dict[int, Callable[[], object]] = {}
        self._turns = 0
        self._has_run = False  # since the last look at what was written
        # Called before time moves, if anything but the network has run: may set timers.
        self.before_jump: Callable[[], object] = lambda: None

    # -- TIME ---

    def monotonic_ns(self) -> int:
        return self._now_ns

    def wall_ns(self) -> int:
        return self._now_ns - START_NS + UTC_START_NS

    def time(self) -> float:
        return self._now_ns / 1e9

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        return self._set(round(when * 1e9), when, callback, args, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        when_ns = self._now_ns + round(delay * 1e9)
        if context is not None:
            return self._set(when_ns, when_ns / 1e9, callback, args, context)
        handle = _Timer(when_ns / 1e9, callback, args)
        self._timer_count += 1
        heapq.heappush(self._timers, (when_ns, self._timer_count, handle, None))
        return handle

    def at_ns(self, when_ns: int, callback: Callable[[Any], object], arg: Any = None) -> None:
        """Call at `when_ns` of monotonic_ns(), or once nothing is ready if that has passed."""
        self._timer_count += 1
        heapq.heappush(self._timers, (when_ns, self._timer_count, None, (callback, (arg,))))

    def _set(
        self, when_ns: int, when: float, callback: Callable[..., object], args: Any,
        context: Context | None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        if context is not None:
            callback, args = context.run, (callback, *args)
        handle = _Timer(when, callback, args)
        self._timer_count += 1
        heapq.heappush(self._timers, (when_ns, self._timer_count, handle, None))
        return handle

    # -- TURNS ---

    def _run_once(self) -> None:
        """One turn of run_forever(): let time pass until something is ready, run what is."""
        ready = self._ready
        while not ready and not self._stopping:
            if self._has_run:
                self._has_run = False
                self.before_jump()
            self._jump()
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise StandstillError(f"{TURNS_MAX} turns without time passing")
        self._has_run = self._has_run or bool(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        """To the first timer that is still set, and call it."""
        timers = self._timers
        while timers and (first := timers[0][2]) is not None and first._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise StandstillError("nothing is ready, and no timer is set")
        when_ns, _, handle, call = heapq.heappop(timers)
        if when_ns > self._now_ns:
            self._now_ns, self._turns = when_ns, 0
            hotsocket.set_virtual_time(when_ns, when_ns - START_NS + UTC_START_NS)
        elif (turns := self._turns + 1) <= TURNS_MAX:
            self._turns = turns
        else:
            raise StandstillError(f"{TURNS_MAX} timers without time passing")
        if handle is not None:
            self._has_run = True
            callback, args = handle._callback, handle._args
        else:
            callback, args = call
        try:
            callback(*args)
        except Exception as error:
            self.call_exception_handler({"message": f"timer: {callback}", "exception": error})

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap until its time, and does nothing then."""

    # -- WHAT ASYNCIO ASKS OF A LOOP ---

    def _write_to_self(self) -> None:
        """No other thread ever wakes this loop."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        self._readers[fd] = partial(callback, *args) if args else callback
        self.call_soon(self.readable, fd)  # bytes may wait already

    def remove_reader(self, fd: int) -> bool:  # type: ignore[override]
        return self._readers.pop(fd, None) is not None

    def readable(self, fd: int) -> None:
        """Bytes, or the end, have come to `fd`."""
        reader = self._readers.get(fd)
        if reader is not None:
            self._has_run = True
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
