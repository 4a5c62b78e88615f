# cython: language_level=3
"""The strategy ABI shown to Python: where every field lies, and calls through an address.

A user's strategy is machine code that reads View and writes Target by offset. Types and offsets
here are those of the compiled structs themselves, so an array of views laid out by them *is* what
the core passes (fastcore/user/abi.py builds its dtypes from it). The calls below run the same code
as the core does, on memory of the caller's: for research, tests and the bench.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from fastcore.signals cimport SignalValues
from fastcore.strategy cimport (
    PARAMS_MAX, STATE_MAX, STRATEGY_FAILED, STRATEGY_QUOTE, STRATEGY_STAND_ASIDE, TARGET_GUARD,
    VIEW_VERSION, OwnQuote, Target, View, check_target, clear_target, find_builtin, strategy_fn,
)
from fastcore.types cimport OK, SIDE_BUY, SIDE_SELL, TARGET_LEVELS, VIEW_LEVELS, Level

CONSTANTS = {
    "VIEW_VERSION": VIEW_VERSION, "VIEW_LEVELS": VIEW_LEVELS, "TARGET_LEVELS": TARGET_LEVELS,
    "PARAMS_MAX": PARAMS_MAX, "STATE_MAX": STATE_MAX, "TARGET_GUARD": TARGET_GUARD,
    "STAND_ASIDE": STRATEGY_STAND_ASIDE, "QUOTE": STRATEGY_QUOTE, "FAILED": STRATEGY_FAILED,
    "BUY": SIDE_BUY, "SELL": SIDE_SELL,
}
cdef double STATE_GUARD = -7.0e300


def abi_layout() -> dict[str, tuple[int, list[tuple[str, str, int, int]]]]:
    """struct -> (size, [(field, C type, offset, size), ...]); arrays read `Level[10]`."""
    return {
        "Level": (sizeof(Level), _level()), "OwnQuote": (sizeof(OwnQuote), _own_quote()),
        "SignalValues": (sizeof(SignalValues), _signals()),
        "View": (sizeof(View), _view()), "Target": (sizeof(Target), _target()),
    }


def abi_names() -> dict[str, list[str]]:
    """Every struct's fields as the compiler knows them, to hold abi_layout() against."""
    cdef Level level
    cdef OwnQuote own
    cdef SignalValues values
    cdef View view
    cdef Target target
    memset(&level, 0, sizeof(Level))
    memset(&own, 0, sizeof(OwnQuote))
    memset(&values, 0, sizeof(SignalValues))
    memset(&view, 0, sizeof(View))
    memset(&target, 0, sizeof(Target))
    return {
        "Level": list(dict(level)), "OwnQuote": list(dict(own)),
        "SignalValues": list(dict(values)), "View": list(dict(view)),
        "Target": list(dict(target)),
    }


def builtin_address(str name) -> int:
    """Address of a built-in strategy, to call it as a user's is called."""
    return <size_t><void*>find_builtin(name)


def call_rows(
    size_t address, const uint8_t[::1] views not None, const double[::1] params not None,
    double[::1] state not None, uint8_t[::1] targets not None, int32_t[::1] codes not None,
) -> None:
    """Call `address` once a view, in order, as the core does: Target cleared before, params and
    state copied in and out, what check_target refuses counted as FAILED and cleared.

    views and targets are the bytes of as many structs as `codes` has rows; ValueError otherwise.
    RuntimeError when the strategy wrote beside its state.
    """
    cdef int64_t i, rows = codes.shape[0]
    cdef double[PARAMS_MAX] values
    cdef double[STATE_MAX + 2] kept
    cdef strategy_fn function = <strategy_fn><void*>address
    cdef View view
    cdef Target target
    _check(address, views.shape[0], rows * sizeof(View), "bytes of views")
    _check(address, targets.shape[0], rows * sizeof(Target), "bytes of targets")
    if params.shape[0] > PARAMS_MAX or state.shape[0] > STATE_MAX:
        raise ValueError(f"Expected at most {PARAMS_MAX} params and {STATE_MAX} of state, was "
                         f"{params.shape[0]}, {state.shape[0]}")
    memset(values, 0, sizeof(values))
    for i in range(params.shape[0]):
        values[i] = params[i]
    kept[0] = kept[state.shape[0] + 1] = STATE_GUARD
    for i in range(state.shape[0]):
        kept[i + 1] = state[i]
    with nogil:
        for i in range(rows):
            memcpy(&view, &views[i * sizeof(View)], sizeof(View))
            codes[i] = _call(function, &view, values, kept + 1, &target)
            memcpy(&targets[i * sizeof(Target)], &target, sizeof(Target))
    if kept[0] != STATE_GUARD or kept[state.shape[0] + 1] != STATE_GUARD:
        raise RuntimeError("The strategy wrote outside its state")
    for i in range(state.shape[0]):
        state[i] = kept[i + 1]


