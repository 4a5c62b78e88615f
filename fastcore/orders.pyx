# cython: language_level=3
"""What the venue's answers and events make of our orders.

States move only along the table of order_states.pyx; a terminal state is never left, a fill after
Canceled is still booked, and each venue trade id is booked once, whatever delivers it and in any
order (reliability.md I-12..15).

An amend keeps the client id: same intent, new price and total. Until its fate is known
(new_qty_lots > 0) the order counts at the greater size and reaches to the more aggressive price. A
reply of 200 or an AMENDMENT gives it its new terms, but only the reply ends PENDING_REPLACE, so
that it can't be taken for the answer to the next amend. An error proves nothing (USD-M cancels a
post-only order whose new price would take): UNKNOWN, and a query decides.

Where a reply says no more than that a request was accepted (Bybit: its order_status is a pending
state), nothing is done yet: the order keeps waiting, the EXEC_STATUS pushes say what became of it,
and the wait for them is timed like the wait for any answer. There an amend is over when both are
in, in whatever order: the push with the new terms and the reply.
"""
cimport cython
from fastcore.check cimport FC_DCHECK
from fastcore.codec.error_codes cimport (
    is_ambiguous, is_clock_refusal, is_no_such_order, is_plain_refusal, is_post_only_refusal,
    is_too_fast, is_too_many_amends,
)
from fastcore.order_states cimport ORDER_WORKS
from fastcore.types cimport (
    EXEC_AMENDMENT, EXEC_CALCULATED, EXEC_STATUS, EXEC_TRADE, INTENT_EARLIER, ORD_CANCELED,
    ORD_EXPIRED, ORD_FILLED, ORD_FREE, ORD_NEW, ORD_PARTIALLY_FILLED, ORD_PENDING_CANCEL,
    ORD_PENDING_NEW, ORD_PENDING_REPLACE, ORD_REJECTED, ORD_UNKNOWN, ORDER_POST_ONLY,
    OWNER_EARLIER, OWNER_RUN, OWNER_STRANGER, SEND_LATE, SEND_PARTIAL, SEND_SENT, VERB_CANCEL,
    VERB_MODIFY, VERB_PLACE, VERB_STATUS, VIA_REST, VIA_STREAM,
)
from fastcore.working cimport (
    MODIFIES_MAX, REASON_LATE, REASON_NONE, REASON_SEND_FAILED, REASON_SEND_PARTIAL,
    REASON_STRAY_AMENDMENT, REASON_VENUE_QUERY, is_live, is_working,
)


cdef enum:
    ABSENT_CODE = -2013        # a venue's own "no such order", whichever: see error_codes


cdef inline int _owner(seq_t intent_id) noexcept nogil:
    if intent_id >= 0:
        return OWNER_RUN
    return OWNER_EARLIER if intent_id == INTENT_EARLIER else OWNER_STRANGER


cdef inline bint _is_only_accepted(const ReplyEvent* event) noexcept nogil:
    return event.status == 200 and (
        event.order_status == ORD_PENDING_NEW or event.order_status == ORD_PENDING_CANCEL
        or event.order_status == ORD_PENDING_REPLACE)


