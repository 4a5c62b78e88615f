# cython: language_level=3
"""`stat_arb`: quote one leg around what the other says it is worth, hedge each fill at once.

    fair  = mid - pair_spread_ticks - inventory_skew_ticks * position / qty
            pair_spread_ticks: what this leg stands above its hedge-ratio value, in its own ticks
    naked = position + reference position / h        [lots of this leg; h = ref_lots_per_lot]

Hedge: when -(naked h) less what is in flight rounds to a whole reference lot, an immediate order
for it through the reference touch. One that did not fill is asked for again after retry_ms; what a
fill on either leg leaves naked, at once: the other leg takes one hedge at a time.

Leg risk has a budget: naked beyond unhedged_lots_max, or naked at all for unhedged_ms_max. Over it
the strategy stops quoting and unwinds this leg by takes, as far as no hedge is in flight for it,
until nothing is naked. What this leg can't unwind (the position is smaller, or less than a lot) is
hedged on. Within the budget a side is quoted only while its fill, before any hedge, would keep it.

Quotes also stop, hedging does not: while pair_z is 0, for it is not warm; beyond z_max, where the
relation is taken for broken; with a half-life of none or above half_life_s_max, where there is no
reversion to live on. No usable reference touch, no quotes.
Without one nothing is hedged either; the position itself then counts as naked only where h is
no number above zero, for then nothing offsets it.
"""
from libc.math cimport fabs

from fastcore.check cimport fc_unlikely
from fastcore.strategy_abi cimport STRATEGY_QUOTE, STRATEGY_STAND_ASIDE
from fastcore.strategy_target cimport (
    TARGET_MAX, TOUCH_MAX, has_touch, quote_pair, reach, touch_mid, want_hedge, want_take,
    with_edge,
)
from fastcore.types cimport SIDE_BUY, SIDE_SELL, qty_t

cdef enum:
    SA_HALF_SPREAD_TICKS = 0
    SA_QTY_LOTS = 1
    SA_INVENTORY_SKEW_TICKS = 2
    SA_POSITION_LOTS_MAX = 3
    SA_UNHEDGED_LOTS_MAX = 4
    SA_UNHEDGED_MS_MAX = 5
    SA_Z_MAX = 6
    SA_HALF_LIFE_S_MAX = 7
    SA_HEDGE_SLIPPAGE_TICKS = 8
    SA_UNWIND_SLIPPAGE_TICKS = 9
    SA_RETRY_MS = 10
    SA_EDGE_MIN_TICKS = 11

cdef enum:                     # state
    SA_IS_NAKED = 0
    SA_NAKED_NS = 1            # since when
    SA_IS_UNWINDING = 2
    SA_IS_TAKEN = 3            # a take was asked for at SA_TAKE_NS
    SA_TAKE_NS = 4
    SA_IS_HEDGED = 5           # a hedge was asked for at SA_HEDGE_NS, of SA_HEDGED_LOTS held here
    SA_HEDGED_LOTS = 6
    SA_HEDGE_NS = 7
    SA_HEDGED_REF_LOTS = 8     # and this much on the reference leg

cdef enum:                     # take_reason, hedge_reason
    TAKE_UNWIND = 1
    HEDGE_FILL = 1
    HEDGE_OVER_BUDGET = 2


cdef int32_t stat_arb(const View* view, const double* params, double* state,
                      Target* target) noexcept nogil:
    cdef double ratio = view.ref_lots_per_lot
    cdef bint has_ratio = ratio > 0.0 and ratio <= 1e12
    cdef double naked, left            # left: naked once all that is in flight has filled
    cdef bint is_hedgeable
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    naked = left = <double>view.position_lots
    if has_ratio:
        naked += <double>view.ref_position_lots / ratio
        left = naked
        if view.ref_open_lots != 0:
            left += <double>view.ref_open_lots / ratio
    is_hedgeable = has_ratio and _has_reference(view)
    if fc_unlikely(_is_over_budget(view, params, state, naked, ratio if has_ratio else 1.0)):
        if not _unwind(view, params, state, left, target) and is_hedgeable:
            _hedge(view, params, state, left * ratio, HEDGE_OVER_BUDGET, target)
        return STRATEGY_QUOTE
    if not is_hedgeable:
        return STRATEGY_STAND_ASIDE
    _hedge(view, params, state, left * ratio, HEDGE_FILL, target)
    if _reverts(view, params):
        _quote(view, params, naked, target)
    return STRATEGY_QUOTE


cdef bint _has_reference(const View* view) noexcept nogil:
    return (view.ref_bid.qty_lots > 0 and view.ref_ask.qty_lots > 0 and view.ref_bid.px_ticks > 0
            and view.ref_bid.px_ticks < view.ref_ask.px_ticks
            and view.ref_ask.px_ticks <= TOUCH_MAX)


