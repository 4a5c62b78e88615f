"""The order-matching market: an L3 book with venue update ids, and seeded agents that trade it.

Agents and users share one book and one priority: a user's quote is hit by the agents' market
orders exactly as any other. The agents draw from their own random.Random(seed) and own clock,
so the background is the same for a seed however the server's turns fall; it differs only once
a user's order has changed the book.
"""

from engine.exchange.book import Book, BookOrder, Side, Touch
from engine.exchange.events import (
    NEVER_NS,
    BestChange,
    DepthChange,
    DepthSnapshot,
    MarketEvent,
    Shock,
    Trade,
)
from engine.exchange.flow import FIRST_AGENT_ORDER_ID, AgentFlow
from engine.exchange.instruments import Listing

FIRST_UPDATE_ID = 5_000_000_000_000
FIRST_TRADE_ID = 5_000_000_000
EVENTS_PER_TURN_MAX = 2_000  # a stalled server catches up over several turns, not in one


class AgentMarket:
    """A Market (events.py) over an L3 book."""

    def __init__(self, listing: Listing, seed: int, start_ns: int) -> None:
        self.instrument = listing.instrument
        self.book = Book()
        self.update_id = FIRST_UPDATE_ID
        self._trade_id = FIRST_TRADE_ID
        self._start_ns = start_ns
        self._last_px_ticks = 0
        self._touch: Touch = (0, 0, 0, 0)
        self._events: list[MarketEvent] = []
        self._flow = AgentFlow(f"{seed}/{listing.instrument.key}", listing.start_px_ticks)
        for order in self._flow.opening_orders():
            self.book.rest(order)
        self._commit(start_ns)
        self._events.clear()

    # -- BACKGROUND ---

    def advance(self, now_ns: int) -> None:
        for _ in range(EVENTS_PER_TURN_MAX):
            due_ns = self.next_due_ns()
            if due_ns > now_ns:
                return
            for action in self._flow.step(self.book):
                if isinstance(action, BookOrder):
                    self.place(action, action.px_ticks != 0, due_ns)
                else:
                    self.cancel(action, due_ns)

    def next_due_ns(self) -> int:
        return min(self._start_ns + self._flow.due_ns, NEVER_NS)

    def on_public_subscriber(self, now_ns: int) -> None:
        """Runs from the start, listened to or not."""

    # -- COMMANDS ---

    def place(
        self, order: BookOrder, rests: bool, now_ns: int, may_meet_own: bool = True
    ) -> BookOrder | None:
        symbol = self.instrument.key
        for maker, px_ticks, qty_lots in self.book.match(order):
            self._last_px_ticks = px_ticks
            self._trade_id += 1
            self._events.append(
                Trade(now_ns, symbol, self._trade_id, px_ticks, qty_lots, order.side, maker, order)
            )
        if order.leaves_lots and rests:
            self.book.rest(order)
        self._commit(now_ns)
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
        return self._last_px_ticks

    def cancel(self, order_id: int, now_ns: int) -> bool:
        is_found = self.book.cancel(order_id)
        self._commit(now_ns)
        return is_found

    def _commit(self, now_ns: int) -> None:
        changes = self.book.drain_changes()
        if not changes:
            return
        first_id = self.update_id + 1
        self.update_id += len(changes)
        symbol = self.instrument.key
        self._events.append(DepthChange(now_ns, symbol, first_id, self.update_id, changes))
        touch = self.book.touch()
        if touch != self._touch:
            self._touch = touch
            self._events.append(BestChange(now_ns, symbol, self.update_id, touch))

    # -- QUERIES ---

    def would_take(self, order: BookOrder) -> bool:
        return self.book.fillable_lots(order) > 0

    def fillable_lots(self, order: BookOrder) -> int:
        return self.book.fillable_lots(order)

    def touch(self) -> Touch:
        return self._touch

    def snapshot(self, count: int) -> DepthSnapshot:
        bids, asks = self.book.levels(Side.BUY, count), self.book.levels(Side.SELL, count)
        return DepthSnapshot(self.update_id, bids, asks)

    def drain(self) -> list[MarketEvent]:
        events, self._events = self._events, []
        return events


assert FIRST_AGENT_ORDER_ID > 1 << 60  # users' ids never meet the agents'
