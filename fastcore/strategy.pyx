# cython: language_level=3
"""Strategies: a pure function of (view, params, state) that fills a Target.

    int32 f(const View*, const double* params, double* state, Target*)

returns STRATEGY_QUOTE, or a code of its own for standing aside. Target is preset to nothing, so
a function that dies half-way quotes nothing. Between Target and the wire stand check_target, the
diff (orders.pyx) and the gate (gate.pyx).

The built-ins are in strategy_quotes (spread, avellaneda_stoikov, glft, ofi_skew),
strategy_reversion (mean_reversion) and strategy_pairs (stat_arb); here they have their names,
parameters and Python faces. docs/strategies.md tells when each loses.
"""
from libc.math cimport floor, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastcore.strategy_pairs cimport stat_arb
from fastcore.strategy_quotes cimport (
    as_skew, avellaneda_stoikov, glft, glft_skew, hold, intensity_half, ofi_skew, spread,
)
from fastcore.strategy_reversion cimport mean_reversion
from fastcore.strategy_target cimport TARGET_MAX
from fastcore.types cimport (
    E_RANGE, OK, SIDE_BUY, SIDE_SELL, TARGET_LEVELS, VIEW_LEVELS, Level, px_t, qty_t,
)

import difflib
from typing import NamedTuple

from fastcore.strategy_table import BUILTINS, Builtin, Param

__all__ = [
    "BUILTINS", "Builtin", "Param", "Quotes", "avellaneda_stoikov_quotes", "builtin_params",
    "glft_quotes", "quotes_of", "repeat_calls", "target_code",
]

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


cdef void clear_target(Target* target) noexcept nogil:
    fc_zero(target, sizeof(Target))
    target.guard = TARGET_GUARD


cdef int check_target(const Target* target, const View* view) noexcept nogil:
    """OK, or E_RANGE for nonsense: counts, signs, sides, a bid at or above an ask, a touched guard.

    A NaN that a strategy casts to an integer is some huge number of either sign: refused by the
    bounds on price and size. Negative reasons are the stops' own: an exit that is in flight is
    known by them.
    """
    cdef int i
    cdef px_t best_bid_px, best_ask_px
    if (target.guard != TARGET_GUARD or target.bid_count < 0 or target.ask_count < 0
            or target.bid_count > TARGET_LEVELS or target.ask_count > TARGET_LEVELS):
        return E_RANGE
    for i in range(target.bid_count):
        if not _is_sane(target.bids[i].px_ticks, target.bids[i].qty_lots):
            return E_RANGE
    for i in range(target.ask_count):
        if not _is_sane(target.asks[i].px_ticks, target.asks[i].qty_lots):
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
    if target.take_qty_lots != 0 and (
            (target.take_side != SIDE_BUY and target.take_side != SIDE_SELL)
            or target.take_reason < 0 or not _is_sane(target.take_px_ticks, target.take_qty_lots)):
        return E_RANGE
    if target.hedge_qty_lots != 0 and (
            (target.hedge_side != SIDE_BUY and target.hedge_side != SIDE_SELL)
            or target.hedge_reason < 0
            or not _is_sane(target.hedge_px_ticks, target.hedge_qty_lots)):
        return E_RANGE
    return OK


cdef inline bint _is_sane(px_t px_ticks, qty_t qty_lots) noexcept nogil:
    return 0 < px_ticks <= TARGET_MAX and 0 < qty_lots <= TARGET_MAX


# -- COLD ---

cdef strategy_fn find_builtin(str name) except *:
    if name == "spread":
        return spread
    if name == "avellaneda_stoikov":
        return avellaneda_stoikov
    if name == "glft":
        return glft
    if name == "ofi_skew":
        return ofi_skew
    if name == "mean_reversion":
        return mean_reversion
    if name == "stat_arb":
        return stat_arb
    if name == "hold":
        return hold
    raise ValueError(f"Unknown strategy {name!r}; built in: {', '.join(sorted(BUILTINS))}")


def builtin_params(str name, dict params) -> list[float]:
    """Parameters of a built-in in ABI order, defaults filled in.

    Raises ValueError for an unknown strategy, an unknown parameter, or a value that is not a
    finite number within the bounds of the table (strategy_table.py), whole where it says so.
    """
    find_builtin(name)
    declared = BUILTINS[name].params
    names = [param.name for param in declared]
    for key in params:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"Unknown parameter {key!r} of strategy {name}; {hint}"
                             f"it has {', '.join(names)}")
    values = [_checked_param(param, params.get(param.name, param.default)) for param in declared]
    given = dict(zip(names, values, strict=True))
    if name == "stat_arb" and given["unhedged_lots_max"] < given["qty_lots"]:
        raise ValueError("Expected unhedged_lots_max >= qty_lots, else no quote fits the leg-risk "
                         f"budget; was {given['unhedged_lots_max']:g} < {given['qty_lots']:g}")
    if name == "mean_reversion" and given["exit_z"] >= given["entry_z"]:
        raise ValueError("Expected exit_z < entry_z, else an entry is over as it begins; "
                         f"was {given['exit_z']:g} >= {given['entry_z']:g}")
    return values


