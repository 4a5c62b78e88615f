"""Book: equal to its sorted-dictionary twin in every word, whatever the window has to do."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastcore import book as fast
from fastcore.types import Code, Side
from tests.reference import book as twin

WINDOW = 256  # the smallest: everything that a day's prices do to 32,768 ticks happens in it
FIELDS = (
    "bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots", "update_id", "is_two_sided",
    "is_crossed", "depth_update_id", "best_update_id",
)  # fmt: skip
# Same examples in every run, and no verdict from a busy machine's clock.
STEADY = settings(
    derandomize=True, deadline=None, database=None, max_examples=150, stateful_step_count=40
)
BIDS = [(1000, 5), (999, 6), (990, 7)]
ASKS = [(1001, 8), (1003, 9), (1010, 10)]


@pytest.fixture(params=[fast.Book, twin.Book], ids=["fast", "reference"])
def new_book(request):
    return request.param


@pytest.fixture
def book(new_book):
    made = new_book(WINDOW)
    assert made.apply_snapshot_lists(100, BIDS, ASKS) == Code.OK
    return made


def picture(book):
    """All that can be seen of a book."""
    return (
        {name: getattr(book, name) for name in FIELDS},
        book.level_list(Side.BUY),
        book.level_list(Side.SELL),
        [book.level_count(side) for side in Side],
        book.depth_touch_values(),
    )


# -- DEPTH -----------------------------------------------------------------------------------


def test_new_book_is_empty(new_book):
    book = new_book(WINDOW)
    assert (book.update_id, book.depth_update_id, book.best_update_id) == (-1, -1, -1)
    assert not book.is_two_sided
    assert not book.is_crossed
    assert book.level_list(Side.BUY) == book.level_list(Side.SELL) == []
    assert book.depth_touch_values() == (Code.STATE, 0, 0, 0, 0)
    book.check()


def test_snapshot_replaces_all_levels(book):
    assert book.apply_snapshot_lists(200, [(50, 1)], [(60, 2), (61, 0)]) == Code.OK
    assert book.level_list(Side.BUY) == [(50, 1)]
    assert book.level_list(Side.SELL) == [(60, 2)]
    assert (book.bid_px_ticks, book.bid_qty_lots) == (50, 1)
    assert (book.ask_px_ticks, book.ask_qty_lots) == (60, 2)
    assert (book.update_id, book.depth_update_id) == (200, 200)
    assert book.is_two_sided
    book.check()


def test_snapshot_in_any_order_is_sorted(new_book):
    rows = [(px, px) for px in range(400, 2400, 7)]
    random.Random(1).shuffle(rows)
    book = new_book(WINDOW)
    assert book.apply_snapshot_lists(1, rows, [(px + 5000, qty) for px, qty in rows]) == Code.OK
    assert book.level_list(Side.BUY) == sorted(rows, reverse=True)
    assert book.level_list(Side.SELL) == sorted((px + 5000, qty) for px, qty in rows)
    book.check()


def test_depth_quantities_are_absolute_and_zero_deletes(book):
    assert book.apply_depth_lists(101, 105, 100, [(999, 60), (1000, 0)], [(1002, 4)]) == Code.OK
    assert book.level_list(Side.BUY) == [(999, 60), (990, 7)]
    assert book.level_list(Side.SELL) == [(1001, 8), (1002, 4), (1003, 9), (1010, 10)]
    assert (book.bid_px_ticks, book.bid_qty_lots, book.update_id) == (999, 60, 105)


@pytest.mark.parametrize("px", [995, 1005, 1, 5000, 1 << 53])
def test_delete_of_absent_level_changes_nothing(book, px):
    before = picture(book)
    assert book.apply_depth_lists(101, 100, 100, [(px, 0)], [(px, 0)]) == Code.OK
    assert picture(book) == before
    book.check()


def test_later_row_of_one_message_wins(book):
    assert book.apply_depth_lists(101, 101, 100, [(998, 3), (998, 0), (997, 1), (997, 2)], []) == 0
    assert book.level_list(Side.BUY) == [(1000, 5), (999, 6), (997, 2), (990, 7)]


def test_side_emptied_is_not_two_sided_and_comes_back(book):
    book.apply_depth_lists(101, 101, 100, [(px, 0) for px, _ in BIDS], [])
    assert (book.bid_px_ticks, book.bid_qty_lots, book.is_two_sided) == (0, 0, False)
    assert book.depth_touch_values() == (Code.STATE, 0, 0, 1001, 8)
    assert not book.is_crossed
    book.apply_depth_lists(102, 102, 101, [(3, 1)], [])
    assert (book.bid_px_ticks, book.is_two_sided) == (3, True)
    book.check()


@pytest.mark.parametrize("px", [1001, 1002, 4000])
def test_bid_at_or_over_ask_is_crossed_until_a_message_mends_it(book, px):
    assert book.apply_depth_lists(101, 101, 100, [(px, 1)], []) == Code.CROSSED
    assert book.is_crossed
    assert not book.is_two_sided
    assert book.depth_touch_values()[0] == Code.CROSSED
    book.check()
    assert book.apply_depth_lists(102, 102, 101, [(px, 0)], []) == Code.OK
    assert not book.is_crossed
    assert book.is_two_sided
    book.check()


def test_crossing_within_one_message_is_not_crossed(book):
    moved = [(1003, 2)], [(1001, 0), (1003, 0)]
    assert book.apply_depth_lists(101, 101, 100, *moved) == Code.OK
    assert (book.bid_px_ticks, book.ask_px_ticks) == (1003, 1010)


@pytest.mark.parametrize("bad", [(0, 1), (-1, 1), (-(1 << 60), 1), ((1 << 53) + 1, 1), (999, -1)])
@pytest.mark.parametrize("side", Side)
def test_number_out_of_range_applies_nothing(book, bad, side):
    good = [(998, 1), (1000, 0)], [(1001, 0), (1009, 1)]
    good[side].append(bad)
    before = picture(book)
    assert book.apply_depth_lists(101, 101, 100, *good) == Code.RANGE
    assert book.apply_snapshot_lists(101, *good) == Code.RANGE
    assert picture(book) == before
    assert book.apply_depth_lists(101, -1, 100, [], []) == Code.RANGE


def test_largest_price_is_held(new_book):
    book = new_book(WINDOW)
    assert book.apply_snapshot_lists(1, [(1, 1)], [(1 << 53, 1)]) == Code.OK
    assert (book.bid_px_ticks, book.ask_px_ticks) == (1, 1 << 53)
    assert book.apply_depth_lists(2, 2, 1, [((1 << 53) - 1, 2)], [(1, 0)]) == Code.OK
    assert book.level_list(Side.BUY) == [((1 << 53) - 1, 2), (1, 1)]
    book.check()


def test_more_levels_than_capacity_applies_nothing(new_book):
    book = new_book(WINDOW, 8)
    rows = [(1000 - 50 * i, 1) for i in range(8)]
    assert book.apply_snapshot_lists(1, rows, [(1100, 1)]) == Code.OK
    before = picture(book)
    assert book.apply_depth_lists(2, 2, 1, [(999, 1)], [(1100, 2)]) == Code.FULL
    assert book.apply_depth_lists(2, 2, 1, [(1000, 0), (999, 1)], []) == Code.FULL
    assert book.apply_snapshot_lists(2, [*rows, (1, 1)], []) == Code.FULL
    assert picture(book) == before
    assert book.apply_depth_lists(2, 2, 1, [(px, 5) for px, _ in rows], []) == Code.OK
    assert book.level_list(Side.BUY) == [(px, 5) for px, _ in rows]
    book.check()


def test_message_longer_than_the_limit_is_refused(book):
    rows = [(px, 1) for px in range(1, 16386)]
    before = picture(book)
    assert book.apply_depth_lists(101, 101, 100, rows, []) == Code.FULL
    assert book.apply_snapshot_lists(101, [], rows) == Code.FULL
    assert picture(book) == before


def test_clear_forgets_everything(book):
    book.apply_best_values(150, 1000, 1, 1001, 1)
    book.clear()
    assert picture(book) == picture(twin.Book(WINDOW))
    assert book.apply_best_values(1, 7, 1, 8, 1) == Code.OK  # old ids mean nothing now
    book.check()


# -- WINDOW ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 63, 64, 65, 127, 128, 129, 255, 256, 257, 5000])
@pytest.mark.parametrize("direction", [1, -1])
def test_walk_through_the_window_loses_no_level(new_book, step, direction):
    """Each message moves the touch by `step`, leaving a trail; the way back must find it."""
    book, start = new_book(WINDOW), 200_000
    book.apply_snapshot_lists(0, [(start - 1, 1)], [(start + 1, 1)])
    expected = twin.Book()
    expected.apply_snapshot_lists(0, [(start - 1, 1)], [(start + 1, 1)])
    mids = [start + direction * step * i for i in range(30)]
    for update_id, mid in enumerate([*mids, *reversed(mids)], 1):
        swept_asks = [(px, 0) for px, _ in expected.level_list(Side.SELL) if px <= mid]
        swept_bids = [(px, 0) for px, _ in expected.level_list(Side.BUY) if px >= mid]
        rows = ([(mid - 1, update_id), *swept_bids], [*swept_asks, (mid + 1, update_id)])
        for each in (book, expected):
            assert each.apply_depth_lists(update_id, update_id, update_id - 1, *rows) == Code.OK
        book.check()
        assert picture(book) == picture(expected)


def test_price_walks_through_the_whole_window_in_one_message(book):
    """Up 40 windows and back down within one message, both sides, old levels kept."""
    up = [(1000 + 256 * i, 1) for i in range(1, 41)]
    away = [(px + 1, 0) for px, _ in [(1000, 0), (1002, 0), (1009, 0), *up]]
    assert book.apply_depth_lists(101, 101, 100, up, [*away, (20_000, 3)]) == Code.OK
    assert book.bid_px_ticks == 1000 + 256 * 40
    assert book.level_list(Side.BUY) == [*reversed(up), *BIDS]
    book.check()
    down = [(px, 0) for px, _ in reversed(up)]
    assert book.apply_depth_lists(102, 102, 101, down, [(1001, 1)]) == Code.OK
    assert book.level_list(Side.BUY) == BIDS
    assert book.level_list(Side.SELL) == [(1001, 1), (20_000, 3)]
    book.check()


def test_spike_and_retreat_in_one_message_leaves_the_book_as_it_was(book):
    before = picture(book)
    spike = [(900_000, 1), (500_000, 1), (900_000, 0), (500_000, 0)]
    assert book.apply_depth_lists(101, 100, 100, spike, [(1, 1), (1, 0)]) == Code.OK
    assert picture(book) == before
    book.check()


def test_far_levels_can_be_changed_deleted_and_become_best(book):
    far = [(px, 2) for px in (10, 300, 20, 600)]
    book.apply_depth_lists(101, 101, 100, far, [])
    assert book.level_list(Side.BUY) == [*BIDS, (600, 2), (300, 2), (20, 2), (10, 2)]
    assert [book.qty_at(Side.BUY, px) for px in (600, 300, 301, 20, 1)] == [2, 2, 0, 2, 0]
    book.apply_depth_lists(102, 102, 101, [(300, 9), (20, 0)], [])
    assert book.level_list(Side.BUY)[3:] == [(600, 2), (300, 9), (10, 2)]
    gone = [(px, 0) for px, _ in BIDS]
    book.apply_depth_lists(103, 103, 102, [*gone, (600, 0)], [])
    assert (book.bid_px_ticks, book.bid_qty_lots) == (300, 9)
    book.check()


@pytest.mark.parametrize("mid", [2, 300, 5_000, 10**6, 10**9, 10**12, (1 << 53) - 40_000])
def test_any_tick_size_from_a_price_of_one_tick_to_a_million_million(new_book, mid):
    """Ticks of 1e-8 to 10: a price is 1 tick at the least and about 1e12 at the most."""
    dice, book, expected = random.Random(mid), new_book(WINDOW), twin.Book()
    reach = min(mid, 30_000)
    for update_id in range(1, 60):
        rows = [
            [(mid + sign * dice.randrange(reach) + (sign > 0), dice.choice([0, 1, 2]))
             for _ in range(8)]
            for sign in (-1, 1)
        ]  # fmt: skip
        for each in (book, expected):
            assert each.apply_depth_lists(0, update_id, 0, *rows) == Code.OK
        assert picture(book) == picture(expected)
        for px, _ in [*rows[0], *rows[1]]:
            for side in Side:
                assert book.qty_at(side, px) == expected.qty_at(side, px)
    book.check()


@pytest.mark.parametrize("spacing", [1, 7, 1000])
def test_snapshot_of_six_thousand_levels_a_side(new_book, spacing):
    """More than any venue sends (5,000); near and far levels alike can be read and deleted."""
    bids = [(10**8 - spacing * i, i + 1) for i in range(6000)]
    asks = [(10**8 + spacing * (i + 1), i + 1) for i in range(6000)]
    book = new_book(32768)
    assert book.apply_snapshot_lists(1, bids, asks) == Code.OK
    assert (book.level_list(Side.BUY), book.level_list(Side.SELL)) == (bids, asks)
    gone = [(px, 0) for px, _ in bids[::2]], [(px, 0) for px, _ in asks[1::2]]
    assert book.apply_depth_lists(2, 2, 1, *gone) == Code.OK
    assert (book.level_list(Side.BUY), book.level_list(Side.SELL)) == (bids[1::2], asks[::2])
    book.check()


@pytest.mark.parametrize("window", [256, 512, 4096, 8192, 32768])
def test_every_window_size_agrees_with_the_twin(window):
    dice = random.Random(window)
    made, expected, mid = fast.Book(window), twin.Book(), 1_000_000
    for update_id in range(300):
        mid += dice.choice([0, 0, 1, -1, window // 3, -window // 3])
        rows = [
            [(mid + sign * int(dice.expovariate(1 / window) + 1), dice.choice([0, 1, 2]))
             for _ in range(20)]
            for sign in (-1, 1)
        ]  # fmt: skip
        swept = [
            [(px, 0) for px, _ in expected.level_list(Side.BUY, 50) if px >= mid],
            [(px, 0) for px, _ in expected.level_list(Side.SELL, 50) if px <= mid],
        ]
        rows = [swept[side] + rows[side] for side in Side]
        codes = [each.apply_depth_lists(0, update_id, 0, *rows) for each in (made, expected)]
        assert codes[0] == codes[1]
        assert picture(made) == picture(expected)
    made.check()


@pytest.mark.parametrize("window", [0, 128, 255, 257, 524288, -256])
def test_window_must_be_a_power_of_two_in_bounds(window):
    with pytest.raises(ValueError, match="window_ticks"):
        fast.Book(window)


@pytest.mark.parametrize("levels_max", [0, -1, 65537])
def test_capacity_must_be_in_bounds(levels_max):
    with pytest.raises(ValueError, match="levels_max"):
        fast.Book(256, levels_max)


# -- FUSION ----------------------------------------------------------------------------------


def test_newer_ticker_is_the_touch_and_hides_better_levels(book):
    assert book.apply_best_values(110, 999, 66, 1005, 77) == Code.OK
    assert (book.bid_px_ticks, book.bid_qty_lots) == (999, 66)
    assert (book.ask_px_ticks, book.ask_qty_lots) == (1005, 77)
    assert (book.update_id, book.depth_update_id, book.best_update_id) == (110, 100, 110)
    assert book.level_list(Side.BUY) == [(999, 66), (990, 7)]
    assert book.level_list(Side.SELL) == [(1005, 77), (1010, 10)]
    assert book.level_list(Side.SELL, 1) == [(1005, 77)]
    assert [book.qty_at(Side.BUY, px) for px in (1000, 999, 990, 0, -5)] == [0, 66, 7, 0, 0]
    assert [book.qty_at(Side.SELL, px) for px in (1001, 1003, 1005, 1010)] == [0, 0, 77, 10]
    assert book.depth_touch_values() == (Code.OK, 1000, 5, 1001, 8)
    book.check()


@pytest.mark.parametrize("final", [110, 111, 200])
def test_depth_that_catches_up_drops_the_ticker(book, final):
    book.apply_best_values(110, 999, 66, 1005, 77)
    assert book.apply_depth_lists(101, final, 100, [], []) == Code.OK
    assert (book.bid_px_ticks, book.bid_qty_lots, book.update_id) == (1000, 5, final)
    assert book.level_list(Side.SELL) == ASKS


def test_depth_still_behind_keeps_the_ticker(book):
    book.apply_best_values(110, 999, 66, 1005, 77)
    assert book.apply_depth_lists(101, 109, 100, [(999, 1)], []) == Code.OK
    assert (book.bid_px_ticks, book.bid_qty_lots, book.update_id) == (999, 66, 110)


@pytest.mark.parametrize("update_id", [99, 100, 110])
def test_ticker_that_is_not_newer_is_ignored(book, update_id):
    book.apply_best_values(110, 999, 66, 1005, 77)
    before = picture(book)
    assert book.apply_best_values(update_id, 1, 1, 2, 1) == Code.STALE
    assert picture(book) == before


@pytest.mark.parametrize(
    "touch", [(0, 1, 2, 1), (1, 0, 2, 1), (1, 1, 0, 1), (1, 1, 2, 0), (-1, 1, 2, 1),
              (1, 1, (1 << 53) + 1, 1)],
)  # fmt: skip
def test_ticker_out_of_range_is_ignored(book, touch):
    before = picture(book)
    assert book.apply_best_values(110, *touch) == Code.RANGE
    assert picture(book) == before


def test_ticker_crossed_in_itself_is_crossed(book):
    assert book.apply_best_values(110, 1001, 1, 1001, 1) == Code.CROSSED
    assert book.is_crossed
    assert not book.is_two_sided


def test_depth_crossed_beneath_a_sound_ticker_is_crossed(book):
    book.apply_best_values(110, 999, 66, 1005, 77)
    assert book.apply_depth_lists(101, 105, 100, [(1002, 1)], []) == Code.CROSSED
    assert not book.is_two_sided


@pytest.mark.parametrize("bid", [1, 2, 10, 300, 700, 900, 999, 1000, 1001, 1200, 2000, 1 << 53])
def test_ticker_anywhere_relative_to_the_window(book, bid):
    """Far below, at, and above all that depth knows; depth is 260 ticks a side and far ones."""
    deep = [(px, 1) for px in (10, 300, 600, 740)], [(px, 1) for px in (1300, 1700)]
    expected = twin.Book()
    for each in (book, expected):
        each.apply_snapshot_lists(100, BIDS, ASKS)
        each.apply_depth_lists(101, 101, 100, *deep)
        each.apply_best_values(110, min(bid, (1 << 53) - 1), 5, min(bid + 1, 1 << 53), 6)
    assert picture(book) == picture(expected)
    for count in range(10):
        assert book.level_list(Side.BUY, count) == expected.level_list(Side.BUY, count)
        assert book.level_list(Side.SELL, count) == expected.level_list(Side.SELL, count)
    book.check()


def test_ticker_without_depth_is_a_book_of_one_level(new_book):
    book = new_book(WINDOW)
    assert book.apply_best_values(5, 100, 1, 101, 2) == Code.OK
    assert book.is_two_sided
    assert book.level_list(Side.BUY) == [(100, 1)]
    assert book.level_list(Side.SELL, 5) == [(101, 2)]


def test_older_snapshot_leaves_the_newer_ticker_on_top(book):
    book.apply_best_values(110, 999, 66, 1005, 77)
    assert book.apply_snapshot_lists(105, BIDS, ASKS) == Code.OK
    assert book.level_list(Side.BUY) == [(999, 66), (990, 7)]


# -- OUR OWN ORDERS TAKEN OUT ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "bids"),
    [
        ([], BIDS),
        ([(1000, 2)], [(1000, 3), (999, 6), (990, 7)]),
        ([(1000, 5)], BIDS[1:]),  # it was all ours
        ([(1000, 2), (1000, 3)], BIDS[1:]),  # two orders of ours at one price
        ([(999, 9)], [BIDS[0], BIDS[2]]),  # more than the venue knows of: never below zero
        ([(998, 4), (1001, 4), (1, 1)], BIDS),  # where no level stands
        ([(990, 7), (1000, 5), (999, 6)], []),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
def test_net_levels_are_the_others(book, own, bids, count):
    """A level that vanishes gives its place to the next one."""
    assert book.level_list_net(Side.BUY, count, own) == bids[:count]
    assert book.level_list_net(Side.SELL, count, []) == ASKS[:count]


def test_net_levels_are_taken_from_the_fused_touch_too(book):
    book.apply_best_values(110, 999, 66, 1005, 77)
    assert book.level_list_net(Side.BUY, 5, [(999, 60)]) == [(999, 6), (990, 7)]
    assert book.level_list_net(Side.SELL, 1, [(1005, 77)]) == [(1010, 10)]


def test_own_quantity_below_zero_is_refused(book):
    with pytest.raises(ValueError, match="own"):
        book.level_list_net(Side.BUY, 1, [(1000, -1)])


def test_wrong_side_is_refused_by_the_python_face(book):
    with pytest.raises(ValueError, match="2"):
        book.level_list(2)


# -- ANYTHING AT ALL -------------------------------------------------------------------------

near = st.integers(900, 1100)
anywhere = st.one_of(near, near, st.integers(1, 3000), st.integers(1, 10**6))
quantity = st.one_of(st.just(0), st.integers(1, 50))
rows_of = st.lists(st.tuples(anywhere, quantity), max_size=12)
bad_row = st.tuples(st.integers(-3, 5), st.integers(-2, 2))


class BookMachine(RuleBasedStateMachine):
    """Random messages, sound and not, into both books; they may never be told apart."""

    def __init__(self):
        super().__init__()
        self.fast, self.twin = fast.Book(WINDOW, 40), twin.Book(WINDOW, 40)
        self.update_id = 0

    def both(self, name, *args):
        codes = [getattr(each, name)(*args) for each in (self.fast, self.twin)]
        assert codes[0] == codes[1], (name, args)

    @rule(bids=rows_of, asks=rows_of, advance=st.integers(0, 5))
    def depth(self, bids, asks, advance):
        self.update_id += advance
        self.both("apply_depth_lists", 0, self.update_id, 0, bids, asks)

    @rule(bids=rows_of, asks=rows_of)
    def snapshot(self, bids, asks):
        distinct = [list(dict(rows).items()) for rows in (bids, asks)]
        self.both("apply_snapshot_lists", self.update_id, *distinct)

    @rule(ahead=st.integers(-3, 8), bid=anywhere, spread=st.integers(-1, 20), qty=quantity)
    def best(self, ahead, bid, spread, qty):
        self.both("apply_best_values", self.update_id + ahead, bid, qty, bid + spread, qty + 1)

    @rule(bids=rows_of, bad=bad_row)
    def nonsense(self, bids, bad):
        self.both("apply_depth_lists", 0, self.update_id, 0, bids, [bad])

    @precondition(lambda self: self.twin.level_count(Side.BUY))
    @rule(side=st.sampled_from(list(Side)), count=st.integers(1, 30))
    def sweep(self, side, count):
        """Take out the best levels: the touch jumps to whatever is left."""
        rows = [(px, 0) for px, _ in list(self.twin.sides[side].items())[:count]]
        sides = (rows, []) if side == Side.BUY else ([], rows)
        self.both("apply_depth_lists", 0, self.update_id, 0, *sides)

    @rule()
    def clear(self):
        self.both("clear")

    @invariant()
    def same(self):
        self.fast.check()
        assert picture(self.fast) == picture(self.twin)
        for px in (1, 950, 1000, 1050, self.twin.bid_px_ticks, self.twin.ask_px_ticks):
            for side in Side:
                assert self.fast.qty_at(side, px) == self.twin.qty_at(side, px)

    @rule(own=rows_of, count=st.integers(0, 12), side=st.sampled_from(list(Side)))
    def net(self, own, count, side):
        """Also orders of ours at the levels that stand."""
        ours = [*own, *self.twin.level_list(side, 3)]
        for mine in (own, ours):
            nets = [each.level_list_net(side, count, mine) for each in (self.fast, self.twin)]
            assert nets[0] == nets[1]


BookMachine.TestCase.settings = STEADY
TestBookMachine = BookMachine.TestCase
