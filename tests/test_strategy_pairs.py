"""stat_arb: fair value, hedges at once, the leg-risk budget and the way back inside it."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_strategy import MS, Make, View, make_fast, make_reference, view_of

BUY, SELL = 0, 1
LIMITS = {"half_spread_ticks": 2, "qty_lots": 2, "inventory_skew_ticks": 0,
          "unhedged_lots_max": 5, "unhedged_ms_max": 100, "z_max": 3, "retry_ms": 50,
          "hedge_slippage_ticks": 1, "unwind_slippage_ticks": 3,
          "position_lots_max": 20}  # fmt: skip


@pytest.fixture(params=[make_fast, make_reference], ids=["fast", "reference"])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda **changes: request.param("stat_arb", **{**LIMITS, **changes})


def pair(**fields: Any) -> View:
    whole = {"ref_bid": (500, 9), "ref_ask": (502, 9), "ref_lots_per_lot": 1.0, "pair_z": 1.0}
    return view_of(**{**whole, **fields})


def test_quotes_stand_round_the_pairs_fair_value(make: Make) -> None:
    quotes = make(inventory_skew_ticks=1)(pair(pair_spread_ticks=1.5, position_lots=4,
                                               ref_position_lots=-4))  # fmt: skip
    assert quotes[1:5] == ([(994, 2)], [(1000, 2)], None, None)  # 1000 - 1.5 - 1 * 4 / 2 = 996.5
    quotes = make()(pair(pair_spread_ticks=-1.5))
    assert quotes[1:5] == ([(999, 2)], [(1004, 2)], None, None)


@pytest.mark.parametrize(
    ("fields", "params", "is_quoted"),
    [
        ({"pair_z": 3.0}, {}, True),
        ({"pair_z": -3.01}, {}, False),
        ({"pair_z": math.nan}, {}, False),
        ({"pair_z": 0.0}, {}, False),  # not warm
        ({"pair_z": 50.0}, {"z_max": 0}, True),
        ({"pair_half_life_s": 5.0}, {"half_life_s_max": 5}, True),
        ({"pair_half_life_s": 5.1}, {"half_life_s_max": 5}, False),
        ({"pair_half_life_s": 0.0}, {"half_life_s_max": 5}, False),
        ({"pair_half_life_s": 0.0}, {}, True),
    ],
)
def test_a_relation_that_does_not_hold_is_not_quoted_but_hedged(
    make: Make, fields: dict[str, float], params: dict[str, float], is_quoted: bool
) -> None:
    quotes = make(**params)(pair(position_lots=2, **fields))
    assert (len(quotes.bids), len(quotes.asks)) == ((1, 1) if is_quoted else (0, 0))
    assert quotes.hedge == (SELL, 499, 2, 1)


@pytest.mark.parametrize(
    ("position", "reference", "in_flight", "ratio", "hedge"),
    [
        (3, 0, 0, 1.0, (SELL, 499, 3, 1)),
        (-3, 0, 0, 1.0, (BUY, 503, 3, 1)),
        (3, -3, 0, 1.0, None),
        (3, -1, -2, 1.0, None),
        (3, 0, -1, 1.0, (SELL, 499, 2, 1)),
        (0, -3, 0, 1.0, (BUY, 503, 3, 1)),
        (3, 0, 0, 2.5, (SELL, 499, 8, 1)),  # 7.5 rounds away from zero
        (3, 0, 0, 0.1, None),  # 0.3 of a reference lot: nothing to hedge with
        (3, 0, 0, 0.5, (SELL, 499, 2, 1)),
    ],
)
def test_what_is_naked_and_not_in_flight_is_hedged_at_once(
    make: Make,
    position: int,
    reference: int,
    in_flight: int,
    ratio: float,
    hedge: tuple[int, int, int, int] | None,
) -> None:
    view = pair(position_lots=position, ref_position_lots=reference, ref_open_lots=in_flight,
                ref_lots_per_lot=ratio)  # fmt: skip
    assert make()(view).hedge == hedge


def test_a_hedge_is_repeated_after_its_time_and_a_new_fill_is_hedged_at_once(make: Make) -> None:
    strategy = make()
    calls = [(0, 1), (10, 1), (49, 1), (50, 1), (60, 2), (70, 2)]
    hedges = [strategy(pair(now_ns=ms * MS, position_lots=lots)).hedge for ms, lots in calls]
    assert [hedge and hedge[2] for hedge in hedges] == [1, None, None, 1, 2, None]
    strategy(pair(now_ns=80 * MS, position_lots=2, ref_position_lots=-2))
    assert strategy(pair(now_ns=81 * MS, position_lots=2)).hedge is not None


@pytest.mark.parametrize(
    ("naked", "sides"), [(0, (1, 1)), (3, (1, 1)), (4, (0, 1)), (-3, (1, 1)), (-4, (1, 0))]
)
def test_a_side_is_quoted_while_its_fill_keeps_the_budget(
    make: Make, naked: int, sides: tuple[int, int]
) -> None:
    quotes = make()(pair(position_lots=naked))
    assert (len(quotes.bids), len(quotes.asks)) == sides


@pytest.mark.parametrize(
    ("position", "take"),
    [(5, None), (6, (SELL, 996, 6, 1)), (-5, None), (-6, (BUY, 1004, 6, 1))],
)
def test_over_its_lots_the_leg_is_unwound_and_nothing_is_quoted(
    make: Make, position: int, take: tuple[int, int, int, int] | None
) -> None:
    quotes = make()(pair(position_lots=position))
    assert quotes.take == take
    assert (quotes.hedge is None) == (take is not None)
    assert quotes.code == 1
    if take:
        assert quotes[1:3] == ([], [])


@pytest.mark.parametrize(("ms", "is_over"), [(99, False), (100, True), (101, True)])
def test_over_its_time_too(make: Make, ms: int, is_over: bool) -> None:
    strategy = make()
    strategy(pair(position_lots=2, now_ns=7 * MS))
    assert (strategy(pair(position_lots=2, now_ns=(7 + ms) * MS)).take is not None) == is_over


def test_the_clock_of_the_budget_starts_anew_once_hedged(make: Make) -> None:
    strategy = make()
    strategy(pair(position_lots=2))
    strategy(pair(position_lots=2, ref_position_lots=-2, now_ns=60 * MS))
    assert strategy(pair(position_lots=2, now_ns=120 * MS)).take is None
    assert strategy(pair(position_lots=2, now_ns=219 * MS)).take is None
    assert strategy(pair(position_lots=2, now_ns=220 * MS)).take is not None


def test_unwinding_goes_on_until_nothing_is_naked(make: Make) -> None:
    strategy = make()
    calls = [(0, 6, 0), (10, 6, 0), (50, 4, 0), (60, 1, -1), (61, 1, -1)]
    quotes = [
        strategy(pair(now_ns=ms * MS, position_lots=lots, ref_position_lots=reference))
        for ms, lots, reference in calls
    ]
    assert [q.take and q.take[2] for q in quotes] == [6, None, 4, None, None]
    assert [len(q.bids) + len(q.asks) for q in quotes] == [0, 0, 0, 2, 2]


def test_what_is_in_flight_is_not_unwound_as_well(make: Make) -> None:
    quotes = make()(pair(position_lots=8, ref_open_lots=-8))
    assert quotes[1:5] == ([], [], None, None)
    assert make()(pair(position_lots=8, ref_open_lots=-5)).take == (SELL, 996, 3, 1)


def test_what_this_leg_cannot_unwind_is_hedged(make: Make) -> None:
    assert make()(pair(ref_position_lots=9))[3:5] == (None, (SELL, 499, 9, 2))
    # 2 reference lots are 0.2 of ours: no lot of this leg to take
    strategy = make(unhedged_ms_max=0)
    quotes = strategy(pair(position_lots=1, ref_position_lots=-8, ref_lots_per_lot=10.0))
    assert quotes[3:5] == (None, (SELL, 499, 2, 2))


@pytest.mark.parametrize(
    "broken",
    [
        {"ref_bid": (0, 0)},
        {"ref_ask": (502, 0)},
        {"ref_bid": (502, 1)},
        {"ref_lots_per_lot": 0.0},
        {"ref_lots_per_lot": math.nan},
        {"ref_lots_per_lot": -1.0},
    ],
)
def test_without_a_usable_reference_nothing_is_quoted_and_the_budget_still_holds(
    make: Make, broken: dict[str, Any]
) -> None:
    assert make()(pair(**broken)) == (0, [], [], None, None, 0)
    strategy = make()
    assert strategy(pair(position_lots=4, **broken)).code == 0
    quotes = strategy(pair(position_lots=4, now_ns=100 * MS, **broken))
    assert quotes[1:5] == ([], [], (SELL, 996, 4, 1), None)


@settings(max_examples=80)
@given(
    fills=st.lists(st.tuples(st.sampled_from([-2, 0, 2]), st.booleans()), min_size=1, max_size=25),
    ratio=st.sampled_from([1.0, 2.0]),
)
def test_whatever_fills_the_book_comes_back_to_hedged(
    fills: list[tuple[int, bool]], ratio: float
) -> None:
    """Quotes fill as offered; hedges and takes fill or expire at once. Then all of them fill."""
    strategy = make_fast("stat_arb", **LIMITS)
    position = reference = 0
    for step, (lots, works) in enumerate([*fills, *[(0, True)] * 8]):
        view = pair(now_ns=step * 50 * MS, position_lots=position, ref_position_lots=reference,
                    ref_lots_per_lot=ratio)  # fmt: skip
        quotes = strategy(view)
        offered = quotes.bids if lots > 0 else quotes.asks
        if lots and offered:
            position += lots
        if works and quotes.take:
            position += quotes.take[2] if quotes.take[0] == BUY else -quotes.take[2]
        if works and quotes.hedge:
            reference += quotes.hedge[2] if quotes.hedge[0] == BUY else -quotes.hedge[2]
        # The budget, and at most the fill of one quote that was offered within it.
        assert abs(position + reference / ratio) <= LIMITS["unhedged_lots_max"] + 2
    assert position + reference / ratio == 0