def _checked_param(param, value) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"Expected {param.name} to be a number, was {value!r}") from None
    if not isfinite(number):
        raise ValueError(f"Expected a finite {param.name}, was {number}")
    if not param.low <= number <= param.high:
        raise ValueError(f"Expected {param.name} in {param.low:g} .. {param.high:g}, "
                         f"was {number:g}")
    if param.is_whole and number != floor(number):
        raise ValueError(f"Expected {param.name} to be a whole number, was {number:g}")
    return number


# -- COLD: formulas ---

def avellaneda_stoikov_quotes(
    double mid, double inventory, double gamma, double sigma, double kappa, double time_left,
) -> tuple[float, float, float]:
    """(reservation price, bid, ask) of Avellaneda and Stoikov 2008, for orders of size one.

    reservation = mid - inventory gamma sigma^2 tau                                 eq. (8)
    ask - bid = gamma sigma^2 tau + (2 / gamma) ln(1 + gamma / kappa)               eq. (30)

    No rounding, no clamp to the book. gamma = 0 is the limit without risk aversion: mid -+
    1 / kappa. Raises ValueError for gamma < 0, sigma < 0, kappa <= 0, time_left < 0, and for what
    is not finite, the result included.
    """
    _check_numbers(("mid", mid), ("inventory", inventory))
    _check_numbers(("gamma", gamma), ("sigma", sigma), ("time_left", time_left), low=0.0)
    _check_numbers(("kappa", kappa), above=0.0)
    cdef double skew = as_skew(gamma, sigma, time_left)
    cdef double half = 0.5 * skew + intensity_half(gamma, kappa, 1.0)
    return _around(mid - inventory * skew, half)


def glft_quotes(
    double mid, double inventory, double gamma, double sigma, double kappa, double intensity,
    double order_qty,
) -> tuple[float, float, float]:
    """(reservation price, bid, ask) of Gueant, Lehalle and Fernandez-Tapia's long-run limit.

    Closed form of Gueant 2017 eqs. (4.6)-(4.7), xi = gamma (CARA), orders of order_qty:
    reservation = mid - inventory sigma c2; half = c1 + order_qty / 2 sigma c2.

    Fills arrive at intensity * exp(-kappa * distance) a second. gamma = 0 is the limit: mid -+
    1 / kappa, no skew. Raises ValueError for gamma < 0, sigma < 0, kappa <= 0, intensity <= 0,
    order_qty <= 0, and for what is not finite, the result included.
    """
    _check_numbers(("mid", mid), ("inventory", inventory))
    _check_numbers(("gamma", gamma), ("sigma", sigma), low=0.0)
    _check_numbers(("kappa", kappa), ("intensity", intensity), ("order_qty", order_qty), above=0.0)
    cdef double skew = sigma * glft_skew(gamma, kappa, intensity, order_qty)
    cdef double half = intensity_half(gamma, kappa, order_qty) + 0.5 * skew * order_qty
    return _around(mid - inventory * skew, half)


def _check_numbers(*named, low=None, above=None) -> None:
    for name, value in named:
        if not isfinite(value):
            raise ValueError(f"Expected a finite {name}, was {value}")
        if low is not None and value < low:
            raise ValueError(f"Expected {name} >= {low:g}, was {value:g}")
        if above is not None and value <= above:
            raise ValueError(f"Expected {name} > {above:g}, was {value:g}")


def _around(double reservation, double half) -> tuple[float, float, float]:
    cdef double bid = reservation - half
    cdef double ask = reservation + half
    if not (isfinite(bid) and isfinite(ask)):
        raise ValueError("The quotes are not finite: these parameters are out of a double's range")
    return reservation, bid, ask


# -- COLD: strategies called as the core calls them, for tests, benches and research ---

class Quotes(NamedTuple):
    """What a strategy answered, and what check_target says of it (0, or -2 for nonsense)."""

    code: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    take: tuple[int, int, int, int] | None       # side, limit, quantity, reason
    hedge: tuple[int, int, int, int] | None
    check: int


