# cython: language_level=3
"""Why we are not quoting, and who clears it (design section 5); docs/halts.md has the table.

Reasons are bits; any bit set pulls the quotes. Each that clears itself does so with hysteresis:
what raised it must have been away for a time. Pure: time comes in by argument.

Spread (reliability.md C15). A touch is wide when its spread is over spread_ticks_max, or over
spread_factor times the median of the last spread_median_window samples, one taken every
spread_sample_ms at most: by time, because a blow-out comes with a burst of touches, which by count
would make it the measure within a second. The halt comes after spread_updates_min wide touches in
a row or spread_ms_min of a wide touch, whichever is first, and goes after spread_clear_ms without
one. The median rolls on purpose: a market that stays wide for half its window becomes the
measure, and spread_ticks_max alone then bounds it.

The median is kept in bins of a histogram, with a bitmap to find the next bin that holds anything:
each update moves it by one rank at most, so O(1), no allocation. Bins are exact to 127 ticks,
above that within 1/64, and the median is the lower edge of its bin.

Toxicity: VPIN (Easley, Lopez de Prado, O'Hara 2012), computed elsewhere; NaN is toxic.
Repeated execution (RTS 6 art. 15(3)): more fills than repeated_fills_max within repeated_ms;
latched, because only a person can say that it was no runaway. One-sided fills: more in a row on
one side than one_sided_fills_max within one_sided_ms; goes after one_sided_ms without a fill.
"""
cimport cython

from fastcore.types cimport (
    HALT_BOOK, HALT_CLOCK, HALT_DEAD_MAN, HALT_FEED_STALE, HALT_JOURNAL, HALT_LATENCY, HALT_LEG,
    HALT_LINK, HALT_ONE_SIDED_FILLS, HALT_OPERATOR, HALT_RATE_LIMIT, HALT_RECONCILING,
    HALT_REPEATED_EXECUTION, HALT_SHUTDOWN, HALT_SPREAD, HALT_STRATEGY, HALT_TOXICITY,
    HALT_TRADE_STREAM, HALT_USER_STREAM, HALT_VENUE,
)

import difflib
import math

cdef extern from *:
    """
    #define FC_HIGHEST_BIT(x) (63 - __builtin_clzll(x))  /* x != 0 */
    #define FC_LOWEST_BIT(x) __builtin_ctzll(x)          /* x != 0 */
    """
    int FC_HIGHEST_BIT(uint64_t word) noexcept nogil
    int FC_LOWEST_BIT(uint64_t word) noexcept nogil

cdef enum:
    EXACT_BINS = 128           # spreads of so few ticks have a bin each
    OCTAVE_BINS = 64
    SPREAD_TICKS_MAX = 2147483647

DAY_MS = 86_400_000

# key: (whole, highest, what it means); every key is required, 0 is off where it says so.
SETTINGS: dict[str, tuple[bool, float, str]] = {
    "spread_factor": (False, 1e6, "times the rolling median that is too wide; 0: off, else >= 1"),
    "spread_ticks_max": (True, SPREAD_TICKS_MAX, "ticks that are not yet too wide; 0: off"),
    "spread_updates_min": (True, 1_000_000, "wide touches in a row that halt; 0: only time does"),
    "spread_ms_min": (True, DAY_MS, "time of a wide touch that halts; 0: only updates do"),
    "spread_clear_ms": (True, DAY_MS, "time without a wide touch that clears"),
    "spread_median_window": (True, WINDOW_MAX, "samples that the median looks back on"),
    "spread_sample_ms": (True, DAY_MS, "time between two samples at least; 0: each touch is one"),
    "vpin_max": (False, 1, "VPIN that is not yet toxic; 0: off"),
    "vpin_clear": (False, 1, "VPIN below which flow is sound again"),
    "repeated_fills_max": (True, FILLS_MAX, "fills that may happen within repeated_ms; 0: off"),
    "repeated_ms": (True, DAY_MS, "window of repeated_fills_max"),
    "one_sided_fills_max": (True, FILLS_MAX, "fills in a row on one side, as above; 0: off"),
    "one_sided_ms": (True, DAY_MS, "window of one_sided_fills_max, and the quiet that clears"),
    "nonsense_max": (True, 1_000_000, "refused targets of the strategy that halt; above 0"),
}

