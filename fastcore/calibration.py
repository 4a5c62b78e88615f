"""What a strategy's numbers come from: Stoikov's table, the intensity of fills, markouts, and the
regression behind the order-flow exam. Off-line, over arrays; nothing here is on a hot path.

`touches` and `trades` as in kernels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.kernels_base import ASK, AT, BID, F64, I64, check_touches, check_trades


class Regression(NamedTuple):
    """y = intercept + slope x by least squares."""

    slope: float
    intercept: float
    r_squared: float
    slope_error: float  # standard error, errors alike and independent
    slope_error_white: float  # White's (HC0): errors may differ in size
    points: int


def regress(x: F64, y: F64) -> Regression:
    """Ordinary least squares with an intercept."""
    n = len(x)
    if n < 3 or len(y) != n or not np.ptp(x) > 0:
        raise ValueError(f"Expected 3 or more points with different x, were {n} and {len(y)}")
    dx, dy = x - x.mean(), y - y.mean()
    xx = float(dx @ dx)
    slope = float(dx @ dy) / xx
    left = dy - slope * dx
    squares = float(left @ left)
    total = float(dy @ dy)
    return Regression(
        slope=slope,
        intercept=float(y.mean() - slope * x.mean()),
        r_squared=1.0 - squares / total if total > 0 else 0.0,
        slope_error=(squares / (n - 2) / xx) ** 0.5,
        slope_error_white=float(np.sum(dx**2 * left**2)) ** 0.5 / xx,
        points=n,
    )


def window_changes(
    touches: I64, events: I64, window_ns: int, start_ns: int | None = None
) -> tuple[F64, F64]:
    """(sum of events, change of the mid in ticks) of each complete window [start + k W,
    start + (k + 1) W); the mid of a grid time is that of the last touch before it."""
    now, mid = check_touches(touches)[:, AT], 0.5 * (touches[:, BID] + touches[:, ASK])
    start = int(now[0]) if start_ns is None else start_ns
    edges = start + window_ns * np.arange((int(now[-1]) - start) // window_ns + 1)
    at = np.searchsorted(now, edges, side="left")
    total = np.concatenate(([0], np.cumsum(events)))
    flows = np.diff(total[at]).astype(np.float64)
    return flows, np.diff(mid[np.maximum(at - 1, 0)])


def stoikov_table(
    touches: I64, bins: int = 10, spreads: int = 2, move_ticks_max: float = 1.0, terms: int = 6
) -> tuple[tuple[float, ...], ...]:
    """G*(imbalance bin, spread) of Stoikov 2018 (Quant. Finance 18(12)): how far from the mid the
    price is expected to be after `terms` moves of the mid. Rows are spreads from 1 tick up.

    The chain of states is counted from the touches and their mirror image (imbalance and move
    reversed), so that G is antisymmetric. Samples with a wider spread or a bigger move than given
    do not count; a state never seen has G = 0.
    """
    bid, bid_qty, ask, ask_qty = check_touches(touches)[:, :AT].T
    imbalance = np.minimum((bid_qty / (bid_qty + ask_qty) * bins).astype(np.int64), bins - 1)
    spread, mid = ask - bid, 0.5 * (bid + ask)
    move = np.diff(mid)
    counts = (spread[:-1] <= spreads) & (spread[1:] <= spreads) & (abs(move) <= move_ticks_max)
    if not counts.any():
        raise ValueError(f"No touch pair has a spread of at most {spreads} ticks")
    rows, before, after = spread - 1, imbalance[:-1][counts], imbalance[1:][counts]
    one = rows[:-1][counts] * bins
    other = rows[1:][counts] * bins
    mirror = bins - 1
    starts = np.concatenate((one + before, one + mirror - before))
    ends = np.concatenate((other + after, other + mirror - after))
    moves = np.concatenate((move[counts], -move[counts]))
    size = bins * spreads
    stays, jumps, gains = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size)
    still = moves == 0
    np.add.at(stays, (starts[still], ends[still]), 1.0)
    np.add.at(jumps, (starts[~still], ends[~still]), 1.0)
    np.add.at(gains, starts, moves)
    seen = np.maximum(stays.sum(axis=1) + jumps.sum(axis=1), 1.0)
    leaves = np.eye(size) - stays / seen[:, None]
    # A state that the data never leaves has no next move: it tells nothing.
    stuck = np.linalg.matrix_rank(leaves) < size
    until_move = np.linalg.pinv(leaves) if stuck else np.linalg.inv(leaves)
    gain = first = until_move @ (gains / seen)
    next_state = until_move @ (jumps / seen[:, None])
    for _ in range(terms - 1):
        first = next_state @ first
        gain = gain + first
    table = gain.reshape(spreads, bins)
    table = 0.5 * (table - table[:, ::-1])  # antisymmetric to the last bit
    return tuple(tuple(map(float, row)) for row in table)


class Intensity(NamedTuple):
    """Fills arrive at scale * exp(-decay * distance), a second."""

    scale_per_s: float  # A
    decay_per_tick: float  # k


def depth_counts(touches: I64, trades: I64, step_ns: int, deltas: F64) -> tuple[F64, float]:
    """(steps in which a print went strictly beyond mid + delta on some side, per delta, both
    sides together; seconds watched, both sides together). The mid is that at the step's start."""
    now, mid = check_touches(touches)[:, AT], 0.5 * (touches[:, BID] + touches[:, ASK])
    side, px, _, at = check_trades(trades).T
    start, end = int(now[0]), int(now[-1])
    steps = (end - start) // step_ns
    step = (at - start) // step_ns
    inside = (at >= start) & (step < steps)
    step, side, px = step[inside], side[inside], px[inside]
    edges = start + step_ns * np.arange(steps)
    mids = mid[np.searchsorted(now, edges, side="right") - 1]
    beyond = np.where(side == 0, px - mids[step], mids[step] - px)
    deepest = np.full((2, steps), -np.inf)
    np.maximum.at(deepest, (side, step), beyond)
    counts = (deepest[:, :, None] > np.asarray(deltas)).sum(axis=(0, 1)).astype(np.float64)
    return counts, 2 * steps * step_ns / 1e9


