# cython: language_level=3
"""A simulated venue for replay: what would have become of our orders on a recorded market.

A pure state machine: state, event, time. Verbs arrive after `entry_latency_ns`, answers come
back after `response_latency_ns`; both are constant, so both queues are in order of time. It reads
the tape's book, in which our orders are not, and never changes it: an order of ours has no impact.

Queue position on L2 (risk-averse: of the known models the one that flatters least). An order
joins behind the quantity V that is visible at its price. Only trades at that price advance it:
V -= traded, and what is left of a trade beyond V fills us. A decrease of the level that trades do
not explain may have stood behind us, so it counts only where it must: V = min(V, visible). (The
probabilistic models, Rigtorp 2013 and f = ln(1+x), would move V by a share of the decrease.)
Whatever proves that our price was reached fills us whole, as maker, at our price: a trade printed
through it, or the other side's touch standing at or through it.

An order of ours ahead at the same price is served first, from the same trade. GTX that would take
is refused (-5022, no order event, as the venue does it); without GTX it is IOC: it takes what is
visible at the touch and the rest expires. An IOC leaves the tape's touch as it was, so a second
one finds the same quantity again: do not measure taking strategies by it.
"""
from decimal import Decimal

cimport cython
from libc.string cimport memset

from fastcore.check cimport FC_DCHECK
from fastcore.types cimport *

cdef extern from *:
    """
    /* a*b*c*mul/div rounded half away from zero; 128 bits: 1e7 ticks * 1e9 lots * 1e4 ppm * 1e8. */
    static inline int64_t fc_fee(int64_t px, int64_t qty, int64_t ppm, int64_t mul, int64_t div) {
        __int128 n = (__int128)px * qty * ppm * mul;
        __int128 half = div / 2;
        return (int64_t)((n >= 0 ? n + half : n - half) / div);
    }
    """
    int64_t fc_fee(int64_t px, int64_t qty, int64_t ppm, int64_t mul, int64_t div) noexcept nogil

cdef ns_t NEVER_NS = <ns_t>0x7FFFFFFFFFFFFFFF
cdef int64_t PPM_E8 = 100            # 1e8 / 1e6: ppm of notional -> 1e-8 of the quote asset


