# cython: language_level=3
"""Feed a Core from a tape, with the simulated venue answering: replay and the in-process bench.

Time is the tape's receive stamp, and never goes back. At each market message: whatever was due
before it, in order of time (timers each 100 ms, verbs that reach the venue, answers that reach
the core), then the message itself to the core, then to the venue, whose book is the core's.
Messages of the core are reported SENT with zero host latency and reach the venue one entry
latency later, so a run is a function of tape, configuration and parameters alone. With ticks on,
the computing time of inputs that caused orders is counted; nothing decides by it.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.string cimport memcpy, memset

from fastcore.orders cimport Order
from fastcore.types cimport *

cdef extern from *:
    """
    /* All stores are in the cache when this returns. */
    #define fc_fence() __sync_synchronize()
    """
    void fc_fence() noexcept nogil


@cython.final
cdef class Drive:
    """One core and its simulated venue over one tape; latencies and fees as SimVenue's.

    The core comes configured but not started; `start` connects it.
    """

    def __init__(self, Core core not None, *, ns_t entry_latency_ns, ns_t response_latency_ns,
                 int64_t maker_fee_ppm=200, int64_t taker_fee_ppm=500):
        self.core = core
        self.venue = SimVenue(
            core.book, core.config["tick"], core.config["lot"],
            entry_latency_ns=entry_latency_ns, response_latency_ns=response_latency_ns,
            maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
        self.now_ns = -1
        self.messages = self.answers = 0
        self.timed_levels = self.best_outs = self.depth_outs = 0
        self.best_latency = Histogram()
        self.depth_latency = Histogram()
        self.level_latency = Histogram()
        self.other_latency = Histogram()
        self._reader = RowReader()
        self._ns_per_tick = 1.0
        memset(&self._event, 0, sizeof(Event))
        memset(&self._answer, 0, sizeof(Event))

    def set_ticks(self, capsule, double ns_per_tick):
        """Count computing time by a capsule "tickmaker.tick" (`uint64_t (*)(void)`)."""
        if not ns_per_tick > 0:
            raise ValueError("ns_per_tick must be positive")
        self._tick = <tick_fn>PyCapsule_GetPointer(capsule, "tickmaker.tick")
        self._ns_per_tick = ns_per_tick
        self._capsule = capsule

    def start(self, ns_t now_ns, ns_t venue_minus_recv_ns=0):
        """Connect the core at tape time `now_ns`: streams up, clock known, flat, started."""
        self.now_ns = now_ns
        self._next_timer_ns = now_ns + TIMER_EVERY_NS
        for conn in (CONN_MARKET, CONN_TRADE, CONN_USER):
            self.core.on_conn(conn, True, now_ns)
        self.core.on_clock(venue_minus_recv_ns, now_ns)
        self.core.on_account(0, 0, now_ns)
        self.core.on_command(CMD_START, now_ns)

    def run_rows(self, tuple columns):
        """Feed one batch of a tape (order of rows.COLUMNS). Returns the rows fed.

        Raises ValueError (its argument is the row) on rows that are no whole message, and
        OverflowError when more was in flight to or from the venue than it holds.
        """
        cdef int code
        self._check_started()
        self._reader.bind(columns)
        with nogil:
            code = self._run_rows()
        self._check_venue()
        if code < 0:
            raise ValueError(self._reader.index)
        return self._reader.index

    def run_frames(self, const uint8_t[::1] arena not None, const int64_t[::1] offsets not None,
                   const int64_t[::1] recv_ts_ns not None):
        """Feed raw market frames: frame i is arena[offsets[i]:offsets[i + 1]].

        Returns the frames fed. A frame that the core can't decode is the core's to judge.
        """
        cdef int64_t count = recv_ts_ns.shape[0]
        cdef int64_t i
        self._check_started()
        if offsets.shape[0] != count + 1:
            raise ValueError("there is one more offset than frames")
        if count == 0:
            return 0
        if offsets[0] < 0 or offsets[count] > arena.shape[0]:
            raise ValueError("an offset lies outside the arena")
        for i in range(count):
            if offsets[i] > offsets[i + 1]:
                raise ValueError("offsets go backwards")
        if arena.shape[0] == 0:
            raise ValueError("the arena is empty")
        with nogil:
            self._run_frames(&arena[0], &offsets[0], &recv_ts_ns[0], count)
        self._check_venue()
        return count

    def finish(self):
        """Let one second of tape time pass with orders pulled, so that none is left open."""
        self._check_started()
        self.core.on_command(CMD_SHUTDOWN, self.now_ns)
        self._submit()
        self._catch_up(self.now_ns + 1_000_000_000)
        self._check_venue()

    def latency_summary(self):
        """p50_us, p99_us, p999_us, max_us, n over all kinds; n = 0 without ticks."""
        cdef Histogram total = Histogram()
        for part in (self.best_latency, self.depth_latency, self.other_latency):
            total.merge(part)
        return total.summary()

    def _check_started(self):
        if self.now_ns < 0:
            raise RuntimeError("call start() first")

    def _check_venue(self):
        if self.venue.is_overflown:
            raise OverflowError("more in flight to or from the simulated venue than it holds")

    # -- HOT ------------------------------------------------------------------------------------

    cdef int _run_rows(self) noexcept nogil:
        cdef ns_t recv_ts_ns = 0
        cdef int64_t begin
        cdef int kind, out_count
        while True:
            kind = self._reader.next(&self._event, &recv_ts_ns)
            if kind <= 0:
                return kind
            self._catch_up(recv_ts_ns)
            if recv_ts_ns > self.now_ns:
                self.now_ns = recv_ts_ns
            self.messages += 1
            if self._tick == NULL:
                self.core.on_event(&self._event, CONN_MARKET, self.now_ns, self.now_ns)
            else:
                begin = <int64_t>self._tick()
                out_count = self.core.on_event(&self._event, CONN_MARKET, self.now_ns, self.now_ns)
                self._timed(out_count, &self._event, <int64_t>self._tick() - begin)
            self._submit()
            self._market(&self._event)
            if self.venue.is_overflown:
                return E_FULL

    cdef int _run_frames(self, const uint8_t* arena, const int64_t* offsets,
                         const int64_t* recv_ts_ns, int64_t count) noexcept nogil:
        cdef const Event* event = &self.core.decoder.event
        cdef const uint8_t* frame
        cdef int64_t i, begin, size
        cdef int out_count
        for i in range(count):
            self._catch_up(recv_ts_ns[i])
            if recv_ts_ns[i] > self.now_ns:
                self.now_ns = recv_ts_ns[i]
            self.messages += 1
            frame = arena + offsets[i]
            size = offsets[i + 1] - offsets[i]
            if size <= HOT_BYTES:
                # As live: the kernel has just copied it, so it is in the processor's cache.
                memcpy(self._hot, frame, size)
                fc_fence()
                frame = self._hot
            if self._tick == NULL:
                out_count = self.core.on_frame(CONN_MARKET, frame, size, self.now_ns, self.now_ns)
            else:
                begin = <int64_t>self._tick()
                out_count = self.core.on_frame(CONN_MARKET, frame, size, self.now_ns, self.now_ns)
                self._timed(out_count, event, <int64_t>self._tick() - begin)
            self._submit()
            self._market(event)
            if self.venue.is_overflown:
                return E_FULL
        return OK

    cdef void _market(self, const Event* event) noexcept nogil:
        if event.kind == EV_TRADE:
            self.venue.on_trade(&event.trade, self.now_ns)
        elif event.kind == EV_BEST or event.kind == EV_DEPTH or event.kind == EV_SNAPSHOT:
            self.venue.on_book(self.now_ns)

    cdef void _catch_up(self, ns_t until_ns) noexcept nogil:
        """Whatever is due by then, in order of time; at one time the venue before the timer."""
        cdef ns_t due_ns
        cdef int conn = 0
        while True:
            due_ns = min(self.venue.next_due_ns(), self._next_timer_ns)
            if due_ns > until_ns:
                return
            if due_ns > self.now_ns:
                self.now_ns = due_ns
            if due_ns == self._next_timer_ns and self.venue.next_due_ns() > due_ns:
                self._next_timer_ns += TIMER_EVERY_NS
                self.core.on_timer(self.now_ns)
                self._submit()
                continue
            self.venue.advance(self.now_ns)
            while self.venue.pop(self.now_ns, &self._answer, &conn):
                self.answers += 1
                self.core.on_event(&self._answer, conn, self.now_ns, self.now_ns)
                self._submit()
            if self.venue.is_overflown:
                return

    cdef void _submit(self) noexcept nogil:
        """Take the core's messages to the venue, each reported as sent without delay."""
        cdef Order* order
        cdef Out* out
        cdef int i
        for i in range(self.core.out_count):
            out = &self.core.outs[i]
            self.core.on_send(out.out_seq, SEND_SENT, self.now_ns, self.now_ns, self.now_ns)
            if out.verb == VERB_CANCEL:
                self.venue.cancel(out.intent_id, self.now_ns)
            elif out.verb == VERB_MODIFY:
                order = self.core.orders.find(out.intent_id)
                self.venue.modify(out.intent_id, order.new_px_ticks, order.new_qty_lots,
                                  self.now_ns)
            elif out.verb == VERB_STATUS:
                self.venue.status(out.intent_id, self.now_ns)
            else:
                order = self.core.orders.find(out.intent_id)
                self.venue.place(out.intent_id, order.side, order.px_ticks, order.qty_lots,
                                 order.flags & ORDER_POST_ONLY, order.flags & ORDER_REDUCE_ONLY,
                                 self.now_ns)

    cdef void _timed(self, int out_count, const Event* event, int64_t ticks) noexcept nogil:
        cdef int64_t ns, levels
        if out_count <= 0:
            return
        ns = <int64_t>(<double>ticks * self._ns_per_tick)
        if event.kind == EV_BEST:
            self.best_latency.record(ns)
            self.best_outs += out_count
        elif event.kind == EV_DEPTH:
            levels = event.depth.bid_count + event.depth.ask_count
            self.depth_latency.record(ns)
            self.level_latency.record(ns // max(levels, <int64_t>1))
            self.timed_levels += levels
            self.depth_outs += out_count
        else:
            self.other_latency.record(ns)
