"""Users' strategies: the ABI they see, what they compute, compiled and in plain Python alike."""

import math
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_user import user_file, user_strategy

import bench.user
from fastcore import strategy_layout
from fastcore.signals import SIGNALS
from fastcore.strategy import quotes_of
from fastcore.user import (
    FAILED,
    QUOTE,
    STAND_ASIDE,
    TARGET,
    VIEW,
    UserStrategy,
    load,
    new_views,
)
from tests.reference import user as reference

ROOT = Path(__file__).resolve().parent.parent
Over = Callable[..., tuple[Any, Any]]


@pytest.fixture(params=["fast", "reference"])
def over(request: pytest.FixtureRequest) -> Over:
    return UserStrategy.over if request.param == "fast" else reference.over


@pytest.fixture(scope="module")
def my_quotes() -> UserStrategy:
    return load(f"{ROOT}/docs/my_quotes.py:my_quotes")


def quoted_views(count: int = 1, bid: int = 1000, ask: int = 1001) -> Any:
    views = new_views(count)
    views["bid_count"] = views["ask_count"] = 1
    views["bids"]["px_ticks"][:, 0], views["asks"]["px_ticks"][:, 0] = bid, ask
    views["bids"]["qty_lots"][:, 0] = views["asks"]["qty_lots"][:, 0] = 5
    return views


def levels(target: Any) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return (
        [(int(px), int(qty)) for px, qty in target.bids[: target.bid_count]],
        [(int(px), int(qty)) for px, qty in target.asks[: target.ask_count]],
    )


# -- THE ABI ---


def test_abi_names_every_field_of_every_struct() -> None:
    layout = strategy_layout.abi_layout()
    names = strategy_layout.abi_names()
    assert layout.keys() == names.keys()
    for struct, (_, fields) in layout.items():
        assert [field[0] for field in fields] == names[struct], struct


def test_abi_fields_follow_each_other_without_a_hole() -> None:
    for struct, (size, fields) in strategy_layout.abi_layout().items():
        end = 0
        for name, _, offset, field_size in fields:
            assert offset == end, f"{struct}.{name}"
            end += field_size
        assert end == size, struct


@pytest.mark.parametrize(("dtype", "struct"), [(VIEW, "View"), (TARGET, "Target")])
def test_dtypes_lie_as_the_structs_do(dtype: Any, struct: str) -> None:
    size, fields = strategy_layout.abi_layout()[struct]
    assert dtype.itemsize == size
    lies = [(name, *dtype.fields[name][1::-1]) for name in dtype.names]
    assert [(name, offset, kind.itemsize) for name, offset, kind in lies] == [
        (name, offset, field_size) for name, _, offset, field_size in fields
    ]


def test_every_field_of_a_view_reaches_the_compiled_strategy() -> None:
    """One number of its own in every place; the strategy sums what it reads, weighted."""
    places = _places(VIEW, "view")
    body = "s = 0.0\n" + "\n".join(f"s += {i + 1} * {place}" for i, place in enumerate(places))
    signals = f"signals={list(SIGNALS)}, levels=10, state=1"
    user = user_strategy(f"{body}\nstate[0] = s\nreturn STAND_ASIDE", signals)
    views = new_views(1)
    values = np.random.default_rng(3).integers(1, 1000, len(places))
    for place, value in zip(places, values, strict=True):
        exec(f"{place} = {value}", {"view": views[0]})
    state = np.zeros(1)
    user.over(views, state=state)
    assert state[0] == sum((i + 1) * int(value) for i, value in enumerate(values))


def _places(dtype: np.dtype[Any], name: str) -> list[str]:
    if dtype.subdtype:
        base, (count,) = dtype.subdtype
        return [place for i in range(count) for place in _places(base, f"{name}[{i}]")]
    if not dtype.fields:
        return [name]
    assert dtype.names is not None
    return [
        place
        for field in dtype.names
        for place in _places(dtype.fields[field][0], f"{name}.{field}")
    ]


