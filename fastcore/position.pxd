# cython: language_level=3
"""Position, cash, fees and exact profit and loss; see position.pyx."""
from libc.stdint cimport int64_t

from fastcore.types cimport OrderEvent, ns_t, px_t, qty_t


cdef class Position:
    cdef qty_t position_lots           # signed
    cdef int64_t cash_ticks_lots
    cdef int64_t cost_ticks_lots       # what the open position was bought for, signed as it is
    cdef int64_t realised_ticks_lots   # cash + cost, before fees
    cdef double entry_px_ticks         # average; 0.0: flat
    cdef ns_t entry_ns                 # when the position last left zero or changed sign; 0: flat
    cdef int64_t fees_e8               # 1e-8 of the quote asset
    cdef int64_t fees_base_e8          # 1e-8 of the base asset
    cdef int64_t fees_other_e8         # 1e-8 of whatever else (BNB): a sum over assets, no money
    cdef int64_t fees_other_count      # fills whose fee went there
    cdef int64_t spread_half_ticks_lots
    cdef int64_t fill_count

    cdef void book(self, const OrderEvent* event, px_t bid_px_ticks, px_t ask_px_ticks,
                   ns_t now_ns) noexcept nogil
    # Take over a position that stands at the venue, as if bought at the mid of now.
    cdef void adopt(self, qty_t position_lots, px_t bid_px_ticks, px_t ask_px_ticks,
                    ns_t now_ns) noexcept nogil
    # Against a mark of mark_half_ticks / 2 (bid + ask: the mid): twice, to stay an integer.
    cdef int64_t unrealised_half_ticks_lots(self, int64_t mark_half_ticks) noexcept nogil
    cdef void _trade(self, qty_t signed_lots, px_t px_ticks, ns_t now_ns) noexcept nogil
