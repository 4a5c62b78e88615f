# cython: language_level=3
"""Why we are not quoting, and who clears it (design section 5).

Reasons are bits; any bit set pulls the quotes. FEED_STALE clears itself with hysteresis,
RATE_LIMIT when its time has passed, BOOK when the sync rule says so, RECONCILING by the start
command; JOURNAL, STRATEGY and SHUTDOWN stay (STRATEGY and OPERATOR until an operator resumes).
Pure: time comes in by argument.
"""
cimport cython

from fastcore.types cimport (
    HALT_FEED_STALE,
    HALT_RATE_LIMIT,
    HALT_STRATEGY,
)


@cython.final
cdef class Halts:
    def __cinit__(self, int64_t feed_stale_after_ns, int64_t nonsense_max=10):
        if feed_stale_after_ns <= 0 or nonsense_max <= 0:
            raise ValueError("Expected feed_stale_after_ns and nonsense_max above 0, was "
                             f"{feed_stale_after_ns}, {nonsense_max}")
        self.bits = 0
        self.feed_stale_after_ns = feed_stale_after_ns
        # Hysteresis: the feed must have been alive this long before we believe in it again.
        self.feed_clear_after_ns = feed_stale_after_ns // 4
        self.nonsense_max = nonsense_max
        self._last_market_ns = -1

    cdef void set(self, uint32_t reason) noexcept nogil:
        self.bits |= reason

    cdef void clear(self, uint32_t reason) noexcept nogil:
        self.bits &= ~reason

    cdef void on_market(self, ns_t now_ns) noexcept nogil:
        """A well-formed market frame of our instrument: data, not a heartbeat."""
        if (self._last_market_ns < 0
                or now_ns - self._last_market_ns > self.feed_stale_after_ns):
            self._fresh_since_ns = now_ns
        self._last_market_ns = now_ns
        if (self.bits & HALT_FEED_STALE
                and now_ns - self._fresh_since_ns >= self.feed_clear_after_ns):
            self.clear(HALT_FEED_STALE)

    cdef void on_timer(self, ns_t now_ns) noexcept nogil:
        if (self._last_market_ns >= 0
                and now_ns - self._last_market_ns > self.feed_stale_after_ns):
            self.set(HALT_FEED_STALE)
        if self.bits & HALT_RATE_LIMIT and now_ns >= self.rate_limit_until_ns:
            self.clear(HALT_RATE_LIMIT)

    cdef void on_rate_limit(self, ns_t until_ns) noexcept nogil:
        self.rate_limit_until_ns = max(self.rate_limit_until_ns, until_ns)
        self.set(HALT_RATE_LIMIT)

    cdef void on_nonsense(self) noexcept nogil:
        """The strategy returned nonsense: counted, and a halt after nonsense_max."""
        self.nonsense_count += 1
        if self.nonsense_count >= self.nonsense_max:
            self.set(HALT_STRATEGY)
