"""Calibration: planted values found again, symmetries, identities; numbers worked by hand."""

import itertools
import math

import numpy as np
import pytest

from fastcore import calibration as c

SECOND = 1_000_000_000


def touches_of(rows):
    return np.array(rows, dtype=np.int64)


def walk(seed, n):
    """A one-or-two-tick book whose mid tends to the heavier side's opposite."""
    dice = np.random.default_rng(seed)
    bid, rows = 10_000, []
    for i in range(n):
        bid_qty, ask_qty = (int(q) for q in dice.integers(1, 50, 2))
        rows.append((bid, bid_qty, bid + 1, ask_qty, i * SECOND // 20))
        if dice.random() < 0.3:
            bid += 1 if dice.random() < bid_qty / (bid_qty + ask_qty) else -1
    return touches_of(rows)


# -- REGRESSION, WINDOWS ---------------------------------------------------------------------


def test_regression_by_hand():
    fit = c.regress(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    assert (fit.slope, fit.intercept, fit.points) == pytest.approx((0.8, 1.3, 4))
    assert fit.r_squared == pytest.approx(0.64)
    assert fit.slope_error == pytest.approx(math.sqrt(1.8 / 2 / 5))
    left = [-0.3, 0.9, -0.9, 0.3]
    white = sum((x - 1.5) ** 2 * e**2 for x, e in zip(range(4), left, strict=True))
    assert fit.slope_error_white == pytest.approx(math.sqrt(white) / 5)


def test_regression_of_one_x_is_refused():
    with pytest.raises(ValueError, match="different x"):
        c.regress(np.ones(5), np.arange(5.0))


def test_windows_hold_what_happened_in_them_and_end_at_the_mid_before():
    touches = touches_of(
        [(10, 1, 12, 1, 100), (11, 1, 13, 1, 105), (14, 1, 16, 1, 110), (20, 1, 22, 1, 119),
         (20, 1, 22, 1, 121)]
    )  # fmt: skip
    flows, changes = c.window_changes(touches, np.array([1, 2, 4, 8, 16]), 10)
    assert flows.tolist() == [1 + 2, 4 + 8]
    assert changes.tolist() == [12 - 11, 21 - 12]


# -- STOIKOV ---------------------------------------------------------------------------------


def test_stoikov_table_is_antisymmetric_and_leans_to_the_heavy_side():
    (row,) = c.stoikov_table(walk(1, 20_000), bins=10, spreads=1)
    assert [-x for x in row] == list(reversed(row))
    assert row[-1] > row[7] > 0 > row[2] > row[0]


def test_stoikov_table_of_two_states_is_the_closed_form():
    """Imbalance alternates between two bins; a move up by a tick follows the heavy bid every
    second time. E[next move | heavy] = 1/2 a tick after one more look; states swap after moves."""
    rows, bid = [], 100
    for i in range(4_000):
        heavy = i % 2 == 0
        rows.append((bid, 9 if heavy else 1, bid + 1, 1 if heavy else 9, i))
        if i % 4 == 0:
            bid += 1
    (low, high) = c.stoikov_table(touches_of(rows), bins=2, spreads=1, terms=1)[0]
    # Counted with the mirror, from either state: half the steps move by +-1 to the other state
    # (towards the heavy side in one half, the mirror of it in the other), the rest stay still.
    p_up, p_still = _two_state_chances(rows)
    assert high == pytest.approx(p_up / (1 + p_still), rel=1e-9)
    assert low == -high


def _two_state_chances(rows):
    """From the heavy bid: expected move of one step, and chance of a still step to the other."""
    moves, still, seen = 0.0, 0, 0
    for one, two in itertools.pairwise(rows):
        for sign in (1, -1):
            if (one[1] > one[3]) == (sign == 1):
                seen += 1
                moves += sign * (two[0] - one[0])
                still += two[0] == one[0]
    return moves / seen, still / seen


def test_stoikov_leaves_out_wide_spreads_and_long_jumps():
    calm = walk(2, 5_000)
    wild = calm.copy()
    wild[::50, 2] += 7  # a spread of 8
    jump = np.concatenate((calm, calm + np.array([500, 0, 500, 0, calm[-1, 4] + 1])))
    assert c.stoikov_table(jump, spreads=1)[0] == pytest.approx(
        c.stoikov_table(calm, spreads=1)[0], abs=0.02
    )
    assert len(c.stoikov_table(wild, spreads=1)) == 1
    with pytest.raises(ValueError, match="spread of at most 1"):
        c.stoikov_table(calm + np.array([0, 0, 3, 0, 0]), spreads=1)


def test_stoikov_states_never_seen_say_nothing():
    table = c.stoikov_table(walk(3, 3_000), bins=10, spreads=3)
    assert table[2] == (0.0,) * 10
    assert table[1] == (0.0,) * 10
    assert max(table[0]) > 0.05


# -- INTENSITY -------------------------------------------------------------------------------


def test_intensity_of_exact_counts_is_exact():
    deltas = np.arange(0.5, 8.0)
    counts = 3_600 * 2.0 * np.exp(-0.35 * deltas)
    for fit in (c.intensity_ols, c.intensity_mle):
        assert fit(deltas, counts, 3_600.0) == pytest.approx((2.0, 0.35), rel=1e-9)


def test_intensity_of_poisson_counts_comes_near():
    deltas = np.arange(0.5, 12.0)
    expected = 600 * 2.0 * np.exp(-0.35 * deltas)
    fits = []
    for seed in range(40):
        counts = np.random.default_rng(seed).poisson(expected).astype(float)
        fits.append(c.intensity_mle(deltas, counts, 600.0))
    mean = np.mean(fits, axis=0)
    assert mean == pytest.approx([2.0, 0.35], rel=0.01)


def test_mle_satisfies_its_own_equations():
    """At the maximum the fitted counts and their first moment are the observed ones."""
    deltas, counts = np.arange(6.0), np.array([90.0, 50.0, 41.0, 20.0, 9.0, 0.0])
    scale, decay = c.intensity_mle(deltas, counts, 60.0)
    fitted = 60.0 * scale * np.exp(-decay * deltas)
    assert fitted.sum() == pytest.approx(counts.sum())
    assert fitted @ deltas == pytest.approx(counts @ deltas)


def test_depth_counts_by_hand():
    """One count a step and side, by the deepest print; strictly beyond."""
    touches = touches_of([(100, 1, 102, 1, 0), (100, 1, 102, 1, 40)])
    trades = touches_of(
        [(0, 102, 1, 1), (0, 104, 1, 2), (1, 100, 1, 3), (0, 103, 1, 15), (1, 90, 1, 41)]
    )
    counts, seconds = c.depth_counts(touches, trades, 10, np.array([0.0, 1.0, 2.0, 3.0]))
    assert counts.tolist() == [3, 2, 1, 0]
    assert seconds == 2 * 4 * 10 / 1e9


def test_sigma_of_a_planted_walk():
    dice = np.random.default_rng(4)
    n = 20_000
    bid = 100_000 + np.cumsum(dice.choice([-1, 1], n))
    rows = np.stack([bid, np.ones(n), bid + 1, np.ones(n), np.arange(n) * SECOND // 4], axis=1)
    assert c.sigma_ticks(rows.astype(np.int64), SECOND) == pytest.approx(2.0, rel=0.03)


# -- MARKOUTS --------------------------------------------------------------------------------


def test_markouts_by_hand_and_their_identity():
    touches = touches_of([(100, 1, 102, 1, 0), (103, 1, 105, 1, 50), (100, 1, 102, 1, 90)])
    trades = touches_of([(0, 102, 1, 10), (1, 100, 1, 20), (0, 105, 1, 60)])
    got = c.markouts(touches, trades, [0, 40])
    assert got.effective.tolist() == [1.0, 1.0, 1.0]
    assert got.realised[:, 0].tolist() == [1.0, 1.0, 1.0]
    assert got.realised[:2, 1].tolist() == [-2.0, 4.0]
    assert np.isnan(got.realised[2, 1])  # nobody knows the mid after the last touch
    known = ~np.isnan(got.realised)
    identity = got.realised + got.impact - got.effective[:, None]
    assert np.array_equal(identity[known], np.zeros(known.sum()))


def test_mids_before_the_first_touch_are_unknown():
    touches = touches_of([(100, 1, 102, 1, 10), (103, 1, 105, 1, 50)])
    mids = c.mids_at(touches, np.array([9, 10, 49, 50, 51]))
    assert np.isnan(mids[[0, 4]]).all()
    assert mids[1:4].tolist() == [101.0, 101.0, 104.0]
