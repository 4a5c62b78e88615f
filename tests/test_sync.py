"""Sync: the venue's rules to the letter, and never SYNCED on a wrong book.

Here the rules that take a snapshot by REST; test_sync_stream.py has those that don't,
test_sync_tapes.py what was recorded.
"""

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support_sync import (
    ASKS,
    BIDS,
    BYBIT,
    FUTURES,
    PARTIAL,
    REST_RULES,
    SPOT,
    STEADY,
    Venue,
    diff,
    fast,
    levels,
    next_diff,
    picture,
    synced,
    twin,
)

from fastcore.types import Code, Side, SyncState


@pytest.fixture(params=[fast, twin], ids=["fast", "reference"])
def new_sync(request):
    return request.param


# -- ANCHORING -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", REST_RULES)
def test_new_sync_wants_a_snapshot(new_sync, rule):
    sync = new_sync(rule)
    assert (sync.state, sync.snapshot_wanted) == (SyncState.EMPTY, True)
    assert sync.on_best_values(5, 1, 1, 2, 1) == 0
    assert sync.book.update_id == -1
    sync.check()


@pytest.mark.parametrize(
    ("rule", "first", "final", "prev", "expected"),
    [
        (FUTURES, 90, 99, 89, 0),  # u < last: stale
        (FUTURES, 90, 100, 89, 1),  # u == last still anchors
        (FUTURES, 100, 110, 99, 1),  # U == last
        (FUTURES, 95, 110, 94, 1),  # straddles
        (FUTURES, 103, 110, 100, 1),  # pu == last
        (FUTURES, 101, 110, 99, Code.GAP),  # U > last, and pu is not last
        (FUTURES, 103, 110, 101, Code.GAP),
        (SPOT, 90, 99, -1, 0),
        (SPOT, 90, 100, -1, 0),  # u == last: nothing new
        (SPOT, 90, 101, -1, 1),
        (SPOT, 101, 101, -1, 1),
        (SPOT, 101, 110, -1, 1),
        (SPOT, 102, 110, -1, Code.GAP),
    ],
)
@pytest.mark.parametrize("order", ["snapshot first", "diff first"])
def test_first_diff_is_stale_anchors_or_is_a_gap(
    new_sync, rule, first, final, prev, expected, order
):
    sync = new_sync(rule)
    if order == "snapshot first":
        assert sync.on_snapshot_lists(100, BIDS, ASKS) == 1
        assert diff(sync, first, final, prev) == expected
    else:
        assert diff(sync, first, final, prev) == 0
        stale_code = Code.STALE if expected == Code.GAP else 1
        assert sync.on_snapshot_lists(100, BIDS, ASKS) == stale_code
    sync.check()
    if expected == Code.GAP:
        assert sync.snapshot_wanted
        assert sync.waiting_count == 1  # it starts the next chain
        assert levels(sync.book) == ([], [])
    elif expected == 0:
        assert (sync.state, sync.stale_drops) == (SyncState.ANCHORING, 1)
        assert levels(sync.book) == (BIDS, ASKS)
    else:
        assert (sync.state, sync.last_update_id) == (SyncState.SYNCED, final)
        assert levels(sync.book) == ([*BIDS, (990, 1)], [*ASKS, (1010, 1)])


