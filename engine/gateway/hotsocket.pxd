# cython: language_level=3
"""The compiled edge: sockets in, core, sockets out, with no Python object per frame.

The one compiled file outside fastcore. It reads clocks and calls recvmsg/send; it decides nothing
but whether a message is still in time to be sent.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastcore.core cimport Core
from fastcore.types cimport ns_t
from fastcore.ws cimport WsFrame

cdef enum:
    MARKET_BYTES = 4194304     # receive buffer: the longest frame, and a burst behind one stall
    OTHER_BYTES = 1048576      # the same for USER and TRADE, whose frames are ~1 KB
    QUEUE_BYTES = 262144       # unsent bytes kept for one socket: 4 times what one input may cause
    FRAGMENT_BYTES = 4194304   # longest message that may come in fragments
    TIMER_NS = 10000000        # the core's due timer
    STAMP_AHEAD_NS = 50000     # a kernel stamp further in the future than this is of another clock
    STAMP_BEHIND_NS = 50000000 # ... or further before the last look at an empty socket
    STEP_NS = 1000000          # wall minus monotonic moved this much between two looks: a step

cdef enum:                     # why a socket is closed
    CLOSE_NONE = 0
    CLOSE_EOF = 1
    CLOSE_ERROR = 2            # errno in close_detail
    CLOSE_FRAME = 3            # the peer's code in close_detail
    CLOSE_MALFORMED = 4        # not WebSocket framing, or not what we negotiated
    CLOSE_OVERSIZE = 5         # a frame or message longer than our buffers
    CLOSE_QUEUE = 6            # the peer does not read: send queue full
    CLOSE_BINARY = 7           # no venue of ours sends binary frames
    CLOSE_LOCAL = 8            # we closed it

cdef enum:                     # cold work, the bits that HotLoop.poll returns
    COLD_CLOSED = 1            # a socket closed; the core knows already
    COLD_SNAPSHOT = 2          # core.snapshot_wanted became true
    COLD_STATE = 4             # the core's state word changed
    COLD_FLAT = 8              # halted, and the last working order is gone


cdef class HotSocket:
    cdef int fd                        # -1: none
    cdef int conn
    cdef int close_reason              # CLOSE_*; not CLOSE_NONE: no more reads or sends
    cdef bint is_told                  # ... and the core has been told
    cdef bint is_fragmented            # inside a fragmented message
    cdef bint is_stamp_suspect         # the wall clock stepped: no stamps until seen empty
    cdef uint8_t* buffer
    cdef int64_t buffer_size, start, end
    cdef ns_t drained_ns               # start of the last read that left the socket empty
    cdef uint8_t* fragment
    cdef int64_t fragment_size
    cdef uint8_t* queue
    cdef int64_t queue_start, queue_end
    cdef uint32_t mask_state
    cdef object _socket
    cdef readonly int close_detail
    cdef readonly int64_t reads, bytes_received, messages, pings, pongs, fragmented
    cdef readonly int64_t bounded      # messages charged from the empty poll, not a kernel stamp
    cdef readonly int64_t stamps_discarded

    cdef bint is_live(self) noexcept nogil
    cdef void fail(self, int reason, int detail) noexcept nogil
    cdef int64_t send_bytes(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef bint flush(self) noexcept nogil
    cdef bint enqueue(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef void send_control(self, int opcode, const uint8_t* payload,
                           int64_t size) noexcept nogil
    cdef void compact(self) noexcept nogil
    cdef ns_t stamp_of(self, int64_t wall_ns, ns_t wall_minus_monotonic_ns, ns_t bound_ns,
                       ns_t now_ns) noexcept nogil


cdef class HotLoop:
    cdef readonly Core core
    cdef readonly HotSocket market, trade, user
    cdef int cold                      # COLD_* not yet returned
    cdef int others_every              # USER and TRADE are read once in this many tries
    cdef bint was_snapshot_wanted
    cdef bint was_working
    cdef uint32_t last_bits
    cdef ns_t timer_due_ns
    cdef ns_t wall_minus_monotonic_ns
    cdef readonly int64_t polls, steps

    cdef void _round(self, bint with_others) noexcept nogil
    cdef void _poll_socket(self, HotSocket hot, ns_t now_ns) noexcept nogil
    cdef void _deliver(self, HotSocket hot, int64_t wall_ns, ns_t bound_ns) noexcept nogil
    cdef void _on_message(self, HotSocket hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil
    cdef void _on_rare(self, HotSocket hot, const WsFrame* frame, ns_t recv_ts_ns) noexcept nogil
    cdef void _on_fragment(self, HotSocket hot, const WsFrame* frame,
                           ns_t recv_ts_ns) noexcept nogil
    cdef void _on_timer(self, ns_t now_ns) noexcept nogil
    cdef void _send_outs(self) noexcept nogil
    cdef bint _may_join(self, int first, int index, ns_t begin_ns) noexcept nogil
    cdef void _send_run(self, int first, int last, int64_t size, int* outcomes) noexcept nogil
    cdef void _settle(self) noexcept nogil
    cdef void _tell_failed(self, HotSocket hot) noexcept nogil
    cdef void _map_clock(self) noexcept nogil
    cdef int _after(self, int code)
    cdef HotSocket _hot(self, int conn)
