"""Signals of the touch: the doubles of the twin, bit for bit; values worked by hand; resets; the
mask. The others: test_signals_flow, test_signals_price, test_signals_pair."""

import math
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore import signals as fast
from tests.reference import signals as twin

OFI, IMBALANCE, MICRO, Z = (
    fast.SIGNALS[name] for name in ("ofi", "queue_imbalance", "microprice", "ewma_z")
)
ALL = OFI | IMBALANCE | MICRO | Z
TAU = 1_000_000  # 1 ms
STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=300)


def make(kind, mask, ofi_tau_ns, z_tau_ns):
    return kind(mask, {"ofi_tau_ms": ofi_tau_ns / 1e6, "z_tau_ms": z_tau_ns / 1e6})


@pytest.fixture(params=[fast.Signals, twin.Signals], ids=["fast", "reference"])
def new_signals(request):
    return partial(make, request.param)


def values_after(signals, *touches):
    for touch in touches:
        signals.on_touch(*touch)
    return signals.to_dict()


def test_first_touch_gives_levels_and_no_flow(new_signals):
    values = values_after(new_signals(ALL, TAU, TAU), (100, 3, 104, 1, 5))
    assert {name: value for name, value in values.items() if value} == {
        "mid_ticks": 102.0, "spread_ticks": 4.0, "queue_imbalance": 0.5,
        "microprice_ticks": 103.0,
        "ewma_mean_ticks": 103.0,
    }  # fmt: skip


def test_microprice_leans_to_the_thin_side(new_signals):
    """A heavy bid pushes the price towards the ask."""
    signals = new_signals(MICRO, TAU, TAU)
    assert values_after(signals, (10, 99, 11, 1, 0))["microprice_ticks"] == pytest.approx(10.99)
    assert values_after(signals, (10, 1, 11, 99, 0))["microprice_ticks"] == pytest.approx(10.01)
    assert values_after(signals, (10, 7, 11, 7, 0))["microprice_ticks"] == 10.5


@pytest.mark.parametrize(
    ("touch", "flow"),
    [
        ((100, 10, 101, 20), 0),  # nothing changed
        ((100, 13, 101, 20), 3),  # bid grew
        ((100, 4, 101, 20), -6),  # bid shrank
        ((100, 10, 101, 26), -6),  # ask grew
        ((100, 10, 101, 5), 15),  # ask shrank
        ((101, 7, 102, 9), 7 + 20),  # both up: new bid queue, old ask queue consumed
        ((99, 7, 100, 9), -10 - 9),  # both down: old bid queue gone, new ask queue
        ((99, 7, 101, 20), -10),  # bid fell: any number of ticks counts once
        ((50, 7, 101, 20), -10),
        ((100, 10, 105, 8), 20),  # ask rose
    ],
)
def test_ofi_of_one_event_is_cont_kukanov_stoikov(new_signals, touch, flow):
    signals = new_signals(OFI, TAU, TAU)
    assert values_after(signals, (100, 10, 101, 20, 0), (*touch, 0))["ofi"] == flow


def test_ofi_decays_with_tau(new_signals):
    signals = new_signals(OFI, TAU, TAU)
    values_after(signals, (100, 10, 101, 20, 0), (100, 110, 101, 20, 0))
    assert values_after(signals, (100, 110, 101, 20, TAU))["ofi"] == 100 * math.exp(-1)
    assert values_after(signals, (100, 111, 101, 20, 3 * TAU))["ofi"] == pytest.approx(
        100 * math.exp(-3) + 1
    )


def test_ofi_norm_is_flow_over_mean_queue_and_bounded(new_signals):
    signals = new_signals(OFI, TAU, TAU)
    assert values_after(signals, (100, 10, 101, 30, 0), (100, 20, 101, 30, 0))["ofi_norm"] == 0.5
    assert values_after(signals, (100, 900, 101, 30, 0))["ofi_norm"] == 3.0
    assert values_after(signals, (99, 900, 100, 900, 0), (98, 1, 99, 1, 0))["ofi_norm"] == -3.0


def test_ofi_norm_averages_the_queue_over_time(new_signals):
    """The queue that stood for a long time is the one that counts, not the one just shown."""
    signals = new_signals(OFI, TAU, TAU)
    values_after(signals, (100, 10, 101, 10, 0), (100, 1000, 101, 1000, 0))
    values = values_after(signals, (100, 1000, 101, 900, 60 * TAU))
    assert values["ofi_norm"] == pytest.approx(100 / 1000)


def test_z_is_zero_until_three_tau(new_signals):
    signals = new_signals(Z, TAU, TAU)
    zs = []
    for step in range(41):
        at = step * TAU // 10
        zs.append(values_after(signals, (100 + step % 2, 1, 102 + step % 2, 1, at))["ewma_z"])
    assert zs[:30] == [0.0] * 30
    assert all(z != 0.0 for z in zs[30:])


def test_z_of_a_price_that_never_moves_is_zero(new_signals):
    signals = new_signals(Z, TAU, TAU)
    values = values_after(signals, *[(100, 1, 102, 1, step * TAU) for step in range(20)])
    assert (values["ewma_z"], values["ewma_mean_ticks"]) == (0.0, 101.0)


