# cython: language_level=3
"""The venue's answers and events, and what they make of our orders; see orders.pyx."""
from libc.stdint cimport int64_t

from fastcore.seen cimport Booked
from fastcore.types cimport (
    FillRow,
    KnownTrade,
    OrderEvent,
    QueryRow,
    ReplyEvent,
    ns_t,
    px_t,
    qty_t,
    seq_t,
)
from fastcore.working cimport Order, Working

cdef enum:
    TRADE_IDS_MAX = 8192       # venue trade ids remembered for deduplication

cdef enum:                     # what an input changed, as bits
    CHANGED = 1
    FILLED = 2
    STRANGER = 4               # an execution on this account of an order that is not this run's
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
    int64_t owner              # OWNER_*
    int64_t via                # VIA_*


cdef class Orders(Working):
    cdef bint can_modify               # the codec can; set by the core
    cdef int64_t duplicate_fills
    cdef int64_t strangers         # events of orders that are not this run's
    cdef int64_t stranger_fills
    cdef int64_t earlier_fills     # of orders of earlier runs of ours
    cdef int64_t post_only_refusals[2] # by side
    cdef ns_t refused_ns[2]            # time of the last one
    cdef ns_t input_ns                 # time of the input in hand
    cdef Fill last_fill
    cdef ns_t last_trade_ts_ns     # the venue's, of the newest execution that is booked
    cdef Booked booked

    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cdef int on_reply(self, const ReplyEvent* event, ns_t now_ns) noexcept nogil
    # True: booked; False: its trade was known.
    cdef bint on_fill_row(self, const FillRow* row, px_t bid_px_ticks, px_t ask_px_ticks,
                          ns_t now_ns) noexcept nogil
    # Booked by an earlier run: not to be booked again.
    cdef void on_known(self, const KnownTrade* trades, int count) noexcept nogil
    # As on_reply, of an answer that came over REST.
    cdef int on_query(self, const QueryRow* row, ns_t now_ns) noexcept nogil
    cdef void on_unsent(self, seq_t intent_id, int verb, int outcome) noexcept nogil

    cdef int _on_reply(self, const ReplyEvent* event, ns_t asked_ns, ns_t now_ns) noexcept nogil
    cdef void _on_event_state(self, Order* order, const OrderEvent* event) noexcept nogil
    cdef void _note_refusal(self, const Order* order) noexcept nogil
    cdef void _on_place_reply(self, Order* order, const ReplyEvent* event) noexcept nogil
    cdef void _on_amend_accepted(self, Order* order) noexcept nogil
    cdef void _on_modify_reply(self, Order* order, const ReplyEvent* event) noexcept nogil
    cdef void _ask_again(self, Order* order, int reason) noexcept nogil
    cdef void _on_status_reply(self, Order* order, const ReplyEvent* event, ns_t asked_ns,
                               ns_t now_ns) noexcept nogil
    cdef void _on_status_amend(self, Order* order, const ReplyEvent* event,
                               ns_t asked_ns) noexcept nogil
    cdef bint _is_past_arrival(self, const Order* order, ns_t asked_ns) noexcept nogil
    cdef bint _is_surprise(self, const OrderEvent* event, const Order* order) noexcept nogil
    cdef void _fill(self, const OrderEvent* event, int owner, int via, px_t bid_px_ticks,
                    px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cdef void _on_known_trade(self, Order* order, const OrderEvent* event) noexcept nogil
