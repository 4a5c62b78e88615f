# cython: language_level=3
"""Orders that work, and how long the queue before each is; see working.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t

from fastcore.position cimport Position
from fastcore.types cimport (
    ORD_NEW,
    ORD_PARTIALLY_FILLED,
    ORD_PENDING_CANCEL,
    ORD_PENDING_NEW,
    ORD_PENDING_REPLACE,
    ORD_UNKNOWN,
    ORDERS_MAX,
    SIDE_BUY,
    ns_t,
    px_t,
    qty_t,
    seq_t,
)

cdef enum:
    MODIFIES_MAX = 9_999       # USD-M takes 10,000 an order; then cancel and place
    REASON_NONE = 0
    REASON_LATE = -100         # ours: not sent, older than its budget
    REASON_SEND_FAILED = -101  # ours: nothing left the host
    REASON_SEND_PARTIAL = -102 # ours: fate unknown
    REASON_ACK_TIMEOUT = -103  # ours: fate unknown
    REASON_VENUE_QUERY = -104  # the venue says that it has no open order of ours
    REASON_STRAY_AMENDMENT = -105      # ours: amended, and no amend of ours says so

cdef struct Order:
    seq_t intent_id
    seq_t venue_order_id
    int32_t side
    int32_t state              # ORD_*
    int32_t reason             # REASON_* or the venue's error code
    int32_t is_queried
    int32_t flags              # ORDER_*; a quote is ORDER_POST_ONLY
    int32_t take_reason        # of an ORDER_IOC: who wants it
    px_t px_ticks
    qty_t qty_lots
    px_t new_px_ticks          # of an amend whose fate is open
    qty_t new_qty_lots         # ... total, what is executed included; 0: no amend is open
    qty_t cum_qty_lots         # booked: the sum of the fills that we have seen
    qty_t venue_cum_qty_lots   # executed as the venue says; above cum: fills are on their way
    qty_t ahead_lots           # estimated queue in front of it; -1: unknown
    qty_t seen_lots            # visible at its price when last looked at
    int32_t modify_count
    int32_t is_amend_refused   # the open amend was answered by an error
    int32_t is_amend_accepted  # ... as accepted, not as done: a push will tell
    int32_t amend_replies_due  # amends that left and have no reply yet
    ns_t placed_ns
    ns_t sent_ns               # of the verb that awaits its answer
    ns_t cancel_ns             # of the last cancel that left; 0: none
    ns_t amend_ns              # of the last amend that left
    ns_t owed_ns               # since when venue_cum is above cum
    ns_t unknown_ns            # since when the state is UNKNOWN
    px_t shown_px_ticks        # price that the two below are of
    qty_t base_lots            # least that the level has shown since the order stood there
    qty_t shown_lots           # what of the order the book is taken to show
    ns_t asked_ns              # of the last query
    ns_t question_ns           # no later than the oldest query without an answer
    ns_t acked_ns              # when the venue first answered that it exists; 0: it has not
    ns_t ended_ns              # when the venue answered that a cancel ended it; 0: it has not
    int32_t is_heard           # USER has told of it
    int32_t is_end_heard       # ... and of its end
    int32_t questions_due      # queries without an answer
    int32_t _pad


cdef inline bint is_working(int state) noexcept nogil:
    return (<uint32_t>(1 << ORD_NEW | 1 << ORD_PENDING_NEW | 1 << ORD_PARTIALLY_FILLED
                       | 1 << ORD_PENDING_CANCEL | 1 << ORD_PENDING_REPLACE
                       | 1 << ORD_UNKNOWN) >> state) & 1


cdef inline qty_t open_lots(const Order* order) noexcept nogil:
    """What of an active order may still reach the position, at worst: an open amend counts."""
    if is_working(order.state):
        return max(<qty_t>0, max(order.qty_lots, order.new_qty_lots) - order.cum_qty_lots)
    return max(<qty_t>0, order.venue_cum_qty_lots - order.cum_qty_lots)


cdef inline px_t reach_px(const Order* order) noexcept nogil:
    """The more aggressive of its prices: an order on the other side must stay short of it."""
    if order.new_qty_lots == 0:
        return order.px_ticks
    if order.side == SIDE_BUY:
        return max(order.px_ticks, order.new_px_ticks)
    return min(order.px_ticks, order.new_px_ticks)


cdef inline px_t served_px(const Order* order) noexcept nogil:
    """Where the order will stand if what is in flight succeeds."""
    if order.state == ORD_PENDING_REPLACE and order.new_qty_lots > 0:
        return order.new_px_ticks
    return order.px_ticks


cdef inline bint is_live(int status) noexcept nogil:
    return status == ORD_NEW or status == ORD_PARTIALLY_FILLED


cdef class Working(Position):
    cdef Order slots[ORDERS_MAX]
    cdef int32_t active[ORDERS_MAX]    # slots that may still fill: working, or fills are owed
    cdef int active_count
    cdef seq_t next_intent_id
    cdef int64_t illegal_moves
    cdef Order* changed        # order that the last input changed, or NULL
    cdef ns_t ack_timeout_ns
    cdef ns_t recv_window_ns
    cdef seq_t unheard_intent  # the oldest order that was acknowledged and USER is silent about
    cdef ns_t unheard_ns       # since when; of no meaning while unheard_intent is 0
    cdef ns_t user_up_ns       # orders sent before are not USER's to tell

    cdef Order* find(self, seq_t intent_id) noexcept nogil
    cdef Order* add(self, int side, px_t px_ticks, qty_t qty_lots, int flags, int take_reason,
                    ns_t now_ns) noexcept nogil
    # An amend has left: PENDING_REPLACE; qty_lots is the new total.
    cdef void amend(self, Order* order, px_t px_ticks, qty_t qty_lots, ns_t now_ns) noexcept nogil
    cdef void _settle_amend(self, Order* order, px_t px_ticks, qty_t qty_lots) noexcept nogil
    cdef void move(self, Order* order, int said, int reason) noexcept nogil
    # Whether it may stand in the venue's book, or be about to.
    cdef bint may_rest(self, const Order* order) noexcept nogil
    cdef bint may_cancel(self, const Order* order, ns_t now_ns) noexcept nogil
    cdef bint meets_own(self, int side, px_t px_ticks) noexcept nogil
    cdef void settle_all(self) noexcept nogil
    # Whether to ask the venue about an order: its answer is late, or its fate unknown.
    cdef bint ask_now(self, Order* order, ns_t now_ns) noexcept nogil
    # When the question that an answer belongs to was asked, at the latest then.
    cdef ns_t take_question(self, seq_t intent_id, ns_t now_ns) noexcept nogil
    cdef void on_trade_up(self) noexcept nogil
    cdef bint is_stuck(self, ns_t now_ns) noexcept nogil
    # USER: up anew; told of an order; silent about one that the venue acknowledged.
    cdef void on_user_up(self, ns_t now_ns) noexcept nogil
    cdef void hear(self, seq_t intent_id, bint is_end) noexcept nogil
    cdef void note_ack(self, Order* order, ns_t now_ns) noexcept nogil
    cdef void note_end(self, Order* order, ns_t now_ns) noexcept nogil
    cdef ns_t _unheard_since(self, const Order* order) noexcept nogil
    cdef bint is_unheard(self, ns_t now_ns) noexcept nogil
    # Queue position.
    cdef void on_trade(self, int aggressor, px_t px_ticks, qty_t qty_lots) noexcept nogil
    cdef void see_level(self, Order* order, qty_t visible_lots) noexcept nogil

    cdef void _owe(self, Order* order, qty_t venue_cum_lots, ns_t now_ns) noexcept nogil
    cdef void _take_up(self, Order* order) noexcept nogil
    cdef void _drop_if_settled(self, Order* order) noexcept nogil
    cdef void _time_doubt(self, Order* order, ns_t now_ns) noexcept nogil
    cdef Order* _known(self, seq_t intent_id) except NULL
