"""Signals of price and spread: worked by hand, against plain loops, and planted truths found."""

import itertools
import math
import random

import pytest

from fastcore.signals import SIGNALS
from tests.support_signals import BOTH, MS

SECOND = 1_000_000_000


@pytest.fixture(params=BOTH, ids=["fast", "reference"])
def make(request):
    return lambda *names, **settings: request.param(sum(SIGNALS[n] for n in names), settings)


def after(signals, *mids_at):
    """Values after touches two ticks wide round each (mid, time)."""
    for mid, at in mids_at:
        signals.on_touch(mid - 1, 5, mid + 1, 5, at)
    return signals.to_dict()


def test_constant_price_has_no_volatility_no_width_and_no_z(make):
    signals = make("keltner", "volatility", "spread_stats", "ewma_z")
    values = after(signals, *[(500, i * SECOND // 4) for i in range(400)])
    assert values["volatility_ticks"] == values["keltner_atr_ticks"] == 0.0
    assert values["keltner_position"] == values["ewma_z"] == values["ewma_sd_ticks"] == 0.0
    assert (values["keltner_mid_ticks"], values["ewma_mean_ticks"]) == (500.0, 500.0)
    assert (values["spread_mean_ticks"], values["spread_sd_ticks"]) == (2.0, 0.0)


# -- STOIKOV ---------------------------------------------------------------------------------


def test_stoikov_price_is_the_mid_plus_the_table(make):
    """Four bins, centres at 1/8, 3/8, 5/8, 7/8; straight lines between, flat outside."""
    signals = make("stoikov", stoikov_table=[[-0.4, -0.1, 0.1, 0.4], [-0.8, -0.2, 0.2, 0.8]])

    def over_mid(bid_qty, ask_qty, spread):
        signals.on_touch(100, bid_qty, 100 + spread, ask_qty, 0)
        return signals.to_dict()["stoikov_ticks"] - 100 - spread / 2

    assert over_mid(5, 5, 1) == 0.0
    assert over_mid(1, 7, 1) == pytest.approx(-0.4)
    assert over_mid(99, 1, 1) == pytest.approx(0.4)
    assert over_mid(6, 2, 1) == pytest.approx(0.25)
    assert over_mid(1, 99, 2) == pytest.approx(-0.8)
    assert over_mid(99, 1, 3) == 0.0  # wider than the table: the mid


# -- KELTNER ---------------------------------------------------------------------------------


def test_keltner_by_hand(make):
    """Bars of a second. n = 2 for the line (2/3 of the past forgotten), 2 for the range."""
    signals = make(
        "keltner", keltner_bar_ms=1e3, keltner_ema_bars=2, keltner_atr_bars=2, keltner_mult=2.0
    )
    bars = [(10, 14, 12), (20, 20, 20), (19, 11, 15), (15, 15, 15)]
    told = []
    for index, mids in enumerate(bars):
        for i, mid in enumerate(mids):
            values = after(signals, (mid, index * SECOND + i * 300 * MS))
        told.append((values["keltner_mid_ticks"], values["keltner_atr_ticks"]))
    line = (12 + 20) / 2
    ranges = (4 + (20 - 12)) / 2  # the second bar's range reaches from the close before
    assert told[1] == (0.0, 0.0)
    assert told[2] == (line, ranges)
    line = 15 + (line - 15) / 3
    ranges = (ranges + (20 - 11)) / 2
    assert told[3] == pytest.approx((line, ranges))
    assert values["keltner_position"] == pytest.approx((15 - line) / (2 * ranges))


def test_keltner_silence_is_so_many_empty_bars(make):
    """The closed form against touches in every bar that repeat the close."""
    settings = {"keltner_bar_ms": 1e3, "keltner_ema_bars": 5, "keltner_atr_bars": 4}
    start = [(100 + i % 7, i * 300 * MS) for i in range(60)]
    for bars in (1, 2, 3, 60, 1_000):
        silent, loud = make("keltner", **settings), make("keltner", **settings)
        after(silent, *start)
        after(loud, *start)
        close = start[-1][0]
        end = 18 * SECOND
        after(loud, *[(close, end + i * SECOND) for i in range(bars)])
        one, other = (after(s, (close + 3, end + bars * SECOND)) for s in (silent, loud))
        assert one == pytest.approx(other, rel=1e-12, abs=1e-300)


def test_keltner_silence_while_seeding_counts_too(make):
    signals = make("keltner", keltner_bar_ms=1e3, keltner_ema_bars=4, keltner_atr_bars=4)
    values = after(signals, (10, 0), (16, 300 * MS), (22, 6 * SECOND))
    assert (values["keltner_mid_ticks"], values["keltner_atr_ticks"]) != (0.0, 0.0)
    assert values["keltner_mid_ticks"] == 16.0
    assert values["keltner_atr_ticks"] == pytest.approx(6 / 4 * 0.75**2)


# -- VOLATILITY ------------------------------------------------------------------------------


def test_volatility_is_the_weighted_mean_of_squared_returns(make):
    """Against the weights written out: the mid that stood at each whole second."""
    dice = random.Random(2)
    signals = make("volatility", volatility_grid_ms=1e3, volatility_tau_ms=7e3)
    touches, mid, at = [], 1_000, 0
    for _ in range(300):
        mid += dice.choice([-3, -1, 0, 1, 3])
        at += dice.randrange(1, 900 * MS)
        touches.append((mid, at))
    values = after(signals, *touches)
    last = (touches[-1][1] - 1) // SECOND
    first = -(-touches[0][1] // SECOND)
    stood = [
        max((t, i, m) for i, (m, t) in enumerate(touches) if t <= second * SECOND)[2]
        for second in range(first, last + 1)
    ]
    squares = [(b - a) ** 2 for a, b in itertools.pairwise(stood)]
    weights = [math.exp(-i / 7) for i in reversed(range(len(squares)))]
    mean = sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
    assert values["volatility_ticks"] == pytest.approx(math.sqrt(mean), rel=1e-9)


def test_volatility_of_a_planted_walk(make):
    """Steps of +-1 each quarter second: 2 ticks per sqrt(second), whatever the grid."""
    dice = random.Random(9)
    for grid_ms in (250.0, 1_000.0, 4_000.0):
        signals = make("volatility", volatility_grid_ms=grid_ms, volatility_tau_ms=1e7)
        mid, touches = 50_000, []
        for i in range(24_000):
            mid += dice.choice([-1, 1])
            touches.append((mid, i * SECOND // 4))
        assert after(signals, *touches)["volatility_ticks"] == pytest.approx(2.0, rel=0.06)


def test_volatility_is_not_told_before_ten_returns(make):
    signals = make("volatility", volatility_grid_ms=1e3)
    told = [after(signals, (100 + i % 2, i * SECOND + 1))["volatility_ticks"] for i in range(12)]
    assert told[:11] == [0.0] * 11
    assert told[11] == pytest.approx(1.0)


def test_volatility_takes_no_return_across_a_hole(make):
    signals = make("volatility", volatility_grid_ms=1e3)
    calm = [(100 + i % 2, i * SECOND + 1) for i in range(20)]
    before = after(signals, *calm)["volatility_ticks"]
    signals.on_touch(0, 0, 101, 5, 20 * SECOND)
    later = [(900 + i % 2, (30 + i) * SECOND + 1) for i in range(20)]
    assert after(signals, *later[:3])["volatility_ticks"] == pytest.approx(before)
    assert after(signals, *later[3:])["volatility_ticks"] == pytest.approx(before)


# -- SPREAD ----------------------------------------------------------------------------------


def test_spread_statistics_weigh_by_time_not_by_count(make):
    """A spread shown for a moment counts for a moment, however many updates it has."""
    signals = make("spread_stats", spread_tau_ms=1e3)
    at = 0
    for _ in range(400):
        signals.on_touch(100, 5, 102, 5, at)
        for i in range(10):
            signals.on_touch(100, 5 + i, 110, 5, at + 9 * MS)
        at += 10 * MS
    values = signals.to_dict()
    assert values["spread_mean_ticks"] == pytest.approx(0.9 * 2 + 0.1 * 10, rel=0.02)
    assert values["spread_sd_ticks"] == pytest.approx(math.sqrt(0.9 * 0.1) * 8, rel=0.02)
