"""mean_reversion: entries, each way out, one take at a time, the pause after a stop."""

import math

import pytest
from support_strategy import MS, Make, make_fast, make_reference, view_of

BUY, SELL = 0, 1
ENTRY, STOP, TARGET, TIME, BACK = 1, 2, 3, 4, 5
LIMITS = {"entry_z": 2, "exit_z": 0.5, "stop_ticks": 10, "target_ticks": 6, "hold_ms_max": 500,
          "retry_ms": 100, "cooldown_ms": 1000, "qty_lots": 4}  # fmt: skip


@pytest.fixture(params=[make_fast, make_reference], ids=["fast", "reference"])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda **changes: request.param("mean_reversion", **{**LIMITS, **changes})


@pytest.mark.parametrize(
    ("x", "take"),
    [
        (2.0, (SELL, 998, 4, ENTRY)),
        (-2.0, (BUY, 1002, 4, ENTRY)),
        (1.99, None),
        (-1.99, None),
        (0.0, None),
        (math.nan, None),
    ],
)
def test_a_price_outside_its_band_is_faded(
    make: Make, x: float, take: tuple[int, int, int, int] | None
) -> None:
    for use_keltner, name in ((0, "ewma_z"), (1, "keltner_position")):
        quotes = make(use_keltner=use_keltner, slippage_ticks=1)(view_of(**{name: x}))
        assert quotes.take == take
        assert (quotes.code, quotes.bids, quotes.asks) == (int(take is not None), [], [])


def test_a_passive_entry_joins_the_touch_while_the_price_stays_out(make: Make) -> None:
    strategy = make(passive=1)
    assert strategy(view_of(ewma_z=-2.5))[1:4] == ([(999, 4)], [], None)
    assert strategy(view_of(ewma_z=2.5))[1:4] == ([], [(1001, 4)], None)
    assert strategy(view_of(ewma_z=1.5)).code == 0


@pytest.mark.parametrize(
    ("gain", "reason"), [(-11, STOP), (-10, STOP), (-9, None), (5, None), (6, TARGET), (7, TARGET)]
)
@pytest.mark.parametrize("lots", [3, -3])
def test_stop_and_target_at_their_limits(
    make: Make, lots: int, gain: int, reason: int | None
) -> None:
    px = 1000 + gain if lots > 0 else 1000 - gain
    touch = (px, px + 9) if lots > 0 else (px - 9, px)
    x = -3.0 if lots > 0 else 3.0
    quotes = make()(view_of(*touch, position_lots=lots, entry_px_ticks=1000.0, ewma_z=x))
    side = SELL if lots > 0 else BUY
    assert quotes.take == (None if reason is None else (side, px, 3, reason))
    assert quotes.code == 1


@pytest.mark.parametrize(("ms", "reason"), [(499, None), (500, TIME), (501, TIME)])
def test_time_is_up_at_its_limit(make: Make, ms: int, reason: int | None) -> None:
    quotes = make()(view_of(position_lots=3, entry_px_ticks=1000.0, entry_ns=7 * MS,
                            now_ns=(7 + ms) * MS, ewma_z=-3.0))  # fmt: skip
    assert quotes.take == (None if reason is None else (SELL, 999, 3, TIME))


@pytest.mark.parametrize(
    ("x", "is_back"), [(-0.51, False), (-0.5, True), (0.0, True), (3.0, True)]
)
def test_a_trade_ends_when_the_price_is_back(make: Make, x: float, is_back: bool) -> None:
    view = {"entry_px_ticks": 1000.0}
    quotes = make()(view_of(position_lots=3, ewma_z=x, **view))
    assert quotes.take == ((SELL, 999, 3, BACK) if is_back else None)
    quotes = make()(view_of(position_lots=-3, ewma_z=-x, **view))
    assert quotes.take == ((BUY, 1001, 3, BACK) if is_back else None)


def test_an_entry_price_that_is_no_number_is_a_stop(make: Make) -> None:
    quotes = make()(view_of(position_lots=3, entry_px_ticks=math.nan, ewma_z=-3.0))
    assert quotes.take == (SELL, 999, 3, STOP)


def test_a_take_is_repeated_only_after_its_time(make: Make) -> None:
    strategy = make()
    asked = [
        strategy(view_of(ewma_z=3.0, now_ns=ms * MS)).take for ms in (0, 1, 99, 100, 150, 200)
    ]
    assert [take is not None for take in asked] == [True, False, False, True, False, True]


def test_an_exit_once_begun_is_finished_for_its_own_reason(make: Make) -> None:
    strategy = make()
    held = {"entry_px_ticks": 1000.0, "ewma_z": -3.0}
    assert strategy(view_of(990, 992, position_lots=4, **held)).take == (SELL, 990, 4, STOP)
    back = view_of(999, 1001, position_lots=4, now_ns=100 * MS, **held)
    assert strategy(back).take == (SELL, 999, 4, STOP)
    part = view_of(999, 1001, position_lots=1, now_ns=150 * MS, **held)
    assert strategy(part).take is None
    assert strategy({**part, "now_ns": 200 * MS}).take == (SELL, 999, 1, STOP)


def test_after_a_stop_the_price_must_come_back_and_time_must_pass(make: Make) -> None:
    strategy = make()
    strategy(view_of(990, 992, position_lots=4, entry_px_ticks=1000.0, ewma_z=-3.0))
    calls = [(0, -3.0), (999, -1.0), (1000, -3.0), (1500, -3.0)]
    assert [strategy(view_of(ewma_z=x, now_ns=ms * MS)).code for ms, x in calls] == [0] * 4
    assert strategy(view_of(ewma_z=-1.0, now_ns=1600 * MS)).code == 0  # inside: armed again
    assert strategy(view_of(ewma_z=-3.0, now_ns=1601 * MS)).take is not None


def test_after_any_other_exit_the_next_entry_is_free(make: Make) -> None:
    strategy = make()
    strategy(view_of(position_lots=4, entry_px_ticks=1000.0, ewma_z=0.0))
    assert strategy(view_of(ewma_z=-3.0, now_ns=1 * MS)).take is not None


@pytest.mark.parametrize(
    ("lots", "mean", "px"),
    [
        (3, 1003.2, 1004),
        (3, 1030.0, 1006),  # the target is nearer
        (3, 1000.5, 1001),  # the mean is within the touch: join
        (3, math.nan, 1001),
        (-3, 996.8, 996),
        (-3, 970.0, 994),
        (-3, 999.5, 999),
        (-3, math.nan, 999),
    ],
)
def test_a_passive_trade_rests_its_exit_at_the_mean(
    make: Make, lots: int, mean: float, px: int
) -> None:
    for use_keltner, name in ((0, "ewma_mean_ticks"), (1, "keltner_mid_ticks")):
        strategy = make(passive=1, use_keltner=use_keltner)
        fields = {"position_lots": lots, "entry_px_ticks": 1000.0, name: mean}
        quotes = strategy(view_of(**fields))
        bids, asks = ([], [(px, 3)]) if lots > 0 else ([(px, 3)], [])
        assert quotes[1:4] == (bids, asks, None)


def test_a_passive_trade_still_takes_for_its_stop_and_its_time(make: Make) -> None:
    fields = {"position_lots": 3, "entry_px_ticks": 1000.0}
    assert make(passive=1)(view_of(990, 991, **fields))[1:4] == ([], [], (SELL, 990, 3, STOP))
    quotes = make(passive=1)(view_of(now_ns=500 * MS, **fields))
    assert quotes[1:4] == ([], [], (SELL, 999, 3, TIME))
