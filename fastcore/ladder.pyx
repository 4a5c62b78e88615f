# cython: language_level=3
"""One side of the book: a window of ticks with a bitmap, and the levels worse than the window.

The window is W ticks (W a power of two) held as a ring: the quantity at `key` stands at
`key & (W - 1)`, one bit a tick in 64-bit words, one bit a word in a summary, so that "next level
worse than this" is two or three bit scans. Bids use key = px, asks key = -px: better is higher on
both sides and one body of code serves them. Because the window is a ring, moving it moves only
the levels that leave or enter it. Levels worse than the window wait in `far`, ascending, so that
the ones that come back first stand at its end. A level better than the window moves the window at
once; after each message the window is moved if the best level left its middle half. Hence, between
messages: far levels are worse than every window level, and the best level is in the window.

Callers call once a message or walk, not once a level: what runs a level is inlined in here.
Nothing is allocated after open_ladder.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport Level, qty_t

cdef extern from *:
    """
    #define FC_HIGHEST_BIT(x) (63 - __builtin_clzll(x))  /* x != 0 */
    /* A store a page, through volatile so that it is not optimised into lazy zero pages. */
    static void fc_prefault(void* memory, size_t size) {
        volatile char* cursor = (volatile char*)memory;
        for (size_t at = 0; at < size; at += 4096) cursor[at] = 0;
    }
    """
    int FC_HIGHEST_BIT(uint64_t word) noexcept nogil
    void fc_prefault(void* memory, size_t size) noexcept nogil

cdef uint64_t ALL_BITS = <uint64_t>-1


cdef inline int64_t _far_bound(const Ladder* side, int64_t key) noexcept nogil:
    """Index of the first far level whose key >= `key`; far_count when there is none."""
    cdef int64_t low = 0, high = side.far_count, middle
    if high == 0 or side.far[high - 1].px_ticks < key:   # most searches are near the window
        return high
    while low < high:
        middle = (low + high) >> 1
        if side.far[middle].px_ticks < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int64_t _window_below(const Ladder* side, int64_t key) noexcept nogil:
    """Highest window level strictly below `key` (base < key <= base + W); NO_KEY when none."""
    cdef int64_t word_mask = side.mask >> 6
    cdef int64_t word, block, step, steps, found, distance
    cdef uint64_t bits
    key -= 1
    if key < side.base:
        return NO_KEY
    block = key >> 6
    word = block & word_mask
    bits = side.words[word] & (ALL_BITS >> (63 - (key & 63)))
    if fc_likely(bits != 0):
        return (block << 6) + FC_HIGHEST_BIT(bits)
    # The nearest non-empty word downwards round the ring; it counts only down to the base.
    step = word >> 6
    bits = side.summary[step] & ((<uint64_t>1 << (word & 63)) - 1)
    steps = (word_mask >> 6) + 1
    while bits == 0:
        if steps == 0:
            return NO_KEY
        steps -= 1
        step = (word_mask >> 6) if step == 0 else step - 1
        bits = side.summary[step]
    found = (step << 6) + FC_HIGHEST_BIT(bits)
    distance = (word - found) & word_mask
    if distance == 0 or distance > block - (side.base >> 6):
        return NO_KEY
    return ((block - distance) << 6) + FC_HIGHEST_BIT(side.words[found])


cdef inline int64_t _next_below(const Ladder* side, int64_t key) noexcept nogil:
    """Highest level strictly below `key`, window or far; NO_KEY when none."""
    cdef int64_t found = _window_below(side, key)
    if fc_likely(found != NO_KEY):
        return found
    found = _far_bound(side, key)
    return side.far[found - 1].px_ticks if found > 0 else NO_KEY


cdef inline void _set_bit(Ladder* side, int64_t slot) noexcept nogil:
    side.words[slot >> 6] |= <uint64_t>1 << (slot & 63)
    side.summary[slot >> 12] |= <uint64_t>1 << ((slot >> 6) & 63)


cdef inline void _clear_bit(Ladder* side, int64_t slot) noexcept nogil:
    side.words[slot >> 6] &= ~(<uint64_t>1 << (slot & 63))
    if side.words[slot >> 6] == 0:
        side.summary[slot >> 12] &= ~(<uint64_t>1 << ((slot >> 6) & 63))


cdef void _recentre(Ladder* side, int64_t key) noexcept nogil:
    """Move the window so that `key`, not worse than any level, is in its middle. O(levels moved)
    plus a look at each word that leaves."""
    cdef int64_t new_base = (key - (side.mask >> 1) - 1) & ~63
    cdef int64_t block, limit, slot
    cdef uint64_t bits
    cdef int bit
    if new_base > side.base:               # upwards: low levels leave, worst first
        limit = min(new_base, side.base + side.mask + 1)
        for block in range(side.base, limit, 64):
            bits = side.words[(block & side.mask) >> 6]
            for bit in range(64):
                if bits == 0:
                    break
                if bits & 1:
                    FC_DCHECK(side.far_count < side.count)
                    slot = (block + bit) & side.mask
                    side.far[side.far_count].px_ticks = block + bit
                    side.far[side.far_count].qty_lots = side.qty[slot]
                    side.far_count += 1
                    side.qty[slot] = 0
                    _clear_bit(side, slot)
                bits >>= 1
        side.base = new_base
        return
    side.base = new_base                   # downwards: nothing stands above, far levels come in
    while side.far_count > 0 and side.far[side.far_count - 1].px_ticks >= new_base:
        side.far_count -= 1
        slot = side.far[side.far_count].px_ticks & side.mask
        FC_DCHECK(side.qty[slot] == 0)
        side.qty[slot] = side.far[side.far_count].qty_lots
        _set_bit(side, slot)


cdef void _set_far(Ladder* side, int64_t key, qty_t qty_lots) noexcept nogil:
    """Set or delete a level worse than the window. O(log far + levels between it and the
    window)."""
    cdef int64_t index = _far_bound(side, key)
    cdef bint is_present = index < side.far_count and side.far[index].px_ticks == key
    if qty_lots == 0:
        if is_present:
            side.far_count -= 1
            side.count -= 1
            memmove(&side.far[index], &side.far[index + 1],
                    (side.far_count - index) * sizeof(Level))
            if key == side.best:
                side.best = _next_below(side, side.base)
        return
    if not is_present:
        memmove(&side.far[index + 1], &side.far[index], (side.far_count - index) * sizeof(Level))
        side.far[index].px_ticks = key
        side.far_count += 1
        side.count += 1
        if key > side.best:
            side.best = key
    side.far[index].qty_lots = qty_lots


cdef inline void _set_level(Ladder* side, int64_t key, qty_t qty_lots) noexcept nogil:
    """Set (or with 0 delete) one level; `best` is exact afterwards. Deleting an absent level is
    normal: venues send deletes of levels beyond the snapshot."""
    cdef int64_t slot
    if fc_unlikely(<uint64_t>(key - side.base) > <uint64_t>side.mask):
        if key < side.base:
            _set_far(side, key, qty_lots)
            return
        if qty_lots == 0:
            return
        _recentre(side, key)
    slot = key & side.mask
    if qty_lots > 0:
        if side.qty[slot] == 0:
            _set_bit(side, slot)
            side.count += 1
            if key > side.best:
                side.best = key
        side.qty[slot] = qty_lots
    elif side.qty[slot] != 0:
        side.qty[slot] = 0
        _clear_bit(side, slot)
        side.count -= 1
        if key == side.best:
            side.best = _next_below(side, key)


cdef qty_t level_at(const Ladder* side, int64_t key) noexcept nogil:
    cdef int64_t index
    if fc_likely(<uint64_t>(key - side.base) <= <uint64_t>side.mask):
        return side.qty[key & side.mask]
    if key > side.base:
        return 0
    index = _far_bound(side, key)
    if index < side.far_count and side.far[index].px_ticks == key:
        return side.far[index].qty_lots
    return 0


cdef inline void _settle(Ladder* side) noexcept nogil:
    """After a message: keep the best level in the middle half of the window."""
    cdef int64_t quarter = (side.mask + 1) >> 2
    if side.best != NO_KEY:
        if fc_unlikely(<uint64_t>(side.best - side.base - quarter) >= <uint64_t>(2 * quarter)):
            _recentre(side, side.best)


cdef void clear_ladder(Ladder* side) noexcept nogil:
    """O(levels in the window): goes by the best level, not over the whole array."""
    cdef int64_t key = side.best
    cdef int64_t below
    side.far_count = 0
    while key != NO_KEY and key >= side.base:
        below = _window_below(side, key)
        side.qty[key & side.mask] = 0
        _clear_bit(side, key & side.mask)
        key = below
    side.count = 0
    side.best = NO_KEY


cdef void load_ladder(Ladder* side, const Level* levels, int64_t count) noexcept nogil:
    """Fill an empty ladder. From the last level to the first: a snapshot is best first, so its far
    levels are appended. Were a price listed twice, the first wins."""
    cdef int64_t index, key
    cdef int64_t best = NO_KEY
    for index in range(count):
        key = levels[index].px_ticks * side.sign
        if levels[index].qty_lots > 0 and key > best:
            best = key
    if best != NO_KEY:
        side.base = (best - (side.mask >> 1) - 1) & ~63
    for index in range(count - 1, -1, -1):
        _set_level(side, levels[index].px_ticks * side.sign, levels[index].qty_lots)
    _settle(side)


cdef void apply_levels(Ladder* side, const Level* levels, int64_t count) noexcept nogil:
    """One side of one message, in its order: absolute quantities, 0 deletes. O(levels)."""
    cdef int64_t index
    for index in range(count):
        _set_level(side, levels[index].px_ticks * side.sign, levels[index].qty_lots)
    _settle(side)


cdef int levels_below(const Ladder* side, int64_t key, Level* out, int count) noexcept nogil:
    """Best first, the levels strictly worse than `key`, which may be anywhere; how many."""
    cdef int64_t cursor = min(key, side.base + side.mask + 1)   # _window_below's upper bound
    cdef int64_t far_index
    cdef int written = 0
    while written < count:
        cursor = _window_below(side, cursor)
        if cursor == NO_KEY:
            break
        out[written].px_ticks = cursor * side.sign
        out[written].qty_lots = side.qty[cursor & side.mask]
        written += 1
    if fc_likely(written == count):
        return written
    far_index = _far_bound(side, key)
    while written < count and far_index > 0:
        far_index -= 1
        out[written].px_ticks = side.far[far_index].px_ticks * side.sign
        out[written].qty_lots = side.far[far_index].qty_lots
        written += 1
    return written


cdef int64_t new_levels(const Ladder* side, const Level* levels, int64_t count) noexcept nogil:
    """How many levels a message may add, from above. Cold: only when the side is nearly full."""
    cdef int64_t index, added = 0
    for index in range(count):
        if (levels[index].qty_lots > 0
                and level_at(side, levels[index].px_ticks * side.sign) == 0):
            added += 1
    return added


# -- COLD --------------------------------------------------------------------------------------

cdef void* _zeroed(size_t size) except NULL:
    cdef void* memory = calloc(1, size)
    if memory == NULL:
        raise MemoryError(f"no room for {size} bytes of book")
    fc_prefault(memory, size)              # page faults now, not at the first tick
    return memory


cdef int open_ladder(Ladder* side, int64_t sign, int64_t window_ticks,
                     int64_t levels_max) except -1:
    """Allocate an empty side. `window_ticks` is a power of two, at least 256. MemoryError leaves
    what was allocated to close_ladder."""
    side.mask = window_ticks - 1
    side.sign = sign
    side.best = NO_KEY
    side.qty = <qty_t*>_zeroed(window_ticks * sizeof(qty_t))
    side.words = <uint64_t*>_zeroed(window_ticks // 64 * sizeof(uint64_t))
    side.summary = <uint64_t*>_zeroed(max(window_ticks // 4096, 1) * sizeof(uint64_t))
    side.far = <Level*>_zeroed(levels_max * sizeof(Level))
    return 0


cdef void close_ladder(Ladder* side) noexcept nogil:
    free(side.qty)
    free(side.words)
    free(side.summary)
    free(side.far)


cdef str ladder_problem(const Ladder* side, int64_t levels_max):
    """What is wrong with a side, or None."""
    cdef int64_t slot, key, index, count = 0, best = NO_KEY
    cdef bint has_bit, word_bit
    if side.base & 63:
        return f"base {side.base} is not word-aligned"
    for key in range(side.base, side.base + side.mask + 1):
        slot = key & side.mask
        has_bit = (side.words[slot >> 6] >> (slot & 63)) & 1
        if side.qty[slot] < 0 or has_bit != (side.qty[slot] != 0):
            return f"key {key} has qty {side.qty[slot]} and bit {has_bit}"
        word_bit = (side.summary[slot >> 12] >> ((slot >> 6) & 63)) & 1
        if word_bit != (side.words[slot >> 6] != 0):
            return f"summary of key {key} is {word_bit}"
        if has_bit:
            count += 1
            best = key
    for index in range(side.far_count):
        key = side.far[index].px_ticks
        if key >= side.base or (index and key <= side.far[index - 1].px_ticks):
            return f"far level {index}, key {key}, is out of place"
        if side.far[index].qty_lots <= 0:
            return f"far key {key} has qty {side.far[index].qty_lots}"
    if best != side.best:
        return f"best is {side.best}, the window's is {best}"
    if best == NO_KEY and side.far_count:
        return "far levels behind an empty window"
    if count + side.far_count != side.count or side.count > levels_max:
        return f"{count} + {side.far_count} levels, count {side.count}"
    return None
