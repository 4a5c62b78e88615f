"""fastcore.limit_book: price-time priority, the same by the compiled book and by its slow twin."""

import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from reference import limit_book as reference

from fastcore import limit_rig as fast
from fastcore.types import Side

Rig = fast.LimitRig | reference.LimitRig
BUY, SELL = int(Side.BUY), int(Side.SELL)


@pytest.fixture(params=[fast.LimitRig, reference.LimitRig], ids=["fast", "reference"])
def make(request: pytest.FixtureRequest) -> Callable[[], Rig]:
    made: Callable[[], Rig] = request.param
    return made


def resting(rig: Rig, *orders: tuple[int, int, int, int]) -> Rig:
    for order in orders:
        rig.rest(*order)
    rig.drain_changes()
    return rig


def test_match_takes_best_price_then_oldest_order(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, SELL, 102, 5), (2, SELL, 101, 5), (3, SELL, 101, 5))
    assert rig.place(9, BUY, 102, 12) == 0
    assert rig.fills == [(2, -1, 101, 5), (3, -1, 101, 5), (1, -1, 102, 2)]
    assert rig.touch() == (0, 0, 102, 3)
    assert rig.drain_changes() == [(SELL, 101, 0), (SELL, 102, 3)]
    rig.check()


def test_match_stops_at_limit_price_and_rests_there(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, BUY, 100, 5), (2, BUY, 98, 5))
    assert rig.place(9, SELL, 99, 12) == 7
    assert rig.fills == [(1, -1, 100, 5)]
    assert rig.touch() == (98, 5, 99, 7)


@pytest.mark.parametrize(("px_ticks", "rests"), [(0, True), (99, False)])
def test_remainder_without_price_or_leave_to_rest_does_not(
    make: Callable[[], Rig], px_ticks: int, rests: bool
) -> None:
    rig = resting(make(), (1, BUY, 100, 5))
    assert rig.place(9, SELL, px_ticks, 12, rests=rests) == 7
    assert rig.order_count == 0
    assert rig.touch() == (0, 0, 0, 0)


def test_partial_fill_and_shrink_keep_the_place_in_the_queue(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, BUY, 100, 5), (2, BUY, 100, 5))
    rig.place(8, SELL, 100, 2)
    assert rig.shrink(1, 1)
    assert rig.drain_changes() == [(BUY, 100, 7)]
    assert rig.orders_at(BUY, 0) == [(1, 2, -1), (2, 5, -1)]
    rig.place(9, SELL, 100, 4)
    assert rig.orders_at(BUY, 0) == [(2, 3, -1)]


@pytest.mark.parametrize("lots", [0, -1, 5, 6])
def test_shrink_that_leaves_nothing_or_grows_is_refused(
    make: Callable[[], Rig], lots: int
) -> None:
    rig = resting(make(), (1, BUY, 100, 5))
    assert not rig.shrink(1, lots)
    assert not rig.shrink(7, 1)
    assert rig.leaves_of(1) == 5
    assert rig.drain_changes() == []


def test_taker_stops_in_front_of_its_own_order(make: Callable[[], Rig]) -> None:
    """What is in front of it trades; what is behind stays; nothing rests."""
    rig = make()
    for order_id, account in ((1, 5), (2, 7), (3, 5)):
        rig.rest(order_id, SELL, 101, 4, account)
    assert rig.place(9, BUY, 101, 10, 7, may_meet_own=False) == 6
    assert rig.met_id == 2
    assert rig.fills == [(1, 5, 101, 4)]
    assert rig.orders_at(SELL, 0) == [(2, 4, 7), (3, 4, 5)]
    assert rig.place(9, BUY, 101, 6, 7) == 0  # may meet it now
    assert rig.met_id == 0
    assert rig.fills == [(2, 7, 101, 4), (3, 5, 101, 2)]


