# cython: language_level=3
"""The pre-trade gate: every order passes it, nothing goes round it.

Checks are plain code in every build, never assertions. Each denial has a code, a text and a
counter; the first reason found is the one given. docs/gate.md has the table.

Position, exposure and open orders count what is in flight at full size (RTS 6 art. 15(2): count
at send); an amended order counts at the greater of its sizes until the venue has answered, and
at both its prices. Prices are collared round two references that fail apart: the mid of our own
book and, where configured, the last trade or mark (art. 15(1)(a)). A double of an order whose
fate is open does not pass (SEC 15c3-5(c)(1)(ii)).

Cancels do not pass here: nothing may hold a cancel back. An exit is a reduce-only
immediate-or-cancel order, as stops send: it passes while halted, but for HALT_BARS_EXIT.

The caller's duty: a check that passes is followed by Orders.add (or the move to
PENDING_REPLACE) and count_send, before the next check. Cancels and queries are counted too.
"""
cimport cython

from fastcore.account cimport RATE_OK, RATE_ORDERS, check_sends
from fastcore.check cimport fc_unlikely
from fastcore.types cimport (
    HALT_BOOK, HALT_CLOCK, HALT_JOURNAL, HALT_LINK, HALT_RATE_LIMIT, HALT_RECONCILING,
    HALT_TRADE_STREAM, HALT_USER_STREAM, HALT_VENUE, ORD_PENDING_NEW, ORD_UNKNOWN, ORDER_IOC,
    ORDER_POST_ONLY, ORDER_REDUCE_ONLY, SIDE_BUY, SIDE_SELL, VERB_MODIFY, VERB_PLACE, VERB_REPLACE,
)
from fastcore.working cimport Order, is_live, is_working, open_lots, reach_px

from fastcore.account import value_max

CODES: dict[int, tuple[str, str]] = {
    GATE_STATE: ("STATE", "a halt is in force"),
    GATE_RANGE: ("RANGE", "price or size not above zero, past what a number may be, or no side"),
    GATE_NOT_POST_ONLY: ("NOT_POST_ONLY", "neither post-only nor immediate-or-cancel, or both"),
    GATE_QTY: ("QTY", "size under qty_lots_min or over qty_lots_max"),
    GATE_NOTIONAL: ("NOTIONAL", "price x size under notional_min or over notional_max"),
    GATE_TICK_AGE: ("TICK_AGE", "the frame that caused it is older than tick_age_ms_max"),
    GATE_BOOK: ("BOOK", "book not synced, one-sided or crossed"),
    GATE_STALE: ("STALE", "book older than book_age_ms_max"),
    GATE_REFERENCE: ("REFERENCE", "second reference missing, or older than reference_age_ms_max"),
    GATE_PRICE: ("PRICE", "outside price_collar_ticks of the mid or of the second reference"),
    GATE_POST_ONLY: ("POST_ONLY", "a quote that would take"),
    GATE_RATE: ("RATE", "orders_per_10s_max or orders_per_min_max spent"),
    GATE_MESSAGES: ("MESSAGES", "messages_per_s_max or messages_per_min_max spent to the reserve"),
    GATE_ACCOUNT_RATE: ("ACCOUNT_RATE", "the account's order limits spent"),
    GATE_ACCOUNT_MESSAGES: ("ACCOUNT_MESSAGES", "the account's messages spent to the reserve"),
    GATE_SELF_CROSS: ("SELF_CROSS", "would meet an own order on the other side"),
    GATE_DUPLICATE: ("DUPLICATE", "an order like it, sent within duplicate_ms, is unanswered"),
    GATE_REPLACES: ("REPLACES", "the order to be modified is not live, or on the other side"),
    GATE_REDUCE_ONLY: ("REDUCE_ONLY", "would not shrink the position, or could flip it"),
    GATE_OPEN_ORDERS: ("OPEN_ORDERS", "open_orders_max reached"),
    GATE_POSITION: ("POSITION", "with all open orders filled, position_lots_max would break"),
    GATE_EXPOSURE: ("EXPOSURE", "with all open orders filled, exposure_max would break"),
    GATE_ACCOUNT_EXPOSURE: ("ACCOUNT_EXPOSURE", "account_exposure_e8_max would break"),
}

# What an exit does not pass either: where we are, or what the venue last said, is not known, or
# the instrument does not trade. DEAD_MAN it passes: nothing of it would be left resting.
cdef uint32_t BARS_EXIT = (
    HALT_BOOK | HALT_CLOCK | HALT_JOURNAL | HALT_LINK | HALT_RATE_LIMIT | HALT_RECONCILING
    | HALT_TRADE_STREAM | HALT_USER_STREAM | HALT_VENUE)
