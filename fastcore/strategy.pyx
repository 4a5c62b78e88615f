# cython: language_level=3
"""Strategies: a pure function of (view, params, state) that fills a Target.

    int32 f(const View*, const double* params, double* state, Target*)

returns STRATEGY_QUOTE, or a code of its own for standing aside. Target is preset to nothing, so
a function that dies half-way quotes nothing. Between Target and the wire stand check_target, the
diff (orders.pyx) and the gate (gate.pyx).

`spread`: quote both sides of a fair value, scalping the spread.

    fair = microprice + ofi_skew * ofi_norm - inventory_skew * position / qty        [ticks]
    bid  = min(floor(fair - half_spread), best ask - 1)
    ask  = max(ceil(fair + half_spread), best bid + 1)

Order flow imbalance leads the mid (Cont, Kukanov, Stoikov 2014), so the pair leans with it; the
inventory term leans against the position, the linear form of Avellaneda-Stoikov's reservation
price. At +-position_lots_max the side that would add stands aside.
"""
from libc.math cimport ceil, floor, isfinite
from libc.string cimport memset

from fastcore.signals cimport SIG_EWMA_Z, SIG_MICROPRICE, SIG_OFI, SIG_QUEUE_IMBALANCE
from fastcore.types cimport E_RANGE, OK

cdef extern from *:
    """
    #include <string.h>
    /* memset(at, 0, size): gcc makes `rep stos` of that, whose start alone costs 30 ns. */
    static inline void fc_zero(void *at, size_t size) {
        char *byte = (char *) at;
        size_t i = 0;
        for (; i + 16 <= size; i += 16) {
            memset(byte + i, 0, 16);
            __asm__ volatile("" : : "r"(byte) : "memory");
        }
        memset(byte + i, 0, size - i);
    }
    """
    void fc_zero(void* at, size_t size) noexcept nogil

cdef enum:
    SPREAD_HALF_SPREAD_TICKS = 0
    SPREAD_QTY_LOTS = 1
    SPREAD_INVENTORY_SKEW_TICKS = 2
    SPREAD_OFI_SKEW_TICKS = 3
    SPREAD_POSITION_LOTS_MAX = 4

# name -> (parameter names in the order of `params` with their defaults, signals needed, levels a
# side needed): what a strategy does not declare is not computed for it.
BUILTINS: dict[str, tuple[tuple[tuple[str, float], ...], int, int]] = {
    "spread": (
        (
            ("half_spread_ticks", 1.0),
            ("qty_lots", 1.0),
            ("inventory_skew_ticks", 0.5),
            ("ofi_skew_ticks", 0.5),
            ("position_lots_max", 10.0),
        ),
        SIG_OFI | SIG_QUEUE_IMBALANCE | SIG_MICROPRICE | SIG_EWMA_Z,
        1,
    ),
}


cdef void clear_target(Target* target) noexcept nogil:
    fc_zero(target, sizeof(Target))
    target.guard = TARGET_GUARD


cdef int32_t _spread(const View* view, const double* params, double* state,
                     Target* target) noexcept nogil:
    cdef double qty_lots = params[SPREAD_QTY_LOTS]
    cdef double position_max = params[SPREAD_POSITION_LOTS_MAX]
    cdef double half = params[SPREAD_HALF_SPREAD_TICKS]
    cdef double fair
    cdef px_t bid_px, ask_px
    if view.bid_count == 0 or view.ask_count == 0:
        return STRATEGY_STAND_ASIDE
    fair = (view.signals.microprice_ticks
            + params[SPREAD_OFI_SKEW_TICKS] * view.signals.ofi_norm
            - params[SPREAD_INVENTORY_SKEW_TICKS] * <double>view.position_lots / qty_lots)
    if not isfinite(fair):
        return STRATEGY_STAND_ASIDE
    bid_px = <px_t>floor(fair - half)
    ask_px = <px_t>ceil(fair + half)
    # Post-only: a quote that would take is turned into one that joins or improves.
    if bid_px > view.asks[0].px_ticks - 1:
        bid_px = view.asks[0].px_ticks - 1
    if ask_px < view.bids[0].px_ticks + 1:
        ask_px = view.bids[0].px_ticks + 1
    if <double>view.position_lots + qty_lots <= position_max:
        target.bids[0].px_ticks = bid_px
        target.bids[0].qty_lots = <qty_t>qty_lots
        target.bid_count = 1
    if <double>view.position_lots - qty_lots >= -position_max:
        target.asks[0].px_ticks = ask_px
        target.asks[0].qty_lots = <qty_t>qty_lots
        target.ask_count = 1
    return STRATEGY_QUOTE


