"""Histogram that keeps every value, and answers by sorting them: no counters, no layout."""

from bisect import insort

HIGHEST_NS = 60_000_000_000


def highest_equivalent_ns(ns: int) -> int:
    """Greatest value that 3 significant digits do not tell from `ns`: 11 leading bits kept."""
    return ns | ((1 << max(0, ns.bit_length() - 11)) - 1)


def lowest_equivalent_ns(ns: int) -> int:
    """Least value that 3 significant digits do not tell from `ns`."""
    shift = max(0, ns.bit_length() - 11)
    return ns >> shift << shift


class Histogram:
    """Same face as the fast one, where the tests use it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._values: list[int] = []
        self.over_range = 0
        self.negative = 0

    def record(self, ns: int) -> None:
        self.over_range += ns > HIGHEST_NS
        self.negative += ns < 0
        insort(self._values, min(max(ns, 0), HIGHEST_NS))

    def merge(self, other: "Histogram") -> None:
        self._values = sorted(self._values + other._values)
        self.over_range += other.over_range
        self.negative += other.negative

    @property
    def count(self) -> int:
        return len(self._values)

    @property
    def max_ns(self) -> int:
        return self._values[-1] if self._values else 0

    @property
    def min_ns(self) -> int:
        return self._values[0] if self._values else 0

    def percentile(self, percent: float) -> int:
        if not self._values:
            return 0
        if not percent > 0:
            return lowest_equivalent_ns(self._values[0])
        rank = max(1, int(min(percent, 100.0) * self.count / 100 + 0.5))
        return highest_equivalent_ns(self._values[rank - 1])

    def summary(self) -> dict[str, float | int | None]:
        names = {"p50_us": 50.0, "p99_us": 99.0, "p999_us": 99.9, "max_us": 100.0}
        cut = {name: min(self.percentile(p), self.max_ns) / 1e3 for name, p in names.items()}
        return {**(cut if self._values else dict.fromkeys(names)), "n": self.count}

    def check(self) -> None:
        assert self._values == sorted(self._values)
