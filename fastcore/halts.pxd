# cython: language_level=3
"""The state word: reasons in force, as bits; see halts.pyx."""
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t

from fastcore.types cimport ns_t, px_t, qty_t

cdef enum:
    WINDOW_MAX = 4096          # spreads that a median may look back on
    FILLS_MAX = 4096           # fills that a limit may count
    SPREAD_BINS = 1664         # exact to 127 ticks, then 64 bins an octave, to 2^31 - 1
    BIN_WORDS = 26

cdef struct FillRing:          # times of the newest fills; limit 0: not counted
    ns_t filled_ns[FILLS_MAX + 1]
    int64_t count
    int64_t limit
    ns_t window_ns

cdef struct SpreadMedian:      # lower median of the last `size` spreads
    int32_t below              # spreads in the bins under `at`
    int32_t at                 # the median's bin
    int32_t size
    int64_t count              # ever taken
    uint64_t filled[BIN_WORDS] # bit: the bin holds a spread
    int16_t bins[SPREAD_BINS]
    int16_t ring[WINDOW_MAX]   # bins of the last spreads


cdef class Halts:
    cdef readonly uint32_t bits        # read before every send; 0: RUNNING
    cdef ns_t feed_stale_after_ns
    cdef ns_t feed_clear_after_ns
    cdef ns_t rate_limit_until_ns
    cdef ns_t _last_market_ns
    cdef ns_t _fresh_since_ns
    cdef readonly int64_t nonsense_count
    cdef int64_t nonsense_max
    cdef int64_t spread_factor_e3      # 0: off
    cdef int64_t spread_ticks_max      # 0: off
    cdef int64_t spread_updates_min    # 0: off
    cdef ns_t spread_ns_min            # 0: off
    cdef ns_t spread_clear_ns
    cdef ns_t spread_sample_ns         # 0: every touch
    cdef ns_t _next_sample_ns
    cdef int64_t _spread_ticks         # of the last touch; 0: it was none
    cdef int64_t _wide_count           # touches in a row
    cdef ns_t _wide_since_ns           # -1: the last touch was not wide
    cdef ns_t _calm_since_ns           # -1: the last touch was wide or none
    cdef double vpin_max               # 0.0: off
    cdef double vpin_clear
    cdef int _side                     # of the last fill
    cdef ns_t _last_fill_ns
    cdef SpreadMedian _median
    cdef FillRing _fills
    cdef FillRing _one_sided

    cpdef void set(self, uint32_t reason) noexcept nogil
    cpdef void clear(self, uint32_t reason) noexcept nogil
    cpdef void on_market(self, ns_t now_ns) noexcept nogil
    cpdef void on_touch(self, px_t bid_px_ticks, px_t ask_px_ticks, ns_t now_ns) noexcept nogil
    cpdef void on_vpin(self, double vpin, ns_t now_ns) noexcept nogil
    cpdef void on_fill(self, int side, qty_t qty_lots, ns_t now_ns) noexcept nogil
    cpdef void on_timer(self, ns_t now_ns) noexcept nogil
    cpdef void on_rate_limit(self, ns_t until_ns) noexcept nogil
    cpdef void on_nonsense(self) noexcept nogil
    cpdef void on_resume(self) noexcept nogil
    cpdef int64_t median_ticks(self) noexcept nogil    # of the spread; -1: not yet known
    cdef bint _is_wide(self, int64_t spread_ticks) noexcept nogil
    cdef void _sample_spread(self, ns_t now_ns) noexcept nogil
    cdef void _look_at_spread(self, ns_t now_ns) noexcept nogil
