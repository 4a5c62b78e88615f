# cython: language_level=3
"""The cores of a hot loop, what they send, and what Python is to hear of them; see hotsend.pyx."""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t

from engine.gateway.hotconn cimport HotConn, Noted
from engine.gateway.hotrole cimport Role
from fastcore.core cimport Core
from fastcore.latency cimport Histogram
from fastcore.types cimport ns_t

cdef enum:                     # bits of Seat.cold
    COLD_SNAPSHOT = 1          # the core began to want a depth snapshot
    COLD_STATE = 2             # its state word changed
    COLD_FLAT = 4              # halted, and the last working order is gone

cdef struct Seat:              # a core and what the loop remembers of it
    PyObject* core             # borrowed of _cores, as the roles are of _roles
    PyObject* trade            # NULL: it has no such connection
    PyObject* market
    PyObject* user
    ns_t timer_due_ns
    uint32_t last_bits
    int cold                   # COLD_* not yet taken
    bint was_snapshot_wanted
    bint was_working


cdef class HotSend:
    cdef Seat* seats
    cdef int core_count, role_count
    cdef list _cores, _roles
    cdef PyObject** role_at            # borrowed of _roles
    cdef Noted noted                   # by the sockets
    cdef bint has_cold
    cdef readonly Histogram tick_to_order      # of all cores: a core's own says which

    cdef void _send_outs(self, int number) noexcept nogil
    cdef void _send_each(self, Core core, PyObject* trade) noexcept nogil
    cdef void _tell_sent(self, Core core, int first, int last, int* outcomes,
                         ns_t begin_ns) noexcept nogil
    cdef bint _may_join(self, Core core, int first, int index, ns_t begin_ns) noexcept nogil
    cdef void _send_run(self, Core core, HotConn trade, int first, int last, int64_t size,
                        int* outcomes) noexcept nogil
    cdef void _look(self, int number) noexcept nogil
    cdef void _compare(self, Seat* seat, Core core) noexcept nogil
    cdef void _after_input(self, int number) noexcept nogil
    cdef void _settle(self) noexcept nogil
    cdef void _settle_role(self, Role role, int kind) noexcept nogil
    cdef void _tell_failed(self, Role role, HotConn hot) noexcept nogil
    cdef void _tell_conn(self, Role role, bint is_up) noexcept nogil
    cdef void _forget(self, HotConn hot) noexcept nogil
    cdef int _after(self, int number, int code) noexcept
    cdef Core _core(self, number)
    cdef PyObject** _role_of(self, Seat* seat, int kind) noexcept nogil


cdef void set_virtual_time_of_sends(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil
