# cython: language_level=3
"""L2 book of one instrument: a ladder of ticks a side (ladder.pyx), fused with the bookTicker.

Fusion: Binance's bookTicker runs ahead of the depth stream. While its update id is newer than the
depth's, its two prices and sizes are the touch and depth levels better than it are hidden; when
depth reaches its id it is dropped. Fusing is by id, never by arrival.

Messages are validated before anything is applied. Nothing is allocated after construction.
"""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from fastcore.check cimport fc_unlikely
from fastcore.ladder cimport (
    NO_KEY, PX_TICKS_MAX, Ladder, apply_levels, clear_ladder, close_ladder, ladder_problem,
    level_at, levels_below, load_ladder, new_levels, open_ladder, sign_of_bad,
)
from fastcore.types cimport (
    E_CROSSED, E_FULL, E_RANGE, E_STALE, E_STATE, LEVELS_MAX, OK, SIDE_BUY, SIDE_SELL,
    BestEvent, DepthEvent, Level, px_t, qty_t, seq_t,
)


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


cdef int _take_own_out(Level* out, int first, int count, const Level* own,
                       int own_count) noexcept nogil:
    """Subtract our quantities from out[first : first + count] and close ranks over what vanishes;
    how many stand in `out` then. The venue may know of less than we do (an order on its way, one
    just filled), so what is left is never below zero."""
    cdef int kept = first
    cdef int index, mine
    cdef Level level
    for index in range(first, first + count):
        level = out[index]
        for mine in range(own_count):
            if own[mine].px_ticks == level.px_ticks:
                level.qty_lots -= own[mine].qty_lots
        if level.qty_lots > 0:
            out[kept] = level
            kept += 1
    return kept


@cython.final
cdef class Book:
    """Book(window_ticks=32768, levels_max=65536). See the module's docstring."""

    def __cinit__(self, int64_t window_ticks=BOOK_WINDOW_TICKS,
                  int64_t levels_max=BOOK_LEVELS_MAX):
        cdef int side
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
            open_ladder(&self._sides[side], 1 if side == SIDE_BUY else -1, window_ticks,
                        levels_max)
        self.clear()

    def __dealloc__(self):
        cdef int side
        for side in range(2):
            close_ladder(&self._sides[side])

    cdef int apply_snapshot(self, const DepthEvent* event) noexcept nogil:
        """Replace the depth. O(levels in + levels out). A newer bookTicker stays on top."""
        cdef int code = self._validate(event, True)
        if fc_unlikely(code != OK):
            return code
        clear_ladder(&self._sides[SIDE_BUY])
        clear_ladder(&self._sides[SIDE_SELL])
        load_ladder(&self._sides[SIDE_BUY], event.bids, event.bid_count)
        load_ladder(&self._sides[SIDE_SELL], event.asks, event.ask_count)
        return self._finish(event.final_update_id)

    cdef int apply_depth(self, const DepthEvent* event) noexcept nogil:
        """Apply one diff: absolute quantities, 0 deletes. Its ids are the caller's (Sync's) duty.
        O(levels)."""
        cdef int code = self._validate(event, False)
        if fc_unlikely(code != OK):
            return code
        if event.bid_count > 0:
            apply_levels(&self._sides[SIDE_BUY], event.bids, event.bid_count)
        if event.ask_count > 0:
            apply_levels(&self._sides[SIDE_SELL], event.asks, event.ask_count)
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
        if fc_unlikely(count <= 0 or self.update_id < 0):
            return 0
        if self.best_update_id <= self.depth_update_id:
            if fc_unlikely(ladder.best == NO_KEY):
                return 0
            return levels_below(ladder, ladder.best + 1, out, count)
        if side == SIDE_BUY:
            out[0].px_ticks = self._best.bid_px_ticks
            out[0].qty_lots = self._best.bid_qty_lots
        else:
            out[0].px_ticks = self._best.ask_px_ticks
            out[0].qty_lots = self._best.ask_qty_lots
        return 1 + levels_below(ladder, out[0].px_ticks * ladder.sign, out + 1, count - 1)

    cdef int levels_net(self, int side, Level* out, int count, const Level* own,
                        int own_count) noexcept nogil:
        """O(levels asked for and passed over, times own_count)."""
        cdef const Ladder* ladder = &self._sides[side]
        cdef int written = 0, wanted = count
        cdef int taken = self.levels(side, out, count)
        cdef int64_t key
        while taken > 0:
            key = out[written + taken - 1].px_ticks * ladder.sign
            written = _take_own_out(out, written, taken, own, own_count)
            if taken < wanted or written == count:
                break
            wanted = count - written
            taken = levels_below(ladder, key, out + written, wanted)
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
        return level_at(ladder, key)

    cpdef int64_t level_count(self, int side) noexcept nogil:
        return self._sides[side].count if side in (SIDE_BUY, SIDE_SELL) else 0

    cpdef void clear(self) noexcept nogil:
        """Forget everything: levels, bookTicker, ids. O(levels)."""
        clear_ladder(&self._sides[SIDE_BUY])
        clear_ladder(&self._sides[SIDE_SELL])
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
        if fc_unlikely((sign_of_bad(event.bids, event.bid_count)
                        | sign_of_bad(event.asks, event.ask_count)) < 0):
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
        return (bids.count + new_levels(bids, event.bids, event.bid_count) <= self.levels_max
                and asks.count + new_levels(asks, event.asks, event.ask_count)
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
        return self.level_list_net(side, count, ())

    def level_list_net(self, side, count, own):
        """level_list less our own [(px_ticks, qty_lots), ...], as levels_net has it. ValueError
        for a wrong side or a quantity of ours below 0."""
        cdef int64_t room
        cdef int written, index
        cdef Level* out
        if side not in (SIDE_BUY, SIDE_SELL):
            raise ValueError(f"side must be {SIDE_BUY} or {SIDE_SELL}, was {side}")
        if any(qty_lots < 0 for _, qty_lots in own):
            raise ValueError(f"own quantities must be 0 or more, were {own}")
        self._scratch.load(-1, 0, -1, own, ())
        room = max(0, min(count, self._sides[<int>side].count + 1))
        out = <Level*>calloc(room + 1, sizeof(Level))
        if out == NULL:
            raise MemoryError(f"no room for {room} levels")
        try:
            written = self.levels_net(side, out, room, self._scratch.event.bids, len(own))
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
            problem = ladder_problem(&self._sides[<int>side], self.levels_max)
            if problem:
                raise AssertionError(f"side {side}: {problem}\n{self.dump()}")
        if self.is_two_sided and not 0 < self.bid_px_ticks < self.ask_px_ticks:
            raise AssertionError(f"two-sided without bid < ask\n{self.dump()}")
        for side, px, qty in ((SIDE_BUY, self.bid_px_ticks, self.bid_qty_lots),
                              (SIDE_SELL, self.ask_px_ticks, self.ask_qty_lots)):
            if self.level_list(side, 1) != ([(px, qty)] if px else []):
                raise AssertionError(f"touch is not the first level\n{self.dump()}")
        if self.update_id != max(self.depth_update_id, self.best_update_id):
            raise AssertionError(f"update_id is not the newer one\n{self.dump()}")

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
