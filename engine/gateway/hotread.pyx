# cython: language_level=3
"""What arrives on a socket: bytes, kernel stamps, frames, and whose they are.

What the receive stamp of a message is. The kernel stamps segments (SO_TIMESTAMPNS, wall clock);
a read that coalesces several carries the *last* one's stamp. So only a message that ends exactly
where the read ends has that stamp, mapped to CLOCK_MONOTONIC by paired reads of both clocks. Every
other message of the read is charged from the start of the last look that found the socket empty:
its bytes can't have been there before. The same bound serves where there is no stamp, and where a
stamp is not credible (the wall clock stepped). With TLS, a read ends where a record does or has no
stamp to give.
"""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free

from engine.gateway.hotconn cimport (
    CLOSE_BINARY,
    CLOSE_EOF,
    CLOSE_ERROR,
    CLOSE_FRAME,
    CLOSE_MALFORMED,
    HotConn,
    hs_discard, hs_monotonic_ns, hs_peek, hs_set_virtual, hs_wall_ns,
)
from engine.gateway.hotrole cimport Role
from engine.gateway.hotroute cimport ROUTE_ALL
from engine.gateway.hotsend cimport HotSend
from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.core cimport Core
from fastcore.types cimport ns_t
from fastcore.ws cimport (
    WS_BINARY,
    WS_CLOSE,
    WS_CONTINUATION,
    WS_PING,
    WS_PONG,
    WS_TEXT,
    WsFrame,
    ws_parse,
)


