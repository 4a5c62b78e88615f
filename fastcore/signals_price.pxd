# cython: language_level=3
"""Signals of the price and of the spread: plain states and what one touch does to them, inlined
into signals.pyx. Formulas and sources: docs/signals.md.

Bars and grids end at multiples of their length since time 0. A silence of many of them is taken
in one step, in closed form: an empty bar repeats the close, an empty grid step returns nothing.
"""
from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t

from fastcore.signals_decay cimport fc_power
from fastcore.types cimport ns_t

cdef enum:
    RETURNS_MIN = 10               # grid returns before a volatility is told

cdef struct Moments:               # EWMA of mean and population variance
    double mean
    double variance

cdef struct Volatility:
    ns_t grid_ns
    double grid_s
    double keep                    # weight of the past after one grid step
    int64_t next_ns                # first grid time not yet sampled; only where has_mid
    bint has_mid                   # `mid` has stood since the touch before
    bint has_sample
    int64_t returns                # how many, empty steps included
    double mid
    double sample                  # mid at the last grid time
    double variance_per_s          # not yet corrected for the start
    double past                    # weight that the start still has: keep^returns
    double sigma_ticks             # the answer, after each grid step

cdef struct Keltner:
    ns_t bar_ns
    int ema_bars
    int atr_bars
    double ema_keep                # 1 - 2 / (n + 1)
    double atr_keep                # 1 - 1 / n
    double mult
    bint has_bar                   # a bar is open
    bint has_close
    ns_t end_ns                    # of the open bar
    int64_t bars                   # complete ones
    double high
    double low
    double close                   # of the open bar, so far
    double last_close              # of the last complete one
    double ema                     # sum while bars < ema_bars
    double atr                     # sum while bars < atr_bars


cdef inline void update_moments(Moments* moments, double x, double alpha,
                                double keep) noexcept nogil:
    """Mean and variance under exponential weights, exactly (West 1979)."""
    cdef double distance = x - moments.mean
    moments.mean += alpha * distance
    moments.variance = keep * (moments.variance + alpha * distance * distance)


cdef inline ns_t grid_after(ns_t now_ns, ns_t grid_ns) noexcept nogil:
    """First grid time at or after now."""
    return (now_ns + grid_ns - 1) // grid_ns * grid_ns


cdef inline void on_mid_volatility(Volatility* vol, double mid, ns_t now_ns) noexcept nogil:
    """Ticks per sqrt(second) from returns between the mids that stood at grid times."""
    cdef int64_t steps
    cdef double change, past
    if not vol.has_mid:                # first touch, or first after a hole: no return spans it
        vol.has_mid = True
        vol.has_sample = False
        vol.next_ns = grid_after(now_ns, vol.grid_ns)
    elif now_ns > vol.next_ns:
        steps = (now_ns - vol.next_ns - 1) // vol.grid_ns   # further grid times that passed
        vol.next_ns += (steps + 1) * vol.grid_ns
        if vol.has_sample:
            change = vol.mid - vol.sample
            vol.variance_per_s = (vol.keep * vol.variance_per_s
                                  + (1.0 - vol.keep) * (change * change / vol.grid_s))
            vol.past *= vol.keep
            vol.returns += 1
        if steps > 0 and vol.has_sample:
            past = fc_power(vol.keep, steps)
            vol.variance_per_s *= past
            vol.past *= past
            vol.returns += steps
        vol.sample = vol.mid
        vol.has_sample = True
        if vol.returns >= RETURNS_MIN:
            vol.sigma_ticks = sqrt(vol.variance_per_s / (1.0 - vol.past))
    vol.mid = mid


cdef inline void on_mid_keltner(Keltner* bars, double mid, ns_t now_ns) noexcept nogil:
    cdef int64_t empty
    if bars.has_bar and now_ns < bars.end_ns:
        if mid > bars.high:
            bars.high = mid
        if mid < bars.low:
            bars.low = mid
        bars.close = mid
        return
    if bars.has_bar:
        _close_bar(bars)
        empty = (now_ns - bars.end_ns) // bars.bar_ns
        if empty > 0:
            _close_empty_bars(bars, empty)
    bars.has_bar = True
    bars.end_ns = (now_ns // bars.bar_ns + 1) * bars.bar_ns
    bars.high = bars.low = bars.close = mid


cdef inline void _close_bar(Keltner* bars) noexcept nogil:
    cdef double true_range = bars.high - bars.low
    if bars.has_close:
        true_range = max(true_range, max(fabs(bars.high - bars.last_close),
                                         fabs(bars.low - bars.last_close)))
    if bars.bars < bars.ema_bars:      # seeded with the plain mean of the first n
        bars.ema += bars.close
        if bars.bars == bars.ema_bars - 1:
            bars.ema /= <double>bars.ema_bars
    else:
        bars.ema = bars.close + bars.ema_keep * (bars.ema - bars.close)
    if bars.bars < bars.atr_bars:
        bars.atr += true_range
        if bars.bars == bars.atr_bars - 1:
            bars.atr /= <double>bars.atr_bars
    else:
        bars.atr = true_range + bars.atr_keep * (bars.atr - true_range)
    bars.has_close = True
    bars.last_close = bars.close
    bars.bars += 1


cdef inline void _close_empty_bars(Keltner* bars, int64_t count) noexcept nogil:
    """`count` bars without a touch: close repeated, true range nothing."""
    cdef int64_t seeding = min(count, max(<int64_t>bars.ema_bars - bars.bars, 0))
    if seeding > 0:
        bars.ema += <double>seeding * bars.last_close
        if bars.bars + seeding == bars.ema_bars:
            bars.ema /= <double>bars.ema_bars
    if count > seeding:
        bars.ema = (bars.last_close
                    + fc_power(bars.ema_keep, count - seeding) * (bars.ema - bars.last_close))
    seeding = min(count, max(<int64_t>bars.atr_bars - bars.bars, 0))
    if seeding > 0 and bars.bars + seeding == bars.atr_bars:
        bars.atr /= <double>bars.atr_bars
    if count > seeding:
        bars.atr *= fc_power(bars.atr_keep, count - seeding)
    bars.bars += count
