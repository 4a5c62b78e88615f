# cython: language_level=3
"""What the fills made us own, to the last tick x lot.

Cash is what trading paid: -side * px * qty, summed. The open position has an average cost; a fill
that reduces it releases cost in proportion, rounded to a whole tick x lot (half away from zero),
and what rounding left stays with the rest until the position is flat, when it is zero by itself.
Realised is defined as cash + cost, unrealised as position * mark - cost, so their sum is cash +
position * mark at every moment and for every mark, without a rounding anywhere.

Fees are kept by the asset they were paid in, and are never part of realised: a fee in BNB is not
money of ours that this room could value. The spread captured by a fill against the mid of its
moment is side * (bid + ask - 2 px) * qty, in half ticks, an integer.
"""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport llabs

from fastcore.types cimport FEE_BASE, FEE_QUOTE, SIDE_BUY

cdef extern from *:
    """
    /* a * b / c, half away from zero; c > 0; 128 bits: 1e12 ticks x lots * 1e9 lots pass 64. */
    static inline int64_t fc_share(int64_t a, int64_t b, int64_t c) {
        __int128 n = (__int128)a * b;
        __int128 half = c / 2;
        return (int64_t)((n >= 0 ? n + half : n - half) / c);
    }
    """
    int64_t fc_share(int64_t a, int64_t b, int64_t c) noexcept nogil


@cython.no_gc
cdef class Position:
    """Position and money of one instrument. Base of Orders; alone for tests and reports."""

    cdef void book(self, const OrderEvent* event, px_t bid_px_ticks, px_t ask_px_ticks,
                   ns_t now_ns) noexcept nogil:
        """One fill, marked against the touch of its moment."""
        cdef int64_t sign = 1 if event.side == SIDE_BUY else -1
        self._trade(sign * event.last_qty_lots, event.last_px_ticks, now_ns)
        if event.fee_asset == FEE_QUOTE:
            self.fees_e8 += event.fee_e8
        elif event.fee_asset == FEE_BASE:
            self.fees_base_e8 += event.fee_e8
        else:
            self.fees_other_e8 += event.fee_e8
            self.fees_other_count += 1
        self.spread_half_ticks_lots += (
            sign * (bid_px_ticks + ask_px_ticks - 2 * event.last_px_ticks) * event.last_qty_lots
        )
        self.fill_count += 1

    cdef void _trade(self, qty_t signed_lots, px_t px_ticks, ns_t now_ns) noexcept nogil:
        cdef qty_t before_lots = self.position_lots
        cdef qty_t after_lots = before_lots + signed_lots
        cdef bint is_other_side = (before_lots > 0) != (after_lots > 0)
        self.cash_ticks_lots -= signed_lots * px_ticks
        if before_lots == 0 or (before_lots > 0) == (signed_lots > 0):
            self.cost_ticks_lots += signed_lots * px_ticks
        elif after_lots != 0 and not is_other_side:
            self.cost_ticks_lots -= fc_share(self.cost_ticks_lots, llabs(signed_lots),
                                             llabs(before_lots))
        else:                      # closed in full; what goes beyond opens at this price
            self.cost_ticks_lots = after_lots * px_ticks
        self.realised_ticks_lots = self.cash_ticks_lots + self.cost_ticks_lots
        self.position_lots = after_lots
        if after_lots == 0:
            self.entry_ns = 0
            self.entry_px_ticks = 0.0
            return
        if before_lots == 0 or is_other_side:
            self.entry_ns = now_ns
        self.entry_px_ticks = <double>self.cost_ticks_lots / <double>after_lots

    cdef void adopt(self, qty_t position_lots, px_t bid_px_ticks, px_t ask_px_ticks,
                    ns_t now_ns) noexcept nogil:
        self.position_lots = position_lots
        self.cash_ticks_lots = -position_lots * (bid_px_ticks + ask_px_ticks) // 2
        self.cost_ticks_lots = -self.cash_ticks_lots
        self.realised_ticks_lots = 0
        self.entry_ns = now_ns if position_lots != 0 else 0
        self.entry_px_ticks = 0.0
        if position_lots != 0:
            self.entry_px_ticks = <double>self.cost_ticks_lots / <double>position_lots

    cdef int64_t unrealised_half_ticks_lots(self, int64_t mark_half_ticks) noexcept nogil:
        return self.position_lots * mark_half_ticks - 2 * self.cost_ticks_lots

    # -- COLD: Python's face, for tests ---

    def book_fill(self, int side, px_t px_ticks, qty_t qty_lots, *, int64_t fee_e8=0,
                  int fee_asset=FEE_QUOTE, px_t bid_px_ticks=0, px_t ask_px_ticks=0,
                  ns_t now_ns=0) -> None:
        """One fill; ValueError unless price and quantity are above zero."""
        cdef OrderEvent event
        if px_ticks <= 0 or qty_lots <= 0 or side not in (0, 1):
            raise ValueError(f"Expected side 0 or 1, price and quantity above 0, was {side}, "
                             f"{px_ticks}, {qty_lots}")
        event.side = side
        event.last_px_ticks = px_ticks
        event.last_qty_lots = qty_lots
        event.fee_e8 = fee_e8
        event.fee_asset = fee_asset
        self.book(&event, bid_px_ticks, ask_px_ticks, now_ns)

    def adopt_position(self, qty_t position_lots, px_t bid_px_ticks, px_t ask_px_ticks,
                       ns_t now_ns) -> None:
        self.adopt(position_lots, bid_px_ticks, ask_px_ticks, now_ns)

    def unrealised_half(self, int64_t mark_half_ticks) -> int:
        """Twice the unrealised result against half the given mark."""
        return self.unrealised_half_ticks_lots(mark_half_ticks)

    def money(self) -> dict:
        """Every field, by name."""
        return {
            "position_lots": self.position_lots, "cash_ticks_lots": self.cash_ticks_lots,
            "cost_ticks_lots": self.cost_ticks_lots,
            "realised_ticks_lots": self.realised_ticks_lots,
            "entry_px_ticks": self.entry_px_ticks, "entry_ns": self.entry_ns,
            "fees_e8": self.fees_e8, "fees_base_e8": self.fees_base_e8,
            "fees_other_e8": self.fees_other_e8, "fees_other_count": self.fees_other_count,
            "spread_half_ticks_lots": self.spread_half_ticks_lots,
            "fill_count": self.fill_count,
        }
