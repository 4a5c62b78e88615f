# cython: language_level=3
"""L2 book of one instrument: a ladder of ticks a side, fused with the bookTicker stream.

A side is a window of W ticks (W a power of two) held as a ring: the quantity at `key` stands at
`key & (W - 1)`, one bit a tick in 64-bit words, one bit a word in a summary, so that "next level
worse than this" is two or three bit scans. Bids use key = px, asks key = -px: better is higher on
both sides and one body of code serves them. Because the window is a ring, moving it moves only
the levels that leave or enter it. Levels worse than the window wait in `far`, ascending, so that
the ones that come back first stand at its end. A level better than the window moves the window at
once; after each message the window is moved if the best level left its middle half. Hence, between
messages: far levels are worse than every window level, and the best level is in the window.

Fusion: Binance's bookTicker runs ahead of the depth stream. While its update id is newer than the
depth's, its two prices and sizes are the touch and depth levels better than it are hidden; when
depth reaches its id it is dropped. Fusing is by id, never by arrival.

Messages are validated before anything is applied. Nothing is allocated after construction.
"""
cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove, memset

from fastcore.check cimport FC_DCHECK, fc_likely, fc_unlikely
from fastcore.types cimport (
    E_CROSSED, E_FULL, E_RANGE, E_STALE, E_STATE, LEVELS_MAX, OK, SIDE_BUY, SIDE_SELL,
    BestEvent, DepthEvent, Level, px_t, qty_t, seq_t,
)

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

cdef int64_t NO_KEY = INT64_MIN
cdef uint64_t ALL_BITS = <uint64_t>-1
cdef px_t PX_TICKS_MAX = <px_t>1 << 53     # exact in a double too; keys can't overflow


# -- LADDER ------------------------------------------------------------------------------------

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


cdef inline qty_t _level_at(const Ladder* side, int64_t key) noexcept nogil:
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


cdef void _clear_ladder(Ladder* side) noexcept nogil:
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


cdef int _load_ladder(Ladder* side, const Level* levels, int64_t count) noexcept nogil:
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
    return OK


cdef int64_t _new_levels(const Ladder* side, const Level* levels, int64_t count) noexcept nogil:
    """How many levels a message may add, from above. Cold: only when the side is nearly full."""
    cdef int64_t index, added = 0
    for index in range(count):
        if (levels[index].qty_lots > 0
                and _level_at(side, levels[index].px_ticks * side.sign) == 0):
            added += 1
    return added


cdef inline int64_t _sign_of_bad(const Level* levels, int64_t count) noexcept nogil:
    """Negative if any px is outside 1 .. PX_TICKS_MAX or any qty is negative. Branch-free."""
    cdef int64_t bad = 0, index
    for index in range(count):
        bad |= ((levels[index].px_ticks - 1) | (PX_TICKS_MAX - levels[index].px_ticks)
                | levels[index].qty_lots)
    return bad


cdef void* _zeroed(size_t size) except NULL:
    cdef void* memory = calloc(1, size)
    if memory == NULL:
        raise MemoryError(f"no room for {size} bytes of book")
    fc_prefault(memory, size)              # page faults now, not at the first tick
    return memory


@cython.final
cdef class LevelScratch:

    def __dealloc__(self):
        free(self._levels)

    cdef const DepthEvent* load(self, seq_t first, seq_t final_, seq_t prev, bids,
                                asks) except NULL:
        cdef int64_t count = len(bids) + len(asks)
        cdef int64_t index = 0
        cdef Level* grown
        if count > self._room or self._levels == NULL:
            grown = <Level*>realloc(self._levels, (count + 64) * sizeof(Level))
            if grown == NULL:
                raise MemoryError(f"no room for {count} levels")
            self._levels = grown
            self._room = count + 64
        for rows in (bids, asks):
            for px_ticks, qty_lots in rows:
                self._levels[index].px_ticks = px_ticks
                self._levels[index].qty_lots = qty_lots
                index += 1
        self.event.first_update_id = first
        self.event.final_update_id = final_
        self.event.prev_final_update_id = prev
        self.event.exch_ts_ns = 0
        self.event.bid_count = len(bids)
        self.event.ask_count = len(asks)
        self.event.bids = self._levels
        self.event.asks = self._levels + len(bids)
        return &self.event


# -- BOOK --------------------------------------------------------------------------------------

