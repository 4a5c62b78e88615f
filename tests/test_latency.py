"""Histograms equal to the `hdrhistogram` package's and to a sort; stage clock by a fake tick."""

import ctypes
import math
import pickle
import random
import sys

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastcore import latency as fast
from fastcore.latency import Stage, StageClock
from tests.reference import latency as twin

# Same examples in every run, and no verdict from a busy machine's clock.
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=200)
HIGHEST_NS = 60_000_000_000
PERCENTS = [0, 1e-9, 0.1, 1, 10, 25, 49.99, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100]
# Every place where the layout changes: first doubling, later ones, both ends.
EDGES_NS = sorted(
    {0, 1, 2, 2046, HIGHEST_NS - 1, HIGHEST_NS}
    | {min((1 << bit) + offset, HIGHEST_NS) for bit in range(10, 36) for offset in (-1, 0, 1)}
)


@pytest.fixture(params=[fast.Histogram, twin.Histogram], ids=["fast", "reference"])
def histogram(request):
    return request.param()


def hdr() -> HdrHistogram:
    return HdrHistogram(1, HIGHEST_NS, 3)


def spread_values(count: int, seed: int) -> list[int]:
    """`count` values spread evenly over the magnitudes from 1 ns to 60 s."""
    draw = random.Random(seed)
    return [int(math.exp(draw.uniform(0, math.log(HIGHEST_NS)))) for _ in range(count)]


# -- HISTOGRAM ---


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 3000])
def test_percentiles_equal_hdrhistogram(histogram, count):
    reference = hdr()
    for ns in spread_values(count, seed=count):
        histogram.record(ns)
        assert reference.record_value(ns)
    for percent in PERCENTS:
        assert histogram.percentile(percent) == reference.get_value_at_percentile(percent)
    assert histogram.count == reference.get_total_count()
    histogram.check()


def test_counts_equal_hdrhistogram_at_every_index():
    histogram, reference = fast.Histogram(), hdr()
    for ns in [*EDGES_NS, *spread_values(2000, seed=5)]:
        histogram.record(ns)
        assert reference.record_value(ns)
    exported = [reference.get_count_at_index(index) for index in range(reference.counts_len)]
    assert histogram.counts() == exported
    histogram.check()


@pytest.mark.parametrize("ns", EDGES_NS)
def test_single_edge_value_equals_hdrhistogram(histogram, ns):
    reference = hdr()
    histogram.record(ns)
    reference.record_value(ns)
    assert histogram.percentile(100) == reference.get_highest_equivalent_value(ns)
    assert histogram.percentile(0) == reference.get_lowest_equivalent_value(ns)
    assert (histogram.min_ns, histogram.max_ns) == (ns, ns)
    histogram.check()


def test_exported_counts_rebuild_the_same_hdrhistogram():
    """What is exported is enough to write HdrHistogram's own file format."""
    histogram, direct, rebuilt = fast.Histogram(), hdr(), hdr()
    for ns in spread_values(500, seed=9):
        histogram.record(ns)
        direct.record_value(ns)
    for index, count in enumerate(histogram.counts()):
        if count:
            rebuilt.record_value(rebuilt.get_value_from_index(index), count)
    assert rebuilt.encode() == direct.encode()
    decoded = HdrHistogram.decode(rebuilt.encode())
    for percent in PERCENTS:
        assert decoded.get_value_at_percentile(percent) == histogram.percentile(percent)


@STEADY
@given(
    st.lists(st.integers(0, HIGHEST_NS) | st.integers(0, 5000), min_size=1, max_size=60),
    st.floats(0, 100),
)
@example([1, 2], 75.0)  # rank int(1.5 + 0.5): halves round up
@example([1, 2, 3], 50.0)
def test_percentile_equals_twin_and_hdrhistogram(values, percent):
    histogram, slow, reference = fast.Histogram(), twin.Histogram(), hdr()
    for ns in values:
        histogram.record(ns)
        slow.record(ns)
        reference.record_value(ns)
    answer = histogram.percentile(percent)
    assert answer == slow.percentile(percent)
    assert answer == reference.get_value_at_percentile(percent)
    assert histogram.summary() == slow.summary()
    histogram.check()


@STEADY
@given(st.integers(0, HIGHEST_NS))
def test_any_value_is_kept_within_a_thousandth(ns):
    histogram = fast.Histogram()
    histogram.record(ns)
    low, high = histogram.percentile(0), histogram.percentile(100)
    assert low <= ns <= high
    assert high - low <= ns / 1024


def test_percentile_outside_0_to_100_is_clamped(histogram):
    for ns in (10, 20, 30):
        histogram.record(ns)
    assert histogram.percentile(-5) == histogram.percentile(math.nan) == 10
    assert histogram.percentile(101) == histogram.percentile(math.inf) == 30


