# cython: language_level=3
"""A LimitBook whose every transaction is written down, for the market's events.

Agents trade in C, so what they do is rows of integers first. `events` turns the rows into the
events of engine/exchange/events.py, in order: the trades of a transaction, one DepthChange of all
levels that it changed, and a BestChange when the touch is another. Ids are given there. Users'
orders (accounts from 0 on) are objects, found by id; `events` takes their fills off `leaves_lots`.
"""
cimport cython
from libc.stdlib cimport free, realloc

from fastcore.types cimport OK, SIDE_BUY, SIDE_SELL

from engine.exchange.book import Change, Side
from engine.exchange.events import BestChange, DepthChange, Trade

cdef object BUY = Side.BUY
cdef object SELL = Side.SELL
cdef object new = tuple.__new__        # half the time of a NamedTuple's own


cdef inline object side_of(int64_t side):
    return BUY if side == SIDE_BUY else SELL


@cython.final
cdef class MarketLog:
    """MarketLog(book, update_id, trade_id): the next change and trade get the ids after these."""

    def __cinit__(self, LimitBook book not None, update_id, trade_id):
        self.book = book
        self.update_id = update_id
        self.trade_id = trade_id

    def __dealloc__(self):
        free(self._rows)

    # -- COMMANDS, WITHOUT PYTHON ---

    cdef int place(self, seq_t order_id, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests, bint may_meet_own, ns_t t_ns) noexcept nogil:
        cdef int code = self.book.place(
            order_id, side, px_ticks, qty_lots, account, rests, may_meet_own)
        if code == OK:
            self.commit(t_ns, side, order_id if account >= 0 else 0, account)
        return code

    cdef bint cancel(self, seq_t order_id, ns_t t_ns) noexcept nogil:
        cdef bint is_found = self.book.cancel(order_id)
        self.book.fill_count = 0
        self.commit(t_ns, 0, 0, 0)
        return is_found

    cdef void commit(self, ns_t t_ns, int aggressor, seq_t taker_id,
                     int32_t account) noexcept nogil:
        """Write down the book's last fills, its changes, and its touch when that moved."""
        cdef int64_t index
        cdef Row* row = NULL
        cdef px_t bid, ask
        cdef qty_t bid_lots, ask_lots
        for index in range(self.book.fill_count):
            row = self._push(t_ns, ROW_TRADE)
            row.a, row.b = self.book.fills[index].px_ticks, self.book.fills[index].qty_lots
            row.c = aggressor
            row.d = self.book.fills[index].maker_id if self.book.fills[index].account >= 0 else 0
            row.e = taker_id
            self.last_px_ticks = row.a
            self._hold(self.book.fills[index].account, 1 - aggressor, row.b)
            self._hold(account, aggressor, row.b)
        self.book.fill_count = 0
        if self.book.change_count == 0:
            return
        for index in range(self.book.change_count):
            row = self._push(t_ns, ROW_CHANGE)
            row.a, row.b = self.book.changes[index].side, self.book.changes[index].px_ticks
            row.c = self.book.changes[index].qty_lots
        row.kind = ROW_LAST_CHANGE
        self.book.clear_changes()
        bid, ask = self.book.best_px(SIDE_BUY), self.book.best_px(SIDE_SELL)
        bid_lots, ask_lots = self.book.best_qty(SIDE_BUY), self.book.best_qty(SIDE_SELL)
        if (bid != self._touch_px[SIDE_BUY] or ask != self._touch_px[SIDE_SELL]
                or bid_lots != self._touch_lots[SIDE_BUY]
                or ask_lots != self._touch_lots[SIDE_SELL]):
            self._touch_px[SIDE_BUY], self._touch_px[SIDE_SELL] = bid, ask
            self._touch_lots[SIDE_BUY], self._touch_lots[SIDE_SELL] = bid_lots, ask_lots
            row = self._push(t_ns, ROW_TOUCH)
            row.a, row.b, row.c, row.d = bid, bid_lots, ask, ask_lots

    cdef void _hold(self, int32_t account, int side, qty_t qty_lots) noexcept nogil:
        if -AGENTS_MAX < account < 0:
            self.held[-account] += qty_lots if side == SIDE_BUY else -qty_lots

    cdef Row* _push(self, ns_t t_ns, int64_t kind) noexcept nogil:
        """A new row; without memory the last one again, and `is_broken`, which `events` raises."""
        cdef void* grown
        if self._row_count == self._rows_size:
            grown = realloc(self._rows, (2 * self._rows_size + 256) * sizeof(Row))
            if grown != NULL:
                self._rows = <Row*>grown
                self._rows_size = 2 * self._rows_size + 256
            else:
                self.is_broken = True
                self._row_count -= 1
        self._row_count += 1
        self._rows[self._row_count - 1].t_ns = t_ns
        self._rows[self._row_count - 1].kind = kind
        return self._rows + self._row_count - 1

    # -- USERS' COMMANDS ---

    def place_order(self, order, bint rests, bint may_meet_own, int64_t now_ns):
        """Match and rest a BookOrder; returns (is anything of it resting, id of the own order that
        stopped it, or 0). Its fills come off `leaves_lots` in `events`."""
        cdef int code = self.place(
            order.order_id, int(order.side), order.px_ticks, order.leaves_lots, order.account,
            rests, may_meet_own, now_ns)
        if code != OK:
            raise MemoryError(f"no room for order {order.order_id}, or its id is in use ({code})")
        return self.book.find(order.order_id) >= 0, self.book.met_id

    def cancel_order(self, int64_t order_id, int64_t now_ns):
        return bool(self.cancel(order_id, now_ns))

    def shrink_order(self, int64_t order_id, int64_t qty_lots, int64_t now_ns):
        cdef bint is_done = self.book.shrink(order_id, qty_lots)
        if is_done:
            self.commit(now_ns, 0, 0, 0)
        return bool(is_done)

    def rescale(self, int64_t factor):
        """The tick is `factor` times finer. Call it when all rows are told."""
        self.book.rescale(factor)
        self.last_px_ticks *= factor
        self._touch_px[SIDE_BUY] *= factor
        self._touch_px[SIDE_SELL] *= factor

    # -- EVENTS ---

    def events(self, str symbol, dict users, list out):
        """Append the events of all rows to `out`; orders that are filled leave `users`."""
        cdef int64_t index
        cdef const Row* row
        cdef list changes = []
        if self.is_broken:
            raise MemoryError("no room to write the market's events down")
        for index in range(self._row_count):
            row = self._rows + index
            if row.kind == ROW_TRADE:
                out.append(self._trade(row, symbol, users))
            elif row.kind == ROW_TOUCH:
                touch = (row.a, row.b, row.c, row.d)
                out.append(new(BestChange, (row.t_ns, symbol, self.update_id, touch)))
            else:
                changes.append(new(Change, (side_of(row.a), row.b, row.c)))
                if row.kind == ROW_LAST_CHANGE:
                    first_id = self.update_id + 1
                    self.update_id += len(changes)
                    out.append(new(DepthChange,
                                   (row.t_ns, symbol, first_id, self.update_id, changes)))
                    changes = []
        self._row_count = 0

    cdef object _trade(self, const Row* row, str symbol, dict users):
        self.trade_id += 1
        maker = users[row.d] if row.d else None
        taker = users[row.e] if row.e else None
        if maker is not None:
            maker.leaves_lots -= row.b
            if maker.leaves_lots == 0:
                del users[row.d]
        if taker is not None:
            taker.leaves_lots -= row.b
        return new(Trade, (row.t_ns, symbol, self.trade_id, row.a, row.b, side_of(row.c), maker,
                           taker, True))

    def touch(self):
        """(bid px, bid qty, ask px, ask qty) as last written down."""
        return (self._touch_px[SIDE_BUY], self._touch_lots[SIDE_BUY],
                self._touch_px[SIDE_SELL], self._touch_lots[SIDE_SELL])