def test_z_uses_mean_and_variance_from_before(new_signals):
    """Against the weighted mean and population variance, computed from the weights outright."""
    dice = random.Random(5)
    signals = new_signals(Z, TAU, TAU)
    at, xs, alphas = 0, [], []
    for _ in range(60):
        bid, dt = 1000 + dice.randrange(9), dice.randrange(1, TAU)
        weights = [a * math.prod(1 - b for b in alphas[i + 1 :]) for i, a in enumerate(alphas)]
        at += dt if xs else 0
        values = values_after(signals, (bid, 1, bid + 2, 1, at))
        if at >= 3 * TAU:
            mean = sum(w * x for w, x in zip(weights, xs, strict=True))
            variance = sum(w * (x - mean) ** 2 for w, x in zip(weights, xs, strict=True))
            assert values["ewma_z"] == pytest.approx((bid + 1 - mean) / math.sqrt(variance))
        alphas.append(-math.expm1(-dt / TAU) if xs else 1.0)
        xs.append(bid + 1)
    assert at > 10 * TAU


def test_z_follows_the_microprice_where_it_is_computed(new_signals):
    for mask, mean in ((Z, 101.0), (Z | MICRO, 101.5)):
        assert values_after(new_signals(mask, TAU, TAU), (100, 3, 102, 1, 0))[
            "ewma_mean_ticks"
        ] == pytest.approx(mean)


@pytest.mark.parametrize(
    "bad",
    [(0, 0, 101, 5), (100, 5, 0, 0), (101, 5, 101, 5), (102, 5, 101, 5), (100, 0, 101, 5),
     (100, 5, 101, 0), (-1, 5, 101, 5)],
)  # fmt: skip
def test_one_sided_locked_or_crossed_touch_resets(new_signals, bad):
    signals = new_signals(ALL, TAU, TAU)
    values_after(signals, (100, 5, 101, 5, 0), (100, 50, 101, 5, TAU), (*bad, TAU))
    assert set(signals.to_dict().values()) == {0.0}
    assert not signals.is_valid
    again = values_after(signals, (200, 5, 201, 5, 2 * TAU))
    assert (again["ofi"], again["ewma_mean_ticks"], again["ewma_z"]) == (0.0, 200.5, 0.0)


def test_reset_forgets_everything(new_signals):
    signals = new_signals(ALL, TAU, TAU)
    touches = [(100 + i % 3, 1 + i % 7, 104, 5, i * TAU // 3) for i in range(40)]
    values_after(signals, *touches)
    signals.reset()
    assert values_after(signals, *touches) == values_after(new_signals(ALL, TAU, TAU), *touches)


def test_time_running_backwards_counts_as_no_time(new_signals):
    signals = new_signals(ALL, TAU, TAU)
    values_after(signals, (100, 10, 101, 10, 5 * TAU), (100, 20, 101, 10, 5 * TAU))
    assert values_after(signals, (100, 20, 101, 10, TAU))["ofi"] == 10.0
    assert values_after(signals, (100, 20, 101, 10, 6 * TAU))["ofi"] == pytest.approx(
        10 * math.exp(-1), rel=4e-16
    )


@pytest.mark.parametrize("mask", range(ALL + 1))
def test_only_what_the_mask_names_is_computed(new_signals, mask):
    touches = [(100 + i % 3, 1 + i % 7, 104, 9, i * TAU // 3) for i in range(40)]
    full = values_after(new_signals(mask, TAU, TAU), *touches)
    named = {
        "ofi": OFI, "ofi_norm": OFI, "ofi_event": OFI, "ewma_sd_ticks": Z,
        "queue_imbalance": IMBALANCE, "microprice_ticks": MICRO,
        "ewma_mean_ticks": Z, "ewma_z": Z,
    }  # fmt: skip
    for name, bit in named.items():
        assert (full[name] != 0.0) == bool(mask & bit), name
    assert (full["mid_ticks"], full["spread_ticks"]) == (102.0, 4.0)


touch = st.tuples(
    st.one_of(st.integers(99, 103), st.integers(-1, 10**7)),
    st.one_of(st.integers(0, 20), st.integers(1, 10**9)),
    st.one_of(st.integers(1, 4), st.integers(-1, 1000)),
    st.integers(0, 30),
    st.one_of(st.just(0), st.integers(-5, 3 * TAU), st.integers(0, 100 * TAU)),
)


@STEADY
@given(mask=st.integers(0, ALL), touches=st.lists(touch, max_size=40))
def test_doubles_are_the_twins(mask, touches):
    pair = [make(kind, mask, TAU, 2 * TAU) for kind in (fast.Signals, twin.Signals)]
    at = 0
    for bid, bid_qty, spread, ask_qty, dt in touches:
        at += dt
        for signals in pair:
            signals.on_touch(bid, bid_qty, bid + spread, ask_qty, at)
        assert pair[0].to_dict() == pair[1].to_dict()
        assert pair[0].is_valid == pair[1].is_valid
        assert abs(pair[0].to_dict()["ofi_norm"]) <= 3.0


def test_doubles_are_the_twins_over_a_long_walk():
    dice = random.Random(11)
    pair = [make(kind, ALL, 50 * TAU, 500 * TAU) for kind in (fast.Signals, twin.Signals)]
    bid, at, extremes = 600_000, 0, set()
    for _ in range(20_000):
        bid += dice.choice([0, 0, 0, 1, -1])
        at += int(dice.expovariate(1 / TAU)) * dice.choice([0, 1, 1, 10])
        args = (bid, dice.randrange(1, 9000), bid + dice.choice([1, 1, 2]),
                dice.randrange(1, 9000), at)  # fmt: skip
        for signals in pair:
            signals.on_touch(*args)
        assert pair[0].to_dict() == pair[1].to_dict()
        extremes.add(round(pair[0].to_dict()["ewma_z"]))
    assert {-2, 0, 2} <= extremes
