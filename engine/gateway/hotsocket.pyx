# cython: language_level=3
"""Read market data, drive the core, send its orders: the compiled edge (design section 6).

    recvmsg + kernel stamp -> frames parsed in place -> core.on_frame -> age check -> one send()

`HotLoop.poll(tries)` is called between two turns of the event loop; it makes up to `tries`
non-blocking rounds and returns early, with COLD_* bits, when Python has something to do. No
Python object is made for a frame.

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
from libc.string cimport memcpy

from fastcore.core cimport Core
from fastcore.check cimport fc_likely, fc_unlikely
from engine.gateway.hotconn cimport (
    CLOSE_BINARY,
    CLOSE_EOF,
    CLOSE_ERROR,
    CLOSE_FRAME,
    CLOSE_LOCAL,
    CLOSE_MALFORMED,
    CLOSE_NONE,
    CLOSE_OVERSIZE,
    FRAGMENT_BYTES,
    HotConn,
    HS_HAS_TSC,
    hs_discard, hs_is_virtual, hs_monotonic_ns, hs_peek, hs_set_virtual, hs_ticks, hs_wall_ns,
    set_virtual_time_of_conns,
)
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
    WS_PING,
    WS_PONG,
    WS_TEXT,
    WsFrame,
    ws_parse,
)

CLOSED, SNAPSHOT, STATE, FLAT = COLD_CLOSED, COLD_SNAPSHOT, COLD_STATE, COLD_FLAT


@cython.final
cdef class HotLoop:
    """The core and its three sockets. Every input of a live core goes through here, so that what
    it causes is sent (or refused, as late) before the next."""

    def __cinit__(self, Core core not None, int others_every=4):
        if others_every < 1:
            raise ValueError(f"Expected others_every of at least 1, was {others_every}")
        self.core = core
        self.market = HotConn(CONN_MARKET, MARKET_BYTES)
        self.trade = HotConn(CONN_TRADE, OTHER_BYTES)
        self.user = HotConn(CONN_USER, OTHER_BYTES)
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

    cdef void _poll_socket(self, HotConn hot, ns_t now_ns) noexcept nogil:
        """One read at `now_ns` and the messages that it completes."""
        cdef int64_t size, room, wall_ns
        cdef ns_t bound_ns = hot.drained_ns
        if not hot.is_live():
            return
        room = hot.buffer_size - hot.end
        size = hs_peek(hot.fd, hot.buffer + hot.end, room, &wall_ns)
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
        if fc_unlikely(hs_discard(hot.fd, size) != size):
            hot.fail(CLOSE_ERROR, errno)     # else the same bytes would be read again
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

    cdef void _on_message(self, HotConn hot, const uint8_t* payload, int64_t size,
                          ns_t recv_ts_ns) noexcept nogil:
        hot.messages += 1
        self.core.on_frame(hot.conn, payload, size, recv_ts_ns, hs_monotonic_ns())
        self._send_outs()

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

    cdef void _tell_failed(self, HotConn hot) noexcept nogil:
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
        cdef HotConn hot = self._hot(conn)
        hot._attach(sock, leftover)
        if conn == CONN_MARKET:
            self.was_snapshot_wanted = False     # one asked for before could not be fetched
        self.core.on_conn(conn, True, hs_monotonic_ns())
        self._send_outs()
        self._deliver(hot, 0, hot.drained_ns)

    def detach(self, int conn) -> None:
        """Close `conn`, politely if it still lives; tell the core unless it knows."""
        cdef HotConn hot = self._hot(conn)
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

    cdef int _after(self, int code) noexcept:
        self._send_outs()
        self._settle()
        return code

    cdef HotConn _hot(self, int conn):
        if conn == CONN_MARKET:
            return self.market
        if conn == CONN_TRADE:
            return self.trade
        if conn == CONN_USER:
            return self.user
        raise ValueError(f"Expected a connection 0..2, was {conn}")

    def socket(self, int conn) -> HotConn:
        """The HotConn of CONN_* `conn`."""
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


# -- TICKS ---

cdef uint64_t _ticks() noexcept nogil:
    if hs_is_virtual():
        return <uint64_t>hs_monotonic_ns()
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
    if not HS_HAS_TSC or hs_is_virtual():
        return 1.0
    if _ns_per_tick == 0.0:
        begin_ns = end_ns = hs_monotonic_ns()
        begin_ticks = hs_ticks()
        while end_ns - begin_ns < 20_000_000:
            end_ns = hs_monotonic_ns()
        _ns_per_tick = <double>(end_ns - begin_ns) / <double>(hs_ticks() - begin_ticks)
    return _ns_per_tick


def set_virtual_time(int64_t monotonic_ns, int64_t wall_ns) -> None:
    """For the simulator: what the compiled edge's clocks say from now on, in the whole process;
    (0, 0): they are read again."""
    hs_set_virtual(monotonic_ns, wall_ns)
    set_virtual_time_of_conns(monotonic_ns, wall_ns)