def test_empty_histogram_has_no_numbers(histogram):
    assert histogram.percentile(50) == histogram.percentile(0) == 0
    assert (histogram.count, histogram.min_ns, histogram.max_ns) == (0, 0, 0)
    assert histogram.summary() == {
        "p50_us": None,
        "p99_us": None,
        "p999_us": None,
        "max_us": None,
        "n": 0,
    }
    histogram.check()


def test_over_range_is_clamped_and_counted(histogram):
    for ns in (HIGHEST_NS, HIGHEST_NS + 1, 2**62, 2**63 - 1):
        histogram.record(ns)
    assert histogram.over_range == 3
    assert histogram.negative == 0
    assert histogram.count == 4
    assert histogram.max_ns == histogram.min_ns == HIGHEST_NS
    histogram.check()


def test_negative_is_recorded_as_0_and_counted(histogram):
    for ns in (-1, -(2**63), 0):
        histogram.record(ns)
    assert histogram.negative == 2
    assert histogram.over_range == 0
    assert histogram.count == 3
    assert histogram.max_ns == histogram.min_ns == 0
    histogram.check()


def test_summary_is_in_microseconds_and_never_past_the_greatest(histogram):
    for ns in range(1000, 101_000, 100):
        histogram.record(ns)
    summary = histogram.summary()
    assert summary["n"] == 1000
    assert summary["max_us"] == 100.9
    assert summary["p50_us"] == pytest.approx(50.9, rel=1e-3)
    assert summary["p99_us"] == pytest.approx(99.9, rel=1e-3)
    assert summary["p50_us"] <= summary["p99_us"] <= summary["p999_us"] <= summary["max_us"]
    histogram.reset()
    histogram.record(5001)  # its counter reaches to 5003
    assert histogram.percentile(50) == 5003
    assert histogram.summary()["p50_us"] == histogram.summary()["max_us"] == 5.001


def test_merge_takes_the_others_extremes_and_into_empty(histogram):
    low, high = type(histogram)(), type(histogram)()
    low.record(3)
    high.record(9000)
    histogram.merge(high)
    assert (histogram.min_ns, histogram.max_ns) == (9000, 9000)
    histogram.merge(low)
    assert (histogram.min_ns, histogram.max_ns) == (3, 9000)
    low.merge(high)
    assert (low.min_ns, low.max_ns, low.count) == (3, 9000, 2)
    histogram.check()


def test_merge_equals_recording_everything_in_one(histogram):
    other, together = type(histogram)(), type(histogram)()
    for index, ns in enumerate([*spread_values(200, seed=3), -4, HIGHEST_NS + 9, -1]):
        (histogram if index % 3 else other).record(ns)
        together.record(ns)
    histogram.merge(other)
    histogram.merge(type(histogram)())  # nothing of nothing
    for name in ("count", "min_ns", "max_ns", "over_range", "negative"):
        assert getattr(histogram, name) == getattr(together, name)
    assert histogram.summary() == together.summary()
    for percent in PERCENTS:
        assert histogram.percentile(percent) == together.percentile(percent)
    histogram.check()


def test_merge_counts_and_itself():
    one, two = fast.Histogram(), fast.Histogram()
    for ns in (5, 5000, 5_000_000):
        one.record(ns)
        two.record(ns)
        two.record(ns)
    one.merge(one)
    assert one.counts() == two.counts()
    assert one.count == 6
    with pytest.raises(TypeError):
        one.merge(None)


def test_reset_forgets_everything(histogram):
    for ns in (-1, 7, HIGHEST_NS + 1):
        histogram.record(ns)
    histogram.reset()
    assert (histogram.count, histogram.over_range, histogram.negative) == (0, 0, 0)
    histogram.record(42)
    assert (histogram.min_ns, histogram.max_ns, histogram.percentile(50)) == (42, 42, 42)
    histogram.check()


def test_repeat_records_its_sequence():
    histogram, expected = fast.Histogram(), fast.Histogram()
    histogram.repeat(7919, 1000)
    for index in range(1000):
        expected.record(index * 7919 % 2**17)
    assert histogram.counts() == expected.counts()


def test_histogram_refuses_what_is_no_int64_and_pickling():
    histogram = fast.Histogram()
    with pytest.raises(OverflowError):
        histogram.record(2**63)
    with pytest.raises(TypeError):
        histogram.record("1")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(histogram)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(StageClock())


# -- STAGE CLOCK ---


class FakeTicks:
    """A source of ticks, in a capsule as the edge makes one: gives the listed values in turn."""

    def __init__(self, *values: int, name: bytes = b"tickmaker.tick") -> None:
        self._values = iter(values)
        self._name = name  # a capsule borrows its name
        self._function = ctypes.CFUNCTYPE(ctypes.c_uint64)(lambda: next(self._values))
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.capsule = new(ctypes.cast(self._function, ctypes.c_void_p), self._name, None)

    def left(self) -> int:
        return len(list(self._values))


