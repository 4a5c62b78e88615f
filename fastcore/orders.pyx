# cython: language_level=3
"""What we asked for, what the venue says became of it, and what that made us own.

States move only along TRANSITIONS; a terminal state is never left, a fill after Canceled is
still booked, and each venue trade id is booked once, whatever delivers it and in any order.
An order whose fate is unknown counts at full size until a query answers (reliability.md I-12..15):
"unknown order" from the venue asks, it never means "canceled, replace now".

Position is signed lots; cash is exact in tick x lot; fees in 1e-8 of the quote asset. The spread
captured by a fill against the mid of that moment is kept in half-ticks x lots, so it stays an
integer: side * (bid + ask - 2 px) * qty.
"""
cimport cython
from libc.string cimport memset

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.types cimport (
    EXEC_TRADE,
    ORD_CANCELED,
    ORD_FREE,
    ORD_NEW,
    ORD_PARTIALLY_FILLED,
    ORD_PENDING_CANCEL,
    ORD_PENDING_NEW,
    ORD_REJECTED,
    ORD_UNKNOWN,
    SEND_LATE,
    SEND_PARTIAL,
    SEND_SENT,
    SIDE_BUY,
    SIDE_SELL,
    VERB_CANCEL,
    VERB_PLACE,
    VERB_STATUS,
)

cdef enum:
    STATES = 10

# TRANSITIONS[from][to]; illegal steps are counted and ignored.
cdef int8_t[STATES][STATES] TRANSITIONS
for _state, _row in enumerate((
    # to: FREE, PENDING_NEW, NEW, PARTIALLY_FILLED, PENDING_CANCEL, FILLED, CANCELED,
    #     REJECTED, EXPIRED, UNKNOWN
    (0, 1, 0, 0, 0, 0, 0, 0, 0, 0),    # FREE
    (0, 0, 1, 1, 0, 1, 1, 1, 1, 1),    # PENDING_NEW
    (0, 0, 0, 1, 1, 1, 1, 0, 1, 1),    # NEW
    (0, 0, 0, 0, 1, 1, 1, 0, 1, 1),    # PARTIALLY_FILLED
    (0, 0, 1, 1, 0, 1, 1, 0, 1, 1),    # PENDING_CANCEL (back: the cancel did not leave)
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # FILLED
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # CANCELED
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # REJECTED
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # EXPIRED
    (0, 0, 1, 1, 1, 1, 1, 1, 1, 0),    # UNKNOWN
)):
    for _to, _allowed in enumerate(_row):
        TRANSITIONS[<int>_state][<int>_to] = _allowed


cdef inline bint _is_working(int state) noexcept nogil:
    return (state == ORD_PENDING_NEW or state == ORD_NEW or state == ORD_PARTIALLY_FILLED
            or state == ORD_PENDING_CANCEL or state == ORD_UNKNOWN)


cdef inline bint _is_ambiguous(int status, int code) noexcept nogil:
    """Replies after which the order may live: reliability.md §3.2, -1006, -1007, 408, 5xx."""
    return status >= 500 or status == 408 or code == -1006 or code == -1007


