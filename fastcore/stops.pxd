# cython: language_level=3
"""Trade-level stop, target and time exit, on the tick that breaches; see stops.pyx."""
from libc.stdint cimport int32_t, int64_t

from fastcore.types cimport ns_t, px_t, qty_t

cdef enum:
    STOP_NONE = 0
    STOP_LOSS = 1
    STOP_TARGET = 2
    STOP_TIME = 3
    STOP_REASONS = 4

cdef struct StopExit:              # the order that ends the trade; flags say how it is placed
    int32_t side
    int32_t flags                  # ORDER_IOC | ORDER_REDUCE_ONLY
    px_t px_ticks                  # limit
    qty_t qty_lots                 # whole position; 0: nothing to send now


cdef class Stops:
    cdef:
        px_t _stop_ticks           # 0: off, as the two below
        px_t _target_ticks
        ns_t _hold_ns_max
        px_t _slippage_ticks
        readonly int reason        # STOP_* that the open trade is being ended for
        readonly bint is_exit_open     # an exit was sent, its outcome is not known yet
        ns_t _entry_ns             # the trade that `reason` is of
        bint _is_long
        int64_t counts[STOP_REASONS]   # exits sent, by reason

    cdef int check(self, qty_t position_lots, double entry_px_ticks, ns_t entry_ns, px_t bid_px,
                   px_t ask_px, ns_t now_ns, StopExit* out) noexcept nogil
    cdef void on_exit_sent(self) noexcept nogil
    cdef void on_exit_done(self) noexcept nogil
    cdef int _breach(self, double gain_ticks, ns_t held_ns) noexcept nogil
