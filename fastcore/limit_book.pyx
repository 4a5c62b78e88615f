# cython: language_level=3
"""A price-time priority book of single orders (L3): the matching of the local exchange.

Orders live in one pool and levels in another, linked by 32-bit indices: an order is 48 bytes and no
Python object. A level is a FIFO. Each side is an array of (key, level) sorted by key with the best
last, so what happens near the touch moves little memory, and a price may be any: no window. An id
finds its slot through an open-addressing table. The pools double when they must and never
shrink, so a market in its steady state allocates nothing.

Costs: rest, cancel, shrink: a binary search at most, and the memory of the levels better than a new
one; match: O(orders taken). fillable_lots: O(levels taken).

Every change of a level's total is noted in `changes` until they are cleared: once a level, with
its newest total, at the place of its first change. (A level that goes and comes back in between
is listed as gone and as new.)

A taker may be told not to meet its own account's orders: matching then stops in front of the
first of them, whose id is `met_id`, and nothing rests. What ends is the caller's to decide
(self-trade prevention is the venue's wish, see engine/exchange/events.py).
"""
cimport cython
from libc.stdint cimport INT64_MIN, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport E_FULL, E_STATE, OK, SIDE_BUY, SIDE_SELL

cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15u     # ids come in sequence: multiply, keep high bits
cdef int64_t POOL_SIZE_FIRST = 1024


cdef inline int64_t home_of(seq_t order_id, int64_t mask) noexcept nogil:
    return <int64_t>((<uint64_t>order_id * GOLDEN) >> 32) & mask


cdef inline int64_t key_of(int side, px_t px_ticks) noexcept nogil:
    return px_ticks if side == SIDE_BUY else -px_ticks


