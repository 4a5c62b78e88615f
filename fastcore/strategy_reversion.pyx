# cython: language_level=3
"""`mean_reversion`: fade a price that has left its band, leave when it is back.

x is how far the price stands from its mean: ewma_z, in deviations (Bollinger's bands with an
exponential window), or with use_keltner = 1 keltner_position, in half widths of the channel.

    flat        x >= entry_z: sell; x <= -entry_z: buy. By a take of qty_lots at the touch, or by
                a quote that joins the touch while x stays out there (passive = 1).
    holding     a long is measured at the bid, a short at the ask, from entry_px_ticks:
                stop    loss >= stop_ticks                             take
                target  gain >= target_ticks (0: off)                  take
                time    held >= hold_ms_max (0: off)                   take
                back    a long at x >= -exit_z, a short at x <= exit_z take
                passive = 1 rests a quote at the mean, or at the target if nearer, for the last
                two reasons to gain, and takes for stop and time.
    exiting     what was begun by a take is finished, whatever x does meanwhile.

A take is asked for again only retry_ms after the last one: its fill may be on the way. After a
stop no entry comes before cooldown_ms have passed and x has been inside the band: what has just
broken out is not faded a second time.
"""
from libc.math cimport fabs

from fastcore.check cimport fc_unlikely
from fastcore.strategy_abi cimport STRATEGY_QUOTE, STRATEGY_STAND_ASIDE
from fastcore.strategy_target cimport (
    TARGET_MAX, has_touch, reach, round_down, round_up, want_take,
)
from fastcore.types cimport SIDE_BUY, SIDE_SELL, qty_t

cdef enum:
    MR_USE_KELTNER = 0
    MR_ENTRY_Z = 1
    MR_EXIT_Z = 2
    MR_QTY_LOTS = 3
    MR_STOP_TICKS = 4
    MR_TARGET_TICKS = 5
    MR_HOLD_MS_MAX = 6
    MR_PASSIVE = 7
    MR_SLIPPAGE_TICKS = 8
    MR_RETRY_MS = 9
    MR_COOLDOWN_MS = 10

cdef enum:                     # state
    MR_SIGN = 0                # of the position at the call before: 1, 0, -1
    MR_REASON = 1              # of the exit that was begun, TAKE_*; 0: none
    MR_IS_ASKED = 2            # a take was asked for at MR_ASKED_NS
    MR_ASKED_NS = 3
    MR_IS_STOPPED = 4          # the last trade ended by its stop; until the price is back
    MR_STOPPED_NS = 5

cdef enum:                     # take_reason
    TAKE_NONE = 0
    TAKE_ENTRY = 1
    TAKE_STOP = 2
    TAKE_TARGET = 3
    TAKE_TIME = 4
    TAKE_BACK = 5


cdef int32_t mean_reversion(const View* view, const double* params, double* state,
                            Target* target) noexcept nogil:
    cdef double x
    cdef double sign = 0.0
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    if params[MR_USE_KELTNER] != 0.0:
        x = view.signals.keltner_position
    else:
        x = view.signals.ewma_z
    if view.position_lots != 0:
        sign = 1.0 if view.position_lots > 0 else -1.0
    if sign != state[MR_SIGN]:
        if state[MR_REASON] == TAKE_STOP:
            state[MR_IS_STOPPED] = 1.0
            state[MR_STOPPED_NS] = <double>view.now_ns
        state[MR_SIGN] = sign
        state[MR_REASON] = TAKE_NONE
        state[MR_IS_ASKED] = 0.0
    if sign == 0.0:
        return _enter(view, params, state, x, target)
    return _hold(view, params, state, x, sign, target)


