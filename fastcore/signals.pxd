# cython: language_level=3
"""O(1) signals on the touch; formulas in signals.pyx."""
from fastcore.types cimport ns_t, px_t, qty_t

cdef enum:
    SIG_OFI = 1
    SIG_QUEUE_IMBALANCE = 2
    SIG_MICROPRICE = 4
    SIG_EWMA_Z = 8
    SIG_ALL = 15

cdef struct SignalValues:          # 0.0 where not in the mask, or not warm
    double mid_ticks
    double microprice_ticks        # weighted mid
    double queue_imbalance         # (qb - qa) / (qb + qa), -1 .. 1
    double ofi                     # lots, EWMA-decayed sum
    double ofi_norm                # ofi / mean touch queue, clipped to -3 .. 3
    double ewma_mean_ticks
    double ewma_z                  # prior z-score of microprice (where computed) or mid
    double spread_ticks

cdef class Signals:
    cdef:
        SignalValues values
        readonly int mask                  # SIG_*
        readonly bint is_valid             # the last touch was two-sided and not crossed
        double _ofi_tau_ns
        double _z_tau_ns
        px_t _bid_px_ticks
        px_t _ask_px_ticks
        qty_t _bid_qty_lots
        qty_t _ask_qty_lots
        ns_t _last_ns                      # time of the touch before
        ns_t _first_ns                     # time of the first touch since reset: warm-up
        double _depth_lots                 # time-weighted EWMA of the mean touch queue
        double _variance                   # EWMA variance, ticks^2

    cpdef void on_touch(self, px_t bid_px_ticks, qty_t bid_qty_lots, px_t ask_px_ticks,
                        qty_t ask_qty_lots, ns_t now_ns) noexcept nogil
    cpdef void reset(self) noexcept nogil
    cdef void _update_ofi(self, px_t bid_px, qty_t bid_qty, px_t ask_px, qty_t ask_qty,
                          double dt_ns) noexcept nogil
    cdef void _update_z(self, double x, double dt_ns, ns_t now_ns) noexcept nogil