@cython.final
cdef class LimitBook:
    """Both sides of one instrument. ids > 0; MemoryError when there is no room at all."""

    def __cinit__(self):
        self._free_order = NONE
        self._free_level = NONE
        self._epoch = 1
        if self._grow_orders() != OK or self._grow_levels() != OK or self._reserve(64) != OK:
            raise MemoryError("no room for an empty book")
        self.growths = 0

    def __dealloc__(self):
        free(self.orders)
        free(self.fills)
        free(self.changes)
        free(self._levels)
        free(self._rungs[SIDE_BUY])
        free(self._rungs[SIDE_SELL])
        free(self._table)

    # -- COMMANDS ---

    cdef int place(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests, bint may_meet_own) noexcept nogil:
        """Match, then rest what is left when `rests`. See `fills`, `leaves_lots`, `met_id`."""
        FC_DCHECK(qty_lots > 0 and px_ticks >= 0 and order_id > 0)
        self.fill_count = 0
        self.met_id = 0
        self.leaves_lots = qty_lots
        if self._reserve(self._rung_count[side ^ 1] + 1) != OK:
            return E_FULL
        if rests and self.find(order_id) != NONE:
            return E_STATE
        if rests and self._free_order == NONE and self._grow_orders() != OK:
            return E_FULL      # before anything was taken
        if rests and self._free_level == NONE and self._grow_levels() != OK:
            return E_FULL
        self._take(side, px_ticks, NOBODY if may_meet_own else account)
        if self.leaves_lots > 0 and rests and self.met_id == 0 and px_ticks > 0:
            return self.rest(order_id, side, px_ticks, self.leaves_lots, account)
        return OK

    cdef void _take(self, int side, px_t px_ticks, int32_t own) noexcept nogil:
        cdef int other = side ^ 1
        cdef int64_t last_key = key_of(other, px_ticks) if px_ticks > 0 else INT64_MIN
        cdef Rung* rung
        cdef qty_t before
        while self.leaves_lots > 0 and self._rung_count[other] > 0:
            rung = self._rungs[other] + self._rung_count[other] - 1
            if rung.key < last_key:
                return
            before = self.leaves_lots
            self._take_level(self._levels + rung.level, own)
            if self.leaves_lots != before:
                self._note(other, rung.level)
            if self._levels[rung.level].count == 0:
                self._close_level(other, self._rung_count[other] - 1)
            if self.met_id != 0:
                return

    cdef bint _take_level(self, PriceLevel* level, int32_t own) noexcept nogil:
        cdef int32_t slot
        cdef RestingOrder* maker
        cdef Fill* fill
        cdef qty_t taken
        while self.leaves_lots > 0 and level.head != NONE:
            slot = level.head
            maker = self.orders + slot
            if fc_unlikely(maker.account == own):
                self.met_id = maker.order_id
                return False
            taken = min(self.leaves_lots, maker.leaves_lots)
            self.leaves_lots -= taken
            maker.leaves_lots -= taken
            level.qty_lots -= taken
            fill = self.fills + self.fill_count
            self.fill_count += 1
            fill.maker_id = maker.order_id
            fill.px_ticks = level.px_ticks
            fill.qty_lots = taken
            fill.maker_leaves_lots = maker.leaves_lots
            fill.account = maker.account
            if maker.leaves_lots == 0:
                self._unlink(slot)
        return True

    cdef int rest(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots,
                  int32_t account) noexcept nogil:
        """Queue behind the level, unmatched: what crosses is the caller's fault."""
        cdef int32_t level, slot
        cdef RestingOrder* order
        if self._reserve(1) != OK or (self._free_order == NONE and self._grow_orders() != OK):
            return E_FULL
        if self.find(order_id) != NONE:
            return E_STATE
        level = self._open_level(side, px_ticks)
        if level == NONE:
            return E_FULL
        slot = self._free_order
        order = self.orders + slot
        self._free_order = order.next
        order.order_id, order.px_ticks, order.leaves_lots = order_id, px_ticks, qty_lots
        order.account, order.side, order.level = account, side, level
        order.prev, order.next = self._levels[level].tail, NONE
        if order.prev == NONE:
            self._levels[level].head = slot
        else:
            self.orders[order.prev].next = slot
        self._levels[level].tail = slot
        self._levels[level].qty_lots += qty_lots
        self._levels[level].count += 1
        self.order_count += 1
        self._index(slot)
        self._note(side, level)
        return OK

    cdef bint cancel(self, seq_t order_id) noexcept nogil:
        """False: not resting. (Or no memory is left for the note of it: then nothing changed.)"""
        cdef int32_t slot = self.find(order_id), level
        cdef int side
        cdef px_t px_ticks
        if slot == NONE or self._reserve(1) != OK:
            return False
        level, side, px_ticks = (
            self.orders[slot].level, self.orders[slot].side, self.orders[slot].px_ticks)
        self._levels[level].qty_lots -= self.orders[slot].leaves_lots
        self._unlink(slot)
        self._note(side, level)
        if self._levels[level].count == 0:
            self._close_level(side, self._place_of(side, key_of(side, px_ticks)))
        return True

    cdef bint shrink(self, seq_t order_id, qty_t qty_lots) noexcept nogil:
        """Take lots off, fewer than are left; the place in the queue stays. False: it can't be."""
        cdef int32_t slot = self.find(order_id)
        if slot == NONE or not 0 < qty_lots < self.orders[slot].leaves_lots:
            return False
        if self._reserve(1) != OK:
            return False
        self.orders[slot].leaves_lots -= qty_lots
        self._levels[self.orders[slot].level].qty_lots -= qty_lots
        self._note(self.orders[slot].side, self.orders[slot].level)
        return True

    cdef void rescale(self, int64_t factor) noexcept nogil:
        """Every price is `factor` times as many ticks; no change is noted, the prices are the
        same. The order of levels is too."""
        cdef int64_t index
        cdef int side
        for index in range(self.pool_size):
            if self.orders[index].order_id != 0:
                self.orders[index].px_ticks *= factor
        for side in range(2):
            for index in range(self._rung_count[side]):
                self._rungs[side][index].key *= factor
                self._levels[self._rungs[side][index].level].px_ticks *= factor

    cdef void clear_changes(self) noexcept nogil:
        self.change_count = 0
        self._epoch += 1

    # -- QUERIES ---

    cdef int64_t level_count(self, int side) noexcept nogil:
        return self._rung_count[side]

    cdef const PriceLevel* level_at(self, int side, int64_t index) noexcept nogil:
        """Number `index` from the touch."""
        if not 0 <= index < self._rung_count[side]:
            return NULL
        return self._levels + self._rungs[side][self._rung_count[side] - 1 - index].level

    cdef px_t best_px(self, int side) noexcept nogil:
        cdef const PriceLevel* level = self.level_at(side, 0)
        return 0 if level == NULL else level.px_ticks

    cdef qty_t best_qty(self, int side) noexcept nogil:
        cdef const PriceLevel* level = self.level_at(side, 0)
        return 0 if level == NULL else level.qty_lots

    cdef int32_t find(self, seq_t order_id) noexcept nogil:
        cdef int64_t at = home_of(order_id, self._table_mask)
        cdef int32_t slot = self._table[at]
        while slot != NONE and self.orders[slot].order_id != order_id:
            at = (at + 1) & self._table_mask
            slot = self._table[at]
        return slot

    cdef qty_t fillable_lots(self, int side, px_t px_ticks, qty_t qty_lots) noexcept nogil:
        """What a taker would get now, whoever rests there."""
        cdef int other = side ^ 1
        cdef int64_t last_key = key_of(other, px_ticks) if px_ticks > 0 else INT64_MIN
        cdef int64_t place = self._rung_count[other] - 1
        cdef qty_t total = 0
        while place >= 0 and total < qty_lots and self._rungs[other][place].key >= last_key:
            total += self._levels[self._rungs[other][place].level].qty_lots
            place -= 1
        return min(total, qty_lots)

    # -- LEVELS ---

    cdef int64_t _place_of(self, int side, int64_t key) noexcept nogil:
        """Of the first rung whose key is not lower."""
        cdef int64_t low = 0, high = self._rung_count[side], middle
        cdef const Rung* rungs = self._rungs[side]
        while low < high:
            middle = (low + high) >> 1
            if rungs[middle].key < key:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int32_t _open_level(self, int side, px_t px_ticks) noexcept nogil:
        """The level at a price, made when there is none; NONE: no room."""
        cdef int64_t key = key_of(side, px_ticks)
        cdef int64_t place = self._place_of(side, key)
        cdef Rung* rungs = self._rungs[side]
        cdef PriceLevel* level
        cdef int32_t number
        if place < self._rung_count[side] and rungs[place].key == key:
            return rungs[place].level
        if self._free_level == NONE and self._grow_levels() != OK:
            return NONE
        rungs = self._rungs[side]
        number = self._free_level
        level = self._levels + number
        self._free_level = level.tail
        level.px_ticks, level.qty_lots, level.epoch = px_ticks, 0, 0
        level.change, level.count, level.head, level.tail = 0, 0, NONE, NONE
        memmove(rungs + place + 1, rungs + place,
                (self._rung_count[side] - place) * sizeof(Rung))
        rungs[place].key = key
        rungs[place].level = number
        self._rung_count[side] += 1
        return number

    cdef void _close_level(self, int side, int64_t place) noexcept nogil:
        cdef Rung* rungs = self._rungs[side]
        cdef int32_t number = rungs[place].level
        FC_DCHECK(self._levels[number].count == 0 and self._levels[number].qty_lots == 0)
        self._rung_count[side] -= 1
        memmove(rungs + place, rungs + place + 1,
                (self._rung_count[side] - place) * sizeof(Rung))
        self._levels[number].tail = self._free_level
        self._free_level = number

    cdef void _unlink(self, int32_t slot) noexcept nogil:
        """Out of its queue, the table and the pool; the level's quantity is the caller's."""
        cdef RestingOrder* order = self.orders + slot
        cdef PriceLevel* level = self._levels + order.level
        if order.prev == NONE:
            level.head = order.next
        else:
            self.orders[order.prev].next = order.next
        if order.next == NONE:
            level.tail = order.prev
        else:
            self.orders[order.next].prev = order.prev
        level.count -= 1
        self.order_count -= 1
        self._forget(slot)
        order.order_id = 0
        order.next = self._free_order
        self._free_order = slot

    cdef void _note(self, int side, int32_t number) noexcept nogil:
        """The level's total is another now. Room was reserved."""
        cdef PriceLevel* level = self._levels + number
        cdef LevelChange* change
        if level.epoch != self._epoch:
            FC_DCHECK(self.change_count < self._changes_size)
            level.epoch = self._epoch
            level.change = <int32_t>self.change_count
            self.change_count += 1
        change = self.changes + level.change
        change.px_ticks = level.px_ticks
        change.qty_lots = level.qty_lots
        change.side = side

    # -- IDS ---

    cdef void _index(self, int32_t slot) noexcept nogil:
        cdef int64_t at = home_of(self.orders[slot].order_id, self._table_mask)
        while self._table[at] != NONE:
            at = (at + 1) & self._table_mask
        self._table[at] = slot

    cdef void _forget(self, int32_t slot) noexcept nogil:
        """Close the gap behind it, so that no tombstones pile up."""
        cdef int64_t mask = self._table_mask
        cdef int64_t gap = home_of(self.orders[slot].order_id, mask), at, home
        while self._table[gap] != slot:
            gap = (gap + 1) & mask
        at = (gap + 1) & mask
        while self._table[at] != NONE:
            home = home_of(self.orders[self._table[at]].order_id, mask)
            if ((at - home) & mask) >= ((at - gap) & mask):
                self._table[gap] = self._table[at]
                gap = at
            at = (at + 1) & mask
        self._table[gap] = NONE

    # -- MEMORY ---

    cdef int _reserve(self, int64_t changes) noexcept nogil:
        """Room for so many more changes."""
        cdef int64_t size = self._changes_size
        cdef void* grown
        if fc_likely(self.change_count + changes <= size):
            return OK
        size = max(2 * size, self.change_count + changes)
        if size > 4 * <int64_t>RESTING_MAX:
            return E_FULL
        grown = realloc(self.changes, size * sizeof(LevelChange))
        if grown == NULL:
            return E_FULL
        self.changes = <LevelChange*>grown
        self._changes_size = size
        self.growths += 1
        return OK

    cdef int _grow_orders(self) noexcept nogil:
        """Twice the slots, a fill for each of them, and a table four times that sparse."""
        cdef int64_t size = max(POOL_SIZE_FIRST, 2 * self.pool_size), slot
        cdef void* orders
        cdef void* fills
        cdef void* table
        if size > RESTING_MAX:
            return E_FULL
        orders = realloc(self.orders, size * sizeof(RestingOrder))
        if orders == NULL:
            return E_FULL
        self.orders = <RestingOrder*>orders
        fills = realloc(self.fills, size * sizeof(Fill))
        if fills == NULL:
            return E_FULL
        self.fills = <Fill*>fills
        table = realloc(self._table, 4 * size * sizeof(int32_t))
        if table == NULL:
            return E_FULL
        self._table = <int32_t*>table
        self._table_mask = 4 * size - 1
        for slot in range(4 * size):
            self._table[slot] = NONE
        for slot in range(size - 1, self.pool_size - 1, -1):
            self.orders[slot].order_id = 0
            self.orders[slot].next = self._free_order
            self._free_order = <int32_t>slot
        for slot in range(self.pool_size):
            if self.orders[slot].order_id != 0:
                self._index(<int32_t>slot)
        self.pool_size = size
        self.growths += 1
        return OK

    cdef int _grow_levels(self) noexcept nogil:
        cdef int64_t size = max(POOL_SIZE_FIRST, 2 * self._level_pool_size), number
        cdef void* grown
        cdef int side
        grown = realloc(self._levels, size * sizeof(PriceLevel))
        if grown == NULL:
            return E_FULL
        self._levels = <PriceLevel*>grown
        for side in range(2):
            grown = realloc(self._rungs[side], size * sizeof(Rung))
            if grown == NULL:
                return E_FULL
            self._rungs[side] = <Rung*>grown
        for number in range(size - 1, self._level_pool_size - 1, -1):
            self._levels[number].tail = self._free_level
            self._free_level = <int32_t>number
        self._level_pool_size = size
        self.growths += 1
        return OK
