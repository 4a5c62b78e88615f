# cython: language_level=3
"""Keeping a Book true to a venue's diff stream: snapshot, chain, gap. A pure state machine.

The venues' rules, with `last` the id of the snapshot, then of the last diff applied:

    futures   drop u < last; the first applied has U <= last <= u (or pu == last);
              then every diff's pu == last
    spot      drop u <= last, whenever; all others have U <= last + 1 <= u
    bybit     a snapshot comes unasked in the stream (on subscribing, after trouble, with u == 1
              after a restart) and replaces the book at any time; then every delta's u == last + 1
    partial   every message is the whole top of the book; drop u <= last

(USD-M "How to manage a local order book correctly"; spot web-socket-streams.md, same heading, by
which an event that we had already is ignored and only U > last + 1 is a gap; Bybit v5 "Orderbook":
its pages promise that u is in sequence and recordings of 200 levels show it, 2,142 deltas of six
books in one capture, each u one more than the last.)

What a REST snapshot does not reach stays unknown until it changes: is_past_snapshot tells when the
touch has left its range. It ends nothing: on the recorded BTCUSDT tape the touch leaves it within
minutes and still equals the venue's own best price; but whoever has time to spare fetches anew.

Bybit counts u for each topic; what can be compared across topics is `seq`, smaller is older. So
there a book fuses its best-price stream by seq, or, where a depth message tells none, not at all.

The rest is about futures and spot. Until a snapshot is in, diffs wait in a bounded buffer.
Whatever breaks the chain, or leaves the book crossed, clears the book: there is no moment at which
a book that may be wrong is SYNCED. The diff that revealed the break starts the next buffer.
`snapshot_wanted` is a level, not an edge: it stays True until a usable snapshot is in, so whoever
fetches keeps one request in flight.

              snapshot, buffer empty          first covering diff
    EMPTY ──────────────────────────▶ ANCHORING ─────────────▶ SYNCED
      │        snapshot, buffer links to it                       ▲ │
      └───────────────────────────────────────────────────────────┘ │ break, crossed
    GAP ◀───────────────────────────────────────────────────────────┘  (leaves like EMPTY)

With the other two, nothing waits and any snapshot leads from any state to SYNCED. Under bybit a
delta that has no snapshot to stand on is dropped, and `resubscribe_wanted` is the level: a new
subscription is what brings a snapshot. Under partial the next message mends everything.
"""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from fastcore.book cimport Book, LevelScratch
from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.types cimport (
    E_CROSSED, E_FULL, E_GAP, E_STALE, E_STATE, OK, SYNC_ANCHORING, SYNC_EMPTY, SYNC_GAP,
    SIDE_BUY, SIDE_SELL, SYNC_RULE_BYBIT, SYNC_RULE_FUTURES, SYNC_RULE_PARTIAL, SYNC_RULE_SPOT,
    SYNC_SYNCED, BestEvent, DepthEvent, Level, px_t, seq_t,
)


cdef px_t _worst_px(const Level* levels, int64_t count, int64_t sign) noexcept nogil:
    """Lowest bid (sign 1) or highest ask (-1); 0 when there is none."""
    cdef px_t worst = 0
    cdef int64_t index
    for index in range(count):
        if levels[index].qty_lots > 0:
            if worst == 0 or levels[index].px_ticks * sign < worst * sign:
                worst = levels[index].px_ticks
    return worst