def stage_values(clock: StageClock) -> dict[str, tuple[int, int]]:
    """{stage: (count, greatest ns)} of the stages that recorded something."""
    return {
        stage.name: (clock.histogram(stage).count, clock.histogram(stage).max_ns)
        for stage in Stage
        if clock.histogram(stage).count
    }


def test_stage_clock_off_reads_nothing_and_records_nothing():
    clock = StageClock()
    assert not clock.is_on
    clock.run(list(Stage))
    clock.repeat(3)
    assert stage_values(clock) == {}


def test_stage_clock_charges_each_stage_the_time_since_the_mark_before():
    ticks = FakeTicks(1000, 1010, 1030, 1060, 1100, 1150, 1210)
    clock = StageClock(ticks.capsule)
    assert clock.is_on
    clock.run(list(Stage))
    assert stage_values(clock) == {
        "DECODE": (1, 10),
        "BOOK": (1, 20),
        "SIGNALS": (1, 30),
        "STRATEGY": (1, 40),
        "DIFF_GATE": (1, 50),
        "ENCODE": (1, 60),
    }
    assert ticks.left() == 0


def test_stage_clock_turns_ticks_into_ns():
    clock = StageClock(FakeTicks(0, 1000, 5000).capsule, 0.25)
    clock.run([Stage.DECODE, Stage.BOOK])
    assert stage_values(clock) == {"DECODE": (1, 250), "BOOK": (1, 1000)}


def test_stage_clock_marked_twice_is_summed_and_unmarked_records_nothing():
    clock = StageClock(FakeTicks(0, 5, 12, 20, 100, 103, 107).capsule)
    clock.run([Stage.DECODE, Stage.BOOK, Stage.DECODE])
    assert stage_values(clock) == {"DECODE": (1, 13), "BOOK": (1, 7)}
    clock.run([Stage.STRATEGY, Stage.BOOK])  # nothing of the tick before is left
    assert stage_values(clock) == {"DECODE": (1, 13), "BOOK": (2, 7), "STRATEGY": (1, 3)}


def test_stage_clock_stage_of_no_time_is_recorded_as_0():
    clock = StageClock(FakeTicks(7, 7).capsule)
    clock.run([Stage.ENCODE])
    assert stage_values(clock) == {"ENCODE": (1, 0)}


def test_stage_clock_counter_that_wraps_is_no_jump():
    clock = StageClock(FakeTicks(2**64 - 3, 4).capsule)
    clock.run([Stage.DECODE])
    assert stage_values(clock) == {"DECODE": (1, 7)}


def test_stage_clock_backwards_and_far_ticks_are_clamped_and_counted():
    clock = StageClock(FakeTicks(100, 90, 0, 2**62, 0, 61).capsule)
    clock.run([Stage.DECODE])
    clock.run([Stage.BOOK])
    assert clock.histogram(Stage.DECODE).negative == 1
    assert clock.histogram(Stage.BOOK).over_range == 1
    clock.set_ticks(FakeTicks(0, 1).capsule, 1e300)
    clock.run([Stage.BOOK])
    assert clock.histogram(Stage.BOOK).over_range == 2
    for stage in Stage:
        clock.histogram(stage).check()


def test_stage_clock_turned_off_keeps_its_histograms():
    clock = StageClock(FakeTicks(0, 5).capsule)
    clock.run([Stage.DECODE])
    clock.set_ticks(None)
    clock.run([Stage.DECODE])
    assert stage_values(clock) == {"DECODE": (1, 5)}
    clock.reset()
    assert stage_values(clock) == {}


def test_stage_clock_summary_names_each_stage_in_order():
    summary = StageClock().summary()
    assert list(summary) == ["decode", "book", "signals", "strategy", "diff_gate", "encode"]
    assert all(values["n"] == 0 for values in summary.values())


def test_stage_clock_keeps_its_capsule_alive():
    """The capsule may own what the function stands on: dropping ours must not drop its."""
    ticks = FakeTicks()
    before = sys.getrefcount(ticks.capsule)
    clock = StageClock(ticks.capsule)
    held = sys.getrefcount(ticks.capsule)  # outside the assert, which holds one more
    clock.set_ticks(None)
    after = sys.getrefcount(ticks.capsule)
    assert (held, after) == (before + 1, before)


def test_stage_clock_refuses_other_sources_and_units():
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        StageClock(FakeTicks(name=b"somebody.else").capsule)
    for other in (12345, "tick", object()):
        with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
            StageClock(other)
    for ns_per_tick in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="ns_per_tick"):
            StageClock(None, ns_per_tick)
    clock = StageClock(FakeTicks(0, 5).capsule)
    with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
        clock.set_ticks("tick")
    assert clock.is_on  # a refused source changes nothing
    for stage in (-1, 6):
        with pytest.raises(IndexError, match="stage"):
            clock.histogram(stage)
        with pytest.raises(IndexError, match="stage"):
            clock.run([stage])
