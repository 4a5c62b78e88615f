# cython: language_level=3
"""Loops with no Python between two calls, for whoever measures; see measure.pyx."""
from libc.stdint cimport int64_t

from fastcore.book cimport Book
from fastcore.latency cimport tick_fn
from fastcore.types cimport DepthEvent, Level

cdef struct StreamMessage:
    int64_t first              # its bids, then its asks, from this level on
    int64_t bid_count
    int64_t ask_count


cdef class BookStream:
    cdef readonly int64_t message_count
    cdef readonly int64_t level_count
    cdef Level* _levels
    cdef StreamMessage* _messages
    cdef tick_fn _tick                         # NULL: off
    cdef double _ns_per_tick
    cdef object _capsule

    cdef DepthEvent _event(self, int64_t index) noexcept nogil
    cdef int64_t _run(self, Book book, int64_t first, int64_t last) noexcept nogil
    cdef int64_t _run_levels(self, Book book, int64_t first, int64_t last) noexcept nogil
