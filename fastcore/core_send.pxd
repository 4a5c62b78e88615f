# cython: language_level=3
"""How a core acts; see core_send.pyx."""
from libc.stdint cimport int64_t

from fastcore.core_state cimport CoreState
from fastcore.diff cimport Action
from fastcore.stops cimport StopExit
from fastcore.types cimport ns_t, px_t, qty_t, seq_t


cdef class CoreSend(CoreState):
    cdef void _act(self, ns_t now_ns) noexcept nogil
    cdef int _check(self, const Action* action, seq_t replaces, qty_t filled_lots,
                    ns_t now_ns) noexcept nogil
    cdef void _place(self, const Action* action, ns_t now_ns) noexcept nogil
    cdef void _modify(self, const Action* action, ns_t now_ns) noexcept nogil
    cdef void _cancel(self, const Action* action, ns_t now_ns) noexcept nogil
    cdef void _query(self, const Action* action, ns_t now_ns) noexcept nogil
    cdef bint _emit(self, int verb, seq_t intent_id, int64_t size, ns_t deadline_ns,
                    ns_t now_ns) noexcept nogil
    cdef void _want_take(self, ns_t now_ns) noexcept nogil
    cdef void _keep_reducing(self) noexcept nogil
    cdef void _want_hedge(self) noexcept nogil
    cdef bint _check_stops(self, StopExit* exit, ns_t now_ns) noexcept nogil
    cdef px_t _short_of_own(self, int side, px_t px_ticks) noexcept nogil
    cdef bint _is_exit_working(self) noexcept nogil
