# cython: language_level=3
"""What we asked for, what the venue says became of it, and what that made us own.

States move only along TRANSITIONS; a terminal state is never left, a fill after Canceled is
still booked, and each venue trade id is booked once, whatever delivers it and in any order.
An order stays active until nothing of it can fill any more: what the venue calls executed counts
until it is booked, because answers and fills come by two connections, in no order. One whose fate
is unknown counts at full size until a query answers (reliability.md I-12..15).

Position is signed lots; cash is exact in tick x lot; fees in 1e-8 of the quote asset. The spread
captured by a fill against the mid of its moment is side * (bid + ask - 2 px) * qty, an integer.
"""
cimport cython
from libc.string cimport memset

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.types cimport (
    EXEC_CALCULATED, EXEC_TRADE, ORD_CANCELED, ORD_FILLED, ORD_FREE, ORD_NEW,
    ORD_PARTIALLY_FILLED, ORD_PENDING_CANCEL, ORD_PENDING_NEW, ORD_REJECTED, ORD_UNKNOWN,
    SEND_LATE, SEND_PARTIAL, SEND_SENT, SIDE_BUY, SIDE_SELL, VERB_CANCEL, VERB_PLACE,
    VERB_STATUS,
)

cdef enum:
    STATES = 10
    UNKNOWN_ACKS_MAX = 5       # ack timeouts that a fate may stay unknown

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


cdef inline bint _is_open(const Order* order) noexcept nogil:
    """May still change our position: it works, or the venue owes us fills of it."""
    return _is_working(order.state) or (order.state != ORD_FREE
                                        and order.venue_cum_qty_lots > order.cum_qty_lots)


cdef inline bint _is_ambiguous(int status, int code) noexcept nogil:
    """Replies after which the order may live: reliability.md §3.2, -1006, -1007, 408, 5xx."""
    return status >= 500 or status == 408 or code == -1006 or code == -1007


