# cython: language_level=3
"""Rebuild a book from tape rows by the venue's sync rule, noting its touch at every depth id.

It is fed snapshots and depth only, never a bookTicker: the touch that it notes is the book's own,
so that a bookTicker of the same id is a witness and not an ingredient.
"""
cimport cython
from libc.string cimport memset

from fastcore.types cimport *

TOUCH_FIELDS = ("update_id", "bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots")


@cython.final
cdef class Rebuild:
    """Feed batches of rows in order with `run`; SyncRule says which venue's rule anchors it."""

    def __init__(self, int rule):
        self.book = Book()
        self.sync = Sync(self.book, rule)
        self.anchor_update_id = -1
        self.applied = 0
        self._reader = RowReader()
        memset(&self._event, 0, sizeof(Event))

    def run(self, tuple columns, int64_t[:, ::1] touches):
        """Apply one batch. Returns how many rows of `touches` (TOUCH_FIELDS) were written.

        One touch for each depth message that left a synced, two-sided book. Raises ValueError
        on rows that are no whole message (its first argument is the row), IndexError if
        `touches` has too few rows.
        """
        cdef ns_t recv_ts_ns = 0
        cdef int64_t count = 0
        cdef int kind
        cdef Level bid, ask
        if touches.shape[1] != 5:
            raise ValueError("touches has five columns")
        self._reader.bind(columns)
        with nogil:
            while True:
                kind = self._reader.next(&self._event, &recv_ts_ns)
                if kind <= 0 or count == touches.shape[0]:
                    break
                if not self._apply(kind) or self.book.depth_touch(&bid, &ask) != OK:
                    continue
                touches[count, 0] = self.book.depth_update_id
                touches[count, 1] = bid.px_ticks
                touches[count, 2] = bid.qty_lots
                touches[count, 3] = ask.px_ticks
                touches[count, 4] = ask.qty_lots
                count += 1
        if kind < 0:
            raise ValueError(self._reader.index)
        if kind > 0:
            raise IndexError("touches has too few rows")
        return count

    cdef int _apply(self, int kind) noexcept nogil:
        """Whether the message left a book that a venue's touch can be compared with."""
        cdef int code
        if kind == EV_DEPTH:
            code = self.sync.on_depth(&self._event.depth)
        elif kind == EV_SNAPSHOT:
            code = self.sync.on_snapshot(&self._event.depth)
        else:
            return False
        if code != 1 or self.sync.state != SYNC_SYNCED:
            return False
        self.applied += 1
        if self.anchor_update_id < 0:
            self.anchor_update_id = self.book.depth_update_id
        return True
