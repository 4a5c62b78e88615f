# cython: language_level=3
"""What all agents of one market share; see floor.pyx."""
from libc.stdint cimport int32_t, int64_t

from engine.exchange.agents.dice cimport Dice
from engine.exchange.market_log cimport MarketLog
from fastcore.limit_book cimport LimitBook
from fastcore.types cimport ns_t, px_t, qty_t, seq_t

cdef enum:
    KERNELS = 3

cdef enum:
    SHOCK_JUMP = 0
    SHOCK_SPREAD = 1
    SHOCK_SIDE = 2
    SHOCKS = 3

cdef enum:                     # accounts; makers are FIRST_MAKER and below
    NOISE = -1
    INFORMED = -2
    MOMENTUM = -3
    FIRST_MAKER = -4
    MAKERS_MAX = 12            # AGENTS_MAX of market_log has room for no more

cdef struct Settings:          # AgentSettings, in C
    double sigma_ticks
    double reach_ticks
    double taker_lots
    double maker_lots
    int64_t lots_max
    double patience_ticks
    double take_rate
    double quote_rate
    double make_rate
    double react_rate
    double kernel_tau[KERNELS]
    double kernel_branching[KERNELS]
    double news_rate
    double news_sigmas
    double vol_tau[2]
    double vol_sigma[2]
    double reversion_tau
    int64_t levels_min
    int64_t orders_count
    int64_t maker_count


cdef class Floor:
    cdef readonly MarketLog log
    cdef LimitBook book
    cdef Dice dice
    cdef Settings settings
    cdef readonly double fair_ticks
    cdef readonly ns_t now_ns                  # UTC
    cdef double start_ticks
    cdef double px_max
    cdef seq_t last_id
    # Shocks. Each kind ends by itself; 0: it does not last.
    cdef double jump_ticks                     # that fair value comes back from
    cdef double keep_ticks                     # quotes keep so far from fair value
    cdef int empty_side                        # -1: none
    cdef ns_t until_ns[SHOCKS]
    cdef ns_t calm_ns                          # the earliest of them

    cdef seq_t quote(self, int side, double px_ticks, qty_t qty_lots,
                     int32_t account) noexcept nogil
    cdef void take(self, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests) noexcept nogil
    cdef bint cancel(self, seq_t order_id) noexcept nogil
    cdef void cancel_worst(self, int side) noexcept nogil
    cdef void sweep(self) noexcept nogil
    cdef qty_t lots(self, double median) noexcept nogil
    cdef bint may_quote(self, int side) noexcept nogil
    cdef bint is_stale(self, int side) noexcept nogil
    cdef bint is_wide(self) noexcept nogil
    cdef void open(self) noexcept nogil
    cdef void calm(self) noexcept nogil
    cdef void pause(self, ns_t for_ns) noexcept nogil
    cdef void _find_calm(self) noexcept nogil
