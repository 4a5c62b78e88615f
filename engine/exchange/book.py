"""Price-time priority limit order book (L3). Pure: no clock, no ids of the venue.

One price level is a FIFO of resting orders. Every change of a level's total is listed in
`changes` for the market to number; a level touched several times by one match is listed once.
Levels stand in a SortedDict keyed by px x side sign, so that the best one is always first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedDict


class Side(IntEnum):
    """BUY is also the bid side, SELL the ask side."""

    BUY = 0
    SELL = 1

    @property
    def sign(self) -> int:
        return 1 - 2 * self.value

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


BACKGROUND = -1  # account index of the market's own agents


@dataclass(slots=True, eq=False)
class BookOrder:
    """What the matching engine knows of an order. px_ticks 0: at any price."""

    order_id: int
    side: Side
    px_ticks: int
    leaves_lots: int
    account: int = BACKGROUND


@dataclass(slots=True)
class Level:
    qty_lots: int = 0
    orders: dict[int, BookOrder] = field(default_factory=dict)  # insertion order is priority


class Match(NamedTuple):
    maker: BookOrder
    px_ticks: int
    qty_lots: int


class Change(NamedTuple):
    """A level's new total; 0: the level is gone."""

    side: Side
    px_ticks: int
    qty_lots: int


Quote = tuple[int, int]  # px_ticks, qty_lots
Touch = tuple[int, int, int, int]  # bid px, bid qty, ask px, ask qty; px 0: side empty


class Book:
    """Both sides of one instrument."""

    def __init__(self) -> None:
        self._sides: tuple[SortedDict, SortedDict] = (SortedDict(), SortedDict())
        self._orders: dict[int, BookOrder] = {}
        self.changes: list[Change] = []

    # -- COMMANDS ---

    def match(self, order: BookOrder) -> list[Match]:
        """Take liquidity for `order`, best price first, oldest order first; O(orders taken)."""
        matches: list[Match] = []
        side = order.side.opposite
        levels = self._sides[side]
        while order.leaves_lots and levels:
            key, level = levels.peekitem(0)
            px_ticks = abs(key)
            if not _is_marketable(order, px_ticks):
                break
            self._match_level(order, px_ticks, level, matches)
            if not level.orders:
                del levels[key]
            self.changes.append(Change(side, px_ticks, level.qty_lots))
        return matches

    def _match_level(
        self, order: BookOrder, px_ticks: int, level: Level, matches: list[Match]
    ) -> None:
        while order.leaves_lots and level.orders:
            maker = next(iter(level.orders.values()))
            qty_lots = min(order.leaves_lots, maker.leaves_lots)
            order.leaves_lots -= qty_lots
            maker.leaves_lots -= qty_lots
            level.qty_lots -= qty_lots
            matches.append(Match(maker, px_ticks, qty_lots))
            if not maker.leaves_lots:
                del level.orders[maker.order_id]
                del self._orders[maker.order_id]

    def rest(self, order: BookOrder) -> None:
        """Queue `order` behind its level; the caller has matched it first."""
        key = -order.side.sign * order.px_ticks
        levels = self._sides[order.side]
        level = levels.get(key)
        if level is None:
            level = levels[key] = Level()
        level.orders[order.order_id] = order
        level.qty_lots += order.leaves_lots
        self._orders[order.order_id] = order
        self.changes.append(Change(order.side, order.px_ticks, level.qty_lots))

    def cancel(self, order_id: int) -> bool:
        """Remove a resting order; False: not resting."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return False
        key = -order.side.sign * order.px_ticks
        levels = self._sides[order.side]
        level = levels[key]
        del level.orders[order_id]
        level.qty_lots -= order.leaves_lots
        if not level.orders:
            del levels[key]
        self.changes.append(Change(order.side, order.px_ticks, level.qty_lots))
        return True

    def drain_changes(self) -> list[Change]:
        changes, self.changes = self.changes, []
        return changes

    # -- QUERIES ---

    def best(self, side: Side) -> Quote | None:
        levels = self._sides[side]
        if not levels:
            return None
        key, level = levels.peekitem(0)
        return abs(key), level.qty_lots

    def touch(self) -> Touch:
        bid, ask = self.best(Side.BUY) or (0, 0), self.best(Side.SELL) or (0, 0)
        return (*bid, *ask)

    def levels(self, side: Side, count: int) -> list[Quote]:
        """Up to `count` levels, best first."""
        return [(abs(key), lvl.qty_lots) for key, lvl in islice(self._sides[side].items(), count)]

    def level_count(self, side: Side) -> int:
        return len(self._sides[side])

    def level_at(self, side: Side, index: int) -> tuple[int, Level]:
        """Price and level number `index` from the touch; IndexError when there is none."""
        key, level = self._sides[side].peekitem(index)
        return abs(key), level

    def has(self, order_id: int) -> bool:
        return order_id in self._orders

    def fillable_lots(self, order: BookOrder) -> int:
        """Lots that `order` would take now."""
        total = 0
        for px_ticks, qty_lots in self._walk(order.side.opposite):
            if not _is_marketable(order, px_ticks) or total >= order.leaves_lots:
                break
            total += qty_lots
        return min(total, order.leaves_lots)

    def _walk(self, side: Side) -> Iterator[Quote]:
        for key, level in self._sides[side].items():
            yield abs(key), level.qty_lots

    # -- COLD ---

    def check(self) -> None:
        """AssertionError when an invariant is broken: sums, emptiness, crossing, index."""
        seen = 0
        for side in Side:
            for key, level in self._sides[side].items():
                leaves = [order.leaves_lots for order in level.orders.values()]
                assert leaves, f"empty level {side.name} {key}"
                assert min(leaves) > 0, f"empty order at {side.name} {key}"
                assert sum(leaves) == level.qty_lots, f"sum of {side.name} {key}"
                seen += len(leaves)
        assert seen == len(self._orders), "order index differs from the levels"
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        assert bid is None or ask is None or bid[0] < ask[0], f"crossed {bid} {ask}"


def _is_marketable(order: BookOrder, px_ticks: int) -> bool:
    return not order.px_ticks or (order.px_ticks - px_ticks) * order.side.sign >= 0
