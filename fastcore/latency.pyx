# cython: language_level=3
# cython: auto_pickle=False
"""Latency histograms with the HDR layout, and a clock for the core's stages that owns no clock.

Layout (HdrHistogram with lowest 1 ns, highest 60 s, 3 significant digits): values below 2048 have
a counter each; from there each doubling of the range has 1024 counters, so a counter's width is
at most 1/1024 of its value. 27,648 counters of 8 bytes, allocated once:

    bucket = max(0, bit length of v - 11)      index = bucket * 1024 + (v >> bucket)
    lowest value of a counter = sub << bucket  highest = ((sub + 1) << bucket) - 1

Percentile p of n values: rank = max(1, int(p / 100 * n + 0.5)), answer = highest value of the
counter that holds that rank (lowest for p = 0). So counters and answers equal those of the
`hdrhistogram` package, whose `record_value` costs hundreds of nanoseconds and ours two.

The stage clock reads time through a pointer that the edge injects (fastcore has no clock), and
only into histograms that no decision of the core reads: replay with it off gives the same bytes.
"""
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
cimport cython

from enum import IntEnum
from math import isfinite

from fastcore.check cimport FC_DCHECK, fc_likely

TICK_CAPSULE = "tickmaker.tick"    # name of the capsule that holds a `uint64_t (*)(void)`


class Stage(IntEnum):
    """Stages of one tick, in the order in which the core passes them."""

    DECODE = STAGE_DECODE
    BOOK = STAGE_BOOK
    SIGNALS = STAGE_SIGNALS
    STRATEGY = STAGE_STRATEGY
    DIFF_GATE = STAGE_DIFF_GATE
    ENCODE = STAGE_ENCODE


# -- HISTOGRAM ---

cdef inline int64_t _lowest_ns(int64_t index) noexcept nogil:
    """Lowest value that is counted at `index`; the highest is one below that of index + 1."""
    cdef int64_t bucket = (index >> HIST_HALF_BITS) - 1
    if bucket < 0:
        return index
    return ((index & (HIST_HALF_COUNT - 1)) + HIST_HALF_COUNT) << bucket


cdef int64_t hist_percentile(const HistogramState* state, double percent) noexcept nogil:
    """Value in ns at `percent` (0 to 100; what is outside is clamped, NaN is 0); 0 when empty.

    O(counters between the least and the greatest value recorded): cold.
    """
    cdef int64_t rank, index, last, seen = 0
    if state.count == 0:
        return 0
    if not percent > 0.0:
        return _lowest_ns(hist_index(state.min_ns))
    if percent > 100.0:
        percent = 100.0
    rank = <int64_t> (percent * <double> state.count / 100.0 + 0.5)
    if rank < 1:
        rank = 1
    last = hist_index(state.max_ns)
    for index in range(hist_index(state.min_ns), last + 1):
        seen += state.counts[index]
        if seen >= rank:
            return _lowest_ns(index + 1) - 1
    FC_DCHECK(False)           # the counters hold `count` values, and rank <= count
    return _lowest_ns(last + 1) - 1


