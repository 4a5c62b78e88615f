# cython: language_level=3
"""What arrives on a socket, and whose it is; see hotread.pyx."""
from libc.stdint cimport int64_t, uint8_t

from engine.gateway.hotconn cimport HotConn
from engine.gateway.hotrole cimport Role
from engine.gateway.hotsend cimport HotSend
from fastcore.types cimport ns_t
from fastcore.ws cimport WsFrame

cdef enum:
    CIPHER_BYTES = 262144      # of one read of a TLS connection
    STEP_NS = 1000000          # wall minus monotonic moved this much between two looks: a step


cdef class HotRead(HotSend):
    cdef uint8_t* cipher               # a TLS connection's bytes as they came
    cdef ns_t wall_minus_monotonic_ns
    cdef ns_t stepped_ns               # when the wall clock was last found stepped
    cdef readonly int64_t steps
    cdef readonly int64_t busy_ns      # in reads that brought something, in timers, and away

    cdef void _poll_socket(self, HotConn hot, ns_t now_ns) noexcept nogil
    cdef void _open_records(self, HotConn hot, int64_t size, int64_t wall_ns,
                            ns_t bound_ns) noexcept nogil
    cdef void _deliver(self, HotConn hot, int64_t wall_ns, ns_t bound_ns) noexcept nogil
    cdef void _on_message(self, HotConn hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil
    cdef void _spread(self, Role role, const uint8_t* payload, int64_t size,
                      ns_t recv_ts_ns) noexcept nogil
    cdef void _give(self, int number, int conn, const uint8_t* payload, int64_t size,
                    ns_t recv_ts_ns) noexcept nogil
    cdef void _on_rare(self, HotConn hot, const WsFrame* frame, ns_t recv_ts_ns) noexcept nogil
    cdef void _on_fragment(self, HotConn hot, const WsFrame* frame,
                           ns_t recv_ts_ns) noexcept nogil
    cdef void _map_clock(self) noexcept nogil


cdef void set_virtual_time_of_reads(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil
