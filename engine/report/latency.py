"""Percentiles of what the ledger has of every message, exact."""


def latency_summary(sorted_ns: list[int]) -> dict[str, float | int | None]:
    """p50_us, p99_us, p999_us, max_us by nearest rank, and n; None where nothing was sent."""
    if not sorted_ns:
        return {"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0}
    return {
        "p50_us": nearest_rank(sorted_ns, 500, 1000) / 1000,
        "p99_us": nearest_rank(sorted_ns, 990, 1000) / 1000,
        "p999_us": nearest_rank(sorted_ns, 999, 1000) / 1000,
        "max_us": sorted_ns[-1] / 1000,
        "n": len(sorted_ns),
    }


def nearest_rank(sorted_ns: list[int], part: int, whole: int) -> int:
    """The smallest value that at least part/whole of the values do not exceed."""
    return sorted_ns[max(-(-len(sorted_ns) * part // whole), 1) - 1]
