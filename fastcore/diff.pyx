# cython: language_level=3
"""Wanted against working: the fewest messages that turn one into the other, safest first.

A working quote within requote_ticks of a wanted level serves it and keeps its place in the queue:
exact prices are matched first, then the nearest pairs. What is left of both sides is paired again:
where the venue can, one amend moves the order (quoting.modify), else it is canceled and another is
placed. An order larger than its level wants is reduced in place by an amend, which keeps priority,
or else canceled, and placed anew when that is answered; a smaller one is kept.

When the touch jumps, the side that gives way is amended first. An order that would come up to an
own one before that is out of the way stays where it is, farther from the market, until it is.

Order of messages: cancels (first on the side that adds to the position), reductions, amends to a
new price, places (first on the side that reduces the position). A side is requoted at most once
per requote_ns; pulling without replacement is never delayed. At most messages_per_s_max messages
in any second: cancels and reduce-only takes always pass, a quarter is kept for them, and an order
whose amend has no room, or did not leave, is canceled: no stale price waits for budget or for us.

No place on a side while the fate of an order there is open; each such order stands for one of the
missing levels, so amends never make more of us than is wanted. An order in UNKNOWN whose prices
serve no level is canceled all the same, once per ack timeout: a cancel by client id does no harm
twice, and a query may take long, or not leave at all. A level whose order is being canceled waits
for the answer. After a post-only refusal the side
backs off: 10 ms (or requote_ms) doubling to 1 s, until a fill or a moved touch.
"""
cimport cython
from libc.stdlib cimport calloc, free, llabs
from libc.string cimport memset

from fastcore.check cimport fc_unlikely
from fastcore.types cimport (
    ORD_PENDING_CANCEL, ORD_PENDING_REPLACE, ORD_UNKNOWN, ORDER_IOC, ORDER_POST_ONLY,
    ORDER_REDUCE_ONLY, SIDE_BUY, SIDE_SELL, TARGET_LEVELS, VERB_CANCEL, VERB_MODIFY, VERB_PLACE,
    VERB_STATUS,
)
from fastcore.working cimport (
    MODIFIES_MAX, REASON_LATE, REASON_SEND_FAILED, Order, is_live, is_working,
    served_px,
)

from fastcore.diff_config import check_quoting

cdef enum:
    WINDOW_NS = 1_000_000_000
    BACKOFF_MIN_NS = 10_000_000
    BACKOFF_MAX_NS = 1_000_000_000

cdef ns_t LONG_AGO_NS = -(<ns_t>1 << 62)
cdef px_t ANY_TICKS = <px_t>1 << 62


cdef inline bint _is_unsent(const Order* order) noexcept nogil:
    """Its last amend did not leave. While we are late every other one would be, too: a cancel
    has no deadline."""
    return order.reason == REASON_LATE or order.reason == REASON_SEND_FAILED


