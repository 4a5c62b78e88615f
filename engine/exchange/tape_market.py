"""The recorded market: a tape's own frames at its own pace, users matched by queue position.

Time starts when somebody subscribes, so that no client misses the head of a short tape. Frames
keep their recorded E and T: their clock is the recording's, not the exchange's. The REST depth
is the book rebuilt so far; until the first diff has joined it, the recorded snapshot, which the
diffs being served lead up to. At the end the market stands still and orders are still answered.
"""

from collections import deque

from engine.errors import TickmakerError
from engine.exchange.book import BookOrder, Side, Touch
from engine.exchange.events import (
    NEVER_NS,
    DepthSnapshot,
    MarketEvent,
    Notice,
    Shock,
    Trade,
)
from engine.exchange.tape_book import TapeBook
from engine.exchange.tape_frames import (
    BestMessage,
    DepthMessage,
    Message,
    Recording,
    TradeMessage,
)
from engine.exchange.tape_queue import QueueFill, TapeQueue

FIRST_TRADE_ID = 9_000_000_000_000  # of users' fills; above any recorded id
MESSAGES_PER_TURN_MAX = 1_000


class TapeMarket:
    """A Market (events.py) over a Recording; `speed` times its own pace."""

    def __init__(self, recording: Recording, speed: float = 1.0) -> None:
        self.instrument = recording.instrument
        self.book = TapeBook()
        self.queue = TapeQueue(self.book)
        self.served = 0
        self._speed = speed
        self._messages = recording.messages
        self._ahead: deque[Message] = deque()  # read while looking for the snapshot
        self._start_ns = 0  # 0: nobody has subscribed yet
        self._first_recv_ns = 0
        self._next: Message | None = None
        self._trade_id = FIRST_TRADE_ID
        self._events: list[MarketEvent] = []
        self._find_snapshot()
        self._next = self._read()
        if self._next is not None:
            self._first_recv_ns = self._next.recv_ts_ns

    def _find_snapshot(self) -> None:
        """Read ahead to the first snapshot; open_recording has seen that there is one."""
        for message in self._messages:
            self._ahead.append(message)
            if isinstance(message, DepthMessage) and message.frame is None:
                self.book.apply_snapshot(message)
                return

    # -- BACKGROUND ---

    def on_public_subscriber(self, now_ns: int) -> None:
        if not self._start_ns:
            self._start_ns = now_ns

    def next_due_ns(self) -> int:
        if self._next is None or not self._start_ns:
            return NEVER_NS
        elapsed_ns = self._next.recv_ts_ns - self._first_recv_ns
        return self._start_ns + int(elapsed_ns / self._speed)

    def advance(self, now_ns: int) -> None:
        for _ in range(MESSAGES_PER_TURN_MAX):
            message = self._next
            if message is None or self.next_due_ns() > now_ns:
                return
            self._apply(message, now_ns)
            self._next = self._read()
            if self._next is None:
                text = f"end of the tape after {self.served} frames; {self.book.gaps} gaps"
                self._events.append(Notice(False, f"{text}; the market stands still"))

    def _read(self) -> Message | None:
        """The next message; a file that breaks here ends the tape with a notice."""
        if self._ahead:
            return self._ahead.popleft()
        try:
            return next(self._messages, None)
        except TickmakerError as error:
            self._messages = iter(())
            self._events.append(Notice(True, str(error)))
            return None

    def _apply(self, message: Message, now_ns: int) -> None:
        """Serve one recorded message, then let users' orders feel it."""
        if message.frame is not None:
            self.served += 1
            self._events.append(message.frame)
        if isinstance(message, TradeMessage):
            if message.is_market:
                self._fill_makers(
                    self.queue.on_trade(message.px_ticks, message.qty_lots, message.aggressor),
                    now_ns,
                )
            return
        if isinstance(message, BestMessage):
            self.book.apply_best(message)
        elif isinstance(message, DepthMessage) and message.frame is not None:
            self.queue.on_changes(self.book.apply_depth(message))
        else:
            return
        for side in Side:
            self._fill_makers(self.queue.on_touch(side, self.book.best(side)), now_ns)

    # -- COMMANDS ---

    def place(
        self, order: BookOrder, rests: bool, now_ns: int, may_meet_own: bool = True
    ) -> BookOrder | None:
        for fill in self.queue.take(order):
            self._emit(fill, order.side, None, order, now_ns)
        if order.leaves_lots and rests:
            self.queue.rest(order)
        return None

    def shrink(self, order_id: int, qty_lots: int, now_ns: int) -> bool:
        return False

    def disturb(self, shock: Shock, now_ns: int) -> bool:
        return False

    def reset_sequence(self, now_ns: int) -> None:
        """To come."""

    def set_tick(self, factor: int, now_ns: int) -> bool:
        return False

    def pause(self, for_ns: int) -> None:
        self._start_ns += for_ns

    def last_px_ticks(self) -> int:
        return 0

    def cancel(self, order_id: int, now_ns: int) -> bool:
        return self.queue.cancel(order_id)

    def _fill_makers(self, fills: list[QueueFill], now_ns: int) -> None:
        for fill in fills:
            self._emit(fill, fill.order.side.opposite, fill.order, None, now_ns)

    def _emit(
        self,
        fill: QueueFill,
        aggressor: Side,
        maker: BookOrder | None,
        taker: BookOrder | None,
        now_ns: int,
    ) -> None:
        """A fill that the recording doesn't know: for the user only, not on the trade stream."""
        self._trade_id += 1
        symbol, is_public = self.instrument.symbol, False
        _, px_ticks, qty_lots = fill
        self._events.append(
            Trade(
                now_ns,
                symbol,
                self._trade_id,
                px_ticks,
                qty_lots,
                aggressor,
                maker,
                taker,
                is_public,
            )
        )

    # -- QUERIES ---

    def would_take(self, order: BookOrder) -> bool:
        return self.queue.fillable_lots(order) > 0

    def fillable_lots(self, order: BookOrder) -> int:
        return self.queue.fillable_lots(order)

    def touch(self) -> Touch:
        return self.book.touch()

    def snapshot(self, count: int) -> DepthSnapshot:
        bids, asks = self.book.depth(Side.BUY, count), self.book.depth(Side.SELL, count)
        return DepthSnapshot(self.book.update_id, bids, asks)

    def drain(self) -> list[MarketEvent]:
        events, self._events = self._events, []
        return events
