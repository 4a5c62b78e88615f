# cython: language_level=3
"""Tape rows <-> events, without an object a row.

A message is one or more consecutive rows, the last flagged LAST: a depthUpdate or snapshot has
a row a level (bids first), a bookTicker a bid row and an ask row, a trade one row. A depthUpdate
without levels (venues send them: the update-id chain runs through it) is one row flagged EMPTY.

The writer fills buffers of the caller; the reader borrows columns, which may be read-only memory
maps. Rows enter from a file, so the reader checks them like bytes from a venue: whatever is no
whole message is E_MALFORMED, and no half event is ever given out.
"""
from enum import IntEnum, IntFlag

cimport cython
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore.codec.base cimport DecoderBase
from fastcore.types cimport *

COLUMNS_INT64 = (
    "recv_ts_ns", "exch_ts_ns", "px_ticks", "qty_lots",
    "first_update_id", "final_update_id", "prev_update_id", "trade_id",
)
COLUMNS_INT8 = ("kind", "side", "flags")
COLUMNS = COLUMNS_INT64 + COLUMNS_INT8
LEVELS_PER_MESSAGE_MAX = 2 * LEVELS_MAX


class RowKind(IntEnum):
    """Kinds of rows, as written in tapes."""

    LEVEL = ROW_LEVEL
    SNAPSHOT = ROW_SNAPSHOT
    BEST = ROW_BEST
    TRADE = ROW_TRADE


class RowFlag(IntFlag):
    """Flags of rows, as written in tapes."""

    LAST = FLAG_LAST
    EMPTY = FLAG_EMPTY
    NOT_MARKET = FLAG_NOT_MARKET


cdef int64_t* _int64_column(object view, Py_ssize_t count, bint writable) except? NULL:
    cdef const int64_t[::1] read
    cdef int64_t[::1] write
    if writable:
        write = view
        read = write
    else:
        read = view
    if read.shape[0] != count:
        raise ValueError("columns differ in length")
    return <int64_t*>&read[0] if count else NULL


cdef int8_t* _int8_column(object view, Py_ssize_t count, bint writable) except? NULL:
    cdef const int8_t[::1] read
    cdef int8_t[::1] write
    if writable:
        write = view
        read = write
    else:
        read = view
    if read.shape[0] != count:
        raise ValueError("columns differ in length")
    return <int8_t*>&read[0] if count else NULL


cdef int _bind(Columns* columns, tuple views, Py_ssize_t count, bint writable) except -1:
    """Point `columns` into 11 buffers, in the order of COLUMNS; the caller keeps them alive."""
    if len(views) != 11:
        raise ValueError("a tape has 11 columns")
    columns.recv_ts_ns = _int64_column(views[0], count, writable)
    columns.exch_ts_ns = _int64_column(views[1], count, writable)
    columns.px_ticks = _int64_column(views[2], count, writable)
    columns.qty_lots = _int64_column(views[3], count, writable)
    columns.first_update_id = _int64_column(views[4], count, writable)
    columns.final_update_id = _int64_column(views[5], count, writable)
    columns.prev_update_id = _int64_column(views[6], count, writable)
    columns.trade_id = _int64_column(views[7], count, writable)
    columns.kind = _int8_column(views[8], count, writable)
    columns.side = _int8_column(views[9], count, writable)
    columns.flags = _int8_column(views[10], count, writable)
    return 0


