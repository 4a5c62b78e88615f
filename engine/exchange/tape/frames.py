"""A market of a venue's own frames: its book rebuilt, users matched by queue position.

Where the frames come from is for the two beneath: a recording (market.py), or the venue as it is
now (live.py). The frames never change for what users do here: own orders and fills are not in
the public streams.
"""

from collections.abc import Iterable

from engine.exchange.book import BookOrder, Side, Touch
from engine.exchange.commands import Shock
from engine.exchange.events import DepthSnapshot, MarketEvent, Notice, StaleBook, Trade
from engine.exchange.instruments import Instrument
from engine.exchange.tape.book import TapeBook
from engine.exchange.tape.messages import BestMessage, DepthMessage, Message, TradeMessage
from engine.exchange.tape.queue import QueueFill, TapeQueue
from fastcore.types import SyncRule

FIRST_TRADE_ID = 9_000_000_000_000  # of users' fills; above any recorded id


class FrameMarket:
    """What a Market (events.py) over frames does, whoever brings them."""

    # What faces ask of a market that is made of frames: streams of these names have frames of
    # their own. A Trade of nobody's is one of the venue's.
    is_recorded = True
    recorded_streams: tuple[str, ...]

    def __init__(self, instrument: Instrument, rule: SyncRule, streams: tuple[str, ...]) -> None:
        self.instrument = instrument
        self.stale: StaleBook | None = None
        self.recorded_streams = streams
        self.book = TapeBook(rule)
        self.queue = TapeQueue(self.book)
        self.served = 0
        self._trade_id = FIRST_TRADE_ID
        self._last_px_ticks = 0
        self._events: list[MarketEvent] = []

    # -- BACKGROUND ---

    def _apply(self, message: Message, now_ns: int) -> None:
        """Serve one message, then let users' orders feel it."""
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
        """The frames are what they are."""
        return False

    def reset_sequence(self, now_ns: int) -> None:
        """The ids are the frames' own: the operator is told that they stay."""
        text = f"{self.instrument.key} is a tape: its update ids can't start anew"
        self._events.append(Notice(True, text))

    def can_set_tick(self, factor: int) -> bool:
        """Prices of frames have the frames' tick."""
        return False

    def set_tick(self, factor: int, now_ns: int) -> None:
        raise ValueError("prices of frames have the frames' tick")

    def _emit(self, fills: Iterable[QueueFill], now_ns: int) -> None:
        """Fills that the frames don't know: for users only, not on the trade stream."""
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
