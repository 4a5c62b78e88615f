# cython: language_level=3
"""The core between its three sockets; see hotsocket.pyx.

With hotconn.pyx the only compiled code outside fastcore. It reads clocks and calls recvmsg and
send; it decides nothing but whether a message is still in time to be sent.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from engine.gateway.hotconn cimport HotConn
from fastcore.core cimport Core
from fastcore.types cimport ns_t
from fastcore.ws cimport WsFrame

cdef enum:
    TIMER_NS = 10000000        # the core's due timer
    STEP_NS = 1000000          # wall minus monotonic moved this much between two looks: a step
    MARKET_BYTES = 4194304     # receive buffer: the longest frame, and a burst behind one stall
    OTHER_BYTES = 1048576      # the same for USER and TRADE, whose frames are ~1 KB

cdef enum:                     # cold work, the bits that HotLoop.poll returns
    COLD_CLOSED = 1            # a socket closed; the core knows already
    COLD_SNAPSHOT = 2          # core.snapshot_wanted became true
    COLD_STATE = 4             # the core's state word changed
    COLD_FLAT = 8              # halted, and the last working order is gone


cdef class HotLoop:
    cdef readonly Core core
    cdef readonly HotConn market, trade, user
    cdef int cold                      # COLD_* not yet returned
    cdef int others_every              # USER and TRADE are read once in this many tries
    cdef bint was_snapshot_wanted
    cdef bint was_working
    cdef uint32_t last_bits
    cdef ns_t timer_due_ns
    cdef ns_t wall_minus_monotonic_ns
    cdef readonly int64_t polls, steps

    cdef void _round(self, bint with_others) noexcept nogil
    cdef void _poll_socket(self, HotConn hot, ns_t now_ns) noexcept nogil
    cdef void _deliver(self, HotConn hot, int64_t wall_ns, ns_t bound_ns) noexcept nogil
    cdef void _on_message(self, HotConn hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil
    cdef void _on_rare(self, HotConn hot, const WsFrame* frame, ns_t recv_ts_ns) noexcept nogil
    cdef void _on_fragment(self, HotConn hot, const WsFrame* frame,
                           ns_t recv_ts_ns) noexcept nogil
    cdef void _on_timer(self, ns_t now_ns) noexcept nogil
    cdef void _send_outs(self) noexcept nogil
    cdef bint _may_join(self, int first, int index, ns_t begin_ns) noexcept nogil
    cdef void _send_run(self, int first, int last, int64_t size, int* outcomes) noexcept nogil
    cdef void _settle(self) noexcept nogil
    cdef void _tell_failed(self, HotConn hot) noexcept nogil
    cdef void _map_clock(self) noexcept nogil
    cdef int _after(self, int code) noexcept
    cdef HotConn _hot(self, int conn)