@cython.final
cdef class RowWriter:
    """Append events as rows to the caller's 11 writable buffers (order of COLUMNS).

    The caller takes `count` rows when a message no longer fits, then calls `clear()`.
    """

    def __init__(self, tuple columns):
        cdef Py_ssize_t capacity = len(columns[0])
        if capacity < LEVELS_PER_MESSAGE_MAX:
            raise ValueError("the buffers can't hold the largest message")
        _bind(&self.out, columns, capacity, True)
        # memoryviews pin the buffers: a bytearray below them can't be resized while we live.
        self._views = tuple(memoryview(column) for column in columns)
        self.capacity = capacity
        self.count = 0

    def clear(self):
        self.count = 0

    def append(self, DecoderBase decoder not None, bytes frame, ns_t recv_ts_ns):
        """Decode one frame and append all that it tells: EventKind (> 0), a negative Code, or 0:
        no room.

        Kinds without rows (orders, replies, ignored) return their kind and append nothing.
        After 0 take the rows, `clear()` and call again.
        """
        cdef int64_t before = self.count
        cdef int kind = decoder.decode(<const uint8_t*><const char*>frame, len(frame))
        if kind <= 0:
            return kind
        while self.append_event(&decoder.event, recv_ts_ns) == OK:
            if decoder.next_event() == EV_NONE:
                return kind
        self.count = before
        return 0

    cdef int append_event(self, const Event* event, ns_t recv_ts_ns) noexcept nogil:
        """OK, or E_FULL and nothing appended. O(levels)."""
        cdef int64_t i, needed
        if event.kind == EV_BEST:
            if self.count + 2 > self.capacity:
                return E_FULL
            i = self._put(event, recv_ts_ns, event.best.exch_ts_ns, ROW_BEST, SIDE_BUY, 0)
            self.out.px_ticks[i] = event.best.bid_px_ticks
            self.out.qty_lots[i] = event.best.bid_qty_lots
            self.out.final_update_id[i] = event.best.update_id
            i = self._put(event, recv_ts_ns, event.best.exch_ts_ns, ROW_BEST, SIDE_SELL,
                          FLAG_LAST)
            self.out.px_ticks[i] = event.best.ask_px_ticks
            self.out.qty_lots[i] = event.best.ask_qty_lots
            self.out.final_update_id[i] = event.best.update_id
        elif event.kind == EV_TRADE:
            if self.count + 1 > self.capacity:
                return E_FULL
            i = self._put(event, recv_ts_ns, event.trade.exch_ts_ns, ROW_TRADE,
                          event.trade.aggressor,
                          FLAG_LAST if event.trade.is_market else FLAG_LAST | FLAG_NOT_MARKET)
            self.out.px_ticks[i] = event.trade.px_ticks
            self.out.qty_lots[i] = event.trade.qty_lots
            self.out.trade_id[i] = event.trade.trade_id
        elif event.kind == EV_DEPTH or event.kind == EV_SNAPSHOT:
            needed = event.depth.bid_count + event.depth.ask_count
            if self.count + (needed if needed else 1) > self.capacity:
                return E_FULL
            self._put_levels(event, recv_ts_ns,
                             ROW_LEVEL if event.kind == EV_DEPTH else ROW_SNAPSHOT)
        return OK

    cdef int64_t _put(self, const Event* event, ns_t recv_ts_ns, ns_t exch_ts_ns, int kind,
                      int side, int flags) noexcept nogil:
        cdef int64_t i = self.count
        self.count += 1
        self.out.recv_ts_ns[i] = recv_ts_ns
        self.out.exch_ts_ns[i] = exch_ts_ns if exch_ts_ns > 0 else -1
        self.out.px_ticks[i] = 0
        self.out.qty_lots[i] = 0
        self.out.first_update_id[i] = -1
        self.out.final_update_id[i] = -1
        self.out.prev_update_id[i] = -1
        self.out.trade_id[i] = -1
        self.out.kind[i] = kind
        self.out.side[i] = side
        self.out.flags[i] = flags
        return i

    cdef void _put_levels(self, const Event* event, ns_t recv_ts_ns, int kind) noexcept nogil:
        cdef int64_t i, first = self.count
        cdef int64_t count = event.depth.bid_count + event.depth.ask_count
        cdef int side
        cdef int32_t n
        cdef const Level* level
        if count == 0:
            self._put(event, recv_ts_ns, event.depth.exch_ts_ns, kind, SIDE_BUY, FLAG_EMPTY)
        for side in range(2):
            level = event.depth.bids if side == SIDE_BUY else event.depth.asks
            for n in range(event.depth.bid_count if side == SIDE_BUY else event.depth.ask_count):
                i = self._put(event, recv_ts_ns, event.depth.exch_ts_ns, kind, side, 0)
                self.out.px_ticks[i] = level[n].px_ticks
                self.out.qty_lots[i] = level[n].qty_lots
        for i in range(first, self.count):
            self.out.final_update_id[i] = event.depth.final_update_id
            if kind == ROW_LEVEL:      # a snapshot stands for everything up to its one id
                self.out.first_update_id[i] = event.depth.first_update_id
                self.out.prev_update_id[i] = event.depth.prev_final_update_id
        self.out.flags[self.count - 1] |= FLAG_LAST


