"""The only reader of time in Python; the hot socket (gateway/hotconn.h) is the only compiled one.

Inside, durations and stamps are CLOCK_MONOTONIC nanoseconds; UTC appears at the edge only.
"""

import time
from datetime import UTC, datetime


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, ns: never steps. The engine's own time."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wall_ns() -> int:
    """CLOCK_REALTIME, ns since 1970 UTC: may step. What venues speak."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def wall_minus_monotonic_ns() -> int:
    """Offset that turns a monotonic stamp into UTC; the tightest of five paired reads."""
    best_gap_ns, best_offset_ns = 1 << 62, 0
    for _ in range(5):
        before_ns = monotonic_ns()
        now_ns = wall_ns()
        after_ns = monotonic_ns()
        if after_ns - before_ns < best_gap_ns:
            best_gap_ns = after_ns - before_ns
            best_offset_ns = now_ns - (before_ns + after_ns) // 2
    return best_offset_ns


def utc_now() -> datetime:
    """UTC wall time, for names and reports only."""
    return datetime.now(UTC)