@cython.final
cdef class SimVenue:
    """The venue that answers a Core in replay; reads `book`, which the tape keeps up to date.

    Latencies in ns, >= 0; fees in parts per million of notional (2 bps = 200), negative for
    rebates. ValueError for anything else.
    """

    def __cinit__(self, Book book not None, tick: str, lot: str, *, ns_t entry_latency_ns,
                  ns_t response_latency_ns, int64_t maker_fee_ppm=200, int64_t taker_fee_ppm=500):
        if entry_latency_ns < 0 or response_latency_ns < 0:
            raise ValueError("a latency is negative")
        if abs(maker_fee_ppm) > 100_000 or abs(taker_fee_ppm) > 100_000:
            raise ValueError("a fee is over 10 %")
        value = Decimal(tick) * Decimal(lot) * PPM_E8
        if not value > 0:
            raise ValueError("tick and lot must be positive")
        self._fee_mul, self._fee_div = value.as_integer_ratio()
        self.book = book
        self.entry_latency_ns = entry_latency_ns
        self.response_latency_ns = response_latency_ns
        self._maker_fee_ppm = maker_fee_ppm
        self._taker_fee_ppm = taker_fee_ppm

    # -- THE CORE'S SIDE ------------------------------------------------------------------------

    cdef int place(self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots,
                   bint is_post_only, bint is_reduce_only, ns_t now_ns) noexcept nogil:
        """`is_post_only` is GTX, otherwise IOC."""
        cdef SimRequest request
        request.due_ns = now_ns + self.entry_latency_ns
        request.intent_id = intent_id
        request.verb = VERB_PLACE
        request.side = side
        request.px_ticks = px_ticks
        request.qty_lots = qty_lots
        request.is_post_only = is_post_only
        request.is_reduce_only = is_reduce_only
        return self._request(&request)

    cdef int modify(self, seq_t intent_id, px_t px_ticks, qty_t qty_lots,
                    ns_t now_ns) noexcept nogil:
        """`qty_lots` is the new total, what is executed included."""
        cdef SimRequest request
        memset(&request, 0, sizeof(SimRequest))
        request.due_ns = now_ns + self.entry_latency_ns
        request.intent_id = intent_id
        request.verb = VERB_MODIFY
        request.px_ticks = px_ticks
        request.qty_lots = qty_lots
        return self._request(&request)

    cdef int cancel(self, seq_t intent_id, ns_t now_ns) noexcept nogil:
        return self._ask(VERB_CANCEL, intent_id, now_ns)

    cdef int status(self, seq_t intent_id, ns_t now_ns) noexcept nogil:
        return self._ask(VERB_STATUS, intent_id, now_ns)

    cdef int _ask(self, int verb, seq_t intent_id, ns_t now_ns) noexcept nogil:
        cdef SimRequest request
        memset(&request, 0, sizeof(SimRequest))
        request.due_ns = now_ns + self.entry_latency_ns
        request.intent_id = intent_id
        request.verb = verb
        return self._request(&request)

    cdef int _request(self, const SimRequest* request) noexcept nogil:
        if self._request_tail - self._request_head == SIM_REQUESTS_MAX:
            self.is_overflown = True
            return E_FULL
        self._requests[self._request_tail % SIM_REQUESTS_MAX] = request[0]
        self._request_tail += 1
        return OK

    cdef ns_t next_due_ns(self) noexcept nogil:
        cdef ns_t due_ns = NEVER_NS
        if self._request_head < self._request_tail:
            due_ns = self._requests[self._request_head % SIM_REQUESTS_MAX].due_ns
        if self._reply_head < self._reply_tail:
            due_ns = min(due_ns, self._replies[self._reply_head % SIM_REPLIES_MAX].due_ns)
        return due_ns

    cdef bint pop(self, ns_t now_ns, Event* event, int* conn) noexcept nogil:
        cdef SimReply* reply
        if self._reply_head == self._reply_tail:
            return False
        reply = &self._replies[self._reply_head % SIM_REPLIES_MAX]
        if reply.due_ns > now_ns:
            return False
        event.kind = reply.kind
        event.order = reply.order
        event.reply = reply.reply
        conn[0] = reply.conn
        self._reply_head += 1
        return True

    # -- THE VENUE'S SIDE -----------------------------------------------------------------------

    cdef void advance(self, ns_t now_ns) noexcept nogil:
        cdef SimRequest* request
        while self._request_head < self._request_tail:
            request = &self._requests[self._request_head % SIM_REQUESTS_MAX]
            if request.due_ns > now_ns:
                return
            self._request_head += 1
            if request.verb == VERB_PLACE:
                self._on_place(request)
            elif request.verb == VERB_MODIFY:
                self._on_modify(request)
            elif request.verb == VERB_CANCEL:
                self._on_cancel(request)
            else:
                self._on_status(request)

    cdef void _on_place(self, const SimRequest* request) noexcept nogil:
        cdef int slot = request.intent_id % SIM_ORDERS_MAX
        cdef SimOrder* order = &self._orders[slot]
        cdef qty_t reducible_lots = self.position_lots
        cdef int error_code = 0
        if request.side == SIDE_BUY:
            reducible_lots = -reducible_lots
        if order.intent_id == request.intent_id:
            error_code = VENUE_DUPLICATE_ORDER
        elif order.intent_id and _is_open(order.status):
            error_code = VENUE_TOO_MANY_ORDERS
        elif request.is_reduce_only and request.qty_lots > reducible_lots:
            error_code = VENUE_REJECTED_REDUCE_ONLY
        elif request.is_post_only and self._would_take(request.side, request.px_ticks):
            error_code = VENUE_POST_ONLY_WOULD_TAKE
        if error_code:
            self._tell_reply(request, 400, error_code, NULL)
            return
        self._venue_order_id += 1
        order.intent_id = request.intent_id
        order.venue_order_id = self._venue_order_id
        order.side = request.side
        order.status = ORD_NEW
        order.px_ticks = request.px_ticks
        order.qty_lots = request.qty_lots
        order.cum_qty_lots = 0
        order.ahead_lots = self.book.qty_at(request.side, request.px_ticks)
        self._tell_reply(request, 200, 0, order)
        self._tell_order(order, EXEC_NEW, request.due_ns)
        if request.is_post_only:
            self._open[self._open_count] = slot
            self._open_count += 1
        else:
            self._take(order, request.due_ns)

    cdef void _on_modify(self, const SimRequest* request) noexcept nogil:
        """Less at the same price keeps the place in the queue; anything else joins at the end.
        Ended by it, without an error: no quantity left, or post-only at a price that takes."""
        cdef SimOrder* order = self._find(request.intent_id)
        cdef int i, kept = 0
        if order == NULL or not _is_open(order.status):
            self._tell_reply(request, 400, VENUE_NO_SUCH_ORDER, NULL)
            return
        if request.px_ticks == order.px_ticks and request.qty_lots == order.qty_lots:
            self._tell_reply(request, 400, VENUE_NO_CHANGE, NULL)
            return
        if (request.qty_lots <= order.cum_qty_lots
                or self._would_take(order.side, request.px_ticks)):
            order.status = ORD_CANCELED
            self._forget_closed()
            self._tell_reply(request, 200, 0, order)
            self._tell_order(order, EXEC_CANCELED, request.due_ns)
            return
        if request.px_ticks != order.px_ticks or request.qty_lots > order.qty_lots:
            order.ahead_lots = self.book.qty_at(order.side, request.px_ticks)
            for i in range(self._open_count):
                if &self._orders[self._open[i]] != order:
                    self._open[kept] = self._open[i]
                    kept += 1
            self._open[kept] = <int32_t>(order.intent_id % SIM_ORDERS_MAX)
        order.px_ticks = request.px_ticks
        order.qty_lots = request.qty_lots
        self._tell_reply(request, 200, 0, order)
        self._tell_order(order, EXEC_AMENDMENT, request.due_ns)

    cdef void _on_cancel(self, const SimRequest* request) noexcept nogil:
        cdef SimOrder* order = self._find(request.intent_id)
        if order == NULL or not _is_open(order.status):
            self._tell_reply(request, 400, VENUE_UNKNOWN_ORDER, NULL)
            return
        order.status = ORD_CANCELED
        self._forget_closed()
        self._tell_reply(request, 200, 0, order)
        self._tell_order(order, EXEC_CANCELED, request.due_ns)

    cdef void _on_status(self, const SimRequest* request) noexcept nogil:
        cdef SimOrder* order = self._find(request.intent_id)
        if order == NULL:
            self._tell_reply(request, 400, VENUE_NO_SUCH_ORDER, NULL)
        else:
            self._tell_reply(request, 200, 0, order)

    cdef void _take(self, SimOrder* order, ns_t now_ns) noexcept nogil:
        """IOC: what is visible at the touch, the rest expires."""
        cdef qty_t visible_lots
        cdef px_t px_ticks
        cdef bint is_buy = order.side == SIDE_BUY
        if self._would_take(order.side, order.px_ticks):
            px_ticks = self.book.ask_px_ticks if is_buy else self.book.bid_px_ticks
            visible_lots = self.book.ask_qty_lots if is_buy else self.book.bid_qty_lots
            if visible_lots > 0:
                self._fill(order, px_ticks, min(order.qty_lots, visible_lots), False, now_ns)
        if order.status != ORD_FILLED:
            order.status = ORD_EXPIRED
            self._tell_order(order, EXEC_EXPIRED, now_ns)

    cdef void on_trade(self, const TradeEvent* trade, ns_t now_ns) noexcept nogil:
        """A print on the tape. O(open orders)."""
        cdef SimOrder* order
        cdef int i
        cdef int64_t beyond
        cdef qty_t left_lots, fill_lots, served_lots = 0   # of this trade, to orders of ours
        if self._open_count == 0 or not trade.is_market:
            return
        for i in range(self._open_count):
            order = &self._orders[self._open[i]]
            if order.side == trade.aggressor:
                continue
            beyond = order.px_ticks - trade.px_ticks
            if order.side == SIDE_SELL:
                beyond = -beyond
            if beyond > 0:
                self._fill(order, order.px_ticks, order.qty_lots - order.cum_qty_lots, True,
                           now_ns)
            elif beyond == 0:
                left_lots = trade.qty_lots - served_lots
                fill_lots = min(left_lots - order.ahead_lots,
                                order.qty_lots - order.cum_qty_lots)
                order.ahead_lots = max(order.ahead_lots - left_lots, 0)
                if fill_lots > 0:
                    served_lots += fill_lots
                    self._fill(order, order.px_ticks, fill_lots, True, now_ns)
        self._forget_closed()

    cdef void on_book(self, ns_t now_ns) noexcept nogil:
        """The book moved. O(open orders). A book that is being resynced says nothing."""
        cdef SimOrder* order
        cdef int i
        if self._open_count == 0 or not self.book.is_two_sided:
            return
        for i in range(self._open_count):
            order = &self._orders[self._open[i]]
            if self._would_take(order.side, order.px_ticks):
                self._fill(order, order.px_ticks, order.qty_lots - order.cum_qty_lots, True,
                           now_ns)
            elif order.ahead_lots:
                order.ahead_lots = min(order.ahead_lots,
                                       self.book.qty_at(order.side, order.px_ticks))
        self._forget_closed()

    cdef bint _would_take(self, int side, px_t px_ticks) noexcept nogil:
        if side == SIDE_BUY:
            return self.book.ask_px_ticks > 0 and px_ticks >= self.book.ask_px_ticks
        return self.book.bid_px_ticks > 0 and px_ticks <= self.book.bid_px_ticks

    cdef void _fill(self, SimOrder* order, px_t px_ticks, qty_t qty_lots, bint is_maker,
                    ns_t now_ns) noexcept nogil:
        cdef SimReply* reply
        FC_DCHECK(0 < qty_lots <= order.qty_lots - order.cum_qty_lots)
        order.cum_qty_lots += qty_lots
        order.status = (ORD_FILLED if order.cum_qty_lots == order.qty_lots
                        else ORD_PARTIALLY_FILLED)
        self._trade_id += 1
        self.fills += 1
        self.position_lots += qty_lots if order.side == SIDE_BUY else -qty_lots
        self._tell_order(order, EXEC_TRADE, now_ns)
        if self.is_overflown:
            return
        reply = &self._replies[(self._reply_tail - 1) % SIM_REPLIES_MAX]
        reply.order.trade_id = self._trade_id
        reply.order.is_maker = is_maker
        reply.order.last_px_ticks = px_ticks
        reply.order.last_qty_lots = qty_lots
        reply.order.fee_e8 = self._fee_e8(px_ticks, qty_lots, is_maker)

    cdef int64_t _fee_e8(self, px_t px_ticks, qty_t qty_lots, bint is_maker) noexcept nogil:
        return fc_fee(px_ticks, qty_lots, self._maker_fee_ppm if is_maker else self._taker_fee_ppm,
                      self._fee_mul, self._fee_div)

    cdef SimOrder* _find(self, seq_t intent_id) noexcept nogil:
        cdef SimOrder* order
        if intent_id <= 0:
            return NULL
        order = &self._orders[intent_id % SIM_ORDERS_MAX]
        return order if order.intent_id == intent_id else NULL

    cdef void _forget_closed(self) noexcept nogil:
        """Take closed orders out of the open list, keeping the order of arrival."""
        cdef int i, kept = 0
        for i in range(self._open_count):
            if _is_open(self._orders[self._open[i]].status):
                self._open[kept] = self._open[i]
                kept += 1
        self._open_count = kept

    # -- ANSWERS --------------------------------------------------------------------------------

    cdef SimReply* _push(self, ns_t now_ns, int conn, int kind) noexcept nogil:
        cdef SimReply* reply
        if self._reply_tail - self._reply_head == SIM_REPLIES_MAX:
            self.is_overflown = True
            return NULL
        reply = &self._replies[self._reply_tail % SIM_REPLIES_MAX]
        self._reply_tail += 1
        memset(reply, 0, sizeof(SimReply))
        reply.due_ns = now_ns + self.response_latency_ns
        reply.conn = conn
        reply.kind = kind
        return reply

    cdef void _tell_order(self, const SimOrder* order, int exec_type, ns_t now_ns) noexcept nogil:
        cdef SimReply* reply = self._push(now_ns, CONN_USER, EV_ORDER)
        if reply == NULL:
            return
        reply.order.intent_id = order.intent_id
        reply.order.venue_order_id = order.venue_order_id
        reply.order.trade_id = -1
        reply.order.exch_ts_ns = now_ns
        reply.order.exec_type = exec_type
        reply.order.status = order.status
        reply.order.side = order.side
        reply.order.px_ticks = order.px_ticks
        reply.order.qty_lots = order.qty_lots
        reply.order.cum_qty_lots = order.cum_qty_lots

    cdef void _tell_reply(self, const SimRequest* request, int status, int error_code,
                          const SimOrder* order) noexcept nogil:
        cdef SimReply* reply = self._push(request.due_ns, CONN_TRADE, EV_REPLY)
        if reply == NULL:
            return
        reply.reply.intent_id = request.intent_id
        reply.reply.verb = request.verb
        reply.reply.status = status
        reply.reply.error_code = error_code
        reply.reply.order_status = ORD_FREE if order == NULL else order.status
        reply.reply.venue_order_id = -1 if order == NULL else order.venue_order_id
        reply.reply.cum_qty_lots = -1 if order == NULL else order.cum_qty_lots
        reply.reply.px_ticks = 0 if order == NULL else order.px_ticks
        reply.reply.qty_lots = 0 if order == NULL else order.qty_lots

    # -- COLD: Python's face, for tests ---------------------------------------------------------

    def send(self, int verb, int64_t intent_id, int64_t now_ns, int side=0, int64_t px_ticks=0,
             int64_t qty_lots=0, bint post_only=True, bint reduce_only=False):
        """One verb of the core; ValueError for what the core could never send."""
        cdef int code
        if intent_id <= 0 or verb not in (VERB_PLACE, VERB_CANCEL, VERB_STATUS,
                                              VERB_MODIFY):
            raise ValueError(f"verb {verb} of intent {intent_id}")
        if verb == VERB_MODIFY and px_ticks > 0 and qty_lots > 0:
            code = self.modify(intent_id, px_ticks, qty_lots, now_ns)
        elif verb == VERB_CANCEL or verb == VERB_STATUS:
            code = self._ask(verb, intent_id, now_ns)
        elif side not in (SIDE_BUY, SIDE_SELL) or px_ticks <= 0 or qty_lots <= 0:
            raise ValueError("not an order")
        else:
            code = self.place(intent_id, side, px_ticks, qty_lots, post_only, reduce_only, now_ns)
        if code != OK:
            raise OverflowError("too many verbs in flight")

    def trade(self, int64_t px_ticks, int64_t qty_lots, int aggressor, int64_t now_ns,
              bint is_market=True):
        cdef TradeEvent trade
        memset(&trade, 0, sizeof(TradeEvent))
        trade.px_ticks = px_ticks
        trade.qty_lots = qty_lots
        trade.aggressor = aggressor
        trade.is_market = is_market
        self.on_trade(&trade, now_ns)

    def book_moved(self, int64_t now_ns):
        self.on_book(now_ns)

    def run_to(self, int64_t now_ns):
        """Take in the verbs that have arrived; return the answers due, (conn, kind, fields)."""
        cdef Event event
        cdef int conn = 0
        memset(&event, 0, sizeof(Event))
        self.advance(now_ns)
        answers = []
        while self.pop(now_ns, &event, &conn):
            fields = dict(event.order) if event.kind == EV_ORDER else dict(event.reply)
            answers.append((conn, event.kind, fields))
        return answers

    def ahead_lots(self, int64_t intent_id):
        """Queue ahead of an open order; None when it is not open."""
        cdef SimOrder* order = self._find(intent_id)
        return None if order == NULL or not _is_open(order.status) else order.ahead_lots

    def check(self):
        """Raise AssertionError, with the order, where an invariant does not hold."""
        cdef SimOrder* order
        cdef int i
        for i in range(self._open_count):
            order = &self._orders[self._open[i]]
            if not (_is_open(order.status) and 0 <= order.cum_qty_lots < order.qty_lots
                    and order.ahead_lots >= 0):
                raise AssertionError(f"open order {i}: {order[0]}")


cdef inline bint _is_open(int status) noexcept nogil:
    return status == ORD_NEW or status == ORD_PARTIALLY_FILLED
