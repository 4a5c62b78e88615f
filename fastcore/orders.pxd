# cython: language_level=3
"""Working orders: state machine, fills, position, wanted-vs-working diff; see orders.pyx."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t

from fastcore.strategy cimport Target
from fastcore.types cimport (
    ORDERS_MAX,
    OUT_MAX,
    Level,
    OrderEvent,
    ReplyEvent,
    ns_t,
    px_t,
    qty_t,
    seq_t,
)

cdef enum:
    TRADE_IDS_MAX = 1024       # venue trade ids remembered for deduplication
    REASON_NONE = 0
    REASON_LATE = -100         # ours: not sent, older than its budget
    REASON_SEND_FAILED = -101  # ours: nothing left the host
    REASON_SEND_PARTIAL = -102 # ours: fate unknown
    REASON_ACK_TIMEOUT = -103  # ours: fate unknown
    REASON_VENUE_QUERY = -104  # the venue says that it has no open order of ours

cdef enum:                     # what an input changed, as bits
    CHANGED = 1
    FILLED = 2
    STRANGER = 4               # an order on this account that is not ours
    RATE_LIMITED = 8
    CLOCK_REJECTED = 16
    SURPRISE = 32              # the venue says what our state machine holds for impossible

cdef struct Order:
    seq_t intent_id
    seq_t venue_order_id
    int32_t side
    int32_t state              # ORD_*
    int32_t reason             # REASON_* or the venue's error code
    int32_t is_queried
    px_t px_ticks
    qty_t qty_lots
    qty_t cum_qty_lots         # booked: the sum of the fills that we have seen
    qty_t venue_cum_qty_lots   # executed as the venue says; above cum: fills are on their way
    ns_t placed_ns
    ns_t sent_ns               # of the verb that awaits its answer
    ns_t cancel_ns             # of the last cancel that left; 0: none
    ns_t owed_ns               # since when venue_cum is above cum
    ns_t unknown_ns            # since when the state is UNKNOWN

cdef struct Fill:
    seq_t intent_id
    seq_t trade_id
    seq_t venue_order_id
    int64_t side
    px_t px_ticks
    qty_t qty_lots
    int64_t fee_e8
    int64_t is_maker
    px_t bid_px_ticks          # touch when the fill was booked
    px_t ask_px_ticks
    qty_t position_after_lots
    ns_t exch_ts_ns

cdef struct Action:            # one thing the diff wants done
    int32_t verb               # VERB_*
    int32_t side
    px_t px_ticks
    qty_t qty_lots
    seq_t intent_id            # of the order to cancel; -1 for a new one


cdef class Orders:
    cdef Order slots[ORDERS_MAX]
    cdef int32_t active[ORDERS_MAX]    # slots that may still fill: working, or fills are owed
    cdef int active_count
    cdef seq_t next_intent_id
    cdef qty_t position_lots
    cdef int64_t cash_ticks_lots
    cdef int64_t fees_e8
    cdef int64_t spread_half_ticks_lots
    cdef int64_t fill_count
    cdef int64_t duplicate_fills
    cdef int64_t strangers
    cdef int64_t illegal_moves
    cdef Fill last_fill
    cdef Order* changed        # order that the last input changed, or NULL
    cdef Action actions[OUT_MAX]
    cdef int action_count
    cdef px_t requote_ticks
    cdef ns_t requote_ns
    cdef ns_t ack_timeout_ns
    cdef ns_t recv_window_ns
    cdef ns_t last_requote_ns[2]
    cdef seq_t trade_ids[TRADE_IDS_MAX]
    cdef int64_t trade_id_count

    cdef Order* find(self, seq_t intent_id) noexcept nogil
    cdef Order* add(self, int side, px_t px_ticks, qty_t qty_lots, ns_t now_ns) noexcept nogil
    cdef void move(self, Order* order, int state, int reason) noexcept nogil
    cdef qty_t open_lots(self, const Order* order) noexcept nogil
    # Whether it may stand in the venue's book, or be about to.
    cdef bint may_rest(self, const Order* order) noexcept nogil
    cdef void settle_all(self) noexcept nogil
    cdef void _owe(self, Order* order, qty_t venue_cum_lots, ns_t now_ns) noexcept nogil
    cdef void _drop_if_settled(self, Order* order) noexcept nogil
    cdef int on_order_event(self, const OrderEvent* event, px_t bid_px_ticks,
                            px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cdef int on_reply(self, const ReplyEvent* event, ns_t now_ns) noexcept nogil
    cdef void _on_place_reply(self, Order* order, const ReplyEvent* event) noexcept nogil
    cdef void _on_status_reply(self, Order* order, const ReplyEvent* event,
                               ns_t now_ns) noexcept nogil
    cdef bint _is_surprise(self, const OrderEvent* event, const Order* order) noexcept nogil
    cdef void on_unsent(self, seq_t intent_id, int verb, int outcome) noexcept nogil
    cdef int diff(self, const Target* target, bint is_halted, ns_t now_ns) noexcept nogil
    cdef void forget_requote(self, int side) noexcept nogil
    cdef int overdue(self, ns_t now_ns) noexcept nogil
    cdef void _fill(self, const OrderEvent* event, px_t bid_px_ticks,
                    px_t ask_px_ticks) noexcept nogil
    cdef bint _is_new_trade(self, seq_t trade_id, int side) noexcept nogil
    cdef uint32_t _diff_side(self, int side, const Level* wanted, int wanted_count,
                             ns_t now_ns) noexcept nogil
    cdef int _match(self, const Order* order, const Level* wanted, int wanted_count,
                    uint32_t missing) noexcept nogil
    cdef void _place_side(self, int side, const Level* wanted, int wanted_count,
                          uint32_t missing) noexcept nogil
    cdef void _want(self, int verb, int side, px_t px_ticks, qty_t qty_lots,
                    seq_t intent_id) noexcept nogil
    cdef bint is_stuck(self, ns_t now_ns) noexcept nogil
