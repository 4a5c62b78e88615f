# cython: language_level=3
"""Tick-ladder L2 book with bookTicker fusion; design and costs in book.pyx."""
from libc.stdint cimport int64_t

from fastcore.ladder cimport Ladder
from fastcore.types cimport BestEvent, DepthEvent, Level, px_t, qty_t, seq_t

cdef enum:
    BOOK_WINDOW_TICKS = 32768      # BTCUSDT perp: +-1,638 USDT, 2.6 %; 256 KiB a side
    BOOK_WINDOW_TICKS_MIN = 256    # four words: a quarter of the window is one 64-tick block
    BOOK_WINDOW_TICKS_MAX = 262144
    BOOK_LEVELS_MAX = 65536        # a side; BTCUSDT perp grows to 5,000 in six minutes

cdef class LevelScratch:
    """A DepthEvent filled from Python lists: the Python faces' way into the C ones. Cold."""
    cdef DepthEvent event
    cdef Level* _levels
    cdef int64_t _room
    cdef const DepthEvent* load(self, seq_t first, seq_t final_, seq_t prev, bids,
                                asks) except NULL

cdef class Book:
    cdef:
        # Fused touch: depth, or the bookTicker while its id is newer. Absent side: px 0, qty 0.
        readonly px_t bid_px_ticks
        readonly px_t ask_px_ticks
        readonly qty_t bid_qty_lots
        readonly qty_t ask_qty_lots
        readonly seq_t update_id           # of whichever the touch comes from; -1: none
        readonly bint is_two_sided         # both sides stand and bid < ask: may be priced from
        readonly bint is_crossed           # bid >= ask after a whole message: invalid until resync
        readonly seq_t depth_update_id     # -1: none
        readonly seq_t best_update_id      # -1: none
        BestEvent _best                    # last bookTicker taken
        Ladder _sides[2]                   # SIDE_BUY, SIDE_SELL
        readonly int64_t levels_max
        LevelScratch _scratch              # for the Python face

    # OK | E_CROSSED (applied, book flagged) | E_RANGE, E_FULL (nothing applied)
    cdef int apply_snapshot(self, const DepthEvent* event) noexcept nogil
    cdef int apply_depth(self, const DepthEvent* event) noexcept nogil
    # OK | E_CROSSED (applied, flagged) | E_STALE, E_RANGE (ignored)
    cdef int apply_best(self, const BestEvent* event) noexcept nogil
    # Fused, best first; how many were written.
    cdef int levels(self, int side, Level* out, int count) noexcept nogil
    # As levels, less our own resting orders (any order; two at one price add up): a level that is
    # all ours is passed over.
    cdef int levels_net(self, int side, Level* out, int count, const Level* own,
                        int own_count) noexcept nogil
    # Depth alone: OK | E_STATE (a side is absent: its px and qty are 0) | E_CROSSED.
    cdef int depth_touch(self, Level* bid, Level* ask) noexcept nogil
    # Fused; 0 where no level stands.
    cpdef qty_t qty_at(self, int side, px_t px_ticks) noexcept nogil
    cpdef int64_t level_count(self, int side) noexcept nogil   # depth levels that the side holds
    cpdef void clear(self) noexcept nogil

    cdef int _validate(self, const DepthEvent* event, bint is_snapshot) noexcept nogil
    cdef bint _has_room(self, const DepthEvent* event) noexcept nogil
    cdef int _finish(self, seq_t update_id) noexcept nogil
    cdef int _refresh_touch(self) noexcept nogil
