# cython: language_level=3
"""Built-in strategies that quote both sides of a fair value. All in ticks, lots and seconds.

Each ends in quote_pair (strategy_target.pxd): bid = floor(fair - half), ask = ceil(fair + half),
never taking, never crossed, a side only while its fill keeps position_lots_max. Where
edge_min_ticks > 0, half is at least maker_fee_ticks + edge_min_ticks: a fill earns
half - fee before the price moves against it, so less than that is given away.

spread              fair = microprice + ofi_skew_ticks * ofi_norm
                           - inventory_skew_ticks * position / qty
                    half = half_spread_ticks
                    Order flow imbalance leads the mid (Cont, Kukanov, Stoikov 2014).
avellaneda_stoikov  fair = mid - position * gamma sigma^2 tau
                    half = gamma qty sigma^2 tau / 2 + (1 / (gamma qty)) ln(1 + gamma qty / kappa)
                    Avellaneda and Stoikov 2008, eqs. (8) and (30), for orders of qty lots.
                    tau: horizon_s (rolling), or what is left of it since the first call.
glft                fair = mid - position * sigma c2,  half = c1 + qty / 2 * sigma c2
                    Gueant 2017 eqs. (4.6)-(4.7) with xi = gamma: the long-run limit, no horizon.
ofi_skew            fair = microprice + ofi_skew_ticks * ofi_norm + tfi_skew_ticks * tfi
                           - inventory_skew_ticks * position / qty
                    half = half_spread_ticks + widen_ticks * |ofi_norm| + vpin_widen_ticks * vpin
                    and the side that the flow is about to run over is pulled at pull_ofi_norm.
hold                wants nothing: the hedge leg of a pair, whose orders the other leg asks for.

What depends on parameters alone (logarithms, a square root) is kept in `state` beside the
parameters that it was made of, so a changed parameter makes it anew.
"""
from libc.math cimport fabs

from fastcore.check cimport fc_unlikely
from fastcore.strategy_abi cimport STRATEGY_NOT_WARM, STRATEGY_QUOTE, STRATEGY_STAND_ASIDE
from fastcore.strategy_target cimport has_touch, quote_pair, touch_mid, with_edge

# Parameters, in the order of the table in strategy.pyx.
cdef enum:
    SPREAD_HALF_SPREAD_TICKS = 0
    SPREAD_QTY_LOTS = 1
    SPREAD_INVENTORY_SKEW_TICKS = 2
    SPREAD_OFI_SKEW_TICKS = 3
    SPREAD_POSITION_LOTS_MAX = 4
    SPREAD_EDGE_MIN_TICKS = 5

cdef enum:
    AS_GAMMA = 0
    AS_KAPPA = 1
    AS_SIGMA_TICKS = 2
    AS_HORIZON_S = 3
    AS_ROLLING = 4
    AS_QTY_LOTS = 5
    AS_POSITION_LOTS_MAX = 6
    AS_EDGE_MIN_TICKS = 7

cdef enum:                     # state
    AS_KEPT = 0                # .. 2: gamma, kappa, qty that AS_HALF was made of
    AS_HALF = 3
    AS_HAS_START = 4
    AS_START_NS = 5

cdef enum:
    GLFT_GAMMA = 0
    GLFT_KAPPA = 1
    GLFT_INTENSITY_PER_S = 2
    GLFT_SIGMA_TICKS = 3
    GLFT_QTY_LOTS = 4
    GLFT_POSITION_LOTS_MAX = 5
    GLFT_EDGE_MIN_TICKS = 6

cdef enum:                     # state
    GLFT_KEPT = 0              # .. 3: gamma, kappa, intensity, qty
    GLFT_C1 = 4
    GLFT_C2 = 5

cdef enum:
    OFI_HALF_SPREAD_TICKS = 0
    OFI_QTY_LOTS = 1
    OFI_INVENTORY_SKEW_TICKS = 2
    OFI_SKEW_TICKS = 3
    OFI_TFI_SKEW_TICKS = 4
    OFI_WIDEN_TICKS = 5
    OFI_VPIN_WIDEN_TICKS = 6
    OFI_PULL_OFI_NORM = 7
    OFI_POSITION_LOTS_MAX = 8
    OFI_EDGE_MIN_TICKS = 9


cdef int32_t spread(const View* view, const double* params, double* state,
                    Target* target) noexcept nogil:
    cdef double qty_lots = params[SPREAD_QTY_LOTS]
    cdef double fair, half
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    fair = (view.signals.microprice_ticks
            + params[SPREAD_OFI_SKEW_TICKS] * view.signals.ofi_norm
            - params[SPREAD_INVENTORY_SKEW_TICKS] * <double>view.position_lots / qty_lots)
    half = with_edge(view, params[SPREAD_HALF_SPREAD_TICKS], params[SPREAD_EDGE_MIN_TICKS])
    return quote_pair(view, fair, half, qty_lots, params[SPREAD_POSITION_LOTS_MAX], target)


