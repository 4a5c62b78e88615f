"""Quoting strategies: formulas by hand, skews, fees, limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import strategy as reference
from support_strategy import Make, S, make_fast, make_reference, view_of

from fastcore import strategy as fast


@pytest.fixture(params=[make_fast, make_reference], ids=["fast", "reference"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[fast, reference], ids=["fast", "reference"])
def formulas(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param


# -- SPREAD ----------------------------------------------------------------------------------


def test_spread_is_its_formula(make: Make) -> None:
    strategy = make("spread", half_spread_ticks=2, qty_lots=10, inventory_skew_ticks=1,
                    ofi_skew_ticks=1.5, position_lots_max=60)  # fmt: skip
    # 1000.25 + 1.5 * 2 - 1 * 30 / 10 = 1000.25
    view = view_of(microprice_ticks=1000.25, ofi_norm=2.0, position_lots=30)
    assert strategy(view)[:3] == (1, [(998, 10)], [(1003, 10)])


@pytest.mark.parametrize(
    ("position", "sides"), [(50, (1, 1)), (51, (0, 1)), (-50, (1, 1)), (-51, (1, 0))]
)
def test_spread_stops_adding_at_its_position_limit(
    make: Make, position: int, sides: tuple[int, int]
) -> None:
    quotes = make("spread", qty_lots=10, position_lots_max=60)(view_of(position_lots=position))
    assert (len(quotes.bids), len(quotes.asks)) == sides


def test_spread_never_crosses_the_book(make: Make) -> None:
    strategy = make("spread", half_spread_ticks=0, ofi_skew_ticks=50)
    assert strategy(view_of(ofi_norm=3.0)).bids[0][0] == 1000
    assert strategy(view_of(ofi_norm=-3.0)).asks[0][0] == 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_spread_stands_aside_on_a_fair_value_that_is_no_price(make: Make, value: float) -> None:
    assert make("spread")(view_of(microprice_ticks=value)) == (0, [], [], None, None, 0)


@pytest.mark.parametrize(
    ("fee", "edge", "half"),
    [
        (3.0, 0.0, 1.0),  # fees are not looked at
        (3.0, 0.5, 3.5),
        (0.4, 0.5, 1.0),  # the half spread is wide enough
        (-2.0, 0.5, 1.0),  # a rebate does not narrow it
        (0.5, 0.5, 1.0),
    ],
)
def test_a_quote_stands_off_by_its_fee_and_the_edge(
    make: Make, fee: float, edge: float, half: float
) -> None:
    strategy = make("spread", half_spread_ticks=1, edge_min_ticks=edge)
    quotes = strategy(view_of(maker_fee_ticks=fee))
    assert quotes.bids[0][0] == math.floor(1000 - half)
    assert quotes.asks[0][0] == math.ceil(1000 + half)


def test_a_fee_that_is_not_known_quotes_nothing_where_an_edge_is_asked(make: Make) -> None:
    view = view_of(maker_fee_ticks=math.nan)
    assert make("spread", edge_min_ticks=1)(view).code == 0
    assert make("spread", edge_min_ticks=0)(view).code == 1


@pytest.mark.parametrize("name", ["spread", "avellaneda_stoikov", "glft", "ofi_skew"])
@given(held=st.integers(1, 8), spread=st.integers(1, 6))
def test_quotes_lean_against_the_position(name: str, held: int, spread: int) -> None:
    risk = {"avellaneda_stoikov": {"gamma": 0.05}, "glft": {"gamma": 1.0}}
    strategy = make_fast(name, **risk.get(name, {}))
    low, flat, high = (
        strategy(view_of(bid=1000 - spread, ask=1000 + spread, position_lots=lots))
        for lots in (held, 0, -held)
    )
    assert low.bids[0][0] <= flat.bids[0][0] <= high.bids[0][0]
    assert low.asks[0][0] <= flat.asks[0][0] <= high.asks[0][0]
    assert low.bids[0][0] < high.bids[0][0]
    assert low.bids[0][0] < 1000 < high.asks[0][0]


@pytest.mark.parametrize("name", ["spread", "ofi_skew"])
@given(ofi=st.floats(0.0, 3.0))
def test_quotes_lean_with_the_order_flow(name: str, ofi: float) -> None:
    strategy = make_fast(name, ofi_skew_ticks=2)
    up, down = strategy(view_of(ofi_norm=ofi)), strategy(view_of(ofi_norm=-ofi))
    assert up.bids[0][0] >= down.bids[0][0]
    assert up.asks[0][0] >= down.asks[0][0]
    assert (1000 - down.bids[0][0], 1000 - down.asks[0][0]) == (
        up.asks[0][0] - 1000,
        up.bids[0][0] - 1000,
    )


# -- AVELLANEDA AND STOIKOV ------------------------------------------------------------------


def test_avellaneda_stoikov_quotes_by_hand(formulas) -> None:  # type: ignore[no-untyped-def]
    reservation, bid, ask = formulas.avellaneda_stoikov_quotes(100.0, 2.0, 0.1, 2.0, 1.5, 0.5)
    assert reservation == pytest.approx(100 - 2 * 0.1 * 4 * 0.5, abs=1e-12)
    assert ask - bid == pytest.approx(0.1 * 4 * 0.5 + 20 * math.log(1 + 0.1 / 1.5), abs=1e-12)
    assert (bid + ask) / 2 == pytest.approx(reservation, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 5e-324, 1e-300, 1e-12])
def test_without_risk_aversion_both_are_one_over_kappa(  # type: ignore[no-untyped-def]
    formulas, gamma: float
) -> None:
    for quotes in (
        formulas.avellaneda_stoikov_quotes(100.0, 5.0, gamma, 2.0, 1.5, 1.0),
        formulas.glft_quotes(100.0, 0.0, gamma, 2.0, 1.5, 140.0, 1.0),
    ):
        assert quotes == pytest.approx((100.0, 100 - 1 / 1.5, 100 + 1 / 1.5), abs=1e-6)


def test_avellaneda_stoikov_strategy_is_its_formula_for_its_order_size(make: Make) -> None:
    gamma, kappa, sigma, tau, qty, held = 0.02, 0.4, 3.0, 10.0, 4, 3
    strategy = make("avellaneda_stoikov", gamma=gamma, kappa=kappa, horizon_s=tau, qty_lots=qty)
    quotes = strategy(view_of(990, 1010, volatility_ticks=sigma, position_lots=held))
    risk = gamma * sigma**2 * tau
    half = risk * qty / 2 + math.log(1 + gamma * qty / kappa) / (gamma * qty)
    assert quotes.bids == [(math.floor(1000 - held * risk - half), qty)]
    assert quotes.asks == [(math.ceil(1000 - held * risk + half), qty)]


def test_a_fixed_sigma_needs_no_signal_and_a_cold_signal_quotes_nothing(make: Make) -> None:
    for name in ("avellaneda_stoikov", "glft"):
        for cold in (0.0, math.nan, -1.0):
            assert make(name)(view_of(volatility_ticks=cold)).code == 2
            assert make(name, sigma_ticks=2)(view_of(volatility_ticks=cold)).code == 1


def test_a_session_counts_down_and_then_only_goes_home(make: Make) -> None:
    strategy = make("avellaneda_stoikov", gamma=1, kappa=1, sigma_ticks=1, horizon_s=8, rolling=0)
    half = math.log(2)
    start = 2**60
    for elapsed_s, tau in ((0, 8), (3, 5), (-1, 8)):  # a clock never gives more than the horizon
        quotes = strategy(view_of(position_lots=1, now_ns=start + elapsed_s * S))
        assert quotes.bids == [(math.floor(1000 - tau - tau / 2 - half), 1)]
    for position, sides in ((1, (0, 1)), (0, (0, 0)), (-1, (1, 0))):
        quotes = strategy(view_of(position_lots=position, now_ns=start + 9 * S))
        assert (quotes.code, len(quotes.bids), len(quotes.asks)) == (1, *sides)


def test_what_is_kept_in_state_follows_its_parameters() -> None:
    for name, size in (("avellaneda_stoikov", 6), ("glft", 6)):
        state = [0.0] * size
        for params in ({"kappa": 0.1}, {"kappa": 0.2}, {"kappa": 0.2, "qty_lots": 5.0},
                       {"kappa": 0.2, "gamma": 0.5}):  # fmt: skip
            fresh = fast.quotes_of(name, view_of(), params, [0.0] * size)
            assert fast.quotes_of(name, view_of(), params, state) == fresh


# -- GUEANT, LEHALLE, FERNANDEZ-TAPIA --------------------------------------------------------


def eigenvector_quotes(
    gamma: float, sigma: float, intensity: float, kappa: float, bound: int
) -> dict[int, tuple[float, float]]:
    """Theorem 2 of GLFT 2013: distances of bid and ask by inventory, inside a hard bound."""
    lots = np.arange(-bound, bound + 1)
    eta = intensity * (1 + gamma / kappa) ** -(1 + kappa / gamma)
    matrix = np.diag(kappa * gamma * sigma**2 / 2 * lots.astype(float) ** 2)
    matrix -= eta * (np.eye(len(lots), k=1) + np.eye(len(lots), k=-1))
    f = np.abs(np.linalg.eigh(matrix)[1][:, 0])
    base = math.log(1 + gamma / kappa) / gamma
    return {
        int(q): (
            base + math.log(f[i] / f[i + 1]) / kappa,
            base + math.log(f[i] / f[i - 1]) / kappa,
        )
        for i, q in enumerate(lots)
        if 0 < i < len(lots) - 1
    }


@pytest.mark.parametrize(
    ("gamma", "sigma", "intensity", "kappa", "limits"),
    [
        (0.01, 0.3, 0.9, 0.3, {10: 0.002}),
        (0.1, 2.0, 140.0, 1.5, {5: 0.003, 10: 0.01}),
    ],
)
def test_closed_form_is_near_the_exact_solution(  # type: ignore[no-untyped-def]
    formulas, gamma: float, sigma: float, intensity: float, kappa: float, limits: dict[int, float]
) -> None:
    exact = eigenvector_quotes(gamma, sigma, intensity, kappa, bound=60)
    for held_max, tolerance in limits.items():
        for held in range(-held_max, held_max + 1):
            _, bid, ask = formulas.glft_quotes(0.0, held, gamma, sigma, kappa, intensity, 1.0)
            assert (-bid, ask) == pytest.approx(exact[held], abs=tolerance)


def test_glft_strategy_is_its_formula_for_its_order_size(make: Make) -> None:
    gamma, kappa, intensity, sigma, qty, held = 0.05, 0.3, 0.9, 4.0, 2, 3
    strategy = make("glft", gamma=gamma, kappa=kappa, intensity_per_s=intensity, qty_lots=qty)
    quotes = strategy(view_of(990, 1010, volatility_ticks=sigma, position_lots=held))
    u = gamma * qty / kappa
    c1 = math.log(1 + u) / (gamma * qty)
    c2 = math.sqrt(gamma / (2 * intensity * qty * kappa) * (1 + u) ** (1 + 1 / u))
    assert quotes.bids == [(math.floor(1000 - c1 - (2 * held + qty) / 2 * sigma * c2), qty)]
    assert quotes.asks == [(math.ceil(1000 + c1 - (2 * held - qty) / 2 * sigma * c2), qty)]


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("avellaneda_stoikov_quotes", (100, 0, -0.1, 2, 1.5, 1), "gamma >= 0"),
        ("avellaneda_stoikov_quotes", (100, 0, 0.1, -2, 1.5, 1), "sigma >= 0"),
        ("avellaneda_stoikov_quotes", (100, 0, 0.1, 2, 0, 1), "kappa > 0"),
        ("avellaneda_stoikov_quotes", (100, 0, 0.1, 2, 1.5, -1), "time_left >= 0"),
        ("avellaneda_stoikov_quotes", (math.nan, 0, 0.1, 2, 1.5, 1), "finite mid"),
        ("avellaneda_stoikov_quotes", (100, math.inf, 0.1, 2, 1.5, 1), "finite inventory"),
        ("avellaneda_stoikov_quotes", (100, 0, 0.1, 1e200, 1.5, 1), "not finite"),
        ("glft_quotes", (100, 0, -0.1, 2, 1.5, 140, 1), "gamma >= 0"),
        ("glft_quotes", (100, 0, 0.1, 2, 1.5, 0, 1), "intensity > 0"),
        ("glft_quotes", (100, 0, 0.1, 2, 1.5, 140, 0), "order_qty > 0"),
        ("glft_quotes", (100, 0, 0.1, 2, math.nan, 140, 1), "finite kappa"),
    ],
)
def test_wrong_arguments_of_a_formula_are_refused(
    name: str, arguments: tuple[float, ...], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        getattr(fast, name)(*arguments)


# -- ORDER FLOW ------------------------------------------------------------------------------


def test_ofi_skew_is_its_formula(make: Make) -> None:
    strategy = make("ofi_skew", half_spread_ticks=1, ofi_skew_ticks=2, tfi_skew_ticks=3,
                    widen_ticks=0.5, vpin_widen_ticks=4, inventory_skew_ticks=1)  # fmt: skip
    # fair 1000 + 2 * 1 + 3 * 0.5 - 1 = 1002.5; half 1 + 0.5 + 4 * 0.25 = 2.5
    view = view_of(ofi_norm=1.0, tfi=0.5, vpin=0.25, position_lots=1)
    assert strategy(view)[1:3] == ([(1000, 1)], [(1005, 1)])


@pytest.mark.parametrize(
    ("ofi", "sides"), [(-1.5, (0, 1)), (-1.49, (1, 1)), (1.49, (1, 1)), (1.5, (1, 0))]
)
def test_the_side_that_the_flow_runs_into_is_pulled(
    make: Make, ofi: float, sides: tuple[int, int]
) -> None:
    quotes = make("ofi_skew", pull_ofi_norm=1.5)(view_of(ofi_norm=ofi))
    assert (len(quotes.bids), len(quotes.asks)) == sides