HALT_BARS_EXIT: int = BARS_EXIT


cdef inline bint _is_exit(const Intent* intent) noexcept nogil:
    return intent.flags & (ORDER_REDUCE_ONLY | ORDER_IOC) == (ORDER_REDUCE_ONLY | ORDER_IOC)


@cython.no_gc_clear            # __dealloc__ needs the account; none of its members can point back
@cython.final
cdef class Gate:
    """Gate(limits, book, orders, account, value_e8): `limits` is the config's section, `account`
    the ledger shared with other instruments (None: its own), `value_e8` is account.value_e8."""

    def __cinit__(self, dict limits, Book book not None, Orders orders not None,
                  Account account=None, tuple value_e8=(1, 1)):
        self.sends = Sends(limits)
        self.account = Account(limits) if account is None else account
        self.account.join(limits)
        self.has_joined = True
        self.book = book
        self.orders = orders
        self.limits.price_collar_ticks = limits["price_collar_ticks"]
        self.limits.qty_lots_min = limits["qty_lots_min"]
        self.limits.qty_lots_max = limits["qty_lots_max"]
        self.limits.notional_min = limits["notional_min"]
        self.limits.notional_max = limits["notional_max"]
        self.limits.position_lots_max = limits["position_lots_max"]
        self.limits.exposure_max = limits["exposure_max"]
        self.limits.open_orders_max = limits["open_orders_max"]
        self.limits.duplicate_ns = limits["duplicate_ms"] * 1_000_000
        self.limits.book_age_ns_max = limits["book_age_ms_max"] * 1_000_000
        self.limits.tick_age_ns_max = limits["tick_age_ms_max"] * 1_000_000
        self.limits.reference_age_ns_max = limits["reference_age_ms_max"] * 1_000_000
        self.value_num, self.value_den = value_e8
        self.value_max = value_max(value_e8)

    def __dealloc__(self):
        if self.has_joined:
            self.account.leave(self.exposure_e8)

    # -- HOT ---

    cdef int check(self, const Intent* intent, uint32_t halt_bits, bint is_synced,
                   ns_t book_ns, ns_t tick_ns, ns_t now_ns) noexcept nogil:
        """GATE_OK, or the first reason against this order. O(open orders).

        `book_ns` is when the book was last told anything, `tick_ns` the receive stamp of the
        frame that caused the order (now_ns where time did)."""
        cdef int code = self._check_order(intent, halt_bits)
        if code == GATE_OK:
            code = self._check_market(intent, is_synced, book_ns, tick_ns, now_ns)
        if code == GATE_OK:
            code = self._check_sends(_is_exit(intent), now_ns)
        if code == GATE_OK:
            code = self._check_open(intent, now_ns)
        self.counts[code] += 1
        if fc_unlikely(code != GATE_OK and _is_exit(intent)):
            self.exits_denied += 1
        return code

    cdef void clamp_exit(self, int side, px_t* px_ticks, qty_t* qty_lots) noexcept nogil:
        """Cut an exit to what one order may be: the rest of the position goes with the next one.

        The limit price is only ever made better, and only as far as the touch: what could not
        fill there would spend the order windows in vain. Then the gate denies, and counts it."""
        cdef px_t collar = self.limits.price_collar_ticks
        cdef px_t twice_mid = self.book.bid_px_ticks + self.book.ask_px_ticks
        cdef px_t end
        cdef qty_t lots, rest_lots
        if side == SIDE_SELL:
            end = (twice_mid + 1) // 2 - collar
            if self.limits.reference_age_ns_max:
                end = max(end, self.reference_px_ticks - collar)
            if px_ticks[0] < end <= self.book.bid_px_ticks:
                px_ticks[0] = end
        else:
            end = twice_mid // 2 + collar
            if self.limits.reference_age_ns_max:
                end = min(end, self.reference_px_ticks + collar)
            if px_ticks[0] > end >= self.book.ask_px_ticks:
                px_ticks[0] = end
        lots = min(qty_lots[0], self.limits.qty_lots_max,
                   max(self.limits.notional_max // max(px_ticks[0], 1), 1))
        rest_lots = qty_lots[0] - lots
        # A rest that is too small for an order of its own could never be closed.
        if 0 < rest_lots < self.limits.qty_lots_min:
            lots = max(lots + rest_lots - self.limits.qty_lots_min, self.limits.qty_lots_min)
        qty_lots[0] = min(lots, qty_lots[0])

    cdef int _check_order(self, const Intent* intent, uint32_t halt_bits) noexcept nogil:
        """What the state and the order itself say."""
        cdef int64_t notional
        if halt_bits and (not _is_exit(intent) or halt_bits & BARS_EXIT):
            return GATE_STATE
        if (intent.px_ticks <= 0 or intent.px_ticks > <px_t>PX_TICKS_MAX or intent.qty_lots <= 0
                or intent.qty_lots > <qty_t>QTY_LOTS_MAX or intent.filled_lots < 0
                or intent.filled_lots >= intent.qty_lots
                or (intent.side != SIDE_BUY and intent.side != SIDE_SELL)):
            return GATE_RANGE
        if (intent.flags & ORDER_POST_ONLY != 0) == (intent.flags & ORDER_IOC != 0):
            return GATE_NOT_POST_ONLY
        if (intent.qty_lots < self.limits.qty_lots_min
                or intent.qty_lots > self.limits.qty_lots_max):
            return GATE_QTY
        notional = intent.px_ticks * intent.qty_lots
        # Venues take a reduce-only order of any value: the rest of a position can be closed.
        if notional > self.limits.notional_max or (
                notional < self.limits.notional_min and not intent.flags & ORDER_REDUCE_ONLY):
            return GATE_NOTIONAL
        return GATE_OK

    cdef int _check_market(self, const Intent* intent, bint is_synced, ns_t book_ns,
                           ns_t tick_ns, ns_t now_ns) noexcept nogil:
        """What the references say of its price, and whether they may be believed."""
        cdef px_t bid = self.book.bid_px_ticks
        cdef px_t ask = self.book.ask_px_ticks
        cdef px_t collar = self.limits.price_collar_ticks
        cdef px_t off
        if now_ns - tick_ns > self.limits.tick_age_ns_max:
            return GATE_TICK_AGE
        if not is_synced or not self.book.is_two_sided or bid >= ask or ask > <px_t>PX_TICKS_MAX:
            return GATE_BOOK
        if now_ns - book_ns > self.limits.book_age_ns_max:
            return GATE_STALE
        # Twice the distance to the mid, so that a mid between two ticks stays an integer.
        off = 2 * intent.px_ticks - bid - ask
        if off > 2 * collar or -off > 2 * collar:
            return GATE_PRICE
        if self.limits.reference_age_ns_max:
            if (self.reference_px_ticks <= 0
                    or now_ns - self.reference_ns > self.limits.reference_age_ns_max):
                return GATE_REFERENCE
            off = intent.px_ticks - self.reference_px_ticks
            if off > collar or -off > collar:
                return GATE_PRICE
        if intent.flags & ORDER_POST_ONLY and (
                intent.px_ticks >= ask if intent.side == SIDE_BUY else intent.px_ticks <= bid):
            return GATE_POST_ONLY
        return GATE_OK

    cdef int _check_sends(self, bint is_exit, ns_t now_ns) noexcept nogil:
        cdef int rate = check_sends(self.sends, is_exit, now_ns)
        if rate != RATE_OK:
            return GATE_RATE if rate == RATE_ORDERS else GATE_MESSAGES
        rate = check_sends(self.account.sends, is_exit, now_ns)
        if rate != RATE_OK:
            return GATE_ACCOUNT_RATE if rate == RATE_ORDERS else GATE_ACCOUNT_MESSAGES
        return GATE_OK

    cdef int _check_open(self, const Intent* intent, ns_t now_ns) noexcept nogil:
        """What our other orders and the position say."""
        cdef OpenLots lots
        cdef qty_t fresh_lots = intent.qty_lots - intent.filled_lots
        cdef qty_t room_lots
        cdef int code = self._sum_open(intent, &lots, now_ns)
        if code != GATE_OK:
            return code
        if intent.flags & ORDER_REDUCE_ONLY or self.is_reducing:
            room_lots = (-self.orders.position_lots if intent.side == SIDE_BUY
                         else self.orders.position_lots)
            # A quote waits for its like. An exit does not wait for the cancel of a quote, which
            # the position limit covers: only for other orders that reduce.
            room_lots -= lots.reduce if intent.flags & ORDER_IOC else lots.own
            if max(fresh_lots, lots.replaced) > room_lots:
                return GATE_REDUCE_ONLY
        if (intent.replaces < 0 and not intent.flags & ORDER_IOC
                and self.orders.active_count >= self.limits.open_orders_max):
            return GATE_OPEN_ORDERS
        return self._check_worst(intent, &lots)

    cdef int _sum_open(self, const Intent* intent, OpenLots* lots, ns_t now_ns) noexcept nogil:
        """Fill `lots`; GATE_OK, or what one of our orders has against the intent."""
        cdef const Order* order
        cdef qty_t order_lots, own = 0, other = 0, reduce = 0
        cdef int64_t sign = 1 if intent.side == SIDE_BUY else -1
        cdef bint is_found = intent.replaces < 0
        cdef int i
        lots.replaced = 0
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            order_lots = open_lots(order)
            if order.side != intent.side:
                other += order_lots
                if (sign * (intent.px_ticks - reach_px(order)) >= 0
                        and is_working(order.state)):
                    return GATE_SELF_CROSS
            elif order.intent_id == intent.replaces:
                if not is_live(order.state) or order.new_qty_lots != 0:
                    return GATE_REPLACES
                is_found = True
                lots.replaced = order_lots
            else:
                own += order_lots
                if order.flags & ORDER_REDUCE_ONLY:
                    reduce += order_lots
                if (order.px_ticks == intent.px_ticks and order.qty_lots == intent.qty_lots
                        and (order.state == ORD_PENDING_NEW or order.state == ORD_UNKNOWN)
                        and now_ns - order.placed_ns < self.limits.duplicate_ns):
                    return GATE_DUPLICATE
        lots.own, lots.other, lots.reduce = own, other, reduce
        return GATE_OK if is_found else GATE_REPLACES

    cdef int _check_worst(self, const Intent* intent, const OpenLots* lots) noexcept nogil:
        """Position and exposure with every open order of one side filled, and none of the other."""
        cdef int64_t sign = 1 if intent.side == SIDE_BUY else -1
        cdef qty_t position_lots = sign * self.orders.position_lots
        cdef qty_t before_lots = position_lots + lots.own + lots.replaced
        cdef qty_t after_lots = position_lots + lots.own + max(
            intent.qty_lots - intent.filled_lots, lots.replaced)
        cdef qty_t other_lots = lots.other - position_lots
        cdef px_t mark = max(self.book.ask_px_ticks, intent.px_ticks)
        self.mark_px_ticks = self.book.ask_px_ticks
        if after_lots > self.limits.position_lots_max:
            return GATE_POSITION
        if after_lots > 0 and after_lots * mark > self.limits.exposure_max:
            return GATE_EXPOSURE
        self._set_exposure(self._value_e8(max(before_lots, other_lots), mark))
        self.next_exposure_e8 = self._value_e8(max(after_lots, other_lots), mark)
        # An order that adds nothing to the worst case passes whatever the account holds.
        if fc_unlikely(self.next_exposure_e8 > self.exposure_e8
                       and self.account.is_over(self.exposure_e8, self.next_exposure_e8)):
            return GATE_ACCOUNT_EXPOSURE
        return GATE_OK

    cdef int64_t _value_e8(self, qty_t lots, px_t px_ticks) noexcept nogil:
        """Worth of `lots` at a price, rounded up; VALUE_E8_MAX where it is more."""
        cdef int64_t value = min(lots, <qty_t>QTY_LOTS_MAX) * min(px_ticks, <px_t>PX_TICKS_MAX)
        value = min(value, self.value_max) * self.value_num
        if self.value_den == 1:
            return value
        return (value + self.value_den - 1) // self.value_den

    cdef void _set_exposure(self, int64_t value_e8) noexcept nogil:
        self.account.exposure_e8 += value_e8 - self.exposure_e8
        self.exposure_e8 = value_e8

    cdef void count_send(self, int verb, ns_t now_ns) noexcept nogil:
        """A message of ours leaves: a place or an amend is the intent that passed last."""
        self.sends.count_send(verb, now_ns)
        self.account.sends.count_send(verb, now_ns)
        if verb == VERB_PLACE or verb == VERB_MODIFY or verb == VERB_REPLACE:
            self._set_exposure(self.next_exposure_e8)

    cpdef void on_reference(self, px_t px_ticks, ns_t now_ns) noexcept nogil:
        """The second reference price: the last trade, or the venue's mark."""
        self.reference_px_ticks = px_ticks
        self.reference_ns = now_ns

    cpdef void set_reducing(self, bint is_reducing) noexcept nogil:
        self.is_reducing = is_reducing

    cpdef void report(self) noexcept nogil:
        """Tell the account what this instrument has at risk now: after fills and cancels, and as
        time goes. O(open orders)."""
        cdef qty_t buy_lots = self.orders.position_lots
        cdef qty_t sell_lots = -self.orders.position_lots
        cdef const Order* order
        cdef int i
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if order.side == SIDE_BUY:
                buy_lots += open_lots(order)
            else:
                sell_lots += open_lots(order)
        if self.book.is_two_sided:
            self.mark_px_ticks = self.book.ask_px_ticks
        self._set_exposure(self._value_e8(max(buy_lots, sell_lots), self.mark_px_ticks))

    # -- COLD ---

    def check_values(self, side: int, px_ticks: int, qty_lots: int, flags: int, halt_bits: int,
                     is_synced: bool, book_ns: int, tick_ns: int, now_ns: int,
                     replaces: int = -1, filled_lots: int = 0) -> int:
        """`check` for Python: the code, of CODES, or 0."""
        cdef Intent intent
        intent.side, intent.flags, intent.replaces = side, flags, replaces
        intent.px_ticks, intent.qty_lots, intent.filled_lots = px_ticks, qty_lots, filled_lots
        return self.check(&intent, halt_bits, is_synced, book_ns, tick_ns, now_ns)

    def clamp_values(self, side: int, px_ticks: int, qty_lots: int) -> tuple[int, int]:
        """`clamp_exit` for Python: the price and the size that may leave."""
        cdef px_t px = px_ticks
        cdef qty_t lots = qty_lots
        self.clamp_exit(side, &px, &lots)
        return px, lots

    def count_values(self, verb: int, now_ns: int) -> None:
        self.count_send(verb, now_ns)

    def denies(self) -> dict[str, int]:
        """How often each check denied, by name; OK: how often all passed."""
        return {"OK": self.counts[GATE_OK],
                **{name: self.counts[code] for code, (name, _) in CODES.items()}}


@cython.final
cdef class GateRig:
    """A gate's book and orders moved from Python, as the venue's answers would; for tests and
    benches, never in an engine."""
    cdef Gate gate

    def __cinit__(self, Gate gate not None):
        self.gate = gate

    def place(self, side: int, px_ticks: int, qty_lots: int, flags: int, now_ns: int) -> int:
        """Book the order that has just passed as sent; its intent id."""
        cdef Order* order = self.gate.orders.add(side, px_ticks, qty_lots, flags, 0, now_ns)
        if order == NULL:
            raise ValueError("Every slot for orders is taken")
        self.gate.count_send(VERB_PLACE, now_ns)
        return order.intent_id

    def amend(self, intent_id: int, px_ticks: int, qty_lots: int, now_ns: int) -> None:
        """Book the modification that has just passed as sent."""
        self.gate.count_send(VERB_MODIFY, now_ns)
        self.gate.orders.amend_order(intent_id, px_ticks, qty_lots, now_ns)

    def answer(self, intent_id: int, state: int, px_ticks: int, qty_lots: int) -> None:
        """The venue says that a live order stands so, or nothing (UNKNOWN)."""
        cdef Order* order = self.gate.orders.find(intent_id)
        order.state, order.px_ticks, order.qty_lots = state, px_ticks, qty_lots
        if is_live(state):
            order.new_px_ticks = order.new_qty_lots = 0

    def end(self, intent_id: int, state: int) -> None:
        """The venue says that an order is over."""
        self.gate.orders.move(self.gate.orders.find(intent_id), state, 0)

    def fill(self, intent_id: int, qty_lots: int) -> None:
        cdef Order* order = self.gate.orders.find(intent_id)
        order.cum_qty_lots += qty_lots
        self.gate.orders.position_lots += qty_lots if order.side == SIDE_BUY else -qty_lots

    def set_position(self, position_lots: int) -> None:
        self.gate.orders.position_lots = position_lots

    def repeat_check(self, side: int, px_ticks: int, qty_lots: int, flags: int, now_ns: int,
                     rounds: int) -> int:
        """Check one order `rounds` times, each 1 ns later; how often it passed."""
        cdef Intent intent
        cdef int64_t i, passed = 0, last = rounds
        cdef ns_t begin_ns = now_ns
        intent.side, intent.flags, intent.replaces = side, flags, -1
        intent.px_ticks, intent.qty_lots, intent.filled_lots = px_ticks, qty_lots, 0
        with nogil:
            for i in range(last):
                passed += self.gate.check(&intent, 0, True, begin_ns, begin_ns,
                                          begin_ns + i) == GATE_OK
        return passed