# reason: (what raises it, what clears it); docs/halts.md is made of it.
REASONS: dict[int, tuple[str, str]] = {
    HALT_BOOK: (
        "book not synced (gap, bad frame, resync asked for) or not two-sided",
        "itself: the first message that leaves a synced, two-sided book"),
    HALT_FEED_STALE: (
        "no message that moved the book for limits.book_age_ms_max",
        "itself: messages without such a pause for a quarter of that time"),
    HALT_USER_STREAM: (
        "user stream down, its listen key expired, or it does not tell of an order, or the end of "
        "one, that the venue acknowledged within budgets.ack_ms_max",
        "itself: the stream is up anew; RECONCILING stays"),
    HALT_LATENCY: (
        "more than the account's late_per_min_max orders within a minute were too late to be sent "
        "(budgets.tick_to_order_us_max)",
        "itself: a minute without one"),
    HALT_CLOCK: (
        "no measure of the venue's clock, or the venue refused a time stamp",
        "itself: the next measure"),
    HALT_RATE_LIMIT: (
        "the venue answered that we send too much",
        "itself: after the pause that the venue asked for, or 10 s"),
    HALT_RECONCILING: (
        "start-up; a stream lost; an order, fill or position that we can't explain",
        "start command, once the venue's position and open orders are ours"),
    HALT_JOURNAL: (
        "no room in the journal",
        "never: a journal with a hole would lie"),
    HALT_STRATEGY: (
        "halts.nonsense_max targets of the strategy refused",
        "command RESUME"),
    HALT_OPERATOR: (
        "command HALT",
        "command RESUME"),
    HALT_SHUTDOWN: (
        "ordered shutdown",
        "never"),
    HALT_TRADE_STREAM: (
        "order-entry connection down",
        "itself: the connection is up again; RECONCILING stays"),
    HALT_SPREAD: (
        "spread over spread_ticks_max, or over spread_factor x its rolling median, for "
        "spread_updates_min touches in a row or spread_ms_min, whichever is first",
        "itself: spread_clear_ms without a wide touch"),
    HALT_TOXICITY: (
        "VPIN over vpin_max, or no number",
        "itself: VPIN under vpin_clear"),
    HALT_REPEATED_EXECUTION: (
        "more than repeated_fills_max fills within repeated_ms",
        "command RESUME (latched), which also forgets the fills before it"),
    HALT_ONE_SIDED_FILLS: (
        "more than one_sided_fills_max fills in a row on one side within one_sided_ms",
        "itself: one_sided_ms without a fill"),
    HALT_LEG: (
        "the reference leg could not be hedged on, or told nothing for reference.age_ms_max",
        "itself"),
    HALT_DEAD_MAN: (
        "the venue has not confirmed that it cancels our orders should we fall silent",
        "itself: it has"),
    HALT_VENUE: (
        "the instrument does not trade, or the venue is under maintenance",
        "itself: it trades again"),
    HALT_LINK: (
        "a stream or the venue's REST can't be shown to be alive",
        "itself: it is"),
}


