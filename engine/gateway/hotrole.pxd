# cython: language_level=3
"""What a group of connections is for; see hotrole.pyx."""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t

from engine.gateway.hotconn cimport HotConn, Noted
from engine.gateway.hotroute cimport Router

cdef enum:
    SLOTS_MAX = 4
    MARKET_BYTES = 4194304     # receive buffer: the longest frame, and a burst behind one stall
    OTHER_BYTES = 1048576      # the same for USER and TRADE, whose frames are ~1 KB
    BUFFER_BYTES_MIN = 4096


cdef class Role:
    cdef readonly int kind             # CONN_*
    cdef readonly int index            # in HotLoop.roles
    cdef readonly int slots
    cdef int count                     # of cores
    cdef int32_t* cores                # their numbers
    cdef PyObject* conn_at[SLOTS_MAX]  # borrowed of _conns
    cdef list _conns
    cdef Router router                 # of several cores
    cdef int live                      # attached slots whose end the cores have not heard of
    cdef int sender                    # the youngest live slot; -1: none
    cdef int64_t attached              # slots, ever
    cdef readonly int64_t strays       # frames that name none of our instruments
    cdef readonly int64_t broadcasts   # ... that name none at all: they went to all

    cdef HotConn slot(self, int slot)
    cdef void choose_sender(self) noexcept nogil
    cdef int64_t _rank(self, HotConn hot) noexcept nogil
