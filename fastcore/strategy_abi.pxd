# cython: language_level=3
"""The strategy ABI: what a strategy sees (View), what it may want (Target), how it is called.

Declarations only, beneath every strategy; other rooms cimport them from fastcore.strategy.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastcore.signals cimport SignalValues
from fastcore.types cimport TARGET_LEVELS, VIEW_LEVELS, Level, ns_t, px_t, qty_t

cdef enum:
    VIEW_VERSION = 2
    PARAMS_MAX = 32
    STATE_MAX = 32             # doubles that a strategy may keep between calls
    STRATEGY_STAND_ASIDE = 0
    STRATEGY_QUOTE = 1
    STRATEGY_FAILED = -1       # it raised: counted as nonsense
    STRATEGY_NOT_WARM = 2      # stands aside: a signal that it lives on has no value yet

cdef struct OwnQuote:          # one live order of ours
    px_t px_ticks
    qty_t leaves_lots
    qty_t ahead_lots           # estimated queue in front of it; -1: unknown

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
    double entry_px_ticks      # average entry of the open position; 0.0: flat
    ns_t entry_ns              # when the position last left zero or changed sign; 0: flat
    double realised_ticks_lots     # before fees
    double unrealised_ticks_lots   # at the mid
    double maker_fee_ticks     # of one lot at the mid; negative: a rebate
    double taker_fee_ticks
    int32_t own_bid_count      # live orders a side, best first
    int32_t own_ask_count
    OwnQuote own_bids[TARGET_LEVELS]
    OwnQuote own_asks[TARGET_LEVELS]
    Level ref_bid              # touch of the reference leg; qty 0: none, or its book is unusable
    Level ref_ask
    qty_t ref_position_lots
    qty_t ref_open_lots        # of hedges whose fate is open, signed
    double ref_lots_per_lot    # hedge lots that offset one of ours, at equal value or as configured
    double score               # a learned score; 0.0: none

cdef struct Target:            # what a strategy wants; preset to nothing
    int32_t bid_count
    int32_t ask_count
    Level bids[TARGET_LEVELS]
    Level asks[TARGET_LEVELS]
    int32_t take_side          # SIDE_*: an immediate-or-cancel order on this instrument
    int32_t take_reason        # the strategy's own number, kept in the journal
    px_t take_px_ticks         # limit
    qty_t take_qty_lots        # 0: no take
    int32_t hedge_side         # the same on the reference leg
    int32_t hedge_reason
    px_t hedge_px_ticks
    qty_t hedge_qty_lots       # 0: no hedge
    uint64_t guard             # overwritten: the strategy wrote out of bounds

cdef enum:
    TARGET_GUARD = 0x7A5C3E19

ctypedef int32_t (*strategy_fn)(const View* view, const double* params, double* state,
                                Target* target) noexcept nogil