@cython.final
cdef class Sync:
    """Sync(book, rule, events_max=4096, levels_max=262144). Nothing is allocated later."""

    def __cinit__(self, Book book not None, int rule, int64_t events_max=SYNC_EVENTS_MAX,
                  int64_t levels_max=SYNC_LEVELS_MAX):
        if rule not in (SYNC_RULE_FUTURES, SYNC_RULE_SPOT, SYNC_RULE_BYBIT, SYNC_RULE_PARTIAL):
            raise ValueError(f"rule must be a SyncRule, was {rule}")
        if not 1 <= events_max <= SYNC_EVENTS_MAX:
            raise ValueError(f"events_max must be in 1 .. {SYNC_EVENTS_MAX}, was {events_max}")
        if not 1 <= levels_max <= SYNC_LEVELS_MAX:
            raise ValueError(f"levels_max must be in 1 .. {SYNC_LEVELS_MAX}, was {levels_max}")
        self.book = book
        self.rule = rule
        self._has_rest = rule in (SYNC_RULE_FUTURES, SYNC_RULE_SPOT)
        self._events_max = events_max
        self._levels_max = levels_max
        self._scratch = LevelScratch.__new__(LevelScratch)
        # Cold memory on purpose (lazy pages): it is used while there is no book to trade on.
        self._waiting = <Waiting*>calloc(events_max, sizeof(Waiting))
        self._levels = <Level*>calloc(levels_max, sizeof(Level))
        if self._waiting == NULL or self._levels == NULL:
            raise MemoryError(f"no room for {events_max} diffs, {levels_max} levels")
        self.reset()

    def __dealloc__(self):
        free(self._waiting)
        free(self._levels)

    cdef int on_depth(self, const DepthEvent* event) noexcept nogil:
        """Take one diff. O(levels)."""
        cdef int code
        if fc_likely(self.state == SYNC_SYNCED):
            if fc_unlikely(not self._is_next(event)):
                return self._on_break(event)
        elif self.state == SYNC_ANCHORING:
            if self._is_stale(event):
                self.stale_drops += 1
                return 0
            if not self._is_anchor(event):
                return self._lose_with(E_GAP, event)
        else:
            return self._on_early(event)
        code = self._apply(event)
        return 1 if fc_likely(code == OK) else self._lose_with(code, event)

    cdef int on_snapshot(self, const DepthEvent* event) noexcept nogil:
        """Take a snapshot, from REST or the stream as the rule has it. O(levels of it and of the
        diffs that it unlocks)."""
        cdef int code
        cdef int64_t stale = 0
        cdef DepthEvent first
        if self.rule == SYNC_RULE_BYBIT:
            return self._on_stream_snapshot(event)
        if self.rule == SYNC_RULE_PARTIAL:
            return self.on_partial(event)
        if not self.snapshot_wanted:
            return E_STATE
        self.last_update_id = event.final_update_id
        while stale < self.waiting_count:
            first = self._waiting_event(stale)
            if not self._is_stale(&first):
                break
            stale += 1
        self.stale_drops += stale
        self._drop_waiting(stale)
        if self.waiting_count > 0:
            first = self._waiting_event(0)
            if not self._is_anchor(&first):
                self.stale_snapshots += 1
                self.last_update_id = -1
                return E_STALE
        code = self.book.apply_snapshot(event)
        if code != OK:
            return self._lose(code)
        self.snapshot_wanted = False
        self.state = SYNC_ANCHORING
        self._edge_px_ticks[SIDE_BUY] = _worst_px(event.bids, event.bid_count, 1)
        self._edge_px_ticks[SIDE_SELL] = _worst_px(event.asks, event.ask_count, -1)
        return self._replay() if self.waiting_count > 0 else 1

    cdef int on_partial(self, const DepthEvent* event) noexcept nogil:
        """Take one message of a partial-depth stream (full 5, 10 or 20 levels a side): it is the
        whole book, because nothing tells of what lies beyond it. O(levels in + levels out)."""
        cdef int code
        if self.rule != SYNC_RULE_PARTIAL:
            return E_STATE
        if event.final_update_id <= self.last_update_id:
            self.stale_drops += 1
            return 0
        code = self.book.apply_snapshot(event)
        if fc_unlikely(code != OK):
            return self._lose(code)
        self.last_update_id = event.final_update_id
        self.state = SYNC_SYNCED
        return 1

    cdef int on_best(self, const BestEvent* event) noexcept nogil:
        """Take a bookTicker. It only reaches a book that is SYNCED. O(1)."""
        cdef int code
        if fc_unlikely(self.state != SYNC_SYNCED or not self._is_fusable):
            return 0
        code = self.book.apply_best(event)
        if fc_likely(code == OK):
            return 1
        return self._lose(code) if code == E_CROSSED else code

    cpdef void reset(self) noexcept nogil:
        self.book.clear()
        self._drop_waiting(self.waiting_count)
        self.state = SYNC_EMPTY
        self.snapshot_wanted = self._has_rest
        self.resubscribe_wanted = False    # the next delta without a snapshot will ask for it
        self._forget_ids()

    cpdef bint is_past_snapshot(self) noexcept nogil:
        return (0 < self.book.bid_px_ticks < self._edge_px_ticks[SIDE_BUY]
                or self.book.ask_px_ticks > self._edge_px_ticks[SIDE_SELL] > 0)

    cdef bint _is_stale(self, const DepthEvent* event) noexcept nogil:
        """Wholly contained in the snapshot."""
        if self.rule == SYNC_RULE_FUTURES:
            return event.final_update_id < self.last_update_id
        return event.final_update_id <= self.last_update_id

    cdef bint _is_anchor(self, const DepthEvent* event) noexcept nogil:
        """May be the first diff on top of the snapshot."""
        cdef seq_t last = self.last_update_id
        if self.rule == SYNC_RULE_FUTURES:
            return (event.first_update_id <= last <= event.final_update_id
                    or event.prev_final_update_id == last)
        return event.first_update_id <= last + 1 <= event.final_update_id

    cdef bint _is_next(self, const DepthEvent* event) noexcept nogil:
        """Follows the last diff applied without a hole, and does not run backwards."""
        if fc_unlikely(event.final_update_id < self.last_update_id):
            return False
        if self.rule == SYNC_RULE_FUTURES:
            return event.prev_final_update_id == self.last_update_id
        if self.rule == SYNC_RULE_SPOT:
            return event.first_update_id <= self.last_update_id + 1 <= event.final_update_id
        if self.rule == SYNC_RULE_BYBIT:
            return event.final_update_id == self.last_update_id + 1
        return False                       # partial: no message builds on another

    cdef int _apply(self, const DepthEvent* event) noexcept nogil:
        cdef DepthEvent fused
        cdef int code
        if self.rule == SYNC_RULE_BYBIT:
            fused = self._by_cross_seq(event)
            code = self.book.apply_depth(&fused)
        else:
            code = self.book.apply_depth(event)
        if fc_likely(code == OK):
            self.last_update_id = event.final_update_id
            self.state = SYNC_SYNCED
        return code

    cdef DepthEvent _by_cross_seq(self, const DepthEvent* event) noexcept nogil:
        """The event under the id that the best-price stream's can be compared with."""
        cdef DepthEvent fused = event[0]
        self._is_fusable = event.cross_seq > 0
        if self._is_fusable:
            fused.final_update_id = event.cross_seq
        return fused

    # -- COLD ------------------------------------------------------------------------------

    cdef int _on_stream_snapshot(self, const DepthEvent* event) noexcept nogil:
        """The best price goes too: after a restart its ids may be anything, and a newer one is
        on its way. A second connection's snapshot is no news; that of a restart (u 1) is, unless
        it is the very one that the book began with: whether seq goes on is not documented."""
        cdef DepthEvent fused
        cdef int code
        if (self.state == SYNC_SYNCED and self._is_fusable and event.cross_seq > 0
                and (event.cross_seq == self._restart_seq if event.final_update_id == 1
                     else self._is_repeated(event))):
            self.stale_drops += 1
            return 0
        self._restart_seq = event.cross_seq if event.final_update_id == 1 else -1
        self.book.clear()
        fused = self._by_cross_seq(event)
        code = self.book.apply_snapshot(&fused)
        if code != OK:
            return self._lose(code)
        self.resubscribe_wanted = False
        self.last_update_id = event.final_update_id
        self.state = SYNC_SYNCED
        return 1

    cdef int _on_early(self, const DepthEvent* event) noexcept nogil:
        """A diff while there is no book."""
        if self._has_rest:
            return self._buffer(event)
        if self.rule == SYNC_RULE_PARTIAL:
            return self.on_partial(event)
        self.early_drops += 1
        self.resubscribe_wanted = True     # a stream that runs sends its snapshot once only
        return 0

    cdef int _on_break(self, const DepthEvent* event) noexcept nogil:
        """A diff that does not follow on the last one. One that we had already is no gap: a
        second connection brings every diff again, some time after the first."""
        if self.rule == SYNC_RULE_PARTIAL:
            return self.on_partial(event)
        if self._is_repeated(event):
            self.stale_drops += 1
            return 0
        return self._lose_with(E_GAP, event)

    cdef bint _is_repeated(self, const DepthEvent* event) noexcept nogil:
        """Bybit counts u anew after a restart, but not seq, which therefore says what is old; u
        does where seq is not told."""
        if self.rule == SYNC_RULE_BYBIT and self._is_fusable and event.cross_seq > 0:
            return event.cross_seq <= self.book.depth_update_id
        return (event.first_update_id <= event.final_update_id <= self.last_update_id
                and event.prev_final_update_id <= event.final_update_id)

    cdef void _forget_ids(self) noexcept nogil:
        self.last_update_id = -1
        self._edge_px_ticks[SIDE_BUY] = self._edge_px_ticks[SIDE_SELL] = 0
        self._restart_seq = -1
        self._is_fusable = self.rule != SYNC_RULE_BYBIT

    cdef int _lose(self, int code) noexcept nogil:
        """The book can't be trusted any more: forget it, ask for another. Returns `code`."""
        if code == E_GAP:
            self.gaps += 1
        elif code == E_CROSSED:
            self.crossed += 1
        else:
            self.rejected += 1
        self.book.clear()
        self.state = SYNC_GAP
        self.snapshot_wanted = self._has_rest
        self.resubscribe_wanted = self.rule == SYNC_RULE_BYBIT
        self._forget_ids()
        return code

    cdef int _lose_with(self, int code, const DepthEvent* event) noexcept nogil:
        """_lose, and `event` is the first diff of the next chain."""
        self._lose(code)
        if self._has_rest:
            self._buffer(event)
        return code

    cdef int _buffer(self, const DepthEvent* event) noexcept nogil:
        """Keep a copy. 0, or E_FULL: everything that waited was dropped (a hole in the middle
        would be worse), so only a snapshot newer than that will do."""
        cdef int code = 0
        cdef int64_t count = <int64_t>event.bid_count + event.ask_count
        cdef Waiting* slot
        if (self.waiting_count > 0 and event.first_update_id <= event.final_update_id
                <= self._waiting[self.waiting_count - 1].event.final_update_id):
            self.stale_drops += 1      # waits already: a second connection's copy
            return 0
        if event.bid_count < 0 or event.ask_count < 0 or count > self._levels_max:
            self._drop_waiting(self.waiting_count)
            self.overflows += 1
            return E_FULL
        if (self.waiting_count == self._events_max
                or self._level_count + count > self._levels_max):
            self._drop_waiting(self.waiting_count)
            self.overflows += 1
            code = E_FULL
        slot = &self._waiting[self.waiting_count]
        slot.event = event[0]
        slot.level_index = self._level_count
        memcpy(&self._levels[self._level_count], event.bids, event.bid_count * sizeof(Level))
        memcpy(&self._levels[self._level_count + event.bid_count], event.asks,
               event.ask_count * sizeof(Level))
        self.waiting_count += 1
        self._level_count += count
        return code

    cdef int _replay(self) noexcept nogil:
        """Apply the buffer on a fresh snapshot that its first diff links to; the rest must chain.
        1 SYNCED, or why not: the diff that failed then stands first in the buffer."""
        cdef int64_t index
        cdef int code
        cdef DepthEvent event
        for index in range(self.waiting_count):
            event = self._waiting_event(index)
            code = E_GAP
            if index == 0 or self._is_next(&event):
                code = self._apply(&event)
            if code != OK:
                self._drop_waiting(index)
                return self._lose(code)
        self._drop_waiting(self.waiting_count)
        return 1

    cdef void _drop_waiting(self, int64_t count) noexcept nogil:
        """Forget the oldest `count` diffs; the others move to the front."""
        cdef int64_t index, shift
        if count == 0:
            return
        if count == self.waiting_count:
            self.waiting_count = self._level_count = 0
            return
        shift = self._waiting[count].level_index
        self.waiting_count -= count
        self._level_count -= shift
        memmove(self._waiting, &self._waiting[count], self.waiting_count * sizeof(Waiting))
        memmove(self._levels, &self._levels[shift], self._level_count * sizeof(Level))
        for index in range(self.waiting_count):
            self._waiting[index].level_index -= shift

    cdef DepthEvent _waiting_event(self, int64_t index) noexcept nogil:
        """The diff at `index`, its pointers into the arena; valid until the buffer changes."""
        cdef DepthEvent event = self._waiting[index].event
        event.bids = &self._levels[self._waiting[index].level_index]
        event.asks = event.bids + event.bid_count
        return event

    # -- COLD: the Python face, checks -----------------------------------------------------

    def on_depth_lists(self, first_update_id, final_update_id, prev_final_update_id, bids, asks,
                       cross_seq=0):
        """`bids`, `asks`: sequences of (px_ticks, qty_lots). Returns as on_depth: see sync.pxd."""
        self._scratch.load(first_update_id, final_update_id, prev_final_update_id, bids, asks)
        self._scratch.event.cross_seq = cross_seq
        return self.on_depth(&self._scratch.event)

    def on_snapshot_lists(self, final_update_id, bids, asks, cross_seq=0):
        """`bids`, `asks`: sequences of (px_ticks, qty_lots). Returns as on_snapshot."""
        self._scratch.load(-1, final_update_id, -1, bids, asks)
        self._scratch.event.cross_seq = cross_seq
        return self.on_snapshot(&self._scratch.event)

    def on_partial_lists(self, final_update_id, bids, asks):
        """`bids`, `asks`: sequences of (px_ticks, qty_lots). Returns as on_partial."""
        return self.on_partial(self._scratch.load(-1, final_update_id, -1, bids, asks))

    def on_best_values(self, update_id, bid_px_ticks, bid_qty_lots, ask_px_ticks, ask_qty_lots):
        """Returns as on_best: see sync.pxd."""
        cdef BestEvent event
        event.update_id = update_id
        event.exch_ts_ns = 0
        event.bid_px_ticks = bid_px_ticks
        event.bid_qty_lots = bid_qty_lots
        event.ask_px_ticks = ask_px_ticks
        event.ask_qty_lots = ask_qty_lots
        return self.on_best(&event)

    def check(self):
        """Verify every invariant, the book's too; AssertionError with a dump."""
        cdef int64_t index, level_index = 0
        self.book.check()
        is_live = self.state in (SYNC_ANCHORING, SYNC_SYNCED)
        faults = {
            "a snapshot is wanted just while there is no book":
                self._has_rest and is_live == self.snapshot_wanted,
            "a snapshot is wanted from REST where there is none":
                not self._has_rest and self.snapshot_wanted,
            "a new subscription is wanted beside a live book, or under another rule":
                self.resubscribe_wanted and (is_live or self.rule != SYNC_RULE_BYBIT),
            "diffs wait for a snapshot that nobody fetches":
                not self._has_rest and self.waiting_count > 0,
            "diffs wait beside a live book": is_live and self.waiting_count > 0,
            "a book without sync is not empty": not is_live and self.book.update_id != -1,
            "a live book is crossed": is_live and self.book.is_crossed,
            "the book's depth id is not the chain's": self.rule != SYNC_RULE_BYBIT
                and self.book.depth_update_id != self.last_update_id,
            "the buffer is over its limits": not (
                0 <= self.waiting_count <= self._events_max
                and 0 <= self._level_count <= self._levels_max),
        }
        for index in range(self.waiting_count):
            if self._waiting[index].level_index != level_index:
                faults[f"levels of waiting diff {index} are out of place"] = True
            level_index += (self._waiting[index].event.bid_count
                            + self._waiting[index].event.ask_count)
        faults["level count of the buffer is wrong"] = level_index != self._level_count
        broken = [name for name, is_broken in faults.items() if is_broken]
        if broken:
            raise AssertionError("; ".join(broken) + "\n" + self.dump())

    def dump(self):
        """State in words, for failures."""
        return (f"Sync state={self.state} rule={self.rule} wanted={self.snapshot_wanted} "
                f"resubscribe={self.resubscribe_wanted} "
                f"last={self.last_update_id} waiting={self.waiting_count} "
                f"levels={self._level_count} gaps={self.gaps} crossed={self.crossed} "
                f"rejected={self.rejected} overflows={self.overflows}\n{self.book.dump()}")
