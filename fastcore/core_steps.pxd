# cython: language_level=3
"""What one input does to a core's rooms; see core_steps.pyx."""
from libc.stdint cimport uint32_t

from fastcore.core_send cimport CoreSend
from fastcore.types cimport Event, ns_t


cdef class CoreSteps(CoreSend):
    cdef void _dispatch(self, const Event* event, int conn, ns_t now_ns) noexcept nogil
    cdef void _on_market(self, const Event* event, ns_t now_ns) noexcept nogil
    cdef bint _is_known_trade(self, const Event* event) noexcept nogil
    cdef void _on_trade(self, const Event* event, ns_t now_ns) noexcept nogil
    cdef void _on_session(self, const Event* event, int conn, ns_t now_ns) noexcept nogil
    cdef void _after_book(self, ns_t now_ns) noexcept nogil
    cdef void _on_usable(self, ns_t now_ns) noexcept nogil
    cdef void _on_order(self, const Event* event, ns_t now_ns) noexcept nogil
    cdef void _on_reply(self, const Event* event, ns_t now_ns) noexcept nogil
    cdef void _quote(self, ns_t now_ns) noexcept nogil
    cdef void _want(self, ns_t now_ns) noexcept nogil