def quotes_of(str name, dict view, dict params, list state=None) -> Quotes:
    """The built-in `name` called once on `view`; its state is taken from `state`, and put back.

    `view` holds fields of the C struct View by name, what it lacks is 0: levels ("bids", "asks")
    as lists of (px_ticks, qty_lots), "ref_bid" and "ref_ask" as one such pair, "signals" as a
    dict. `state`: state_size numbers of the table (BUILTINS), or None for a first call.
    Raises ValueError for an unknown name, field or parameter.
    """
    cdef View seen
    cdef Target target
    cdef double[PARAMS_MAX] values
    cdef double[STATE_MAX] kept
    cdef strategy_fn function = find_builtin(name)
    size = BUILTINS[name].state_size
    _fill_view(&seen, view)
    memset(kept, 0, sizeof(kept))
    for i, value in enumerate(builtin_params(name, params)):
        values[i] = value
    if state is not None:
        if len(state) != size:
            raise ValueError(f"Expected {size} numbers of state for {name}, was {len(state)}")
        for i in range(size):
            kept[i] = state[i]
    clear_target(&target)
    code = function(&seen, values, kept, &target)
    if state is not None:
        for i in range(size):
            state[i] = kept[i]
    return Quotes(
        code,
        [(target.bids[i].px_ticks, target.bids[i].qty_lots) for i in range(target.bid_count)],
        [(target.asks[i].px_ticks, target.asks[i].qty_lots) for i in range(target.ask_count)],
        (target.take_side, target.take_px_ticks, target.take_qty_lots, target.take_reason)
        if target.take_qty_lots else None,
        (target.hedge_side, target.hedge_px_ticks, target.hedge_qty_lots, target.hedge_reason)
        if target.hedge_qty_lots else None,
        check_target(&target, &seen),
    )


def repeat_calls(str name, dict view, dict params, int64_t count) -> int:
    """`count` calls in a row without the GIL, as the core makes them, for a bench to time.

    The price moves by a tick each time, position and time too. Returns the number of calls that
    quoted and passed check_target.
    """
    cdef View seen
    cdef Target target
    cdef double[PARAMS_MAX] values
    cdef double[STATE_MAX] kept
    cdef strategy_fn function = find_builtin(name)
    cdef int64_t i, quoted = 0
    cdef int step
    _fill_view(&seen, view)
    memset(kept, 0, sizeof(kept))
    for index, value in enumerate(builtin_params(name, params)):
        values[index] = value
    clear_target(&target)
    with nogil:
        for i in range(count):
            step = 1 - 2 * (i & 1)
            seen.bids[0].px_ticks += step
            seen.asks[0].px_ticks += step
            seen.signals.microprice_ticks += step
            seen.position_lots += step
            seen.now_ns += 1000
            target.bid_count = target.ask_count = 0
            target.take_qty_lots = target.hedge_qty_lots = 0
            if function(&seen, values, kept, &target) == STRATEGY_QUOTE:
                quoted += check_target(&target, &seen) == OK
    return quoted


def target_code(list bids, list asks, tuple take=(0, 0, 0), tuple hedge=(0, 0, 0)) -> int:
    """check_target on a Target of these levels, take and hedge (side, limit, quantity, and
    reason where that is not 0)."""
    cdef View seen
    cdef Target target
    clear_target(&target)
    memset(&seen, 0, sizeof(View))
    _fill_levels(target.bids, bids, TARGET_LEVELS, "bids")
    _fill_levels(target.asks, asks, TARGET_LEVELS, "asks")
    target.bid_count, target.ask_count = len(bids), len(asks)
    target.take_side, target.take_px_ticks, target.take_qty_lots = take[:3]
    target.take_reason = sum(take[3:])
    target.hedge_side, target.hedge_px_ticks, target.hedge_qty_lots = hedge[:3]
    target.hedge_reason = sum(hedge[3:])
    return check_target(&target, &seen)


cdef int _fill_view(View* view, dict given) except -1:
    """Scalars and signals by way of Cython's dict of a struct, so that new fields need nothing."""
    memset(view, 0, sizeof(View))
    cdef dict fields = view[0]
    for key in given:
        if key not in fields or key in ("own_bids", "own_asks", "version", "size"):
            raise ValueError(f"Unknown field {key!r} of a view")
    for key in fields["signals"].keys() ^ given.get("signals", {}).keys():
        if key not in fields["signals"]:
            raise ValueError(f"Unknown signal {key!r} of a view")
    levels = {key: given.get(key, []) for key in ("bids", "asks")}
    fields.update({key: value for key, value in given.items() if key not in levels})
    fields["signals"] = {**(<dict>view[0])["signals"], **given.get("signals", {})}
    for key in ("ref_bid", "ref_ask"):
        if key in given:
            fields[key] = {"px_ticks": given[key][0], "qty_lots": given[key][1]}
    view[0] = fields
    view.version = VIEW_VERSION
    view.size = sizeof(View)
    _fill_levels(view.bids, levels["bids"], VIEW_LEVELS, "bids")
    _fill_levels(view.asks, levels["asks"], VIEW_LEVELS, "asks")
    view.bid_count, view.ask_count = len(levels["bids"]), len(levels["asks"])
    return 0


cdef int _fill_levels(Level* levels, list given, int count_max, str name) except -1:
    if len(given) > count_max:
        raise ValueError(f"Expected at most {count_max} {name}, was {len(given)}")
    for i, (px_ticks, qty_lots) in enumerate(given):
        levels[i].px_ticks, levels[i].qty_lots = px_ticks, qty_lots
    return 0
