"""Sync: the venue's rules to the letter, on real tapes, and never SYNCED on a wrong book."""

import gzip
import json
import random
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastcore import book as fast_book
from fastcore import sync as fast_sync
from fastcore.types import Code, Side, SyncRule, SyncState
from tests.reference import book as twin_book
from tests.reference import sync as twin_sync

FIELDS = (
    "state", "snapshot_wanted", "last_update_id", "gaps", "crossed", "rejected", "stale_drops",
    "stale_snapshots", "overflows", "waiting_count",
)  # fmt: skip
STEADY = settings(
    derandomize=True, deadline=None, database=None, max_examples=150, stateful_step_count=40
)
FUTURES, SPOT = SyncRule.FUTURES, SyncRule.SPOT
BIDS, ASKS = [(1000, 5), (999, 6)], [(1001, 8), (1003, 9)]


def fast(rule, *limits, window=256):
    return fast_sync.Sync(fast_book.Book(window), rule, *limits)


def twin(rule, *limits, window=256):
    return twin_sync.Sync(twin_book.Book(window), rule, *limits)


@pytest.fixture(params=[fast, twin], ids=["fast", "reference"])
def new_sync(request):
    return request.param


def levels(book):
    return (book.level_list(Side.BUY), book.level_list(Side.SELL))


def picture(sync):
    return {name: getattr(sync, name) for name in FIELDS}, levels(sync.book), sync.book.update_id


def diff(sync, first, final, prev=-1, bid=(990, 1), ask=(1010, 1)):
    return sync.on_depth_lists(first, final, prev, [bid], [ask])


def synced(new_sync, rule):
    """Snapshot 100, then one diff that covers it and ends at 105."""
    sync = new_sync(rule)
    assert sync.on_snapshot_lists(100, BIDS, ASKS) == 1
    assert sync.state == SyncState.ANCHORING
    assert diff(sync, 98, 105, 97) == 1
    assert sync.state == SyncState.SYNCED
    return sync


def next_diff(sync, rule, **rows):
    """A diff that continues the chain, of five ids."""
    last = sync.last_update_id
    first = last + 1 if rule == SPOT else last + 3  # futures ids have holes between diffs
    return diff(sync, first, last + 5, -1 if rule == SPOT else last, **rows)


# -- ANCHORING -------------------------------------------------------------------------------

@pytest.mark.parametrize("rule", SyncRule)
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


@pytest.mark.parametrize("rule", SyncRule)
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


@pytest.mark.parametrize("rule", SyncRule)
def test_snapshot_older_than_the_buffer_is_stale_and_another_is_wanted(new_sync, rule):
    sync = new_sync(rule)
    diff(sync, 200, 209, 199)
    assert sync.on_snapshot_lists(150, BIDS, ASKS) == Code.STALE
    assert (sync.snapshot_wanted, sync.stale_snapshots) == (True, 1)
    assert levels(sync.book) == ([], [])
    assert sync.on_snapshot_lists(204, BIDS, ASKS) == 1
    assert sync.state == SyncState.SYNCED
    sync.check()


@pytest.mark.parametrize("rule", SyncRule)
def test_snapshot_newer_than_the_buffer_waits_for_its_diff(new_sync, rule):
    sync = new_sync(rule)
    diff(sync, 200, 209, 199)
    assert sync.on_snapshot_lists(300, BIDS, ASKS) == 1
    assert (sync.state, sync.waiting_count, sync.stale_drops) == (SyncState.ANCHORING, 0, 1)
    assert diff(sync, 290, 310, 289) == 1
    sync.check()


@pytest.mark.parametrize("rule", SyncRule)
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


@pytest.mark.parametrize("rule", SyncRule)
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


@pytest.mark.parametrize("rule", SyncRule)
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
        (FUTURES, 98, 105, 97),  # the same again
        (FUTURES, 90, 95, 89),  # from the past
        (FUTURES, 100, 104, 105),  # chains, and runs backwards
        (SPOT, 107, 110, -1),
        (SPOT, 105, 110, -1),
        (SPOT, 98, 105, -1),
        (SPOT, 106, 104, -1),
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


@pytest.mark.parametrize("rule", SyncRule)
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


@pytest.mark.parametrize("rule", SyncRule)
def test_crossed_diff_loses_sync_and_is_counted_apart(new_sync, rule):
    sync = synced(new_sync, rule)
    assert next_diff(sync, rule, bid=(1001, 1)) == Code.CROSSED
    assert (sync.state, sync.snapshot_wanted) == (SyncState.GAP, True)
    assert (sync.crossed, sync.gaps, sync.waiting_count) == (1, 0, 1)
    assert levels(sync.book) == ([], [])
    assert sync.on_snapshot_lists(120, BIDS, ASKS) == 1  # newer than the diff: it is dropped
    sync.check()


