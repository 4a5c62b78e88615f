"""Market data's cold side: REST depth snapshots for as long as the core wants one."""

import asyncio
from collections.abc import Callable
from random import Random

from engine.errors import TickmakerError
from engine.gateway.hotsocket import HotLoop
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import RestClient, VenueError
from engine.venues import binance_usdm as venue

RETRY_BASE_S = 0.02  # a snapshot older than the buffered diffs: the next one may do at once
RETRY_CAP_S = 5.0


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

    def _took(self, body: bytes) -> bool:
        """Hand a snapshot to the core; False when it still wants one."""
        self._hot.snapshot(body)
        self.fetched += 1
        self.last_error = ""
        return not self._hot.is_snapshot_wanted