@cython.final
@cython.no_gc
cdef class Orders(Working):
    """Orders and position of one instrument. ValueError for a timeout that is not above 0."""

    def __cinit__(self, ns_t ack_timeout_ns, ns_t recv_window_ns, seq_t first_intent_id=1):
        self.booked = Booked(TRADE_IDS_MAX)

    # -- EVENTS ---

    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks, ns_t now_ns) noexcept nogil:
        cdef Order* order = self.find(event.intent_id)
        cdef int result = 0
        self.changed = NULL
        self.input_ns = now_ns
        if event.intent_id < 0:
            self.strangers += 1
        else:
            self.hear(event.intent_id, not is_working(event.status))
        if self._is_surprise(event, order):
            result = SURPRISE
        if event.exec_type == EXEC_TRADE and event.last_qty_lots > 0:
            if not self.booked.take(event.trade_id, event.side, event.exch_ts_ns):
                self.duplicate_fills += 1
                if order != NULL:
                    self._owe(order, event.cum_qty_lots, now_ns)
                    self._on_known_trade(order, event)
                return result | (CHANGED if self.changed != NULL else 0)
            self._fill(event, _owner(event.intent_id), VIA_STREAM, bid_px_ticks, ask_px_ticks,
                       now_ns)
            result |= FILLED
            if event.intent_id < 0:
                result |= STRANGER
            if order != NULL:
                order.cum_qty_lots += event.last_qty_lots
            elif event.intent_id >= 0:
                result |= SURPRISE     # all that the venue said was executed is booked already
        if order == NULL:
            return result
        if event.venue_order_id >= 0 and event.venue_order_id != order.venue_order_id:
            order.venue_order_id = event.venue_order_id
            self.changed = order
        self._owe(order, event.cum_qty_lots, now_ns)
        if (result & FILLED and event.cum_qty_lots >= 0
                and order.cum_qty_lots > order.venue_cum_qty_lots):
            result |= SURPRISE         # more than it ever executed: one fill under two ids?
        self._on_event_state(order, event)
        self._time_doubt(order, now_ns)
        self._drop_if_settled(order)
        if result & FILLED:
            self.changed = order
        return result | (CHANGED if self.changed != NULL else 0)

    cdef void _on_known_trade(self, Order* order, const OrderEvent* event) noexcept nogil:
        """An execution that REST, or an earlier copy, told before. That it ended the order is as
        true as ever; that the order was alive then is old news, and must not end a doubt."""
        if not is_working(event.status):
            self._on_event_state(order, event)
        self._drop_if_settled(order)

    cdef bint on_fill_row(self, const FillRow* row, px_t bid_px_ticks, px_t ask_px_ticks,
                          ns_t now_ns) noexcept nogil:
        """A row tells no state: only that so much is executed. All of it is: FILLED.

        Older than what is remembered, it may be booked or not: it is not booked twice, and if it
        never was, the position tells."""
        cdef Order* order = self.find(row.intent_id) if row.owner == OWNER_RUN else NULL
        cdef OrderEvent event
        self.changed = NULL
        self.input_ns = now_ns
        if self.booked.is_beyond(row.exch_ts_ns) or not self.booked.take(
                row.trade_id, <int>row.side, row.exch_ts_ns):
            return False
        event.intent_id = row.intent_id
        event.trade_id = row.trade_id
        event.venue_order_id = row.venue_order_id
        event.side = <int>row.side
        event.last_px_ticks = row.px_ticks
        event.last_qty_lots = row.qty_lots
        event.fee_e8 = row.fee_e8
        event.fee_asset = <int>row.fee_asset
        event.is_maker = <int>row.is_maker
        event.exch_ts_ns = row.exch_ts_ns
        self._fill(&event, <int>row.owner, VIA_REST, bid_px_ticks, ask_px_ticks, now_ns)
        if order == NULL:
            return True
        order.cum_qty_lots += row.qty_lots
        if row.venue_order_id >= 0:
            order.venue_order_id = row.venue_order_id
        if (is_working(order.state) and order.new_qty_lots == 0
                and order.cum_qty_lots >= order.qty_lots):
            self.move(order, ORD_FILLED, REASON_VENUE_QUERY)
        elif order.state == ORD_NEW or order.state == ORD_PENDING_NEW:
            self.move(order, ORD_PARTIALLY_FILLED, REASON_VENUE_QUERY)
        self._time_doubt(order, now_ns)
        self._drop_if_settled(order)
        self.changed = order
        return True

    cdef void _on_event_state(self, Order* order, const OrderEvent* event) noexcept nogil:
        cdef int before = order.state
        if is_working(before) and (event.exec_type == EXEC_AMENDMENT or (
                event.exec_type == EXEC_STATUS and is_live(event.status))):
            if order.new_qty_lots > 0:
                if (event.px_ticks == order.new_px_ticks
                        and event.qty_lots == order.new_qty_lots):
                    self._settle_amend(order, event.px_ticks, event.qty_lots)
                    self.changed = order
                    if order.state == ORD_PENDING_REPLACE and order.is_amend_accepted:
                        self.move(order, ORDER_WORKS, REASON_NONE)
                elif event.exec_type == EXEC_AMENDMENT:
                    return             # of an amend before the open one
            elif event.px_ticks != order.px_ticks or event.qty_lots != order.qty_lots:
                self.move(order, ORD_UNKNOWN, REASON_STRAY_AMENDMENT)
                return
        if order.new_qty_lots > 0 and before == ORD_UNKNOWN and is_live(event.status):
            return                     # alive, but at which price? only a query knows
        self.move(order, event.status, REASON_NONE)
        if (order.state != before and before != ORD_PENDING_CANCEL
                and (order.state == ORD_EXPIRED or order.state == ORD_REJECTED)
                and order.flags & ORDER_POST_ONLY and order.cum_qty_lots == 0):
            self._note_refusal(order)

    cdef void _note_refusal(self, const Order* order) noexcept nogil:
        self.post_only_refusals[order.side] += 1
        self.refused_ns[order.side] = self.input_ns

    cdef bint _is_surprise(self, const OrderEvent* event, const Order* order) noexcept nogil:
        """Alive at the venue, though we hold it for dead without the venue's word or know nothing
        of it, an earlier run's that came late included; or executed by the venue's own hand
        (liquidation, ADL)."""
        if event.exec_type == EXEC_CALCULATED:
            return True
        if event.intent_id < 0 and event.intent_id != INTENT_EARLIER:
            return False
        if order == NULL:
            return is_live(event.status)
        return is_live(event.status) and (order.state == ORD_REJECTED or (
            order.state == ORD_CANCELED and order.reason == REASON_VENUE_QUERY))

    cdef void _fill(self, const OrderEvent* event, int owner, int via, px_t bid_px_ticks,
                    px_t ask_px_ticks, ns_t now_ns) noexcept nogil:
        self.stranger_fills += owner == OWNER_STRANGER
        self.earlier_fills += owner == OWNER_EARLIER
        self.last_trade_ts_ns = max(self.last_trade_ts_ns, event.exch_ts_ns)
        self.book(event, bid_px_ticks, ask_px_ticks, now_ns)
        self.last_fill.intent_id = event.intent_id
        self.last_fill.trade_id = event.trade_id
        self.last_fill.venue_order_id = event.venue_order_id
        self.last_fill.side = event.side
        self.last_fill.px_ticks = event.last_px_ticks
        self.last_fill.qty_lots = event.last_qty_lots
        self.last_fill.fee_e8 = event.fee_e8
        self.last_fill.is_maker = event.is_maker
        self.last_fill.bid_px_ticks = bid_px_ticks
        self.last_fill.ask_px_ticks = ask_px_ticks
        self.last_fill.position_after_lots = self.position_lots
        self.last_fill.exch_ts_ns = event.exch_ts_ns
        self.last_fill.fee_asset = event.fee_asset
        self.last_fill.owner = owner
        self.last_fill.via = via

    cdef void on_known(self, const KnownTrade* trades, int count) noexcept nogil:
        """Executions that an earlier run has booked: they are in the opening position."""
        cdef int i
        for i in range(count):
            self.booked.take(trades[i].trade_id, <int>trades[i].side, trades[i].exch_ts_ns)

    cdef int on_reply(self, const ReplyEvent* event, ns_t now_ns) noexcept nogil:
        """A WebSocket-API answer to one of our verbs."""
        return self._on_reply(event, self.take_question(event.intent_id, now_ns)
                              if event.verb == VERB_STATUS else now_ns, now_ns)

    cdef int _on_reply(self, const ReplyEvent* event, ns_t asked_ns, ns_t now_ns) noexcept nogil:
        cdef Order* order = self.find(event.intent_id)
        cdef int result = 0
        self.changed = NULL
        self.input_ns = now_ns
        if is_too_fast(event.status, event.error_code):
            result = RATE_LIMITED
        elif is_clock_refusal(event.error_code):
            result = CLOCK_REJECTED
        if order == NULL:
            return result
        if event.venue_order_id >= 0:
            order.venue_order_id = event.venue_order_id
        self._owe(order, event.cum_qty_lots, now_ns)
        if event.status == 200 and (event.verb == VERB_PLACE or (
                event.verb == VERB_STATUS and event.order_status != ORD_FREE)):
            self.note_ack(order, now_ns)
        if _is_only_accepted(event):
            if event.verb == VERB_MODIFY:
                self._on_amend_accepted(order)
        elif event.verb == VERB_PLACE:
            self._on_place_reply(order, event)
        elif event.verb == VERB_MODIFY:
            self._on_modify_reply(order, event)
        elif event.verb == VERB_CANCEL:
            if event.status == 200:
                self.move(order, ORD_CANCELED, REASON_NONE)
                self.note_end(order, now_ns)
            elif is_working(order.state):
                # Filled meanwhile, or never there, or throttled: only a query knows.
                self.move(order, ORD_UNKNOWN, event.error_code)
        elif event.verb == VERB_STATUS:
            self._on_status_reply(order, event, asked_ns, now_ns)
        self._time_doubt(order, now_ns)
        return result | (CHANGED if self.changed != NULL else 0)

    cdef int on_query(self, const QueryRow* row, ns_t now_ns) noexcept nogil:
        """Also of an order that we did not doubt. Absent counts once the venue could not take the
        order any more; alive, though it ended by our books: SURPRISE."""
        cdef Order* order = self.find(row.intent_id)
        cdef ns_t asked_ns = min(row.asked_ns, now_ns) if row.asked_ns > 0 else now_ns
        cdef ReplyEvent event
        cdef int result
        self.changed = NULL
        if order == NULL:
            return 0
        event.intent_id = row.intent_id
        event.verb = VERB_STATUS
        event.status = 400 if row.is_absent else 200
        event.error_code = ABSENT_CODE if row.is_absent else 0
        event.order_status = ORD_FREE if row.is_absent else <int>row.order_status
        event.venue_order_id = -1 if row.is_absent else row.venue_order_id
        event.cum_qty_lots = -1 if row.is_absent else row.cum_qty_lots
        event.cancel_status = event.new_status = 0
        event.px_ticks = row.px_ticks
        event.qty_lots = row.qty_lots
        if row.is_absent and self._is_past_arrival(order, asked_ns):
            self._ask_again(order, ABSENT_CODE)
        result = self._on_reply(&event, asked_ns, now_ns)
        if not row.is_absent and is_live(event.order_status) and not is_working(order.state):
            result |= SURPRISE
        return result

    cdef bint _is_past_arrival(self, const Order* order, ns_t asked_ns) noexcept nogil:
        """The venue refuses an order older than recvWindow: after that it can't appear any more.
        An answer speaks of the time of its question: it may have been under way for long."""
        return asked_ns - order.placed_ns > self.recv_window_ns + self.ack_timeout_ns

    cdef void _on_place_reply(self, Order* order, const ReplyEvent* event) noexcept nogil:
        if event.status == 200:
            if order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
                self.move(order, ORDER_WORKS, REASON_NONE)
        elif is_ambiguous(event.status, event.error_code):
            self.move(order, ORD_UNKNOWN, event.error_code)
        elif order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
            self.move(order, ORD_REJECTED, event.error_code)
            if order.flags & ORDER_POST_ONLY and is_post_only_refusal(event.error_code):
                self._note_refusal(order)

    cdef void _on_amend_accepted(self, Order* order) noexcept nogil:
        """It may have been carried out already: then the order has its new terms."""
        if order.new_qty_lots > 0:
            order.is_amend_accepted = 1
        elif order.state == ORD_PENDING_REPLACE:
            self.move(order, ORDER_WORKS, REASON_NONE)

    cdef void _on_modify_reply(self, Order* order, const ReplyEvent* event) noexcept nogil:
        """200: the new terms hold, unless the venue ended the order by them. An error: unchanged,
        canceled or still to come; UNKNOWN, and the query comes at once.
        A query may have settled an
        amend before its reply came: this may be the reply to that one."""
        cdef bint is_due_before = order.amend_replies_due > 1
        if order.amend_replies_due > 0:
            order.amend_replies_due -= 1
        if not is_working(order.state):
            return
        if event.status == 200:
            if order.new_qty_lots > 0:
                if ((event.px_ticks > 0 and event.px_ticks != order.new_px_ticks)
                        or (event.qty_lots > 0 and event.qty_lots != order.new_qty_lots)):
                    return             # the answer to an amend before the open one
                if is_due_before and (event.px_ticks <= 0 or event.qty_lots <= 0):
                    self._ask_again(order, event.error_code)
                    return             # to which of them? a query knows
                order.amend_replies_due = 0    # replies come in the order of the amends
                self._settle_amend(order, order.new_px_ticks, order.new_qty_lots)
                self.changed = order
            if event.order_status != ORD_FREE and not is_live(event.order_status):
                self.move(order, event.order_status, REASON_NONE)
            elif order.state == ORD_PENDING_REPLACE or order.state == ORD_UNKNOWN:
                self.move(order, ORDER_WORKS, REASON_NONE)
            return
        if is_too_many_amends(event.error_code):
            order.modify_count = MODIFIES_MAX
        if order.flags & ORDER_POST_ONLY and is_post_only_refusal(event.error_code):
            self._note_refusal(order)
        order.is_amend_refused = not (is_due_before
                                      or is_ambiguous(event.status, event.error_code))
        if is_plain_refusal(event.status, event.error_code):
            # Such a venue can't be asked either: the diff pulls an order whose amend is open.
            if order.new_qty_lots > 0 and order.state == ORD_PENDING_REPLACE:
                self.move(order, ORDER_WORKS, event.error_code)
        elif order.state != ORD_PENDING_CANCEL:
            self._ask_again(order, event.error_code)

    cdef void _ask_again(self, Order* order, int reason) noexcept nogil:
        order.is_queried = 0
        self.move(order, ORD_UNKNOWN, reason)

    cdef void _on_status_reply(self, Order* order, const ReplyEvent* event, ns_t asked_ns,
                               ns_t now_ns) noexcept nogil:
        """What a query says settles the matter; what it can't say is asked again, later."""
        if event.status == 200 and event.order_status != ORD_FREE:
            order.is_queried = 0
            if event.order_status == ORD_FILLED and event.cum_qty_lots < 0:
                self._owe(order, max(order.qty_lots, order.new_qty_lots), now_ns)
            if is_live(event.order_status):
                self._on_status_amend(order, event, asked_ns)
            self.move(order, event.order_status, REASON_NONE)
        elif (is_no_such_order(event.error_code) and order.state == ORD_UNKNOWN
                and self._is_past_arrival(order, asked_ns)):
            order.is_queried = 0
            self.move(order, ORD_REJECTED, event.error_code)

    cdef void _on_status_amend(self, Order* order, const ReplyEvent* event,
                               ns_t asked_ns) noexcept nogil:
        """The terms that a live order has. An amend that may still come stays open, and so does
        one of which the answer tells no price: the diff cancels such an order."""
        if event.px_ticks <= 0 or event.qty_lots <= 0 or order.state != ORD_UNKNOWN:
            return
        if (order.new_qty_lots > 0 and event.px_ticks == order.px_ticks
                and event.qty_lots == order.qty_lots and not order.is_amend_refused
                and asked_ns - order.amend_ns <= self.recv_window_ns + self.ack_timeout_ns):
            return
        self._settle_amend(order, event.px_ticks, event.qty_lots)

    cdef void on_unsent(self, seq_t intent_id, int verb, int outcome) noexcept nogil:
        """A message that did not leave, or left only in part."""
        cdef Order* order = self.find(intent_id)
        self.changed = NULL
        FC_DCHECK(outcome != SEND_SENT)
        if order == NULL:
            return
        if outcome == SEND_PARTIAL:
            self.move(order, ORD_UNKNOWN, REASON_SEND_PARTIAL)
        elif verb == VERB_PLACE:
            self.move(order, ORD_REJECTED,
                      REASON_LATE if outcome == SEND_LATE else REASON_SEND_FAILED)
        elif verb == VERB_CANCEL:
            order.cancel_ns = 0
            if order.state == ORD_PENDING_CANCEL:
                self.move(order, ORDER_WORKS, REASON_SEND_FAILED)
        elif verb == VERB_STATUS:
            order.questions_due = max(0, order.questions_due - 1)
        elif verb == VERB_MODIFY:
            order.new_px_ticks = order.new_qty_lots = 0
            order.amend_replies_due = max(0, order.amend_replies_due - 1)
            self.move(order, ORDER_WORKS,
                      REASON_LATE if outcome == SEND_LATE else REASON_SEND_FAILED)
        else:
            order.is_queried = 0

    # -- COLD: Python's face, for tests ---

    def order_event(self, dict fields, px_t bid_px_ticks, px_t ask_px_ticks, ns_t now_ns) -> int:
        """on_order_event of an OrderEvent's fields, all of them."""
        cdef OrderEvent event = fields
        return self.on_order_event(&event, bid_px_ticks, ask_px_ticks, now_ns)

    def reply(self, dict fields, ns_t now_ns) -> int:
        """on_reply of a ReplyEvent's fields, all of them."""
        cdef ReplyEvent event = fields
        return self.on_reply(&event, now_ns)

    def fill_row(self, dict row, px_t bid_px_ticks, px_t ask_px_ticks, ns_t now_ns) -> bool:
        """on_fill_row of a FillRow's fields, all of them."""
        cdef FillRow given = row
        return self.on_fill_row(&given, bid_px_ticks, ask_px_ticks, now_ns)

    def query(self, dict row, ns_t now_ns) -> int:
        """on_query of a QueryRow's fields, all of them."""
        cdef QueryRow given = row
        return self.on_query(&given, now_ns)

    def known(self, seq_t trade_id, int side, ns_t exch_ts_ns) -> None:
        cdef KnownTrade trade
        trade.trade_id, trade.side, trade.exch_ts_ns = trade_id, side, exch_ts_ns
        self.on_known(&trade, 1)

    def last_fill_fields(self) -> dict:
        return self.last_fill

    def unsent(self, seq_t intent_id, int verb, int outcome) -> None:
        self.on_unsent(intent_id, verb, outcome)

    def counts(self) -> dict:
        return {"duplicate_fills": self.duplicate_fills, "strangers": self.strangers,
                "stranger_fills": self.stranger_fills, "earlier_fills": self.earlier_fills,
                "illegal_moves": self.illegal_moves, "active": self.active_count,
                "fills": self.fill_count, "refused_ns": list(self.refused_ns),
                "post_only_refusals": list(self.post_only_refusals)}
