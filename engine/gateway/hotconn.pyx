# cython: language_level=3
"""One WebSocket past its handshake, as the compiled edge sees it: an fd, a receive buffer, a send
queue, and what a kernel stamp is worth. hotsocket.pyx drives it; see there.
"""
cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

import os
import socket

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport ns_t
from fastcore.ws cimport WS_CONTROL_PAYLOAD_MAX, WS_HEADER_MAX, ws_frame

cdef enum:
    UNACKED_MS_MAX = 5000      # bytes that the peer's kernel has not had for so long: it is gone
    SO_TIMESTAMPNS = 35        # asm-generic/socket.h; Python does not export it

_REASONS = {
    CLOSE_NONE: "",
    CLOSE_EOF: "the peer closed the TCP connection",
    CLOSE_ERROR: "socket error",
    CLOSE_FRAME: "the peer closed the WebSocket",
    CLOSE_MALFORMED: "malformed WebSocket frame",
    CLOSE_OVERSIZE: "message longer than the receive buffer",
    CLOSE_QUEUE: "send queue full: the peer does not read",
    CLOSE_BINARY: "unexpected binary frame",
    CLOSE_LOCAL: "closed by us",
}


@cython.final
cdef class HotConn:
    """One WebSocket after its handshake: an fd, a receive buffer, a send queue.

    Lives as long as the engine; `HotLoop.attach` gives it a connected socket each time.
    """

    def __cinit__(self, int conn, int64_t buffer_size):
        self.conn = conn
        self.fd = -1
        self.buffer_size = buffer_size
        self.buffer = <uint8_t*>calloc(buffer_size, 1)
        self.queue = <uint8_t*>calloc(QUEUE_BYTES, 1)
        self.fragment = <uint8_t*>calloc(FRAGMENT_BYTES, 1)
        if self.buffer == NULL or self.queue == NULL or self.fragment == NULL:
            raise MemoryError()
        memset(self.buffer, 1, buffer_size)      # fault the pages in now, not in the first burst
        memset(self.queue, 1, QUEUE_BYTES)

    def __dealloc__(self):
        free(self.buffer)
        free(self.queue)
        free(self.fragment)

    cdef bint is_live(self) noexcept nogil:
        return self.fd >= 0 and self.close_reason == CLOSE_NONE

    cdef void fail(self, int reason, int detail) noexcept nogil:
        """The connection is of no more use; the first reason stands."""
        if self.close_reason == CLOSE_NONE:
            self.close_reason = reason
            self.close_detail = detail

    cdef int64_t send_bytes(self, const uint8_t* data, int64_t size) noexcept nogil:
        """One send(): bytes that the kernel took, 0 when it is full, -1 when the socket failed."""
        cdef int64_t sent = hs_send(self.fd, data, size)
        if fc_likely(sent >= 0):
            return sent
        if errno == EAGAIN or errno == EINTR:
            return 0
        self.fail(CLOSE_ERROR, errno)
        return -1

    cdef bint flush(self) noexcept nogil:
        """Send what is queued; True when nothing is left."""
        cdef int64_t sent
        if fc_likely(self.queue_start == self.queue_end):
            return True
        sent = self.send_bytes(self.queue + self.queue_start, self.queue_end - self.queue_start)
        if sent > 0:
            self.queue_start += sent
        if self.queue_start < self.queue_end:
            return False
        self.queue_start = self.queue_end = 0
        return True

    cdef bint enqueue(self, const uint8_t* data, int64_t size) noexcept nogil:
        """Keep bytes for flush(); False, and the connection failed, when there is no room."""
        if self.queue_start > 0:
            memmove(self.queue, self.queue + self.queue_start, self.queue_end - self.queue_start)
            self.queue_end -= self.queue_start
            self.queue_start = 0
        if self.queue_end + size > QUEUE_BYTES:
            self.fail(CLOSE_QUEUE, 0)
            return False
        memcpy(self.queue + self.queue_end, data, size)
        self.queue_end += size
        return True

    cdef void send_control(self, int opcode, const uint8_t* payload,
                           int64_t size) noexcept nogil:
        """A control frame, behind whatever is queued."""
        cdef uint8_t frame[WS_HEADER_MAX + WS_CONTROL_PAYLOAD_MAX]
        cdef int64_t frame_size, sent = 0
        FC_DCHECK(size <= WS_CONTROL_PAYLOAD_MAX)
        self.mask_state ^= self.mask_state << 13
        self.mask_state ^= self.mask_state >> 17
        self.mask_state ^= self.mask_state << 5
        frame_size = ws_frame(frame, opcode, payload, size, self.mask_state)
        if self.flush():
            sent = self.send_bytes(frame, frame_size)
        if 0 <= sent < frame_size and self.is_live():
            self.enqueue(frame + sent, frame_size - sent)

    cdef void compact(self) noexcept nogil:
        """Move an unfinished frame to the buffer's start, so that there is room to finish it."""
        if self.start > 0:
            memmove(self.buffer, self.buffer + self.start, self.end - self.start)
            self.end -= self.start
            self.start = 0
        elif self.end == self.buffer_size:
            self.fail(CLOSE_OVERSIZE, 0)

    cdef ns_t stamp_of(self, int64_t wall_ns, ns_t wall_minus_monotonic_ns, ns_t bound_ns,
                       ns_t now_ns) noexcept nogil:
        """A kernel stamp on the monotonic clock; `bound_ns` when it is missing or not credible."""
        cdef ns_t stamp_ns = wall_ns - wall_minus_monotonic_ns
        if wall_ns == 0:
            return bound_ns
        if fc_unlikely(self.is_stamp_suspect or stamp_ns > now_ns + STAMP_AHEAD_NS
                       or stamp_ns < bound_ns - STAMP_BEHIND_NS):
            self.stamps_discarded += 1
            return bound_ns
        return stamp_ns if stamp_ns < now_ns else now_ns

    # -- COLD ---

    def _attach(self, sock, bytes leftover):
        if self.fd >= 0:
            raise RuntimeError("Expected a detached HotConn")
        if len(leftover) > self.buffer_size:
            raise ValueError("More bytes behind the handshake than the receive buffer holds")
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:        # the simulator's: neither TCP nor kernel time
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS_MAX)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        memcpy(self.buffer, <const uint8_t*>leftover, len(leftover))
        self.start, self.end = 0, len(leftover)
        self.queue_start = self.queue_end = 0
        self.fragment_size = 0
        self.is_fragmented = self.is_told = self.is_stamp_suspect = False
        self.close_reason, self.close_detail = CLOSE_NONE, 0
        self.mask_state = int.from_bytes(os.urandom(4), "little") | 1
        self.drained_ns = hs_monotonic_ns()
        self._socket = sock
        self.fd = sock.fileno()

    def _detach(self):
        sock, self._socket = self._socket, None
        self.fd = -1
        if sock is not None:
            sock.close()

    @property
    def is_open(self) -> bool:
        """Attached, and not failed."""
        return self.is_live()

    @property
    def fileno(self) -> int:
        return self.fd

    @property
    def close_text(self) -> str:
        """Why the connection is of no more use; empty while it is."""
        text = _REASONS[self.close_reason]
        if self.close_reason == CLOSE_ERROR:
            return f"{text}: {os.strerror(self.close_detail)}"
        if self.close_reason == CLOSE_FRAME:
            return f"{text} with code {self.close_detail}"
        return text

    @property
    def queued_bytes(self) -> int:
        return self.queue_end - self.queue_start


cdef void set_virtual_time_of_conns(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil:
    """This module's copy of the simulator's time; 0: the clocks again."""
    hs_set_virtual(monotonic_ns, wall_ns)
