"""Pair spread: planted hedge ratios and half-lives are found; what is missing is not made up."""

import math
import random

import pytest

from fastcore.signals import SIGNALS
from tests.support_signals import BOTH

SECOND = 1_000_000_000
OWN, REFERENCE = 100_000, 3_000_000.0


@pytest.fixture(params=BOTH, ids=["fast", "reference"])
def make(request):
    return lambda **settings: request.param(SIGNALS["pair"], settings)


def planted(signals, beta, slope, steps, seed=1, noise=10.0):
    """Ours = beta x reference (relative) + an AR(1) spread in ticks; last spread, last values."""
    dice = random.Random(seed)
    x = spread = 0.0
    for i in range(steps):
        x += dice.gauss(0, 5e-4)
        spread = slope * spread + dice.gauss(0, noise)
        at = i * SECOND + SECOND // 2
        signals.on_reference(REFERENCE * (1 + x), at)
        mid = round(OWN * (1 + beta * x) + spread)
        signals.on_touch(mid - 1, 5, mid + 1, 5, at)
    return spread, signals.to_dict()


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.5])
def test_planted_hedge_ratio_is_found(make, beta):
    _, values = planted(make(), beta, 0.5, 1_500)
    assert values["pair_beta"] == pytest.approx(beta, abs=0.02)


@pytest.mark.parametrize("slope", [0.7, 0.9])
def test_planted_half_life_is_found(make, slope):
    signals = make(pair_tau_ms=2e6, pair_drift=0.0)
    _, values = planted(signals, 1.5, slope, 8_000)
    assert values["pair_half_life_s"] == pytest.approx(-math.log(2) / math.log(slope), rel=0.12)


def test_spread_and_z_follow_the_planted_spread(make):
    signals = make(pair_tau_ms=3e5)
    spread, values = planted(signals, 1.5, 0.9, 3_000, seed=4)
    sd = 10 / math.sqrt(1 - 0.9**2)
    assert values["pair_spread_ticks"] == pytest.approx(spread, abs=0.35 * sd)
    assert values["pair_z"] == pytest.approx(spread / sd, abs=0.6)
    mid = 200_000  # ours runs away, the reference stands
    signals.on_touch(mid - 1, 5, mid + 1, 5, 3_000 * SECOND)
    assert signals.to_dict()["pair_z"] > 100


def test_spread_that_does_not_revert_has_no_half_life(make):
    """Alternating spread: neighbours are opposed, no half-life exists."""
    _, values = planted(make(), 1.0, -0.8, 1_000)
    assert values["pair_half_life_s"] == 0.0


def test_nothing_is_told_before_three_time_constants(make):
    signals = make(pair_tau_ms=10_000.0)
    _, values = planted(signals, 1.0, 0.5, 30)
    assert (values["pair_z"], values["pair_half_life_s"]) == (0.0, 0.0)
    _, values = planted(make(pair_tau_ms=10_000.0), 1.0, 0.5, 40)
    assert values["pair_z"] != 0.0


def test_without_a_reference_there_is_no_spread(make):
    signals = make()
    _, values = planted(signals, 1.0, 0.9, 400)
    assert values["pair_spread_ticks"] != 0.0
    for lost in (0.0, -1.0):
        signals.on_reference(lost, 500 * SECOND)
        values = signals.to_dict()
        assert (values["pair_spread_ticks"], values["pair_z"]) == (0.0, 0.0)
        assert values["pair_beta"] != 0.0
    signals.on_reference(REFERENCE, 501 * SECOND)
    assert signals.to_dict()["pair_spread_ticks"] != 0.0


def test_silence_is_one_step_of_learning(make):
    """A night without a quote moves the hedge ratio no more than a second does."""
    short, long = make(), make()
    for signals, gap in ((short, 1), (long, 40_000)):
        planted(signals, 1.0, 0.9, 300)
        for at in (300, 300 + gap):
            signals.on_touch(OWN - 1, 5, OWN + 1, 5, at * SECOND)
    assert short.to_dict()["pair_beta"] == pytest.approx(long.to_dict()["pair_beta"], rel=1e-12)
