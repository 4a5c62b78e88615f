"""The recorded market: a tape's own frames at its own pace, users matched by queue position.

Time starts when somebody subscribes, so that no client misses the head of a short tape; markets
of one Timeline start together and keep their recorded distance. Frames keep their recorded
times: their clock is the recording's, not the exchange's. The REST depth is the book rebuilt so
far; until the first diff has joined it, the recorded snapshot, which the diffs being served lead
up to. At the end the market stands still and orders are still answered.
"""

from collections import deque
from collections.abc import Iterable

from engine.errors import TickmakerError
from engine.exchange.book import BookOrder, Side, Touch
from engine.exchange.commands import Shock
from engine.exchange.events import DepthSnapshot, MarketEvent, Notice, StaleBook, Trade
from engine.exchange.tape.book import TapeBook
from engine.exchange.tape.messages import (
    BestMessage,
    DepthMessage,
    Message,
    Recording,
    TradeMessage,
)
from engine.exchange.tape.queue import QueueFill, TapeQueue
from engine.exchange.terms import NEVER_NS

FIRST_TRADE_ID = 9_000_000_000_000  # of users' fills; above any recorded id
MESSAGES_PER_TURN_MAX = 1_000
APART_NS_MAX = 600_000_000_000  # recordings that begin further apart are no one session


