# cython: language_level=3
"""Prepared orders into a LimitBook, with no Python between two of them: a figure is of the loop.

After each event the touch is read and the changes are cleared, as the exchange's market does when
it has written them down.
"""
cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from fastcore.latency cimport Histogram
from fastcore.types cimport SIDE_BUY, SIDE_SELL


@cython.final
cdef class OrderStream:
    """OrderStream(rows): int64 rows of (verb, order_id, side, px_ticks, qty_lots), verbs 0 place,
    1 take, 2 cancel, 3 shrink. ValueError for any others."""

    def __cinit__(self, const int64_t[:, ::1] rows not None):
        cdef int64_t index
        if rows.shape[0] == 0 or rows.shape[1] != 5:
            raise ValueError("rows must be (verb, order_id, side, px_ticks, qty_lots), and some")
        self.count = rows.shape[0]
        self._orders = <StreamOrder*>calloc(self.count, sizeof(StreamOrder))
        if self._orders == NULL:
            raise MemoryError(f"no room for {self.count} orders")
        for index in range(self.count):
            if not (0 <= rows[index, 0] < ASK_COUNT and rows[index, 1] > 0
                    and rows[index, 2] in (SIDE_BUY, SIDE_SELL) and rows[index, 3] >= 0
                    and (rows[index, 4] > 0 or rows[index, 0] == ASK_CANCEL)):
                raise ValueError(f"row {index} asks for nothing: {list(rows[index])}")
            self._orders[index].verb = <int32_t>rows[index, 0]
            self._orders[index].order_id = rows[index, 1]
            self._orders[index].side = <int32_t>rows[index, 2]
            self._orders[index].px_ticks = rows[index, 3]
            self._orders[index].qty_lots = rows[index, 4]
        self._ns_per_tick = 1.0

    def __dealloc__(self):
        free(self._orders)

    def set_ticks(self, capsule, double ns_per_tick):
        """Time by a capsule "tickmaker.tick" (`uint64_t (*)(void)`)."""
        if not ns_per_tick > 0:
            raise ValueError("ns_per_tick must be positive")
        self._tick = <tick_fn>PyCapsule_GetPointer(capsule, "tickmaker.tick")
        self._ns_per_tick = ns_per_tick
        self._capsule = capsule

    def run(self, LimitBook book not None, int64_t first, int64_t last):
        """Apply orders first .. last - 1. Returns the sum of the touches and fills seen."""
        cdef int64_t seen
        self._check_range(first, last)
        with nogil:
            seen = self._run(book, first, last)
        return seen

    def run_timed(self, LimitBook book not None, int64_t first, int64_t last,
                  Histogram event_ns not None):
        """As run, and count the time of each event; a counter read is in it."""
        cdef int64_t seen = 0, index
        cdef uint64_t took
        self._check_range(first, last)
        if self._tick == NULL:
            raise ValueError("call set_ticks before run_timed")
        for index in range(first, last):
            took = self._tick()
            seen += self._apply(book, index)
            took = self._tick() - took
            event_ns.record(<int64_t>(<double>took * self._ns_per_tick + 0.5))
        return seen

    cdef int64_t _run(self, LimitBook book, int64_t first, int64_t last) noexcept nogil:
        cdef int64_t index, seen = 0
        for index in range(first, last):
            seen += self._apply(book, index)
        return seen

    cdef int64_t _apply(self, LimitBook book, int64_t index) noexcept nogil:
        cdef const StreamOrder* order = self._orders + index
        cdef int64_t fills = 0
        if order.verb <= ASK_TAKE:
            book.place(order.order_id, order.side, order.px_ticks, order.qty_lots, 0,
                       order.verb == ASK_PLACE, True)
            fills = book.fill_count
        elif order.verb == ASK_CANCEL:
            book.cancel(order.order_id)
        else:
            book.shrink(order.order_id, order.qty_lots)
        book.clear_changes()
        return book.best_px(SIDE_BUY) + book.best_px(SIDE_SELL) + fills

    def _check_range(self, int64_t first, int64_t last):
        if not 0 <= first <= last <= self.count:
            raise ValueError(f"orders {first} .. {last} of {self.count}")