@cython.final
@cython.no_gc
cdef class Histogram:
    """Counts of nanosecond values, 0 to 60 s, each kept within 0.1 %. 221 KB.

    A value past 60 s is recorded as 60 s and counted in `over_range`; one below 0 is recorded as 0
    and counted in `negative`. Nothing is lost without a trace.
    """

    def __cinit__(self):
        self.state.counts = <int64_t*> PyMem_Calloc(HIST_COUNTS_COUNT, sizeof(int64_t))
        if self.state.counts == NULL:
            raise MemoryError
        self.state.min_ns = HIST_HIGHEST_NS

    def __dealloc__(self):
        PyMem_Free(self.state.counts)

    cpdef void record(self, int64_t ns) noexcept nogil:
        """Count one value. O(1)."""
        hist_record(&self.state, ns)

    cpdef int64_t percentile(self, double percent) noexcept nogil:
        """Value in ns at `percent`, 0 to 100 (clamped to that); 0 when empty. Cold."""
        return hist_percentile(&self.state, percent)

    cpdef void reset(self) noexcept nogil:
        """Forget every value: writes the counters between the least and the greatest."""
        cdef int64_t first
        if self.state.count > 0:
            first = hist_index(self.state.min_ns)
            memset(self.state.counts + first, 0, <size_t> (
                hist_index(self.state.max_ns) + 1 - first) * sizeof(int64_t))
        self.state.count = 0
        self.state.max_ns = 0
        self.state.min_ns = HIST_HIGHEST_NS
        self.state.over_range = 0
        self.state.negative = 0

    # -- PYTHON, COLD ---

    @property
    def count(self) -> int:
        """Values recorded, clamped ones included."""
        return self.state.count

    @property
    def max_ns(self) -> int:
        """Greatest value recorded, exact (after clamping); 0 when empty."""
        return self.state.max_ns

    @property
    def min_ns(self) -> int:
        """Least value recorded, exact (after clamping); 0 when empty."""
        return self.state.min_ns if self.state.count else 0

    @property
    def over_range(self) -> int:
        """Values that were past 60 s."""
        return self.state.over_range

    @property
    def negative(self) -> int:
        """Values that were below 0."""
        return self.state.negative

    def counts(self) -> list:
        """Every counter by index, 27,648 integers, in HdrHistogram's order."""
        cdef int64_t i
        return [self.state.counts[i] for i in range(HIST_COUNTS_COUNT)]

    def merge(self, Histogram other not None) -> None:
        """Add every value of `other`: O(counters between the least and the greatest of them)."""
        cdef int64_t i
        if other.state.count == 0:
            return
        for i in range(hist_index(other.state.min_ns), hist_index(other.state.max_ns) + 1):
            self.state.counts[i] += other.state.counts[i]
        self.state.max_ns = max(self.state.max_ns, other.state.max_ns)
        self.state.min_ns = min(self.state.min_ns, other.state.min_ns)
        self.state.count += other.state.count
        self.state.over_range += other.state.over_range
        self.state.negative += other.state.negative

    def summary(self) -> dict:
        """{p50_us, p99_us, p999_us, max_us: float, n: int}; the floats are None when n is 0.

        max_us is exact; a percentile that its counter's width would put past it is cut to it.
        """
        cdef int64_t max_ns = self.state.max_ns
        if self.state.count == 0:
            return {"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0}
        return {
            "p50_us": min(self.percentile(50.0), max_ns) / 1e3,
            "p99_us": min(self.percentile(99.0), max_ns) / 1e3,
            "p999_us": min(self.percentile(99.9), max_ns) / 1e3,
            "max_us": max_ns / 1e3,
            "n": self.state.count,
        }

    def check(self) -> None:
        """AssertionError when the counters and the totals disagree."""
        counts = self.counts()
        used = [index for index, count in enumerate(counts) if count]
        if min(counts) < 0 or sum(counts) != self.state.count:
            raise AssertionError(f"counters hold {sum(counts)} values, count is {self.count}")
        if used and (min(used) != hist_index(self.state.min_ns)
                     or max(used) != hist_index(self.state.max_ns)):
            raise AssertionError(
                f"counters {min(used)} to {max(used)} are used, least and greatest value are "
                f"{self.min_ns} and {self.max_ns} ns")

    def repeat(self, int64_t step_ns, int64_t count) -> None:
        """Record 0, step_ns, 2 * step_ns, ... (modulo 2^17 ns, about 131 us): for benches."""
        cdef int64_t i
        with nogil:
            for i in range(count):
                hist_record(&self.state, (i * step_ns) & 0x1FFFF)

    def __repr__(self) -> str:
        return f"<Histogram {self.summary()}>"

    def __reduce__(self):
        raise TypeError("a Histogram cannot be pickled; hand on counts() or summary()")


# -- STAGE CLOCK ---

@cython.final
cdef class StageClock:
    """Time per stage of each tick of the core, one histogram a stage. Write-only for the core.

    begin(), then mark(stage) at the end of each stage, then flush(). A stage marked more than once
    is summed; one that was not marked records nothing. Without ticks each call costs one branch.

    `tick`: None (off), or a PyCapsule named "tickmaker.tick" that holds the address of a
    `uint64_t (*)(void)`, callable without the GIL, whose value only grows; `ns_per_tick` is its
    unit. Raises ValueError for another capsule or a unit that is not finite and above 0.
    """

    def __cinit__(self, tick=None, double ns_per_tick=1.0):
        cdef Histogram histogram
        cdef int stage
        self._histograms = tuple(Histogram() for _ in range(STAGE_COUNT))
        for stage in range(STAGE_COUNT):
            histogram = self._histograms[stage]
            self._states[stage] = &histogram.state
        self.set_ticks(tick, ns_per_tick)

    cdef void begin(self) noexcept nogil:
        """Start a tick: drop what was marked since the last flush."""
        cdef int stage
        if fc_likely(self._tick == NULL):
            return
        self._marked = 0
        for stage in range(STAGE_COUNT):
            self._ticks[stage] = 0
        self._last_tick = self._tick()

    cdef void mark(self, int stage) noexcept nogil:
        """`stage` ends here: it took the time since the last mark, or since begin()."""
        cdef uint64_t now_tick
        if fc_likely(self._tick == NULL):
            return
        FC_DCHECK(0 <= stage < STAGE_COUNT)
        now_tick = self._tick()
        self._ticks[stage] += <int64_t> (now_tick - self._last_tick)
        self._marked |= <uint32_t> 1 << stage
        self._last_tick = now_tick

    cdef void flush(self) noexcept nogil:
        """Record the stages marked since begin(), off the timed path. A clock that went back
        shows as `negative` in its stage's histogram."""
        cdef int stage
        cdef double ns
        if fc_likely(self._marked == 0):
            return
        for stage in range(STAGE_COUNT):
            if (self._marked >> stage) & 1:
                ns = <double> self._ticks[stage] * self._ns_per_tick
                if ns > <double> HIST_HIGHEST_NS:      # keeps the cast in range; counted as over
                    ns = <double> HIST_HIGHEST_NS + 1.0
                elif ns < 0.0:
                    ns = -1.0
                hist_record(self._states[stage], <int64_t> ns)
        self._marked = 0

    # -- PYTHON, COLD ---

    def set_ticks(self, tick, double ns_per_tick=1.0) -> None:
        """Change the source of ticks; None turns the clock off. Histograms stay as they are."""
        cdef tick_fn function = NULL
        if not (isfinite(ns_per_tick) and ns_per_tick > 0.0):
            raise ValueError(f"ns_per_tick must be finite and above 0, was {ns_per_tick}")
        if tick is not None:
            function = <tick_fn> PyCapsule_GetPointer(tick, "tickmaker.tick")
        self._tick = function
        self._capsule = tick
        self._ns_per_tick = ns_per_tick
        self._marked = 0

    @property
    def is_on(self) -> bool:
        """Whether there is a source of ticks."""
        return self._tick != NULL

    def histogram(self, int stage) -> Histogram:
        """The histogram of one Stage; IndexError for a number that is none."""
        if not 0 <= stage < STAGE_COUNT:
            raise IndexError(f"stage must be 0 to {STAGE_COUNT - 1}, was {stage}")
        return self._histograms[stage]

    def summary(self) -> dict:
        """{stage name: Histogram.summary()}, in the core's order."""
        return {stage.name.lower(): self._histograms[stage].summary() for stage in Stage}

    def reset(self) -> None:
        """Forget every value, and what was marked since begin()."""
        self._marked = 0
        for histogram in self._histograms:
            histogram.reset()

    def run(self, stages) -> None:
        """One tick: begin, mark each of `stages` in turn, flush. IndexError for no stage."""
        stages = [int(stage) for stage in stages]
        for stage in stages:
            self.histogram(stage)
        self.begin()
        for stage in stages:
            self.mark(stage)
        self.flush()

    def repeat(self, int64_t count) -> None:
        """`count` ticks through every stage: for benches."""
        cdef int stage
        with nogil:
            for _ in range(count):
                self.begin()
                for stage in range(STAGE_COUNT):
                    self.mark(stage)
                self.flush()

    def __reduce__(self):
        raise TypeError("a StageClock cannot be pickled; hand on summary()")
