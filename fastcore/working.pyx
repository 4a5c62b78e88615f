# cython: language_level=3
"""The orders that work, their steps along the table, and how long the queue before each is.

An order stays active until nothing of it can fill any more: what the venue calls executed counts
until it is booked, because answers and fills come by two connections, in no order. One whose fate
is unknown, and an amend whose fate is open, count at worst (reliability.md I-14).

Queue position: the risk-averse model of theory 13. When first looked at after its ack, an order
stands behind all that is visible at its price; trades there advance it, a print beyond proves that
it is first, and a level that changes leaves at most what is visible without us. Whether the level
seen at the ack holds us already is unknown, so there our own size counts as others'.
"""
cimport cython
from libc.string cimport memset

from fastcore.check cimport FC_DCHECK, fc_unlikely
from fastcore.order_states cimport ORDER_NEVER, ORDER_NEXT, ORDER_STAYS
from fastcore.types cimport (
    ORD_FREE, ORD_NEW, ORD_PENDING_CANCEL, ORD_PENDING_NEW, ORD_PENDING_REPLACE,
    ORD_UNKNOWN, ORDER_POST_ONLY, SIDE_BUY,
)

cdef enum:
    UNKNOWN_ACKS_MAX = 5       # ack timeouts that a fate may stay unknown


cdef inline bint is_open(const Order* order) noexcept nogil:
    """May still change our position: it works, or the venue owes us fills of it."""
    return is_working(order.state) or (order.state != ORD_FREE
                                       and order.venue_cum_qty_lots > order.cum_qty_lots)


