# cython: language_level=3
"""The strategy ABI (View in, Target out) and the built-in strategies; see strategy.pyx."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastcore.signals cimport SignalValues
from fastcore.types cimport TARGET_LEVELS, VIEW_LEVELS, Level, ns_t, px_t, qty_t

cdef enum:
    VIEW_VERSION = 1
    PARAMS_MAX = 32
    STATE_MAX = 32             # doubles that a strategy may keep between calls
    STRATEGY_STAND_ASIDE = 0
    STRATEGY_QUOTE = 1

cdef struct View:              # what a strategy sees; read-only to it
    int32_t version
    int32_t size               # bytes of this struct, for a strategy compiled against another one
    ns_t now_ns
    Level bids[VIEW_LEVELS]    # best first, bid_count of them: as many as the strategy declares
    Level asks[VIEW_LEVELS]
    int32_t bid_count
    int32_t ask_count
    SignalValues signals       # only those the strategy declares are computed
    qty_t position_lots        # signed
    int64_t cash_ticks_lots
    px_t own_bid_px_ticks      # best own live quote a side, 0: none
    qty_t own_bid_leaves_lots
    px_t own_ask_px_ticks
    qty_t own_ask_leaves_lots

cdef struct Target:            # what a strategy wants; preset to nothing
    int32_t bid_count
    int32_t ask_count
    Level bids[TARGET_LEVELS]
    Level asks[TARGET_LEVELS]
    uint64_t guard             # overwritten: the strategy wrote out of bounds

cdef enum:
    TARGET_GUARD = 0x7A5C3E19

ctypedef int32_t (*strategy_fn)(const View* view, const double* params, double* state,
                                Target* target) noexcept nogil

cdef strategy_fn find_builtin(str name) except *
cdef void clear_target(Target* target) noexcept nogil
cdef int check_target(const Target* target, const View* view) noexcept nogil