def intensity_ols(deltas: F64, counts: F64, seconds: float) -> Intensity:
    """Least squares of ln(count / T) on the distance; distances without a count are left out."""
    some = counts > 0
    line = regress(np.asarray(deltas)[some], np.log(counts[some] / seconds))
    return Intensity(float(np.exp(line.intercept)), -line.slope)


def intensity_mle(deltas: F64, counts: F64, seconds: float) -> Intensity:
    """Poisson maximum likelihood: maximise sum c (a - k d) - T exp(a - k d), Newton from OLS."""
    deltas = np.asarray(deltas, dtype=np.float64)
    start = intensity_ols(deltas, counts, seconds)
    a, k = np.log(start.scale_per_s), start.decay_per_tick
    for _ in range(100):
        expected = seconds * np.exp(a - k * deltas)
        left = counts - expected
        gradient = np.array([left.sum(), -(deltas * left).sum()])
        moment = (deltas * expected).sum()
        hessian = np.array([[expected.sum(), -moment], [-moment, (deltas**2 * expected).sum()]])
        step = np.linalg.solve(hessian, gradient)
        a, k = a + step[0], k + step[1]
        if abs(step).max() < 1e-12:
            return Intensity(float(np.exp(a)), float(k))
    raise ValueError("The likelihood has no maximum near the least-squares line: too few counts")


def sigma_ticks(touches: I64, step_ns: int) -> float:
    """Ticks per sqrt(second): root of the sum of squared changes on the step's grid over T."""
    _, changes = window_changes(touches, np.zeros(len(touches), dtype=np.int64), step_ns)
    return float((changes @ changes / (len(changes) * step_ns / 1e9)) ** 0.5)


def mids_at(touches: I64, at_ns: I64) -> F64:
    """Mid that stood at each time (last touch at or before it); NaN before the first touch or
    after the last, where nobody knows."""
    now, mid = check_touches(touches)[:, AT], 0.5 * (touches[:, BID] + touches[:, ASK])
    index = np.searchsorted(now, at_ns, side="right") - 1
    answer: F64 = np.where((index < 0) | (at_ns > now[-1]), np.nan, mid[np.maximum(index, 0)])
    return answer


class Markouts(NamedTuple):
    """Per trade, ticks, seen from its aggressor; one column a horizon."""

    effective: F64  # [n]: D (p - mid now), the effective half spread
    realised: F64  # [n, horizons]: D (p - mid then): what the maker keeps
    impact: F64  # [n, horizons]: D (mid then - mid now); effective = realised + impact


def markouts(touches: I64, trades: I64, horizons_ns: npt.ArrayLike) -> Markouts:
    """What became of the mid after each trade. The maker's markout is `realised`."""
    side, px, _, at = check_trades(trades).T
    sign = 1.0 - 2.0 * side
    horizons = np.asarray(horizons_ns, dtype=np.int64)
    now_mid = mids_at(touches, at)
    then_mid = np.stack([mids_at(touches, at + h) for h in horizons], axis=1)
    return Markouts(
        effective=sign * (px - now_mid),
        realised=sign[:, None] * (px[:, None] - then_mid),
        impact=sign[:, None] * (then_mid - now_mid[:, None]),
    )
