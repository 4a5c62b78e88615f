# cython: language_level=3
"""Pre-trade checks with codes, counted at send; see gate.pyx."""
from libc.stdint cimport int64_t

from fastcore.book cimport Book
from fastcore.orders cimport Order, Orders
from fastcore.types cimport ns_t, px_t, qty_t

cdef enum:
    GATE_OK = 0
    GATE_STATE = 1             # a halt is in force
    GATE_BOOK = 2              # book not synced, one-sided or crossed
    GATE_STALE = 3             # book older than its limit
    GATE_PRICE = 4             # not above zero, or outside the collar round the mid
    GATE_QTY = 5               # not above zero, or over the limit
    GATE_POSITION = 6          # everything open filled, the position limit would be broken
    GATE_OPEN_ORDERS = 7
    GATE_RATE = 8              # orders per window
    GATE_SELF_CROSS = 9        # would meet our own order
    GATE_POST_ONLY = 10        # would take
    GATE_CODES = 11
    SENDS_MAX = 1048576        # highest limit of a window: 8 MB of send times, for benches

cdef struct Limits:
    px_t price_collar_ticks
    qty_t qty_lots_max
    qty_t position_lots_max
    int64_t open_orders_max
    int64_t orders_per_10s_max
    int64_t orders_per_min_max
    ns_t book_age_ns_max


cdef class Gate:
    cdef Limits limits
    cdef int64_t counts[GATE_CODES]
    cdef ns_t* sends_ns        # ring of a power of two that holds the greater window's limit
    cdef int64_t sends_mask
    cdef int64_t send_count
    cdef int64_t tail_10s
    cdef int64_t tail_min
    cdef Book book
    cdef Orders orders

    cdef int check(self, int side, px_t px_ticks, qty_t qty_lots, bint is_halted,
                   bint is_synced, ns_t book_ns, ns_t now_ns) noexcept nogil
    cdef void count_send(self, ns_t now_ns) noexcept nogil
    cdef int _check_book(self, int side, px_t px_ticks, bint is_synced, ns_t book_ns,
                         ns_t now_ns) noexcept nogil
    cdef int _check_orders(self, int side, px_t px_ticks, qty_t qty_lots) noexcept nogil
    cdef bint _rate_is_spent(self, ns_t now_ns) noexcept nogil
