"""Subscriptions that were acknowledged and say nothing; and who is in doubt.

Pings and pongs prove a connection, not what was subscribed on it (nautilus_trader #4255). A book
that stands still may be a quiet market, or a subscription that the venue has forgotten: only
another way of asking can tell. So when an instrument has been silent for a while, its best prices
are asked for over REST: the same as ours, it is quiet; others, twice, with our book still where it
was, and the connection is dropped.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from engine import clock
from engine.errors import TickmakerError
from engine.gateway.hotsocket import HotLoop
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link
from engine.venues.base import Best, Instrument
from fastcore.types import SyncState

LOOKS_PER_TURN = 4  # instruments: to wake up costs more than to look
MESSAGES_AHEAD = 50  # of one copy of a feed over another that said nothing meanwhile


@dataclass(frozen=True, slots=True)
class Quiet:
    """When silence is looked into. Seconds."""

    silent_s: float = 5.0  # a book did not move: REST is asked
    confirm_s: float = 1.0  # REST knew better: it is asked again
    first_s: float = 10.0  # a feed that begins with a snapshot has not sent it
    turn_s: float = 1.0  # to look at every instrument once
    weight_share: float = 0.05  # of the address's weight, for all these questions


class Book(NamedTuple):
    """What a core believes of its market, as far as liveness goes."""

    moved_ns: int  # when it last moved on; 0: never
    heard: int  # market events that came for it, of use or not
    is_synced: bool
    best: Best
    is_resubscribe_wanted: bool


def book_of(hot: HotLoop, number: int) -> Book:
    core = hot.core(number)
    moved_ns, heard, state, *best = core.market()
    return Book(moved_ns, heard, state == SyncState.SYNCED, Best(*best), core.resubscribe_wanted)


class _Watched:
    """One instrument's silence."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.asked_ns = 0  # when REST was last asked
        self.told: Best | None = None  # what it said, while the book has not moved since
        self.moved_ns = 0  # of the book, as last seen
        self.heard = 0  # as last seen ...
        self.heard_ns = 0  # ... and since when