def call_again(
    size_t address, const uint8_t[::1] view not None, const double[::1] params not None,
    double[::1] state not None, int64_t times,
) -> int:
    """Call `address` `times` over on one view, nothing else in the loop; the last code. For the
    bench: the caller has the clock."""
    cdef int64_t _i
    cdef int32_t code = STRATEGY_STAND_ASIDE
    cdef strategy_fn function = <strategy_fn><void*>address
    cdef Target target
    _check(address, view.shape[0], sizeof(View), "bytes of a view")
    if params.shape[0] < PARAMS_MAX or state.shape[0] < STATE_MAX:
        raise ValueError(f"Expected room for {PARAMS_MAX} params and {STATE_MAX} of state, was "
                         f"{params.shape[0]}, {state.shape[0]}")
    clear_target(&target)
    with nogil:
        for _i in range(times):
            target.bid_count = target.ask_count = 0
            code = function(<const View*>&view[0], &params[0], &state[0], &target)
    return code


cdef int32_t _call(strategy_fn function, const View* view, const double* params, double* state,
                   Target* target) noexcept nogil:
    """One call as core.pyx makes it."""
    cdef int32_t code
    clear_target(target)
    code = function(view, params, state, target)
    if code == STRATEGY_QUOTE and check_target(target, view) != OK:
        code = STRATEGY_FAILED
    if code != STRATEGY_QUOTE:
        clear_target(target)
    return code


# -- COLD ---

cdef int _check(size_t address, int64_t size, int64_t expected, str what) except -1:
    if address == 0:
        raise ValueError("Expected a function's address, was 0")
    if size != expected:
        raise ValueError(f"Expected {expected} {what}, was {size}")
    return 0


def _level():
    cdef Level* s = NULL
    return [
        ("px_ticks", cython.typeof(s.px_ticks), <size_t>&s.px_ticks, sizeof(s.px_ticks)),
        ("qty_lots", cython.typeof(s.qty_lots), <size_t>&s.qty_lots, sizeof(s.qty_lots)),
    ]


def _own_quote():
    cdef OwnQuote* s = NULL
    return [
        ("px_ticks", cython.typeof(s.px_ticks), <size_t>&s.px_ticks, sizeof(s.px_ticks)),
        ("leaves_lots", cython.typeof(s.leaves_lots), <size_t>&s.leaves_lots,
         sizeof(s.leaves_lots)),
        ("ahead_lots", cython.typeof(s.ahead_lots), <size_t>&s.ahead_lots, sizeof(s.ahead_lots)),
    ]


