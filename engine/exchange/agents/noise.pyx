# cython: language_level=3
"""Traders without information: most of the orders, and half of the trades.

Takers are pieces of parent orders: their side stays for a number of trades with a heavy tail,
which gives order flow its long memory (Lillo, Mike, Farmer 2005). Limit orders come at distances
from the touch that are many small and few large, and leave by cancels, mostly near the touch.
"""
cimport cython
from libc.math cimport pow
from libc.stdint cimport int32_t, int64_t

from engine.exchange.agents.dice cimport below, exponential, uniform
from engine.exchange.agents.floor cimport NOISE, Floor
from fastcore.limit_book cimport PriceLevel, RestingOrder
from fastcore.types cimport SIDE_BUY, SIDE_SELL, px_t, qty_t

cdef double RUN_TAIL = 1.4             # Pareto exponent of a parent order's pieces
cdef int64_t RUN_MAX = 1000
cdef double WHOLE_LEVEL_SHARE = 0.10   # takers who want all that is at the touch
cdef double JOIN_SHARE, NEAR_SHARE
JOIN_SHARE, NEAR_SHARE = 0.35, 0.30    # of limit orders: at the touch; near it; the rest far
cdef double CANCEL_NEAR_SHARE = 0.55
cdef int QUEUE_STEPS_MAX = 6           # how far into a queue a cancel looks
cdef int PICKS_MAX = 12                # slots tried for an order to cancel; about half are in use
cdef double FAR_SIZE = 6.0             # orders a reach away are so many times larger, and one more
cdef double FAR_REACHES = 12.0         # further than so many reaches nobody waits


@cython.final
cdef class Noise:
    def __cinit__(self, Floor floor not None):
        self.floor = floor

    cdef void take(self) noexcept nogil:
        """The next piece of the parent order, at any price."""
        cdef qty_t lots
        if self._run_left <= 0:
            self._side = SIDE_BUY if uniform(&self.floor.dice) < 0.5 else SIDE_SELL
            self._run_left = min(
                RUN_MAX, <int64_t>pow(1.0 - uniform(&self.floor.dice), -1.0 / RUN_TAIL))
        self._run_left -= 1
        lots = self.floor.lots(self.floor.settings.taker_lots)
        if uniform(&self.floor.dice) < WHOLE_LEVEL_SHARE:
            lots = max(lots, min(self.floor.book.best_qty(self._side ^ 1),
                                 self.floor.settings.lots_max))
        self.floor.take(self._side, 0, lots, NOISE, False)

    cdef void quote_or_cancel(self) noexcept nogil:
        """Keeps the count of orders about where it should be, and each side deep enough."""
        cdef double share = <double>self.floor.book.order_count / self.floor.settings.orders_count
        cdef int side = <int>below(&self.floor.dice, 2)
        cdef double px_ticks
        cdef int64_t levels = self.floor.book.level_count(side)
        if levels < self.floor.settings.levels_min and self.floor.may_quote(side):
            px_ticks = self.floor.fair_ticks
            if levels > 0:
                px_ticks = self.floor.book.level_at(side, levels - 1).px_ticks
            px_ticks -= (1.0 if side == SIDE_BUY else -1.0) * (1 + below(&self.floor.dice, 5))
            self._rest(side, px_ticks, 1.0 + FAR_SIZE)
        elif uniform(&self.floor.dice) * (1.0 + share * share) >= 1.0:
            if uniform(&self.floor.dice) < CANCEL_NEAR_SHARE:
                self._cancel_near()
            else:
                self._cancel_any()
        else:
            self._quote(side)

    cdef void _quote(self, int side) noexcept nogil:
        cdef double draw = uniform(&self.floor.dice), distance = 0.0
        cdef double sign = 1.0 if side == SIDE_BUY else -1.0
        cdef px_t best = self.floor.book.best_px(side)
        cdef double px_ticks = best if best > 0 else self.floor.fair_ticks - sign
        if draw >= JOIN_SHARE + NEAR_SHARE:
            distance = exponential(&self.floor.dice, self.floor.settings.reach_ticks)
        elif draw >= JOIN_SHARE:
            distance = 1.0 + exponential(&self.floor.dice, self.floor.settings.reach_ticks / 10.0)
        elif self.floor.is_stale(side):
            return                             # nobody joins a quote that is about to be taken
        self._rest(side, px_ticks - sign * distance,
                   1.0 + FAR_SIZE * min(1.0, distance / self.floor.settings.reach_ticks))

    cdef void _rest(self, int side, double px_ticks, double size) noexcept nogil:
        self.floor.quote(
            side, px_ticks, self.floor.lots(size * self.floor.settings.maker_lots), NOISE)

    cdef void _cancel_near(self) noexcept nogil:
        cdef int side = <int>below(&self.floor.dice, 2)
        cdef const PriceLevel* level = self.floor.book.level_at(
            side, <int64_t>exponential(&self.floor.dice, 6.0))
        cdef int32_t slot
        cdef int64_t _step
        if level == NULL:
            return
        slot = level.head
        for _step in range(below(&self.floor.dice, min(level.count, QUEUE_STEPS_MAX))):
            slot = self.floor.book.orders[slot].next
        if self.floor.book.orders[slot].account == NOISE:
            self.floor.cancel(self.floor.book.orders[slot].order_id)

    cdef void _cancel_any(self) noexcept nogil:
        """An order by the slot that it is kept in: any is as likely. Much too far ones first.
        (All slots of the pool: how many were ever used would tell of users' orders that are
        gone.)"""
        cdef int side = <int>below(&self.floor.dice, 2), _pick
        cdef const PriceLevel* worst = self.floor.book.level_at(
            side, self.floor.book.level_count(side) - 1)
        cdef const RestingOrder* order
        cdef bint is_deep = self.floor.book.level_count(side) > self.floor.settings.levels_min
        if worst != NULL and is_deep and (
                abs(worst.px_ticks - self.floor.fair_ticks)
                > FAR_REACHES * self.floor.settings.reach_ticks):
            self.floor.cancel_worst(side)
            return
        for _pick in range(PICKS_MAX):
            order = self.floor.book.orders + below(&self.floor.dice, self.floor.book.pool_size)
            if order.order_id != 0 and order.account == NOISE:
                self.floor.cancel(order.order_id)
                return