def test_changes_name_a_level_once(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, SELL, 101, 5), (2, SELL, 101, 5))
    rig.place(9, BUY, 101, 7)
    rig.place(10, BUY, 101, 1)
    assert rig.drain_changes() == [(SELL, 101, 2)]
    assert rig.cancel(2)
    assert not rig.cancel(2)
    assert rig.drain_changes() == [(SELL, 101, 0)]


def test_fillable_lots_is_what_a_match_would_take(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, SELL, 101, 5), (2, SELL, 103, 5))
    for px_ticks, lots in ((100, 0), (101, 5), (103, 8), (0, 8)):
        assert rig.fillable_lots(BUY, px_ticks, 8) == lots


def test_bad_arguments_are_refused_and_change_nothing(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, SELL, 101, 5))
    crossing = (2, BUY, 101, 5)
    for bad in ((1, BUY, 100, 5), crossing, (0, BUY, 9, 5), (3, BUY, 9, 0), (3, BUY, 0, 5)):
        with pytest.raises(ValueError, match=r"."):
            rig.rest(*bad)
    for bad in ((1, BUY, 100, 5), (-1, BUY, 100, 5), (2, BUY, 100, 0), (2, BUY, -1, 5)):
        with pytest.raises(ValueError, match=r"."):
            rig.place(*bad)
    assert (rig.order_count, rig.touch()) == (1, (0, 0, 101, 5))


@pytest.mark.parametrize("seed", range(3))
def test_long_session_equals_the_twin(seed: int) -> None:
    """Every answer of both, order by order; far prices and much cancelling among them."""
    rng = random.Random(seed)
    ours, twin = fast.LimitRig(), reference.LimitRig()
    for order_id in range(1, 900):
        draw, victim = rng.random(), rng.randrange(1, order_id + 1)
        side, lots = rng.randrange(2), rng.randint(1, 9)
        if draw < 0.25:
            assert ours.cancel(victim) == twin.cancel(victim)
        elif draw < 0.35:
            assert ours.shrink(victim, lots) == twin.shrink(victim, lots)
        else:
            px_ticks = rng.choice((0, 1, 1 << 40, *range(90, 111)))
            order = (order_id, side, px_ticks, lots, rng.randrange(3))
            how = {"rests": rng.random() < 0.9, "may_meet_own": rng.random() < 0.5}
            assert ours.place(*order, **how) == twin.place(*order, **how)
            assert (ours.fills, ours.met_id) == (twin.fills, twin.met_id)
            if ours.met_id:  # as the caller does: one of the two ends
                assert ours.cancel(ours.met_id) == twin.cancel(twin.met_id)
        if rng.random() < 0.3:
            assert latest(ours.drain_changes()) == latest(twin.drain_changes())
        ours.check()
        for each in (BUY, SELL):
            assert ours.levels(each, 100) == twin.levels(each, 100)


def latest(changes: list[tuple[int, int, int]]) -> dict[tuple[int, int], int]:
    """A level that went and came back is listed twice by the compiled book: the last one holds."""
    return {(side, px): lots for side, px, lots in changes}


def test_finer_tick_multiplies_every_price(make: Callable[[], Rig]) -> None:
    rig = resting(make(), (1, BUY, 100, 5), (2, BUY, 98, 5), (3, SELL, 101, 4))
    rig.rescale(10)
    assert rig.drain_changes() == []
    assert (rig.levels(BUY, 9), rig.levels(SELL, 9)) == ([(1000, 5), (980, 5)], [(1010, 4)])
    rig.rest(4, BUY, 999, 1)
    assert rig.levels(BUY, 2) == [(1000, 5), (999, 1)]
    assert rig.cancel(1)
    assert rig.place(5, SELL, 980, 2) == 0
    assert rig.fills == [(4, -1, 999, 1), (2, -1, 980, 1)]
    rig.check()