def test_signal_values_are_all_doubles() -> None:
    size, fields = strategy_layout.abi_layout()["SignalValues"]
    assert size == 8 * len(fields)


# -- WHAT IT COMPUTES ---


@given(
    microprice=st.floats(990.0, 1010.0),
    ofi_norm=st.floats(-3.0, 3.0),
    position=st.integers(-80, 80),
    bid=st.integers(980, 1015),
    spread=st.integers(1, 10),
)
@settings(max_examples=200)
def test_the_example_quotes_exactly_as_the_built_in_spread(
    my_quotes: UserStrategy,
    microprice: float, ofi_norm: float, position: int, bid: int, spread: int,
) -> None:  # fmt: skip
    views = quoted_views(1, bid, bid + spread)
    views["signals"]["microprice_ticks"] = microprice
    views["signals"]["ofi_norm"] = ofi_norm
    views["position_lots"] = position
    view = {
        "bids": [(bid, 1)], "asks": [(bid + spread, 1)], "position_lots": position,
        "signals": {"microprice_ticks": microprice, "ofi_norm": ofi_norm},
    }  # fmt: skip
    expected = quotes_of("spread", view, my_quotes.params)[:3]
    for run in (my_quotes.over, lambda v: reference.over(my_quotes, v)):
        codes, targets = run(views)
        assert (int(codes[0]), *levels(targets[0])) == expected


def test_a_built_in_can_be_called_the_same_way(my_quotes: UserStrategy) -> None:
    views = quoted_views(1)
    views["signals"]["microprice_ticks"] = 1000.4
    targets, codes = np.zeros(1, TARGET), np.zeros(1, np.int32)
    strategy_layout.call_rows(
        strategy_layout.builtin_address("spread"), views.view(np.uint8),
        np.array(my_quotes.param_values({})), np.zeros(0), targets.view(np.uint8), codes,
    )  # fmt: skip
    assert targets.tobytes() == my_quotes.over(views)[1].tobytes()


def test_prices_round_away_from_the_market_and_quantities_down(over: Over) -> None:
    user = user_strategy(
        "quote_bid(target, 100.9, 2.9)\nquote_ask(target, 101.1, 1)\nreturn QUOTE"
    )
    codes, targets = over(user, new_views(1))
    assert codes[0] == QUOTE
    assert levels(targets[0]) == ([(100, 2)], [(102, 1)])


def test_less_than_a_lot_is_no_level(over: Over) -> None:
    user = user_strategy("quote_bid(target, 100, 0.9)\nquote_ask(target, 101, 0)\nreturn QUOTE")
    codes, targets = over(user, new_views(1))
    assert codes[0] == QUOTE
    assert levels(targets[0]) == ([], [])


def test_take_and_hedge_carry_all_they_are_told(over: Over) -> None:
    user = user_strategy(
        "take(target, SELL, 99.1, 3, 7)\nhedge(target, BUY, 98.9, 2.5, 8)\nreturn QUOTE"
    )
    target = over(user, new_views(1))[1][0]
    assert [target[f"take_{key}"] for key in ("side", "px_ticks", "qty_lots", "reason")] == [
        1, 100, 3, 7,
    ]  # fmt: skip
    assert [target[f"hedge_{key}"] for key in ("side", "px_ticks", "qty_lots", "reason")] == [
        0, 98, 2, 8,
    ]  # fmt: skip


def test_targets_may_be_written_directly_in_whole_numbers(over: Over) -> None:
    user = user_strategy(
        "target.bids[0].px_ticks = view.bids[0].px_ticks - 1\n"
        "target.bids[0].qty_lots = 4\ntarget.bid_count = 1\nreturn 1"
    )
    assert levels(over(user, quoted_views())[1][0]) == ([(999, 4)], [])


