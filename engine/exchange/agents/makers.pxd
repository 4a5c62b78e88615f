# cython: language_level=3
"""Market makers with inventories; see makers.pyx."""
from libc.stdint cimport int64_t

from engine.exchange.agents.floor cimport MAKERS_MAX, Floor
from fastcore.types cimport seq_t


cdef class Makers:
    cdef Floor floor
    cdef seq_t _ids[MAKERS_MAX][2]             # 0: does not quote that side

    cdef void requote(self) noexcept nogil
    cdef void close_gap(self) noexcept nogil
    cdef void pull(self, int side) noexcept nogil
    cdef void _requote_side(self, int64_t maker, int side, double px_ticks) noexcept nogil