@pytest.mark.parametrize("rule", REST_RULES)
def test_buffered_diffs_replay_on_the_snapshot(new_sync, rule):
    sync = new_sync(rule)
    ids = [(80, 89), (90, 99), (100, 109), (110, 119), (120, 129)]
    for first, final in ids:
        assert diff(sync, first, final, first - 1, bid=(900, final), ask=(1100, final)) == 0
    assert sync.on_snapshot_lists(104, BIDS, ASKS) == 1
    assert (sync.state, sync.last_update_id, sync.stale_drops) == (SyncState.SYNCED, 129, 2)
    assert sync.waiting_count == 0
    assert levels(sync.book) == ([*BIDS, (900, 129)], [*ASKS, (1100, 129)])
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_snapshot_older_than_the_buffer_is_stale_and_another_is_wanted(new_sync, rule):
    sync = new_sync(rule)
    diff(sync, 200, 209, 199)
    assert sync.on_snapshot_lists(150, BIDS, ASKS) == Code.STALE
    assert (sync.snapshot_wanted, sync.stale_snapshots) == (True, 1)
    assert levels(sync.book) == ([], [])
    assert sync.on_snapshot_lists(204, BIDS, ASKS) == 1
    assert sync.state == SyncState.SYNCED
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_snapshot_newer_than_the_buffer_waits_for_its_diff(new_sync, rule):
    sync = new_sync(rule)
    diff(sync, 200, 209, 199)
    assert sync.on_snapshot_lists(300, BIDS, ASKS) == 1
    assert (sync.state, sync.waiting_count, sync.stale_drops) == (SyncState.ANCHORING, 0, 1)
    assert diff(sync, 290, 310, 289) == 1
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_chain_broken_inside_the_buffer_is_a_gap_that_starts_there(new_sync, rule):
    sync = new_sync(rule)
    for first, final in [(100, 109), (110, 119), (130, 139), (140, 149)]:
        diff(sync, first, final, first - 1)
    assert sync.on_snapshot_lists(104, BIDS, ASKS) == Code.GAP
    assert (sync.state, sync.gaps, sync.waiting_count) == (SyncState.GAP, 1, 2)
    assert sync.snapshot_wanted
    assert levels(sync.book) == ([], [])
    sync.check()
    assert sync.on_snapshot_lists(134, BIDS, ASKS) == 1
    assert (sync.state, sync.last_update_id) == (SyncState.SYNCED, 149)


@pytest.mark.parametrize("rule", REST_RULES)
@pytest.mark.parametrize("state", [SyncState.ANCHORING, SyncState.SYNCED])
def test_unsolicited_snapshot_is_ignored(new_sync, rule, state):
    sync = new_sync(rule)
    sync.on_snapshot_lists(100, BIDS, ASKS)
    if state == SyncState.SYNCED:
        diff(sync, 98, 105, 97)
    before = picture(sync)
    assert sync.on_snapshot_lists(105, [(1, 1)], [(2, 1)]) == Code.STATE
    assert picture(sync) == before
    assert sync.state == state


@pytest.mark.parametrize(
    ("bids", "asks", "code"),
    [([(0, 1)], [], Code.RANGE), (BIDS, [(1000, 1)], Code.CROSSED)],
)
def test_unusable_snapshot_leaves_another_wanted(new_sync, bids, asks, code):
    sync = new_sync(FUTURES)
    assert sync.on_snapshot_lists(100, bids, asks) == code
    assert (sync.state, sync.snapshot_wanted) == (SyncState.GAP, True)
    assert levels(sync.book) == ([], [])
    sync.check()


# -- CHAIN -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", REST_RULES)
def test_unbroken_chain_applies_each_diff(new_sync, rule):
    sync = synced(new_sync, rule)
    for size in range(2, 6):
        assert next_diff(sync, rule, bid=(990, size)) == 1
        assert sync.book.qty_at(Side.BUY, 990) == size
    assert (sync.last_update_id, sync.gaps) == (125, 0)
    sync.check()


@pytest.mark.parametrize(
    ("rule", "first", "final", "prev"),
    [
        (FUTURES, 107, 110, 106),  # one missing
        (FUTURES, 106, 110, 104),
        (FUTURES, 100, 104, 105),  # chains, and runs backwards
        (SPOT, 107, 110, -1),
        (SPOT, 106, 104, -1),  # not a range
    ],
)
def test_broken_chain_clears_the_book_and_starts_the_next_buffer(
    new_sync, rule, first, final, prev
):
    sync = synced(new_sync, rule)
    assert diff(sync, first, final, prev) == Code.GAP
    assert (sync.state, sync.snapshot_wanted, sync.gaps) == (SyncState.GAP, True, 1)
    assert (sync.waiting_count, sync.last_update_id) == (1, -1)
    assert levels(sync.book) == ([], [])
    assert not sync.book.is_two_sided
    sync.check()


