"""Batch twins: the bits of the streaming signals, on made-up markets and on a recorded one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.captures import load
from fastcore import kernels
from fastcore.signals import SETTINGS, SIGNALS, Signals, decay
from tests.support_data import recorded
from tests.support_signals import ALL, MS, QUICK, TABLE

STEADY = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def batch(touches, q):
    """Every touch signal of `touches`, by its name in SignalValues; q: the settings."""
    now = touches[:, 4]
    mid = kernels.mid_ticks(touches)
    micro = kernels.microprice_ticks(touches)
    answers = {
        "mid_ticks": mid,
        "microprice_ticks": micro,
        "queue_imbalance": kernels.queue_imbalance(touches),
        "stoikov_ticks": kernels.stoikov_ticks(touches, q["stoikov_table"]),
        "ofi_event": kernels.ofi_events(touches),
        "ofi_window": kernels.ofi_window(touches, q["ofi_window_ms"]),
        "volatility_ticks": kernels.volatility(
            mid, now, q["volatility_grid_ms"], q["volatility_tau_ms"]
        ),
    }
    keltner = [q[f"keltner_{key}"] for key in ("bar_ms", "ema_bars", "atr_bars", "mult")]
    for names, values in (
        ("ofi ofi_norm", kernels.ofi(touches, q["ofi_tau_ms"])),
        ("ewma_mean_ticks ewma_sd_ticks ewma_z", kernels.ewma_z(micro, now, q["z_tau_ms"])),
        ("spread_mean_ticks spread_sd_ticks", kernels.spread_stats(touches, q["spread_tau_ms"])),
        ("keltner_mid_ticks keltner_atr_ticks keltner_position",
         kernels.keltner(mid, now, *keltner)),
    ):  # fmt: skip
        answers.update(zip(names.split(), values, strict=True))
    return answers


def stream(signals, method, rows):
    told = []
    for row in rows.tolist():
        getattr(signals, method)(*row)
        told.append(signals.to_dict())
    return {name: np.array([values[name] for values in told]) for name in told[0]}


def assert_same(batch_answers, streamed):
    for name, values in batch_answers.items():
        assert np.array_equal(values, streamed[name]), name


row = st.tuples(
    st.one_of(st.integers(97, 103), st.integers(1, 10**7)),
    st.integers(1, 10**9) | st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 20),
    st.one_of(st.just(0), st.integers(-5, 3 * MS), st.integers(0, 900 * MS)),
)


@STEADY
@given(rows=st.lists(row, min_size=1, max_size=40))
def test_touch_kernels_are_the_streaming_bits(rows):
    touches = np.array(rows, dtype=np.int64)
    touches[:, 2] += touches[:, 0]
    touches[:, 4] = np.maximum(np.cumsum(touches[:, 4]), 0)
    settings = {**QUICK, "keltner_mult": 2.0}
    assert_same(batch(touches, settings), stream(Signals(ALL, QUICK), "on_touch", touches))


@STEADY
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 1), st.just(7), st.integers(1, 400), st.integers(-5, 90 * MS)),
        min_size=1,
        max_size=60,
    )
)
def test_trade_kernels_are_the_streaming_bits(rows):
    trades = np.array(rows, dtype=np.int64)
    trades[:, 3] = np.cumsum(trades[:, 3])
    streamed = stream(Signals(ALL, QUICK), "on_trade", trades)
    assert np.array_equal(kernels.tfi(trades, QUICK["tfi_tau_ms"]), streamed["tfi"])
    assert np.array_equal(kernels.vpin(trades, 40, 5), streamed["vpin"])


def pair_market(seed, count):
    dice = np.random.default_rng(seed)
    is_reference = dice.random(count) < 0.5
    mid = np.where(is_reference, 80_000.0, 5_000.0) + np.cumsum(dice.integers(-1, 2, count))
    return is_reference, mid, np.cumsum(dice.integers(0, 12 * MS, count))


@pytest.mark.parametrize("seed", range(4))
def test_pair_kernel_is_the_streaming_bits(seed):
    """The half-life too, which takes a logarithm of libm on both sides."""
    is_reference, mid, now = pair_market(seed, 1_500)
    mid = np.floor(mid)
    keys = ("pair_grid_ms", "pair_tau_ms", "pair_drift")
    answers = kernels.pair(is_reference, mid, now, *(QUICK[key] for key in keys), 1e-8)
    signals = Signals(SIGNALS["pair"], QUICK)
    told = []
    for reference, x, at in zip(is_reference.tolist(), mid.tolist(), now.tolist(), strict=True):
        if reference:
            signals.on_reference(x, at)
        else:
            signals.on_touch(int(x) - 1, 5, int(x) + 1, 5, at)
        told.append(signals.to_dict())
    names = ("pair_spread_ticks", "pair_z", "pair_beta", "pair_half_life_s")
    for name, values in zip(names, answers, strict=True):
        streamed = np.array([values[name] for values in told])
        assert len(set(streamed.tolist())) > 50
        if name == "pair_half_life_s":
            np.testing.assert_array_max_ulp(values, streamed, 1)
        else:
            assert np.array_equal(values, streamed), name


def test_level_kernel_is_the_streaming_bits():
    dice = np.random.default_rng(3)
    n, depth = 400, 3
    best = 5_000 + np.cumsum(dice.integers(-1, 2, n))
    gaps = np.arange(depth) + np.cumsum(dice.integers(0, 2, (n, 2, depth)), axis=2)
    px = np.stack([best[:, None] - gaps[:, 0], best[:, None] + 1 + gaps[:, 1]], axis=1)
    qty = dice.integers(1, 50, (n, 2, depth))
    now = np.cumsum(dice.integers(0, 4 * MS, n))
    signals, told = Signals(ALL, QUICK), []
    for i in range(n):
        sides = [list(zip(px[i, s].tolist(), qty[i, s].tolist(), strict=True)) for s in (0, 1)]
        (bid, bid_qty), (ask, ask_qty) = sides[0][0], sides[1][0]
        signals.on_touch(bid, bid_qty, ask, ask_qty, int(now[i]))
        signals.apply_levels(*sides, int(now[i]))
        told.append(signals.to_dict()["ofi_levels"])
    assert np.array_equal(kernels.ofi_levels(px, qty, now, QUICK["ofi_tau_ms"]), told)
    assert len(set(told)) > n // 2


def test_touch_and_trade_kernels_are_the_streaming_bits_of_a_recorded_tape():
    capture = load(recorded("binance_usdm") / "btcusdt_20240808.gz", "0.10", "0.001")
    touches, trades = capture.touches[:20_000], capture.trades
    settings = {**SETTINGS, "stoikov_table": TABLE}
    streamed = stream(Signals(ALL, settings), "on_touch", touches)
    assert_same(batch(touches, settings), streamed)
    assert streamed["volatility_ticks"][-1] > 0 < streamed["keltner_atr_ticks"][-1]
    streamed = stream(Signals(ALL, settings), "on_trade", trades)
    assert np.array_equal(kernels.tfi(trades, settings["tfi_tau_ms"]), streamed["tfi"])
    assert np.array_equal(kernels.vpin(trades, 1_000, 50), streamed["vpin"])
    assert 0 < streamed["vpin"][-1] < 1


def test_decay_is_the_core_s_own():
    for x in [*np.random.default_rng(1).exponential(2.0, 3_000).tolist(), 0.0, 39.9, 40.0, 1e9]:
        assert kernels.decay(x) == decay(x)


def test_window_remembers_as_many_events_as_the_streaming_one():
    n = 9_000
    touches = np.tile(np.array([100, 1, 101, 5, 0], dtype=np.int64), (n, 1))
    touches[:, 1] = np.arange(1, n + 1)
    streamed = stream(Signals(SIGNALS["ofi_window"]), "on_touch", touches)["ofi_window"]
    assert np.array_equal(kernels.ofi_window(touches, 1_000.0), streamed)
    assert streamed[-1] == 8_192


@pytest.mark.parametrize(
    "hole", [(0, 5, 101, 5, 9), (100, 0, 101, 5, 9), (101, 5, 101, 5, 9), (100, 5, 101, 0, 9)]
)
def test_holes_are_refused_with_their_place(hole):
    touches = np.array([(100, 5, 101, 5, 0), hole], dtype=np.int64)
    with pytest.raises(ValueError, match="Touch 1 is one-sided, locked or crossed"):
        kernels.queue_imbalance(touches)


@pytest.mark.parametrize("bad", [(2, 7, 5, 0), (-1, 7, 5, 0), (0, 7, 0, 0)])
def test_trades_of_no_side_or_size_are_refused(bad):
    with pytest.raises(ValueError, match="Trade 0 has no side or no size"):
        kernels.tfi(np.array([bad], dtype=np.int64), 1.0)


def test_wrong_shapes_are_refused():
    for call in (
        lambda: kernels.ofi(np.zeros((3, 4), dtype=np.int64), 1.0),
        lambda: kernels.ofi(np.ones((3, 5)), 1.0),  # type: ignore[arg-type]
        lambda: kernels.vpin(np.zeros((3, 5), dtype=np.int64), 1, 1),
        lambda: kernels.ewma_z(np.zeros(3), np.zeros(2, dtype=np.int64), 1.0),
        lambda: kernels.ofi_levels(np.zeros((3, 1, 2)), np.zeros((3, 1, 2)), np.zeros(3), 1.0),  # type: ignore[arg-type]
        lambda: kernels.stoikov_ticks(np.array([[100, 5, 101, 5, 0]]), [1.0]),
    ):
        with pytest.raises(ValueError, match="Expected"):
            call()