@cython.final
cdef class Diff:
    """The diff of one instrument's orders. `quoting`: SETTINGS of diff_config, all
    required; ValueError names the one that is missing, unknown or out of range."""

    def __cinit__(self, dict quoting not None, Orders orders not None):
        check_quoting(quoting)
        self.orders = orders
        self.requote_ticks = quoting["requote_ticks"]
        self.requote_ns = quoting["requote_ms"] * 1_000_000
        self.is_modify_wanted = quoting["modify"]
        self.messages_max = quoting["messages_per_s_max"]
        self.messages_free = self.messages_max - self.messages_max // 4
        self.last_requote_ns[SIDE_BUY] = self.last_requote_ns[SIDE_SELL] = LONG_AGO_NS
        self.messages_ns = <ns_t*>calloc(self.messages_max, sizeof(ns_t))
        if self.messages_ns == NULL:
            raise MemoryError()
        memset(self.messages_ns, 1, self.messages_max * sizeof(ns_t))  # no page fault at a send

    def __dealloc__(self):
        free(self.messages_ns)

    cdef int run(self, const Target* target, bint is_halted, px_t bid_px_ticks,
                 px_t ask_px_ticks, ns_t now_ns) noexcept nogil:
        cdef int cancel_first = SIDE_SELL if self.orders.position_lots < 0 else SIDE_BUY
        cdef int place_first = SIDE_SELL if self.orders.position_lots > 0 else SIDE_BUY
        cdef int move_first
        self.action_count = 0
        self._note_touch(bid_px_ticks, ask_px_ticks)
        self._plan(SIDE_BUY, target.bids, 0 if is_halted else target.bid_count, now_ns)
        self._plan(SIDE_SELL, target.asks, 0 if is_halted else target.ask_count, now_ns)
        self._emit_cancels(cancel_first, now_ns)
        self._emit_cancels(1 - cancel_first, now_ns)
        self._emit_shrinks(cancel_first, now_ns)
        self._emit_shrinks(1 - cancel_first, now_ns)
        move_first = self._retreating_side(place_first)
        self._emit_moves(move_first, now_ns)
        self._emit_moves(1 - move_first, now_ns)
        self._emit_places(place_first, now_ns)
        self._emit_places(1 - place_first, now_ns)
        return self.action_count

    # -- PLAN ---

    cdef void _note_touch(self, px_t bid_px_ticks, px_t ask_px_ticks) noexcept nogil:
        """Begin, lengthen or end the sides' back-off."""
        cdef bint is_over = (bid_px_ticks != self.touch_seen[0]
                             or ask_px_ticks != self.touch_seen[1]
                             or self.orders.fill_count != self.fills_seen)
        cdef int side
        self.touch_seen[0] = bid_px_ticks
        self.touch_seen[1] = ask_px_ticks
        self.fills_seen = self.orders.fill_count
        for side in range(2):
            if is_over:
                self.backoff_ns[side] = 0
            if self.orders.post_only_refusals[side] != self.refusals_seen[side]:
                self.refusals_seen[side] = self.orders.post_only_refusals[side]
                self.backoff_ns[side] = min(<ns_t>BACKOFF_MAX_NS, max(
                    2 * self.backoff_ns[side], max(<ns_t>BACKOFF_MIN_NS, self.requote_ns)))
                self.backoff_until_ns[side] = self.orders.refused_ns[side] + self.backoff_ns[side]

    cdef void _plan(self, int side, const Level* wanted, int wanted_count,
                    ns_t now_ns) noexcept nogil:
        cdef Plan* plan = &self.plans[side]
        cdef int32_t[ORDERS_MAX] slots
        cdef int32_t[ORDERS_MAX] levels
        cdef int32_t[ORDERS_MAX] leaving
        cdef int32_t[ORDERS_MAX] left_levels
        cdef int i, pulled, count = 0, leaving_count = 0
        cdef const Order* order
        plan.wanted = wanted
        plan.missing = (<uint32_t>1 << wanted_count) - 1
        plan.in_doubt = plan.kept_count = plan.loose_count = 0
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if order.side != side or order.flags & ORDER_IOC or not is_working(order.state):
                continue
            if order.state == ORD_PENDING_CANCEL:
                leaving[leaving_count] = self.orders.active[i]
                left_levels[leaving_count] = -1
                leaving_count += 1
                continue
            if order.state == ORD_UNKNOWN:
                plan.in_doubt += 1
                continue
            slots[count] = self.orders.active[i]
            levels[count] = -1
            count += 1
        self._match(plan, slots, levels, count, wanted_count, 0)
        if self.requote_ticks > 0:
            self._match(plan, slots, levels, count, wanted_count, self.requote_ticks)
        self._match(plan, leaving, left_levels, leaving_count, wanted_count, self.requote_ticks)
        if plan.in_doubt != 0:
            self._pull_doubtful(side, plan, wanted_count, now_ns)
        pulled = plan.loose_count
        self._sort_out(side, plan, slots, levels, count, wanted_count, now_ns)
        if plan.missing != 0:
            if now_ns - self.last_requote_ns[side] < self.requote_ns:
                plan.missing = 0
                plan.loose_count = pulled
            elif self.backoff_ns[side] != 0 and now_ns < self.backoff_until_ns[side]:
                plan.missing = 0
        self._assign_moves(plan, wanted_count)

    cdef void _match(self, Plan* plan, int32_t* slots, int32_t* levels, int count,
                     int wanted_count, px_t ticks_max) noexcept nogil:
        """Give orders without a level the missing levels within ticks_max, nearest pair first."""
        cdef px_t distance_ticks, best_ticks
        cdef const Order* order
        cdef int i, level, best_i, best_level
        while plan.missing != 0:
            best_i = best_level = -1
            best_ticks = ticks_max + 1
            for i in range(count):
                order = &self.orders.slots[slots[i]]
                # An amend whose fate a query left open: at which price it stands is not known.
                if levels[i] >= 0 or (is_live(order.state) and order.new_qty_lots > 0):
                    continue
                for level in range(wanted_count):
                    if plan.missing & (<uint32_t>1 << level):
                        distance_ticks = llabs(plan.wanted[level].px_ticks - served_px(order))
                        if distance_ticks < best_ticks:
                            best_i, best_level, best_ticks = i, level, distance_ticks
            if best_i < 0:
                return
            levels[best_i] = best_level
            plan.missing &= ~(<uint32_t>1 << best_level)

    cdef void _sort_out(self, int side, Plan* plan, int32_t* slots, int32_t* levels, int count,
                        int wanted_count, ns_t now_ns) noexcept nogil:
        cdef const Order* order
        cdef int i
        for i in range(count):
            order = &self.orders.slots[slots[i]]
            if levels[i] >= 0:
                plan.kept[plan.kept_count] = slots[i]
                plan.kept_level[plan.kept_count] = levels[i]
                plan.kept_count += 1
            elif is_live(order.state) or (order.state == ORD_PENDING_REPLACE
                                          and wanted_count == 0):
                if self.orders.may_cancel(order, now_ns):
                    plan.loose[plan.loose_count] = slots[i]
                    plan.loose_level[plan.loose_count] = -1
                    plan.loose_count += 1
            else:
                plan.in_doubt += 1     # not cancelable before it is acknowledged

    cdef void _pull_doubtful(self, int side, Plan* plan, int wanted_count,
                             ns_t now_ns) noexcept nogil:
        """Pull what is in UNKNOWN, unless every price it may have serves a missing level."""
        cdef const Order* order
        cdef px_t px_ticks
        cdef bint is_old_near, is_new_near
        cdef int i, level
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if (order.side != side or order.flags & ORDER_IOC or order.state != ORD_UNKNOWN
                    or not self.orders.may_cancel(order, now_ns)):
                continue
            is_old_near = False
            is_new_near = order.new_qty_lots == 0
            for level in range(wanted_count):
                if plan.missing & (<uint32_t>1 << level):
                    px_ticks = plan.wanted[level].px_ticks
                    if llabs(px_ticks - order.px_ticks) <= self.requote_ticks:
                        is_old_near = True
                    if llabs(px_ticks - order.new_px_ticks) <= self.requote_ticks:
                        is_new_near = True
            if not (is_old_near and is_new_near):
                plan.loose[plan.loose_count] = self.orders.active[i]
                plan.loose_level[plan.loose_count] = -1
                plan.loose_count += 1

    cdef void _assign_moves(self, Plan* plan, int wanted_count) noexcept nogil:
        """Which loose orders one amend takes to a missing level, nearest first."""
        cdef px_t distance_ticks, best_ticks
        cdef const Order* order
        cdef int i, level, best_i, best_level
        cdef int room = -plan.in_doubt
        for level in range(wanted_count):
            room += (plan.missing >> level) & 1
        if not (self.is_modify_wanted and self.orders.can_modify):
            room = 0
        while room > 0:
            best_i = best_level = -1
            best_ticks = ANY_TICKS
            for i in range(plan.loose_count):
                order = &self.orders.slots[plan.loose[i]]
                if (plan.loose_level[i] >= 0 or not is_live(order.state)
                        or order.new_qty_lots > 0 or order.modify_count >= MODIFIES_MAX
                        or _is_unsent(order)):
                    continue
                for level in range(wanted_count):
                    if plan.missing & (<uint32_t>1 << level):
                        distance_ticks = llabs(plan.wanted[level].px_ticks - order.px_ticks)
                        if distance_ticks < best_ticks:
                            best_i, best_level, best_ticks = i, level, distance_ticks
            if best_i < 0:
                break
            plan.loose_level[best_i] = best_level
            plan.missing &= ~(<uint32_t>1 << best_level)
            room -= 1
        if plan.in_doubt > 0:
            plan.missing = 0

    # -- OUT ---

    cdef void _emit_cancels(self, int side, ns_t now_ns) noexcept nogil:
        cdef Plan* plan = &self.plans[side]
        cdef const Order* order
        cdef int i
        for i in range(plan.loose_count):
            if plan.loose_level[i] < 0:
                order = &self.orders.slots[plan.loose[i]]
                self._want(VERB_CANCEL, side, order.px_ticks, order.qty_lots, order.intent_id,
                           order.flags, 0)
                if plan.missing != 0:
                    self.last_requote_ns[side] = now_ns

    cdef void _emit_shrinks(self, int side, ns_t now_ns) noexcept nogil:
        """Less at the same price: the place in the queue stays. Where no amend can do it the order
        is canceled, at the pace of requotes: sizes change more often than prices."""
        cdef Plan* plan = &self.plans[side]
        cdef const Order* order
        cdef qty_t total_lots
        cdef bint can_shrink = self.is_modify_wanted and self.orders.can_modify
        cdef int i
        for i in range(plan.kept_count):
            order = &self.orders.slots[plan.kept[i]]
            total_lots = order.cum_qty_lots + plan.wanted[plan.kept_level[i]].qty_lots
            if (not is_live(order.state) or order.new_qty_lots != 0
                    or total_lots >= order.qty_lots):
                continue
            if (can_shrink and order.modify_count < MODIFIES_MAX and not _is_unsent(order)
                    and self._has_room(now_ns)):
                self._want(VERB_MODIFY, side, order.px_ticks, total_lots, order.intent_id,
                           order.flags, 0)
            elif (now_ns - self.last_requote_ns[side] >= self.requote_ns
                    and self.orders.may_cancel(order, now_ns)):
                self._want(VERB_CANCEL, side, order.px_ticks, order.qty_lots, order.intent_id,
                           order.flags, 0)

    cdef int _retreating_side(self, int otherwise) noexcept nogil:
        """Market up: the asks give way; down: the bids."""
        cdef px_t up_ticks = 0
        cdef Plan* plan
        cdef int side, i
        for side in range(2):
            plan = &self.plans[side]
            for i in range(plan.loose_count):
                if plan.loose_level[i] >= 0:
                    up_ticks += (plan.wanted[plan.loose_level[i]].px_ticks
                                 - self.orders.slots[plan.loose[i]].px_ticks)
        if up_ticks == 0:
            return otherwise
        return SIDE_SELL if up_ticks > 0 else SIDE_BUY

    cdef void _emit_moves(self, int side, ns_t now_ns) noexcept nogil:
        cdef Plan* plan = &self.plans[side]
        cdef const Level* level
        cdef const Order* order
        cdef int i
        for i in range(plan.loose_count):
            if plan.loose_level[i] < 0:
                continue
            order = &self.orders.slots[plan.loose[i]]
            level = &plan.wanted[plan.loose_level[i]]
            # Where it stands it is farther from the market: no risk, and its place is kept.
            if (level.px_ticks > order.px_ticks) == (side == SIDE_BUY) and self.orders.meets_own(
                    side, level.px_ticks):
                continue
            self.last_requote_ns[side] = now_ns
            if self._has_room(now_ns):
                self._want(VERB_MODIFY, side, level.px_ticks, order.cum_qty_lots + level.qty_lots,
                           order.intent_id, order.flags, 0)
            else:
                self._want(VERB_CANCEL, side, order.px_ticks, order.qty_lots, order.intent_id,
                           order.flags, 0)

    cdef void _emit_places(self, int side, ns_t now_ns) noexcept nogil:
        cdef Plan* plan = &self.plans[side]
        cdef int level
        for level in range(TARGET_LEVELS):
            if plan.missing & (<uint32_t>1 << level) and self._has_room(now_ns):
                self.last_requote_ns[side] = now_ns
                self._want(VERB_PLACE, side, plan.wanted[level].px_ticks,
                           plan.wanted[level].qty_lots, -1, ORDER_POST_ONLY, 0)

    cdef bint want_take(self, int side, px_t px_ticks, qty_t qty_lots, int flags, int reason,
                        ns_t now_ns) noexcept nogil:
        """`flags` may hold ORDER_REDUCE_ONLY; ORDER_IOC is a matter of course. Until all of its
        fills are booked a take is in flight, so that one reason never takes twice."""
        cdef const Order* order
        cdef int i
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if order.flags & ORDER_IOC and order.take_reason == reason:
                return False
        for i in range(self.action_count):
            if self.actions[i].flags & ORDER_IOC and self.actions[i].reason == reason:
                return False
        if not flags & ORDER_REDUCE_ONLY and not self._has_room(now_ns):
            return False
        return self._want(VERB_PLACE, side, px_ticks, qty_lots, -1,
                          ORDER_IOC | (flags & ORDER_REDUCE_ONLY), reason)

    cdef int overdue(self, ns_t now_ns) noexcept nogil:
        cdef Order* order
        cdef int i
        self.action_count = 0
        for i in range(self.orders.active_count):
            order = &self.orders.slots[self.orders.active[i]]
            if self.orders.ask_now(order, now_ns):
                self._want(VERB_STATUS, order.side, order.px_ticks, order.qty_lots,
                           order.intent_id, order.flags, 0)
        return self.action_count

    cdef bint _want(self, int verb, int side, px_t px_ticks, qty_t qty_lots, seq_t intent_id,
                    int flags, int reason) noexcept nogil:
        cdef Action* action
        if fc_unlikely(self.action_count >= OUT_MAX):
            return False           # the next input asks again
        action = &self.actions[self.action_count]
        action.verb = verb
        action.side = side
        action.px_ticks = px_ticks
        action.qty_lots = qty_lots
        action.intent_id = intent_id
        action.flags = flags
        action.reason = reason
        self.action_count += 1
        return True

    # -- BUDGET ---

    cdef bint _has_room(self, ns_t now_ns) noexcept nogil:
        """Whether, with all that is wanted so far, a place or an amend fits in the last second."""
        cdef int64_t before = self.message_count + self.action_count - self.messages_free
        if self.action_count >= self.messages_free:
            return False
        return before < 0 or (
            self.messages_ns[before % self.messages_max] <= now_ns - <ns_t>WINDOW_NS)

    cdef void count_message(self, ns_t now_ns) noexcept nogil:
        self.messages_ns[self.message_count % self.messages_max] = now_ns
        self.message_count += 1

    cdef void forget_requote(self, int side) noexcept nogil:
        """A side whose order was denied, or did not leave, may try again at the next look."""
        self.last_requote_ns[side] = LONG_AGO_NS

    # -- COLD: Python's face, for tests ---

    def wanted(self, list bids, list asks, bint is_halted, px_t bid_px_ticks, px_t ask_px_ticks,
               ns_t now_ns) -> list[dict]:
        """run() on (px_ticks, qty_lots) levels; the actions."""
        cdef Target target
        if len(bids) > TARGET_LEVELS or len(asks) > TARGET_LEVELS:
            raise ValueError(f"Expected at most {TARGET_LEVELS} levels a side")
        target.bid_count, target.ask_count = len(bids), len(asks)
        for i, (px, qty) in enumerate(bids):
            target.bids[i].px_ticks, target.bids[i].qty_lots = px, qty
        for i, (px, qty) in enumerate(asks):
            target.asks[i].px_ticks, target.asks[i].qty_lots = px, qty
        self.run(&target, is_halted, bid_px_ticks, ask_px_ticks, now_ns)
        return [self.actions[i] for i in range(self.action_count)]

    def take(self, int side, px_t px_ticks, qty_t qty_lots, int flags, int reason,
             ns_t now_ns) -> bool:
        """want_take() after the last wanted(); whether it was added, as the last action."""
        return self.want_take(side, px_ticks, qty_lots, flags, reason, now_ns)

    def queries(self, ns_t now_ns) -> list[int]:
        """overdue(): the intents asked for."""
        self.overdue(now_ns)
        return [self.actions[i].intent_id for i in range(self.action_count)]

    def sent(self, ns_t now_ns) -> None:
        self.count_message(now_ns)

    def forget(self, int side) -> None:
        """forget_requote(): an order of the side was denied, or did not leave."""
        if side not in (SIDE_BUY, SIDE_SELL):
            raise ValueError(f"Expected side 0 or 1, was {side}")
        self.forget_requote(side)

    def let_modify(self, bint can_modify) -> None:
        self.orders.can_modify = can_modify
