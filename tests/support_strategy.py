"""Built-in strategies and their twins behind one call, and views to show them."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from reference import strategy as reference

from fastcore.strategy import BUILTINS, Quotes, builtin_params, quotes_of

MS = 1_000_000
S = 1000 * MS
View = dict[str, Any]
Strategy = Callable[[View], Quotes]
Make = Callable[..., Strategy]


def make_fast(name: str, **params: float) -> Strategy:
    """The compiled strategy, with a state that lives from call to call."""
    state = [0.0] * BUILTINS[name].state_size
    return lambda view: quotes_of(name, view, params, state)


def make_reference(name: str, **params: float) -> Strategy:
    names = [param.name for param in BUILTINS[name].params]
    whole = dict(zip(names, builtin_params(name, params), strict=True))
    state: dict[str, float] = {}
    return lambda view: reference.quotes_of(name, view, whole, state)


def view_of(bid: int = 999, ask: int = 1001, **fields: Any) -> View:
    """A view of a touch; signals by their own names beside the view's fields."""
    signals = {"microprice_ticks": 0.5 * (bid + ask), "volatility_ticks": 2.0}
    signals |= {key: fields.pop(key) for key in list(fields) if key in SIGNALS}
    return {"bids": [(bid, 5)], "asks": [(ask, 7)], "signals": signals, **fields}


SIGNALS = (
    "microprice_ticks", "ofi_norm", "volatility_ticks", "tfi", "vpin", "ewma_z",
    "ewma_mean_ticks", "keltner_position", "keltner_mid_ticks", "pair_spread_ticks", "pair_z",
    "pair_half_life_s",
)  # fmt: skip


# -- WHATEVER A VIEW MAY HOLD ----------------------------------------------------------------

ANY_INT = st.integers(-(2**63), 2**63 - 1)
PX = st.one_of(st.integers(980, 1020), st.integers(-2, 5), ANY_INT)
QTY = st.one_of(st.integers(0, 20), ANY_INT)
LOTS = st.one_of(st.integers(-25, 25), st.integers(-(2**62), 2**62))
DOUBLE = st.one_of(
    st.floats(-5.0, 5.0), st.floats(980.0, 1020.0), st.floats(allow_nan=True, allow_infinity=True)
)
NOW = st.one_of(st.integers(0, 5000).map(lambda ms: ms * MS), st.integers(0, 2**62))


def levels() -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(PX, QTY), min_size=0, max_size=2)


WILD_VIEWS = st.fixed_dictionaries(
    {
        "now_ns": NOW,
        "bids": levels(),
        "asks": levels(),
        "position_lots": LOTS,
        "entry_px_ticks": DOUBLE,
        "entry_ns": NOW,
        "maker_fee_ticks": DOUBLE,
        "ref_bid": st.tuples(PX, QTY),
        "ref_ask": st.tuples(PX, QTY),
        "ref_position_lots": LOTS,
        "ref_open_lots": LOTS,
        "ref_lots_per_lot": DOUBLE,
        "signals": st.fixed_dictionaries(dict.fromkeys(SIGNALS, DOUBLE)),
    }
)
TAME = st.floats(-4.0, 4.0)
TAME_VIEWS = st.builds(
    lambda bid, spread, fields, signals, reference: {
        "bids": [(bid, 3)],
        "asks": [(bid + spread, 4)],
        "ref_bid": (reference, 2),
        "ref_ask": (reference + 1, 2),
        "signals": {
            **dict(zip(SIGNALS, signals, strict=True)),
            "microprice_ticks": bid + spread * 0.25,
            "ewma_mean_ticks": bid + signals[0],
            "keltner_mid_ticks": bid + signals[1],
            "volatility_ticks": abs(signals[2]),
            "pair_half_life_s": abs(signals[11]),
        },
        **fields,
    },
    st.integers(980, 1015),
    st.integers(1, 8),
    st.fixed_dictionaries(
        {
            "now_ns": st.integers(0, 3000).map(lambda ms: ms * MS),
            "position_lots": st.integers(-12, 12),
            "entry_px_ticks": st.floats(980.0, 1020.0),
            "entry_ns": st.just(0),
            "maker_fee_ticks": st.floats(-1.0, 3.0),
            "ref_position_lots": st.integers(-12, 12),
            "ref_open_lots": st.integers(-3, 3),
            "ref_lots_per_lot": st.sampled_from([1.0, 0.5, 2.5]),
        }
    ),
    st.tuples(*[TAME] * len(SIGNALS)),
    st.integers(400, 410),
)
# Params that turn every branch on, and the defaults.
PARAMS: dict[str, list[dict[str, float]]] = {
    "spread": [{}, {"half_spread_ticks": 0, "qty_lots": 3, "edge_min_ticks": 0.5}],
    "avellaneda_stoikov": [
        {},
        {"gamma": 0.3, "rolling": 0, "horizon_s": 1.5, "qty_lots": 2, "edge_min_ticks": 1},
        {"gamma": 0, "sigma_ticks": 3.0, "kappa": 0.4},
    ],
    "glft": [
        {},
        {"gamma": 0.3, "kappa": 0.3, "intensity_per_s": 0.9, "qty_lots": 2, "edge_min_ticks": 1},
        {"gamma": 0, "sigma_ticks": 3.0},
    ],
    "ofi_skew": [
        {},
        {"tfi_skew_ticks": 1, "widen_ticks": 0.5, "vpin_widen_ticks": 2, "pull_ofi_norm": 1.5},
    ],
    "mean_reversion": [
        {"stop_ticks": 4},
        {"stop_ticks": 4, "target_ticks": 3, "use_keltner": 1, "entry_z": 1, "slippage_ticks": 2,
         "hold_ms_max": 1000},
        {"stop_ticks": 4, "target_ticks": 3, "passive": 1, "entry_z": 1, "hold_ms_max": 1000},
        {"stop_ticks": 4, "passive": 1, "use_keltner": 1, "hold_ms_max": 0, "exit_z": 0.5},
    ],
    "stat_arb": [
        {},
        {"unhedged_lots_max": 3, "half_life_s_max": 3, "qty_lots": 2, "edge_min_ticks": 0.5},
        {"z_max": 0, "unhedged_lots_max": 40, "position_lots_max": 20, "hedge_slippage_ticks": 0},
    ],
    "hold": [{}],
}  # fmt: skip