def test_state_lasts_from_call_to_call_and_params_go_by_name_or_number(over: Over) -> None:
    user = user_strategy(
        """
        state[0] += params.step
        state[-1] += params[1]
        quote_bid(target, 100 + state[0] + state[1], 1)
        return QUOTE
        """,
        "params={'step': 2.0, 'other': 10.0}, state=2",
    )
    _, targets = over(user, new_views(3), {"step": 3.0})
    assert [int(t.bids[0].px_ticks) for t in targets] == [113, 126, 139]


def test_a_helper_is_compiled_with_it_and_checked_alike(over: Over) -> None:
    user = user_file(
        """
@helper
def ratio(a, b):
    return a / b


@strategy(state=1)
def f(view, params, state, target):
    quote_bid(target, ratio(100, view.position_lots), 1)
    return QUOTE
"""
    )
    views = new_views(2)
    views["position_lots"] = [2, 0]
    codes, targets = over(user, views)
    assert list(codes) == [QUOTE, FAILED]
    assert levels(targets[0]) == ([(50, 1)], [])


@pytest.mark.parametrize("code", [0, 2, 7, 2**31 - 1])
def test_any_code_but_one_stands_aside(over: Over, code: int) -> None:
    user = user_strategy("quote_bid(target, 100, 1)\nreturn view.position_lots")
    views = new_views(1)
    views["position_lots"] = code
    codes, targets = over(user, views)
    assert codes[0] == code
    assert levels(targets[0]) == ([], [])


def test_a_comparison_may_be_returned(over: Over) -> None:
    user = user_strategy("quote_bid(target, 100, 1)\nreturn view.position_lots == 0")
    views = new_views(2)
    views["position_lots"] = [0, 1]
    assert list(over(user, views)[0]) == [QUOTE, STAND_ASIDE]


NONSENSE = {
    "division by zero, whole": "x = 1 // view.position_lots\nreturn 1 + 0 * x",
    "division by zero, float": "quote_bid(target, 1.0 / view.score, 1)\nreturn 1",
    "state past its end": "state[view.position_lots + 2] = 1.0\nreturn 1",
    "state before its begin": "state[view.position_lots - 3] = 1.0\nreturn 1",
    "target past its end": "target.bids[view.position_lots + 8].px_ticks = 5\nreturn 1",
    "view past its end": "return view.bids[view.position_lots + 10].px_ticks",
    "price is no number": "quote_bid(target, math.nan, 1)\nreturn 1",
    "price is infinite": "quote_ask(target, math.inf, 1)\nreturn 1",
    "price below one tick": "quote_bid(target, 0.5, 1)\nreturn 1",
    "price beyond whole doubles": "quote_bid(target, 1e300, 1)\nreturn 1",
    "quantity is no number": "quote_ask(target, 100, math.nan)\nreturn 1",
    "quantity is negative": "quote_bid(target, 100, -1)\nreturn 1",
    "bid at the ask": "quote_bid(target, 100, 1)\nquote_ask(target, 100, 1)\nreturn 1",
    "crossed by a deeper level": "quote_bid(target, 90, 1)\nquote_bid(target, 101, 1)\n"
    "quote_ask(target, 100, 1)\nreturn 1",
    "nine levels": "for i in range(9):\n    quote_bid(target, 100 - i, 1)\nreturn 1",
    "a count of nine": "target.ask_count = 9\nreturn 1",
    "a count below zero": "target.bid_count = -1\nreturn 1",
    "the guard": "target.guard = 5\nreturn 1",
    "no such side": "take(target, 2, 100, 1, 0)\nreturn 1",
    "a code beyond an int": "return 2**32 + 1 + view.position_lots",
    "a code below zero": "return -1 + view.position_lots",
    "raised by itself": "raise ValueError('no')",
}


def all_nonsense() -> UserStrategy:
    """One function of them all, compiled once: params.which says which."""
    body = "quote_bid(target, 7, 1)\n"
    for index, text in enumerate(NONSENSE.values()):
        body += f"if params.which == {index}:\n{textwrap.indent(text, '    ')}\n"
    return user_strategy(f"{body}return QUOTE", "params={'which': 0.0}, state=2, levels=10")