@cython.final
cdef class Book:
    """Book(window_ticks=32768, levels_max=65536). See the module's docstring."""

    def __cinit__(self, int64_t window_ticks=BOOK_WINDOW_TICKS,
                  int64_t levels_max=BOOK_LEVELS_MAX):
        cdef int side
        cdef Ladder* ladder
        if (window_ticks < BOOK_WINDOW_TICKS_MIN or window_ticks > BOOK_WINDOW_TICKS_MAX
                or window_ticks & (window_ticks - 1)):
            raise ValueError(
                f"window_ticks must be a power of two in {BOOK_WINDOW_TICKS_MIN} .. "
                f"{BOOK_WINDOW_TICKS_MAX}, was {window_ticks}")
        if levels_max < 1 or levels_max > BOOK_LEVELS_MAX:
            raise ValueError(f"levels_max must be in 1 .. {BOOK_LEVELS_MAX}, was {levels_max}")
        self.levels_max = levels_max
        self._scratch = LevelScratch.__new__(LevelScratch)
        for side in range(2):
            ladder = &self._sides[side]
            ladder.mask = window_ticks - 1
            ladder.sign = 1 if side == SIDE_BUY else -1
            ladder.best = NO_KEY
            ladder.qty = <qty_t*>_zeroed(window_ticks * sizeof(qty_t))
            ladder.words = <uint64_t*>_zeroed(window_ticks // 64 * sizeof(uint64_t))
            ladder.summary = <uint64_t*>_zeroed(max(window_ticks // 4096, 1) * sizeof(uint64_t))
            ladder.far = <Level*>_zeroed(levels_max * sizeof(Level))
        self.clear()

    def __dealloc__(self):
        cdef int side
        for side in range(2):
            free(self._sides[side].qty)
            free(self._sides[side].words)
            free(self._sides[side].summary)
            free(self._sides[side].far)

    cdef int apply_snapshot(self, const DepthEvent* event) noexcept nogil:
        """Replace the depth. O(levels in + levels out). A newer bookTicker stays on top."""
        cdef int code = self._validate(event, True)
        if fc_unlikely(code != OK):
            return code
        _clear_ladder(&self._sides[SIDE_BUY])
        _clear_ladder(&self._sides[SIDE_SELL])
        _load_ladder(&self._sides[SIDE_BUY], event.bids, event.bid_count)
        _load_ladder(&self._sides[SIDE_SELL], event.asks, event.ask_count)
        return self._finish(event.final_update_id)

    cdef int apply_depth(self, const DepthEvent* event) noexcept nogil:
        """Apply one diff: absolute quantities, 0 deletes. Its ids are the caller's (Sync's) duty.
        O(levels)."""
        cdef int code = self._validate(event, False)
        cdef Ladder* side
        cdef int64_t index
        if fc_unlikely(code != OK):
            return code
        side = &self._sides[SIDE_BUY]
        for index in range(event.bid_count):
            _set_level(side, event.bids[index].px_ticks, event.bids[index].qty_lots)
        _settle(side)
        side = &self._sides[SIDE_SELL]
        for index in range(event.ask_count):
            _set_level(side, -event.asks[index].px_ticks, event.asks[index].qty_lots)
        _settle(side)
        return self._finish(event.final_update_id)

    cdef int apply_best(self, const BestEvent* event) noexcept nogil:
        """Take a bookTicker. One that is not newer than what is known is ignored. O(1)."""
        if event.update_id <= self.best_update_id or event.update_id <= self.depth_update_id:
            return E_STALE
        if fc_unlikely(
                event.bid_px_ticks < 1 or event.bid_px_ticks > PX_TICKS_MAX
                or event.ask_px_ticks < 1 or event.ask_px_ticks > PX_TICKS_MAX
                or event.bid_qty_lots < 1 or event.ask_qty_lots < 1):
            return E_RANGE
        self._best = event[0]
        self.best_update_id = event.update_id
        return self._refresh_touch()

    cdef int levels(self, int side, Level* out, int count) noexcept nogil:
        cdef const Ladder* ladder = &self._sides[side]
        cdef int64_t key, far_index
        cdef int written = 0
        if fc_unlikely(count <= 0 or self.update_id < 0):
            return 0
        if self.best_update_id > self.depth_update_id:
            if side == SIDE_BUY:
                out[0].px_ticks = self._best.bid_px_ticks
                out[0].qty_lots = self._best.bid_qty_lots
            else:
                out[0].px_ticks = self._best.ask_px_ticks
                out[0].qty_lots = self._best.ask_qty_lots
            key = out[0].px_ticks * ladder.sign
            written = 1
            # The ticker may stand above the window, where _window_below may not start.
            if key > ladder.base + ladder.mask + 1:
                key = ladder.base + ladder.mask + 1
        else:
            key = ladder.base + ladder.mask + 1 if ladder.best == NO_KEY else ladder.best + 1
        while written < count:
            key = _window_below(ladder, key)
            if key == NO_KEY:
                break
            out[written].px_ticks = key * ladder.sign
            out[written].qty_lots = ladder.qty[key & ladder.mask]
            written += 1
        if fc_likely(written == count):
            return written
        far_index = ladder.far_count
        if written == 1:                   # the ticker alone: it may stand below the window
            far_index = _far_bound(ladder, out[0].px_ticks * ladder.sign)
        while written < count and far_index > 0:
            far_index -= 1
            out[written].px_ticks = ladder.far[far_index].px_ticks * ladder.sign
            out[written].qty_lots = ladder.far[far_index].qty_lots
            written += 1
        return written

    cdef int depth_touch(self, Level* bid, Level* ask) noexcept nogil:
        cdef const Ladder* bids = &self._sides[SIDE_BUY]
        cdef const Ladder* asks = &self._sides[SIDE_SELL]
        bid.px_ticks = bid.qty_lots = ask.px_ticks = ask.qty_lots = 0
        if bids.best != NO_KEY:
            bid.px_ticks = bids.best
            bid.qty_lots = bids.qty[bids.best & bids.mask]
        if asks.best != NO_KEY:
            ask.px_ticks = -asks.best
            ask.qty_lots = asks.qty[asks.best & asks.mask]
        if bids.best == NO_KEY or asks.best == NO_KEY:
            return E_STATE
        return E_CROSSED if bid.px_ticks >= ask.px_ticks else OK

    cpdef qty_t qty_at(self, int side, px_t px_ticks) noexcept nogil:
        cdef const Ladder* ladder
        cdef int64_t key, touch
        if side not in (SIDE_BUY, SIDE_SELL) or px_ticks < 1 or px_ticks > PX_TICKS_MAX:
            return 0
        ladder = &self._sides[side]
        key = px_ticks * ladder.sign
        if self.best_update_id > self.depth_update_id:
            touch = self._best.bid_px_ticks if side == SIDE_BUY else -self._best.ask_px_ticks
            if key > touch:
                return 0
            if key == touch:
                return self._best.bid_qty_lots if side == SIDE_BUY else self._best.ask_qty_lots
        return _level_at(ladder, key)

    cpdef int64_t level_count(self, int side) noexcept nogil:
        return self._sides[side].count if side in (SIDE_BUY, SIDE_SELL) else 0

    cpdef void clear(self) noexcept nogil:
        """Forget everything: levels, bookTicker, ids. O(levels)."""
        _clear_ladder(&self._sides[SIDE_BUY])
        _clear_ladder(&self._sides[SIDE_SELL])
        memset(&self._best, 0, sizeof(BestEvent))
        self.depth_update_id = self.best_update_id = -1
        self.is_crossed = False
        self._refresh_touch()

    cdef int _validate(self, const DepthEvent* event, bint is_snapshot) noexcept nogil:
        """OK, or E_RANGE / E_FULL with nothing applied: a message is never half applied."""
        if fc_unlikely(event.bid_count < 0 or event.ask_count < 0 or event.final_update_id < 0):
            return E_RANGE
        if fc_unlikely(event.bid_count > LEVELS_MAX or event.ask_count > LEVELS_MAX):
            return E_FULL
        if fc_unlikely((_sign_of_bad(event.bids, event.bid_count)
                        | _sign_of_bad(event.asks, event.ask_count)) < 0):
            return E_RANGE
        if is_snapshot:
            if event.bid_count > self.levels_max or event.ask_count > self.levels_max:
                return E_FULL
        elif fc_unlikely(
                self._sides[SIDE_BUY].count + event.bid_count > self.levels_max
                or self._sides[SIDE_SELL].count + event.ask_count > self.levels_max):
            return OK if self._has_room(event) else E_FULL
        return OK

    cdef bint _has_room(self, const DepthEvent* event) noexcept nogil:
        cdef const Ladder* bids = &self._sides[SIDE_BUY]
        cdef const Ladder* asks = &self._sides[SIDE_SELL]
        return (bids.count + _new_levels(bids, event.bids, event.bid_count) <= self.levels_max
                and asks.count + _new_levels(asks, event.asks, event.ask_count)
                <= self.levels_max)

    cdef int _finish(self, seq_t update_id) noexcept nogil:
        self.depth_update_id = update_id
        return self._refresh_touch()

    cdef int _refresh_touch(self) noexcept nogil:
        """Set the touch fields from whichever stream is newer. E_CROSSED if either is crossed."""
        cdef Level bid, ask
        cdef int code = self.depth_touch(&bid, &ask)
        if self.best_update_id > self.depth_update_id:
            self.update_id = self.best_update_id
            bid.px_ticks = self._best.bid_px_ticks
            bid.qty_lots = self._best.bid_qty_lots
            ask.px_ticks = self._best.ask_px_ticks
            ask.qty_lots = self._best.ask_qty_lots
            if bid.px_ticks >= ask.px_ticks:
                code = E_CROSSED
            elif code == E_STATE:          # one-sided depth under a two-sided ticker
                code = OK
        else:
            self.update_id = self.depth_update_id
        self.bid_px_ticks = bid.px_ticks
        self.bid_qty_lots = bid.qty_lots
        self.ask_px_ticks = ask.px_ticks
        self.ask_qty_lots = ask.qty_lots
        self.is_crossed = code == E_CROSSED
        self.is_two_sided = code == OK
        return code if self.is_crossed else OK

    # -- COLD: the Python face, checks -----------------------------------------------------

    def apply_snapshot_lists(self, final_update_id, bids, asks):
        """`bids`, `asks`: sequences of (px_ticks, qty_lots). Returns a code: see book.pxd."""
        return self.apply_snapshot(self._scratch.load(-1, final_update_id, -1, bids, asks))

    def apply_depth_lists(self, first_update_id, final_update_id, prev_final_update_id, bids,
                          asks):
        """`bids`, `asks`: sequences of (px_ticks, qty_lots). Returns a code: see book.pxd."""
        return self.apply_depth(self._scratch.load(
            first_update_id, final_update_id, prev_final_update_id, bids, asks))

    def apply_best_values(self, update_id, bid_px_ticks, bid_qty_lots, ask_px_ticks,
                          ask_qty_lots):
        """Returns a code: see book.pxd."""
        cdef BestEvent event
        event.update_id = update_id
        event.exch_ts_ns = 0
        event.bid_px_ticks = bid_px_ticks
        event.bid_qty_lots = bid_qty_lots
        event.ask_px_ticks = ask_px_ticks
        event.ask_qty_lots = ask_qty_lots
        return self.apply_best(&event)

    def level_list(self, side, count=BOOK_LEVELS_MAX):
        """Fused levels, best first: [(px_ticks, qty_lots), ...]. ValueError for a wrong side."""
        cdef int64_t room
        cdef int written, index
        cdef Level* out
        if side not in (SIDE_BUY, SIDE_SELL):
            raise ValueError(f"side must be {SIDE_BUY} or {SIDE_SELL}, was {side}")
        room = max(0, min(count, self._sides[<int>side].count + 1))
        out = <Level*>calloc(room + 1, sizeof(Level))
        if out == NULL:
            raise MemoryError(f"no room for {room} levels")
        try:
            written = self.levels(side, out, room)
            return [(out[index].px_ticks, out[index].qty_lots) for index in range(written)]
        finally:
            free(out)

    def depth_touch_values(self):
        """(code, bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots) of depth alone."""
        cdef Level bid, ask
        cdef int code = self.depth_touch(&bid, &ask)
        return (code, bid.px_ticks, bid.qty_lots, ask.px_ticks, ask.qty_lots)

    def check(self):
        """Verify every invariant; AssertionError with a dump. O(window)."""
        for side in (SIDE_BUY, SIDE_SELL):
            problem = self._problem_of(side)
            if problem:
                raise AssertionError(f"{problem}\n{self.dump()}")
        if self.is_two_sided and not 0 < self.bid_px_ticks < self.ask_px_ticks:
            raise AssertionError(f"two-sided without bid < ask\n{self.dump()}")
        for side, px, qty in ((SIDE_BUY, self.bid_px_ticks, self.bid_qty_lots),
                              (SIDE_SELL, self.ask_px_ticks, self.ask_qty_lots)):
            if self.level_list(side, 1) != ([(px, qty)] if px else []):
                raise AssertionError(f"touch is not the first level\n{self.dump()}")
        if self.update_id != max(self.depth_update_id, self.best_update_id):
            raise AssertionError(f"update_id is not the newer one\n{self.dump()}")

    cdef object _problem_of(self, int side):
        """What is wrong with a side, or None."""
        cdef Ladder* ladder = &self._sides[side]
        cdef int64_t slot, key, index, count = 0, best = NO_KEY
        cdef bint has_bit, word_bit
        if ladder.base & 63:
            return f"side {side}: base {ladder.base} is not word-aligned"
        for key in range(ladder.base, ladder.base + ladder.mask + 1):
            slot = key & ladder.mask
            has_bit = (ladder.words[slot >> 6] >> (slot & 63)) & 1
            if ladder.qty[slot] < 0 or has_bit != (ladder.qty[slot] != 0):
                return f"side {side}: key {key} has qty {ladder.qty[slot]} and bit {has_bit}"
            word_bit = (ladder.summary[slot >> 12] >> ((slot >> 6) & 63)) & 1
            if word_bit != (ladder.words[slot >> 6] != 0):
                return f"side {side}: summary of key {key} is {word_bit}"
            if has_bit:
                count += 1
                best = key
        for index in range(ladder.far_count):
            key = ladder.far[index].px_ticks
            if key >= ladder.base or (index and key <= ladder.far[index - 1].px_ticks):
                return f"side {side}: far level {index}, key {key}, is out of place"
            if ladder.far[index].qty_lots <= 0:
                return f"side {side}: far key {key} has qty {ladder.far[index].qty_lots}"
        if best != ladder.best:
            return f"side {side}: best is {ladder.best}, the window's is {best}"
        if best == NO_KEY and ladder.far_count:
            return f"side {side}: far levels behind an empty window"
        if count + ladder.far_count != ladder.count or ladder.count > self.levels_max:
            return f"side {side}: {count} + {ladder.far_count} levels, count {ladder.count}"
        return None

    def dump(self):
        """State in words, for failures."""
        lines = [f"Book update_id={self.update_id} depth={self.depth_update_id} "
                 f"best={self.best_update_id} two_sided={self.is_two_sided} "
                 f"crossed={self.is_crossed}"]
        for side, name in ((SIDE_BUY, "bids"), (SIDE_SELL, "asks")):
            lines.append(
                f"  {name}: base={self._sides[<int>side].base} "
                f"best={self._sides[<int>side].best} count={self._sides[<int>side].count} "
                f"far={self._sides[<int>side].far_count} {self.level_list(side, 10)}")
        return "\n".join(lines)


# -- COLD: loops with no Python between two calls, for whoever measures -------------------------

def repeat_depth(Book book not None, messages, int64_t rounds):
    """Apply `messages`, each a pair of lists of (px_ticks, qty_lots), `rounds` times over. Returns
    the number of level updates applied."""
    cdef int64_t count = len(messages)
    cdef int64_t index, updates = 0
    cdef list scratches = []
    cdef LevelScratch scratch
    cdef const DepthEvent** events = <const DepthEvent**>calloc(count + 1, sizeof(void*))
    if events == NULL:
        raise MemoryError(f"no room for {count} messages")
    try:
        for index in range(count):
            scratch = LevelScratch.__new__(LevelScratch)
            bids, asks = messages[index]
            events[index] = scratch.load(index, index, index - 1, bids, asks)
            scratches.append(scratch)
        with nogil:
            for _ in range(rounds):
                for index in range(count):
                    if book.apply_depth(events[index]) in (OK, E_CROSSED):
                        updates += events[index].bid_count + events[index].ask_count
    finally:
        free(events)
    return updates


def repeat_levels(Book book not None, int side, int count, int64_t rounds):
    """levels(side, count) `rounds` times over. Returns the sum of all quantities seen."""
    cdef Level out[64]
    cdef int64_t seen = 0
    cdef int written = 0, index
    if side not in (SIDE_BUY, SIDE_SELL) or not 0 <= count <= 64:
        raise ValueError(f"side {side}, count {count}: side is 0 or 1, count at most 64")
    with nogil:
        for _ in range(rounds):
            written = book.levels(side, out, count)
            for index in range(written):
                seen += out[index].qty_lots
    return seen
