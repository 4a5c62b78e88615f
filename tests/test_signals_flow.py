"""Signals of order flow and trades: values worked by hand, on the fast one and on the twin."""

import pytest

from fastcore.signals import SIGNALS
from tests.support_signals import BOTH, MS

BUY, SELL = 0, 1


@pytest.fixture(params=BOTH, ids=["fast", "reference"])
def make(request):
    return lambda *names, **settings: request.param(sum(SIGNALS[n] for n in names), settings)


def test_window_holds_what_came_after_its_start(make):
    """(t - W, t]: an event exactly W old has left."""
    signals = make("ofi_window", ofi_window_ms=10.0)
    told = []
    for qty, at_ms in ((10, 0), (13, 1), (14, 5), (14, 10), (14, 11), (14, 14), (14, 15)):
        signals.on_touch(100, qty, 101, 20, at_ms * MS)
        told.append(signals.to_dict()["ofi_window"])
    assert told == [0, 3, 4, 4, 1, 1, 0]


def test_window_lets_a_whole_burst_go_at_once(make):
    signals = make("ofi_window", ofi_window_ms=10.0)
    for qty in range(1, 3_001):
        signals.on_touch(100, qty, 101, 20, 5 * MS + qty // 100)
    assert signals.to_dict()["ofi_window"] == 2_999
    signals.on_touch(100, 3_007, 101, 20, 15 * MS + 10)
    assert signals.to_dict()["ofi_window"] == 7 + 3_000 - 1_099
    signals.on_touch(100, 3_009, 101, 20, 16 * MS)
    assert signals.to_dict()["ofi_window"] == 9


def level_side(best, step, *sizes):
    return [(best + step * i, size) for i, size in enumerate(sizes)]


def test_levels_are_compared_by_rank_over_the_mean_queue(make):
    """Best bid 100 -> 101: level 1 is better (its new queue counts), level 2 too (100 after 99);
    the asks did not move: sizes' differences, taken away."""
    signals = make("ofi_levels", ofi_levels_count=2, ofi_tau_ms=1.0)
    signals.on_touch(100, 10, 102, 8, 0)
    signals.apply_levels(level_side(100, -1, 10, 6), level_side(102, 1, 8, 16), 0)
    assert signals.to_dict()["ofi_levels"] == 0.0
    signals.on_touch(101, 3, 102, 9, 0)
    signals.apply_levels(level_side(101, -1, 3, 10), level_side(102, 1, 9, 14), 0)
    queue = (10 + 6 + 8 + 16) / 4  # of one level
    assert signals.to_dict()["ofi_levels"] == pytest.approx((3 + 10 - 1 + 2) / 2 / queue)
    assert signals.to_dict()["ofi_levels_valid"] == 1.0


def test_one_level_is_the_best_level_flow(make):
    signals = make("ofi", "ofi_levels", ofi_levels_count=1)
    for i in range(50):
        bid, qty, ask, ask_qty = 100 + i % 3, 1 + i % 7, 104 - i % 2, 2 + i % 5
        signals.on_touch(bid, qty, ask, ask_qty, i * MS)
        signals.apply_levels([(bid, qty)], [(ask, ask_qty)], i * MS)
        assert signals.to_dict()["ofi_levels"] == signals.to_dict()["ofi_norm"]
    assert signals.to_dict()["ofi_levels"] != 0.0


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_level_is_flagged_and_starts_anew(make, missing):
    signals = make("ofi_levels", ofi_levels_count=2)
    full = [level_side(100, -1, 10, 6), level_side(102, 1, 8, 16)]
    more = [level_side(100, -1, 90, 6), level_side(102, 1, 8, 16)]
    short = [side[: 1 if i == missing else 2] for i, side in enumerate(full)]
    signals.on_touch(100, 10, 102, 8, 0)
    for sides, valid, is_flow in ((full, 1, 0), (more, 1, 1), (short, 0, 0), (full, 1, 0)):
        signals.apply_levels(*sides, 0)
        told = signals.to_dict()
        assert (told["ofi_levels_valid"], told["ofi_levels"] != 0) == (valid, is_flow)


def test_levels_without_a_touch_are_invalid(make):
    signals = make("ofi_levels", ofi_levels_count=1)
    signals.apply_levels([(100, 1)], [(101, 1)], 0)
    assert signals.to_dict()["ofi_levels_valid"] == 0.0


def test_trade_flow_is_signed_over_total_and_forgets(make):
    signals = make("tfi", tfi_tau_ms=1.0)
    signals.on_trade(BUY, 100, 6, 0)
    assert signals.to_dict()["tfi"] == 1.0
    signals.on_trade(SELL, 100, 2, 0)
    assert signals.to_dict()["tfi"] == 0.5
    signals.on_trade(SELL, 100, 4, 0)
    assert signals.to_dict()["tfi"] == 0.0
    signals.on_trade(SELL, 100, 5, 100 * MS)
    assert signals.to_dict()["tfi"] == -1.0


@pytest.mark.parametrize("trade", [(BUY, 100, 0, 0), (BUY, 100, -3, 0), (2, 100, 5, 0)])
def test_trade_of_nothing_or_nobody_is_none(make, trade):
    signals = make("tfi", "vpin", vpin_bucket_lots=1, vpin_buckets=1)
    signals.on_trade(*trade)
    assert set(signals.to_dict().values()) == {0.0}


def test_vpin_by_hand(make):
    """Buckets of 10, two in the ring: |6 - 4|, then 10 sold, then |3 - 7|."""
    signals = make("vpin", vpin_bucket_lots=10, vpin_buckets=2)
    told = []
    for side, qty in ((BUY, 6), (SELL, 4), (SELL, 9), (SELL, 4), (BUY, 6), (BUY, 1)):
        signals.on_trade(side, 100, qty, 0)
        told.append(signals.to_dict()["vpin"])
    assert told == [0, 0, 0, (2 + 10) / 20, (2 + 10) / 20, (10 + 4) / 20]


def test_vpin_of_a_trade_over_many_buckets(make):
    signals = make("vpin", vpin_bucket_lots=10, vpin_buckets=3)
    signals.on_trade(BUY, 100, 5, 0)
    signals.on_trade(SELL, 100, 27, 0)  # closes 5 - 5, then 10 and 10 sold, 2 left
    assert signals.to_dict()["vpin"] == 20 / 30
    signals.on_trade(BUY, 100, 10_000 + 8, 0)  # closes 8 - 2; then a ring of nothing but buys
    assert signals.to_dict()["vpin"] == 1.0
    signals.on_trade(SELL, 100, 10, 0)
    assert signals.to_dict()["vpin"] == 1.0
    signals.on_trade(SELL, 100, 4, 0)
    signals.on_trade(BUY, 100, 6, 0)  # 4 - 6
    assert signals.to_dict()["vpin"] == 22 / 30


def test_vpin_of_a_trade_of_any_size_costs_no_more_than_the_ring():
    """Only the fast one: 10^17 buckets of one lot, taken at once."""
    signals = BOTH[0](SIGNALS["vpin"], {"vpin_bucket_lots": 1, "vpin_buckets": 256})
    signals.on_trade(SELL, 100, 10**17, 0)
    assert signals.to_dict()["vpin"] == 1.0


def test_vpin_of_balanced_flow_is_nothing(make):
    signals = make("vpin", vpin_bucket_lots=8, vpin_buckets=4)
    for i in range(100):
        signals.on_trade(i % 2, 100, 2, i)
    assert signals.to_dict()["vpin"] == 0.0
