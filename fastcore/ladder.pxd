# cython: language_level=3
"""One side of the book; design and costs in ladder.pyx."""
from libc.stdint cimport int64_t, uint64_t

from fastcore.types cimport Level, px_t, qty_t

cdef extern from *:
    """
    #define FC_NO_KEY INT64_MIN
    #define FC_PX_TICKS_MAX ((int64_t)1 << 53)
    """
    const int64_t NO_KEY "FC_NO_KEY"
    const px_t PX_TICKS_MAX "FC_PX_TICKS_MAX"   # exact in a double too; keys can't overflow

cdef struct Ladder:                # one side; key = px for bids, -px for asks: better is higher
    int64_t base                   # lowest key of the window, a multiple of 64
    int64_t best                   # highest key that holds a level, NO_KEY when the side is empty
    int64_t mask                   # window size - 1
    int64_t sign                   # +1 bids, -1 asks
    int64_t count                  # levels in window and far
    int64_t far_count
    qty_t* qty                     # [window], at key & mask; 0 = no level
    uint64_t* words                # [window / 64], bit key & 63 of word (key >> 6)
    uint64_t* summary              # [window / 4096 or 1], bit = word not zero
    Level* far                     # [levels_max] worse than the window, ascending; px is the key

# Levels that come in have passed sign_of_bad.
cdef qty_t level_at(const Ladder* side, int64_t key) noexcept nogil            # 0: none
cdef void clear_ladder(Ladder* side) noexcept nogil
cdef void load_ladder(Ladder* side, const Level* levels, int64_t count) noexcept nogil
cdef void apply_levels(Ladder* side, const Level* levels, int64_t count) noexcept nogil
cdef int levels_below(const Ladder* side, int64_t key, Level* out, int count) noexcept nogil
cdef int64_t new_levels(const Ladder* side, const Level* levels, int64_t count) noexcept nogil

cdef inline int64_t sign_of_bad(const Level* levels, int64_t count) noexcept nogil:
    """Negative if any px is outside 1 .. PX_TICKS_MAX or any qty is negative. Branch-free, and
    unsigned because a venue's number may be the least there is."""
    cdef uint64_t bad = 0
    cdef int64_t index
    for index in range(count):
        bad |= ((<uint64_t>levels[index].px_ticks - 1)
                | (<uint64_t>PX_TICKS_MAX - <uint64_t>levels[index].px_ticks)
                | <uint64_t>levels[index].qty_lots)
    return <int64_t>bad


cdef int open_ladder(Ladder* side, int64_t sign, int64_t window_ticks,
                     int64_t levels_max) except -1
cdef void close_ladder(Ladder* side) noexcept nogil
cdef str ladder_problem(const Ladder* side, int64_t levels_max)                # None: sound
