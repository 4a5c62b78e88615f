"""Users' orders against a recorded book: a queue-position rule. Pure.

A resting order joins behind the lots that its level shows. Trades at its price eat what is ahead,
then the order; a level that shrinks below what is ahead pulls it forward (cancels are taken to
come from behind first: the careful guess). A trade through its price, or an opposite touch at or
beyond it, fills it whole. A taking order fills against the visible levels and against users'
orders that rest in its way, each in its place in the queue; what it took of the recording stays
taken until the recording changes that level. The recording itself never changes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from engine.exchange.book import BookOrder, Quote, Side
from engine.exchange.tape.book import TapeBook


class QueueFill(NamedTuple):
    """`maker` or `taker` None: the recording's side, which is never both."""

    maker: BookOrder | None
    taker: BookOrder | None
    aggressor: Side
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

    @property
    def is_idle(self) -> bool:
        """Nothing that the recording does can be felt."""
        return not self._resting and not self._taken

    # -- USERS' COMMANDS ---

    def take(
        self, order: BookOrder, may_meet_own: bool = True
    ) -> tuple[list[QueueFill], BookOrder | None]:
        """Fill at most to the order's price; stops in front of an own order that it may not
        meet, and returns that too."""
        fills: list[QueueFill] = []
        for px_ticks, offered_lots, maker in self._offers(order):
            if not order.leaves_lots:
                break
            if maker is not None and maker.account == order.account and not may_meet_own:
                return fills, maker
            lots = min(offered_lots, order.leaves_lots)
            order.leaves_lots -= lots
            if maker is None:
                level = (order.side.opposite, px_ticks)
                self._taken[level] = self._taken.get(level, 0) + lots
            else:
                self._reduce(maker, lots)
            fills.append(QueueFill(maker, order, order.side, px_ticks, lots))
        return fills, None

    def fillable_lots(self, order: BookOrder) -> int:
        """Lots that `take` would fill, own orders in its way included."""
        total = 0
        for _, offered_lots, _ in self._offers(order):
            total += offered_lots
            if total >= order.leaves_lots:
                break
        return min(total, order.leaves_lots)

    def _offers(self, order: BookOrder) -> Iterator[tuple[int, int, BookOrder | None]]:
        """(px, lots, the user's resting order or None) that `order` reaches, by priority."""
        side = order.side.opposite
        waiting = sorted(
            (r for r in self._resting.values() if r.order.side is side),
            key=lambda resting: -side.sign * resting.order.px_ticks,
        )  # stable: time priority within a price
        for px_ticks, qty_lots in self._book.visible(side):
            if not _reaches(order, px_ticks):
                break
            while waiting and (waiting[0].order.px_ticks - px_ticks) * side.sign > 0:
                maker = waiting.pop(0).order
                yield maker.px_ticks, maker.leaves_lots, maker
            gone_lots = self._taken.get((side, px_ticks), 0)
            while waiting and waiting[0].order.px_ticks == px_ticks:
                resting = waiting.pop(0)
                ahead_lots = min(resting.ahead_lots, qty_lots)
                if ahead_lots > gone_lots:
                    yield px_ticks, ahead_lots - gone_lots, None
                    gone_lots = ahead_lots
                yield px_ticks, resting.order.leaves_lots, resting.order
            if qty_lots > gone_lots:
                yield px_ticks, qty_lots - gone_lots, None
        for resting in waiting:
            if _reaches(order, resting.order.px_ticks):
                yield resting.order.px_ticks, resting.order.leaves_lots, resting.order

    def rest(self, order: BookOrder) -> None:
        ahead_lots = self._book.qty_at(order.side, order.px_ticks)
        self._resting[order.order_id] = Resting(order, ahead_lots)

    def cancel(self, order_id: int) -> bool:
        return self._resting.pop(order_id, None) is not None

    def shrink(self, order_id: int, qty_lots: int) -> bool:
        """Take lots off a resting order; what is ahead of it stays."""
        resting = self._resting.get(order_id)
        if resting is None or qty_lots >= resting.order.leaves_lots:
            return False
        resting.order.leaves_lots -= qty_lots
        return True

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

    def on_levels(self, side: Side, quotes: list[Quote]) -> None:
        """Recorded level changes: queues shrink, taken liquidity is new again."""
        if not quotes or self.is_idle:
            return
        totals = dict(quotes)
        for level in [level for level in self._taken if level[0] is side and level[1] in totals]:
            del self._taken[level]
        for resting in self._resting.values():
            if resting.order.side is side:
                total_lots = totals.get(resting.order.px_ticks)
                if total_lots is not None:
                    resting.ahead_lots = min(resting.ahead_lots, total_lots)

    def on_snapshot(self) -> None:
        """The book was replaced: every level is as if it had changed."""
        self._taken.clear()
        for resting in self._resting.values():
            total_lots = self._book.qty_at(resting.order.side, resting.order.px_ticks)
            resting.ahead_lots = min(resting.ahead_lots, total_lots)

    def on_touch(self, side: Side) -> list[QueueFill]:
        """The recorded best of `side`: orders of the other side at or beyond it fill whole."""
        waiting = [r.order for r in self._resting.values() if r.order.side is side.opposite]
        if not waiting:
            return []
        px_ticks, qty_lots = self._book.best(side)
        if not qty_lots:
            return []
        return [
            self._fill(order, order.leaves_lots) for order in waiting if _reaches(order, px_ticks)
        ]

    def _fill(self, order: BookOrder, lots: int) -> QueueFill:
        self._reduce(order, lots)
        return QueueFill(order, None, order.side.opposite, order.px_ticks, lots)

    def _reduce(self, order: BookOrder, lots: int) -> None:
        order.leaves_lots -= lots
        if not order.leaves_lots:
            del self._resting[order.order_id]


def _reaches(order: BookOrder, px_ticks: int) -> bool:
    return not order.px_ticks or (order.px_ticks - px_ticks) * order.side.sign >= 0
