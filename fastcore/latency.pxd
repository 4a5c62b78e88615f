# cython: language_level=3
"""Latency histograms and the stage clock; see latency.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
cimport cython

from fastcore.check cimport fc_unlikely

ctypedef uint64_t (*tick_fn)() noexcept nogil      # a counter that only grows: TSC, or ns

cdef enum:                     # stages of one tick, in the order in which the core passes them
    STAGE_DECODE = 0
    STAGE_BOOK = 1
    STAGE_SIGNALS = 2
    STAGE_STRATEGY = 3
    STAGE_DIFF_GATE = 4
    STAGE_ENCODE = 5
    STAGE_COUNT = 6

cdef enum:                     # HDR layout of (lowest 1, highest 60e9, 3 significant digits)
    HIST_SUB_BUCKET_BITS = 11              # 2048 >= 2 * 10^3: within 0.1 %
    HIST_HALF_BITS = 10
    HIST_HALF_COUNT = 1024
    HIST_BUCKET_COUNT = 26                 # 2048 << 25 > 60e9
    HIST_COUNTS_COUNT = 27648              # (26 + 1) * 1024

cdef extern from *:
    """
    #define FC_HIST_HIGHEST_NS 60000000000LL
    """
    const int64_t HIST_HIGHEST_NS "FC_HIST_HIGHEST_NS"     # 60 s: past it, clamped and counted
    int __builtin_clzll(uint64_t word) noexcept nogil

cdef struct HistogramState:    # plain C, so that nogil code can hold many
    int64_t count              # values recorded
    int64_t max_ns             # 0 when empty
    int64_t min_ns             # HIST_HIGHEST_NS when empty
    int64_t over_range         # recorded as HIST_HIGHEST_NS
    int64_t negative           # recorded as 0
    int64_t* counts            # HIST_COUNTS_COUNT of them


cdef inline int64_t hist_index(int64_t ns) noexcept nogil:
    """Where a value of 0 to HIST_HIGHEST_NS is counted. One count-leading-zeros, two shifts."""
    cdef int bucket = (
        64 - HIST_SUB_BUCKET_BITS
        - __builtin_clzll(<uint64_t> ns | ((1 << HIST_SUB_BUCKET_BITS) - 1)))
    return (<int64_t> bucket << HIST_HALF_BITS) + (ns >> bucket)


cdef inline int64_t hist_clamp(HistogramState* state, int64_t ns) noexcept nogil:
    """Bring a value that is out of range into it, and count that."""
    if ns < 0:
        state.negative += 1
        return 0
    state.over_range += 1
    return HIST_HIGHEST_NS


cdef inline void hist_record(HistogramState* state, int64_t ns) noexcept nogil:
    """Count one value. O(1), 1.4 ns, never fails: what is out of range is clamped and counted."""
    if fc_unlikely(<uint64_t> ns > <uint64_t> HIST_HIGHEST_NS):   # a negative one wraps: past it
        ns = hist_clamp(state, ns)
    state.counts[hist_index(ns)] += 1
    state.count += 1
    if ns > state.max_ns:
        state.max_ns = ns
    if ns < state.min_ns:
        state.min_ns = ns


cdef int64_t hist_percentile(const HistogramState* state, double percent) noexcept nogil


@cython.final
cdef class Histogram:
    cdef HistogramState state
    cpdef void record(self, int64_t ns) noexcept nogil
    cpdef int64_t percentile(self, double percent) noexcept nogil
    cpdef void reset(self) noexcept nogil


@cython.final
cdef class StageClock:
    cdef tick_fn _tick                     # NULL: off
    cdef uint32_t _marked                  # bit n: stage n was marked since begin()
    cdef uint64_t _last_tick
    cdef double _ns_per_tick
    cdef int64_t[STAGE_COUNT] _ticks       # since begin(), per stage
    cdef HistogramState* _states[STAGE_COUNT]      # of _histograms, which own them
    cdef tuple _histograms
    cdef object _capsule                   # keeps the owner of _tick alive
    cdef void begin(self) noexcept nogil
    cdef void mark(self, int stage) noexcept nogil
    cdef void flush(self) noexcept nogil