@cython.final
cdef class Orders:
    def __cinit__(self, px_t requote_ticks, ns_t requote_ns, ns_t ack_timeout_ns):
        if requote_ticks < 0 or requote_ns < 0 or ack_timeout_ns <= 0:
            raise ValueError("Expected requote_ticks >= 0, requote_ns >= 0, ack_timeout_ns > 0, "
                             f"was {requote_ticks}, {requote_ns}, {ack_timeout_ns}")
        self.requote_ticks = requote_ticks
        self.requote_ns = requote_ns
        self.ack_timeout_ns = ack_timeout_ns
        self.next_intent_id = 1
        memset(self.trade_ids, 0xFF, sizeof(self.trade_ids))
        self.last_requote_ns[SIDE_BUY] = self.last_requote_ns[SIDE_SELL] = -(<ns_t>1 << 62)

    cdef Order* find(self, seq_t intent_id) noexcept nogil:
        """The order of an intent while we remember it (at least until 64 intents later). O(1)."""
        cdef Order* order
        if intent_id <= 0:
            return NULL
        order = &self.slots[intent_id % ORDERS_MAX]
        return order if order.intent_id == intent_id and order.state != ORD_FREE else NULL

    cdef Order* add(self, int side, px_t px_ticks, qty_t qty_lots, ns_t now_ns) noexcept nogil:
        """A new order in PENDING_NEW, or NULL when every slot is working."""
        cdef Order* order
        cdef int _
        for _ in range(ORDERS_MAX):
            order = &self.slots[self.next_intent_id % ORDERS_MAX]
            if not _is_working(order.state):
                break
            self.next_intent_id += 1
        else:
            return NULL
        memset(order, 0, sizeof(Order))
        order.intent_id = self.next_intent_id
        order.venue_order_id = -1
        order.side = side
        order.state = ORD_PENDING_NEW
        order.px_ticks = px_ticks
        order.qty_lots = qty_lots
        order.sent_ns = now_ns
        self.active[self.active_count] = <int32_t>(order.intent_id % ORDERS_MAX)
        self.active_count += 1
        self.next_intent_id += 1
        return order

    cdef void move(self, Order* order, int state, int reason) noexcept nogil:
        """One step of the state machine; a step that the table forbids is counted and ignored."""
        cdef int i
        if not TRANSITIONS[order.state][state]:
            if order.state != state:
                self.illegal_moves += 1
            return
        order.state = state
        order.reason = reason
        self.changed = order
        if not _is_working(state):
            for i in range(self.active_count):
                if self.active[i] == order.intent_id % ORDERS_MAX:
                    self.active_count -= 1
                    self.active[i] = self.active[self.active_count]
                    break

    cdef qty_t open_lots(self, int side) noexcept nogil:
        """Leaves of every order of a side that may still fill, unknown ones at full size."""
        cdef qty_t total = 0
        cdef int i
        cdef Order* order
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if order.side == side:
                total += order.qty_lots - order.cum_qty_lots
        return total

    # -- EVENTS ---

    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks) noexcept nogil:
        cdef Order* order = self.find(event.intent_id)
        cdef int result = 0
        self.changed = NULL
        if event.intent_id < 0:
            self.strangers += 1
            result = STRANGER
        if order != NULL and event.venue_order_id >= 0:
            order.venue_order_id = event.venue_order_id
        if event.exec_type == EXEC_TRADE and event.last_qty_lots > 0:
            if not self._is_new_trade(event.trade_id):
                self.duplicate_fills += 1
                return result
            self._fill(event, order, bid_px_ticks, ask_px_ticks)
            result |= FILLED
        if order == NULL:
            return result
        if event.cum_qty_lots > order.cum_qty_lots:
            order.cum_qty_lots = min(event.cum_qty_lots, order.qty_lots)
        if event.status == ORD_NEW and order.state == ORD_PENDING_CANCEL:
            return result      # a late New does not undo our cancel
        if event.status == ORD_PARTIALLY_FILLED and order.state == ORD_PENDING_CANCEL:
            self.changed = order
        else:
            self.move(order, event.status, REASON_NONE)
        return result | (CHANGED if self.changed != NULL else 0)

    cdef void _fill(self, const OrderEvent* event, Order* order, px_t bid_px_ticks,
                    px_t ask_px_ticks) noexcept nogil:
        cdef int64_t sign = 1 if event.side == SIDE_BUY else -1
        self.position_lots += sign * event.last_qty_lots
        self.cash_ticks_lots -= sign * event.last_px_ticks * event.last_qty_lots
        self.fees_e8 += event.fee_e8
        self.spread_half_ticks_lots += (
            sign * (bid_px_ticks + ask_px_ticks - 2 * event.last_px_ticks) * event.last_qty_lots
        )
        self.fill_count += 1
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

    cdef bint _is_new_trade(self, seq_t trade_id) noexcept nogil:
        cdef int i
        for i in range(TRADE_IDS_MAX):
            if self.trade_ids[i] == trade_id:
                return False
        self.trade_ids[self.trade_id_count % TRADE_IDS_MAX] = trade_id
        self.trade_id_count += 1
        return True

    cdef int on_reply(self, const ReplyEvent* event) noexcept nogil:
        """A WebSocket-API answer to one of our verbs."""
        cdef Order* order = self.find(event.intent_id)
        cdef int result = 0
        self.changed = NULL
        if event.status == 429 or event.status == 418 or event.error_code == -1003 \
                or event.error_code == -1015:
            result = RATE_LIMITED
        elif event.error_code == -1021:
            result = CLOCK_REJECTED
        if order == NULL:
            return result
        if event.venue_order_id >= 0:
            order.venue_order_id = event.venue_order_id
        if event.cum_qty_lots > order.venue_cum_qty_lots:
            order.venue_cum_qty_lots = event.cum_qty_lots
        order.is_queried = 0
        if event.verb == VERB_PLACE:
            if event.status == 200:
                if order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
                    self.move(order, ORD_NEW, REASON_NONE)
            elif _is_ambiguous(event.status, event.error_code):
                self.move(order, ORD_UNKNOWN, event.error_code)
            elif order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
                self.move(order, ORD_REJECTED, event.error_code)
        elif event.verb == VERB_CANCEL:
            if event.status == 200:
                self.move(order, ORD_CANCELED, REASON_NONE)
            elif _is_working(order.state):
                # Filled meanwhile, or never there, or throttled: only a query knows.
                self.move(order, ORD_UNKNOWN, event.error_code)
        elif event.verb == VERB_STATUS:
            if event.status == 200 and event.order_status != ORD_FREE:
                self.move(order, event.order_status, REASON_NONE)
            elif event.error_code == -2013 and order.state == ORD_UNKNOWN:
                self.move(order, ORD_REJECTED, event.error_code)
        return result | (CHANGED if self.changed != NULL else 0)

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
            self.move(order, ORD_PARTIALLY_FILLED if order.cum_qty_lots else ORD_NEW,
                      REASON_SEND_FAILED)
        else:
            order.is_queried = 0

    # -- DIFF ---

    cdef int diff(self, const Target* target, bint is_halted, ns_t now_ns) noexcept nogil:
        """Fill `actions` with what turns working orders into `target`: cancels, then places.

        A working quote within requote_ticks of a wanted one is kept, and with it its place in the
        queue. A side is requoted at most once per requote_ns; pulling is never delayed.
        """
        cdef uint32_t missing_bids, missing_asks
        self.action_count = 0
        if is_halted:
            self._diff_side(SIDE_BUY, NULL, 0, now_ns)
            self._diff_side(SIDE_SELL, NULL, 0, now_ns)
            return self.action_count
        missing_bids = self._diff_side(SIDE_BUY, target.bids, target.bid_count, now_ns)
        missing_asks = self._diff_side(SIDE_SELL, target.asks, target.ask_count, now_ns)
        self._place_side(SIDE_BUY, target.bids, target.bid_count, missing_bids)
        self._place_side(SIDE_SELL, target.asks, target.ask_count, missing_asks)
        return self.action_count

    cdef uint32_t _diff_side(self, int side, const Level* wanted, int wanted_count,
                             ns_t now_ns) noexcept nogil:
        """Cancel what is not wanted any more; return the wanted levels that nothing serves yet,
        as a bit mask (none while the fate of an order of this side is open)."""
        cdef uint32_t missing = (<uint32_t>1 << wanted_count) - 1
        cdef int first_action = self.action_count
        cdef bint is_open = True
        cdef int i, level
        cdef Order* order
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if order.side != side or order.state == ORD_PENDING_CANCEL:
                continue
            if order.state == ORD_UNKNOWN:
                is_open = False
                continue
            level = self._match(order, wanted, wanted_count, missing)
            if level >= 0:
                missing &= ~(<uint32_t>1 << level)
            elif order.state == ORD_PENDING_NEW:
                is_open = False        # not cancellable before it is acknowledged
            else:
                self._want(VERB_CANCEL, side, order.px_ticks, order.qty_lots, order.intent_id)
        if not is_open:
            missing = 0
        if missing == 0 and self.action_count == first_action:
            return 0
        if wanted_count > 0:
            if now_ns - self.last_requote_ns[side] < self.requote_ns:
                self.action_count = first_action
                return 0
            self.last_requote_ns[side] = now_ns
        return missing

    cdef int _match(self, const Order* order, const Level* wanted, int wanted_count,
                    uint32_t missing) noexcept nogil:
        """Index of the first wanted level that `order` still serves, or -1."""
        cdef int level
        cdef px_t distance_ticks
        for level in range(wanted_count):
            if missing & (<uint32_t>1 << level):
                distance_ticks = wanted[level].px_ticks - order.px_ticks
                if -self.requote_ticks <= distance_ticks <= self.requote_ticks:
                    return level
        return -1

    cdef void _place_side(self, int side, const Level* wanted, int wanted_count,
                          uint32_t missing) noexcept nogil:
        cdef int level
        for level in range(wanted_count):
            if missing & (<uint32_t>1 << level):
                self._want(VERB_PLACE, side, wanted[level].px_ticks, wanted[level].qty_lots, -1)

    cdef void _want(self, int verb, int side, px_t px_ticks, qty_t qty_lots,
                    seq_t intent_id) noexcept nogil:
        cdef Action* action
        if fc_unlikely(self.action_count >= OUT_MAX):
            return                 # the next input asks again
        action = &self.actions[self.action_count]
        action.verb = verb
        action.side = side
        action.px_ticks = px_ticks
        action.qty_lots = qty_lots
        action.intent_id = intent_id
        self.action_count += 1

    cdef void forget_requote(self, int side) noexcept nogil:
        """A side whose order was denied may try again at the next look."""
        self.last_requote_ns[side] = -(<ns_t>1 << 62)

    cdef int overdue(self, ns_t now_ns) noexcept nogil:
        """Fill `actions` with queries for orders whose answer is late or whose fate is unknown."""
        cdef int i
        cdef Order* order
        self.action_count = 0
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if now_ns - order.sent_ns < self.ack_timeout_ns and (
                    order.state != ORD_UNKNOWN or order.is_queried):
                continue
            if (order.state == ORD_PENDING_NEW or order.state == ORD_PENDING_CANCEL):
                self.move(order, ORD_UNKNOWN, REASON_ACK_TIMEOUT)
            if order.state == ORD_UNKNOWN:
                order.is_queried = 1
                order.sent_ns = now_ns
                self._want(VERB_STATUS, order.side, order.px_ticks, order.qty_lots,
                           order.intent_id)
        return self.action_count

    cdef int64_t fills_missing(self, ns_t now_ns) noexcept nogil:
        """Lots that a reply says were executed and no fill has told us of, ack_timeout_ns later."""
        cdef int64_t total = 0
        cdef int i
        cdef Order* order
        for i in range(ORDERS_MAX):
            order = &self.slots[i]
            if (order.venue_cum_qty_lots > order.cum_qty_lots
                    and now_ns - order.sent_ns > self.ack_timeout_ns):
                total += order.venue_cum_qty_lots - order.cum_qty_lots
        return total
