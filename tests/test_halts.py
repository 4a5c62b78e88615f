"""Each halt comes at its limit, not before, and goes when it should; beside a twin that keeps
whole histories; then through the core."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support_core import Desk

from engine.config import demo_core
from fastcore import halts as fast
from fastcore.halts import SETTINGS, check_settings
from fastcore.types import Command, Halt, Side, Verb
from tests.reference import halts as reference

MS = 1_000_000
STALE = 2_000 * MS
BUY, SELL = Side.BUY, Side.SELL
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=100)


def off(**on):
    """Every halt off but for what `on` says."""
    values = dict.fromkeys(SETTINGS, 0) | {"nonsense_max": 10}
    if {"spread_factor", "spread_ticks_max"} & on.keys():
        values |= {"spread_updates_min": 3, "spread_clear_ms": 100}
    return values | on


@pytest.fixture(params=[fast.Halts, reference.Halts], ids=["fast", "reference"])
def new_halts(request):
    return lambda **on: request.param(off(**on), STALE)


def touch(halts, *spreads, ms=0):
    for spread in spreads:
        halts.on_touch(1000, 1000 + spread, ms * MS)
    return Halt(halts.bits)


# -- SETTINGS ---


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_required_and_bounded(key):
    is_whole, highest, text = SETTINGS[key]
    assert text
    good = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)["halts"]
    check_settings(good)
    for wrong in (
        -1,
        highest + 1,
        math.nan,
        math.inf,
        True,
        "1",
        None,
        *([0.5] if is_whole else []),
    ):
        with pytest.raises(ValueError, match=rf"Expected halts\.{key} to be a"):
            check_settings(good | {key: wrong})
    with pytest.raises(ValueError, match=rf"halts\.{key} is required"):
        check_settings({name: good[name] for name in good if name != key})


@pytest.mark.parametrize(
    ("on", "match"),
    [
        ({"nonsense_max": 0}, "nonsense_max to be above 0"),
        ({"spread_factor": 0.5, "spread_median_window": 9}, "0 or at least 1, was 0.5"),
        ({"spread_factor": 2.0}, "spread_median_window is 0"),
        ({"spread_ticks_max": 9, "spread_updates_min": 0}, "both 0: the halt could never come"),
        ({"vpin_max": 0.5, "vpin_clear": 0.6}, "vpin_clear to be at most"),
        ({"repeated_fills_max": 5}, "repeated_ms is 0"),
        ({"one_sided_fills_max": 5}, "one_sided_ms is 0"),
        (
            {"spread_tick_max": 5},
            r"Unknown key halts\.spread_tick_max; did you mean halts\.spread_t",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(on, match):
    with pytest.raises(ValueError, match=match):
        fast.Halts(off(**on), STALE)


def test_settings_are_a_table_and_the_feed_has_an_age():
    with pytest.raises(ValueError, match="to be a table, was int"):
        check_settings(5)
    with pytest.raises(ValueError, match="feed_stale_after_ns above 0"):
        fast.Halts(off(), 0)


def test_what_is_off_never_halts(new_halts):
    halts = new_halts()
    touch(halts, 1, 1, 10**9)
    halts.on_vpin(1.0, 0)
    for _ in range(50):
        halts.on_fill(BUY, 1, 0)
    halts.on_timer(10**12)
    assert halts.bits == 0


# -- SPREAD ---


@pytest.mark.parametrize(("spread", "comes"), [(19, False), (20, False), (21, True)])
def test_absolute_bound(new_halts, spread, comes):
    assert (touch(new_halts(spread_ticks_max=20), *[spread] * 3) == Halt.SPREAD) is comes


@pytest.mark.parametrize(("spread", "comes"), [(14, False), (15, False), (16, True)])
def test_bound_by_the_median_of_the_touches_before(new_halts, spread, comes):
    halts = new_halts(spread_factor=2.5, spread_median_window=9, spread_updates_min=1)
    touch(halts, 1, 2, 3, 4, 6, 7, 8, 9)
    assert halts.median_ticks() == -1
    touch(halts, 900)  # the window is not full: there is no median to be wide of
    assert halts.bits == 0
    assert halts.median_ticks() == 6
    assert (touch(halts, spread) == Halt.SPREAD) is comes


@pytest.mark.parametrize("updates", [1, 2, 5])
def test_so_many_wide_touches_in_a_row(new_halts, updates):
    halts = new_halts(spread_ticks_max=20, spread_updates_min=updates)
    assert touch(halts, *[21] * (updates - 1), 20, *[21] * (updates - 1)) == Halt.NONE
    assert touch(halts, 21) == Halt.SPREAD


def test_a_wide_touch_that_stands_halts_by_time(new_halts):
    halts = new_halts(spread_ticks_max=20, spread_updates_min=0, spread_ms_min=50)
    touch(halts, 21, ms=10)
    touch(halts, 22, 23, 24, ms=59)
    assert halts.bits == 0
    halts.on_timer(60 * MS - 1)
    assert halts.bits == 0
    halts.on_timer(60 * MS)
    assert halts.bits == Halt.SPREAD


def test_it_goes_after_calm_without_a_break(new_halts):
    halts = new_halts(spread_ticks_max=20)
    touch(halts, 21, 21, 21)
    assert touch(halts, 5, ms=100) == Halt.SPREAD
    assert touch(halts, 5, ms=199) == Halt.SPREAD
    assert touch(halts, 21, ms=199) == Halt.SPREAD  # again from the start
    assert touch(halts, 5, ms=210) == Halt.SPREAD
    halts.on_touch(0, 0, 250 * MS)  # a book with one side is not calm
    halts.on_timer(900 * MS)
    assert halts.bits == Halt.SPREAD
    assert touch(halts, 5, ms=1_000) == Halt.SPREAD
    halts.on_timer(1_100 * MS - 1)
    assert halts.bits == Halt.SPREAD
    halts.on_timer(1_100 * MS)
    assert halts.bits == 0


@pytest.mark.parametrize(("bid", "ask"), [(0, 1000), (1000, 0), (1000, 1000), (1001, 1000)])
def test_what_is_no_touch_breaks_a_run(new_halts, bid, ask):
    halts = new_halts(spread_ticks_max=20)
    touch(halts, 21, 21)
    halts.on_touch(bid, ask, 0)
    assert touch(halts, 21, 21) == Halt.NONE
    assert touch(halts, 21) == Halt.SPREAD


def test_a_market_that_stays_wide_becomes_the_measure(new_halts):
    halts = new_halts(spread_factor=3, spread_median_window=20)
    touch(halts, *[1] * 20)
    assert touch(halts, *[9] * 5) == Halt.SPREAD
    touch(halts, *[9] * 20, ms=10)
    halts.on_timer(500 * MS)
    assert halts.bits == 0
    assert halts.median_ticks() == 9


def test_a_burst_does_not_become_the_measure_because_samples_are_taken_by_time(new_halts):
    halts = new_halts(spread_factor=3, spread_median_window=5, spread_sample_ms=10)
    for ms in range(0, 50, 10):
        touch(halts, 1, ms=ms)
    assert touch(halts, *[9] * 100, ms=55) == Halt.SPREAD
    assert halts.median_ticks() == 1
    for ms in (60, 69, 70):
        halts.on_timer(ms * MS)  # the touch stands
    assert halts.median_ticks() == 1
    halts.on_timer(80 * MS)
    assert halts.median_ticks() == 9


@STEADY
@given(
    window=st.integers(1, 40),
    spreads=st.lists(
        st.one_of(st.integers(1, 6), st.integers(100, 300), st.integers(1, 2**33)), max_size=120
    ),
)
def test_the_median_is_the_sorted_windows(window, spreads):
    setting = off(spread_factor=2, spread_median_window=window)
    one, two = fast.Halts(setting, STALE), reference.Halts(setting, STALE)
    for spread in spreads:
        for halts in (one, two):
            halts.on_touch(1, 1 + spread, 0)
        assert one.median_ticks() == two.median_ticks()


def test_the_median_through_the_largest_window():
    dice = random.Random(3)
    setting = off(spread_factor=2, spread_median_window=4096)
    one, spreads = fast.Halts(setting, STALE), []
    for step in range(13_000):
        spreads.append(max(1, round(dice.lognormvariate(3 + step / 4_000, 1.5))))
        one.on_touch(1, 1 + spreads[-1], 0)
        if step % 997 == 0 and step > 4_096:
            middle = sorted(map(reference.edge, spreads[-4096:]))[2047]
            assert one.median_ticks() == middle
            assert middle <= sorted(spreads[-4096:])[2047] < middle * 65 / 64 + 1


# -- FLOW ---


def test_toxicity_has_two_thresholds(new_halts):
    halts = new_halts(vpin_max=0.6, vpin_clear=0.4)
    for vpin, bits in ((0.6, 0), (0.61, Halt.TOXICITY), (0.5, Halt.TOXICITY),
                       (0.4, Halt.TOXICITY), (0.39, 0), (0.5, 0), (math.nan, Halt.TOXICITY),
                       (0.0, 0)):  # fmt: skip
        halts.on_vpin(vpin, 0)
        assert halts.bits == bits, vpin


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_repeated_execution_is_latched_until_an_operator_resumes(new_halts, limit):
    halts = new_halts(repeated_fills_max=limit, repeated_ms=100)
    sides = [BUY, SELL] * limit
    for side in sides[:limit]:
        halts.on_fill(side, 1, 5 * MS)
    assert halts.bits == 0
    halts.on_fill(BUY, 0, 5 * MS)  # no fill
    assert halts.bits == 0
    halts.on_fill(BUY, 1, 105 * MS)  # the others have just left the window
    assert halts.bits == 0
    for side in sides[:limit]:
        halts.on_fill(side, 1, 205 * MS - 1)
    assert halts.bits == Halt.REPEATED_EXECUTION
    for ms in (300, 10**6):
        halts.on_timer(ms * MS)
        assert halts.bits == Halt.REPEATED_EXECUTION
    halts.on_resume()
    assert halts.bits == 0
    for side in sides[:limit]:
        halts.on_fill(side, 1, 10**6 * MS)
    assert halts.bits == 0  # what the operator looked at is not counted again
    halts.on_fill(BUY, 1, 10**6 * MS)
    assert halts.bits == Halt.REPEATED_EXECUTION


def test_the_end_of_a_burst_on_one_side_does_not_end_what_is_latched(new_halts):
    halts = new_halts(
        repeated_fills_max=2, repeated_ms=100, one_sided_fills_max=2, one_sided_ms=100
    )
    for _ in range(3):
        halts.on_fill(BUY, 1, 5 * MS)
    assert halts.bits == Halt.REPEATED_EXECUTION | Halt.ONE_SIDED_FILLS
    halts.on_timer(105 * MS)
    assert halts.bits == Halt.REPEATED_EXECUTION


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_fills_in_a_row_on_one_side(new_halts, limit):
    halts = new_halts(one_sided_fills_max=limit, one_sided_ms=100)
    for side in [BUY] * limit + [SELL] * limit + [BUY] * limit:
        halts.on_fill(side, 1, 5 * MS)
    assert halts.bits == 0
    halts.on_fill(BUY, 1, 5 * MS)
    assert halts.bits == Halt.ONE_SIDED_FILLS
    halts.on_fill(SELL, 1, 50 * MS)  # fills go on: not quiet yet
    halts.on_timer(150 * MS - 1)
    assert halts.bits == Halt.ONE_SIDED_FILLS
    halts.on_timer(150 * MS)
    assert halts.bits == 0


def test_slow_fills_on_one_side_do_not_halt(new_halts):
    halts = new_halts(
        one_sided_fills_max=2, one_sided_ms=100, repeated_fills_max=2, repeated_ms=100
    )
    for step in range(20):
        halts.on_fill(BUY, 1, step * 50 * MS)
    assert halts.bits == 0


# -- WHAT WAS BEFORE ---


def test_nonsense_halts_and_resume_counts_anew(new_halts):
    halts = new_halts(nonsense_max=2)
    for _ in range(2):
        halts.on_nonsense()
        assert halts.bits == 0
        halts.on_nonsense()
        assert halts.bits == Halt.STRATEGY
        halts.on_resume()
        assert (halts.bits, halts.nonsense_count) == (0, 0)


def test_resume_clears_what_only_a_person_may_and_nothing_else(new_halts):
    halts = new_halts()
    for bit in Halt:
        halts.set(bit)
    halts.on_resume()
    latched = Halt.OPERATOR | Halt.STRATEGY | Halt.REPEATED_EXECUTION
    assert halts.bits == sum(Halt) - latched


class Story(RuleBasedStateMachine):
    """Anything in any order, on the compiled halts and on their twin."""

    @initialize(
        factor=st.sampled_from([0, 1.5, 3]), most=st.sampled_from([0, 8]),
        updates=st.integers(1, 3), ms=st.sampled_from([0, 40]), window=st.integers(1, 7),
        sample=st.sampled_from([0, 0, 15]), fills=st.integers(0, 3), row=st.integers(0, 3),
    )  # fmt: skip
    def open(self, factor, most, updates, ms, window, sample, fills, row):
        setting = off(
            spread_factor=factor, spread_ticks_max=most, spread_updates_min=updates,
            spread_ms_min=ms, spread_clear_ms=60, spread_median_window=window, vpin_max=0.6,
            spread_sample_ms=sample, vpin_clear=0.4, repeated_fills_max=fills, repeated_ms=50,
            one_sided_fills_max=row,
            one_sided_ms=70, nonsense_max=2,
        )  # fmt: skip
        self.pair = fast.Halts(setting, 100 * MS), reference.Halts(setting, 100 * MS)
        self.now_ns = 0

    def both(self, name, *args):
        for halts in self.pair:
            getattr(halts, name)(*args)

    @rule(ms=st.sampled_from([1, 10, 30, 101]))
    def time_passes(self, ms):
        self.now_ns += ms * MS

    @rule()
    def timer(self):
        self.both("on_timer", self.now_ns)

    @rule()
    def market(self):
        self.both("on_market", self.now_ns)

    @rule(spreads=st.lists(st.integers(0, 12), min_size=1, max_size=4))
    def touches(self, spreads):
        for spread in spreads:
            self.both("on_touch", 100, 100 + spread, self.now_ns)

    @rule(side=st.integers(0, 1), count=st.integers(1, 4))
    def fills(self, side, count):
        for _ in range(count):
            self.both("on_fill", side, 1, self.now_ns)

    @rule(vpin=st.sampled_from([0.0, 0.4, 0.5, 0.6, 0.7, math.nan]))
    def vpin(self, vpin):
        self.both("on_vpin", vpin, self.now_ns)

    @rule(name=st.sampled_from(["on_nonsense", "on_resume"]))
    def said(self, name):
        self.both(name)

    @rule()
    def rate_limit(self):
        self.both("on_rate_limit", self.now_ns + 25 * MS)

    @invariant()
    def they_agree(self):
        one, two = getattr(self, "pair", (None, None))
        if one is not None:
            assert Halt(one.bits) == Halt(two.bits)
            assert one.median_ticks() == two.median_ticks()


TestStory = Story.TestCase
TestStory.settings = STEADY


# -- THROUGH THE CORE ---


def halts_of(desk):
    return Halt(desk.core.halt_bits)


def test_a_spread_that_blows_out_pulls_the_quotes_and_calm_brings_them_back():
    desk = Desk(halts__spread_ticks_max=50, halts__spread_updates_min=2)
    desk.start()
    for params in desk.take_sent():
        desk.ack(params)
    desk.best("60000.00", "1.000", "60006.00", "1.000")
    assert halts_of(desk) == Halt.NONE
    desk.best("60000.00", "1.000", "60007.00", "1.000")
    assert halts_of(desk) == Halt.SPREAD
    cancels = [params for params in desk.take_sent() if params["verb"] == Verb.CANCEL]
    assert len(cancels) >= 2
    desk.best("60000.00", "1.000", "60000.10", "1.000")
    for _ in range(100):
        desk.timer(9)
    assert halts_of(desk) == Halt.SPREAD
    desk.best("60000.00", "1.100", "60000.10", "1.000")
    desk.timer(100)
    assert halts_of(desk) == Halt.NONE


def test_the_demos_settings_bear_its_market_and_stop_a_blow_out():
    chosen = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)["halts"]
    halts, dice = fast.Halts(chosen, STALE), random.Random(1)
    for step in range(3_000):
        touch(halts, 1 + round(dice.expovariate(1)), ms=10 * step)
        halts.on_timer(10 * step * MS)
        if step % 20 == 0:
            halts.on_fill(dice.randrange(2), 1, 10 * step * MS)
        assert halts.bits == 0
    assert touch(halts, *[60] * 5, ms=30_000) == Halt.SPREAD


def test_a_wide_book_that_stands_still_halts_on_the_timer():
    desk = Desk(halts__spread_ticks_max=50, halts__spread_updates_min=0)
    desk.start("60000.00", "60007.00")
    desk.timer(249)
    assert halts_of(desk) == Halt.NONE
    desk.timer(1)
    assert halts_of(desk) == Halt.SPREAD


@pytest.mark.parametrize(
    ("limits", "halt"),
    [({"halts__repeated_fills_max": 2}, Halt.REPEATED_EXECUTION),
     ({"halts__one_sided_fills_max": 2}, Halt.ONE_SIDED_FILLS)],
)  # fmt: skip
def test_a_loop_of_fills_halts_and_resume_lifts_only_the_latch(limits, halt):
    desk = Desk(**limits)
    desk.start()
    bid = next(params for params in desk.take_sent() if params["side"] == "BUY")
    desk.ack(bid)
    for cum in ("0.001", "0.002"):
        desk.fill(bid, "0.001", cum)
    assert halts_of(desk) == Halt.NONE
    desk.fill(bid, "0.001", "0.003", trade_id=desk.trade_id)  # told twice: booked once
    assert halts_of(desk) == Halt.NONE
    desk.fill(bid, "0.001", "0.003")
    assert halts_of(desk) == halt
    desk.collect(desk.core.command(Command.RESUME, desk.now_ns))
    assert halts_of(desk) == (Halt.NONE if halt == Halt.REPEATED_EXECUTION else halt)
