# cython: language_level=3
"""Prepared orders into a LimitBook, for whoever measures; see order_stream.pyx."""
from libc.stdint cimport int32_t, int64_t

from fastcore.latency cimport tick_fn
from fastcore.limit_book cimport LimitBook
from fastcore.types cimport px_t, qty_t, seq_t

cdef enum:                     # what a row of the stream asks for
    ASK_PLACE = 0              # match, rest what is left
    ASK_TAKE = 1               # match, at any price when that is 0; nothing rests
    ASK_CANCEL = 2
    ASK_SHRINK = 3
    ASK_COUNT = 4

cdef struct StreamOrder:
    seq_t order_id
    px_t px_ticks
    qty_t qty_lots
    int32_t side
    int32_t verb


cdef class OrderStream:
    cdef readonly int64_t count
    cdef StreamOrder* _orders
    cdef tick_fn _tick                         # NULL: off
    cdef double _ns_per_tick
    cdef object _capsule

    cdef int64_t _apply(self, LimitBook book, int64_t index) noexcept nogil
    cdef int64_t _run(self, LimitBook book, int64_t first, int64_t last) noexcept nogil