def _view():
    cdef View* s = NULL
    return [
        ("version", cython.typeof(s.version), <size_t>&s.version, sizeof(s.version)),
        ("size", cython.typeof(s.size), <size_t>&s.size, sizeof(s.size)),
        ("now_ns", cython.typeof(s.now_ns), <size_t>&s.now_ns, sizeof(s.now_ns)),
        ("bids", cython.typeof(s.bids), <size_t>&s.bids, sizeof(s.bids)),
        ("asks", cython.typeof(s.asks), <size_t>&s.asks, sizeof(s.asks)),
        ("bid_count", cython.typeof(s.bid_count), <size_t>&s.bid_count, sizeof(s.bid_count)),
        ("ask_count", cython.typeof(s.ask_count), <size_t>&s.ask_count, sizeof(s.ask_count)),
        ("signals", cython.typeof(s.signals), <size_t>&s.signals, sizeof(s.signals)),
        ("position_lots", cython.typeof(s.position_lots), <size_t>&s.position_lots,
         sizeof(s.position_lots)),
        ("cash_ticks_lots", cython.typeof(s.cash_ticks_lots), <size_t>&s.cash_ticks_lots,
         sizeof(s.cash_ticks_lots)),
        ("entry_px_ticks", cython.typeof(s.entry_px_ticks), <size_t>&s.entry_px_ticks,
         sizeof(s.entry_px_ticks)),
        ("entry_ns", cython.typeof(s.entry_ns), <size_t>&s.entry_ns, sizeof(s.entry_ns)),
        ("realised_ticks_lots", cython.typeof(s.realised_ticks_lots),
         <size_t>&s.realised_ticks_lots,
         sizeof(s.realised_ticks_lots)),
        ("unrealised_ticks_lots", cython.typeof(s.unrealised_ticks_lots),
         <size_t>&s.unrealised_ticks_lots,
         sizeof(s.unrealised_ticks_lots)),
        ("maker_fee_ticks", cython.typeof(s.maker_fee_ticks), <size_t>&s.maker_fee_ticks,
         sizeof(s.maker_fee_ticks)),
        ("taker_fee_ticks", cython.typeof(s.taker_fee_ticks), <size_t>&s.taker_fee_ticks,
         sizeof(s.taker_fee_ticks)),
        ("own_bid_count", cython.typeof(s.own_bid_count), <size_t>&s.own_bid_count,
         sizeof(s.own_bid_count)),
        ("own_ask_count", cython.typeof(s.own_ask_count), <size_t>&s.own_ask_count,
         sizeof(s.own_ask_count)),
        ("own_bids", cython.typeof(s.own_bids), <size_t>&s.own_bids, sizeof(s.own_bids)),
        ("own_asks", cython.typeof(s.own_asks), <size_t>&s.own_asks, sizeof(s.own_asks)),
        ("ref_bid", cython.typeof(s.ref_bid), <size_t>&s.ref_bid, sizeof(s.ref_bid)),
        ("ref_ask", cython.typeof(s.ref_ask), <size_t>&s.ref_ask, sizeof(s.ref_ask)),
        ("ref_position_lots", cython.typeof(s.ref_position_lots), <size_t>&s.ref_position_lots,
         sizeof(s.ref_position_lots)),
        ("ref_open_lots", cython.typeof(s.ref_open_lots), <size_t>&s.ref_open_lots,
         sizeof(s.ref_open_lots)),
        ("ref_lots_per_lot", cython.typeof(s.ref_lots_per_lot), <size_t>&s.ref_lots_per_lot,
         sizeof(s.ref_lots_per_lot)),
        ("score", cython.typeof(s.score), <size_t>&s.score, sizeof(s.score)),
    ]


def _target():
    cdef Target* s = NULL
    return [
        ("bid_count", cython.typeof(s.bid_count), <size_t>&s.bid_count, sizeof(s.bid_count)),
        ("ask_count", cython.typeof(s.ask_count), <size_t>&s.ask_count, sizeof(s.ask_count)),
        ("bids", cython.typeof(s.bids), <size_t>&s.bids, sizeof(s.bids)),
        ("asks", cython.typeof(s.asks), <size_t>&s.asks, sizeof(s.asks)),
        ("take_side", cython.typeof(s.take_side), <size_t>&s.take_side, sizeof(s.take_side)),
        ("take_reason", cython.typeof(s.take_reason), <size_t>&s.take_reason,
         sizeof(s.take_reason)),
        ("take_px_ticks", cython.typeof(s.take_px_ticks), <size_t>&s.take_px_ticks,
         sizeof(s.take_px_ticks)),
        ("take_qty_lots", cython.typeof(s.take_qty_lots), <size_t>&s.take_qty_lots,
         sizeof(s.take_qty_lots)),
        ("hedge_side", cython.typeof(s.hedge_side), <size_t>&s.hedge_side, sizeof(s.hedge_side)),
        ("hedge_reason", cython.typeof(s.hedge_reason), <size_t>&s.hedge_reason,
         sizeof(s.hedge_reason)),
        ("hedge_px_ticks", cython.typeof(s.hedge_px_ticks), <size_t>&s.hedge_px_ticks,
         sizeof(s.hedge_px_ticks)),
        ("hedge_qty_lots", cython.typeof(s.hedge_qty_lots), <size_t>&s.hedge_qty_lots,
         sizeof(s.hedge_qty_lots)),
        ("guard", cython.typeof(s.guard), <size_t>&s.guard, sizeof(s.guard)),
    ]


def _signals():
    """All doubles (a test says so), in the struct's own order: what is appended appears here."""
    cdef SignalValues values
    memset(&values, 0, sizeof(SignalValues))
    return [
        (name, "double", index * sizeof(double), sizeof(double))
        for index, name in enumerate(dict(values))
    ]