@pytest.mark.parametrize("rule", SyncRule)
def test_refused_diff_loses_sync(new_sync, rule):
    """What can't be applied was still an update: the book behind it is wrong."""
    sync = synced(new_sync, rule)
    assert next_diff(sync, rule, ask=(0, 1)) == Code.RANGE
    assert (sync.state, sync.rejected, sync.gaps) == (SyncState.GAP, 1, 0)
    assert levels(sync.book) == ([], [])
    sync.check()


@pytest.mark.parametrize("rule", SyncRule)
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
    [(2, (), "rule"), (-1, (), "rule"), (0, (0, 1), "events_max"), (0, (4097, 1), "events_max"),
     (0, (1, 0), "levels_max"), (0, (1, 262145), "levels_max")],
)  # fmt: skip
def test_nonsense_limits_are_refused(rule, limits, what):
    with pytest.raises(ValueError, match=what):
        fast(rule, *limits)


# -- TICKER ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", SyncRule)
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


class Venue:
    """A book that diffs come from; it remembers what it looked like at each id."""

    def __init__(self, rule, dice):
        self.rule, self.dice = rule, dice
        self.book = twin_book.Book()
        self.final = 100
        self.book.apply_snapshot_lists(self.final, BIDS, ASKS)
        self.history = {self.final: levels(self.book)}

    def next(self):
        """A diff that moves the touch at random, as on_depth_lists takes it."""
        dice, last = self.dice, self.final
        mid = self.book.bid_px_ticks + dice.randint(-4, 5)
        bids = [(px, 0) for px, _ in self.book.level_list(Side.BUY) if px >= mid]
        asks = [(px, 0) for px, _ in self.book.level_list(Side.SELL) if px <= mid]
        bids += [(mid - 1 - dice.randrange(30), dice.randint(0, 5)) for _ in range(3)]
        asks += [(mid + 1 + dice.randrange(30), dice.randint(0, 5)) for _ in range(3)]
        bids, asks = [*bids, (mid - 40, 9)], [*asks, (mid + 40, 9)]
        first = last + 1 + (dice.randrange(3) if self.rule == FUTURES else 0)
        self.final = first + dice.randrange(4)
        assert self.book.apply_depth_lists(first, self.final, last, bids, asks) == Code.OK
        self.history[self.final] = levels(self.book)
        return (first, self.final, last if self.rule == FUTURES else -1, bids, asks)


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
        self.both("on_snapshot_lists", final, *self.venue.history[final])

    @rule()
    def snapshot_of_now_then_diffs(self):
        """The way back: without it most walks would stay out of sync."""
        self.snapshot(0)
        self.deliver(2)

    @rule()
    def crossed_diff(self):
        first, final, prev, bids, asks = self.venue.next()
        self.both("on_depth_lists", first, final, prev, [*bids, (asks[-1][0], 1)], asks)

    @rule()
    def damaged_diff(self):
        first, final, prev, bids, asks = self.venue.next()
        self.both("on_depth_lists", first, final, prev, [*bids, (0, 1)], asks)

    @rule(ahead=st.integers(-2, 3), spread=st.sampled_from([0, 1, 2, 3, 4]))
    def ticker(self, ahead, spread):
        bid = self.venue.book.bid_px_ticks
        self.both("on_best_values", self.venue.final + ahead, bid, 3, bid + spread, 4)

    @rule()
    def reconnect(self):
        self.both("reset")

    @invariant()
    def same(self):
        self.fast.check()
        assert picture(self.fast) == picture(self.twin)

    @invariant()
    def synced_is_true(self):
        if self.fast.state == SyncState.SYNCED and self.fast.book.update_id == (
            self.fast.last_update_id
        ):
            assert levels(self.fast.book) == self.venue.history[self.fast.last_update_id]


class SpotSyncMachine(SyncMachine):
    rule_kind = SPOT


SyncMachine.TestCase.settings = SpotSyncMachine.TestCase.settings = STEADY
TestSyncMachine = SyncMachine.TestCase
TestSpotSyncMachine = SpotSyncMachine.TestCase


# -- REAL TAPES ------------------------------------------------------------------------------


class Message(NamedTuple):
    verb: str  # name of the Sync method
    args: tuple


def units(text, decimals):
    """Decimal text as integer units of 10^-decimals, exactly."""
    whole, _, fraction = text.partition(".")
    assert not fraction[decimals:].strip("0"), text
    return int(whole + fraction[:decimals].ljust(decimals, "0"))


def read_tape(path: Path, px_decimals: int, qty_decimals: int, lines: int) -> list[Message]:
    def rows(pairs):
        return [(units(px, px_decimals), units(qty, qty_decimals)) for px, qty in pairs]

    messages = []
    with gzip.open(path, "rt") as tape:
        for _, line in zip(range(lines), tape, strict=False):
            data = json.loads(line.split(" ", 1)[1])
            stream = data.get("stream", "")
            data = data.get("data", data)
            if "lastUpdateId" in data:
                args = (data["lastUpdateId"], rows(data["bids"]), rows(data["asks"]))
                messages.append(Message("on_snapshot_lists", args))
            elif "@depth" in stream:
                ids = (data["U"], data["u"], data.get("pu", -1))
                messages.append(
                    Message("on_depth_lists", (*ids, rows(data["b"]), rows(data["a"])))
                )
            elif "@bookTicker" in stream:
                (bid,), (ask,) = rows([(data["b"], data["B"])]), rows([(data["a"], data["A"])])
                messages.append(Message("on_best_values", (data["u"], *bid, *ask)))
    return messages


