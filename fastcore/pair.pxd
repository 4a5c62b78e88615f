# cython: language_level=3
"""Two legs in one process; see pair.pyx."""
from fastcore.core cimport Core
from fastcore.core_state cimport Reference
from fastcore.types cimport ns_t, qty_t

cdef enum:
    PAIR_SETTLED = 0
    PAIR_QUOTE_OUTS = 1        # the quote core has messages to send
    PAIR_HEDGE_OUTS = 2        # the hedge core has


cdef class Pair:
    cdef readonly Core quote
    cdef readonly Core hedge
    cdef Reference told        # what the quote core was told last
    cdef Reference seen
    cdef ns_t told_ns
    cdef ns_t hedge_ns         # when a hedge was passed on last
    cdef ns_t tell_every_ns
    cdef bint is_tell_due      # a hedge was passed on, and its fate not told yet

    cpdef int settle(self, ns_t now_ns) noexcept nogil
    cdef bint _may_hedge(self, ns_t now_ns) noexcept nogil
    cdef void _look(self, ns_t now_ns) noexcept nogil
    cdef bint _is_tell_due(self, ns_t now_ns) noexcept nogil
