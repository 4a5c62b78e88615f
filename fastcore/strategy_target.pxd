# cython: language_level=3
"""How the built-in strategies read a touch and write a Target, inlined into each.

Doubles become ticks and lots here and nowhere else: a value that is no number, or past what a
double holds exactly, quotes nothing. Comparisons are written so that NaN fails them.
"""
from libc.math cimport fabs
from libc.stdint cimport int32_t

from fastcore.strategy_abi cimport STRATEGY_QUOTE, STRATEGY_STAND_ASIDE, Target, View
from fastcore.types cimport SIDE_BUY, px_t, qty_t

cdef extern from *:
    """
    #define FC_TARGET_MAX (1LL << 52)
    #define FC_TOUCH_MAX (1LL << 51)
    """
    const px_t TARGET_MAX "FC_TARGET_MAX"    # highest price and size that a strategy may name
    const px_t TOUCH_MAX "FC_TOUCH_MAX"      # highest touch that it believes: slippage fits above

cdef inline bint has_touch(const View* view) noexcept nogil:
    """Both sides there, above zero, neither crossed nor locked."""
    return (view.bid_count > 0 and view.ask_count > 0 and view.bids[0].px_ticks > 0
            and view.bids[0].px_ticks < view.asks[0].px_ticks
            and view.asks[0].px_ticks <= TOUCH_MAX)

cdef inline px_t round_down(double x) noexcept nogil:
    """floor(x) of what is within +-2^53: without SSE4.1 libm's is a call."""
    cdef px_t whole = <px_t>x
    return whole - (<double>whole > x)

cdef inline px_t round_up(double x) noexcept nogil:
    cdef px_t whole = <px_t>x
    return whole + (<double>whole < x)

cdef inline double touch_mid(const View* view) noexcept nogil:
    return 0.5 * <double>(view.bids[0].px_ticks + view.asks[0].px_ticks)

cdef inline double with_edge(const View* view, double half, double edge_min) noexcept nogil:
    """The half spread, widened to the maker fee plus `edge_min` where that is asked for (> 0)."""
    cdef double least = view.maker_fee_ticks + edge_min
    if edge_min > 0.0 and not half >= least:
        return least               # NaN where the fee is: then nothing is quoted
    return half

cdef inline int32_t quote_pair(const View* view, double fair, double half, double qty_lots,
                               double position_max, Target* target) noexcept nogil:
    """fair -+ half, rounded outward, post-only, each side only while its fill keeps the limit.

    A pair that would lock (a fair value on a tick, no half spread) stands one tick apart: the
    side that adds to the position gives way, the bid when flat.
    """
    cdef double position = <double>view.position_lots
    cdef px_t bid_px, ask_px
    if not (fabs(fair) <= <double>TARGET_MAX and half >= 0.0 and half <= <double>TARGET_MAX):
        return STRATEGY_STAND_ASIDE
    bid_px = round_down(fair - half)
    ask_px = round_up(fair + half)
    if bid_px == ask_px:
        if position < 0.0:
            ask_px += 1
        else:
            bid_px -= 1
    # Post-only: a quote that would take is turned into one that joins or improves.
    if bid_px > view.asks[0].px_ticks - 1:
        bid_px = view.asks[0].px_ticks - 1
    if ask_px < view.bids[0].px_ticks + 1:
        ask_px = view.bids[0].px_ticks + 1
    if position + qty_lots <= position_max and bid_px > 0:
        target.bids[0].px_ticks = bid_px
        target.bids[0].qty_lots = <qty_t>qty_lots
        target.bid_count = 1
    if position - qty_lots >= -position_max and ask_px > 0 and ask_px <= TARGET_MAX:
        target.asks[0].px_ticks = ask_px
        target.asks[0].qty_lots = <qty_t>qty_lots
        target.ask_count = 1
    return STRATEGY_QUOTE

cdef inline px_t reach(int side, px_t bid_px, px_t ask_px, double slippage_ticks) noexcept nogil:
    """Limit of an order that takes: the other side's touch and `slippage_ticks` through it."""
    if side == SIDE_BUY:
        return ask_px + <px_t>slippage_ticks
    return max(bid_px - <px_t>slippage_ticks, 1)

cdef inline void want_take(Target* target, int side, px_t px_ticks, qty_t qty_lots,
                           int32_t reason) noexcept nogil:
    target.take_side = side
    target.take_px_ticks = px_ticks
    target.take_qty_lots = qty_lots
    target.take_reason = reason

cdef inline void want_hedge(Target* target, int side, px_t px_ticks, qty_t qty_lots,
                            int32_t reason) noexcept nogil:
    target.hedge_side = side
    target.hedge_px_ticks = px_ticks
    target.hedge_qty_lots = qty_lots
    target.hedge_reason = reason
