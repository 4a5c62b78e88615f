# cython: language_level=3
"""Read market data, drive the core, send its orders: the compiled edge (shared design §6).

    recvmsg + kernel stamp -> frames parsed in place -> core.on_frame -> age check -> one send()

`HotLoop.poll(tries)` is called between two turns of the event loop; it makes up to `tries`
non-blocking rounds and returns early, with COLD_* bits, when Python has something to do.

What the receive stamp of a message is. The kernel stamps segments (SO_TIMESTAMPNS, wall clock);
a read that coalesces several carries the *last* one's stamp. So only a message that ends exactly
where the read ends has that stamp, mapped to CLOCK_MONOTONIC by paired reads of both clocks. Every
other message of the read is charged from the start of the last read that left the socket empty:
its bytes can't have been there before. The same bound serves where there is no stamp, and where a
stamp is not credible (the wall clock stepped).

What a send outcome is. SENT: every byte is with the kernel. LATE: past its deadline, or held up
by bytes that the kernel did not take; nothing of it left. PARTIAL: some or all of its bytes are in
our queue and will leave later, because half a frame can't be taken back and a cancel must go out.
FAILED: nothing left, and nothing will.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_New
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

import os
import socket

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.core cimport Core
from fastcore.types cimport (
    CONN_MARKET,
    CONN_TRADE,
    CONN_USER,
    OUT_MAX,
    SEND_FAILED,
    SEND_LATE,
    SEND_PARTIAL,
    SEND_SENT,
    Out,
    ns_t,
)
from fastcore.ws cimport (
    WS_BINARY,
    WS_CLOSE,
    WS_CONTINUATION,
    WS_CONTROL_PAYLOAD_MAX,
    WS_HEADER_MAX,
    WS_PING,
    WS_PONG,
    WS_TEXT,
    WsFrame,
    ws_frame,
    ws_parse,
)

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    #if defined(__x86_64__) || defined(__i386__)
    #include <x86intrin.h>
    #define HS_HAS_TSC 1
    static inline uint64_t hs_ticks(void) { return __rdtsc(); }
    #else
    #define HS_HAS_TSC 0
    static inline uint64_t hs_ticks(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    #endif

    static inline int64_t hs_clock_ns(clockid_t clock) {
        struct timespec t;
        clock_gettime(clock, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int64_t hs_monotonic_ns(void) { return hs_clock_ns(CLOCK_MONOTONIC); }
    static inline int64_t hs_wall_ns(void) { return hs_clock_ns(CLOCK_REALTIME); }

    /* One non-blocking read. *stamp_ns: wall time at which the kernel took the last segment in
       hand, or 0. Returns what recvmsg returns. */
    static inline int64_t hs_recv(int fd, void *to, int64_t room, int64_t *stamp_ns) {
        struct iovec part = {to, (size_t)room};
        union { char bytes[128]; struct cmsghdr align; } control;
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        *stamp_ns = 0;
        ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
        if (size <= 0)
            return size;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(c), sizeof t);
                *stamp_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
            }
        return size;
    }

    static inline int64_t hs_send(int fd, const void *data, int64_t size) {
        return send(fd, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    """
    bint HS_HAS_TSC
    uint64_t hs_ticks()
    int64_t hs_monotonic_ns()
    int64_t hs_wall_ns()
    int64_t hs_recv(int fd, void* to, int64_t room, int64_t* stamp_ns)
    int64_t hs_send(int fd, const void* data, int64_t size)

cdef enum:
    UNACKED_MS_MAX = 5000      # bytes that the peer's kernel has not had for so long: it is gone
    SO_TIMESTAMPNS = 35        # asm-generic/socket.h; Python does not export it

CLOSED, SNAPSHOT, STATE, FLAT = COLD_CLOSED, COLD_SNAPSHOT, COLD_STATE, COLD_FLAT
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
cdef class HotSocket:
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
            raise RuntimeError("Expected a detached HotSocket")
        if len(leftover) > self.buffer_size:
            raise ValueError("More bytes behind the handshake than the receive buffer holds")
        sock.setblocking(False)
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


