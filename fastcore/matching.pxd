# cython: language_level=3
"""A simulated venue for replay: fixed latencies, queue position on L2; see matching.pyx."""
from libc.stdint cimport int32_t, int64_t

from fastcore.book cimport Book
from fastcore.types cimport Event, OrderEvent, ReplyEvent, TradeEvent, ns_t, px_t, qty_t, seq_t

cdef enum:
    SIM_ORDERS_MAX = 256       # 4x the core's ORDERS_MAX: finished ones stay known for a while
    SIM_REQUESTS_MAX = 1024    # in flight to the venue; the core has 64 orders, a verb or two each
    SIM_REPLIES_MAX = 8192     # in flight from the venue: a second's burst of fills

cdef enum:                     # Binance USD-M error codes that the simulated venue gives
    VENUE_REJECTED_REDUCE_ONLY = -2022
    VENUE_TOO_MANY_ORDERS = -2025
    VENUE_DUPLICATE_ORDER = -4116
    VENUE_POST_ONLY_WOULD_TAKE = -5022
    VENUE_UNKNOWN_ORDER = -2011
    VENUE_NO_SUCH_ORDER = -2013
    VENUE_NO_CHANGE = -5027

cdef struct SimOrder:
    seq_t intent_id            # 0: slot never used
    seq_t venue_order_id
    int32_t side
    int32_t status             # ORD_NEW, PARTIALLY_FILLED: open; terminal: remembered only
    px_t px_ticks
    qty_t qty_lots
    qty_t cum_qty_lots
    qty_t ahead_lots           # market quantity at our price that is served before us

cdef struct SimRequest:
    ns_t due_ns
    seq_t intent_id
    px_t px_ticks
    qty_t qty_lots
    int32_t verb
    int32_t side
    int32_t is_post_only
    int32_t is_reduce_only

cdef struct SimReply:
    ns_t due_ns
    int32_t conn
    int32_t kind               # EV_ORDER or EV_REPLY
    OrderEvent order
    ReplyEvent reply


cdef class SimVenue:
    cdef readonly Book book
    cdef readonly ns_t entry_latency_ns
    cdef readonly ns_t response_latency_ns
    cdef readonly int64_t position_lots
    cdef readonly int64_t fills
    cdef readonly bint is_overflown            # a queue was full: the run means nothing any more
    cdef SimOrder _orders[SIM_ORDERS_MAX]      # slot: intent_id % SIM_ORDERS_MAX
    cdef int32_t _open[SIM_ORDERS_MAX]         # slots of open orders, by time of arrival
    cdef int _open_count
    cdef SimRequest _requests[SIM_REQUESTS_MAX]
    cdef int64_t _request_head
    cdef int64_t _request_tail
    cdef SimReply _replies[SIM_REPLIES_MAX]
    cdef int64_t _reply_head
    cdef int64_t _reply_tail
    cdef seq_t _venue_order_id
    cdef seq_t _trade_id
    cdef int64_t _maker_fee_ppm
    cdef int64_t _taker_fee_ppm
    cdef int64_t _fee_mul                      # fee_e8 = px * qty * ppm * mul / div
    cdef int64_t _fee_div

    # The core's verbs: they arrive entry_latency_ns later. OK or E_FULL.
    cdef int place(self, seq_t intent_id, int side, px_t px_ticks, qty_t qty_lots,
                   bint is_post_only, bint is_reduce_only, ns_t now_ns) noexcept nogil
    cdef int modify(self, seq_t intent_id, px_t px_ticks, qty_t qty_lots,
                    ns_t now_ns) noexcept nogil
    cdef int cancel(self, seq_t intent_id, ns_t now_ns) noexcept nogil
    cdef int status(self, seq_t intent_id, ns_t now_ns) noexcept nogil
    # When something is due next: a verb arrives here, or an answer at the core.
    cdef ns_t next_due_ns(self) noexcept nogil
    cdef void advance(self, ns_t now_ns) noexcept nogil         # verbs that have arrived
    cdef bint pop(self, ns_t now_ns, Event* event, int* conn) noexcept nogil
    # The market, after `book` has taken it in.
    cdef void on_trade(self, const TradeEvent* trade, ns_t now_ns) noexcept nogil
    cdef void on_book(self, ns_t now_ns) noexcept nogil

    cdef int _ask(self, int verb, seq_t intent_id, ns_t now_ns) noexcept nogil
    cdef int _request(self, const SimRequest* request) noexcept nogil
    cdef void _on_place(self, const SimRequest* request) noexcept nogil
    cdef void _on_modify(self, const SimRequest* request) noexcept nogil
    cdef void _on_cancel(self, const SimRequest* request) noexcept nogil
    cdef void _on_status(self, const SimRequest* request) noexcept nogil
    cdef void _take(self, SimOrder* order, ns_t now_ns) noexcept nogil
    cdef void _fill(self, SimOrder* order, px_t px_ticks, qty_t qty_lots, bint is_maker,
                    ns_t now_ns) noexcept nogil
    cdef bint _would_take(self, int side, px_t px_ticks) noexcept nogil
    cdef SimOrder* _find(self, seq_t intent_id) noexcept nogil
    cdef void _forget_closed(self) noexcept nogil
    cdef SimReply* _push(self, ns_t now_ns, int conn, int kind) noexcept nogil
    cdef void _tell_order(self, const SimOrder* order, int exec_type, ns_t now_ns) noexcept nogil
    cdef void _tell_reply(self, const SimRequest* request, int status, int error_code,
                          const SimOrder* order) noexcept nogil
    cdef int64_t _fee_e8(self, px_t px_ticks, qty_t qty_lots, bint is_maker) noexcept nogil
