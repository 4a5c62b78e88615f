"""The venue's clock against ours: one offset for an account's signatures and all of its cores."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient, UnreachableError, VenueError
from engine.venues.base import Adapter

SAMPLES = 5
REQUEST_S = 1.0  # a longer round trip says too little of the venue's time
JUMP_NS_MAX = 1_000_000_000  # of the offset between two measurements, before it is doubted
EVERY_S = 30.0
TIME_NS_MAX = 1 << 62  # the year 2116; cores count in 63 bits


class ClockSample(NamedTuple):
    """The venue's UTC less our monotonic clock; wrong by at most half the round trip."""

    offset_ns: int
    round_trip_ns: int


class ClockSync:
    """`apply(offset_ns)` gets what stands: the session gives it to every core of the account."""

    def __init__(
        self, rest: RestClient, adapter: Adapter, apply: Callable[[int], None], *, rng: Random,
        emit: Callable[..., None],
    ) -> None:
        self._rest = rest
        self._adapter = adapter
        self._apply = apply
        self._rng = rng
        self._emit = emit
        self._offset_ns: int | None = None
        self._measuring: asyncio.Task[ClockSample] | None = None
        self.round_trip_ns = 0
        rest.on_clock_refused = self.sync

    @property
    def offset_ns(self) -> int:
        """The venue's UTC less the monotonic clock. sync() first."""
        assert self._offset_ns is not None, "sync() first"
        return self._offset_ns

    async def sync(self) -> None:
        """Measure and apply. Who asks while a measurement runs gets that one."""
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.get_running_loop().create_task(self.sample())
            self._measuring.add_done_callback(_looked_at)
        sample = await asyncio.shield(self._measuring)
        self.round_trip_ns = sample.round_trip_ns
        self._rest.utc_ns = lambda: clock.monotonic_ns() + self.offset_ns
        self._apply(sample.offset_ns)

    async def keep(self) -> None:
        """For ever: clocks drift."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self._try()

    async def clear(self, is_halted: Callable[[], bool]) -> None:
        """The venue refused an order for its timestamp: measure until that stands no more."""
        attempt = 0
        while is_halted():
            await asyncio.sleep(backoff_s(attempt, self._rng))
            attempt += 1
            await self._try()

    async def _try(self) -> None:
        try:
            await self.sync()
        except TickmakerError as error:
            self._emit("warning", what=error.what, remedy=error.remedy)

    async def sample(self, samples: int = SAMPLES) -> ClockSample:
        """Venue time against the middle of the round trip; the quickest of `samples`.

        An offset that jumped is taken only when measuring it again agrees.
        """
        sample = await self._quickest(samples)
        if self._offset_ns is not None and not _agree(sample.offset_ns, self._offset_ns):
            first, sample = sample, await self._quickest(samples)
            if not _agree(sample.offset_ns, first.offset_ns):
                raise TickmakerError(
                    f"GET {self._adapter.time().path}: the venue's time jumps from one answer to "
                    "the next",
                    "check that rest_url is the exchange's REST address",
                )
        self._offset_ns = sample.offset_ns
        return sample

    async def _quickest(self, samples: int) -> ClockSample:
        best: ClockSample | None = None
        problem: TickmakerError | None = None
        for attempt in range(samples):
            try:
                sample = await self._one()
            except (UnreachableError, VenueError) as error:
                problem = error
                await asyncio.sleep(backoff_s(attempt, self._rng))
                continue
            if best is None or sample.round_trip_ns < best.round_trip_ns:
                best = sample
        if best is None:
            assert problem is not None
            raise problem
        return best

    async def _one(self) -> ClockSample:
        # A wait for the budget would look like the network's: such a sample is not the quickest.
        began_ns = clock.monotonic_ns()
        venue_ns = await self._rest.call(self._adapter.time(), tries=1, timeout_s=REQUEST_S)
        ended_ns = clock.monotonic_ns()
        if not 0 < venue_ns < TIME_NS_MAX:
            raise TickmakerError(
                f"GET {self._adapter.time().path}: the venue's time is out of all range",
                "check that rest_url is the exchange's REST address",
            )
        return ClockSample(venue_ns - (began_ns + ended_ns) // 2, ended_ns - began_ns)


def _looked_at(task: asyncio.Task[ClockSample]) -> None:
    """Whoever asked may be gone by now: the problem is nobody's then."""
    if not task.cancelled():
        task.exception()


def _agree(one_ns: int, other_ns: int) -> bool:
    return abs(one_ns - other_ns) <= JUMP_NS_MAX