def check_settings(settings) -> None:
    """ValueError names the first key of the section `halts` that is unknown, missing or wrong."""
    if not isinstance(settings, dict):
        raise ValueError(f"Expected halts to be a table, was {type(settings).__name__}")
    for key in settings:
        if key not in SETTINGS:
            near = difflib.get_close_matches(str(key), SETTINGS, n=1)
            hint = f"; did you mean halts.{near[0]}?" if near else ""
            raise ValueError(f"Unknown key halts.{key}{hint}")
    for key, (is_whole, highest, text) in SETTINGS.items():
        if key not in settings:
            raise ValueError(f"halts.{key} is required ({text})")
        value = settings[key]
        if (isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float))
                or not math.isfinite(value) or not 0 <= value <= highest):
            kind = "whole number" if is_whole else "number"
            raise ValueError(f"Expected halts.{key} to be a {kind} in 0 .. {highest:g}, "
                             f"was {value!r}")
    if settings["nonsense_max"] == 0:
        raise ValueError("Expected halts.nonsense_max to be above 0, was 0")
    if 0 < settings["spread_factor"] < 1:
        raise ValueError("Expected halts.spread_factor to be 0 or at least 1, was "
                         f"{settings['spread_factor']!r}")
    if settings["spread_factor"] and not settings["spread_median_window"]:
        raise ValueError("halts.spread_median_window is 0, but halts.spread_factor needs a median")
    if settings["spread_factor"] or settings["spread_ticks_max"]:
        _one_of(settings, "spread_updates_min", "spread_ms_min")
    if settings["vpin_clear"] > settings["vpin_max"]:
        raise ValueError("Expected halts.vpin_clear to be at most vpin_max")
    for name in ("repeated", "one_sided"):
        if settings[f"{name}_fills_max"] and not settings[f"{name}_ms"]:
            raise ValueError(f"halts.{name}_ms is 0, but halts.{name}_fills_max needs a window")


def _one_of(dict settings, str one, str other) -> None:
    if not settings[one] and not settings[other]:
        raise ValueError(f"halts.{one} and halts.{other} are both 0: the halt could never come")


# -- SPREAD MEDIAN ---

cdef inline int _bin_of(int64_t spread_ticks) noexcept nogil:
    cdef int octave
    if spread_ticks < EXACT_BINS:
        return <int>spread_ticks
    spread_ticks = min(spread_ticks, <int64_t>SPREAD_TICKS_MAX)
    octave = FC_HIGHEST_BIT(<uint64_t>spread_ticks) - 7
    return <int>(EXACT_BINS + OCTAVE_BINS * octave
                 + ((spread_ticks >> (octave + 1)) & (OCTAVE_BINS - 1)))


cdef inline int64_t _edge_of(int index) noexcept nogil:
    """Least spread of a bin."""
    cdef int octave
    if index < EXACT_BINS:
        return index
    octave = (index - EXACT_BINS) // OCTAVE_BINS
    return <int64_t>(OCTAVE_BINS + (index & (OCTAVE_BINS - 1))) << (octave + 1)


cdef inline int _next_bin(const SpreadMedian* median, int index) noexcept nogil:
    """The first bin above `index` that holds a spread; there is one."""
    cdef int word
    index += 1
    word = index >> 6
    cdef uint64_t bits = median.filled[word] & (<uint64_t>-1 << (index & 63))
    while bits == 0:
        word += 1
        bits = median.filled[word]
    return (word << 6) + FC_LOWEST_BIT(bits)


cdef inline int _previous_bin(const SpreadMedian* median, int index) noexcept nogil:
    """The first bin below `index` that holds a spread; there is one."""
    cdef int word = index >> 6
    cdef uint64_t bits = median.filled[word] & ((<uint64_t>1 << (index & 63)) - 1)
    while bits == 0:
        word -= 1
        bits = median.filled[word]
    return (word << 6) + FC_HIGHEST_BIT(bits)


