"""The venue's own switch that pulls our orders when we fall silent: armed, renewed, confirmed.

Binance USD-M counts down per symbol ("Auto-Cancel All Open Orders", countdownCancelAll): each
countdown is begun anew at a third of its time, so two renewals may fail before it fires; those of
many symbols are spread over that third, and none waits for the answer to another's. Bybit's
(DCP) has its window set over REST, which takes a while to work unless it was set like that before,
and hangs on the user stream's connection; it can't be disarmed.
Spot has none. A condition stands while we can't say that the switch is armed: until its first
confirmation, and whenever one is older than two thirds of the time, because then the venue may be
about to pull what we believe to rest.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient, VenueError
from engine.venues.base import Adapter, Call, Instrument

RENEW_SHARE = 1 / 3  # of the time, from one renewal to the next
LATE_SHARE = 2 / 3  # of the time: a confirmation older than this is no assurance
LOOKS = 24  # in one countdown, whether the confirmations are late
TOGETHER_MAX = 6  # on their way at once: one that hangs must not hold up the others
LAST_S = 0.7  # at the end, what is on its way may still arrive for so long

T = TypeVar("T")


class _Switch:
    """One call of the venue's, and when it was last confirmed."""

    def __init__(self, call: Call[None]) -> None:
        self.call = call
        self.confirmed_ns = 0  # when it was sent; 0: never
        self.due_ns = 0
        self.failures = 0
        self.task: asyncio.Task[None] | None = None  # its renewal