cdef int32_t avellaneda_stoikov(const View* view, const double* params, double* state,
                                Target* target) noexcept nogil:
    cdef double qty_lots = params[AS_QTY_LOTS]
    cdef double sigma = params[AS_SIGMA_TICKS]
    cdef double position = <double>view.position_lots
    cdef double tau_s, skew, half
    cdef int32_t code
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    if sigma == 0.0:
        sigma = view.signals.volatility_ticks
        if fc_unlikely(not sigma > 0.0):
            return STRATEGY_NOT_WARM
    if fc_unlikely(state[AS_KEPT] != params[AS_GAMMA] or state[AS_KEPT + 1] != params[AS_KAPPA]
                   or state[AS_KEPT + 2] != qty_lots):
        state[AS_KEPT] = params[AS_GAMMA]
        state[AS_KEPT + 1] = params[AS_KAPPA]
        state[AS_KEPT + 2] = qty_lots
        state[AS_HALF] = intensity_half(params[AS_GAMMA], params[AS_KAPPA], qty_lots)
    tau_s = params[AS_HORIZON_S]
    if params[AS_ROLLING] == 0.0:
        tau_s = _time_left(view, tau_s, state)
    skew = as_skew(params[AS_GAMMA], sigma, tau_s)
    half = with_edge(view, 0.5 * skew * qty_lots + state[AS_HALF], params[AS_EDGE_MIN_TICKS])
    code = quote_pair(view, touch_mid(view) - position * skew, half, qty_lots,
                      params[AS_POSITION_LOTS_MAX], target)
    if fc_unlikely(tau_s == 0.0):
        # The session is over: only what brings the position home is still quoted.
        if position >= 0.0:
            target.bid_count = 0
        if position <= 0.0:
            target.ask_count = 0
    return code


cdef double _time_left(const View* view, double horizon_s, double* state) noexcept nogil:
    cdef double left_s
    if state[AS_HAS_START] == 0.0:
        state[AS_HAS_START] = 1.0
        state[AS_START_NS] = <double>view.now_ns
    left_s = horizon_s - (<double>view.now_ns - state[AS_START_NS]) * 1e-9
    return min(max(left_s, 0.0), horizon_s)


cdef int32_t glft(const View* view, const double* params, double* state,
                  Target* target) noexcept nogil:
    cdef double qty_lots = params[GLFT_QTY_LOTS]
    cdef double sigma = params[GLFT_SIGMA_TICKS]
    cdef double skew, half
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    if sigma == 0.0:
        sigma = view.signals.volatility_ticks
        if fc_unlikely(not sigma > 0.0):
            return STRATEGY_NOT_WARM
    if fc_unlikely(state[GLFT_KEPT] != params[GLFT_GAMMA]
                   or state[GLFT_KEPT + 1] != params[GLFT_KAPPA]
                   or state[GLFT_KEPT + 2] != params[GLFT_INTENSITY_PER_S]
                   or state[GLFT_KEPT + 3] != qty_lots):
        state[GLFT_KEPT] = params[GLFT_GAMMA]
        state[GLFT_KEPT + 1] = params[GLFT_KAPPA]
        state[GLFT_KEPT + 2] = params[GLFT_INTENSITY_PER_S]
        state[GLFT_KEPT + 3] = qty_lots
        state[GLFT_C1] = intensity_half(params[GLFT_GAMMA], params[GLFT_KAPPA], qty_lots)
        state[GLFT_C2] = glft_skew(params[GLFT_GAMMA], params[GLFT_KAPPA],
                                   params[GLFT_INTENSITY_PER_S], qty_lots)
    skew = sigma * state[GLFT_C2]
    half = with_edge(view, state[GLFT_C1] + 0.5 * skew * qty_lots, params[GLFT_EDGE_MIN_TICKS])
    return quote_pair(view, touch_mid(view) - <double>view.position_lots * skew, half, qty_lots,
                      params[GLFT_POSITION_LOTS_MAX], target)


cdef int32_t ofi_skew(const View* view, const double* params, double* state,
                      Target* target) noexcept nogil:
    cdef double qty_lots = params[OFI_QTY_LOTS]
    cdef double ofi_norm = view.signals.ofi_norm
    cdef double pull = params[OFI_PULL_OFI_NORM]
    cdef double fair, half
    cdef int32_t code
    if fc_unlikely(not has_touch(view)):
        return STRATEGY_STAND_ASIDE
    fair = (view.signals.microprice_ticks + params[OFI_SKEW_TICKS] * ofi_norm
            + params[OFI_TFI_SKEW_TICKS] * view.signals.tfi
            - params[OFI_INVENTORY_SKEW_TICKS] * <double>view.position_lots / qty_lots)
    half = (params[OFI_HALF_SPREAD_TICKS] + params[OFI_WIDEN_TICKS] * fabs(ofi_norm)
            + params[OFI_VPIN_WIDEN_TICKS] * view.signals.vpin)
    half = with_edge(view, half, params[OFI_EDGE_MIN_TICKS])
    code = quote_pair(view, fair, half, qty_lots, params[OFI_POSITION_LOTS_MAX], target)
    if pull > 0.0 and code == STRATEGY_QUOTE:
        if ofi_norm <= -pull:      # sellers are eating the bids
            target.bid_count = 0
        elif ofi_norm >= pull:
            target.ask_count = 0
    return code


cdef int32_t hold(const View* view, const double* params, double* state,
                  Target* target) noexcept nogil:
    return STRATEGY_QUOTE if has_touch(view) else STRATEGY_STAND_ASIDE