def test_changes_rebuild_the_levels(make: Callable[[], Rig]) -> None:
    """What the depth stream is made of."""
    rng, rig = random.Random(3), make()
    copy: dict[tuple[int, int], int] = {}
    for order_id in range(1, 300):
        rig.place(order_id, rng.randrange(2), rng.randint(90, 110), rng.randint(1, 9))
        copy |= latest(rig.drain_changes())
    for side in (BUY, SELL):
        shown = {px: lots for (at, px), lots in copy.items() if at == side and lots}
        assert shown == dict(rig.levels(side, 1000))


def test_pool_grows_and_is_used_again() -> None:
    """Many times the orders of the first pool; then as many again without a new byte."""
    rig = fast.LimitRig()
    for turn in range(3):
        first = 1 + turn * 5_000
        for order_id in range(first, first + 5_000):
            rig.rest(order_id, BUY, 1 + order_id % 3_000, 1 + order_id % 7)
        rig.check()
        if turn == 0:
            grown = rig.growths
            assert grown > 0
        for order_id in range(first, first + 5_000):
            assert rig.cancel(order_id)
        rig.drain_changes()
    assert rig.growths == grown
    assert (rig.order_count, rig.level_count(BUY)) == (0, 0)
    assert rig.pool_size >= 5_000


@pytest.mark.parametrize("seed", range(3))
def test_every_order_is_found_whichever_left_before(seed: int) -> None:
    """Ids without a pattern meet in the table of ids; each that leaves closes its gap."""
    rng, rig = random.Random(seed), fast.LimitRig()
    ids = [rng.randrange(1, 1 << 62) for _ in range(1_000)]  # the first pool holds 1,024
    for order_id in ids:
        rig.rest(order_id, BUY, rng.randint(1, 50), 1)
    rng.shuffle(ids)
    while ids:
        assert rig.cancel(ids.pop())
        if len(ids) % 50 == 0:
            rig.check()
            assert all(rig.leaves_of(order_id) for order_id in ids)
    assert rig.order_count == 0


class TwoBooks(RuleBasedStateMachine):
    """Hypothesis picks the commands; few prices, few accounts, so that they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.twin = fast.LimitRig(), reference.LimitRig()
        self.next_id = 1

    @rule(
        side=st.integers(0, 1),
        px_ticks=st.integers(0, 8),
        lots=st.integers(1, 6),
        account=st.integers(0, 2),
        rests=st.booleans(),
        may_meet_own=st.booleans(),
    )
    def place(
        self, side: int, px_ticks: int, lots: int, account: int, rests: bool, may_meet_own: bool
    ) -> None:
        order = (self.next_id, side, px_ticks, lots, account)
        how = {"rests": rests, "may_meet_own": may_meet_own}
        self.next_id += 1
        assert self.ours.place(*order, **how) == self.twin.place(*order, **how)
        assert (self.ours.fills, self.ours.met_id) == (self.twin.fills, self.twin.met_id)

    @precondition(lambda self: self.next_id > 1)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        order_id = data.draw(st.integers(1, self.next_id))
        assert self.ours.cancel(order_id) == self.twin.cancel(order_id)

    @precondition(lambda self: self.next_id > 1)
    @rule(data=st.data(), lots=st.integers(0, 6))
    def shrink(self, data: st.DataObject, lots: int) -> None:
        order_id = data.draw(st.integers(1, self.next_id))
        assert self.ours.shrink(order_id, lots) == self.twin.shrink(order_id, lots)

    @rule()
    def drain(self) -> None:
        assert latest(self.ours.drain_changes()) == latest(self.twin.drain_changes())

    @invariant()
    def same_books(self) -> None:
        self.ours.check()
        for side in (BUY, SELL):
            assert self.ours.level_count(side) == self.twin.level_count(side)
            for index in range(self.twin.level_count(side)):
                assert self.ours.level_at(side, index) == self.twin.level_at(side, index)
                assert self.ours.orders_at(side, index) == self.twin.orders_at(side, index)


TestTwoBooks = TwoBooks.TestCase
TestTwoBooks.settings = settings(max_examples=60, stateful_step_count=40)
