# cython: language_level=3
"""Loops with no Python between two calls, for whoever measures: a figure is then of the loop.

A BookStream holds a recorded run of depth messages as the decoder would leave them, and applies
them to a Book in two ways. `run` is what the core does: a whole message, then a look at the touch.
With `each_level` each level is a message of its own with a look at the touch behind it: more work
than any venue asks for, and the like of what other books are measured by.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore.book cimport LevelScratch
from fastcore.latency cimport Histogram
from fastcore.types cimport E_CROSSED, OK, SIDE_BUY, SIDE_SELL


@cython.final
cdef class BookStream:
    """BookStream(rows): int64 rows of (message, side, px_ticks, qty_lots), messages numbered from
    0 on, each with its bids before its asks. ValueError for any others."""

    def __cinit__(self, const int64_t[:, ::1] rows not None):
        cdef int64_t count = rows.shape[0]
        cdef int64_t index, message = -1, side = SIDE_SELL
        if count == 0 or rows.shape[1] != 4:
            raise ValueError("rows must be (message, side, px_ticks, qty_lots), and some")
        self._levels = <Level*>calloc(count, sizeof(Level))
        self._messages = <StreamMessage*>calloc(count, sizeof(StreamMessage))
        if self._levels == NULL or self._messages == NULL:
            raise MemoryError(f"no room for {count} levels")
        for index in range(count):
            if rows[index, 0] == message + 1:
                message += 1
                self._messages[message].first = index
            elif rows[index, 0] != message or rows[index, 1] < side:
                raise ValueError(f"row {index} is out of order: {list(rows[index])}")
            side = rows[index, 1]
            if side == SIDE_BUY:
                self._messages[message].bid_count += 1
            elif side == SIDE_SELL:
                self._messages[message].ask_count += 1
            else:
                raise ValueError(f"row {index} has side {side}: it is 0 or 1")
            self._levels[index].px_ticks = rows[index, 2]
            self._levels[index].qty_lots = rows[index, 3]
        self.message_count = message + 1
        self.level_count = count
        self._ns_per_tick = 1.0

    def __dealloc__(self):
        free(self._levels)
        free(self._messages)

    def set_ticks(self, capsule, double ns_per_tick):
        """Time by a capsule "tickmaker.tick" (`uint64_t (*)(void)`)."""
        if not ns_per_tick > 0:
            raise ValueError("ns_per_tick must be positive")
        self._tick = <tick_fn>PyCapsule_GetPointer(capsule, "tickmaker.tick")
        self._ns_per_tick = ns_per_tick
        self._capsule = capsule

    def run(self, Book book not None, int64_t first, int64_t last, bint each_level=False):
        """Apply messages first .. last - 1. Returns the sum of the touches seen, in ticks."""
        cdef int64_t seen
        self._check_range(first, last)
        with nogil:
            if each_level:
                seen = self._run_levels(book, first, last)
            else:
                seen = self._run(book, first, last)
        return seen

    def run_timed(self, Book book not None, int64_t first, int64_t last,
                  Histogram message_ns not None, Histogram level_ns not None):
        """As run, and count the time of each message, and that divided by its levels."""
        cdef int64_t seen = 0, index, ns
        cdef double took
        cdef DepthEvent event
        self._check_range(first, last)
        if self._tick == NULL:
            raise ValueError("call set_ticks before run_timed")
        for index in range(first, last):
            event = self._event(index)
            took = <double>self._tick()
            book.apply_depth(&event)
            seen += book.bid_px_ticks + book.ask_px_ticks
            took = <double>self._tick() - took
            ns = <int64_t>(took * self._ns_per_tick + 0.5)
            message_ns.record(ns)
            level_ns.record(ns // (event.bid_count + event.ask_count))
        return seen

    cdef DepthEvent _event(self, int64_t index) noexcept nogil:
        cdef DepthEvent event
        memset(&event, 0, sizeof(DepthEvent))
        event.final_update_id = index
        event.bids = self._levels + self._messages[index].first
        event.bid_count = <int>self._messages[index].bid_count
        event.asks = event.bids + event.bid_count
        event.ask_count = <int>self._messages[index].ask_count
        return event

    cdef int64_t _run(self, Book book, int64_t first, int64_t last) noexcept nogil:
        cdef int64_t index, seen = 0
        cdef DepthEvent event
        for index in range(first, last):
            event = self._event(index)
            book.apply_depth(&event)
            seen += book.bid_px_ticks + book.ask_px_ticks
        return seen

    cdef int64_t _run_levels(self, Book book, int64_t first, int64_t last) noexcept nogil:
        cdef int64_t index, level, seen = 0
        cdef DepthEvent whole, event
        for index in range(first, last):
            whole = self._event(index)
            event = whole
            event.bid_count, event.ask_count = 1, 0
            for level in range(whole.bid_count):
                event.bids = whole.bids + level
                book.apply_depth(&event)
                seen += book.bid_px_ticks + book.ask_px_ticks
            event.bid_count, event.ask_count = 0, 1
            for level in range(whole.ask_count):
                event.asks = whole.asks + level
                book.apply_depth(&event)
                seen += book.bid_px_ticks + book.ask_px_ticks
        return seen

    def _check_range(self, int64_t first, int64_t last):
        if not 0 <= first <= last <= self.message_count:
            raise ValueError(f"messages {first} .. {last} of {self.message_count}")


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
