# cython: language_level=3
"""Python's checked face of a LimitBook, for tests and for whoever asks seldom.

The market of the exchange holds a LimitBook and reads it in C (engine/exchange/market_log.pyx);
a rig on the same book sees what it sees. Arguments are checked here, once; the book checks none.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t

from fastcore.limit_book cimport NONE, LimitBook, PriceLevel, RestingOrder
from fastcore.types cimport E_STATE, OK, SIDE_BUY, SIDE_SELL


@cython.final
cdef class LimitRig:
    """LimitRig(book): by default on an empty book of its own."""

    def __cinit__(self, LimitBook book=None):
        self.book = LimitBook.__new__(LimitBook) if book is None else book

    # -- COMMANDS ---

    def place(self, int64_t order_id, int side, int64_t px_ticks, int64_t qty_lots,
              int account=-1, *, bint rests=True, bint may_meet_own=True):
        """Match and rest; returns the lots left. px_ticks 0: at any price, and nothing rests.
        ValueError: arguments out of range, or the id is in use."""
        _check(order_id, side, qty_lots)
        if px_ticks < 0:
            raise ValueError(f"price {px_ticks} is negative")
        _raise(self.book.place(order_id, side, px_ticks, qty_lots, account, rests, may_meet_own),
               order_id)
        return self.book.leaves_lots

    def rest(self, int64_t order_id, int side, int64_t px_ticks, int64_t qty_lots,
             int account=-1):
        """Queue an order that nobody on the other side would take; ValueError where it crosses."""
        _check(order_id, side, qty_lots)
        if px_ticks <= 0:
            raise ValueError(f"price {px_ticks} is not positive")
        if self.book.fillable_lots(side, px_ticks, 1):
            raise ValueError(f"price {px_ticks} crosses the book")
        _raise(self.book.rest(order_id, side, px_ticks, qty_lots, account), order_id)

    def cancel(self, int64_t order_id):
        return bool(order_id > 0 and self.book.cancel(order_id))

    def shrink(self, int64_t order_id, int64_t qty_lots):
        """Take `qty_lots` off; False: not resting, or not fewer than are left."""
        return bool(order_id > 0 and self.book.shrink(order_id, qty_lots))

    def rescale(self, int64_t factor):
        """The tick is `factor` times finer."""
        if factor < 1:
            raise ValueError(f"factor {factor} is not positive")
        self.book.rescale(factor)

    def drain_changes(self):
        """[(side, px_ticks, qty_lots)] since the last call."""
        cdef int64_t index
        changes = [
            (self.book.changes[index].side, self.book.changes[index].px_ticks,
             self.book.changes[index].qty_lots)
            for index in range(self.book.change_count)
        ]
        self.book.clear_changes()
        return changes

    # -- QUERIES ---

    @property
    def fills(self):
        """[(maker_id, account, px_ticks, qty_lots)] of the last place, in order of priority."""
        cdef int64_t index
        return [
            (self.book.fills[index].maker_id, self.book.fills[index].account,
             self.book.fills[index].px_ticks, self.book.fills[index].qty_lots)
            for index in range(self.book.fill_count)
        ]

    @property
    def met_id(self):
        """Own order that the last place stopped in front of; 0: none."""
        return self.book.met_id

    def touch(self):
        """(bid px, bid qty, ask px, ask qty); 0 where a side is empty."""
        return (self.book.best_px(SIDE_BUY), self.book.best_qty(SIDE_BUY),
                self.book.best_px(SIDE_SELL), self.book.best_qty(SIDE_SELL))

    def level_count(self, int side):
        return self.book.level_count(_side(side))

    def level_at(self, int side, int64_t index):
        """(px_ticks, qty_lots, count of orders), `index` from the touch; IndexError: no such."""
        cdef const PriceLevel* level = self.book.level_at(_side(side), index)
        if level == NULL:
            raise IndexError(f"no level {index}")
        return level.px_ticks, level.qty_lots, level.count

    def orders_at(self, int side, int64_t index):
        """[(order_id, leaves_lots, account)], first served first; IndexError: no such level."""
        cdef const PriceLevel* level = self.book.level_at(_side(side), index)
        cdef int32_t slot
        if level == NULL:
            raise IndexError(f"no level {index}")
        orders, slot = [], level.head
        while slot != NONE:
            order = self.book.orders[slot]
            orders.append((order.order_id, order.leaves_lots, order.account))
            slot = order.next
        return orders

    def levels(self, int side, int64_t count):
        """Up to `count` of (px_ticks, qty_lots), best first."""
        cdef int64_t index
        cdef int64_t last = min(count, self.book.level_count(_side(side)))
        return [(self.book.level_at(side, index).px_ticks, self.book.level_at(side, index).qty_lots)
                for index in range(last)]

    def leaves_of(self, int64_t order_id):
        """0: not resting."""
        cdef int32_t slot = self.book.find(order_id) if order_id > 0 else NONE
        return 0 if slot == NONE else self.book.orders[slot].leaves_lots

    def fillable_lots(self, int side, int64_t px_ticks, int64_t qty_lots):
        """What a taker at that limit (0: any) would get now."""
        return self.book.fillable_lots(_side(side), px_ticks, qty_lots)

    @property
    def order_count(self):
        return self.book.order_count

    @property
    def pool_size(self):
        return self.book.pool_size

    @property
    def growths(self):
        """Times that any memory of the book grew."""
        return self.book.growths

    # -- COLD ---

    def check(self):
        """AssertionError when an invariant is broken: sums, order of prices, links, ids."""
        cdef int64_t index, seen = 0, last
        cdef const PriceLevel* level
        for side in (SIDE_BUY, SIDE_SELL):
            last = 0
            for index in range(self.book.level_count(side)):
                level = self.book.level_at(side, index)
                _assert(index == 0 or (level.px_ticks < last) == (side == SIDE_BUY),
                        f"price {level.px_ticks} behind {last}")
                last = level.px_ticks
                seen += _check_level(self.book, level, side)
        _assert(seen == self.book.order_count, "count of orders differs from the levels")
        bid, _, ask, _ = self.touch()
        _assert(not bid or not ask or bid < ask, f"crossed {bid} {ask}")


cdef int64_t _check_level(LimitBook book, const PriceLevel* level, int side) except -1:
    """Returns its count of orders."""
    cdef int32_t slot = level.head, prev = NONE
    cdef int64_t total = 0, count = 0
    cdef RestingOrder order
    while slot != NONE:
        order = book.orders[slot]
        _assert(order.leaves_lots > 0, f"empty order {order.order_id}")
        _assert(order.prev == prev, f"back link of {order.order_id}")
        _assert(order.side == side and order.px_ticks == level.px_ticks,
                f"order {order.order_id} stands at another price")
        _assert(book.find(order.order_id) == slot, f"order {order.order_id} is not found")
        total += order.leaves_lots
        count += 1
        prev, slot = slot, order.next
    _assert(count > 0, f"empty level {level.px_ticks}")
    _assert(prev == level.tail, f"tail of {level.px_ticks}")
    _assert(count == level.count and total == level.qty_lots, f"sum of {level.px_ticks}")
    return count


cdef int _assert(bint is_sound, str problem) except -1:
    if not is_sound:
        raise AssertionError(problem)
    return 0


cdef int _side(int side) except -1:
    if side not in (SIDE_BUY, SIDE_SELL):
        raise ValueError(f"side {side} is neither 0 nor 1")
    return side


cdef int _check(int64_t order_id, int side, int64_t qty_lots) except -1:
    _side(side)
    if order_id <= 0 or qty_lots <= 0:
        raise ValueError(f"order {order_id} of {qty_lots} lots: both must be positive")
    return 0


cdef int _raise(int code, int64_t order_id) except -1:
    if code == E_STATE:
        raise ValueError(f"order {order_id} rests already")
    if code != OK:
        raise MemoryError(f"no room for order {order_id}")
    return 0