cdef void _take_spread(SpreadMedian* median, int64_t spread_ticks) noexcept nogil:
    """One spread in, the oldest out, and the median moved to where it belongs. O(1)."""
    cdef int slot = <int>(median.count % median.size)
    cdef int new = _bin_of(spread_ticks)
    cdef int old, rank
    if median.count >= median.size:
        old = median.ring[slot]
        median.bins[old] -= 1
        if median.bins[old] == 0:
            median.filled[old >> 6] &= ~(<uint64_t>1 << (old & 63))
        median.below -= old < median.at
    median.ring[slot] = <int16_t>new
    median.bins[new] += 1
    median.filled[new >> 6] |= <uint64_t>1 << (new & 63)
    median.below += new < median.at
    median.count += 1
    rank = <int>((min(median.count, <int64_t>median.size) - 1) // 2)
    while median.below > rank:
        median.at = _previous_bin(median, median.at)
        median.below -= median.bins[median.at]
    while median.below + median.bins[median.at] <= rank:
        median.below += median.bins[median.at]
        median.at = _next_bin(median, median.at)


# -- FILLS ---

cdef inline bint _take_fill(FillRing* ring, ns_t now_ns) noexcept nogil:
    """One fill more; whether there were more than `limit` within the window."""
    cdef int64_t size = ring.limit + 1
    ring.filled_ns[ring.count % size] = now_ns
    ring.count += 1
    return (ring.count >= size
            and ring.filled_ns[ring.count % size] > now_ns - ring.window_ns)


@cython.final
cdef class Halts:
    """Halts(settings, feed_stale_after_ns): `settings` is the config's section halts."""

    def __cinit__(self, dict settings, int64_t feed_stale_after_ns):
        check_settings(settings)
        if feed_stale_after_ns <= 0:
            raise ValueError("Expected feed_stale_after_ns above 0, was "
                             f"{feed_stale_after_ns}")
        self.bits = 0
        self.feed_stale_after_ns = feed_stale_after_ns
        # Hysteresis: the feed must have been alive this long before we believe in it again.
        self.feed_clear_after_ns = feed_stale_after_ns // 4
        self._last_market_ns = self._wide_since_ns = self._calm_since_ns = -1
        self._side = -1
        self.nonsense_max = settings["nonsense_max"]
        self.spread_factor_e3 = round(settings["spread_factor"] * 1000)
        self.spread_ticks_max = settings["spread_ticks_max"]
        self.spread_updates_min = settings["spread_updates_min"]
        self.spread_ns_min = settings["spread_ms_min"] * 1_000_000
        self.spread_clear_ns = settings["spread_clear_ms"] * 1_000_000
        self.spread_sample_ns = settings["spread_sample_ms"] * 1_000_000
        self._median.size = settings["spread_median_window"]
        self.vpin_max = settings["vpin_max"]
        self.vpin_clear = settings["vpin_clear"]
        self._fills.limit = settings["repeated_fills_max"]
        self._fills.window_ns = settings["repeated_ms"] * 1_000_000
        self._one_sided.limit = settings["one_sided_fills_max"]
        self._one_sided.window_ns = settings["one_sided_ms"] * 1_000_000

    cpdef void set(self, uint32_t reason) noexcept nogil:
        self.bits |= reason

    cpdef void clear(self, uint32_t reason) noexcept nogil:
        self.bits &= ~reason

    cpdef void on_market(self, ns_t now_ns) noexcept nogil:
        """A well-formed market frame of our instrument: data, not a heartbeat."""
        if (self._last_market_ns < 0
                or now_ns - self._last_market_ns > self.feed_stale_after_ns):
            self._fresh_since_ns = now_ns
        self._last_market_ns = now_ns
        if (self.bits & HALT_FEED_STALE
                and now_ns - self._fresh_since_ns >= self.feed_clear_after_ns):
            self.clear(HALT_FEED_STALE)

    cpdef void on_touch(self, px_t bid_px_ticks, px_t ask_px_ticks, ns_t now_ns) noexcept nogil:
        """The touch moved. One-sided or crossed is HALT_BOOK's matter: here it is no touch, and
        neither wide nor calm."""
        cdef int64_t spread_ticks = ask_px_ticks - bid_px_ticks
        cdef bint is_wide
        if bid_px_ticks <= 0 or spread_ticks <= 0:
            self._wide_count = 0
            self._wide_since_ns = self._calm_since_ns = -1
            self._spread_ticks = 0
            return
        is_wide = self._is_wide(spread_ticks)
        self._spread_ticks = spread_ticks
        self._sample_spread(now_ns)
        if is_wide:
            if self._wide_since_ns < 0:
                self._wide_since_ns = now_ns
            self._wide_count += 1
            self._calm_since_ns = -1
        else:
            if self._calm_since_ns < 0:
                self._calm_since_ns = now_ns
            self._wide_count = 0
            self._wide_since_ns = -1
        self._look_at_spread(now_ns)

    cdef bint _is_wide(self, int64_t spread_ticks) noexcept nogil:
        if self.spread_ticks_max and spread_ticks > self.spread_ticks_max:
            return True
        return (self.spread_factor_e3 != 0 and self._median.count >= self._median.size
                and 1000 * spread_ticks > self.spread_factor_e3 * _edge_of(self._median.at))

    cdef void _sample_spread(self, ns_t now_ns) noexcept nogil:
        if (self.spread_factor_e3 and self._spread_ticks
                and (self._median.count == 0 or now_ns >= self._next_sample_ns)):
            _take_spread(&self._median, self._spread_ticks)
            self._next_sample_ns = now_ns + self.spread_sample_ns

    cdef void _look_at_spread(self, ns_t now_ns) noexcept nogil:
        if self._wide_since_ns >= 0:
            if ((self.spread_updates_min and self._wide_count >= self.spread_updates_min)
                    or (self.spread_ns_min
                        and now_ns - self._wide_since_ns >= self.spread_ns_min)):
                self.set(HALT_SPREAD)
        elif (self.bits & HALT_SPREAD and self._calm_since_ns >= 0
                and now_ns - self._calm_since_ns >= self.spread_clear_ns):
            self.clear(HALT_SPREAD)

    cpdef int64_t median_ticks(self) noexcept nogil:
        """Rolling median of the spread, or -1 before its window is full."""
        if self.spread_factor_e3 == 0 or self._median.count < self._median.size:
            return -1
        return _edge_of(self._median.at)

    cpdef void on_vpin(self, double vpin, ns_t now_ns) noexcept nogil:
        """Between clear and max nothing changes. What is no number is no reason to trade."""
        if self.vpin_max == 0.0:
            return
        if not vpin <= self.vpin_max:
            self.set(HALT_TOXICITY)
        elif vpin < self.vpin_clear:
            self.clear(HALT_TOXICITY)

    cpdef void on_fill(self, int side, qty_t qty_lots, ns_t now_ns) noexcept nogil:
        """One fill of ours, booked once."""
        if qty_lots <= 0:
            return
        self._last_fill_ns = now_ns
        if self._fills.limit and _take_fill(&self._fills, now_ns):
            self.set(HALT_REPEATED_EXECUTION)
        if side != self._side:
            self._side = side
            self._one_sided.count = 0
        if self._one_sided.limit and _take_fill(&self._one_sided, now_ns):
            self.set(HALT_ONE_SIDED_FILLS)

    cpdef void on_timer(self, ns_t now_ns) noexcept nogil:
        if (self._last_market_ns >= 0
                and now_ns - self._last_market_ns > self.feed_stale_after_ns):
            self.set(HALT_FEED_STALE)
        if self.bits & HALT_RATE_LIMIT and now_ns >= self.rate_limit_until_ns:
            self.clear(HALT_RATE_LIMIT)
        if self.spread_sample_ns:
            self._sample_spread(now_ns)    # a touch that stands counts for as long as it does
        self._look_at_spread(now_ns)
        if (self.bits & HALT_ONE_SIDED_FILLS
                and now_ns - self._last_fill_ns >= self._one_sided.window_ns):
            self.clear(HALT_ONE_SIDED_FILLS)

    cpdef void on_rate_limit(self, ns_t until_ns) noexcept nogil:
        self.rate_limit_until_ns = max(self.rate_limit_until_ns, until_ns)
        self.set(HALT_RATE_LIMIT)

    cpdef void on_nonsense(self) noexcept nogil:
        """The strategy returned nonsense: counted, and a halt after nonsense_max."""
        self.nonsense_count += 1
        if self.nonsense_count >= self.nonsense_max:
            self.set(HALT_STRATEGY)

    cpdef void on_resume(self) noexcept nogil:
        """An operator says that all is well: what he looked at is not counted again."""
        self.clear(HALT_OPERATOR | HALT_STRATEGY | HALT_REPEATED_EXECUTION)
        self.nonsense_count = 0
        self._fills.count = 0