@cython.final
cdef class RowReader:
    """Read events from borrowed columns. An event's levels live until the next `next()`."""

    def __cinit__(self):
        self._bids = <Level*>calloc(LEVELS_MAX, sizeof(Level))
        self._asks = <Level*>calloc(LEVELS_MAX, sizeof(Level))
        if self._bids == NULL or self._asks == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._bids)
        free(self._asks)

    def bind(self, tuple columns):
        """Start at the first row of 11 buffers (order of COLUMNS), whole messages only."""
        cdef Py_ssize_t count = len(columns[0])
        self.count = 0
        self.index = 0
        _bind(&self.rows, columns, count, False)
        self._views = tuple(memoryview(column) for column in columns)
        self.count = count

    cdef int next(self, Event* event, ns_t* recv_ts_ns) noexcept nogil:
        """EV_* (> 0) and the next message, 0 at the end, or E_MALFORMED / E_FULL (then stay)."""
        cdef int kind
        if self.index >= self.count:
            return 0
        kind = self.rows.kind[self.index]
        recv_ts_ns[0] = self.rows.recv_ts_ns[self.index]
        event.kind = EV_NONE
        if kind == ROW_LEVEL or kind == ROW_SNAPSHOT:
            return self._next_levels(event, kind)
        if kind == ROW_BEST:
            return self._next_best(event)
        if kind == ROW_TRADE:
            return self._next_trade(event)
        return E_MALFORMED

    cdef int _next_levels(self, Event* event, int kind) noexcept nogil:
        cdef int64_t i = self.index
        cdef int32_t bid_count = 0, ask_count = 0
        cdef int side, flags
        cdef int64_t px_ticks, qty_lots
        event.depth.first_update_id = self.rows.first_update_id[i]
        event.depth.final_update_id = self.rows.final_update_id[i]
        event.depth.prev_final_update_id = self.rows.prev_update_id[i]
        event.depth.exch_ts_ns = self.rows.exch_ts_ns[i] if self.rows.exch_ts_ns[i] > 0 else 0
        while True:
            if i >= self.count or self.rows.kind[i] != kind:
                return E_MALFORMED
            if self.rows.final_update_id[i] != event.depth.final_update_id:
                return E_MALFORMED
            flags = self.rows.flags[i]
            if not flags & FLAG_EMPTY:
                side = self.rows.side[i]
                px_ticks = self.rows.px_ticks[i]
                qty_lots = self.rows.qty_lots[i]
                if px_ticks <= 0 or qty_lots < 0:
                    return E_MALFORMED
                if side == SIDE_BUY:
                    if bid_count == LEVELS_MAX:
                        return E_FULL
                    self._bids[bid_count].px_ticks = px_ticks
                    self._bids[bid_count].qty_lots = qty_lots
                    bid_count += 1
                elif side == SIDE_SELL:
                    if ask_count == LEVELS_MAX:
                        return E_FULL
                    self._asks[ask_count].px_ticks = px_ticks
                    self._asks[ask_count].qty_lots = qty_lots
                    ask_count += 1
                else:
                    return E_MALFORMED
            i += 1
            if flags & FLAG_LAST:
                break
        event.depth.bid_count = bid_count
        event.depth.ask_count = ask_count
        event.depth.bids = self._bids
        event.depth.asks = self._asks
        event.kind = EV_DEPTH if kind == ROW_LEVEL else EV_SNAPSHOT
        self.index = i
        return event.kind

    cdef int _next_best(self, Event* event) noexcept nogil:
        cdef int64_t bid = self.index
        cdef int64_t ask = bid + 1
        if ask >= self.count or self.rows.kind[ask] != ROW_BEST:
            return E_MALFORMED
        if self.rows.side[bid] != SIDE_BUY or self.rows.side[ask] != SIDE_SELL:
            return E_MALFORMED
        if self.rows.flags[bid] & FLAG_LAST or not self.rows.flags[ask] & FLAG_LAST:
            return E_MALFORMED
        if self.rows.final_update_id[bid] != self.rows.final_update_id[ask]:
            return E_MALFORMED
        event.best.update_id = self.rows.final_update_id[bid]
        event.best.exch_ts_ns = self.rows.exch_ts_ns[bid] if self.rows.exch_ts_ns[bid] > 0 else 0
        event.best.bid_px_ticks = self.rows.px_ticks[bid]
        event.best.bid_qty_lots = self.rows.qty_lots[bid]
        event.best.ask_px_ticks = self.rows.px_ticks[ask]
        event.best.ask_qty_lots = self.rows.qty_lots[ask]
        event.kind = EV_BEST
        self.index += 2
        return EV_BEST

    cdef int _next_trade(self, Event* event) noexcept nogil:
        cdef int64_t i = self.index
        cdef int flags = self.rows.flags[i]
        cdef int side = self.rows.side[i]
        if not flags & FLAG_LAST or (side != SIDE_BUY and side != SIDE_SELL):
            return E_MALFORMED
        event.trade.trade_id = self.rows.trade_id[i]
        event.trade.exch_ts_ns = self.rows.exch_ts_ns[i] if self.rows.exch_ts_ns[i] > 0 else 0
        event.trade.px_ticks = self.rows.px_ticks[i]
        event.trade.qty_lots = self.rows.qty_lots[i]
        event.trade.aggressor = side
        event.trade.is_market = 0 if flags & FLAG_NOT_MARKET else 1
        event.kind = EV_TRADE
        self.index += 1
        return EV_TRADE

    # -- COLD ---------------------------------------------------------------------------------

    def read(self):
        """(recv_ts_ns, kind, fields) of the next message, None at the end. For tests, tools.

        Raises ValueError on rows that are no message, naming the row.
        """
        cdef Event event
        cdef ns_t recv_ts_ns = 0
        memset(&event, 0, sizeof(Event))
        cdef int kind = self.next(&event, &recv_ts_ns)
        if kind == 0:
            return None
        if kind < 0:
            raise ValueError(f"row {self.index}: not a whole message (code {kind})")
        if kind == EV_BEST:
            return recv_ts_ns, kind, event.best
        if kind == EV_TRADE:
            return recv_ts_ns, kind, event.trade
        return recv_ts_ns, kind, {
            "first_update_id": event.depth.first_update_id,
            "final_update_id": event.depth.final_update_id,
            "prev_final_update_id": event.depth.prev_final_update_id,
            "exch_ts_ns": event.depth.exch_ts_ns,
            "bids": [(event.depth.bids[i].px_ticks, event.depth.bids[i].qty_lots)
                     for i in range(event.depth.bid_count)],
            "asks": [(event.depth.asks[i].px_ticks, event.depth.asks[i].qty_lots)
                     for i in range(event.depth.ask_count)],
        }