class DeadMan:
    """Of one account. `condition(True)`: not provably armed (HALT_DEAD_MAN of all its cores)."""

    def __init__(
        self, rest: RestClient, adapter: Adapter, instruments: Sequence[Instrument],
        timeout_s: int, condition: Callable[[bool], None], *, rng: Random,
        emit: Callable[..., None],
    ) -> None:
        self._rest = rest
        self._adapter = adapter
        self._instruments = tuple(instruments)
        self._timeout_s = timeout_s
        self._condition = condition
        self._rng = rng
        self._emit = emit
        self.is_wanted = timeout_s > 0 and adapter.has_dead_man
        # What can't be disarmed over REST hangs on the user stream.
        self._is_of_stream = self.is_wanted and not adapter.dead_man(self._instruments, 0)
        self._is_user_up = False
        self._works_ns = 0  # from then on, what was set anew
        self._is_on = False
        self._is_disarmed = False
        calls = adapter.dead_man(self._instruments, timeout_s * 1_000) if self.is_wanted else ()
        self._switches = [_Switch(call) for call in calls]
        self.renewals = 0
        # What renewals cost a minute, which nobody else may spend.
        self._kept_free = 0.0
        if self._switches and not self._is_of_stream:
            weight = sum(switch.call.weight for switch in self._switches)
            self._kept_free = weight * 60.0 / (timeout_s * RENEW_SHARE)
            rest.budget.keep_free(self._kept_free)
        if self.is_wanted:
            self._tell(True)

    def __repr__(self) -> str:
        return f"DeadMan({self._adapter.name}, {self._timeout_s} s)"

    @property
    def is_armed(self) -> bool:
        """Confirmed, and lately enough; always where it isn't wanted."""
        return not self._is_on

    async def arm(self) -> None:
        """At start-up: each call, confirmed; TickmakerError when one is not."""
        if not self._switches:
            return
        asking = self._adapter.dead_man_is_set(self._instruments, self._timeout_s * 1_000)
        is_set = asking is not None and (await self._patiently(asking))[0]
        await _each(self._arm_one, self._switches)
        if not is_set:
            self._works_ns = clock.monotonic_ns() + int(self._adapter.dead_man_delay_s * 1e9)
        self._look()

    async def keep(self) -> None:
        """Renews for ever, and looks whether that is in time."""
        if not self._switches:
            return
        try:
            if not self._is_of_stream:
                self._spread()
            while not self._is_disarmed:
                self._look()
                now_ns = clock.monotonic_ns()
                wait_s = self._timeout_s / LOOKS
                if not self._is_of_stream:
                    self._launch(now_ns)
                    wait_s = min(wait_s, self._until_due_s(now_ns))
                await asyncio.sleep(wait_s)
        finally:
            if not self._is_disarmed:  # who disarms waits for them
                for task in self._renewing():
                    task.cancel()

    def on_user(self, is_up: bool) -> None:
        """The user stream came up or went down: what hangs on it does the same."""
        self._is_user_up = is_up
        if self.is_wanted:
            self._look()

    async def disarm(self) -> None:
        """At the ordered shutdown, when the venue has said that no order is open. A switch that
        is left armed would pull the orders of the next start; so would a renewal that comes after
        this, so none is on its way any more."""
        self._is_disarmed = True
        if not self.is_wanted:
            return
        if renewing := self._renewing():
            # Cut off, its request may still come to the venue, and after ours.
            _, late = await asyncio.wait(renewing, timeout=LAST_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._rest.budget.keep_free(-self._kept_free)
        self._kept_free = 0.0
        await _each(self._disarm_one, self._adapter.dead_man(self._instruments, 0))

    async def _disarm_one(self, call: Call[None]) -> None:
        try:
            await self._rest.call(call)
        except TickmakerError as error:
            self._emit("warning", what=error.what,
                       remedy=f"the dead-man switch fires within {self._timeout_s} s")

    # -- RENEWALS ---

    async def _arm_one(self, switch: _Switch) -> None:
        # The countdown begins when the venue reads it, which is after this.
        _, sent_ns = await self._patiently(switch.call)
        self._confirmed(switch, sent_ns)

    async def _patiently(self, call: Call[T]) -> tuple[T, int]:
        """Again while our own budget holds it back; the answer, and when its try began."""
        while True:
            sent_ns = clock.monotonic_ns()
            try:
                return await self._rest.call(call), sent_ns
            except VenueError as error:
                if not error.is_held_back:
                    raise
                wait_s = error.retry_after_s
            await asyncio.sleep(wait_s)

    def _confirmed(self, switch: _Switch, sent_ns: int) -> None:
        switch.confirmed_ns = max(sent_ns, switch.confirmed_ns)
        self.renewals += 1

    def _renewing(self) -> list[asyncio.Task[None]]:
        tasks = (switch.task for switch in self._switches)
        return [task for task in tasks if task is not None and not task.done()]

    def _spread(self) -> None:
        """From now on each at its own moment of a third of the time."""
        period_ns = self._timeout_s * RENEW_SHARE * 1e9
        for index, switch in enumerate(self._switches):
            share = (index + 1) / len(self._switches)
            switch.due_ns = switch.confirmed_ns + int(period_ns * share)

    def _launch(self, now_ns: int) -> None:
        """What is due, the oldest confirmation first."""
        running = {id(task) for task in self._renewing()}
        due = [switch for switch in self._switches
               if switch.due_ns <= now_ns and id(switch.task) not in running]
        due.sort(key=lambda switch: switch.confirmed_ns)
        for switch in due[: TOGETHER_MAX - len(running)]:
            switch.task = asyncio.get_running_loop().create_task(self._renew(switch))

    def _until_due_s(self, now_ns: int) -> float:
        running = {id(task) for task in self._renewing()}
        if len(running) >= TOGETHER_MAX:
            return math.inf
        dues = [s.due_ns for s in self._switches if id(s.task) not in running]
        return max(min(dues, default=now_ns + 1e9) - now_ns, 0) / 1e9

    async def _renew(self, switch: _Switch) -> None:
        """Tried once: when it is due again, what has been unconfirmed for longest goes first."""
        period_s = self._timeout_s * RENEW_SHARE
        try:
            if self._is_disarmed:
                return
            sent_ns = clock.monotonic_ns()
            await self._rest.call(switch.call, tries=1)
            self._confirmed(switch, sent_ns)
        except TickmakerError as error:
            if not any(one.failures for one in self._switches):
                self._emit("warning", what=error.what, remedy=error.remedy)
            wait_s = min(backoff_s(switch.failures, self._rng), period_s / 2)
            switch.failures += 1
        else:
            # By the schedule, so that they stay spread; late ones are not made up for.
            late_s = (clock.monotonic_ns() - switch.due_ns) / 1e9
            wait_s = period_s - min(late_s, period_s / 2)
            switch.failures = 0
        switch.due_ns = clock.monotonic_ns() + int(wait_s * 1e9)
        self._look()

    def _look(self) -> None:
        if self._is_disarmed:
            return
        oldest_ns = min((switch.confirmed_ns for switch in self._switches), default=0)
        if self._is_of_stream:
            is_early = clock.monotonic_ns() < self._works_ns
            self._tell(oldest_ns == 0 or is_early or not self._is_user_up)
        else:
            age_s = (clock.monotonic_ns() - oldest_ns) / 1e9
            self._tell(oldest_ns == 0 or age_s > self._timeout_s * LATE_SHARE)

    def _tell(self, is_on: bool) -> None:
        if is_on != self._is_on:
            self._is_on = is_on
            self._condition(is_on)


async def _each(act: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Few together; the first problem is raised when all are done."""
    together = asyncio.Semaphore(TOGETHER_MAX)

    async def one(item: T) -> None:
        async with together:
            await act(item)

    for result in await asyncio.gather(*map(one, items), return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
