"""Market data's cold side: snapshots over REST for as long as a core wants one.

Of all instruments of an account, one request each at a time and few together: the address's budget
gives snapshots a third (engine/gateway/budget.py), and a cancel must not wait behind them for a
connection. Bybit has none: its stream begins with one, so a core that wants a book wants a new
subscription.

Where many instruments share an address, each snapshot holds few levels (Adapter.snapshot), and
what lies beyond stays unknown until it changes. So where the touch has come near to that edge a
new one is fetched: the book is built anew, for which its quotes are pulled for a moment.

A venue whose update ids start anew leaves a core with diffs and a snapshot that never link: what
waits has the old, higher ids, and each with a new one looks like a copy of what came before. No
answer of the venue ends that, so after a while the core begins again with nothing.
"""

import asyncio
from dataclasses import dataclass

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link
from engine.gateway.reconnect import backoff_s
from engine.gateway.rest import VenueError
from engine.venues.base import Call, Instrument
from fastcore.types import Command, SyncState

RETRY_BASE_S = 0.02  # a snapshot older than the buffered diffs: the next one may do at once
RETRY_CAP_S = 5.0
TOGETHER_MAX = 3
LEVELS_KNOWN = 10  # of each side, what gate and strategies look at
LOOK_EVERY_S = 0.5  # at one instrument after the other
RENEW_S_MIN = 60.0  # of one instrument: a venue's whole book may be smaller than that
# Snapshot and diffs do not link: begin again. Ever later, for a REST cache may lag behind by more.
UNLINKED_BASE_S = 3.0
UNLINKED_CAP_S = 60.0


@dataclass(frozen=True, slots=True)
class _Source:
    instrument: Instrument
    keeper: Keeper


class Snapshots:
    """Backs off while they fail or come too old."""

    def __init__(self, link: Link, among: int = 1) -> None:
        """`among` instruments share the address's weight."""
        self._link = link
        self._among = among
        self._renewed_ns: dict[int, int] = {}
        self._sources: dict[int, _Source] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._anchors: dict[int, asyncio.Task[None]] = {}
        self._begun_again: dict[int, int] = {}  # how often in a row, of an instrument
        self._together = asyncio.Semaphore(TOGETHER_MAX)
        self.fetched = 0
        self.last_error = ""

    def add(self, number: int, instrument: Instrument, keeper: Keeper) -> None:
        self._sources[number] = _Source(instrument, keeper)

    def want(self, number: int) -> None:
        """A core wants a book, or may: fetch until it does not."""
        task = self._tasks.get(number)
        if task is not None and not task.done():
            return
        source = self._sources[number]
        call = self._link.adapter.snapshot(source.instrument, self._among)
        if call is None:
            if self._link.hot.core(number).resubscribe_wanted:
                symbol = source.instrument.symbol
                source.keeper.resubscribe(number, f"{symbol}: its book needs a new snapshot")
            return
        task = asyncio.get_running_loop().create_task(self._fetch(number, call))
        task.add_done_callback(self._on_done)
        self._tasks[number] = task

    async def keep(self) -> None:
        """For ever, where snapshots are not as deep as they could be."""
        if not any(map(self._is_shallow, self._sources.values())):
            return
        while True:
            for number in self._sources:
                await asyncio.sleep(LOOK_EVERY_S)
                self.look(number)

    def _is_shallow(self, source: _Source) -> bool:
        snapshot = self._link.adapter.snapshot
        one, many = snapshot(source.instrument), snapshot(source.instrument, self._among)
        return one is not None and many is not None and many.weight < one.weight

    def look(self, number: int) -> None:
        """A new snapshot, if the one that the book stands on ends near the touch."""
        now_ns = clock.monotonic_ns()
        last_ns = self._renewed_ns.get(number)
        if last_ns is not None and now_ns - last_ns < RENEW_S_MIN * 1e9:
            return
        if not self._link.hot.core(number).is_known_to(LEVELS_KNOWN):
            self._renewed_ns[number] = now_ns
            self._link.hot.command(number, Command.RESYNC)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._link.on_fault(error)

    async def close(self) -> None:
        tasks = [*self._tasks.values(), *self._anchors.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, number: int, call: Call[bytes]) -> None:
        attempt, unlinked_ns, hot = 0, 0, self._link.hot
        while hot.is_snapshot_wanted(number):
            pause_s = backoff_s(attempt, self._link.rng, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
            try:
                async with self._together:
                    body = await self._link.rest.raw(call, tries=1)
            except TickmakerError as error:
                self.last_error = error.what
                asked_s = error.retry_after_s if isinstance(error, VenueError) else 0.0
                await asyncio.sleep(max(pause_s, asked_s))
            else:
                hot.snapshot(number, body)
                self.fetched += 1
                self.last_error = ""
                if not hot.is_snapshot_wanted(number):
                    self._see_to_anchor(number)
                    return
                now_ns = clock.monotonic_ns()
                unlinked_ns = unlinked_ns or now_ns
                if now_ns - unlinked_ns > self._patience_s(number) * 1e9:
                    self._begin_again(number)
                    unlinked_ns = 0
                await asyncio.sleep(pause_s)
            attempt += 1

    # -- WHAT DOES NOT LINK ---

    def _patience_s(self, number: int) -> float:
        return min(UNLINKED_BASE_S * 2.0 ** self._begun_again.get(number, 0), UNLINKED_CAP_S)

    def _begin_again(self, number: int) -> None:
        self._begun_again[number] = self._begun_again.get(number, 0) + 1
        self._link.hot.command(number, Command.RESYNC)

    def _see_to_anchor(self, number: int) -> None:
        """A snapshot is in: the diffs that follow must link to it."""
        task = self._anchors.get(number)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._anchored(number))
            task.add_done_callback(self._on_done)
            self._anchors[number] = task

    async def _anchored(self, number: int) -> None:
        """Until a diff has linked to the snapshot, or those that come have not for too long."""
        while True:
            _, heard, state, *_ = self._link.hot.core(number).market()
            if state == SyncState.SYNCED:
                self._begun_again.pop(number, None)
            if state != SyncState.ANCHORING:
                return
            await asyncio.sleep(self._patience_s(number))
            _, heard_now, state, *_ = self._link.hot.core(number).market()
            if state == SyncState.ANCHORING and heard_now != heard:
                self._begin_again(number)
                return
