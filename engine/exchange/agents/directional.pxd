# cython: language_level=3
"""Agents with an opinion: informed and momentum traders; see directional.pyx."""
from engine.exchange.agents.floor cimport Floor
from fastcore.types cimport ns_t


cdef class Directional:
    cdef Floor floor
    cdef double _fast_ticks
    cdef double _slow_ticks
    cdef ns_t _seen_ns

    cdef void correct(self, int side) noexcept nogil
    cdef void look(self) noexcept nogil
    cdef bint follow(self) noexcept nogil
    cdef void pause(self, ns_t for_ns) noexcept nogil
    cdef void rescale(self, double factor) noexcept nogil
