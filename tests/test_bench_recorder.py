"""bench/recorder.py counts what it says; no time is asserted."""

from bench.recorder import _lags_ms, _rank, run


def test_lag_is_the_age_of_the_oldest_record_that_is_not_seen() -> None:
    written = [(0, 1), (1_000_000, 5), (2_000_000, 9)]
    looks = [(1_500_000, 0), (1_500_000, 1), (3_000_000, 8), (9_000_000, 9)]
    assert _lags_ms(written, looks) == [1.5, 0.5, 1.0, 0.0]


def test_ranks_are_nearest_ranks() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (_rank(values, 0.5), _rank(values, 0.99), _rank(values, 1.0)) == (50.0, 99.0, 100.0)
    assert _rank([], 0.5) is None


def test_tiny_run_writes_and_finds_everything() -> None:
    result = run(rate=500, seconds=0.4, cores=3)
    paced, capacity = result["paced"], result["capacity"]
    assert paced["behind_at_the_end"] == 0
    assert paced["order_events"] > 0
    assert paced["records"] > 2 * paced["order_events"]
    assert paced["looks"] > 0
    assert capacity["rows_per_s"] > 0
    assert set(result) == {"paced", "capacity", "targets", "method", "machine", "commit"}
