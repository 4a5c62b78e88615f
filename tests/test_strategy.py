"""Every built-in against its twin and against nonsense; Targets, parameters, faces."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import strategy as reference
from support_sources import ROOT
from support_strategy import (
    PARAMS,
    TAME_VIEWS,
    WILD_VIEWS,
    View,
    make_fast,
    make_reference,
    view_of,
)

from fastcore import strategy as fast
from fastcore.strategy import BUILTINS, builtin_params, quotes_of, repeat_calls

CASES = [(name, params) for name, sets in PARAMS.items() for params in sets]
QTY, MAX = "qty_lots", "position_lots_max"


def test_every_builtin_is_put_to_the_tests() -> None:
    assert list(PARAMS) == list(BUILTINS) == list(reference.STRATEGIES)


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(max_examples=60)
@given(views=st.lists(st.one_of(TAME_VIEWS, WILD_VIEWS), min_size=1, max_size=4))
def test_strategy_and_its_twin_agree(
    name: str, params: dict[str, float], views: list[View]
) -> None:
    first, second = make_fast(name, **params), make_reference(name, **params)
    for view in views:
        assert first(view) == second(view)


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(max_examples=60)
@given(views=st.lists(st.one_of(TAME_VIEWS, WILD_VIEWS), min_size=1, max_size=4))
def test_strategy_is_never_nonsense_and_never_takes_by_a_quote(
    name: str, params: dict[str, float], views: list[View]
) -> None:
    strategy = make_fast(name, **params)
    for view in views:
        quotes = strategy(view)
        assert quotes.code >= 0
        assert quotes.check == 0
        if quotes.code != 1:
            assert quotes[1:5] == ([], [], None, None)
        for px, _ in quotes.bids:
            assert px < view["asks"][0][0]
        for px, _ in quotes.asks:
            assert px > view["bids"][0][0]


@pytest.mark.parametrize("name", [n for n in BUILTINS if n not in ("mean_reversion", "hold")])
@given(view=TAME_VIEWS, qty=st.integers(1, 4))
def test_no_quote_would_break_the_position_limit(name: str, view: View, qty: int) -> None:
    most = 9
    more = {"unhedged_lots_max": 100.0} if name == "stat_arb" else {}
    quotes = make_fast(name, qty_lots=qty, position_lots_max=most, **more)(view)
    held = view["position_lots"]
    assert all(held + lots <= most for _, lots in quotes.bids)
    assert all(held - lots >= -most for _, lots in quotes.asks)


def test_a_pair_that_would_lock_stands_apart_where_it_adds() -> None:
    for position, bid, ask in ((0, 999, 1000), (1, 999, 1000), (-1, 1000, 1001)):
        strategy = make_fast("spread", half_spread_ticks=0, inventory_skew_ticks=0)
        quotes = strategy(view_of(position_lots=position))
        assert (quotes.bids, quotes.asks) == ([(bid, 1)], [(ask, 1)])


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize(
    "view",
    [
        {},
        view_of(bids=[]),
        view_of(asks=[]),
        view_of(bid=1000, ask=1000),
        view_of(bid=1001, ask=1000),
        view_of(bid=0, ask=1000),
        view_of(bid=2**51, ask=2**51 + 1),
    ],
)
def test_without_a_touch_every_strategy_stands_aside(name: str, view: View) -> None:
    view = {**view, "position_lots": 5, "entry_px_ticks": 1.0}
    assert quotes_of(name, view, {}) == (0, [], [], None, None, 0)


# -- TARGETS ---------------------------------------------------------------------------------

GOOD = [(100, 1)], [(101, 1)]
NONSENSE = [
    ([(100, 1)], [(100, 1)]),
    ([(100, 1), (101, 1)], [(101, 1)]),
    ([(0, 1)], []),
    ([(-(2**63), 1)], []),
    ([(2**52 + 1, 1)], []),
    ([], [(101, 0)]),
    ([], [(101, -1)]),
    ([], [(101, 2**52 + 1)]),
]


@pytest.mark.parametrize("check", [fast.target_code, reference.target_code])
def test_nonsense_in_a_target_is_told(check) -> None:  # type: ignore[no-untyped-def]
    assert check([], []) == check(*GOOD) == 0
    assert check([(2**52, 2**52)], []) == 0
    for bids, asks in NONSENSE:
        assert check(bids, asks) == -2
    for place in (0, 1):

        def with_order(order: tuple[int, ...], place: int = place) -> int:
            orders: list[tuple[int, ...]] = [(0, 0, 0), (0, 0, 0)]
            orders[place] = order
            return int(check(*GOOD, *orders))

        assert with_order((0, 1, 1)) == with_order((1, 1, 1)) == with_order((7, -1, 0)) == 0
        assert with_order((0, 1, 1, 3)) == with_order((0, 1, 0, -3)) == 0
        for order in ((2, 5, 1), (-1, 5, 1), (0, 0, 1), (1, -5, 1), (0, 5, -1), (0, 2**52 + 1, 1),
                      (1, 5, 2**52 + 1), (1, -(2**63), -(2**63)), (0, 1, 1, -1)):  # fmt: skip
            assert with_order(order) == -2


# -- PARAMETERS ------------------------------------------------------------------------------


def test_defaults_fill_in_and_order_is_the_abis() -> None:
    assert builtin_params("spread", {"qty_lots": 3}) == [1.0, 3.0, 0.5, 0.5, 10.0, 0.0]
    assert BUILTINS["spread"][0][0][0] == "half_spread_ticks"
    for name, builtin in BUILTINS.items():
        assert builtin_params(name, {}) == [param.default for param in builtin.params]
        assert len(builtin.params) <= 32
        assert builtin.state_size <= 32


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("spread", {"qty_lots": 0}, "qty_lots"),
        ("spread", {"qty_lots": 1.5}, "qty_lots to be a whole number"),
        ("spread", {"qty_lots": 1e10}, "qty_lots"),
        ("spread", {"qty_lots": "many"}, "qty_lots to be a number"),
        ("spread", {"half_spread_ticks": -1.0}, "half_spread_ticks"),
        ("spread", {"ofi_skew_ticks": math.nan}, "finite ofi_skew_ticks"),
        ("spread", {"typo": 1.0}, "Unknown parameter 'typo'"),
        ("spread", {"edge_min_tick": 1.0}, "did you mean 'edge_min_ticks'"),
        ("glft", {"kappa": 0}, "kappa"),
        ("glft", {"intensity_per_s": 0}, "intensity_per_s"),
        ("avellaneda_stoikov", {"rolling": 0.5}, "rolling"),
        ("avellaneda_stoikov", {"horizon_s": 0}, "horizon_s"),
        ("mean_reversion", {"exit_z": 2.0, "entry_z": 2.0}, "exit_z < entry_z"),
        ("mean_reversion", {"stop_ticks": 0}, "stop_ticks"),
        ("stat_arb", {"unhedged_lots_max": 1, "qty_lots": 2}, "unhedged_lots_max >= qty_lots"),
        ("nope", {}, "Unknown strategy 'nope'; built in: avellaneda_stoikov, glft"),
    ],
)
def test_wrong_parameters_are_refused(name: str, params: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        builtin_params(name, params)


def test_the_documented_table_is_the_table_in_force() -> None:
    text = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    for name, builtin in BUILTINS.items():
        section = text.split(f"\n## `{name}`")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.*) \|$", section, re.MULTILINE)
        assert rows == [(p.name, f"{p.default:g}", p.text) for p in builtin.params]


# -- FACES -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "state", "text"),
    [
        ({"bid": []}, None, "Unknown field 'bid'"),
        ({"own_bids": []}, None, "Unknown field 'own_bids'"),
        ({"signals": {"nope": 1.0}}, None, "Unknown signal 'nope'"),
        ({"bids": [(1, 1)] * 11}, None, "at most 10 bids"),
        ({}, [0.0], "Expected 6 numbers of state for glft"),
    ],
)
def test_wrong_views_are_refused(view: View, state: list[float] | None, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        quotes_of("glft", view, {}, state)


def test_calls_in_a_row_quote_as_one_does() -> None:
    view = view_of(
        ewma_z=3.0, pair_z=1.0, ref_bid=(500, 1), ref_ask=(501, 1), ref_lots_per_lot=1.0
    )
    for name in BUILTINS:
        assert repeat_calls(name, view, {}, 0) == 0
        assert repeat_calls(name, view, {}, 10) == 10
        assert repeat_calls(name, {}, {}, 10) == 0