cdef bint _reverts(const View* view, const double* params) noexcept nogil:
    cdef double half_life_s_max = params[SA_HALF_LIFE_S_MAX]
    cdef double half_life_s = view.signals.pair_half_life_s
    cdef double z = fabs(view.signals.pair_z)
    if not z > 0.0 or (params[SA_Z_MAX] > 0.0 and not z <= params[SA_Z_MAX]):
        return False
    return half_life_s_max == 0.0 or (half_life_s > 0.0 and half_life_s <= half_life_s_max)


cdef bint _is_over_budget(const View* view, const double* params, double* state, double naked,
                          double ratio) noexcept nogil:
    """Keeps the clock of what is naked, and the latch: over budget until nothing is."""
    cdef double now = <double>view.now_ns
    if fabs(naked) * ratio < 0.5:      # rounds to no reference lot: hedged as well as can be
        state[SA_IS_NAKED] = state[SA_IS_UNWINDING] = 0.0
        state[SA_IS_TAKEN] = state[SA_IS_HEDGED] = 0.0
        return False
    if state[SA_IS_NAKED] == 0.0:
        state[SA_IS_NAKED] = 1.0
        state[SA_NAKED_NS] = now
    if (fabs(naked) > params[SA_UNHEDGED_LOTS_MAX]
            or now - state[SA_NAKED_NS] >= params[SA_UNHEDGED_MS_MAX] * 1e6):
        state[SA_IS_UNWINDING] = 1.0
    return state[SA_IS_UNWINDING] != 0.0


cdef bint _unwind(const View* view, const double* params, double* state, double left,
                  Target* target) noexcept nogil:
    """Reduce this leg by what is naked and not in flight. False: this leg can't."""
    cdef double now = <double>view.now_ns
    cdef double lots = min(fabs(left) + 0.5, fabs(<double>view.position_lots))
    cdef int side = SIDE_SELL if left > 0.0 else SIDE_BUY
    if not (lots >= 1.0 and lots <= <double>TARGET_MAX and left * view.position_lots > 0.0):
        return False
    if state[SA_IS_TAKEN] != 0.0 and now - state[SA_TAKE_NS] < params[SA_RETRY_MS] * 1e6:
        return True
    state[SA_IS_TAKEN] = 1.0
    state[SA_TAKE_NS] = now
    want_take(target, side, reach(side, view.bids[0].px_ticks, view.asks[0].px_ticks,
                                  params[SA_UNWIND_SLIPPAGE_TICKS]), <qty_t>lots, TAKE_UNWIND)
    return True


cdef void _hedge(const View* view, const double* params, double* state, double left_ref_lots,
                 int reason, Target* target) noexcept nogil:
    cdef double now = <double>view.now_ns
    cdef double position = <double>view.position_lots
    cdef double reference = <double>view.ref_position_lots
    cdef double lots = fabs(left_ref_lots) + 0.5   # the cast below rounds it down
    cdef int side = SIDE_SELL if left_ref_lots > 0.0 else SIDE_BUY
    if not (lots >= 1.0 and lots <= <double>TARGET_MAX):
        return
    if (state[SA_IS_HEDGED] != 0.0 and position == state[SA_HEDGED_LOTS]
            and reference == state[SA_HEDGED_REF_LOTS]
            and now - state[SA_HEDGE_NS] < params[SA_RETRY_MS] * 1e6):
        return                     # the same need, asked for just now
    state[SA_IS_HEDGED] = 1.0
    state[SA_HEDGED_LOTS] = position
    state[SA_HEDGED_REF_LOTS] = reference
    state[SA_HEDGE_NS] = now
    want_hedge(target, side, reach(side, view.ref_bid.px_ticks, view.ref_ask.px_ticks,
                                   params[SA_HEDGE_SLIPPAGE_TICKS]), <qty_t>lots, reason)


cdef void _quote(const View* view, const double* params, double naked,
                 Target* target) noexcept nogil:
    cdef double qty_lots = params[SA_QTY_LOTS]
    cdef double budget = params[SA_UNHEDGED_LOTS_MAX]
    cdef double fair = (touch_mid(view) - view.signals.pair_spread_ticks
                        - params[SA_INVENTORY_SKEW_TICKS] * <double>view.position_lots / qty_lots)
    cdef double half = with_edge(view, params[SA_HALF_SPREAD_TICKS], params[SA_EDGE_MIN_TICKS])
    quote_pair(view, fair, half, qty_lots, params[SA_POSITION_LOTS_MAX], target)
    if naked + qty_lots > budget:
        target.bid_count = 0
    if naked - qty_lots < -budget:
        target.ask_count = 0
