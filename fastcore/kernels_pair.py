"""Batch twin of the pair spread; see kernels."""

import math

import numpy as np
import numpy.typing as npt

from fastcore.kernels_base import (
    F64,
    I64,
    VARIANCE_MIN,
    WARM_UP_TAUS,
    check_lengths,
    decay,
    jit,
    ns,
)

LN2 = 0.6931471805599453


def pair(
    is_reference: npt.NDArray[np.bool_],
    mid: F64,
    now_ns: I64,
    pair_grid_ms: float,
    pair_tau_ms: float,
    pair_drift: float,
    pair_noise_var: float,
) -> tuple[F64, F64, F64, F64]:
    """(spread ticks, z, beta, half-life s) after each mid of either leg, in order of time."""
    check_lengths(is_reference, mid, now_ns)
    grid_ns, tau_ns = ns(pair_grid_ms), ns(pair_tau_ms)
    keep, alpha = decay(grid_ns / tau_ns)
    steps_min = WARM_UP_TAUS * tau_ns // grid_ns
    drift = pair_drift / (1.0 - pair_drift)
    return _pair(is_reference, mid, now_ns, grid_ns, keep, alpha, steps_min, drift, pair_noise_var)


@jit
def _learn(state: F64, x: float, y: float, drift: float, noise: float) -> None:
    """One Kalman step on state = (beta, level, p00, p01, p11), Joseph form."""
    r00, r01, r11 = state[2] + drift, state[3], state[4] + drift
    g0, g1 = r00 * x + r01, r01 * x + r11
    q = g0 * x + g1 + noise
    k0, k1 = g0 / q, g1 / q
    surprise = y - (state[0] * x + state[1])
    a00, a10, a11 = 1.0 - k0 * x, -(k1 * x), 1.0 - k1
    b00, b01 = a00 * r00 - k0 * r01, a00 * r01 - k0 * r11
    b10, b11 = a10 * r00 + a11 * r01, a10 * r01 + a11 * r11
    state[0] += k0 * surprise
    state[1] += k1 * surprise
    state[2] = b00 * a00 - b01 * k0 + noise * k0 * k0
    state[3] = b00 * a10 + b01 * a11 + noise * k0 * k1
    state[4] = b10 * a10 + b11 * a11 + noise * k1 * k1


@jit
def _pair(
    is_reference: npt.NDArray[np.bool_],
    mid: F64,
    now_ns: I64,
    grid_ns: int,
    keep: float,
    alpha: float,
    steps_min: int,
    drift: float,
    noise: float,
) -> tuple[F64, F64, F64, F64]:
    n = len(mid)
    spreads, zs, betas, half_lives = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    state = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    legs, first = np.zeros(2), np.zeros(2)
    mean, variance, covariance, last_spread, half_life = 0.0, 0.0, 0.0, 0.0, 0.0
    next_ns, steps, last, is_neighbour = -1, 0, 0, False
    for i in range(n):
        now = max(now_ns[i], last)
        if not is_reference[i]:
            last = now  # the clock of the touches
        if legs[0] > 0.0 and legs[1] > 0.0 and next_ns < 0:
            next_ns = (now + grid_ns - 1) // grid_ns * grid_ns
        elif next_ns >= 0 and now > next_ns:
            skipped = (now - next_ns - 1) // grid_ns
            next_ns += (skipped + 1) * grid_ns
            y, x = (legs[0] - first[0]) / first[0], (legs[1] - first[1]) / first[1]
            spread = (y - (state[0] * x + state[1])) * first[0]
            if steps == 0:
                mean = spread
            else:
                distance = spread - mean
                if is_neighbour:
                    covariance = keep * (covariance + alpha * (last_spread - mean) * distance)
                mean += alpha * distance
                variance = keep * (variance + alpha * distance * distance)
            last_spread, is_neighbour = spread, skipped == 0
            steps += 1
            half_life = 0.0
            if steps > steps_min and variance > 0.0 and 0.0 < covariance / variance < 1.0:
                half_life = -LN2 / math.log(covariance / variance) * (grid_ns * 1e-9)
            _learn(state, x, y, drift, noise)
        leg = 1 if is_reference[i] else 0
        legs[leg] = mid[i]
        if first[leg] == 0.0:
            first[leg] = mid[i]
        if steps > 0:
            y, x = (legs[0] - first[0]) / first[0], (legs[1] - first[1]) / first[1]
            spreads[i] = (y - (state[0] * x + state[1])) * first[0]
            if steps > steps_min and variance > VARIANCE_MIN:
                zs[i] = (spreads[i] - mean) / math.sqrt(variance)
            betas[i], half_lives[i] = state[0], half_life
    return spreads, zs, betas, half_lives
