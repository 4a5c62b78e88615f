# cython: language_level=3
"""A price-time priority book of single orders (L3); design and costs in limit_book.pyx."""
from libc.stdint cimport int32_t, int64_t

from fastcore.types cimport px_t, qty_t, seq_t

cdef enum:
    RESTING_MAX = 1 << 22      # orders at rest: 400 MB, far more than any crowd of agents leaves
    NONE = -1                  # no order, no level
    NOBODY = -2147483648       # the account of no order

cdef struct RestingOrder:
    seq_t order_id             # 0: the slot is free, `next` the next free one
    px_t px_ticks
    qty_t leaves_lots
    int32_t account
    int32_t side
    int32_t level
    int32_t prev               # in its level's queue; head is served first
    int32_t next

cdef struct PriceLevel:
    px_t px_ticks
    qty_t qty_lots             # sum of its orders
    int64_t epoch              # of the drain that `change` belongs to
    int32_t change             # where this level stands in the list of changes
    int32_t count
    int32_t head
    int32_t tail               # of a free level: the next free one

cdef struct Rung:              # a level's place in the order of its side
    int64_t key                # px for bids, -px for asks: the best is the highest, and the last
    int32_t level

cdef struct Fill:
    seq_t maker_id
    px_t px_ticks
    qty_t qty_lots
    qty_t maker_leaves_lots    # 0: the maker is gone
    int32_t account            # the maker's

cdef struct LevelChange:
    px_t px_ticks
    qty_t qty_lots             # the level's new total; 0: it is gone
    int32_t side


cdef class LimitBook:
    # Of the last place or take; valid until the next.
    cdef Fill* fills
    cdef int64_t fill_count
    cdef qty_t leaves_lots                     # what was left of the taker
    cdef readonly seq_t met_id                 # own order that matching stopped in front of; or 0
    # Since the last clear_changes, oldest first.
    cdef LevelChange* changes
    cdef readonly int64_t change_count
    cdef readonly int64_t order_count
    cdef readonly int64_t pool_size            # slots for orders that exist, used or not
    cdef readonly int64_t growths              # times that any memory grew
    cdef RestingOrder* orders
    cdef PriceLevel* _levels
    cdef Rung* _rungs[2]
    cdef int64_t _rung_count[2]
    cdef int32_t* _table                       # order id -> slot, open addressing
    cdef int64_t _table_mask
    cdef int64_t _level_pool_size
    cdef int64_t _changes_size
    cdef int64_t _epoch
    cdef int32_t _free_order
    cdef int32_t _free_level

    # OK, E_STATE (id in use), E_FULL. px_ticks 0: at any price, and then nothing rests.
    cdef int place(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests, bint may_meet_own) noexcept nogil
    cdef int rest(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots,
                  int32_t account) noexcept nogil
    cdef bint cancel(self, seq_t order_id) noexcept nogil
    cdef bint shrink(self, seq_t order_id, qty_t qty_lots) noexcept nogil
    cdef void rescale(self, int64_t factor) noexcept nogil
    cdef void clear_changes(self) noexcept nogil

    cdef int64_t level_count(self, int side) noexcept nogil
    cdef const PriceLevel* level_at(self, int side, int64_t index) noexcept nogil  # NULL: none
    cdef px_t best_px(self, int side) noexcept nogil                                # 0: none
    cdef qty_t best_qty(self, int side) noexcept nogil
    cdef int32_t find(self, seq_t order_id) noexcept nogil                          # or NONE
    cdef qty_t fillable_lots(self, int side, px_t px_ticks, qty_t qty_lots) noexcept nogil

    cdef void _take(self, int side, px_t px_ticks, int32_t own) noexcept nogil
    cdef bint _take_level(self, PriceLevel* level, int32_t own) noexcept nogil
    cdef int64_t _place_of(self, int side, int64_t key) noexcept nogil
    cdef int32_t _open_level(self, int side, px_t px_ticks) noexcept nogil
    cdef void _unlink(self, int32_t slot) noexcept nogil
    cdef void _close_level(self, int side, int64_t place) noexcept nogil
    cdef void _note(self, int side, int32_t level) noexcept nogil
    cdef void _index(self, int32_t slot) noexcept nogil
    cdef void _forget(self, int32_t slot) noexcept nogil
    cdef int _reserve(self, int64_t changes) noexcept nogil
    cdef int _grow_orders(self) noexcept nogil
    cdef int _grow_levels(self) noexcept nogil