cdef class HotRead(HotSend):
    """Base of HotLoop."""

    def __dealloc__(self):
        free(self.cipher)

    cdef void _poll_socket(self, HotConn hot, ns_t now_ns) noexcept nogil:
        """One read at `now_ns` and the messages that it completes."""
        cdef int64_t size, room, wall_ns
        cdef ns_t bound_ns = hot.drained_ns
        if not hot.is_live():
            return
        if fc_unlikely(hot.is_tls):
            room = CIPHER_BYTES
            size = hs_peek(hot.fd, self.cipher, room, &wall_ns)
        else:
            room = hot.buffer_size - hot.end
            size = hs_peek(hot.fd, hot.buffer + hot.end, room, &wall_ns)
        if fc_likely(size < 0 and (errno == EAGAIN or errno == EINTR)):
            hot.drained_ns = now_ns
            if fc_unlikely(not hot.flush()):
                self._settle()
            return
        if fc_unlikely(size <= 0):
            hot.fail(CLOSE_EOF if size == 0 else CLOSE_ERROR, 0 if size == 0 else errno)
            self._settle()
            return
        if size < room:
            hot.drained_ns = now_ns
        hot.last_heard_ns = now_ns
        hot.reads += 1
        hot.bytes_received += size
        if fc_unlikely(hot.is_tls):
            self._open_records(hot, size, wall_ns, bound_ns)
        else:
            hot.end += size
            self._deliver(hot, wall_ns, bound_ns)
        if fc_unlikely(hs_discard(hot.fd, size) != size):
            hot.fail(CLOSE_ERROR, errno)     # else the same bytes would be read again
            self._settle()
        self.busy_ns += hs_monotonic_ns() - now_ns

    cdef void _open_records(self, HotConn hot, int64_t size, int64_t wall_ns,
                            ns_t bound_ns) noexcept nogil:
        """Decrypt what came, as much at a time as the buffer has room for, and deliver it."""
        cdef bint is_dry = False
        if not hot.tls.feed(self.cipher, size):
            wall_ns = 0                      # the stamp is of a record's begin
        while not is_dry and hot.is_live():
            is_dry = hot.unseal()
            self._deliver(hot, wall_ns if is_dry else 0, bound_ns)
        self._settle()

    cdef void _deliver(self, HotConn hot, int64_t wall_ns, ns_t bound_ns) noexcept nogil:
        """Parse and deliver every whole frame in the buffer; keep the unfinished rest."""
        cdef WsFrame frame
        cdef int code = 1
        cdef ns_t recv_ts_ns
        while hot.is_live():
            code = ws_parse(hot.buffer + hot.start, hot.end - hot.start, &frame)
            if code != 1:
                break
            hot.start += frame.header_size + frame.payload_size
            if hot.start == hot.end:
                recv_ts_ns = hot.stamp_of(wall_ns, self.wall_minus_monotonic_ns, bound_ns,
                                          hs_monotonic_ns(), self.stepped_ns)
            else:
                recv_ts_ns = bound_ns
            if fc_likely(frame.opcode == WS_TEXT and frame.fin and not hot.is_fragmented):
                hot.bounded += recv_ts_ns == bound_ns
                self._on_message(hot, frame.payload, frame.payload_size, recv_ts_ns)
            else:
                self._on_rare(hot, &frame, recv_ts_ns)
        if fc_unlikely(code < 0):
            hot.fail(CLOSE_MALFORMED, code)
        if hot.start == hot.end:
            hot.start = hot.end = 0
        elif fc_unlikely(hot.end > hot.buffer_size // 2):
            hot.compact()
        if fc_unlikely(self.noted.has_failed):
            self._settle()

    cdef void _on_message(self, HotConn hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil:
        hot.messages += 1
        if fc_likely(hot.only >= 0):
            self._give(hot.only, hot.conn, payload, size, recv_ts_ns)
        else:
            self._spread(<Role>self.role_at[hot.role], payload, size, recv_ts_ns)

    cdef void _spread(self, Role role, const uint8_t* payload, int64_t size,
                      ns_t recv_ts_ns) noexcept nogil:
        """To the cores of a shared connection that the frame is for."""
        cdef int count = role.router.route(role.kind, payload, size)
        cdef int i
        if fc_unlikely(count == ROUTE_ALL):
            role.broadcasts += 1
            for i in range(role.count):
                self._give(role.cores[i], role.kind, payload, size, recv_ts_ns)
            return
        role.strays += count == 0
        for i in range(count):
            self._give(role.router.found[i], role.kind, payload, size, recv_ts_ns)

    cdef void _give(self, int number, int conn, const uint8_t* payload, int64_t size,
                    ns_t recv_ts_ns) noexcept nogil:
        (<Core>self.seats[number].core).on_frame(conn, payload, size, recv_ts_ns,
                                                 hs_monotonic_ns())
        self._after_input(number)

    cdef void _on_rare(self, HotConn hot, const WsFrame* frame, ns_t recv_ts_ns) noexcept nogil:
        """Everything but a whole text message: control, fragments, what we never negotiated."""
        if frame.opcode == WS_PING:
            hot.pings += 1
            hot.send_control(WS_PONG, frame.payload, frame.payload_size)
        elif frame.opcode == WS_PONG:
            hot.pongs += 1
        elif frame.opcode == WS_CLOSE:
            # RFC 6455 5.5.1: answer with the same code, then no more frames.
            hot.send_control(WS_CLOSE, frame.payload, 2 if frame.payload_size >= 2 else 0)
            hot.fail(CLOSE_FRAME, (frame.payload[0] << 8 | frame.payload[1])
                     if frame.payload_size >= 2 else 1005)
        elif frame.opcode == WS_BINARY:
            hot.fail(CLOSE_BINARY, 0)
        elif (frame.opcode == WS_CONTINUATION) != hot.is_fragmented:
            hot.fail(CLOSE_MALFORMED, 0)     # continuation of nothing, or a new one in between
        else:
            self._on_fragment(hot, frame, recv_ts_ns)

    cdef void _on_fragment(self, HotConn hot, const WsFrame* frame,
                           ns_t recv_ts_ns) noexcept nogil:
        """Collect; a message's stamp is its last fragment's, which is when it could be read."""
        if hot.collect(frame.payload, frame.payload_size, frame.fin) and frame.fin:
            self._on_message(hot, hot.fragment, hot.fragment_size, recv_ts_ns)
            hot.fragment_size = 0

    cdef void _map_clock(self) noexcept nogil:
        """Wall minus monotonic by the tightest of three paired reads. A step between two looks
        makes the stamps of what is still in the sockets suspect."""
        cdef ns_t before_ns, wall_ns, after_ns, offset_ns = 0
        cdef ns_t best_gap_ns = <ns_t>1 << 62
        cdef int _
        for _ in range(3):
            before_ns = hs_monotonic_ns()
            wall_ns = hs_wall_ns()
            after_ns = hs_monotonic_ns()
            if after_ns - before_ns < best_gap_ns:
                best_gap_ns = after_ns - before_ns
                offset_ns = wall_ns - (before_ns + after_ns) // 2
        if self.wall_minus_monotonic_ns != 0 and not (
                -STEP_NS < offset_ns - self.wall_minus_monotonic_ns < STEP_NS):
            self.steps += 1
            self.stepped_ns = before_ns
        self.wall_minus_monotonic_ns = offset_ns


cdef void set_virtual_time_of_reads(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil:
    """This module's copy of the simulator's time; 0: the clocks again."""
    hs_set_virtual(monotonic_ns, wall_ns)
