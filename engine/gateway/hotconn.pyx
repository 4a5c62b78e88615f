# cython: language_level=3
"""One WebSocket past its handshake, as the compiled edge sees it: an fd, a receive buffer, a send
queue, and what a kernel stamp is worth. hotsocket.pyx drives it; see there.

With TLS the queue holds ciphertext, and a send is all or nothing of its records: what has been
encrypted must leave, so send_bytes() asks for room first and keeps what the kernel did not take.
"""
cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset

import os
import socket

from engine.gateway.hottls cimport TLS_DRY, TLS_EOF, TlsPipe
from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport CONN_TRADE, ns_t
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
    CLOSE_TLS: "TLS error",
}


@cython.final
cdef class HotConn:
    """One WebSocket after its handshake: an fd, a receive buffer, a send queue.

    Lives as long as its role; `HotLoop.attach` gives it a connected socket each time. Its memory
    is had at the first of them: a second slot that is never used costs nothing.
    """

    def __cinit__(self, int conn, int64_t buffer_size, int role=0, int slot=0):
        self.conn = conn
        self.fd = self.only = -1
        self.role, self.slot = role, slot
        self.buffer_size = buffer_size

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
            self.noted.has_failed = True

    cdef int64_t send_bytes(self, const uint8_t* data, int64_t size) noexcept nogil:
        """One send(): bytes that the kernel took, 0 when it is full, -1 when the socket failed.

        TLS: 0, -1, or all of `size`, of which is_queued() says whether some has yet to leave.
        """
        if fc_unlikely(self.is_tls):
            return self._send_sealed(data, size)
        return self._send(data, size)

    cdef int64_t _send(self, const uint8_t* data, int64_t size) noexcept nogil:
        cdef int64_t sent = hs_send(self.fd, data, size)
        if fc_likely(sent >= 0):
            return sent
        if errno == EAGAIN or errno == EINTR:
            return 0
        self.fail(CLOSE_ERROR, errno)
        return -1

    cdef int64_t _send_sealed(self, const uint8_t* data, int64_t size) noexcept nogil:
        cdef int64_t sent
        if not hs_can_send(self.fd):
            return 0
        if not self.tls.seal(data, size):
            self.fail(CLOSE_TLS, 0)
            return -1
        sent = self._send(self.tls.out, self.tls.out_size)
        if sent < 0:
            return -1
        if sent < self.tls.out_size:
            self._keep(self.tls.out + sent, self.tls.out_size - sent)
        return size

    cdef bint flush(self) noexcept nogil:
        """Send what is queued; True when nothing is left."""
        cdef int64_t sent
        if fc_likely(self.queue_start == self.queue_end):
            return True
        sent = self._send(self.queue + self.queue_start, self.queue_end - self.queue_start)
        if sent > 0:
            self.queue_start += sent
        if self.queue_start < self.queue_end:
            return False
        self.queue_start = self.queue_end = 0
        return True

    cdef bint is_queued(self) noexcept nogil:
        return self.queue_start != self.queue_end

    cdef bint enqueue(self, const uint8_t* data, int64_t size) noexcept nogil:
        """Keep bytes for flush(); False, and the connection failed, when there is no room."""
        if fc_likely(not self.is_tls):
            return self._keep(data, size)
        if not self.tls.seal(data, size):
            self.fail(CLOSE_TLS, 0)
            return False
        return self._keep(self.tls.out, self.tls.out_size)

    cdef bint _keep(self, const uint8_t* data, int64_t size) noexcept nogil:
        if self.queue_start > 0:
            memmove(self.queue, self.queue + self.queue_start, self.queue_end - self.queue_start)
            self.queue_end -= self.queue_start
            self.queue_start = 0
        if self.queue_end + size > QUEUE_BYTES:
            self.fail(CLOSE_QUEUE, 0)
            return False
        memcpy(self.queue + self.queue_end, data, size)
        self.queue_end += size
        self.noted.has_queued = True
        return True

    cdef void send_control(self, int opcode, const uint8_t* payload,
                           int64_t size) noexcept nogil:
        """A control frame, behind whatever is queued."""
        cdef uint8_t frame[WS_HEADER_MAX + WS_CONTROL_PAYLOAD_MAX]
        FC_DCHECK(size <= WS_CONTROL_PAYLOAD_MAX)
        self.send_whole(frame, ws_frame(frame, opcode, payload, size, self.next_mask()))

    cdef void send_whole(self, const uint8_t* frame, int64_t size) noexcept nogil:
        """A frame that may wait: what the kernel does not take is queued."""
        cdef int64_t sent = 0
        if self.flush():
            sent = self.send_bytes(frame, size)
        if 0 <= sent < size and self.is_live():
            self.enqueue(frame + sent, size - sent)

    cdef uint32_t next_mask(self) noexcept nogil:
        self.mask_state ^= self.mask_state << 13
        self.mask_state ^= self.mask_state >> 17
        self.mask_state ^= self.mask_state << 5
        return self.mask_state

    cdef bint unseal(self) noexcept nogil:
        """Decrypted bytes behind what the buffer holds; True when no whole record is left.

        What OpenSSL has to answer by itself (key update, alert) leaves behind what is queued.
        """
        cdef int64_t size = self.tls.read(self.buffer + self.end, self.buffer_size - self.end)
        if size > 0:
            self.end += size
        elif size < TLS_DRY:
            self.fail(CLOSE_EOF if size == TLS_EOF else CLOSE_TLS, 0)
        if fc_unlikely(self.tls.take() > 0):
            if self._keep(self.tls.out, self.tls.out_size):
                self.flush()
        return not self.tls.has_more

    cdef void compact(self) noexcept nogil:
        """Move an unfinished frame to the buffer's start, so that there is room to finish it."""
        if self.start > 0:
            memmove(self.buffer, self.buffer + self.start, self.end - self.start)
            self.end -= self.start
            self.start = 0
        elif self.end == self.buffer_size:
            self.fail(CLOSE_OVERSIZE, 0)

    cdef bint collect(self, const uint8_t* payload, int64_t size, bint is_last) noexcept nogil:
        """One fragment more; False, and the connection failed, when there is no room."""
        if self.fragment == NULL:
            self.fragment = <uint8_t*>malloc(FRAGMENT_BYTES)
        if self.fragment == NULL or self.fragment_size + size > FRAGMENT_BYTES:
            self.fail(CLOSE_OVERSIZE, 0)
            return False
        memcpy(self.fragment + self.fragment_size, payload, size)
        self.fragment_size += size
        self.is_fragmented = not is_last
        self.fragmented += is_last
        return True

    cdef ns_t stamp_of(self, int64_t wall_ns, ns_t wall_minus_monotonic_ns, ns_t bound_ns,
                       ns_t now_ns, ns_t stepped_ns) noexcept nogil:
        """A kernel stamp on the monotonic clock; `bound_ns` when it is missing or not credible.

        `stepped_ns`: when the wall clock was last found stepped; what may have come before that
        has a stamp that says nothing.
        """
        cdef ns_t stamp_ns = wall_ns - wall_minus_monotonic_ns
        if wall_ns == 0:
            return bound_ns
        if fc_unlikely(bound_ns < stepped_ns or stamp_ns > now_ns + STAMP_AHEAD_NS
                       or stamp_ns < bound_ns - STAMP_BEHIND_NS):
            self.stamps_discarded += 1
            return bound_ns
        return stamp_ns if stamp_ns < now_ns else now_ns

    # -- COLD ---

    def _make_room(self):
        """The memory of a first attachment, its pages faulted in now and not in the first burst."""
        if self.buffer != NULL:
            return
        self.buffer = <uint8_t*>calloc(self.buffer_size, 1)
        self.queue = <uint8_t*>calloc(QUEUE_BYTES, 1)
        if self.buffer == NULL or self.queue == NULL:
            raise MemoryError()
        memset(self.buffer, 1, self.buffer_size)
        if self.conn == CONN_TRADE:          # the others send a pong now and then
            memset(self.queue, 1, QUEUE_BYTES)

    def _attach(self, sock, tls):
        if self.fd >= 0:
            raise RuntimeError("Expected a detached HotConn")
        self._make_room()
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:        # the simulator's: neither TCP nor kernel time
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS_MAX)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.tls = None if tls is None else TlsPipe(tls)
        self.is_tls = tls is not None
        self.start = self.end = 0
        self.queue_start = self.queue_end = 0
        self.fragment_size = 0
        self.is_fragmented = self.is_told = self.is_cold = False
        self.close_reason, self.close_detail = CLOSE_NONE, 0
        self.mask_state = int.from_bytes(os.urandom(4), "little") | 1
        self.drained_ns = hs_monotonic_ns()
        self.last_heard_ns = 0
        self._socket = sock
        self.fd = sock.fileno()

    def _goodbye(self):
        """TLS: our close_notify, if there is room for it."""
        if self.is_tls and self.flush():
            self.tls.finish()
            self._send(self.tls.out, self.tls.out_size)

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
    def is_encrypted(self) -> bool:
        return self.is_tls

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
        if self.close_reason == CLOSE_TLS:
            return f"{text}: {self.tls.error}"
        return text

    @property
    def queued_bytes(self) -> int:
        return self.queue_end - self.queue_start


cdef void set_virtual_time_of_conns(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil:
    """This module's copy of the simulator's time; 0: the clocks again."""
    hs_set_virtual(monotonic_ns, wall_ns)
