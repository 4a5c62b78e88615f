# cython: language_level=3
"""A LimitBook whose every transaction is written down; see market_log.pyx."""
from libc.stdint cimport int32_t, int64_t

from fastcore.limit_book cimport LimitBook
from fastcore.types cimport ns_t, px_t, qty_t, seq_t

cdef enum:
    AGENTS_MAX = 16            # accounts -1 .. -15 are agents

cdef enum:
    ROW_TRADE = 0
    ROW_CHANGE = 1
    ROW_LAST_CHANGE = 2        # of its transaction
    ROW_TOUCH = 3

cdef struct Row:
    ns_t t_ns
    int64_t kind
    int64_t a                  # trade: price; change: side; touch: bid price
    int64_t b                  # trade: lots; change: price; touch: bid lots
    int64_t c                  # trade: aggressor; change: lots; touch: ask price
    int64_t d                  # trade: maker's id, 0: an agent; touch: ask lots
    int64_t e                  # trade: taker's id, 0: an agent


cdef class MarketLog:
    cdef readonly LimitBook book
    cdef public object update_id               # of the last change told; int
    cdef public object trade_id
    cdef readonly px_t last_px_ticks           # 0: no trade yet
    cdef readonly bint is_broken               # no memory was left for a row
    cdef int64_t held[AGENTS_MAX]              # lots, by agent: what its trades add up to
    cdef px_t _touch_px[2]
    cdef qty_t _touch_lots[2]
    cdef Row* _rows
    cdef int64_t _row_count
    cdef int64_t _rows_size

    # The book's own verbs, and a commit. Agents' accounts are negative.
    cdef int place(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests, bint may_meet_own, ns_t t_ns) noexcept nogil
    cdef bint cancel(self, seq_t order_id, ns_t t_ns) noexcept nogil
    cdef void commit(self, ns_t t_ns, int aggressor, seq_t taker_id,
                     int32_t account) noexcept nogil
    cdef void _hold(self, int32_t account, int side, qty_t qty_lots) noexcept nogil
    cdef Row* _push(self, ns_t t_ns, int64_t kind) noexcept nogil
    cdef object _trade(self, const Row* row, str symbol, dict users)
