"""Batch twins of the signals of price and spread; see kernels."""

import math

import numpy as np

from fastcore.kernels_base import (
    F64,
    I64,
    VARIANCE_MIN,
    WARM_UP_TAUS,
    check_lengths,
    check_touches,
    decay,
    jit,
    ns,
    power,
)

RETURNS_MIN = 10


def ewma_z(x: F64, now_ns: I64, z_tau_ms: float) -> tuple[F64, F64, F64]:
    """(mean, standard deviation, z from those of before)."""
    check_lengths(x, now_ns)
    return _ewma_z(x, now_ns, ns(z_tau_ms))


@jit
def _ewma_z(x: F64, now_ns: I64, tau_ns: int) -> tuple[F64, F64, F64]:
    means, sds, zs = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    rate, mean, variance, last = 1.0 / tau_ns, 0.0, 0.0, 0
    for i in range(len(x)):
        now = now_ns[i] if i == 0 else max(now_ns[i], last)
        if i == 0:
            mean = x[0]
        else:
            distance = x[i] - mean
            if variance > VARIANCE_MIN and now >= now_ns[0] + WARM_UP_TAUS * tau_ns:
                zs[i] = distance / math.sqrt(variance)
            if now > last:
                keep, alpha = decay(float(now - last) * rate)
                mean += alpha * distance
                variance = keep * (variance + alpha * distance * distance)
        last = now
        means[i], sds[i] = mean, math.sqrt(variance)
    return means, sds, zs


def spread_stats(touches: I64, spread_tau_ms: float) -> tuple[F64, F64]:
    """(time-weighted mean, standard deviation) of the spread, ticks."""
    return _spread_stats(check_touches(touches), 1.0 / ns(spread_tau_ms))


@jit
def _spread_stats(touches: I64, rate: float) -> tuple[F64, F64]:
    means, sds = np.zeros(len(touches)), np.zeros(len(touches))
    mean, variance, last = 0.0, 0.0, 0
    for i in range(len(touches)):
        now = touches[i, 4] if i == 0 else max(touches[i, 4], last)
        if i == 0:
            mean = float(touches[0, 2] - touches[0, 0])
        elif now > last:
            keep, alpha = decay(float(now - last) * rate)
            distance = float(touches[i - 1, 2] - touches[i - 1, 0]) - mean
            mean += alpha * distance
            variance = keep * (variance + alpha * distance * distance)
        last = now
        means[i], sds[i] = mean, math.sqrt(variance)
    return means, sds


def volatility(mid: F64, now_ns: I64, volatility_grid_ms: float, volatility_tau_ms: float) -> F64:
    """Ticks per sqrt(second), from the mids that stood at grid times."""
    check_lengths(mid, now_ns)
    grid_ns = ns(volatility_grid_ms)
    return _volatility(mid, now_ns, grid_ns, decay(grid_ns / ns(volatility_tau_ms))[0])


@jit
def _volatility(mid: F64, now_ns: I64, grid_ns: int, keep: float) -> F64:
    answer = np.zeros(len(mid))
    variance, past, sample, sigma = 0.0, 1.0, 0.0, 0.0
    returns, next_ns, last, has_sample = 0, 0, 0, False
    for i in range(len(mid)):
        now = now_ns[i] if i == 0 else max(now_ns[i], last)
        if i == 0:
            next_ns = (now + grid_ns - 1) // grid_ns * grid_ns
        elif now > next_ns:
            steps = (now - next_ns - 1) // grid_ns
            next_ns += (steps + 1) * grid_ns
            if has_sample:
                change = mid[i - 1] - sample
                variance = keep * variance + (1.0 - keep) * (change * change / (grid_ns / 1e9))
                past *= keep
                if steps > 0:
                    idle = power(keep, steps)
                    variance *= idle
                    past *= idle
                returns += 1 + steps
            sample, has_sample = mid[i - 1], True
            if returns >= RETURNS_MIN:
                sigma = math.sqrt(variance / (1.0 - past))
        last = now
        answer[i] = sigma
    return answer


def keltner(
    mid: F64,
    now_ns: I64,
    keltner_bar_ms: float,
    keltner_ema_bars: int,
    keltner_atr_bars: int,
    keltner_mult: float,
) -> tuple[F64, F64, F64]:
    """(middle line, average true range, where the mid stands: 1 is the upper band)."""
    check_lengths(mid, now_ns)
    bar_ns = ns(keltner_bar_ms)
    return _keltner(mid, now_ns, bar_ns, keltner_ema_bars, keltner_atr_bars, keltner_mult)


@jit
def _line(line: float, count: int, n: int, keep: float, level: float, times: int) -> float:
    """Mean of the first n levels, then level + keep * (line - level); a sum until then."""
    seeding = min(times, max(n - count, 0))
    if seeding > 0:
        line += float(seeding) * level
        if count + seeding == n:
            line /= float(n)
    if times > seeding:
        line = level + power(keep, times - seeding) * (line - level)
    return line


@jit
def _keltner(
    mid: F64, now_ns: I64, bar_ns: int, ema_bars: int, atr_bars: int, mult: float
) -> tuple[F64, F64, F64]:
    n = len(mid)
    lines, ranges, positions = np.zeros(n), np.zeros(n), np.zeros(n)
    ema_keep, atr_keep = 1.0 - 2.0 / (ema_bars + 1), 1.0 - 1.0 / atr_bars
    ema, atr, high, low, close, bars, bar, last = 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0
    for i in range(n):
        now = now_ns[i] if i == 0 else max(now_ns[i], last)
        last = now
        if i > 0 and now // bar_ns > bar:
            true_range = high - low
            if bars > 0:
                true_range = max(true_range, abs(high - close), abs(low - close))
            close = mid[i - 1]
            empty = now // bar_ns - bar - 1
            ema = _line(ema, bars, ema_bars, ema_keep, close, 1)
            atr = _line(atr, bars, atr_bars, atr_keep, true_range, 1)
            ema = _line(ema, bars + 1, ema_bars, ema_keep, close, empty)
            atr = _line(atr, bars + 1, atr_bars, atr_keep, 0.0, empty)
            bars += 1 + empty
        if i == 0 or now // bar_ns > bar:
            bar = now // bar_ns
            high = low = mid[i]
        high, low = max(high, mid[i]), min(low, mid[i])
        if bars >= ema_bars:
            lines[i] = ema
            if bars >= atr_bars:
                ranges[i] = atr
                if atr > 0.0:
                    positions[i] = (mid[i] - ema) / (mult * atr)
    return lines, ranges, positions
