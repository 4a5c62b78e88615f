# cython: language_level=3
"""How a core acts: each wanted action through the gate, encoded, journaled, put out.

An OUT record stands in the journal before the edge can see the message: the record *is* the
intent. A cancel passes no gate and leaves even when the journal is full.
"""
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.diff cimport Action
from fastcore.gate cimport GATE_OK, Intent
from fastcore.hash cimport hash64
from fastcore.journal cimport REC_OUT
from fastcore.latency cimport STAGE_DIFF_GATE, STAGE_ENCODE
from fastcore.stops cimport STOP_NONE, STOP_REASONS, StopExit
from fastcore.types cimport (
    CONN_TRADE, E_UNSUPPORTED, ORD_PENDING_CANCEL, ORDER_IOC, ORDER_REDUCE_ONLY, OUT_BYTES,
    OUT_MAX, SEND_FAILED, SIDE_BUY, SIDE_SELL, SYNC_SYNCED, VERB_CANCEL, VERB_MODIFY, VERB_PLACE,
    VERB_STATUS, Out, px_t,
)
from fastcore.working cimport Order, reach_px

cdef enum:
    OUT_HEADER_SIZE = 40


cdef class CoreSend(CoreState):
    """Between CoreState and Core; makes no sense alone."""

    cdef void _act(self, ns_t now_ns) noexcept nogil:
        cdef int i
        cdef Action* action
        if not self.conn_up[CONN_TRADE]:
            return                 # nothing can leave; the edge reconciles over REST
        for i in range(self.diff.action_count):
            action = &self.diff.actions[i]
            if action.verb == VERB_CANCEL:
                self._cancel(action, now_ns)
            elif action.verb == VERB_PLACE:
                self._place(action, now_ns)
            elif action.verb == VERB_MODIFY:
                self._modify(action, now_ns)
            else:
                self._query(action, now_ns)

    cdef int _check(self, const Action* action, seq_t replaces, qty_t filled_lots,
                    ns_t now_ns) noexcept nogil:
        cdef Intent intent
        intent.side = action.side
        intent.flags = action.flags
        intent.px_ticks = action.px_ticks
        intent.qty_lots = action.qty_lots
        intent.filled_lots = filled_lots
        intent.replaces = replaces
        return self.gate.check(
            &intent, self.halts.bits, self.sync.state == SYNC_SYNCED, self.book_ns,
            self.cause_ts_ns if self.cause_ts_ns else now_ns, now_ns)

    cdef void _place(self, const Action* action, ns_t now_ns) noexcept nogil:
        cdef Order* order
        cdef int64_t size
        cdef int code = self._check(action, -1, 0, now_ns)
        if fc_unlikely(code != GATE_OK):
            self._deny(code, action, now_ns)
            return
        order = self.orders.add(action.side, action.px_ticks, action.qty_lots, action.flags,
                                action.reason, now_ns)
        if fc_unlikely(order == NULL):
            return
        self.stages.mark(STAGE_DIFF_GATE)
        size = self.encoder.place(self.arena + self.arena_used, OUT_BYTES - self.arena_used,
                                  order.intent_id, action.side, action.px_ticks,
                                  action.qty_lots, action.flags & self.flags_mask,
                                  self._utc_ms(now_ns))
        if fc_unlikely(size < 0 or not self._emit(VERB_PLACE, order.intent_id, size,
                                                   self._deadline(now_ns), now_ns)):
            self.orders.on_unsent(order.intent_id, VERB_PLACE, SEND_FAILED)
            return
        self.gate.count_send(VERB_PLACE, now_ns)
        if action.flags & ORDER_IOC and -STOP_REASONS < action.reason < 0:
            self.stops.on_exit_sent()
        self._record_order(order, now_ns)
        self.stages.mark(STAGE_ENCODE)

    cdef void _modify(self, const Action* action, ns_t now_ns) noexcept nogil:
        """New terms under the same id; an order that may not have them is pulled."""
        cdef Order* order = self.orders.find(action.intent_id)
        cdef int64_t size
        cdef int code
        FC_DCHECK(order != NULL)
        code = self._check(action, order.intent_id, order.cum_qty_lots, now_ns)
        if fc_unlikely(code != GATE_OK):
            self._deny(code, action, now_ns)
            self._cancel(action, now_ns)
            return
        size = self.encoder.modify(
            self.arena + self.arena_used, OUT_BYTES - self.arena_used, order.intent_id,
            action.side, action.px_ticks, action.qty_lots, self._utc_ms(now_ns))
        if fc_unlikely(size < 0 or not self._emit(VERB_MODIFY, order.intent_id, size,
                                                   self._deadline(now_ns), now_ns)):
            self._cancel(action, now_ns)
            return
        self.gate.count_send(VERB_MODIFY, now_ns)
        self.orders.amend(order, action.px_ticks, action.qty_lots, now_ns)
        self.stages.mark(STAGE_ENCODE)

    cdef void _cancel(self, const Action* action, ns_t now_ns) noexcept nogil:
        cdef Order* order = self.orders.find(action.intent_id)
        cdef int64_t size
        FC_DCHECK(order != NULL)
        size = self.encoder.cancel(self.arena + self.arena_used, OUT_BYTES - self.arena_used,
                                   order.intent_id, self._utc_ms(now_ns))
        if fc_unlikely(size < 0 or not self._emit(VERB_CANCEL, order.intent_id, size, 0, now_ns)):
            return                 # still working: the next input asks again
        self.gate.count_send(VERB_CANCEL, now_ns)
        # The OUT record tells of it; the next ORDER record is what became of the order.
        self.orders.move(order, ORD_PENDING_CANCEL, 0)
        order.sent_ns = order.cancel_ns = now_ns
        self.stages.mark(STAGE_ENCODE)

    cdef void _query(self, const Action* action, ns_t now_ns) noexcept nogil:
        cdef int64_t size = self.encoder.status(
            self.arena + self.arena_used, OUT_BYTES - self.arena_used, action.intent_id,
            self._utc_ms(now_ns))
        if size > 0 and self._emit(VERB_STATUS, action.intent_id, size, 0, now_ns):
            self.gate.count_send(VERB_STATUS, now_ns)
        elif size == E_UNSUPPORTED:
            self._doubt()              # no query on this connection: the session's, over REST
        self._record_order(self.orders.find(action.intent_id), now_ns)

    cdef bint _emit(self, int verb, seq_t intent_id, int64_t size, ns_t deadline_ns,
                    ns_t now_ns) noexcept nogil:
        """Journal the message just encoded at the arena's end, then put it out. False: no."""
        cdef Out* out
        cdef uint8_t* payload
        cdef int64_t[5] words
        if fc_unlikely(self.out_count >= OUT_MAX):
            return False
        if self.is_journaled:
            payload = NULL
            if not self.is_journal_full:
                payload = self.journal.reserve(OUT_HEADER_SIZE + self.encoder.payload_size)
            if payload != NULL:
                words[0] = self.out_seq
                words[1] = intent_id
                words[2] = CONN_TRADE
                words[3] = deadline_ns
                words[4] = <int64_t>hash64(
                    0, self.encoder.payload + self.encoder.sig_offset,
                    self.encoder.sig_size)
                memcpy(payload, words, OUT_HEADER_SIZE)
                self._copy_blanked(payload + OUT_HEADER_SIZE)
                self.journal.commit(REC_OUT, verb, OUT_HEADER_SIZE + self.encoder.payload_size,
                                    now_ns, self.cause_ts_ns)
            else:
                self._stop_journal()
                if verb == VERB_PLACE or verb == VERB_MODIFY:
                    return False
        out = &self.outs[self.out_count]
        out.out_seq = self.out_seq
        out.intent_id = intent_id
        out.conn = CONN_TRADE
        out.verb = verb
        out.data = self.arena + self.arena_used
        out.size = size
        out.cause_ts_ns = self.cause_ts_ns
        out.deadline_ns = deadline_ns
        self.out_count += 1
        self.out_seq += 1
        self.arena_used += size
        self.diff.count_message(now_ns)
        return True

    # -- TAKING ---

    cdef void _want_take(self, ns_t now_ns) noexcept nogil:
        """The strategy's take; reduce-only where all that it can do is to reduce."""
        cdef qty_t position_lots = self.orders.position_lots
        cdef int side = self.target.take_side
        cdef int flags = 0
        cdef qty_t room_lots = -position_lots if side == SIDE_BUY else position_lots
        cdef qty_t qty_lots = self.target.take_qty_lots
        cdef px_t px_ticks = self._short_of_own(side, self.target.take_px_ticks)
        if qty_lots <= room_lots:
            flags = ORDER_REDUCE_ONLY
            self.gate.clamp_exit(side, &px_ticks, &qty_lots)
        self.diff.want_take(side, px_ticks, qty_lots, flags, self.target.take_reason, now_ns)

    cdef void _keep_reducing(self) noexcept nogil:
        """Halted: no quotes, and of a take only what shrinks the position. A hedge stays: the
        other leg's gate judges it."""
        cdef qty_t position_lots = self.orders.position_lots
        self.target.bid_count = self.target.ask_count = 0
        if self.target.take_qty_lots > (-position_lots if self.target.take_side == SIDE_BUY
                                        else position_lots):
            self.target.take_qty_lots = 0

    cdef void _want_hedge(self) noexcept nogil:
        """Keep it for the pair. It counts as open at once: it must not be wanted twice. Only
        on_reference, an input of the journal, ends it: so a replay needs no pair."""
        if self.hedge.qty_lots != 0:
            return                 # what became of the last one is not told yet
        self.hedge.side = self.target.hedge_side
        self.hedge.reason = self.target.hedge_reason
        self.hedge.px_ticks = self.target.hedge_px_ticks
        self.hedge.qty_lots = self.target.hedge_qty_lots
        self.ref_open_lots += (self.hedge.qty_lots if self.hedge.side == SIDE_BUY
                               else -self.hedge.qty_lots)

    cdef bint _check_stops(self, StopExit* exit, ns_t now_ns) noexcept nogil:
        """Whether an exit is due now. While a trade is being ended nothing adds to it.

        Measured at the touch of others, which the view of this input holds: our own bid is no
        price that a long could be sold at.
        """
        cdef px_t bid_px = self.book.bid_px_ticks
        cdef px_t ask_px = self.book.ask_px_ticks
        if self.sync.state != SYNC_SYNCED or not self.book.is_two_sided:
            return False           # at what price? BOOK halts, and the next touch asks again
        if self.stops.is_exit_open and not self._is_exit_working():
            self.stops.on_exit_done()
        if self.view.bid_count > 0 and self.view.ask_count > 0:
            bid_px, ask_px = self.view.bids[0].px_ticks, self.view.asks[0].px_ticks
        self.stops.check(self.orders.position_lots, self.orders.entry_px_ticks,
                         self.orders.entry_ns, bid_px, ask_px, now_ns, exit)
        if self.stops.reason == STOP_NONE:
            return False
        if self.orders.position_lots > 0:
            self.target.bid_count = 0
        else:
            self.target.ask_count = 0
        self.target.take_qty_lots = 0
        if exit.qty_lots > 0:
            exit.px_ticks = self._short_of_own(exit.side, exit.px_ticks)
            self.gate.clamp_exit(exit.side, &exit.px_ticks, &exit.qty_lots)
        return exit.qty_lots > 0

    cdef px_t _short_of_own(self, int side, px_t px_ticks) noexcept nogil:
        """A limit that does not reach our own quotes while they are being pulled, if the touch
        is somebody else's; if it is ours, the gate makes the take wait for the cancel."""
        cdef const Order* order
        cdef px_t reach
        cdef int i
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if order.side == side or not self.orders.may_rest(order):
                continue
            reach = reach_px(order)
            if side == SIDE_SELL and px_ticks <= reach < self.book.bid_px_ticks:
                px_ticks = reach + 1
            elif side == SIDE_BUY and px_ticks >= reach > self.book.ask_px_ticks:
                px_ticks = reach - 1
        return px_ticks

    cdef bint _is_exit_working(self) noexcept nogil:
        cdef const Order* order
        cdef int i
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if order.flags & ORDER_IOC and -STOP_REASONS < order.take_reason < 0:
                return True
        return False

    # -- COLD ---

    @property
    def wanted_hedge(self) -> tuple[int, int, int, int] | None:
        """(side, px_ticks, qty_lots, reason) that the strategy wants of the other leg."""
        if self.hedge.qty_lots == 0:
            return None
        return self.hedge.side, self.hedge.px_ticks, self.hedge.qty_lots, self.hedge.reason