@pytest.fixture(scope="session")
def smoke_tape(data_dir):
    return read_tape(data_dir / "binance_usdm/btcusdt_20220811_7s.gz", 1, 3, 10**9)


# Spot: 6 decimals, not the filter's 5: three old orders of the tape stand off today's lot grid.
TAPES = {
    "usdm_7s": ("binance_usdm/btcusdt_20220811_7s.gz", FUTURES, 1, 3, 10**9),
    "usdm": ("binance_usdm/btcusdt_20240808.gz", FUTURES, 1, 3, 15_000),
    "spot": ("binance_spot/btcusdt_20240808.gz", SPOT, 2, 6, 15_000),
}


@pytest.mark.parametrize("window", [256, 32768])
@pytest.mark.parametrize("name", TAPES)
def test_real_tape_has_no_gap_is_never_crossed_and_ends_equal(data_dir, name, window):
    path, rule_kind, px_decimals, qty_decimals, lines = TAPES[name]
    made, expected = fast(rule_kind, window=window), twin(rule_kind)
    touch = ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots", "is_two_sided")
    tickers = {}  # the venue's own oracle: its touch at an id, whichever stream came first
    applied = agreed = compared = 0
    for verb, args in read_tape(data_dir / path, px_decimals, qty_decimals, lines):
        code = getattr(made, verb)(*args)
        assert code == getattr(expected, verb)(*args)
        assert code in (0, 1, Code.STALE)
        for field in touch:
            assert getattr(made.book, field) == getattr(expected.book, field)
        applied += code == 1
        if verb == "on_best_values":
            tickers[args[0]] = args[1:]
        if made.state == SyncState.SYNCED and made.book.depth_update_id in tickers:
            compared += 1
            oracle = tickers.pop(made.book.depth_update_id)
            agreed += made.book.depth_touch_values() == (Code.OK, *oracle)
    assert (made.gaps, made.crossed, made.rejected) == (0, 0, 0)
    assert made.state == SyncState.SYNCED
    # The long tapes' snapshot comes after diffs that it contains, the smoke tape's before any.
    assert (made.stale_drops > 0) == (name != "usdm_7s")
    assert applied > 100
    assert agreed == compared
    assert (compared > 100) == (name != "usdm_7s")  # which carries no bookTicker
    assert picture(made) == picture(expected)
    made.check()


class Fault(NamedTuple):
    kind: str
    at: int  # index into the messages


def plant(messages: list[Message], fault: Fault) -> list[Message]:
    at = fault.at
    if fault.kind == "delete":
        return [*messages[:at], *messages[at + 1 :]]
    if fault.kind == "duplicate":
        return [*messages[:at], messages[at], *messages[at:]]
    return [*messages[:at], messages[at + 1], messages[at], *messages[at + 2 :]]


@pytest.fixture(scope="session")
def depth_tape(smoke_tape):
    """Depth and snapshot alone, and the twin's book after each id of the clean stream."""
    messages = [message for message in smoke_tape if message.verb != "on_best_values"]
    clean, history, anchored_at = twin(FUTURES), {}, None
    for index, (verb, args) in enumerate(messages):
        getattr(clean, verb)(*args)
        if clean.state == SyncState.SYNCED:
            anchored_at = index if anchored_at is None else anchored_at
            history[clean.last_update_id] = levels(clean.book)
    assert clean.gaps == 0
    return messages, history, anchored_at


@pytest.mark.parametrize("kind", ["delete", "duplicate", "swap"])
def test_planted_fault_is_detected_by_the_next_depth_message(depth_tape, new_sync, kind):
    messages, history, anchored_at = depth_tape
    places = range(anchored_at + 1, len(messages) - 2)
    for at in random.Random(kind).sample(places, min(30, len(places))):
        sync = new_sync(FUTURES, window=4096)
        codes = []
        for verb, args in plant(messages, Fault(kind, at)):
            codes.append(getattr(sync, verb)(*args))
            if sync.state == SyncState.SYNCED:
                assert levels(sync.book) == history[sync.last_update_id], (kind, at)
        detected = at + 1 if kind == "duplicate" else at
        assert codes.index(Code.GAP) == detected, (kind, at)
        assert (sync.gaps, sync.state, sync.snapshot_wanted) == (1, SyncState.GAP, True)
        recover(sync, messages, history, at)


def recover(sync, messages, history, at):
    """The next snapshot, of a moment after the fault, brings the clean stream's book back."""
    last = max(history)
    assert sync.on_snapshot_lists(last, *history[last]) == 1
    assert levels(sync.book) == history[last], at
    assert sync.last_update_id == last
    sync.check()
