# cython: language_level=3
"""Signals of the touch, O(1) an update, exactly reproducible.

x is a touch update, dt the time since the one before, all quantities in lots, prices in ticks.

queue_imbalance   (qb - qa) / (qb + qa)                              Gould-Bonart 2015
microprice        Pb + (Pa - Pb) * qb / (qb + qa), the weighted mid; it stays within the touch
ofi               S <- S * exp(-dt / tau) + e_n, with e_n the best-level order-flow event of
                  Cont-Kukanov-Stoikov 2014 eq. (10):
                  qb_n 1{Pb_n >= Pb_n-1} - qb_n-1 1{Pb_n <= Pb_n-1}
                  - qa_n 1{Pa_n <= Pa_n-1} + qa_n-1 1{Pa_n >= Pa_n-1}
ofi_norm          ofi / D clipped to -3 .. 3, where D is the mean of the two touch queues, averaged
                  over time with the same tau: D <- D + (1 - exp(-dt / tau)) * (d_prev - D), d_prev
                  having stood for dt. In their stylised book a price moves OFI / (2 D) ticks, so
                  ofi_norm / 2 reads as ticks.
ewma_mean, z      a = 1 - exp(-dt / tau); d = x - m; z = d / sqrt(v) from the m, v of *before*;
                  m <- m + a d; v <- (1 - a)(v + a d^2). x is the microprice where it is computed,
                  else the mid. z is 0 while elapsed < 3 tau or v is nothing.

A touch that is one-sided, crossed or locked resets everything, as does reset() at a resync: a flow
across a hole in the data is not a flow.
"""
cimport cython
from libc.math cimport exp, expm1, sqrt
from libc.string cimport memset

from fastcore.types cimport ns_t, px_t, qty_t

SIGNALS = {                           # names for Python; a mask is the sum of some
    "ofi": SIG_OFI, "queue_imbalance": SIG_QUEUE_IMBALANCE,
    "microprice": SIG_MICROPRICE, "ewma_z": SIG_EWMA_Z,
}

cdef double OFI_NORM_MAX = 3.0
cdef double WARM_UP_TAUS = 3.0        # weight of the first value is then under 5 %
cdef double VARIANCE_MIN = 1e-12      # ticks^2: a price that never moved


@cython.final
cdef class Signals:
    """Signals(mask, ofi_tau_ns, z_tau_ns). Only what `mask` names (SIG_*) is computed; mid and
    spread always are."""

    def __cinit__(self, int mask, double ofi_tau_ns, double z_tau_ns):
        if mask < 0 or mask > SIG_ALL:
            raise ValueError(f"mask must be in 0 .. {SIG_ALL}, was {mask}")
        for name, tau_ns in (("ofi_tau_ns", ofi_tau_ns), ("z_tau_ns", z_tau_ns)):
            if not 1.0 <= tau_ns <= 1e18:
                raise ValueError(f"{name} must be in 1 .. 1e18, was {tau_ns}")
        self.mask = mask
        self._ofi_tau_ns = ofi_tau_ns
        self._z_tau_ns = z_tau_ns
        self.reset()

    cpdef void on_touch(self, px_t bid_px_ticks, qty_t bid_qty_lots, px_t ask_px_ticks,
                        qty_t ask_qty_lots, ns_t now_ns) noexcept nogil:
        """Take one touch. Time that runs backwards counts as no time."""
        cdef double imbalance, dt_ns
        if (bid_px_ticks <= 0 or bid_qty_lots <= 0 or ask_qty_lots <= 0
                or bid_px_ticks >= ask_px_ticks):
            self.reset()
            return
        if not self.is_valid:
            self._first_ns = self._last_ns = now_ns
        dt_ns = <double>(now_ns - self._last_ns)
        if dt_ns < 0.0:
            dt_ns = 0.0
        self.values.mid_ticks = 0.5 * <double>(bid_px_ticks + ask_px_ticks)
        self.values.spread_ticks = <double>(ask_px_ticks - bid_px_ticks)
        if self.mask & SIG_QUEUE_IMBALANCE:
            self.values.queue_imbalance = (
                <double>(bid_qty_lots - ask_qty_lots) / <double>(bid_qty_lots + ask_qty_lots))
        if self.mask & SIG_MICROPRICE:
            imbalance = <double>bid_qty_lots / <double>(bid_qty_lots + ask_qty_lots)
            self.values.microprice_ticks = (
                <double>bid_px_ticks + self.values.spread_ticks * imbalance)
        if self.mask & SIG_OFI:
            self._update_ofi(bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots, dt_ns)
        if self.mask & SIG_EWMA_Z:
            self._update_z(
                self.values.microprice_ticks if self.mask & SIG_MICROPRICE
                else self.values.mid_ticks, dt_ns, now_ns)
        self._bid_px_ticks = bid_px_ticks
        self._bid_qty_lots = bid_qty_lots
        self._ask_px_ticks = ask_px_ticks
        self._ask_qty_lots = ask_qty_lots
        if now_ns > self._last_ns:
            self._last_ns = now_ns
        self.is_valid = True

    cpdef void reset(self) noexcept nogil:
        memset(&self.values, 0, sizeof(SignalValues))
        self.is_valid = False
        self._bid_px_ticks = self._ask_px_ticks = 0
        self._bid_qty_lots = self._ask_qty_lots = 0
        self._first_ns = self._last_ns = 0
        self._depth_lots = self._variance = 0.0

    cdef void _update_ofi(self, px_t bid_px, qty_t bid_qty, px_t ask_px, qty_t ask_qty,
                          double dt_ns) noexcept nogil:
        cdef qty_t flow = 0
        cdef double depth, norm
        if not self.is_valid:
            self._depth_lots = 0.5 * <double>(bid_qty + ask_qty)
            return
        if bid_px >= self._bid_px_ticks:
            flow += bid_qty
        if bid_px <= self._bid_px_ticks:
            flow -= self._bid_qty_lots
        if ask_px <= self._ask_px_ticks:
            flow -= ask_qty
        if ask_px >= self._ask_px_ticks:
            flow += self._ask_qty_lots
        if dt_ns > 0.0:
            depth = 0.5 * <double>(self._bid_qty_lots + self._ask_qty_lots)
            self.values.ofi *= exp(-dt_ns / self._ofi_tau_ns)
            self._depth_lots += -expm1(-dt_ns / self._ofi_tau_ns) * (depth - self._depth_lots)
        self.values.ofi += <double>flow
        norm = self.values.ofi / self._depth_lots
        self.values.ofi_norm = min(max(norm, -OFI_NORM_MAX), OFI_NORM_MAX)

    cdef void _update_z(self, double x, double dt_ns, ns_t now_ns) noexcept nogil:
        cdef double alpha, distance
        if not self.is_valid:
            self.values.ewma_mean_ticks = x
            return
        distance = x - self.values.ewma_mean_ticks
        self.values.ewma_z = 0.0
        if (self._variance > VARIANCE_MIN
                and <double>(now_ns - self._first_ns) >= WARM_UP_TAUS * self._z_tau_ns):
            self.values.ewma_z = distance / sqrt(self._variance)
        if dt_ns > 0.0:
            alpha = -expm1(-dt_ns / self._z_tau_ns)
            self.values.ewma_mean_ticks += alpha * distance
            self._variance = (1.0 - alpha) * (self._variance + alpha * distance * distance)

    # -- COLD ------------------------------------------------------------------------------

    def to_dict(self):
        """Every value by its name in SignalValues."""
        return dict(self.values)
