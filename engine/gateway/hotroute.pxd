# cython: language_level=3
"""Which cores a frame is for; see hotroute.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum:
    ROUTE_ALL = -1             # names no instrument: every core of the role
    SYMBOL_BYTES_MAX = 40      # the longest of a venue's own is under 30
    NUMBER_MAX = 4095          # of a core: three hexadecimal digits

cdef struct Name:
    int32_t number             # of the core; -1: a free place
    int32_t size
    uint8_t text[SYMBOL_BYTES_MAX]     # upper case


cdef class Router:
    cdef Name* names           # open addressing; a symbol of two cores has two places
    cdef int64_t mask
    cdef int64_t* seen         # by core number: the frame that last named it; -1: not of this role
    cdef int number_limit
    cdef int64_t frame
    cdef int32_t* found        # of the last route()
    cdef int count

    cdef int route(self, int conn, const uint8_t* text, int64_t size) noexcept nogil
    cdef int _by_id(self, const uint8_t* text, int64_t size) noexcept nogil
    cdef void _add(self, const uint8_t* text, int64_t size) noexcept nogil
