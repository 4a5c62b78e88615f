# cython: language_level=3
"""Agents with an opinion.

The informed know the fair value and take every stale quote up to it with one order whose rest
becomes the new touch. Momentum traders see only prices: they compare a fast average with a slow
one and trade with the difference.
"""
cimport cython
from libc.math cimport ceil, exp, floor as round_down, sqrt

from engine.exchange.agents.floor cimport INFORMED, MOMENTUM, Floor
from fastcore.types cimport SIDE_BUY, SIDE_SELL, ns_t, px_t, qty_t

cdef double FAST_S, SLOW_S
FAST_S, SLOW_S = 2.0, 15.0
cdef double TREND_SIGMAS = 0.6         # of the volatility over SLOW_S: what counts as a trend


@cython.final
cdef class Directional:
    def __cinit__(self, Floor floor not None):
        self.floor = floor
        self._fast_ticks = self._slow_ticks = floor.fair_ticks

    cdef void correct(self, int side) noexcept nogil:
        """Take the stale quotes of `side` as far as fair value."""
        cdef int taker = side ^ 1
        cdef px_t px_ticks = <px_t>(round_down(self.floor.fair_ticks) if taker == SIDE_BUY
                                    else ceil(self.floor.fair_ticks))
        cdef qty_t lots = self.floor.book.fillable_lots(
            taker, px_ticks, self.floor.settings.lots_max)
        if px_ticks > 0:
            lots += self.floor.lots(0.5 * self.floor.settings.maker_lots)
            self.floor.take(taker, px_ticks, lots, INFORMED, True)

    cdef void look(self) noexcept nogil:
        """Take the mid into both averages."""
        cdef px_t bid = self.floor.book.best_px(SIDE_BUY), ask = self.floor.book.best_px(SIDE_SELL)
        cdef double mid = 0.5 * (bid + ask), gap_s = 1e-9 * (self.floor.now_ns - self._seen_ns)
        self._seen_ns = self.floor.now_ns
        if bid == 0 or ask == 0:
            return
        self._fast_ticks += (1.0 - exp(-gap_s / FAST_S)) * (mid - self._fast_ticks)
        self._slow_ticks += (1.0 - exp(-gap_s / SLOW_S)) * (mid - self._slow_ticks)

    cdef bint follow(self) noexcept nogil:
        """Trade with the trend. False: there is none."""
        cdef double trend = self._fast_ticks - self._slow_ticks
        if abs(trend) < TREND_SIGMAS * self.floor.settings.sigma_ticks * sqrt(SLOW_S):
            return False
        self.floor.take(SIDE_BUY if trend > 0.0 else SIDE_SELL, 0,
                   self.floor.lots(self.floor.settings.taker_lots), MOMENTUM, False)
        return True

    cdef void pause(self, ns_t for_ns) noexcept nogil:
        self._seen_ns += for_ns

    cdef void rescale(self, double factor) noexcept nogil:
        self._fast_ticks *= factor
        self._slow_ticks *= factor
