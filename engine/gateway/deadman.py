"""The venue's own switch that pulls our orders when we fall silent: armed, renewed, confirmed.

Binance USD-M counts down per symbol ("Auto-Cancel All Open Orders", countdownCancelAll): each
countdown is begun anew at a third of its time, so two renewals may fail before it fires. Bybit's
(DCP) has its window set over REST and hangs on the user stream's connection; it can't be disarmed.
Spot has none. A condition stands while we can't say that the switch is armed: until its first
confirmation, and whenever one is older than two thirds of the time, because then the venue may be
about to pull what we believe to rest.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient
from engine.venues.base import Adapter, Call, Instrument

RENEW_SHARE = 1 / 3  # of the time, from one renewal to the next
LATE_SHARE = 2 / 3  # of the time: a confirmation older than this is no assurance
LOOKS = 24  # in one countdown, whether the confirmations are late


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
        self._is_on = False
        self._is_disarmed = False
        self._confirmed_ns = [0] * (len(self._calls()) if self.is_wanted else 0)
        self.renewals = 0
        if self.is_wanted:
            self._tell(True)

    def __repr__(self) -> str:
        return f"DeadMan({self._adapter.name}, {self._timeout_s} s)"

    @property
    def is_armed(self) -> bool:
        """Confirmed, and lately enough; always where it isn't wanted."""
        return not self._is_on

    async def arm(self) -> None:
        """At start-up: each call once, confirmed; TickmakerError when one is not."""
        if self.is_wanted:
            for index, call in enumerate(self._calls()):
                await self._confirm(index, call)
            self._look()

    async def keep(self) -> None:
        """Renews for ever, and looks whether that is in time."""
        if not self.is_wanted:
            return
        looking = asyncio.get_running_loop().create_task(self._look_on())
        try:
            if not self._is_of_stream:
                await self._renew()
            await looking
        finally:
            looking.cancel()

    def on_user(self, is_up: bool) -> None:
        """The user stream came up or went down: what hangs on it does the same."""
        self._is_user_up = is_up
        if self.is_wanted:
            self._look()

    async def disarm(self) -> None:
        """At the ordered shutdown, when the venue has said that no order is open. A switch that
        is left armed would pull the orders of the next start."""
        self._is_disarmed = True
        if not self.is_wanted:
            return
        for call in self._adapter.dead_man(self._instruments, 0):
            try:
                await self._rest.call(call)
            except TickmakerError as error:
                self._emit("warning", what=error.what,
                           remedy=f"the dead-man switch fires within {self._timeout_s} s")

    def _calls(self) -> tuple[Call[None], ...]:
        return self._adapter.dead_man(self._instruments, self._timeout_s * 1_000)

    async def _confirm(self, index: int, call: Call[None]) -> None:
        # The countdown begins when the venue reads it, which is after this.
        sent_ns = clock.monotonic_ns()
        await self._rest.call(call)
        self._confirmed_ns[index] = sent_ns
        self.renewals += 1

    async def _renew(self) -> None:
        """One symbol after the other, spread over a third of the time."""
        calls = self._calls()
        pause_s = self._timeout_s * RENEW_SHARE / len(calls)
        failures = 0
        while not self._is_disarmed:
            for index, call in enumerate(calls):
                began_ns = clock.monotonic_ns()
                try:
                    await self._confirm(index, call)
                    failures = 0
                except TickmakerError as error:
                    if failures == 0:
                        self._emit("warning", what=error.what, remedy=error.remedy)
                    await asyncio.sleep(min(backoff_s(failures, self._rng), pause_s))
                    failures += 1
                self._look()
                took_s = (clock.monotonic_ns() - began_ns) / 1e9
                await asyncio.sleep(max(pause_s - took_s, 0.0))

    async def _look_on(self) -> None:
        while not self._is_disarmed:
            self._look()
            await asyncio.sleep(self._timeout_s / LOOKS)

    def _look(self) -> None:
        if self._is_disarmed:
            return
        oldest_ns = min(self._confirmed_ns, default=0)
        if self._is_of_stream:
            self._tell(oldest_ns == 0 or not self._is_user_up)
        else:
            age_s = (clock.monotonic_ns() - oldest_ns) / 1e9
            self._tell(oldest_ns == 0 or age_s > self._timeout_s * LATE_SHARE)

    def _tell(self, is_on: bool) -> None:
        if is_on != self._is_on:
            self._is_on = is_on
            self._condition(is_on)
