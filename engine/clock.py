"""The only reader of time in Python; the hot socket (gateway/hotconn.h) is the only compiled one.

Inside, durations and stamps are CLOCK_MONOTONIC nanoseconds; UTC appears at the edge only. The
simulator puts a source of its own in the clocks' place, for the whole process (sim/loop.py).
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Source(Protocol):
    """Where time comes from instead of the system's clocks."""

    def monotonic_ns(self) -> int: ...
    def wall_ns(self) -> int: ...


_source: Source | None = None


def install(source: Source | None) -> None:
    """Time comes from `source` from now on; None: from the system again."""
    global _source
    _source = source


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, ns: never steps. The engine's own time."""
    if _source is not None:
        return _source.monotonic_ns()
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wall_ns() -> int:
    """CLOCK_REALTIME, ns since 1970 UTC: may step. What venues speak."""
    if _source is not None:
        return _source.wall_ns()
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def real_monotonic_ns() -> int:
    """CLOCK_MONOTONIC whatever is installed: how long a simulation itself takes."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


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