@cython.no_gc
cdef class Working(Position):
    """Base of Orders. ValueError for a timeout that is not above 0."""

    def __cinit__(self, ns_t ack_timeout_ns, ns_t recv_window_ns, seq_t first_intent_id=1):
        if ack_timeout_ns <= 0 or recv_window_ns <= 0:
            raise ValueError("Expected ack_timeout_ns and recv_window_ns > 0, was "
                             f"{ack_timeout_ns}, {recv_window_ns}")
        self.ack_timeout_ns = ack_timeout_ns
        self.recv_window_ns = recv_window_ns
        if first_intent_id < 1:
            raise ValueError(f"Expected first_intent_id above 0, was {first_intent_id}")
        self.next_intent_id = first_intent_id

    cdef Order* find(self, seq_t intent_id) noexcept nogil:
        """The order of an intent while we remember it (at least until 64 intents later). O(1)."""
        cdef Order* order
        if intent_id <= 0:
            return NULL
        order = &self.slots[intent_id % ORDERS_MAX]
        return order if order.intent_id == intent_id and order.state != ORD_FREE else NULL

    cdef Order* add(self, int side, px_t px_ticks, qty_t qty_lots, int flags, int take_reason,
                    ns_t now_ns) noexcept nogil:
        """A new order in PENDING_NEW, or NULL when every slot is working or owes fills."""
        cdef Order* order
        cdef int _
        for _ in range(ORDERS_MAX):
            order = &self.slots[self.next_intent_id % ORDERS_MAX]
            if not is_open(order):
                break
            self.next_intent_id += 1
        else:
            return NULL
        memset(order, 0, sizeof(Order))
        order.intent_id = self.next_intent_id
        order.venue_order_id = -1
        order.side = side
        order.state = ORD_PENDING_NEW
        order.flags = flags
        order.take_reason = take_reason
        order.px_ticks = px_ticks
        order.qty_lots = qty_lots
        order.ahead_lots = order.seen_lots = -1
        order.placed_ns = order.sent_ns = now_ns
        self.active[self.active_count] = <int32_t>(order.intent_id % ORDERS_MAX)
        self.active_count += 1
        self.next_intent_id += 1
        return order

    cdef void amend(self, Order* order, px_t px_ticks, qty_t qty_lots, ns_t now_ns) noexcept nogil:
        FC_DCHECK(order.new_qty_lots == 0 and qty_lots > 0)
        self.move(order, ORD_PENDING_REPLACE, REASON_NONE)
        order.new_px_ticks = px_ticks
        order.new_qty_lots = qty_lots
        order.is_amend_refused = order.is_amend_accepted = 0
        order.modify_count += 1
        order.amend_replies_due += 1
        order.sent_ns = order.amend_ns = now_ns

    cdef void _settle_amend(self, Order* order, px_t px_ticks, qty_t qty_lots) noexcept nogil:
        """The order stands at these terms; no amend is open any more."""
        if px_ticks != order.px_ticks or qty_lots > order.qty_lots:
            order.ahead_lots = order.seen_lots = -1     # back to the end of a queue
        order.px_ticks = px_ticks
        order.qty_lots = qty_lots
        order.new_px_ticks = order.new_qty_lots = 0

    cdef void move(self, Order* order, int said, int reason) noexcept nogil:
        """One step along the table; what can't be is counted and ignored."""
        cdef int state = ORDER_NEXT[order.state][said]
        if state == ORDER_STAYS:
            return
        if fc_unlikely(state == ORDER_NEVER):
            self.illegal_moves += 1
            return
        if state == ORD_NEW and order.cum_qty_lots > 0:
            state = ORD_PARTIALLY_FILLED
        order.state = state
        order.reason = reason
        self.changed = order
        self._drop_if_settled(order)

    cdef void _drop_if_settled(self, Order* order) noexcept nogil:
        """Take an order off the active list once nothing of it can still fill."""
        cdef int i
        if is_open(order):
            return
        for i in range(self.active_count):
            if self.active[i] == order.intent_id % ORDERS_MAX:
                self.active_count -= 1
                self.active[i] = self.active[self.active_count]
                return

    cdef void _owe(self, Order* order, qty_t venue_cum_lots, ns_t now_ns) noexcept nogil:
        """The venue says that so much is executed: what is not booked is owed to us."""
        if venue_cum_lots > order.venue_cum_qty_lots:
            order.venue_cum_qty_lots = min(venue_cum_lots,
                                           max(order.qty_lots, order.new_qty_lots))
            order.owed_ns = now_ns
            if not is_working(order.state) and is_open(order):
                self._take_up(order)

    cdef void _take_up(self, Order* order) noexcept nogil:
        """Back to the active list, if it was settled, as we thought."""
        cdef int32_t slot = <int32_t>(order.intent_id % ORDERS_MAX)
        cdef int i
        for i in range(self.active_count):
            if self.active[i] == slot:
                return
        self.active[self.active_count] = slot
        self.active_count += 1

    cdef bint may_rest(self, const Order* order) noexcept nogil:
        return is_working(order.state)

    cdef bint may_cancel(self, const Order* order, ns_t now_ns) noexcept nogil:
        """A cancel that was refused, or is not answered, is not sent again and again."""
        return order.cancel_ns == 0 or now_ns - order.cancel_ns >= self.ack_timeout_ns

    cdef bint meets_own(self, int side, px_t px_ticks) noexcept nogil:
        """Whether an own order of the other side may stand there, as the gate judges it."""
        cdef int64_t sign = 1 if side == SIDE_BUY else -1
        cdef const Order* order
        cdef int i
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if (order.side != side and is_working(order.state)
                    and sign * (px_ticks - reach_px(order)) >= 0):
                return True
        return False

    cdef void settle_all(self) noexcept nogil:
        """The venue's position is ours and nothing is open there: no fill is owed any more."""
        cdef Order* order
        cdef int i = 0
        while i < self.active_count:
            order = &self.slots[self.active[i]]
            order.venue_cum_qty_lots = order.cum_qty_lots
            if is_open(order):
                i += 1
            else:
                self._drop_if_settled(order)

    # -- FATES ---

    cdef bint ask_now(self, Order* order, ns_t now_ns) noexcept nogil:
        """The first query at once, then one per ack_timeout_ns and order, whatever cancels of
        the order leave in between."""
        if order.state == ORD_UNKNOWN:
            if order.is_queried and now_ns - order.asked_ns < self.ack_timeout_ns:
                return False
        elif now_ns - order.sent_ns < self.ack_timeout_ns:
            return False
        if (order.state == ORD_PENDING_NEW or order.state == ORD_PENDING_CANCEL
                or order.state == ORD_PENDING_REPLACE):
            self.move(order, ORD_UNKNOWN, REASON_ACK_TIMEOUT)
        if order.state != ORD_UNKNOWN:
            return False
        self._time_doubt(order, now_ns)
        order.is_queried = 1
        order.sent_ns = order.asked_ns = now_ns
        if order.questions_due == 0:
            order.question_ns = now_ns
        order.questions_due += 1
        return True

    cdef ns_t take_question(self, seq_t intent_id, ns_t now_ns) noexcept nogil:
        """Answers come in the order of the questions, which are ack_timeout apart at least; one
        that is lost makes later answers older than they are, never younger."""
        cdef Order* order = self.find(intent_id)
        cdef ns_t asked_ns
        if order == NULL or order.questions_due == 0:
            return now_ns
        asked_ns = order.question_ns
        order.questions_due -= 1
        order.question_ns = min(asked_ns + self.ack_timeout_ns, order.asked_ns)
        return asked_ns

    cdef void on_trade_up(self) noexcept nogil:
        """No answer comes on a connection that is gone."""
        cdef int i
        for i in range(ORDERS_MAX):
            self.slots[i].questions_due = 0

    cdef void _time_doubt(self, Order* order, ns_t now_ns) noexcept nogil:
        if order.state != ORD_UNKNOWN:
            order.unknown_ns = 0
        elif order.unknown_ns == 0:
            order.unknown_ns = now_ns

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

    # -- IS USER ALIVE ---

    cdef void on_user_up(self, ns_t now_ns) noexcept nogil:
        """A new stream owes us nothing of what was sent before it came."""
        self.user_up_ns = now_ns
        self.unheard_intent = 0

    cdef void note_ack(self, Order* order, ns_t now_ns) noexcept nogil:
        """The venue answered that the order exists: USER must tell of it soon, or has."""
        if order.is_heard or order.acked_ns != 0 or order.placed_ns < self.user_up_ns:
            return
        order.acked_ns = now_ns
        if self.unheard_intent == 0:
            self.unheard_intent = order.intent_id
            self.unheard_ns = now_ns

    cdef void note_end(self, Order* order, ns_t now_ns) noexcept nogil:
        """The venue answered that our cancel ended the order: USER must tell of that as well."""
        if order.is_end_heard or order.ended_ns != 0 or order.cancel_ns < self.user_up_ns:
            return
        order.ended_ns = now_ns
        if self.unheard_intent == 0:
            self.unheard_intent = order.intent_id
            self.unheard_ns = now_ns

    cdef ns_t _unheard_since(self, const Order* order) noexcept nogil:
        """0: nothing of it is waited for."""
        if order.acked_ns != 0 and not order.is_heard and order.placed_ns >= self.user_up_ns:
            return order.acked_ns
        if order.ended_ns != 0 and not order.is_end_heard and order.cancel_ns >= self.user_up_ns:
            return order.ended_ns
        return 0

    cdef void hear(self, seq_t intent_id, bint is_end) noexcept nogil:
        """USER told something of this order: NEW, a fill, its end, whatever. O(1), but O(orders
        remembered) where it was the one waited for."""
        cdef Order* order = self.find(intent_id)
        cdef ns_t since_ns
        cdef int i
        if order != NULL:
            order.is_heard = 1
            order.is_end_heard |= is_end
        if intent_id != self.unheard_intent:
            return
        self.unheard_intent = 0
        for i in range(ORDERS_MAX):
            order = &self.slots[i]
            since_ns = self._unheard_since(order)
            if since_ns != 0 and (self.unheard_intent == 0 or since_ns < self.unheard_ns):
                self.unheard_intent = order.intent_id
                self.unheard_ns = since_ns

    cdef bint is_unheard(self, ns_t now_ns) noexcept nogil:
        """An order, which may have ended since, or its cancel was acknowledged, and USER keeps
        silent about that for longer than an answer may take: it is deaf, and fills would
        not come either."""
        return (self.unheard_intent != 0
                and now_ns - self.unheard_ns > self.ack_timeout_ns)

    # -- QUEUE ---

    cdef void on_trade(self, int aggressor, px_t px_ticks, qty_t qty_lots) noexcept nogil:
        """A print of the market. O(active orders)."""
        cdef int i
        cdef Order* order
        cdef int64_t beyond_ticks
        for i in range(self.active_count):
            order = &self.slots[self.active[i]]
            if order.side == aggressor or order.ahead_lots <= 0:
                continue
            beyond_ticks = order.px_ticks - px_ticks
            if order.side != SIDE_BUY:
                beyond_ticks = -beyond_ticks
            if beyond_ticks > 0:
                order.ahead_lots = 0
            elif beyond_ticks == 0:
                order.ahead_lots = max(<qty_t>0, order.ahead_lots - qty_lots)

    cdef void see_level(self, Order* order, qty_t visible_lots) noexcept nogil:
        """What a usable book shows at the price of an order that the venue has acknowledged."""
        if order.seen_lots < 0:
            order.ahead_lots = visible_lots
        elif visible_lots != order.seen_lots:
            order.ahead_lots = min(order.ahead_lots, max(
                <qty_t>0, visible_lots - (order.qty_lots - order.cum_qty_lots)))
        order.seen_lots = visible_lots

    # -- COLD: Python's face, for tests ---

    def place(self, int side, px_t px_ticks, qty_t qty_lots, ns_t now_ns,
              int flags=ORDER_POST_ONLY, int take_reason=0) -> int:
        """Intent of a new order; 0: every slot is taken."""
        cdef Order* order = self.add(side, px_ticks, qty_lots, flags, take_reason, now_ns)
        return 0 if order == NULL else order.intent_id

    def amend_order(self, seq_t intent_id, px_t px_ticks, qty_t qty_lots, ns_t now_ns) -> None:
        self.amend(self._known(intent_id), px_ticks, qty_lots, now_ns)

    def cancel_order(self, seq_t intent_id, ns_t now_ns) -> None:
        """A cancel has left, as core.pyx notes it."""
        cdef Order* order = self._known(intent_id)
        self.move(order, ORD_PENDING_CANCEL, REASON_NONE)
        order.sent_ns = order.cancel_ns = now_ns

    def trade(self, int aggressor, px_t px_ticks, qty_t qty_lots) -> None:
        self.on_trade(aggressor, px_ticks, qty_lots)

    def look(self, seq_t intent_id, qty_t visible_lots) -> None:
        self.see_level(self._known(intent_id), visible_lots)

    def order(self, seq_t intent_id) -> dict | None:
        """Every field, what it may still fill, and how far it reaches; None: not remembered."""
        cdef Order* order = self.find(intent_id)
        if order == NULL:
            return None
        return {**order[0], "open_lots": open_lots(order), "reach_px": reach_px(order)}

    def active_intents(self) -> list[int]:
        """Of the orders that may still fill, in no order that means anything."""
        return [self.slots[self.active[i]].intent_id for i in range(self.active_count)]

    def ack_ns(self) -> int:
        return self.ack_timeout_ns

    def stuck(self, ns_t now_ns) -> bool:
        return self.is_stuck(now_ns)

    def unheard(self, ns_t now_ns) -> bool:
        return self.is_unheard(now_ns)

    def user_up(self, ns_t now_ns) -> None:
        self.on_user_up(now_ns)

    cdef Order* _known(self, seq_t intent_id) except NULL:
        cdef Order* order = self.find(intent_id)
        if order == NULL:
            raise ValueError(f"No order of intent {intent_id} is remembered")
        return order