@cython.final
cdef class HotLoop:
    """The core and its three sockets. Every input of a live core goes through here, so that what
    it causes is sent (or refused, as late) before the next."""

    def __cinit__(self, Core core not None, int others_every=4):
        if others_every < 1:
            raise ValueError(f"Expected others_every of at least 1, was {others_every}")
        self.core = core
        self.market = HotSocket(CONN_MARKET, MARKET_BYTES)
        self.trade = HotSocket(CONN_TRADE, OTHER_BYTES)
        self.user = HotSocket(CONN_USER, OTHER_BYTES)
        self.others_every = others_every
        self.last_bits = core.halts.bits
        self._map_clock()
        self.timer_due_ns = hs_monotonic_ns()

    def poll(self, int tries) -> int:
        """Up to `tries` non-blocking rounds; COLD_* bits, each set once per change."""
        cdef int i, cold
        for i in range(tries):
            self._round(i % self.others_every == 0)
            if fc_unlikely(self.cold != 0):
                break
        self.polls += 1
        cold, self.cold = self.cold, 0
        return cold

    cdef void _round(self, bint with_others) noexcept nogil:
        cdef ns_t now_ns = hs_monotonic_ns()
        self._poll_socket(self.market, now_ns)
        if with_others:
            self._poll_socket(self.trade, hs_monotonic_ns())
            self._poll_socket(self.user, hs_monotonic_ns())
            if fc_unlikely(now_ns >= self.timer_due_ns):
                self._on_timer(now_ns)

    cdef void _poll_socket(self, HotSocket hot, ns_t now_ns) noexcept nogil:
        """One read at `now_ns` and the messages that it completes."""
        cdef int64_t size, room, wall_ns
        cdef ns_t bound_ns = hot.drained_ns
        if not hot.is_live():
            return
        room = hot.buffer_size - hot.end
        size = hs_recv(hot.fd, hot.buffer + hot.end, room, &wall_ns)
        if fc_likely(size < 0 and (errno == EAGAIN or errno == EINTR)):
            hot.drained_ns = now_ns
            hot.is_stamp_suspect = False
            if fc_unlikely(not hot.flush()):
                self._settle()
            return
        if fc_unlikely(size <= 0):
            hot.fail(CLOSE_EOF if size == 0 else CLOSE_ERROR, 0 if size == 0 else errno)
            self._settle()
            return
        if size < room:
            hot.drained_ns = now_ns
        hot.reads += 1
        hot.bytes_received += size
        hot.end += size
        self._deliver(hot, wall_ns, bound_ns)

    cdef void _deliver(self, HotSocket hot, int64_t wall_ns, ns_t bound_ns) noexcept nogil:
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
                                          hs_monotonic_ns())
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
        self._settle()

    cdef void _on_message(self, HotSocket hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil:
        hot.messages += 1
        self.core.on_frame(hot.conn, payload, size, recv_ts_ns, hs_monotonic_ns())
        self._send_outs()

    cdef void _on_rare(self, HotSocket hot, const WsFrame* frame, ns_t recv_ts_ns) noexcept nogil:
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

    cdef void _on_fragment(self, HotSocket hot, const WsFrame* frame,
                           ns_t recv_ts_ns) noexcept nogil:
        """Collect; a message's stamp is its last fragment's, which is when it could be read."""
        if hot.fragment_size + frame.payload_size > FRAGMENT_BYTES:
            hot.fail(CLOSE_OVERSIZE, 0)
            return
        memcpy(hot.fragment + hot.fragment_size, frame.payload, frame.payload_size)
        hot.fragment_size += frame.payload_size
        hot.is_fragmented = not frame.fin
        if frame.fin:
            hot.fragmented += 1
            self._on_message(hot, hot.fragment, hot.fragment_size, recv_ts_ns)
            hot.fragment_size = 0

    cdef void _on_timer(self, ns_t now_ns) noexcept nogil:
        """Due timer; missed ones are not made up for. Clocks are paired anew each time."""
        self.timer_due_ns = now_ns + TIMER_NS
        self._map_clock()
        self.core.on_timer(hs_monotonic_ns())
        self._send_outs()
        self._settle()

    cdef void _send_outs(self) noexcept nogil:
        """Send what the last input caused, each message's age checked at the very send.

        One send() for each run of messages that are in time and contiguous: one, as a rule.
        The core hears of each outcome before its next input.
        """
        cdef int outcomes[OUT_MAX]
        cdef int count = self.core.out_count
        cdef int first = 0, last, i
        cdef int64_t size
        cdef ns_t begin_ns, end_ns
        while first < count:
            begin_ns = hs_monotonic_ns()
            last = first
            size = 0
            while last < count and self._may_join(first, last, begin_ns):
                size += self.core.outs[last].size
                last += 1
            if fc_likely(last > first):
                self._send_run(first, last, size, outcomes)
            else:
                outcomes[first] = SEND_LATE
                last = first + 1
            end_ns = hs_monotonic_ns()
            for i in range(first, last):
                self.core.on_send(self.core.outs[i].out_seq, outcomes[i], begin_ns, end_ns,
                                  end_ns)
            first = last

    cdef bint _may_join(self, int first, int index, ns_t begin_ns) noexcept nogil:
        """In time, and adjacent to the run that starts at `first`."""
        cdef const Out* out = &self.core.outs[index]
        if out.deadline_ns != 0 and begin_ns > out.deadline_ns:
            return False
        return index == first or (out - 1).data + (out - 1).size == out.data

    cdef void _send_run(self, int first, int last, int64_t size,
                        int* outcomes) noexcept nogil:
        """One send() of outs [first, last), `size` bytes; what the kernel did not take is queued
        if its frame is begun or must go out, else it is late."""
        cdef const Out* out
        cdef int64_t sent = 0
        cdef int i
        if not self.trade.is_live():
            sent = -1
        elif fc_likely(self.trade.flush()):
            sent = self.trade.send_bytes(self.core.outs[first].data, size)
        for i in range(first, last):
            out = &self.core.outs[i]
            if fc_likely(sent >= out.size):
                outcomes[i] = SEND_SENT
                sent -= out.size
                continue
            if sent < 0 or not self.trade.is_live():
                outcomes[i] = SEND_FAILED
            elif sent == 0 and out.deadline_ns != 0:
                outcomes[i] = SEND_LATE
            elif self.trade.enqueue(out.data + sent, out.size - sent) or sent > 0:
                outcomes[i] = SEND_PARTIAL
                sent = 0
            else:
                outcomes[i] = SEND_FAILED

    cdef void _settle(self) noexcept nogil:
        """Tell the core of sockets that failed; raise the cold bits."""
        cdef uint32_t bits
        self._tell_failed(self.trade)
        self._tell_failed(self.user)
        self._tell_failed(self.market)
        self._tell_failed(self.trade)        # sending what the others caused may have broken it
        if fc_unlikely(self.core.sync.snapshot_wanted != self.was_snapshot_wanted):
            self.was_snapshot_wanted = self.core.sync.snapshot_wanted
            if self.was_snapshot_wanted:
                self.cold |= COLD_SNAPSHOT
        bits = self.core.halts.bits
        if fc_unlikely(bits != self.last_bits):
            self.last_bits = bits
            self.cold |= COLD_STATE
        if fc_unlikely(bits != 0) and self.was_working and self.core.orders.active_count == 0:
            self.cold |= COLD_FLAT
        self.was_working = self.core.orders.active_count != 0

    cdef void _tell_failed(self, HotSocket hot) noexcept nogil:
        if hot.fd < 0 or hot.close_reason == CLOSE_NONE or hot.is_told:
            return
        hot.is_told = True
        self.cold |= COLD_CLOSED
        self.core.on_conn(hot.conn, False, hs_monotonic_ns())
        self._send_outs()

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
            self.market.is_stamp_suspect = True
            self.trade.is_stamp_suspect = True
            self.user.is_stamp_suspect = True
        self.wall_minus_monotonic_ns = offset_ns

    # -- COLD ---

    def attach(self, int conn, sock, bytes leftover=b"") -> None:
        """Take over a connected socket after its handshake, and tell the core that `conn` is up.

        `leftover`: bytes that came behind the handshake's answer.
        """
        cdef HotSocket hot = self._hot(conn)
        hot._attach(sock, leftover)
        if conn == CONN_MARKET:
            self.was_snapshot_wanted = False     # one asked for before could not be fetched
        self.core.on_conn(conn, True, hs_monotonic_ns())
        self._send_outs()
        self._deliver(hot, 0, hot.drained_ns)

    def detach(self, int conn) -> None:
        """Close `conn`, politely if it still lives; tell the core unless it knows."""
        cdef HotSocket hot = self._hot(conn)
        cdef uint8_t normal_closure[2]
        if hot.fd < 0:
            return
        if hot.is_live():
            normal_closure[0], normal_closure[1] = 1000 >> 8, 1000 & 0xFF
            hot.send_control(WS_CLOSE, normal_closure, 2)
            hot.fail(CLOSE_LOCAL, 0)
        self._settle()
        hot._detach()

    def command(self, int command) -> int:
        """CMD_* to the core; messages caused, or a negative Code."""
        return self._after(self.core.on_command(command, hs_monotonic_ns()))

    def snapshot(self, bytes body) -> int:
        """A REST depth snapshot's body."""
        return self._after(self.core.on_snapshot(<const uint8_t*>body, len(body),
                                                 hs_monotonic_ns()))

    def clock(self, int64_t utc_minus_monotonic_ns) -> int:
        """The venue's UTC less our monotonic clock."""
        return self._after(self.core.on_clock(utc_minus_monotonic_ns, hs_monotonic_ns()))

    def account(self, int64_t position_lots, int64_t open_orders) -> int:
        """What the venue says that we hold and have working."""
        return self._after(self.core.on_account(position_lots, open_orders, hs_monotonic_ns()))

    cdef int _after(self, int code):
        self._send_outs()
        self._settle()
        return code

    cdef HotSocket _hot(self, int conn):
        if conn == CONN_MARKET:
            return self.market
        if conn == CONN_TRADE:
            return self.trade
        if conn == CONN_USER:
            return self.user
        raise ValueError(f"Expected a connection 0..2, was {conn}")

    def socket(self, int conn) -> HotSocket:
        """The HotSocket of CONN_* `conn`."""
        return self._hot(conn)

    @property
    def is_snapshot_wanted(self) -> bool:
        return self.core.sync.snapshot_wanted

    @property
    def bits(self) -> int:
        """Halt reasons in force; 0: running."""
        return self.core.halts.bits

    def stats(self) -> dict[str, int]:
        """What the edge saw, for the status page."""
        sockets = (self.market, self.trade, self.user)
        return {
            "reads": sum(hot.reads for hot in sockets),
            "bytes_received": sum(hot.bytes_received for hot in sockets),
            "messages": sum(hot.messages for hot in sockets),
            "bounded_stamps": sum(hot.bounded for hot in sockets),
            "discarded_stamps": sum(hot.stamps_discarded for hot in sockets),
            "pings": sum(hot.pings for hot in sockets),
            "queued_bytes": sum(hot.queued_bytes for hot in sockets),
            "clock_steps": self.steps,
            "polls": self.polls,
        }


cdef uint64_t _ticks() noexcept nogil:
    return hs_ticks()


cdef double _ns_per_tick = 0.0


def tick_capsule() -> object:
    """PyCapsule "tickmaker.tick" around a `uint64_t (*)() noexcept nogil`: the processor's time
    stamp counter (x86), else CLOCK_MONOTONIC in ns. For stage times and benches, which compare
    nothing across machines or sleeps."""
    return PyCapsule_New(<void*>_ticks, "tickmaker.tick", NULL)


def ns_per_tick() -> float:
    """ns of one tick, measured once over 20 ms against CLOCK_MONOTONIC (it spins)."""
    global _ns_per_tick
    cdef ns_t begin_ns, end_ns
    cdef uint64_t begin_ticks
    if not HS_HAS_TSC:
        return 1.0
    if _ns_per_tick == 0.0:
        begin_ns = end_ns = hs_monotonic_ns()
        begin_ticks = hs_ticks()
        while end_ns - begin_ns < 20_000_000:
            end_ns = hs_monotonic_ns()
        _ns_per_tick = <double>(end_ns - begin_ns) / <double>(hs_ticks() - begin_ticks)
    return _ns_per_tick
