# cython: language_level=3
"""Traders without information; see noise.pyx."""
from libc.stdint cimport int64_t

from engine.exchange.agents.floor cimport Floor


cdef class Noise:
    cdef Floor floor
    cdef int _side
    cdef int64_t _run_left                     # takers of this parent order still to come

    cdef void take(self) noexcept nogil
    cdef void quote_or_cancel(self) noexcept nogil
    cdef void _quote(self, int side) noexcept nogil
    cdef void _rest(self, int side, double px_ticks, double size) noexcept nogil
    cdef void _cancel_near(self) noexcept nogil
    cdef void _cancel_any(self) noexcept nogil