@pytest.mark.parametrize(
    ("rule", "first", "final", "prev"),
    [(SPOT, 98, 105, -1), (SPOT, 90, 95, -1), (SPOT, 105, 105, -1),
     (FUTURES, 98, 105, 97), (FUTURES, 90, 95, 89)],
)  # fmt: skip
def test_event_that_we_had_already_is_ignored(new_sync, rule, first, final, prev):
    """Binance spot: "if u is less than the book's id, ignore the event". And everywhere: a second
    connection brings every event again."""
    sync = synced(new_sync, rule)
    before = levels(sync.book)
    assert diff(sync, first, final, prev, bid=(990, 77)) == 0
    assert (sync.state, sync.stale_drops, sync.gaps) == (SyncState.SYNCED, 1, 0)
    assert levels(sync.book) == before
    assert next_diff(sync, rule) == 1
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_copies_that_wait_for_the_snapshot_wait_once(new_sync, rule):
    sync = new_sync(rule)
    for first, final, prev in ((101, 105, 100), (101, 105, 100), (106, 110, 105), (101, 105, 100)):
        assert diff(sync, first, final, prev) == 0
    assert (sync.waiting_count, sync.stale_drops) == (2, 2)
    assert sync.on_snapshot_lists(103, [(990, 1)], [(1010, 1)]) == 1
    assert (sync.state, sync.last_update_id, sync.gaps) == (SyncState.SYNCED, 110, 0)
    sync.check()


@pytest.mark.parametrize("first", [90, 105, 106])
def test_spot_event_that_overlaps_is_applied_and_only_a_hole_is_a_gap(new_sync, first):
    """Binance spot: a gap is U > id + 1. Quantities are absolute: what overlaps does no harm."""
    sync = synced(new_sync, SPOT)
    assert diff(sync, first, 110, bid=(990, 77)) == 1
    assert (sync.last_update_id, sync.book.qty_at(Side.BUY, 990)) == (110, 77)
    assert diff(sync, 112, 113) == Code.GAP
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_nothing_asks_for_a_subscription_or_takes_a_partial_book(new_sync, rule):
    sync = synced(new_sync, rule)
    assert sync.on_partial_lists(200, BIDS, ASKS) == Code.STATE
    assert sync.last_update_id == 105
    diff(sync, 300, 310, 299)
    assert (sync.snapshot_wanted, sync.resubscribe_wanted) == (True, False)


@pytest.mark.parametrize("rule", REST_RULES)
def test_touch_beyond_the_snapshots_last_level_is_told(new_sync, rule):
    """What a REST snapshot does not reach is unknown until it changes."""
    sync = synced(new_sync, rule)
    assert not sync.is_past_snapshot()  # the diff's 990 and 1010 lie beyond, the touch does not
    next_diff(sync, rule, bid=(1000, 0))
    assert not sync.is_past_snapshot()  # 999, the snapshot's last
    next_diff(sync, rule, bid=(999, 0))
    assert (sync.book.bid_px_ticks, sync.is_past_snapshot()) == (990, True)
    next_diff(sync, rule, bid=(999, 1))
    assert not sync.is_past_snapshot()
    next_diff(sync, rule, ask=(1001, 0))
    next_diff(sync, rule, ask=(1003, 0))
    assert (sync.book.ask_px_ticks, sync.is_past_snapshot()) == (1010, True)
    sync.reset()
    assert not sync.is_past_snapshot()


