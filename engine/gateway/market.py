"""Market data's cold side: REST depth snapshots for as long as the core wants one."""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.hotsocket import HotLoop
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient, VenueError
from engine.venues import binance_usdm as venue

RETRY_BASE_S = 0.02  # a snapshot older than the buffered diffs: the next one may do at once
RETRY_CAP_S = 5.0
# A third of what the venue allows an address: the rest is for cancels, the clock, listen keys. A
# feed that breaks again and again would else get the address banned, and its orders left alone.
PER_MINUTE_MAX = venue.WEIGHT_PER_MINUTE // 3 // venue.SNAPSHOT_WEIGHT
MINUTE_NS = 60 * 1_000_000_000


class Snapshots:
    """At most one snapshot request in flight; backs off while they fail or come too old."""

    def __init__(
        self,
        hot: HotLoop,
        rest: RestClient,
        symbol: str,
        rng: Random,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._hot = hot
        self._rest = rest
        self._symbol = symbol
        self._rng = rng
        self._on_fault = on_fault
        self._task: asyncio.Task[None] | None = None
        self._asked_ns: deque[int] = deque(maxlen=PER_MINUTE_MAX)
        self.fetched = 0
        self.last_error = ""

    def want(self) -> None:
        """The core wants a snapshot, or may: fetch until it does not."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._fetch())
            self._task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(error)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _fetch(self) -> None:
        attempt = 0
        while self._hot.is_snapshot_wanted and self._hot.market.is_open:
            if (early_s := self._early_s()) > 0:
                await asyncio.sleep(early_s)
                continue
            self._asked_ns.append(clock.monotonic_ns())
            wait_s = backoff_s(attempt, self._rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
            try:
                body = await self._rest.get_bytes(
                    venue.DEPTH,
                    {"symbol": self._symbol, "limit": str(venue.SNAPSHOT_LEVELS)},
                    tries=1,
                )
            except TickmakerError as error:
                self.last_error = error.what
                if isinstance(error, VenueError):
                    wait_s = max(wait_s, error.retry_after_s)
            else:
                if self._took(body):
                    return
            await asyncio.sleep(wait_s)
            attempt += 1

    def _early_s(self) -> float:
        """Until the budget allows another request; 0 when it does."""
        if len(self._asked_ns) < PER_MINUTE_MAX:
            return 0.0
        return max(0, self._asked_ns[0] + MINUTE_NS - clock.monotonic_ns()) / 1e9

    def _took(self, body: bytes) -> bool:
        """Hand a snapshot to the core; False when it still wants one."""
        self._hot.snapshot(body)
        self.fetched += 1
        self.last_error = ""
        return not self._hot.is_snapshot_wanted
