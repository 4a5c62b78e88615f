# cython: language_level=3
"""The venue's answers and events, and what they make of our orders; see orders.pyx."""
from libc.stdint cimport int64_t

from fastcore.types cimport OrderEvent, ReplyEvent, ns_t, px_t, qty_t, seq_t
from fastcore.working cimport Order, Working

cdef enum:
    TRADE_IDS_MAX = 1024       # venue trade ids remembered for deduplication

cdef enum:                     # what an input changed, as bits
    CHANGED = 1
    FILLED = 2
    STRANGER = 4               # an order on this account that is not ours
    RATE_LIMITED = 8
    CLOCK_REJECTED = 16
    SURPRISE = 32              # the venue says what our state machine holds for impossible

cdef struct Fill:
    seq_t intent_id
    seq_t trade_id
    seq_t venue_order_id
    int64_t side
    px_t px_ticks
    qty_t qty_lots
    int64_t fee_e8             # in 1e-8 of fee_asset; cost is positive
    int64_t is_maker
    px_t bid_px_ticks          # touch when the fill was booked
    px_t ask_px_ticks
    qty_t position_after_lots
    ns_t exch_ts_ns
    int64_t fee_asset          # FEE_*


cdef class Orders(Working):
    cdef bint can_modify               # the codec can; set by the core
    cdef int64_t duplicate_fills
    cdef int64_t strangers
    cdef int64_t post_only_refusals[2] # by side
    cdef ns_t refused_ns[2]            # time of the last one
    cdef ns_t input_ns                 # time of the input in hand
    cdef Fill last_fill
    cdef seq_t trade_ids[TRADE_IDS_MAX]
    cdef int64_t trade_id_count

    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cdef int on_reply(self, const ReplyEvent* event, ns_t now_ns) noexcept nogil
    cdef void on_unsent(self, seq_t intent_id, int verb, int outcome) noexcept nogil

    cdef void _on_event_state(self, Order* order, const OrderEvent* event) noexcept nogil
    cdef void _note_refusal(self, const Order* order) noexcept nogil
    cdef void _settle_amend(self, Order* order, px_t px_ticks, qty_t qty_lots) noexcept nogil
    cdef void _on_place_reply(self, Order* order, const ReplyEvent* event) noexcept nogil
    cdef void _on_amend_accepted(self, Order* order) noexcept nogil
    cdef void _on_modify_reply(self, Order* order, const ReplyEvent* event) noexcept nogil
    cdef void _ask_again(self, Order* order, int reason) noexcept nogil
    cdef void _on_status_reply(self, Order* order, const ReplyEvent* event,
                               ns_t now_ns) noexcept nogil
    cdef void _on_status_amend(self, Order* order, const ReplyEvent* event,
                               ns_t now_ns) noexcept nogil
    cdef bint _is_surprise(self, const OrderEvent* event, const Order* order) noexcept nogil
    cdef void _fill(self, const OrderEvent* event, px_t bid_px_ticks,
                    px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cdef bint _is_new_trade(self, seq_t trade_id, int side) noexcept nogil