@pytest.mark.parametrize("rule", REST_RULES)
def test_one_want_stands_through_any_number_of_diffs_until_resync(new_sync, rule):
    sync = synced(new_sync, rule)
    assert diff(sync, 110, 119, 109) == Code.GAP
    for first in range(120, 220, 10):
        assert diff(sync, first, first + 9, first - 1) == 0
        assert (sync.snapshot_wanted, sync.gaps) == (True, 1)
    assert sync.on_snapshot_lists(115, BIDS, ASKS) == 1
    assert (sync.state, sync.last_update_id) == (SyncState.SYNCED, 219)
    assert not sync.snapshot_wanted
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_crossed_diff_loses_sync_and_is_counted_apart(new_sync, rule):
    sync = synced(new_sync, rule)
    assert next_diff(sync, rule, bid=(1001, 1)) == Code.CROSSED
    assert (sync.state, sync.snapshot_wanted) == (SyncState.GAP, True)
    assert (sync.crossed, sync.gaps, sync.waiting_count) == (1, 0, 1)
    assert levels(sync.book) == ([], [])
    assert sync.on_snapshot_lists(120, BIDS, ASKS) == 1  # newer than the diff: it is dropped
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_refused_diff_loses_sync(new_sync, rule):
    """What can't be applied was still an update: the book behind it is wrong."""
    sync = synced(new_sync, rule)
    assert next_diff(sync, rule, ask=(0, 1)) == Code.RANGE
    assert (sync.state, sync.rejected, sync.gaps) == (SyncState.GAP, 1, 0)
    assert levels(sync.book) == ([], [])
    sync.check()


@pytest.mark.parametrize("rule", REST_RULES)
def test_reset_starts_anew_from_any_state(new_sync, rule):
    sync = synced(new_sync, rule)
    sync.on_best_values(106, 1000, 1, 1001, 1)
    sync.reset()
    assert (sync.state, sync.snapshot_wanted, sync.waiting_count) == (SyncState.EMPTY, True, 0)
    assert levels(sync.book) == ([], [])
    diff(sync, 1, 2, 0)
    sync.reset()
    assert sync.waiting_count == 0
    sync.check()


# -- BUFFER LIMITS ---------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [(4, 1000), (1000, 8)], ids=["events", "levels"])
def test_full_buffer_is_dropped_and_starts_with_the_newest(new_sync, limits):
    sync = new_sync(FUTURES, *limits)
    codes = [diff(sync, i, i, i - 1) for i in range(1, 10)]
    assert codes == [0, 0, 0, 0, Code.FULL, 0, 0, 0, Code.FULL]
    assert (sync.overflows, sync.waiting_count, sync.snapshot_wanted) == (2, 1, True)
    sync.check()
    assert sync.on_snapshot_lists(3, BIDS, ASKS) == Code.STALE
    assert sync.on_snapshot_lists(9, BIDS, ASKS) == 1
    assert sync.state == SyncState.SYNCED


def test_diff_larger_than_the_whole_buffer_is_dropped_too(new_sync):
    sync = new_sync(FUTURES, 10, 3)
    diff(sync, 1, 1, 0)
    assert sync.on_depth_lists(2, 2, 1, BIDS, ASKS) == Code.FULL
    assert (sync.waiting_count, sync.overflows) == (0, 1)
    sync.check()


@pytest.mark.parametrize(
    ("rule", "limits", "what"),
    [(4, (), "rule"), (-1, (), "rule"), (0, (0, 1), "events_max"), (0, (4097, 1), "events_max"),
     (0, (1, 0), "levels_max"), (0, (1, 262145), "levels_max")],
)  # fmt: skip
def test_nonsense_limits_are_refused(rule, limits, what):
    with pytest.raises(ValueError, match=what):
        fast(rule, *limits)


# -- TICKER ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", REST_RULES)
def test_ticker_reaches_only_a_synced_book(new_sync, rule):
    sync = new_sync(rule)
    assert sync.on_best_values(101, 1000, 1, 1001, 1) == 0
    sync.on_snapshot_lists(100, BIDS, ASKS)
    assert sync.on_best_values(102, 1000, 2, 1001, 2) == 0
    assert sync.book.best_update_id == -1
    diff(sync, 98, 105, 97)
    assert sync.on_best_values(104, 1000, 3, 1001, 3) == Code.STALE
    assert sync.on_best_values(106, 0, 3, 1001, 3) == Code.RANGE
    assert sync.on_best_values(106, 1000, 3, 1001, 3) == 1
    assert sync.book.bid_qty_lots == 3
    assert sync.state == SyncState.SYNCED
    sync.check()


