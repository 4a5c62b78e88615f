# cython: language_level=3
"""Who acts when; see crowd.pyx."""
from libc.stdint cimport int64_t

from engine.exchange.agents.directional cimport Directional
from engine.exchange.agents.floor cimport KERNELS, Floor
from engine.exchange.agents.makers cimport Makers
from engine.exchange.agents.noise cimport Noise
from fastcore.types cimport ns_t


cdef class Crowd:
    cdef readonly Floor floor
    cdef readonly ns_t due_ns                  # of the next act, UTC
    cdef readonly int64_t acts
    cdef Noise _noise
    cdef Makers _makers
    cdef Directional _directional
    cdef double _excited[KERNELS]              # takers per second, above those nobody excited
    cdef double _vol[2]                        # of the logarithm of volatility
    cdef double _vol_age_s
    cdef double _take_mean                     # takers per second, in the long run

    cdef int64_t run(self, ns_t until_ns, int64_t acts_max) noexcept nogil
    cdef void _act(self) noexcept nogil
    cdef double _take_rate(self) noexcept nogil
    cdef double _activity(self) noexcept nogil
    cdef double _react_rate(self) noexcept nogil
    cdef void _schedule(self) noexcept nogil
    cdef void _take(self) noexcept nogil
    cdef void _react(self) noexcept nogil
    cdef void _move_fair(self, double gap_s) noexcept nogil
    cdef void _jump(self, double scale) noexcept nogil
    cdef void _move_volatility(self) noexcept nogil
