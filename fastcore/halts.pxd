# cython: language_level=3
"""The state word: reasons in force, as bits; see halts.pyx."""
from libc.stdint cimport int64_t, uint32_t

from fastcore.types cimport ns_t


cdef class Halts:
    cdef uint32_t bits             # read before every send; 0: RUNNING
    cdef ns_t feed_stale_after_ns
    cdef ns_t feed_clear_after_ns
    cdef ns_t rate_limit_until_ns
    cdef ns_t _last_market_ns
    cdef ns_t _fresh_since_ns
    cdef int64_t nonsense_count
    cdef int64_t nonsense_max

    cdef void set(self, uint32_t reason) noexcept nogil
    cdef void clear(self, uint32_t reason) noexcept nogil
    cdef void on_market(self, ns_t now_ns) noexcept nogil
    cdef void on_timer(self, ns_t now_ns) noexcept nogil
    cdef void on_rate_limit(self, ns_t until_ns) noexcept nogil
    cdef void on_nonsense(self) noexcept nogil