def test_crossed_ticker_loses_sync(new_sync):
    sync = synced(new_sync, FUTURES)
    assert sync.on_best_values(106, 1001, 3, 1001, 3) == Code.CROSSED
    assert (sync.state, sync.crossed, sync.waiting_count) == (SyncState.GAP, 1, 0)
    assert levels(sync.book) == ([], [])
    sync.check()


# -- RANDOM STREAMS --------------------------------------------------------------------------


class SyncMachine(RuleBasedStateMachine):
    """A venue's stream with every fault that a wire can have: both Syncs behave alike, and a book
    that is SYNCED is the venue's book at that id."""

    rule_kind = FUTURES

    def __init__(self):
        super().__init__()
        limits = (6, 60)
        self.fast, self.twin = fast(self.rule_kind, *limits), twin(self.rule_kind, *limits)
        self.venue = Venue(self.rule_kind, random.Random(7))
        self.sent = [self.venue.next()]

    def both(self, name, *args):
        codes = [getattr(each, name)(*args) for each in (self.fast, self.twin)]
        assert codes[0] == codes[1], (name, args)

    @rule(count=st.integers(1, 3))
    def deliver(self, count):
        for _ in range(count):
            self.sent.append(self.venue.next())
            self.both("on_depth_lists", *self.sent[-1])

    @rule()
    def lose_one(self):
        self.sent.append(self.venue.next())

    @rule(back=st.integers(1, 4))
    def repeat(self, back):
        self.both("on_depth_lists", *self.sent[-min(back, len(self.sent))])

    @rule()
    def swap(self):
        self.sent += [self.venue.next(), self.venue.next()]
        self.both("on_depth_lists", *self.sent[-1])
        self.both("on_depth_lists", *self.sent[-2])

    @rule(back=st.integers(0, 5))
    def snapshot(self, back):
        final = sorted(self.venue.history)[-min(back + 1, len(self.venue.history))]
        seq = self.venue.seq(final) if self.rule_kind == BYBIT else 0
        self.both("on_snapshot_lists", final, *self.venue.history[final], seq)

    @rule()
    def snapshot_of_now_then_diffs(self):
        """The way back: without it most walks would stay out of sync."""
        self.snapshot(0)
        self.deliver(2)

    @rule()
    def crossed_diff(self):
        *ids, bids, asks, seq = self.venue.next()
        self.both("on_depth_lists", *ids, [*bids, (asks[-1][0], 1)], asks, seq)

    @rule()
    def damaged_diff(self):
        *ids, bids, asks, seq = self.venue.next()
        self.both("on_depth_lists", *ids, [*bids, (0, 1)], asks, seq)

    @rule(ahead=st.integers(-2, 3), spread=st.sampled_from([0, 1, 2, 3, 4]))
    def ticker(self, ahead, spread):
        bid, update_id = self.venue.book.bid_px_ticks, self.venue.seq(self.venue.final) + ahead
        self.both("on_best_values", update_id, bid, 3, bid + spread, 4)

    @rule()
    def reconnect(self):
        self.both("reset")

    @invariant()
    def same(self):
        self.fast.check()
        assert picture(self.fast) == picture(self.twin)

    @invariant()
    def synced_is_true(self):
        book = self.fast.book
        if self.fast.state == SyncState.SYNCED and book.best_update_id <= book.depth_update_id:
            assert levels(self.fast.book) == self.venue.history[self.fast.last_update_id]


class SpotSyncMachine(SyncMachine):
    rule_kind = SPOT


class BybitSyncMachine(SyncMachine):
    rule_kind = BYBIT


class PartialSyncMachine(SyncMachine):
    rule_kind = PARTIAL


for machine in (SyncMachine, SpotSyncMachine, BybitSyncMachine, PartialSyncMachine):
    machine.TestCase.settings = STEADY
TestSyncMachine = SyncMachine.TestCase
TestSpotSyncMachine = SpotSyncMachine.TestCase
TestBybitSyncMachine = BybitSyncMachine.TestCase
TestPartialSyncMachine = PartialSyncMachine.TestCase
