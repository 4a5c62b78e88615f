"""One live connection: its frames into the markets of its instruments, begun anew when it ends.

A book is whole when its snapshot and what came since join; the feed is up when every book of it
is. It is down at the first doubt: the connection ended, a frame that can't be read, a gap, or a
silence in which the venue's REST book moved (a subscription may be acknowledged and forgotten).
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from engine import clock
from engine.errors import TickmakerError
from engine.exchange.tape.captures import STREAM_HEAD, TOPIC_HEAD, BinanceParser, BybitParser
from engine.exchange.tape.live import LiveMarket
from engine.exchange.tape.messages import DepthMessage, Message
from engine.gateway.reconnect import backoff_s, next_attempt
from engine.gateway.tls import client_context
from engine.paper.venue import PublicVenue, Wanted
from engine.tape.identity import Identity
from engine.venues import base
from engine.venues.base import ConnPlan, Said

FRAME_BYTES_MAX = 16 << 20
FRAMES_QUEUED_MAX = 100_000  # a burst waits here, not at the venue
OPEN_S = 10.0
WHOLE_S = 20.0  # until every book of a connection is whole
FIRST_DIFF_S = 1.0  # a snapshot is asked for after a diff; a quiet market has none
SNAPSHOT_TRIES = 5
SILENT_S = 5.0
CONFIRM_S = 1.0
BEST_SHARE = 0.05  # of the address's weight, to look into silences


class FeedError(Exception):
    """Why the connection is of no more use."""


@dataclass(slots=True)
class Lane:
    """One instrument of a connection."""

    market: LiveMarket
    traded: base.Instrument
    parser: BinanceParser | BybitParser
    heard_ns: int = 0
    asked_ns: int = 0
    has_depth: asyncio.Event = field(default_factory=asyncio.Event)  # of this connection
    ready: asyncio.Event = field(default_factory=asyncio.Event)  # the stream's own snapshot came

    @classmethod
    def of(cls, wanted: Wanted, traded: base.Instrument, market: LiveMarket) -> "Lane":
        kind = BybitParser if wanted.venue.startswith("bybit") else BinanceParser
        identity = Identity.live(wanted.symbol, wanted.venue)
        return cls(market, traded, kind(identity, market.instrument))

    def begin(self, now_ns: int) -> None:
        self.market.begin()
        self.heard_ns = now_ns
        self.has_depth.clear()
        self.ready.clear()

    def push(self, message: Message, now_ns: int) -> None:
        self.heard_ns = now_ns
        self.market.push(message)
        if isinstance(message, DepthMessage):
            self.has_depth.set()
        if self.market.is_ready:
            self.ready.set()


class Feed:
    """`on_frames()` after frames were pushed while it is up; `on_change()` when `is_up` changed
    (`why` says for what)."""

    def __init__(
        self, venue: PublicVenue, plan: ConnPlan, lanes: list[Lane],
        on_frames: Callable[[], None], on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        self._venue = venue
        self._plan = plan
        self._lanes = {_name(lane): lane for lane in lanes}
        self._on_frames = on_frames
        self._on_change = on_change
        self.is_up = False
        self.why = "not connected yet"
        self.connections = 0
        weight = sum(venue.adapter.best(lane.traded).weight for lane in lanes)
        allowed = venue.adapter.weight_per_min * BEST_SHARE
        self._again_ns = int(max(SILENT_S, weight * 60.0 / allowed) * 1e9)

    async def keep(self) -> None:
        """For ever."""
        attempt = 0
        while True:
            began_ns = clock.monotonic_ns()
            try:
                await self._once()
            except (FeedError, TickmakerError, OSError, EOFError, InvalidHandshake) as error:
                self._down(str(error) or type(error).__name__)
            except ConnectionClosed as error:
                self._down(f"closed by the venue: {error}")
            attempt = next_attempt(attempt, (clock.monotonic_ns() - began_ns) / 1e9)
            await asyncio.sleep(backoff_s(attempt, self._venue.rng))

    async def _once(self) -> None:
        plan, place = self._plan, self._venue.place
        tls = client_context(place.ca_file) if plan.url.startswith("wss") else None
        async with connect(
            plan.url, ssl=tls, max_size=FRAME_BYTES_MAX, max_queue=FRAMES_QUEUED_MAX,
            compression=None, open_timeout=OPEN_S, close_timeout=1.0,
        ) as connection:  # fmt: skip
            self.connections += 1
            now_ns = clock.monotonic_ns()
            for lane in self._lanes.values():
                lane.begin(now_ns)
            for text in plan.texts:
                await connection.send(text)
            tasks = [asyncio.create_task(work) for work in (
                self._read(connection), self._make_whole(), self._watch(),
                self._ping(connection),
            )]  # fmt: skip
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _down(self, why: str) -> None:
        for lane in self._lanes.values():
            lane.market.lose()
        was_up, self.is_up, self.why = self.is_up, False, why
        if was_up:
            self._on_change()

    # -- FRAMES ---

    async def _read(self, connection: ClientConnection) -> None:
        while True:
            frame = await connection.recv(decode=False)
            now_ns = clock.monotonic_ns()
            lane = self._lane_of(frame)
            if lane is None:
                said, text = self._plan.read(frame)
                if said is Said.BAD:
                    raise FeedError(f"subscription refused: {text}")
                continue
            self._push(lane, frame, now_ns)

    def _push(self, lane: Lane, frame: bytes, now_ns: int) -> None:
        try:
            message = lane.parser.parse(frame, now_ns)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise FeedError(f"{lane.market.instrument.key}: garbled frame: {error}") from None
        if message is None:
            return
        lane.push(message, now_ns)
        if self.is_up:
            self._on_frames()
        if lane.market.is_lost:
            raise FeedError(f"{lane.market.instrument.key}: a gap in its updates")

    def _lane_of(self, frame: bytes) -> Lane | None:
        """By the stream's name, which venues write first."""
        head = frame[:160].decode("ascii", "replace")
        if head.startswith(STREAM_HEAD):
            return self._lanes.get(head[len(STREAM_HEAD) :].partition("@")[0])
        if not head.startswith(TOPIC_HEAD):
            with suppress(ValueError):
                document = json.loads(frame)
                return self._lanes.get(_symbol_of(document))
            return None
        topic = head[len(TOPIC_HEAD) :].partition('"')[0]
        return self._lanes.get(topic.rpartition(".")[2])

    # -- WHOLE ---

    async def _make_whole(self) -> None:
        """Until every book is; then the feed is up."""
        try:
            async with asyncio.timeout(WHOLE_S):
                await asyncio.gather(*(self._join(lane) for lane in self._lanes.values()))
        except TimeoutError:
            markets = [lane.market for lane in self._lanes.values()]
            names = [market.instrument.key for market in markets if not market.is_ready]
            raise FeedError(f"no book of {', '.join(names[:5])}") from None
        self.is_up = True
        self._on_change()

    async def _join(self, lane: Lane) -> None:
        call = self._venue.adapter.snapshot(lane.traded)
        if call is None:  # the stream's first message is one
            await lane.ready.wait()
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(lane.has_depth.wait(), FIRST_DIFF_S)
        for attempt in range(SNAPSHOT_TRIES):
            body = await self._venue.raw(call)
            snapshot = lane.parser.parse(body, clock.monotonic_ns())
            if isinstance(snapshot, DepthMessage) and lane.market.join(snapshot):
                return
            await asyncio.sleep(backoff_s(attempt + 2, self._venue.rng))
        raise FeedError(f"{lane.market.instrument.key}: its snapshots and its updates don't join")

    # -- LIVENESS ---

    async def _ping(self, connection: ClientConnection) -> None:
        """What the venue wants to hear of us; WebSocket pings are the library's."""
        while self._plan.ping_text:
            await asyncio.sleep(self._plan.ping_every_s)
            await connection.send(self._plan.ping_text)

    async def _watch(self) -> None:
        """Silent, or quiet? Two looks at the venue's REST book tell."""
        while True:
            await asyncio.sleep(CONFIRM_S)
            for lane in self._lanes.values():
                now_ns = clock.monotonic_ns()
                is_silent = now_ns - lane.heard_ns > SILENT_S * 1e9
                if self.is_up and is_silent and now_ns - lane.asked_ns > self._again_ns:
                    lane.asked_ns = now_ns
                    await self._look(lane)

    async def _look(self, lane: Lane) -> None:
        heard_ns = lane.heard_ns
        for is_second in (False, True):
            with suppress(TickmakerError):  # nobody can tell now
                told = await self._venue.call(self._venue.adapter.best(lane.traded), tries=1)
                touch = (told.bid_px_ticks, told.bid_qty_lots,
                         told.ask_px_ticks, told.ask_qty_lots)  # fmt: skip
                if lane.heard_ns != heard_ns or touch == lane.market.touch():
                    return
                if is_second:
                    key = lane.market.instrument.key
                    raise FeedError(f"{key}: silent while the venue's book moves")
            await asyncio.sleep(CONFIRM_S)


def _name(lane: Lane) -> str:
    """As its frames have it."""
    is_binance = isinstance(lane.parser, BinanceParser)
    return lane.traded.symbol.lower() if is_binance else lane.traded.symbol


def _symbol_of(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    if "topic" in document:
        return str(document["topic"]).rpartition(".")[2]
    return str(document.get("stream", "")).partition("@")[0]
