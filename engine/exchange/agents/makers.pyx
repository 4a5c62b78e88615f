# cython: language_level=3
"""Market makers: they quote both sides round the fair value, lean against their inventory, close
wide spreads and pull stale quotes.

Maker k stands k + 1 steps off. Its inventory is what its trades add up to (MarketLog.held); the
quotes shift against it, and past a limit the maker takes to be rid of half.
"""
cimport cython
from libc.math cimport ceil, floor as round_down
from libc.stdint cimport int32_t, int64_t

from engine.exchange.agents.dice cimport below
from engine.exchange.agents.floor cimport FIRST_MAKER, Floor
from fastcore.limit_book cimport NONE, PriceLevel
from fastcore.types cimport SIDE_BUY, SIDE_SELL, px_t, qty_t, seq_t

cdef double STEP_PATIENCES = 0.35      # of patience_ticks: the distance between two makers
cdef double INVENTORY_LOTS = 20.0      # of maker_lots: where a maker gets rid of half
cdef int PULLS_MAX = 8                 # quotes that are pulled at a time


@cython.final
cdef class Makers:
    def __cinit__(self, Floor floor not None):
        self.floor = floor

    cdef void requote(self) noexcept nogil:
        """One maker looks at the market."""
        cdef int64_t maker = below(&self.floor.dice, self.floor.settings.maker_count)
        cdef int32_t account = <int32_t>(FIRST_MAKER - maker)
        cdef double limit = INVENTORY_LOTS * self.floor.settings.maker_lots
        cdef double held = <double>self.floor.log.held[-account]
        cdef double step = max(1.0, STEP_PATIENCES * self.floor.settings.patience_ticks)
        cdef double middle = self.floor.fair_ticks - 2.0 * step * min(max(held / limit, -1.0), 1.0)
        cdef double off = 0.5 + step * maker
        if abs(held) > limit:
            self.floor.take(SIDE_SELL if held > 0 else SIDE_BUY, 0,
                       max(1, min(<qty_t>(abs(held) / 2.0), self.floor.settings.lots_max)),
                       account, False)
        self._requote_side(maker, SIDE_BUY, round_down(middle - off))
        self._requote_side(maker, SIDE_SELL, ceil(middle + off))

    cdef void _requote_side(self, int64_t maker, int side, double px_ticks) noexcept nogil:
        """A quote that stands near enough stays."""
        cdef seq_t order_id = self._ids[maker][side]
        cdef int32_t slot = self.floor.book.find(order_id) if order_id != 0 else NONE
        if slot != NONE:
            if abs(self.floor.book.orders[slot].px_ticks - px_ticks) <= (
                    STEP_PATIENCES * self.floor.settings.patience_ticks):
                return
            self.floor.cancel(order_id)
        self._ids[maker][side] = self.floor.quote(
            side, px_ticks, self.floor.lots(self.floor.settings.maker_lots),
            <int32_t>(FIRST_MAKER - maker))

    cdef void close_gap(self) noexcept nogil:
        """Improve the side that fair value is further from, up to a tick from the other."""
        cdef px_t bid = self.floor.book.best_px(SIDE_BUY), ask = self.floor.book.best_px(SIDE_SELL)
        cdef double fair = self.floor.fair_ticks, slack = 0.5 * self.floor.settings.patience_ticks
        cdef int32_t account = <int32_t>(
            FIRST_MAKER - below(&self.floor.dice, self.floor.settings.maker_count))
        cdef qty_t lots = self.floor.lots(self.floor.settings.maker_lots)
        if ask == 0 or (bid > 0 and ask - fair > fair - bid):
            self.floor.quote(SIDE_SELL, ceil(fair - slack) if bid == 0 else max(
                bid + 1.0, ceil(fair - slack)), lots, account)
        else:
            self.floor.quote(SIDE_BUY, round_down(fair + slack) if ask == 0 else min(
                ask - 1.0, round_down(fair + slack)), lots, account)

    cdef void pull(self, int side) noexcept nogil:
        """Cancel agents' orders of the best level, oldest first: its price is stale."""
        cdef const PriceLevel* level = self.floor.book.level_at(side, 0)
        cdef int32_t slot, next
        cdef int _step
        if level == NULL:
            return
        slot = level.head
        for _step in range(PULLS_MAX):
            if slot == NONE:
                return
            next = self.floor.book.orders[slot].next
            if self.floor.book.orders[slot].account < 0:
                self.floor.cancel(self.floor.book.orders[slot].order_id)
            slot = next