class Timeline:
    """When recorded moments happen, for every tape that shares it."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._origin_ns = NEVER_NS
        self.start_ns = 0  # 0: nobody has subscribed yet

    def join(self, first_recv_ns: int) -> None:
        self._origin_ns = min(self._origin_ns, first_recv_ns)

    def start(self, now_ns: int) -> None:
        if not self.start_ns:
            self.start_ns = now_ns

    def due_ns(self, recv_ts_ns: int) -> int:
        if not self.start_ns:
            return NEVER_NS
        return self.start_ns + int((recv_ts_ns - self._origin_ns) / self._speed)

    def lag_ns(self, first_recv_ns: int) -> int:
        """By how much a tape begins after the first."""
        return first_recv_ns - self._origin_ns


class TapeMarket:
    """A Market (events.py) over a Recording."""

    # What faces ask of a market that is a tape: streams of these names have frames of their own.
    # A Trade of nobody's is one of the recording's.
    is_recorded = True
    recorded_streams: tuple[str, ...]

    def __init__(
        self, recording: Recording, speed: float = 1.0, timeline: Timeline | None = None
    ) -> None:
        self.instrument = recording.instrument
        self.stale: StaleBook | None = None
        self.recorded_streams = recording.streams
        self.book = TapeBook(recording.rule)
        self.queue = TapeQueue(self.book)
        self.served = 0
        self._timeline = timeline or Timeline(speed)
        self._messages = recording.messages
        self._ahead: deque[Message] = deque()  # read while looking for the snapshot
        self._shift_ns = 0  # of recorded time
        self._paused_ns = 0
        self._trade_id = FIRST_TRADE_ID
        self._last_px_ticks = 0
        self._events: list[MarketEvent] = [Notice(False, text) for text in recording.notices]
        self._find_snapshot()
        self.first_recv_ns = min((m.recv_ts_ns for m in self._ahead), default=NEVER_NS)
        self._next = self._read()
        if self._next is not None:
            self.first_recv_ns = min(self.first_recv_ns, self._next.recv_ts_ns)
        self._timeline.join(self.first_recv_ns)

    def _find_snapshot(self) -> None:
        """Read ahead to the first snapshot; open_recording has seen that there is one."""
        for message in self._messages:
            self._ahead.append(message)
            if isinstance(message, DepthMessage) and message.is_snapshot:
                self.book.apply_snapshot(message)
                return

    def align(self) -> None:
        """With all tapes of the timeline known: one of another day begins with the others."""
        lag_ns = self._timeline.lag_ns(self.first_recv_ns)
        if self._next is not None and lag_ns > APART_NS_MAX:
            self._shift_ns = lag_ns
            text = f"{self.instrument.key}: recorded {lag_ns // 10**9} s after the first tape"
            self._events.append(Notice(False, f"{text}; served together with it"))

    # -- BACKGROUND ---

    @property
    def started_ns(self) -> int:
        """When the first moment of the recording happened; 0: not yet."""
        return self._timeline.start_ns

    def on_public_subscriber(self, now_ns: int) -> None:
        self._timeline.start(now_ns)

    def next_due_ns(self) -> int:
        if self._next is None:
            return NEVER_NS
        due_ns = self._timeline.due_ns(self._next.recv_ts_ns - self._shift_ns)
        return min(due_ns + self._paused_ns, NEVER_NS)

    def pause(self, for_ns: int) -> None:
        self._paused_ns += for_ns

    def advance(self, now_ns: int) -> None:
        for _ in range(MESSAGES_PER_TURN_MAX):
            message = self._next
            if message is None or self.next_due_ns() > now_ns:
                return
            self._apply(message, now_ns)
            self._next = self._read()
            if self._next is None:
                text = f"end of the tape of {self.instrument.key} after {self.served} frames"
                text += f"; {self.book.gaps} gaps; the market stands still"
                self._events.append(Notice(False, text))

    def _read(self) -> Message | None:
        """The next message; a file that breaks here ends the tape with a notice."""
        while True:
            try:
                message = self._ahead.popleft() if self._ahead else next(self._messages, None)
            except TickmakerError as error:
                self._messages = iter(())
                self._events.append(Notice(True, str(error)))
                return None
            if not isinstance(message, DepthMessage) or message.frame is not None:
                return message
            # A REST snapshot takes no time and nobody is sent it; it mends a broken chain.
            if self.book.is_broken:
                self.book.apply_snapshot(message)
                self.queue.on_snapshot()

    def _apply(self, message: Message, now_ns: int) -> None:
        """Serve one recorded message, then let users' orders feel it."""
        if message.frame is not None:
            self.served += 1
            self._events.append(message.frame)
        if isinstance(message, TradeMessage):
            self._on_trades(message, now_ns)
            return
        if isinstance(message, BestMessage):
            self.book.apply_best(message)
        elif not isinstance(message, DepthMessage):
            return
        elif message.is_snapshot:
            self.book.apply_snapshot(message)
            self.queue.on_snapshot()
        elif self.book.apply_depth(message):
            self.queue.on_levels(Side.BUY, message.bids)
            self.queue.on_levels(Side.SELL, message.asks)
        if not self.queue.is_idle:
            for side in Side:
                self._emit(self.queue.on_touch(side), now_ns)

    def _on_trades(self, message: TradeMessage, now_ns: int) -> None:
        key = self.instrument.key
        for px_ticks, qty_lots, side, is_market, trade_id in message.prints:
            if not is_market:
                continue
            self._last_px_ticks = px_ticks
            # Nobody's. Faces count it, and publish it where the recording has no frame of it.
            self._events.append(Trade(now_ns, key, trade_id, px_ticks, qty_lots, side, None, None))
            if not self.queue.is_idle:
                self._emit(self.queue.on_trade(px_ticks, qty_lots, side), now_ns)

    # -- COMMANDS ---

    def would_take(self, order: BookOrder) -> bool:
        return self.queue.fillable_lots(order) > 0

    def fillable_lots(self, order: BookOrder) -> int:
        return self.queue.fillable_lots(order)

    def place(
        self, order: BookOrder, rests: bool, now_ns: int, may_meet_own: bool = True
    ) -> BookOrder | None:
        fills, own = self.queue.take(order, may_meet_own)
        self._emit(fills, now_ns)
        if own is None and order.leaves_lots and rests:
            self.queue.rest(order)
        return own

    def cancel(self, order_id: int, now_ns: int) -> bool:
        return self.queue.cancel(order_id)

    def shrink(self, order_id: int, qty_lots: int, now_ns: int) -> bool:
        return self.queue.shrink(order_id, qty_lots)

    def disturb(self, shock: Shock, now_ns: int) -> bool:
        """A tape is what it is."""
        return False

    def reset_sequence(self, now_ns: int) -> None:
        """The ids are recorded ones: the operator is told that they stay."""
        text = f"{self.instrument.key} is a tape: its update ids can't start anew"
        self._events.append(Notice(True, text))

    def can_set_tick(self, factor: int) -> bool:
        """Recorded prices have the recorded tick."""
        return False

    def set_tick(self, factor: int, now_ns: int) -> None:
        raise ValueError("recorded prices have the recorded tick")

    def _emit(self, fills: Iterable[QueueFill], now_ns: int) -> None:
        """Fills that the recording doesn't know: for users only, not on the trade stream."""
        for maker, taker, side, px_ticks, qty_lots in fills:
            self._trade_id += 1
            trade_id, key = self._trade_id, self.instrument.key
            self._events.append(
                Trade(now_ns, key, trade_id, px_ticks, qty_lots, side, maker, taker, False)
            )

    # -- QUERIES ---

    def touch(self) -> Touch:
        return self.book.touch()

    def last_px_ticks(self) -> int:
        return self._last_px_ticks

    def snapshot(self, count: int) -> DepthSnapshot:
        bids, asks = self.book.depth(Side.BUY, count), self.book.depth(Side.SELL, count)
        return DepthSnapshot(self.book.update_id, bids, asks)

    def drain(self) -> list[MarketEvent]:
        events, self._events = self._events, []
        return events