class MarketWatch:
    """Of one MARKET role. `doubt(number, is_on)` when an instrument's data is in doubt."""

    def __init__(
        self,
        link: Link,
        keeper: Keeper,
        instruments: Mapping[int, Instrument],
        doubt: Callable[[int, bool], None],
        *,
        quiet: Quiet = Quiet(),
        book: Callable[[HotLoop, int], Book] = book_of,
    ) -> None:
        self._link = link
        self._keeper = keeper
        self._watched = {number: _Watched(inst) for number, inst in instruments.items()}
        self._doubt = doubt
        self._quiet = quiet
        self._book = book
        self._doubted: set[int] = set()
        self._counts: dict[int, int] = {}  # slot: messages at the last comparison
        self._compared_ns = 0
        # So many questions at once cost a share of the address's weight, and no more.
        weight = sum(link.adapter.best(inst).weight for inst in instruments.values())
        allowed = link.adapter.weight_per_min * quiet.weight_share
        self._again_s = max(quiet.silent_s, weight * 60.0 / allowed)
        self.stale = 0  # connections dropped

    async def keep(self) -> None:
        turns = -(-len(self._watched) // LOOKS_PER_TURN)
        while True:
            for at, (number, watched) in enumerate(self._watched.items()):
                if at % LOOKS_PER_TURN == 0:
                    await asyncio.sleep(self._quiet.turn_s / turns)
                if self._keeper.role.is_open:
                    await self._look(number, watched)
            self._compare_copies()

    async def _look(self, number: int, watched: _Watched) -> None:
        book, now_ns = self._book(self._link.hot, number), clock.monotonic_ns()
        up_ns = self._keeper.up_ns
        if book.is_resubscribe_wanted or self._is_first_missing(watched, book, now_ns):
            self._give_up(number, watched, "its book can't be built without a new subscription")
            return
        if book.moved_ns != watched.moved_ns:
            watched.moved_ns, watched.told = book.moved_ns, None
            self._set_doubt(number, False)
        if book.heard != watched.heard:
            watched.heard, watched.heard_ns = book.heard, now_ns
        # A book that waits for its snapshot doesn't move, and yet its stream may well speak.
        alive_ns = book.moved_ns if book.is_synced else watched.heard_ns
        silent_s = (now_ns - max(alive_ns, up_ns)) / 1e9
        asked_s = (now_ns - watched.asked_ns) / 1e9
        if silent_s > self._quiet.silent_s and asked_s > self._again_s:
            await self._ask(number, watched, book)

    def _is_first_missing(self, watched: _Watched, book: Book, now_ns: int) -> bool:
        """A feed that begins with a snapshot of its own (Bybit) has been up without one."""
        return (
            not book.is_synced
            and self._link.adapter.snapshot(watched.instrument) is None
            and now_ns - self._keeper.up_ns > self._quiet.first_s * 1e9
        )

    async def _ask(self, number: int, watched: _Watched, book: Book) -> None:
        """Quiet or silent?"""
        watched.asked_ns = clock.monotonic_ns()
        told = await self._best(watched.instrument)
        if told is None or not self._stands(number, book):
            return
        # A book that never was: the market's own movement is the only thing to compare with.
        known = book.best if book.is_synced else watched.told
        watched.told = told
        if known is None or told == known:
            self._set_doubt(number, False)
            return
        self._set_doubt(number, True)
        await asyncio.sleep(self._quiet.confirm_s)
        again = await self._best(watched.instrument)
        if again is None or not self._stands(number, book):
            return
        if again == known:
            self._set_doubt(number, False)
        else:
            self._give_up(number, watched, "subscribed, and silent while the market moves")

    async def _best(self, instrument: Instrument) -> Best | None:
        try:
            return await self._link.rest.call(self._link.adapter.best(instrument), tries=1)
        except TickmakerError:
            return None  # nobody can tell now; asked again later

    def _stands(self, number: int, book: Book) -> bool:
        """Nothing came of it since, and it is still up."""
        now = self._book(self._link.hot, number)
        is_same = now.moved_ns == book.moved_ns and (book.is_synced or now.heard == book.heard)
        return is_same and self._keeper.role.is_open

    def _give_up(self, number: int, watched: _Watched, why: str) -> None:
        watched.told = None
        watched.asked_ns = clock.monotonic_ns()
        self.stale += self._keeper.resubscribe(number, f"{watched.instrument.symbol}: {why}")

    def _set_doubt(self, number: int, is_on: bool) -> None:
        if is_on != (number in self._doubted):
            (self._doubted.add if is_on else self._doubted.discard)(number)
            self._doubt(number, is_on)

    def _compare_copies(self) -> None:
        """Of two copies of a feed, one that says nothing while the other does is stale."""
        now_ns = clock.monotonic_ns()
        if now_ns - self._compared_ns < self._quiet.silent_s * 1e9:
            return
        self._compared_ns = now_ns
        role, before = self._keeper.role, self._counts
        self._counts = {slot: role.socket(slot).messages for slot in self._keeper.open_slots}
        grown = {slot: count - before[slot] for slot, count in self._counts.items()
                 if slot in before}  # fmt: skip
        busiest = max(grown.values(), default=0)
        for slot, messages in grown.items():
            if messages == 0 and busiest > MESSAGES_AHEAD:
                self.stale += 1
                self._keeper.drop_slot(slot, "silent while the other copy of the feed speaks")


class Conditions:
    """Reasons of ours to halt a core: in force while any source says so."""

    def __init__(self, tell: Callable[[int, int, bool], object]) -> None:
        self._tell = tell  # HotLoop.condition
        self._sources: dict[tuple[int, int], set[str]] = {}

    def set(self, number: int, bit: int, source: str, is_on: bool) -> None:
        sources = self._sources.setdefault((number, bit), set())
        was_on = bool(sources)
        (sources.add if is_on else sources.discard)(source)
        if bool(sources) != was_on:
            self._tell(number, bit, is_on)

    def is_on(self, number: int, bit: int, source: str) -> bool:
        return source in self._sources.get((number, bit), ())

    def of(self, numbers: Iterable[int], bit: int, source: str) -> Callable[[bool], None]:
        """What a keeper of all these cores calls."""
        known = tuple(numbers)

        def tell(is_on: bool) -> None:
            for number in known:
                self.set(number, bit, source, is_on)

        return tell
