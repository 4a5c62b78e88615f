# cython: language_level=3
"""Spread of our mid against a reference: Kalman hedge ratio, AR(1), z. Inlined into signals.pyx;
formulas and sources: docs/signals.md.

Both prices enter as returns since their first values, y and x: y = beta x + alpha + noise, with
(beta, alpha) a random walk. They are sampled on a grid (the mids that stood at the grid time); a
silence of many grid steps is one step of learning, and no pair of neighbours for the AR(1).
"""
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t

from fastcore.signals_price cimport Moments, grid_after, update_moments
from fastcore.types cimport ns_t

cdef struct Pair:
    ns_t grid_ns
    double alpha                   # EWMA weight of one grid step
    double keep
    double drift_variance          # of beta and of alpha, a step
    double noise_variance          # of y, relative
    int64_t steps_min              # three time constants
    double own_mid                 # 0.0: none now
    double reference_mid
    double own_first               # 0.0: none yet
    double reference_first
    ns_t next_ns                   # first grid time not yet sampled; -1: none
    int64_t steps
    double beta
    double level                   # the alpha of the formulas
    double p00                     # covariance of (beta, level)
    double p01
    double p11
    double last_spread             # ticks, at the last grid time
    bint has_neighbour
    Moments moments                # of the spread on the grid, ticks
    double covariance              # of neighbours
    double half_life_s


cdef inline double _pair_spread(const Pair* pair) noexcept nogil:
    """Ticks of ours over what the reference says."""
    cdef double y = (pair.own_mid - pair.own_first) / pair.own_first
    cdef double x = (pair.reference_mid - pair.reference_first) / pair.reference_first
    return (y - (pair.beta * x + pair.level)) * pair.own_first


cdef inline void _learn_hedge(Pair* pair) noexcept nogil:
    """One Kalman step (Joseph form: the covariance stays symmetric and positive)."""
    cdef double y = (pair.own_mid - pair.own_first) / pair.own_first
    cdef double x = (pair.reference_mid - pair.reference_first) / pair.reference_first
    cdef double r00 = pair.p00 + pair.drift_variance
    cdef double r01 = pair.p01
    cdef double r11 = pair.p11 + pair.drift_variance
    cdef double g0 = r00 * x + r01
    cdef double g1 = r01 * x + r11
    cdef double q = g0 * x + g1 + pair.noise_variance
    cdef double k0 = g0 / q
    cdef double k1 = g1 / q
    cdef double surprise = y - (pair.beta * x + pair.level)
    cdef double a00 = 1.0 - k0 * x
    cdef double a10 = -(k1 * x)
    cdef double a11 = 1.0 - k1
    cdef double b00 = a00 * r00 - k0 * r01
    cdef double b01 = a00 * r01 - k0 * r11
    cdef double b10 = a10 * r00 + a11 * r01
    cdef double b11 = a10 * r01 + a11 * r11
    pair.beta += k0 * surprise
    pair.level += k1 * surprise
    pair.p00 = b00 * a00 - b01 * k0 + pair.noise_variance * k0 * k0
    pair.p01 = b00 * a10 + b01 * a11 + pair.noise_variance * k0 * k1
    pair.p11 = b10 * a10 + b11 * a11 + pair.noise_variance * k1 * k1


cdef inline void _sample_pair(Pair* pair, bint is_neighbour) noexcept nogil:
    """At a grid time: the spread by the hedge ratio from before, its moments, then learn."""
    cdef double spread = _pair_spread(pair)
    cdef double slope
    if pair.steps == 0:
        pair.moments.mean = spread
    else:
        if is_neighbour:
            pair.covariance = pair.keep * (
                pair.covariance + pair.alpha * (pair.last_spread - pair.moments.mean)
                * (spread - pair.moments.mean))
        update_moments(&pair.moments, spread, pair.alpha, pair.keep)
    pair.last_spread = spread
    pair.steps += 1
    pair.half_life_s = 0.0
    if pair.steps > pair.steps_min and pair.moments.variance > 0.0:
        slope = pair.covariance / pair.moments.variance
        if 0.0 < slope < 1.0:
            pair.half_life_s = -0.6931471805599453 / log(slope) * (<double>pair.grid_ns * 1e-9)
    _learn_hedge(pair)


cdef inline void pair_until(Pair* pair, ns_t now_ns) noexcept nogil:
    """Sample the grid times before now with the mids that stood; call before either changes."""
    cdef int64_t steps
    if pair.own_mid == 0.0 or pair.reference_mid == 0.0:
        pair.next_ns = -1              # a leg is missing: the grid starts anew
        pair.has_neighbour = False
    elif pair.next_ns < 0:
        pair.next_ns = grid_after(now_ns, pair.grid_ns)
    elif now_ns > pair.next_ns:
        steps = (now_ns - pair.next_ns - 1) // pair.grid_ns
        pair.next_ns += (steps + 1) * pair.grid_ns
        _sample_pair(pair, pair.has_neighbour)
        pair.has_neighbour = steps == 0


cdef inline double pair_z(const Pair* pair, double spread) noexcept nogil:
    if pair.steps <= pair.steps_min or pair.moments.variance <= 1e-12:
        return 0.0
    return (spread - pair.moments.mean) / sqrt(pair.moments.variance)
