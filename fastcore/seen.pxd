# cython: language_level=3
"""Which keys came before, of the last so many; see seen.pyx."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastcore.types cimport ns_t, seq_t


cdef class Seen:
    cdef uint64_t* _ring       # the keys, in the order they came
    cdef int32_t* _table       # 1 + place in the ring; 0: free. Twice as long as the ring
    cdef int64_t _size
    cdef uint64_t _mask        # of the table
    cdef readonly int64_t count        # keys ever taken

    # True: `key` is new, and is remembered; the oldest is forgotten for it. O(1).
    cdef bint take(self, uint64_t key) noexcept nogil
    cdef bint has(self, uint64_t key) noexcept nogil       # and forgets nothing
    cdef uint64_t _home(self, uint64_t key) noexcept nogil
    cdef void _forget(self, uint64_t key) noexcept nogil


cdef class Booked:
    cdef Seen _seen
    cdef ns_t* _exch_ts_ns     # of each trade, by its place in the ring
    cdef readonly ns_t forgotten_ts_ns     # the newest of those forgotten; 0: none is

    # True: not booked before, and it is now.
    cdef bint take(self, seq_t trade_id, int side, ns_t exch_ts_ns) noexcept nogil
    cdef bint has(self, seq_t trade_id, int side) noexcept nogil
    # So old that it may have been booked and forgotten.
    cdef bint is_beyond(self, ns_t exch_ts_ns) noexcept nogil