cdef int check_target(const Target* target, const View* view) noexcept nogil:
    """OK, or E_RANGE for nonsense: counts, signs, a bid at or above an ask, a touched guard."""
    cdef int i
    cdef px_t best_bid_px, best_ask_px
    if (target.guard != TARGET_GUARD or target.bid_count < 0 or target.ask_count < 0
            or target.bid_count > TARGET_LEVELS or target.ask_count > TARGET_LEVELS):
        return E_RANGE
    for i in range(target.bid_count):
        if target.bids[i].px_ticks <= 0 or target.bids[i].qty_lots <= 0:
            return E_RANGE
    for i in range(target.ask_count):
        if target.asks[i].px_ticks <= 0 or target.asks[i].qty_lots <= 0:
            return E_RANGE
    if target.bid_count > 0 and target.ask_count > 0:
        best_bid_px = target.bids[0].px_ticks
        best_ask_px = target.asks[0].px_ticks
        for i in range(1, target.bid_count):
            best_bid_px = max(best_bid_px, target.bids[i].px_ticks)
        for i in range(1, target.ask_count):
            best_ask_px = min(best_ask_px, target.asks[i].px_ticks)
        if best_bid_px >= best_ask_px:
            return E_RANGE
    return OK


# -- COLD ---

cdef strategy_fn find_builtin(str name) except *:
    if name == "spread":
        return _spread
    raise ValueError(f"Unknown strategy {name!r}; built in: {', '.join(sorted(BUILTINS))}")


def builtin_params(str name, dict params) -> list[float]:
    """Parameters of a built-in in ABI order, defaults filled in.

    Raises ValueError for an unknown strategy, an unknown parameter, or a value that is not a
    finite number; sizes must be at least one whole lot.
    """
    find_builtin(name)
    declared = BUILTINS[name][0]
    unknown = sorted(set(params) - {key for key, _ in declared})
    if unknown:
        raise ValueError(f"Unknown parameter {unknown[0]!r} of strategy {name}; it has "
                         f"{', '.join(key for key, _ in declared)}")
    values = []
    for key, default in declared:
        value = float(params.get(key, default))
        if not isfinite(value):
            raise ValueError(f"Expected a finite {key}, was {value}")
        if key == "qty_lots" and (value < 1 or value != floor(value)):
            raise ValueError(f"Expected qty_lots to be a whole number >= 1, was {value}")
        if key in ("half_spread_ticks", "position_lots_max") and value < 0:
            raise ValueError(f"Expected {key} >= 0, was {value}")
        values.append(value)
    return values


def spread_quotes(
    double microprice_ticks, double ofi_norm, int64_t position_lots, list params,
    int64_t best_bid_px_ticks, int64_t best_ask_px_ticks,
) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    """`spread` called as the core calls it: (code, bids, asks); for tests and research."""
    cdef View view
    cdef Target target
    cdef double[PARAMS_MAX] values
    cdef double[STATE_MAX] state
    cdef int i
    if len(params) != len(BUILTINS["spread"][0]):
        raise ValueError(f"Expected {len(BUILTINS['spread'][0])} parameters, was {len(params)}")
    memset(&view, 0, sizeof(View))
    memset(state, 0, sizeof(state))
    for i, value in enumerate(params):
        values[i] = value
    view.bids[0].px_ticks, view.bids[0].qty_lots = best_bid_px_ticks, 1
    view.asks[0].px_ticks, view.asks[0].qty_lots = best_ask_px_ticks, 1
    view.bid_count = view.ask_count = 1
    view.signals.microprice_ticks = microprice_ticks
    view.signals.ofi_norm = ofi_norm
    view.position_lots = position_lots
    clear_target(&target)
    code = _spread(&view, values, state, &target)
    return (
        code,
        [(target.bids[i].px_ticks, target.bids[i].qty_lots) for i in range(target.bid_count)],
        [(target.asks[i].px_ticks, target.asks[i].qty_lots) for i in range(target.ask_count)],
    )