def test_what_is_no_nonsense_passes(over: Over) -> None:
    codes, _ = over(all_nonsense(), new_views(1), {"which": -1.0})
    assert codes[0] == QUOTE


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_quotes_nothing_and_is_told(over: Over, what: str) -> None:
    codes, targets = over(all_nonsense(), new_views(1), {"which": list(NONSENSE).index(what)})
    assert codes[0] == FAILED
    assert levels(targets[0]) == ([], [])
    assert targets["take_qty_lots"][0] == 0


def test_a_failure_leaves_the_next_call_unharmed(over: Over) -> None:
    user = user_strategy("quote_bid(target, 100 // view.position_lots, 1)\nreturn 1")
    views = new_views(3)
    views["position_lots"] = [1, 0, 2]
    codes, targets = over(user, views)
    assert list(codes) == [QUOTE, FAILED, QUOTE]
    assert [int(t.bids[0].px_ticks) for t in targets] == [100, 0, 50]


# -- RESEARCH ---


def test_over_takes_params_and_gives_state_back(my_quotes: UserStrategy) -> None:
    user = user_strategy("state[0] += 1\nreturn STAND_ASIDE", "state=3")
    state = np.zeros(3)
    user.over(new_views(5), state=state)
    assert list(state) == [5.0, 0.0, 0.0]
    views = quoted_views(4)
    views["signals"]["microprice_ticks"] = 1000.5
    _, wide = my_quotes.over(views, {"half_spread_ticks": 9.0})
    assert levels(wide[3]) == ([(991, 10)], [(1010, 10)])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"views": np.zeros(3)}, "array of views"),
        ({"params": {"nope": 1.0}}, "Unknown parameter 'nope' of my_quotes"),
        ({"params": {"qty_lots": math.nan}}, "finite"),
        ({"state": np.zeros(3)}, "0 doubles of state"),
    ],
)
def test_over_refuses_what_does_not_fit(
    my_quotes: UserStrategy, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        my_quotes.over(**{"views": new_views(2), **arguments})


def test_a_call_makes_no_python_object(my_quotes: UserStrategy) -> None:
    views = quoted_views(1)
    views["signals"]["microprice_ticks"] = 1000.5
    params, state = np.zeros(32), np.zeros(32)
    params[:5] = my_quotes.param_values({})
    view = views.view(np.uint8)
    strategy_layout.call_again(my_quotes.address, view, params, state, 1)
    before = sys.getallocatedblocks()
    assert strategy_layout.call_again(my_quotes.address, view, params, state, 10_000) == QUOTE
    assert abs(sys.getallocatedblocks() - before) < 20


def test_the_faces_refuse_wrong_sizes(my_quotes: UserStrategy) -> None:
    views, params = new_views(2).view(np.uint8), np.zeros(5)
    targets, codes = np.zeros(2, TARGET).view(np.uint8), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="bytes of views"):
        strategy_layout.call_rows(my_quotes.address, views[8:], params, params[:0], targets, codes)
    with pytest.raises(ValueError, match="bytes of targets"):
        strategy_layout.call_rows(my_quotes.address, views, params, params[:0], targets[8:], codes)
    with pytest.raises(ValueError, match="address"):
        strategy_layout.call_rows(0, views, params, params[:0], targets, codes)
    with pytest.raises(ValueError, match="at most 32 params"):
        strategy_layout.call_rows(1, views, np.zeros(33), params[:0], targets, codes)
    with pytest.raises(ValueError, match="bytes of a view"):
        strategy_layout.call_again(1, views, params, params, 1)
    with pytest.raises(ValueError, match="room for 32 params"):
        strategy_layout.call_again(1, views[: VIEW.itemsize], params, params, 1)


def test_the_bench_measures_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.user, "ROUNDS", 2)
    figures = bench.user.run()
    assert list(figures)[:2] == ["built-in spread", "the same, user's"]
    assert all(0 < case["p50_ns"] <= case["p99_ns"] for case in figures.values())