cdef int32_t _enter(const View* view, const double* params, double* state, double x,
                    Target* target) noexcept nogil:
    cdef double now = <double>view.now_ns
    cdef int side
    if fc_unlikely(state[MR_IS_STOPPED] != 0.0):
        if (now - state[MR_STOPPED_NS] < params[MR_COOLDOWN_MS] * 1e6
                or not fabs(x) < params[MR_ENTRY_Z]):
            return STRATEGY_STAND_ASIDE
        state[MR_IS_STOPPED] = 0.0
    if not fabs(x) >= params[MR_ENTRY_Z]:
        return STRATEGY_STAND_ASIDE
    side = SIDE_SELL if x > 0.0 else SIDE_BUY
    if params[MR_PASSIVE] == 0.0:
        _ask_take(view, params, state, side, <qty_t>params[MR_QTY_LOTS], TAKE_ENTRY, target)
    elif side == SIDE_BUY:
        target.bids[0].px_ticks = view.bids[0].px_ticks
        target.bids[0].qty_lots = <qty_t>params[MR_QTY_LOTS]
        target.bid_count = 1
    else:
        target.asks[0].px_ticks = view.asks[0].px_ticks
        target.asks[0].qty_lots = <qty_t>params[MR_QTY_LOTS]
        target.ask_count = 1
    return STRATEGY_QUOTE


cdef int32_t _hold(const View* view, const double* params, double* state, double x,
                   double sign, Target* target) noexcept nogil:
    cdef double exit_px = <double>(view.bids[0].px_ticks if sign > 0.0 else view.asks[0].px_ticks)
    cdef double gain = sign * (exit_px - view.entry_px_ticks)
    cdef bint is_passive = params[MR_PASSIVE] != 0.0
    cdef int reason = <int>state[MR_REASON]
    cdef qty_t qty_lots
    if reason == TAKE_NONE:
        if not gain > -params[MR_STOP_TICKS]:  # so that an entry that is no number exits
            reason = TAKE_STOP
        elif (params[MR_HOLD_MS_MAX] > 0.0 and <double>view.now_ns - <double>view.entry_ns
                >= params[MR_HOLD_MS_MAX] * 1e6):
            reason = TAKE_TIME
        elif is_passive:
            pass
        elif params[MR_TARGET_TICKS] > 0.0 and gain >= params[MR_TARGET_TICKS]:
            reason = TAKE_TARGET
        elif sign * x >= -params[MR_EXIT_Z]:
            reason = TAKE_BACK
        state[MR_REASON] = reason
    qty_lots = min(max(view.position_lots, -TARGET_MAX), TARGET_MAX)
    if sign < 0.0:
        qty_lots = -qty_lots
    if reason != TAKE_NONE:
        _ask_take(view, params, state, SIDE_SELL if sign > 0.0 else SIDE_BUY, qty_lots, reason,
                  target)
    elif is_passive:
        _rest_exit(view, params, sign, qty_lots, target)
    return STRATEGY_QUOTE


cdef void _ask_take(const View* view, const double* params, double* state, int side,
                    qty_t qty_lots, int reason, Target* target) noexcept nogil:
    cdef double now = <double>view.now_ns
    if state[MR_IS_ASKED] != 0.0 and now - state[MR_ASKED_NS] < params[MR_RETRY_MS] * 1e6:
        return
    state[MR_IS_ASKED] = 1.0
    state[MR_ASKED_NS] = now
    want_take(target, side, reach(side, view.bids[0].px_ticks, view.asks[0].px_ticks,
                                  params[MR_SLIPPAGE_TICKS]), qty_lots, reason)


cdef void _rest_exit(const View* view, const double* params, double sign, qty_t qty_lots,
                     Target* target) noexcept nogil:
    """A quote at the mean, or at the target where that is nearer; a mean that is no number, or
    that lies behind the touch: at the touch that improves on nobody."""
    cdef double px = view.signals.ewma_mean_ticks
    if params[MR_USE_KELTNER] != 0.0:
        px = view.signals.keltner_mid_ticks
    if params[MR_TARGET_TICKS] > 0.0:
        if sign > 0.0:
            px = min(px, view.entry_px_ticks + params[MR_TARGET_TICKS])
        else:
            px = max(px, view.entry_px_ticks - params[MR_TARGET_TICKS])
    if sign > 0.0:
        if not (px > <double>view.asks[0].px_ticks and px <= <double>TARGET_MAX):
            px = <double>view.asks[0].px_ticks
        target.asks[0].px_ticks = round_up(px)
        target.asks[0].qty_lots = qty_lots
        target.ask_count = 1
    else:
        if not (px < <double>view.bids[0].px_ticks and px >= 1.0):
            px = <double>view.bids[0].px_ticks
        target.bids[0].px_ticks = round_down(px)
        target.bids[0].qty_lots = qty_lots
        target.bid_count = 1
