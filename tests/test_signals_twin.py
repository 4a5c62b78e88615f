"""All signals together: the doubles of the twin, bit for bit, whatever comes in what order; what
the mask and the settings do."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastcore import signals as fast
from fastcore.signals_settings import SETTINGS, TABLE, check_settings
from tests.reference import signals as twin
from tests.support_signals import ALL, BOTH, MS, QUICK, feed, market

STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=150)
FIELDS = {
    "ofi": {"ofi_event", "ofi", "ofi_norm"},
    "queue_imbalance": {"queue_imbalance"},
    "microprice": {"microprice_ticks"},
    "ewma_z": {"ewma_mean_ticks", "ewma_sd_ticks", "ewma_z"},
    "ofi_window": {"ofi_event", "ofi_window"},
    "ofi_levels": {"ofi_levels", "ofi_levels_valid"},
    "stoikov": {"stoikov_ticks"},
    "keltner": {"keltner_mid_ticks", "keltner_atr_ticks", "keltner_position"},
    "volatility": {"volatility_ticks"},
    "tfi": {"tfi"},
    "vpin": {"vpin"},
    "spread_stats": {"spread_mean_ticks", "spread_sd_ticks"},
    "pair": {"pair_spread_ticks", "pair_z", "pair_beta", "pair_half_life_s"},
}

time = st.one_of(st.just(0), st.integers(-5, 3 * MS), st.integers(0, 5_000 * MS))
qty = st.one_of(st.integers(0, 20), st.integers(1, 10**9))
level = st.tuples(st.integers(90, 110), st.integers(1, 10**6))
event = st.one_of(
    st.tuples(st.just("on_touch"), st.integers(-1, 103), qty, st.integers(99, 108), qty),
    st.tuples(st.just("on_touch"), st.integers(95, 99), st.integers(1, 9), st.integers(100, 104),
              st.integers(1, 9)),
    st.tuples(st.just("apply_levels"), st.lists(level, max_size=4), st.lists(level, max_size=4)),
    st.tuples(st.just("on_trade"), st.integers(-1, 2), st.just(100), st.integers(-1, 500)),
    st.tuples(st.just("on_reference"), st.floats(-1.0, 1e6)),
)  # fmt: skip
events = st.lists(st.one_of(st.tuples(event, time), st.just((("reset",), None))), max_size=60)


@STEADY
@given(mask=st.one_of(st.just(ALL), st.integers(0, ALL)), events=events)
def test_doubles_are_the_twins(mask, events):
    fast_signals, twin_signals = (kind(mask, QUICK) for kind in BOTH)
    at = 0
    for (name, *args), dt in events:
        if dt is not None:
            at = max(at + dt, 0)
            args = [*args, at]
        for signals in (fast_signals, twin_signals):
            getattr(signals, name)(*args)
        assert fast_signals.to_dict() == twin_signals.to_dict()
        assert fast_signals.is_valid == twin_signals.is_valid


@pytest.mark.parametrize("hole_every", [0, 150])
def test_doubles_are_the_twins_over_a_long_market(hole_every):
    pair = [kind(ALL, QUICK) for kind in BOTH]
    told = {name: set() for name in pair[0].to_dict()}
    for name, *args in market(3, 4_000, hole_every):
        for signals in pair:
            getattr(signals, name)(*args)
        assert pair[0].to_dict() == pair[1].to_dict()
        for key, value in pair[0].to_dict().items():
            told[key].add(value)
    constant = {key for key, values in told.items() if len(values) < 3}
    assert constant == {"ofi_levels_valid"}, "a signal that never moved was not tested"


def test_clear_forgets_everything():
    stream = list(market(8, 600))
    fresh = fast.Signals(ALL, QUICK)
    used = fast.Signals(ALL, QUICK)
    feed(used, market(9, 900))
    used.clear()
    assert set(used.to_dict().values()) == {0.0}
    assert feed(used, stream) == feed(fresh, stream)


def test_what_took_long_to_learn_outlives_a_hole():
    """Else a strategy would come back from each resync without its sigma."""
    signals = fast.Signals(ALL, QUICK)
    before = feed(signals, market(4, 900))
    signals.reset()
    after = signals.to_dict()
    assert all(before[name] == after[name] != 0.0 for name in twin.LASTING)
    assert all(after[name] == 0.0 for name in twin.PERISHABLE)


@pytest.mark.parametrize("name", FIELDS)
def test_only_what_the_mask_names_is_computed(name):
    always = {"mid_ticks", "spread_ticks"}
    for kind in BOTH:
        told = set()
        signals = kind(fast.SIGNALS[name], QUICK)
        for event in market(5, 800):
            told |= {key for key, value in feed(signals, [event]).items() if value}
        assert told == FIELDS[name] | always


def test_needs_follow_the_mask():
    def needs(name):
        signals = fast.Signals(fast.SIGNALS[name], QUICK)
        return signals.needs_levels, signals.needs_trades, signals.needs_reference

    assert {name: needs(name) for name in FIELDS if any(needs(name))} == {
        "ofi_levels": (True, False, False), "tfi": (False, True, False),
        "vpin": (False, True, False), "pair": (False, False, True),
    }  # fmt: skip


def test_every_signal_has_one_bit_and_every_value_a_signal():
    assert sorted(fast.SIGNALS.values()) == [1 << i for i in range(len(fast.SIGNALS))]
    assert fast.SIGNALS == twin.NAMES_OF
    values = fast.Signals(0).to_dict()
    assert set().union(*FIELDS.values()) | {"mid_ticks", "spread_ticks"} == set(values)
    assert tuple(values) == twin.PERISHABLE + twin.LASTING


def test_bench_face_is_the_same_signal():
    import numpy as np

    rows = [args for name, *args in market(6, 500) if name == "on_touch"]
    one, other = fast.Signals(ALL, QUICK), fast.Signals(ALL, QUICK)
    one.bench_touches(np.array(rows, dtype=np.int64))
    assert one.to_dict() == feed(other, [("on_touch", *row) for row in rows])
    with pytest.raises(ValueError, match="5 columns"):
        one.bench_touches(np.zeros((2, 4), dtype=np.int64))


# -- DECAY -----------------------------------------------------------------------------------


@STEADY
@given(x=st.one_of(st.floats(0, 45), st.floats(0, 1e-3), st.floats(1e-12, 1e30)))
@example(x=0.0625)
@example(x=0.010844324242653691)
def test_decay_is_as_exact_as_it_says_and_the_twins_bits(x):
    import math

    keep, alpha = fast.decay(x)
    assert (keep, alpha) == twin.decay(x)
    for got, true in ((keep, math.exp(-x)), (alpha, -math.expm1(-x))):
        if x >= 40:
            assert abs(got - true) < 5e-18
        elif got is keep or x < math.log(2) / 64:
            assert abs(got - true) <= 2 * math.ulp(true)
        else:
            assert abs(got - true) <= 2**-53


def test_decay_tables_are_correctly_rounded():
    assert fast.decay_tables() == (twin.STEPS, [0.5**i for i in range(64)])
    assert fast.decay(0.0) == (1.0, 0.0)
    with pytest.raises(ValueError, match="x >= 0"):
        fast.decay(-1e-9)


# -- SETTINGS --------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [-1, ALL + 1])
def test_unknown_mask_is_refused(mask):
    with pytest.raises(ValueError, match="mask"):
        fast.Signals(mask)


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value)
     for key, setting in TABLE.items() if key != "stoikov_table"
     for value in (setting.low - 1, setting.high * 2 + 1, "5", None, True, float("nan"))]
    + [("vpin_buckets", 5.0), ("keltner_ema_bars", 2.5), ("stoikov_table", 3),
       ("stoikov_table", [[1.0]]), ("stoikov_table", [[1.0, 2.0], [1.0, 2.0, 3.0]]),
       ("stoikov_table", [[1.0, float("inf")]]), ("stoikov_table", [[0.0, 0.0]] * 17),
       ("stoikov_table", [[0.0] * 33])],
)  # fmt: skip
def test_nonsense_settings_are_refused_by_name(key, value):
    with pytest.raises(ValueError, match=rf"signals\.{key}"):
        fast.Signals(1, {key: value})


def test_unknown_setting_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"signals\.ofi_tau_s; did you mean 'ofi_tau_ms'\?"):
        fast.Signals(1, {"ofi_tau_s": 1.0})


def test_stoikov_without_a_table_is_refused():
    with pytest.raises(ValueError, match=r"signals\.stoikov_table is required"):
        fast.Signals(fast.SIGNALS["stoikov"])


def test_defaults_pass_their_own_check():
    assert check_settings({}) == SETTINGS