@cython.final
cdef class Orders:
    def __cinit__(self, px_t requote_ticks, ns_t requote_ns, ns_t ack_timeout_ns,
                  ns_t recv_window_ns):
        if requote_ticks < 0 or requote_ns < 0 or ack_timeout_ns <= 0 or recv_window_ns <= 0:
            raise ValueError("Expected requote_ticks and requote_ns >= 0, timeouts > 0, was "
                             f"{requote_ticks}, {requote_ns}, {ack_timeout_ns}, {recv_window_ns}")
        self.requote_ticks = requote_ticks
        self.requote_ns = requote_ns
        self.ack_timeout_ns = ack_timeout_ns
        self.recv_window_ns = recv_window_ns
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
        """A new order in PENDING_NEW, or NULL when every slot is working or owes fills."""
        cdef Order* order
        cdef int _
        for _ in range(ORDERS_MAX):
            order = &self.slots[self.next_intent_id % ORDERS_MAX]
            if not _is_open(order):
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
        order.placed_ns = order.sent_ns = now_ns
        self.active[self.active_count] = <int32_t>(order.intent_id % ORDERS_MAX)
        self.active_count += 1
        self.next_intent_id += 1
        return order

    cdef void move(self, Order* order, int state, int reason) noexcept nogil:
        """One step of the state machine; a step that the table forbids is counted and ignored."""
        if not TRANSITIONS[order.state][state]:
            if order.state != state:
                self.illegal_moves += 1
            return
        order.state = state
        order.reason = reason
        self.changed = order
        self._drop_if_settled(order)

    cdef void _drop_if_settled(self, Order* order) noexcept nogil:
        """Take an order off the active list once nothing of it can still fill."""
        cdef int i
        if _is_open(order):
            return
        for i in range(self.active_count):
            if self.active[i] == order.intent_id % ORDERS_MAX:
                self.active_count -= 1
                self.active[i] = self.active[self.active_count]
                return

    cdef void _owe(self, Order* order, qty_t venue_cum_lots, ns_t now_ns) noexcept nogil:
        """The venue says that so much is executed: what is not booked is owed to us."""
        if venue_cum_lots > order.venue_cum_qty_lots:
            order.venue_cum_qty_lots = min(venue_cum_lots, order.qty_lots)
            order.owed_ns = now_ns

    cdef qty_t open_lots(self, const Order* order) noexcept nogil:
        """What of an active order may still reach the position, at worst."""
        if _is_working(order.state):
            return order.qty_lots - order.cum_qty_lots
        return max(<qty_t>0, order.venue_cum_qty_lots - order.cum_qty_lots)

    cdef bint may_rest(self, const Order* order) noexcept nogil:
        return _is_working(order.state)

    cdef void settle_all(self) noexcept nogil:
        """The venue's position is ours and nothing is open there: no fill is owed any more."""
        cdef Order* order
        cdef int i = 0
        while i < self.active_count:
            order = &self.slots[self.active[i]]
            order.venue_cum_qty_lots = order.cum_qty_lots
            if _is_open(order):
                i += 1
            else:
                self._drop_if_settled(order)

    # -- EVENTS ---

    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks, ns_t now_ns) noexcept nogil:
        cdef Order* order = self.find(event.intent_id)
        cdef int result = 0
        self.changed = NULL
        if event.intent_id < 0:
            self.strangers += 1
            result = STRANGER
        elif self._is_surprise(event, order):
            result = SURPRISE
        if event.exec_type == EXEC_TRADE and event.last_qty_lots > 0:
            if not self._is_new_trade(event.trade_id, event.side):
                self.duplicate_fills += 1
                return result
            self._fill(event, bid_px_ticks, ask_px_ticks)
            result |= FILLED
            if order != NULL:
                order.cum_qty_lots += event.last_qty_lots
        if order == NULL:
            return result
        if event.venue_order_id >= 0:
            order.venue_order_id = event.venue_order_id
        self._owe(order, event.cum_qty_lots, now_ns)
        if order.state == ORD_PENDING_CANCEL and (event.status == ORD_NEW
                                                  or event.status == ORD_PARTIALLY_FILLED):
            self.changed = order   # news of before our cancel does not undo it
        else:
            self.move(order, event.status, REASON_NONE)
        self._drop_if_settled(order)
        if result & FILLED:
            self.changed = order
        return result | (CHANGED if self.changed != NULL else 0)

    cdef bint _is_surprise(self, const OrderEvent* event, const Order* order) noexcept nogil:
        """Alive at the venue, though we hold it for dead without the venue's word or know nothing
        of it; or executed by the venue's own hand (liquidation, ADL)."""
        cdef bint is_live = event.status == ORD_NEW or event.status == ORD_PARTIALLY_FILLED
        if event.exec_type == EXEC_CALCULATED:
            return True
        if order == NULL:
            return is_live
        return is_live and (order.state == ORD_REJECTED or (
            order.state == ORD_CANCELED and order.reason == REASON_VENUE_QUERY))

    cdef void _fill(self, const OrderEvent* event, px_t bid_px_ticks,
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

    cdef bint _is_new_trade(self, seq_t trade_id, int side) noexcept nogil:
        """Not booked before. Both sides of one trade may be ours: the side is part of the key."""
        cdef seq_t key = 2 * trade_id + side
        cdef int i
        for i in range(TRADE_IDS_MAX):
            if self.trade_ids[i] == key:
                return False
        self.trade_ids[self.trade_id_count % TRADE_IDS_MAX] = key
        self.trade_id_count += 1
        return True

    cdef int on_reply(self, const ReplyEvent* event, ns_t now_ns) noexcept nogil:
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
        self._owe(order, event.cum_qty_lots, now_ns)
        if event.verb == VERB_PLACE:
            self._on_place_reply(order, event)
        elif event.verb == VERB_CANCEL:
            if event.status == 200:
                self.move(order, ORD_CANCELED, REASON_NONE)
            elif _is_working(order.state):
                # Filled meanwhile, or never there, or throttled: only a query knows.
                self.move(order, ORD_UNKNOWN, event.error_code)
        elif event.verb == VERB_STATUS:
            self._on_status_reply(order, event, now_ns)
        if order.state == ORD_UNKNOWN and order.unknown_ns == 0:
            order.unknown_ns = now_ns
        elif order.state != ORD_UNKNOWN:
            order.unknown_ns = 0
        return result | (CHANGED if self.changed != NULL else 0)

    cdef void _on_place_reply(self, Order* order, const ReplyEvent* event) noexcept nogil:
        if event.status == 200:
            if order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
                self.move(order, ORD_NEW, REASON_NONE)
        elif _is_ambiguous(event.status, event.error_code):
            self.move(order, ORD_UNKNOWN, event.error_code)
        elif order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN:
            self.move(order, ORD_REJECTED, event.error_code)

    cdef void _on_status_reply(self, Order* order, const ReplyEvent* event,
                               ns_t now_ns) noexcept nogil:
        """What a query says settles the matter; what it can't say is asked again, later."""
        if event.status == 200 and event.order_status != ORD_FREE:
            order.is_queried = 0
            if event.order_status == ORD_FILLED:
                self._owe(order, order.qty_lots, now_ns)
            self.move(order, event.order_status, REASON_NONE)
        elif (event.error_code == -2013 and order.state == ORD_UNKNOWN
                and now_ns - order.placed_ns > self.recv_window_ns + self.ack_timeout_ns):
            # The venue refuses an order older than recvWindow: it can't appear any more.
            order.is_queried = 0
            self.move(order, ORD_REJECTED, event.error_code)

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
            if (order.side != side or order.state == ORD_PENDING_CANCEL
                    or not _is_working(order.state)):
                continue
            if order.state == ORD_UNKNOWN:
                is_open = False
                continue
            level = self._match(order, wanted, wanted_count, missing)
            if level >= 0:
                missing &= ~(<uint32_t>1 << level)
            elif order.state == ORD_PENDING_NEW:
                is_open = False        # not cancellable before it is acknowledged
            elif order.cancel_ns == 0 or now_ns - order.cancel_ns >= self.ack_timeout_ns:
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
        """Fill `actions` with queries for orders whose answer is late or whose fate is unknown:
        the first at once, then one per ack_timeout_ns and order."""
        cdef int i
        cdef Order* order
        self.action_count = 0
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if now_ns - order.sent_ns < self.ack_timeout_ns and (
                    order.state != ORD_UNKNOWN or order.is_queried):
                continue
            if order.state == ORD_PENDING_NEW or order.state == ORD_PENDING_CANCEL:
                self.move(order, ORD_UNKNOWN, REASON_ACK_TIMEOUT)
            if order.state == ORD_UNKNOWN:
                if order.unknown_ns == 0:
                    order.unknown_ns = now_ns
                order.is_queried = 1
                order.sent_ns = now_ns
                self._want(VERB_STATUS, order.side, order.px_ticks, order.qty_lots,
                           order.intent_id)
        return self.action_count

    cdef bint is_stuck(self, ns_t now_ns) noexcept nogil:
        """Fills owed for longer than an answer may take, or a fate unknown for several times that:
        only a reconciliation helps."""
        cdef int i
        cdef Order* order
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if (order.venue_cum_qty_lots > order.cum_qty_lots
                    and now_ns - order.owed_ns > self.ack_timeout_ns):
                return True
            if (order.state == ORD_UNKNOWN and order.unknown_ns != 0
                    and now_ns - order.unknown_ns > UNKNOWN_ACKS_MAX * self.ack_timeout_ns):
                return True
        return False
