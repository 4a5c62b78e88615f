"""Streams of events for the tests of the signals: a plain list of (method, arguments)."""

import random

from fastcore import signals as fast
from tests.reference import signals as twin

MS = 1_000_000
TABLE = [[-0.4, -0.2, 0.0, 0.2, 0.4], [-0.9, -0.3, 0.0, 0.3, 0.9]]
QUICK = {  # everything warm within a second
    "ofi_tau_ms": 50.0, "ofi_window_ms": 40.0, "ofi_levels_count": 3, "z_tau_ms": 60.0,
    "keltner_bar_ms": 10.0, "keltner_ema_bars": 4, "keltner_atr_bars": 3,
    "volatility_grid_ms": 7.0, "volatility_tau_ms": 100.0, "tfi_tau_ms": 30.0,
    "vpin_bucket_lots": 40, "vpin_buckets": 5, "spread_tau_ms": 80.0, "pair_grid_ms": 9.0,
    "pair_tau_ms": 60.0, "pair_drift": 1e-10, "stoikov_table": TABLE,
}  # fmt: skip
BOTH = (fast.Signals, twin.Signals)
ALL = sum(fast.SIGNALS.values())


def market(seed, count, hole_every=0):
    """A walking market: touches, levels, trades and a reference, some at one time, some after a
    silence; every `hole_every`th event is a one-sided book or a reset."""
    dice = random.Random(seed)
    bid, at, reference = 5_000, 0, 80_000.0
    for index in range(1, count + 1):
        at += int(dice.expovariate(1 / MS)) * dice.choice([0, 1, 1, 1, 40])
        bid += dice.choice([0, 0, 1, -1])
        spread = dice.choice([1, 1, 2, 3])
        sizes = [dice.randrange(1, 60) for _ in range(8)]
        if hole_every and index % hole_every == 0:
            yield dice.choice([("reset",), ("on_touch", 0, 0, bid, 5, at)])
            continue
        yield ("on_touch", bid, sizes[0], bid + spread, sizes[1], at)
        bids = [(bid - gap, size) for gap, size in enumerate(sizes[: dice.choice([2, 4, 4, 4])])]
        asks = [(bid + spread + gap, size) for gap, size in enumerate(sizes[4:])]
        yield ("apply_levels", bids, asks, at)
        if dice.random() < 0.4:
            side = dice.randrange(2)
            yield ("on_trade", side, bid, dice.choice([0, 1, 7, 40, 41, 300]), at)
        if dice.random() < 0.5:
            reference += dice.choice([0, 0, 8, -8]) + 8 * dice.choice([0, 1, -1])
            yield ("on_reference", dice.choice([reference] * 60 + [0.0]), at)


def feed(signals, events):
    for name, *args in events:
        getattr(signals, name)(*args)
    return signals.to_dict()
