# cython: language_level=3
"""One WebSocket of the compiled edge; see hotconn.pyx."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from engine.gateway.hottls cimport TlsPipe
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
    bint hs_can_send(int fd)

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
    CLOSE_TLS = 9              # what came is not what the peer encrypted

cdef struct Noted:             # of all sockets of one loop: that it has something to look after
    bint has_failed
    bint has_queued


cdef class HotConn:
    cdef int fd                        # -1: none
    cdef int conn                      # CONN_*
    cdef int close_reason              # CLOSE_*; not CLOSE_NONE: no more reads or sends
    cdef bint is_tls
    cdef int32_t only                  # the one core that it feeds; -1: there are more
    cdef int role, slot
    cdef bint is_told                  # closed, and the cores have been told
    cdef bint is_cold                  # ... and take_cold() has yet to say so
    cdef bint is_fragmented            # inside a fragmented message
    cdef Noted* noted
    cdef uint8_t* buffer
    cdef int64_t buffer_size, start, end
    cdef ns_t drained_ns               # start of the last look that left the socket empty
    cdef int64_t ready_wait            # the epoll_wait that last found it readable
    cdef int64_t rank                  # of the attachments to its role: the greatest is youngest
    cdef uint8_t* fragment             # NULL until a message comes in fragments
    cdef int64_t fragment_size
    cdef uint8_t* queue                # of a TLS connection: ciphertext
    cdef int64_t queue_start, queue_end
    cdef uint32_t mask_state
    cdef TlsPipe tls
    cdef object _socket
    cdef readonly int close_detail
    cdef readonly ns_t last_heard_ns   # when bytes last came; 0: none since attach
    cdef readonly int64_t reads, bytes_received, messages, pings, pongs, fragmented
    cdef readonly int64_t pings_sent
    cdef readonly int64_t bounded      # messages charged from the empty poll, not a kernel stamp
    cdef readonly int64_t stamps_discarded

    cdef bint is_live(self) noexcept nogil
    cdef void fail(self, int reason, int detail) noexcept nogil
    cdef int64_t send_bytes(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef int64_t _send(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef int64_t _send_sealed(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef bint flush(self) noexcept nogil
    cdef bint is_queued(self) noexcept nogil
    cdef bint enqueue(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef bint _keep(self, const uint8_t* data, int64_t size) noexcept nogil
    cdef void send_control(self, int opcode, const uint8_t* payload,
                           int64_t size) noexcept nogil
    cdef void send_whole(self, const uint8_t* frame, int64_t size) noexcept nogil
    cdef uint32_t next_mask(self) noexcept nogil
    cdef bint unseal(self) noexcept nogil
    cdef void compact(self) noexcept nogil
    cdef bint collect(self, const uint8_t* payload, int64_t size, bint is_last) noexcept nogil
    cdef ns_t stamp_of(self, int64_t wall_ns, ns_t wall_minus_monotonic_ns, ns_t bound_ns,
                       ns_t now_ns, ns_t stepped_ns) noexcept nogil


cdef void set_virtual_time_of_conns(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil
