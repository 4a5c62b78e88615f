"""`spread` as a pure function, against the formula in its docstring."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore.strategy import BUILTINS, builtin_params, spread_quotes

PARAMS = [2.0, 10.0, 1.0, 1.0, 60.0]


def expected(
    microprice: float, ofi_norm: float, position: int, bid: int, ask: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    half, qty, inventory_skew, ofi_skew, position_max = PARAMS
    fair = microprice + ofi_skew * ofi_norm - inventory_skew * position / qty
    bids = [(min(math.floor(fair - half), ask - 1), int(qty))]
    asks = [(max(math.ceil(fair + half), bid + 1), int(qty))]
    return (
        bids if position + qty <= position_max else [],
        asks if position - qty >= -position_max else [],
    )


@given(
    microprice=st.floats(990.0, 1010.0),
    ofi_norm=st.floats(-3.0, 3.0),
    position=st.integers(-80, 80),
    bid=st.integers(980, 1015),
    spread=st.integers(1, 10),
)
def test_spread_is_its_formula(
    microprice: float, ofi_norm: float, position: int, bid: int, spread: int
) -> None:
    code, bids, asks = spread_quotes(microprice, ofi_norm, position, PARAMS, bid, bid + spread)
    assert code == 1
    assert (bids, asks) == expected(microprice, ofi_norm, position, bid, bid + spread)


@pytest.mark.parametrize(
    ("position", "sides"), [(50, (1, 1)), (51, (0, 1)), (-50, (1, 1)), (-51, (1, 0))]
)
def test_spread_stops_adding_at_its_position_limit(position: int, sides: tuple[int, int]) -> None:
    _, bids, asks = spread_quotes(1000.0, 0.0, position, PARAMS, 999, 1001)
    assert (len(bids), len(asks)) == sides


def test_spread_never_crosses_the_book() -> None:
    _, bids, asks = spread_quotes(1000.0, 3.0, 0, [0.0, 1.0, 0.0, 50.0, 10.0], 999, 1001)
    assert bids[0][0] == 1000
    _, bids, asks = spread_quotes(1000.0, -3.0, 0, [0.0, 1.0, 0.0, 50.0, 10.0], 999, 1001)
    assert asks[0][0] == 1000


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_spread_stands_aside_on_a_fair_value_that_is_no_number(value: float) -> None:
    assert spread_quotes(value, 0.0, 0, PARAMS, 999, 1001) == (0, [], [])


def test_defaults_fill_in_and_order_is_the_abis() -> None:
    assert builtin_params("spread", {"qty_lots": 3}) == [1.0, 3.0, 0.5, 0.5, 10.0]
    assert BUILTINS["spread"][0][0][0] == "half_spread_ticks"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"qty_lots": 0}, "qty_lots"),
        ({"qty_lots": 1.5}, "qty_lots"),
        ({"half_spread_ticks": -1.0}, "half_spread_ticks"),
        ({"ofi_skew_ticks": math.nan}, "finite"),
        ({"typo": 1.0}, "Unknown parameter 'typo'"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        builtin_params("spread", params)
