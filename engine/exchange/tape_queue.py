"""Users' orders against a recorded book: a queue-position rule. Pure.

A resting order joins behind the lots that its level shows. Trades at its price eat what is ahead,
then the order; a level that shrinks below what is ahead pulls it forward (cancels are taken to
come from behind first: the careful guess). A trade through its price, or an opposite touch at or
beyond it, fills it whole. A taking order fills against the visible levels; what it took stays
taken until the recording changes that level. The recording itself never changes.
"""

from typing import NamedTuple

from engine.exchange.book import BookOrder, Change, Quote, Side
from engine.exchange.tape_book import TapeBook


class QueueFill(NamedTuple):
    order: BookOrder
    px_ticks: int
    qty_lots: int


class Resting:
    """A user's order and the recorded lots ahead of it."""

    __slots__ = ("ahead_lots", "order")

    def __init__(self, order: BookOrder, ahead_lots: int) -> None:
        self.order = order
        self.ahead_lots = ahead_lots


class TapeQueue:
    """Orders in time priority; few, so that they are simply walked."""

    def __init__(self, book: TapeBook) -> None:
        self._book = book
        self._resting: dict[int, Resting] = {}
        self._taken: dict[tuple[Side, int], int] = {}

    # -- USERS' COMMANDS ---

    def take(self, order: BookOrder) -> list[QueueFill]:
        """Fill against what is visible, at most to the order's price."""
        fills: list[QueueFill] = []
        side = order.side.opposite
        for px_ticks, qty_lots in self._book.visible(side):
            if not order.leaves_lots or not _reaches(order, px_ticks):
                break
            free_lots = qty_lots - self._taken.get((side, px_ticks), 0)
            if free_lots > 0:
                lots = min(free_lots, order.leaves_lots)
                order.leaves_lots -= lots
                self._taken[side, px_ticks] = self._taken.get((side, px_ticks), 0) + lots
                fills.append(QueueFill(order, px_ticks, lots))
        return fills

    def fillable_lots(self, order: BookOrder) -> int:
        """Lots that `take` would fill."""
        side, total = order.side.opposite, 0
        for px_ticks, qty_lots in self._book.visible(side):
            if total >= order.leaves_lots or not _reaches(order, px_ticks):
                break
            total += max(0, qty_lots - self._taken.get((side, px_ticks), 0))
        return min(total, order.leaves_lots)

    def rest(self, order: BookOrder) -> None:
        ahead_lots = self._book.qty_at(order.side, order.px_ticks)
        self._resting[order.order_id] = Resting(order, ahead_lots)

    def cancel(self, order_id: int) -> bool:
        return self._resting.pop(order_id, None) is not None

    def ahead_lots(self, order_id: int) -> int:
        """Recorded lots before a resting order."""
        return self._resting[order_id].ahead_lots

    # -- THE RECORDING ---

    def on_trade(self, px_ticks: int, qty_lots: int, aggressor: Side) -> list[QueueFill]:
        """One recorded trade against the orders that rest on the side it hit."""
        fills: list[QueueFill] = []
        used_lots = 0  # of this trade, by users' orders before
        for resting in list(self._resting.values()):
            order = resting.order
            if order.side is aggressor:
                continue
            beyond = (order.px_ticks - px_ticks) * order.side.sign
            if beyond > 0:
                fills.append(self._fill(order, order.leaves_lots))
            elif beyond == 0:
                free_lots = qty_lots - resting.ahead_lots - used_lots
                resting.ahead_lots = max(0, resting.ahead_lots - qty_lots)
                if free_lots > 0:
                    lots = min(free_lots, order.leaves_lots)
                    used_lots += lots
                    fills.append(self._fill(order, lots))
        return fills

    def on_changes(self, changes: list[Change]) -> None:
        """Recorded level changes: queues shrink, taken liquidity is new again."""
        if not self._taken and not self._resting:
            return
        totals = {(side, px_ticks): qty_lots for side, px_ticks, qty_lots in changes}
        for level in totals.keys() & self._taken.keys():
            del self._taken[level]
        for resting in self._resting.values():
            total_lots = totals.get((resting.order.side, resting.order.px_ticks))
            if total_lots is not None:
                resting.ahead_lots = min(resting.ahead_lots, total_lots)

    def on_touch(self, side: Side, touch: Quote) -> list[QueueFill]:
        """The recorded best of `side`: orders of the other side at or beyond it fill whole."""
        px_ticks, qty_lots = touch
        if not qty_lots:
            return []
        return [
            self._fill(resting.order, resting.order.leaves_lots)
            for resting in list(self._resting.values())
            if resting.order.side is side.opposite and _reaches(resting.order, px_ticks)
        ]

    def _fill(self, order: BookOrder, lots: int) -> QueueFill:
        order.leaves_lots -= lots
        if not order.leaves_lots:
            del self._resting[order.order_id]
        return QueueFill(order, order.px_ticks, lots)


def _reaches(order: BookOrder, px_ticks: int) -> bool:
    return not order.px_ticks or (order.px_ticks - px_ticks) * order.side.sign >= 0
