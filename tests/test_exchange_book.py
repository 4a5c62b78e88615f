"""engine.exchange.book: price-time priority against a list-based twin, and its invariants."""

import random

import pytest

from engine.exchange.book import Book, BookOrder, Change, Side


def order(order_id: int, side: Side, px_ticks: int, lots: int) -> BookOrder:
    return BookOrder(order_id, side, px_ticks, lots)


def book_of(*orders: BookOrder) -> Book:
    book = Book()
    for resting in orders:
        book.rest(resting)
    book.drain_changes()
    return book


def test_match_takes_best_price_then_oldest_order() -> None:
    book = book_of(
        order(1, Side.SELL, 102, 5),
        order(2, Side.SELL, 101, 5),
        order(3, Side.SELL, 101, 5),
    )
    matches = book.match(order(9, Side.BUY, 102, 12))
    got = [(m.maker.order_id, m.px_ticks, m.qty_lots) for m in matches]
    assert got == [(2, 101, 5), (3, 101, 5), (1, 102, 2)]
    assert book.touch() == (0, 0, 102, 3)
    book.check()


def test_match_stops_at_limit_price() -> None:
    book = book_of(order(1, Side.BUY, 100, 5), order(2, Side.BUY, 98, 5))
    taker = order(9, Side.SELL, 99, 12)
    assert [m.px_ticks for m in book.match(taker)] == [100]
    assert taker.leaves_lots == 7


def test_partial_fill_keeps_priority() -> None:
    first, second = order(1, Side.BUY, 100, 5), order(2, Side.BUY, 100, 5)
    book = book_of(first, second)
    book.match(order(8, Side.SELL, 0, 2))
    assert (first.leaves_lots, second.leaves_lots) == (3, 5)
    book.match(order(9, Side.SELL, 0, 4))
    assert (first.leaves_lots, second.leaves_lots) == (0, 4)


def test_changes_list_a_level_once_per_match() -> None:
    book = book_of(order(1, Side.SELL, 101, 5), order(2, Side.SELL, 101, 5))
    book.match(order(9, Side.BUY, 101, 7))
    assert book.drain_changes() == [Change(Side.SELL, 101, 3)]
    assert book.cancel(2)
    assert book.drain_changes() == [Change(Side.SELL, 101, 0)]
    assert not book.cancel(2)


def test_fillable_lots_is_what_match_takes() -> None:
    book = book_of(order(1, Side.SELL, 101, 5), order(2, Side.SELL, 103, 5))
    for px_ticks, lots in ((100, 0), (101, 5), (103, 8), (0, 8)):
        assert book.fillable_lots(order(9, Side.BUY, px_ticks, 8)) == lots


class TwinBook:
    """The rule as a sentence: sort what is left by price, then by arrival; take from the front."""

    def __init__(self) -> None:
        self.orders: list[list[int]] = []  # side, px, leaves, id, in arrival order

    def place(self, order_id: int, side: Side, px_ticks: int, lots: int) -> list[tuple[int, int]]:
        makers = [o for o in self.orders if o[0] != side and (px_ticks - o[1]) * side.sign >= 0]
        makers.sort(key=lambda o: o[1] * side.sign)  # stable: arrival order within a price
        fills = []
        for maker in makers:
            taken = min(lots, maker[2])
            if taken:
                lots -= taken
                maker[2] -= taken
                fills.append((maker[3], taken))
        self.orders = [o for o in self.orders if o[2]]
        if lots:
            self.orders.append([side, px_ticks, lots, order_id])
        return fills

    def cancel(self, order_id: int) -> None:
        self.orders = [o for o in self.orders if o[3] != order_id]

    def levels(self, side: Side) -> list[tuple[int, int]]:
        totals: dict[int, int] = {}
        for order_side, px_ticks, leaves, _ in self.orders:
            if order_side == side:
                totals[px_ticks] = totals.get(px_ticks, 0) + leaves
        return sorted(totals.items(), key=lambda level: -level[0] * side.sign)


@pytest.mark.parametrize("seed", range(5))
def test_random_session_equals_twin(seed: int) -> None:
    rng = random.Random(seed)
    book, twin = Book(), TwinBook()
    for order_id in range(1, 600):
        if rng.random() < 0.3:
            victim = rng.randrange(1, order_id + 1)
            book.cancel(victim)
            twin.cancel(victim)
            continue
        side, px_ticks, lots = Side(rng.randrange(2)), rng.randint(95, 105), rng.randint(1, 9)
        new = order(order_id, side, px_ticks, lots)
        fills = [(m.maker.order_id, m.qty_lots) for m in book.match(new)]
        if new.leaves_lots:
            book.rest(new)
        assert fills == twin.place(order_id, side, px_ticks, lots)
        book.check()
        for each in Side:
            assert book.levels(each, 100) == twin.levels(each)


def test_changes_rebuild_the_levels() -> None:
    """What the depth stream is made of: replaying the changes gives the book."""
    rng = random.Random(3)
    book = Book()
    copy: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for order_id in range(400):
        new = order(order_id, Side(rng.randrange(2)), rng.randint(90, 110), rng.randint(1, 9))
        book.match(new)
        if new.leaves_lots:
            book.rest(new)
        for side, px_ticks, lots in book.drain_changes():
            copy[side][px_ticks] = lots
    for side in Side:
        shown = {px: lots for px, lots in copy[side].items() if lots}
        assert shown == dict(book.levels(side, 1000))
