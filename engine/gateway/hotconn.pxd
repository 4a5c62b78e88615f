# cython: language_level=3
"""One WebSocket of the compiled edge; see hotconn.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.types cimport ns_t

# The path is from fastcore/, the one include directory.
cdef extern from "../engine/gateway/hotconn.h" nogil:
    bint HS_HAS_TSC
    uint64_t hs_ticks()
    int64_t hs_monotonic_ns()
    int64_t hs_wall_ns()
    bint hs_is_virtual()
    void hs_set_virtual(int64_t monotonic_ns, int64_t wall_ns)
    int64_t hs_peek(int fd, void* to, int64_t room, int64_t* stamp_ns)
    int64_t hs_discard(int fd, int64_t size)
    int64_t hs_send(int fd, const void* data, int64_t size)

cdef enum:
    QUEUE_BYTES = 262144       # unsent bytes kept for one socket: 4 times what one input may cause
    FRAGMENT_BYTES = 4194304   # longest message that may come in fragments
    STAMP_AHEAD_NS = 50000     # a kernel stamp further in the future than this is of another clock
    STAMP_BEHIND_NS = 50000000 # ... or further before the last look at an empty socket

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


cdef class HotConn:
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


cdef void set_virtual_time_of_conns(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil
