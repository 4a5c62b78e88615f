# cython: language_level=3
"""The pre-trade gate: every order passes it, nothing goes round it.

Checks are plain code in every build, never assertions. Each denial has a code, a text and a
counter; position and open orders count what is in flight at full size (RTS 6 art. 15(2): count
at send). Cancels do not pass here: nothing may hold a cancel back.
"""
cimport cython
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore.types cimport SIDE_BUY

CODES: dict[int, tuple[str, str]] = {
    GATE_STATE: ("STATE", "a halt is in force"),
    GATE_BOOK: ("BOOK", "book not synced, one-sided or crossed"),
    GATE_STALE: ("STALE", "book older than book_age_ms_max"),
    GATE_PRICE: ("PRICE", "price not above zero, or outside price_collar_ticks of the mid"),
    GATE_QTY: ("QTY", "size not above zero, or over qty_lots_max"),
    GATE_POSITION: ("POSITION", "with all open orders filled, position_lots_max would break"),
    GATE_OPEN_ORDERS: ("OPEN_ORDERS", "open_orders_max reached"),
    GATE_RATE: ("RATE", "orders_per_10s_max or orders_per_min_max spent"),
    GATE_SELF_CROSS: ("SELF_CROSS", "would meet an own order on the other side"),
    GATE_POST_ONLY: ("POST_ONLY", "a quote that would take"),
}

cdef enum:
    WINDOW_10S_NS = 10_000_000_000
    WINDOW_MIN_NS = 60_000_000_000     # past INT_MAX: unsigned in C, so cast where subtracted


@cython.final
cdef class Gate:
    def __cinit__(self, dict limits, Book book not None, Orders orders not None):
        self.book = book
        self.orders = orders
        self.limits.price_collar_ticks = _required(limits, "price_collar_ticks")
        self.limits.qty_lots_max = _required(limits, "qty_lots_max")
        self.limits.position_lots_max = _required(limits, "position_lots_max")
        self.limits.open_orders_max = _required(limits, "open_orders_max")
        self.limits.orders_per_10s_max = _required(limits, "orders_per_10s_max")
        self.limits.orders_per_min_max = _required(limits, "orders_per_min_max")
        self.limits.book_age_ns_max = _required(limits, "book_age_ms_max") * 1_000_000
        sends_max = max(self.limits.orders_per_10s_max, self.limits.orders_per_min_max)
        if sends_max > SENDS_MAX:
            raise ValueError(f"Expected order limits of at most {SENDS_MAX} a window")
        # A send past a limit is denied, so no window ever holds more than its limit.
        self.sends_mask = (1 << int(sends_max - 1).bit_length()) - 1
        self.sends_ns = <ns_t*>calloc(self.sends_mask + 1, sizeof(ns_t))
        if self.sends_ns == NULL:
            raise MemoryError()
        memset(self.sends_ns, 1, (self.sends_mask + 1) * sizeof(ns_t))  # no page fault at a send

    def __dealloc__(self):
        free(self.sends_ns)

    cdef int check(self, int side, px_t px_ticks, qty_t qty_lots, bint is_halted,
                   bint is_synced, ns_t book_ns, ns_t now_ns) noexcept nogil:
        """GATE_OK, or the first reason against this post-only order. O(open orders)."""
        cdef int code = GATE_OK
        if is_halted:
            code = GATE_STATE
        elif qty_lots <= 0 or qty_lots > self.limits.qty_lots_max:
            code = GATE_QTY
        elif self._rate_is_spent(now_ns):
            code = GATE_RATE
        else:
            code = self._check_book(side, px_ticks, is_synced, book_ns, now_ns)
            if code == GATE_OK:
                code = self._check_orders(side, px_ticks, qty_lots)
        self.counts[code] += 1
        return code

    cdef int _check_book(self, int side, px_t px_ticks, bint is_synced, ns_t book_ns,
                         ns_t now_ns) noexcept nogil:
        cdef px_t distance_half_ticks
        if (not is_synced or not self.book.is_two_sided
                or self.book.bid_px_ticks >= self.book.ask_px_ticks):
            return GATE_BOOK
        if now_ns - book_ns > self.limits.book_age_ns_max:
            return GATE_STALE
        # Twice the distance to the mid, so that a mid between two ticks stays an integer.
        distance_half_ticks = 2 * px_ticks - self.book.bid_px_ticks - self.book.ask_px_ticks
        if (px_ticks <= 0 or distance_half_ticks > 2 * self.limits.price_collar_ticks
                or -distance_half_ticks > 2 * self.limits.price_collar_ticks):
            return GATE_PRICE
        if side == SIDE_BUY:
            return GATE_POST_ONLY if px_ticks >= self.book.ask_px_ticks else GATE_OK
        return GATE_POST_ONLY if px_ticks <= self.book.bid_px_ticks else GATE_OK

    cdef int _check_orders(self, int side, px_t px_ticks, qty_t qty_lots) noexcept nogil:
        cdef int i
        cdef const Order* working
        cdef qty_t worst_lots = qty_lots
        if self.orders.active_count >= self.limits.open_orders_max:
            return GATE_OPEN_ORDERS
        for i in range(self.orders.active_count):
            working = &self.orders.slots[self.orders.active[i]]
            if working.side == side:
                worst_lots += self.orders.open_lots(working)
            elif self.orders.may_rest(working) and (
                    px_ticks >= self.orders.reach_px(working) if side == SIDE_BUY
                    else px_ticks <= self.orders.reach_px(working)):
                return GATE_SELF_CROSS
        if side == SIDE_BUY:
            if self.orders.position_lots + worst_lots > self.limits.position_lots_max:
                return GATE_POSITION
        elif self.orders.position_lots - worst_lots < -self.limits.position_lots_max:
            return GATE_POSITION
        return GATE_OK

    cdef bint _rate_is_spent(self, ns_t now_ns) noexcept nogil:
        # A send exactly one window old has left it. Each send is passed once a tail: O(1).
        while (self.tail_10s < self.send_count
               and self.sends_ns[self.tail_10s & self.sends_mask] <= now_ns - <ns_t>WINDOW_10S_NS):
            self.tail_10s += 1
        while (self.tail_min < self.send_count
               and self.sends_ns[self.tail_min & self.sends_mask] <= now_ns - <ns_t>WINDOW_MIN_NS):
            self.tail_min += 1
        return (self.send_count - self.tail_10s >= self.limits.orders_per_10s_max
                or self.send_count - self.tail_min >= self.limits.orders_per_min_max)

    cdef void count_send(self, ns_t now_ns) noexcept nogil:
        self.sends_ns[self.send_count & self.sends_mask] = now_ns
        self.send_count += 1


def _required(dict limits, str name) -> int:
    if name not in limits:
        raise ValueError(f"limits.{name} is required: there are no default limits")
    value = limits[name]
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected limits.{name} to be a whole number above 0, was {value!r}")
    return value
