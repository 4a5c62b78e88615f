# cython: language_level=3
"""Pre-trade checks with codes, counted at send; see gate.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t

from fastcore.account cimport Account, Sends
from fastcore.book cimport Book
from fastcore.orders cimport Orders
from fastcore.types cimport ns_t, px_t, qty_t, seq_t

cdef enum:                     # journaled: never renumber
    GATE_OK = 0
    GATE_STATE = 1             # a halt is in force
    GATE_BOOK = 2              # book not synced, one-sided or crossed
    GATE_STALE = 3             # book older than its limit
    GATE_PRICE = 4             # outside the collar round the mid or the second reference
    GATE_QTY = 5               # under or over the size limits
    GATE_POSITION = 6          # everything open filled, the position limit would be broken
    GATE_OPEN_ORDERS = 7
    GATE_RATE = 8              # orders per window
    GATE_SELF_CROSS = 9        # would meet our own order
    GATE_POST_ONLY = 10        # would take
    GATE_NOT_POST_ONLY = 11    # neither post-only nor immediate-or-cancel, or both
    GATE_RANGE = 12            # price, size or side is not one
    GATE_REFERENCE = 13        # second reference missing or too old
    GATE_NOTIONAL = 14         # value of the order
    GATE_EXPOSURE = 15         # value of the instrument's position at worst
    GATE_ACCOUNT_EXPOSURE = 16
    GATE_MESSAGES = 17         # messages per window
    GATE_ACCOUNT_RATE = 18
    GATE_ACCOUNT_MESSAGES = 19
    GATE_DUPLICATE = 20        # its double is unanswered
    GATE_REDUCE_ONLY = 21      # would not shrink the position, or flip it
    GATE_TICK_AGE = 22         # the frame that caused it is too old
    GATE_REPLACES = 23         # the order to modify is not live at the venue
    GATE_CODES = 24

cdef enum:                     # a number past it is none: px x qty stays within int64
    PX_TICKS_MAX = 1073741824  # 2^30
    QTY_LOTS_MAX = 4294967296  # 2^32: past INT_MAX, so cast where used

cdef struct Intent:            # an order that somebody wants sent
    int32_t side
    int32_t flags              # ORDER_*
    px_t px_ticks
    qty_t qty_lots             # as the venue is told it; of an amended order: the new total
    qty_t filled_lots          # how much of that is executed already; 0: a new order
    seq_t replaces             # intent id of the order that it modifies; -1: none

cdef struct Limits:
    px_t price_collar_ticks
    qty_t qty_lots_min
    qty_t qty_lots_max
    int64_t notional_min
    int64_t notional_max
    qty_t position_lots_max
    int64_t exposure_max
    int64_t open_orders_max
    ns_t duplicate_ns
    ns_t book_age_ns_max
    ns_t tick_age_ns_max
    ns_t reference_age_ns_max

cdef struct OpenLots:          # what is open and in flight, as one intent finds it
    qty_t own                  # on its side, without the order that it replaces
    qty_t other
    qty_t reduce               # of own: reduce-only orders
    qty_t replaced             # of the order that it replaces


cdef class Gate:
    cdef Limits limits
    cdef readonly bint is_reducing     # REDUCING: only what shrinks the position passes
    cdef px_t reference_px_ticks
    cdef ns_t reference_ns
    cdef px_t mark_px_ticks            # ask of the last two-sided book
    cdef Book book
    cdef Orders orders
    cdef readonly Account account
    cdef readonly Sends sends
    cdef readonly int64_t exposure_e8  # this instrument's, as the account holds it
    cdef int64_t next_exposure_e8      # once the intent that passed last is sent
    cdef int64_t value_num             # one tick x lot in 1e-8 of the quote asset
    cdef int64_t value_den
    cdef int64_t value_max             # tick x lot past which the worth is VALUE_E8_MAX
    cdef int64_t counts[GATE_CODES]
    cdef readonly int64_t exits_denied # of all codes: a position that could not be closed
    cdef bint has_joined               # the account counts this gate

    cdef int check(self, const Intent* intent, uint32_t halt_bits, bint is_synced,
                   ns_t book_ns, ns_t tick_ns, ns_t now_ns) noexcept nogil
    cdef void count_send(self, int verb, ns_t now_ns) noexcept nogil
    cdef void clamp_exit(self, int side, px_t* px_ticks, qty_t* qty_lots) noexcept nogil
    cpdef void on_reference(self, px_t px_ticks, ns_t now_ns) noexcept nogil
    cpdef void set_reducing(self, bint is_reducing) noexcept nogil
    cpdef void report(self) noexcept nogil
    cdef int _check_order(self, const Intent* intent, uint32_t halt_bits) noexcept nogil
    cdef int _check_market(self, const Intent* intent, bint is_synced, ns_t book_ns,
                           ns_t tick_ns, ns_t now_ns) noexcept nogil
    cdef int _check_sends(self, bint is_exit, ns_t now_ns) noexcept nogil
    cdef int _check_open(self, const Intent* intent, ns_t now_ns) noexcept nogil
    cdef int _sum_open(self, const Intent* intent, OpenLots* lots, ns_t now_ns) noexcept nogil
    cdef int _check_worst(self, const Intent* intent, const OpenLots* lots) noexcept nogil
    cdef int64_t _value_e8(self, qty_t lots, px_t px_ticks) noexcept nogil
    cdef void _set_exposure(self, int64_t value_e8) noexcept nogil
