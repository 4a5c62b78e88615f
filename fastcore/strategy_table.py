"""The built-in strategies: parameters in the order of the ABI, and what each needs.

What a strategy does not declare is not computed for it. docs/strategies.md shows this table; a
test compares them.
"""

from typing import NamedTuple

from fastcore.signals import SIGNALS

_MANY = 1e9  # more ticks, lots or ms than anybody means; keeps every cast to an integer exact


class Param(NamedTuple):
    """A parameter: `low` and `high` belong to what is allowed."""

    name: str
    default: float
    low: float
    high: float
    is_whole: bool
    text: str


class Builtin(NamedTuple):
    """A strategy: signals as a mask of SIG_*, levels a side, doubles of state that it keeps."""

    params: tuple[Param, ...]
    signal_mask: int
    levels: int
    state_size: int
    needs_reference: bool


def _real(name: str, default: float, text: str, low: float = 0.0) -> Param:
    return Param(name, default, low, _MANY, False, text)


def _signed(name: str, default: float, text: str) -> Param:
    return Param(name, default, -_MANY, _MANY, False, text)


def _whole(name: str, default: float, text: str, low: float = 0.0) -> Param:
    return Param(name, default, low, _MANY, True, text)


def _switch(name: str, default: float, text: str) -> Param:
    return Param(name, default, 0.0, 1.0, True, text)


def _mask(*names: str) -> int:
    return sum(SIGNALS[name] for name in names)


_TINY = 1e-9  # for what a formula divides by
_QTY = _whole("qty_lots", 1.0, "size of each quote", low=1.0)
_POSITION = _real("position_lots_max", 10.0, "a side is quoted while its fill keeps this limit")
_EDGE = _real(
    "edge_min_ticks",
    0.0,
    "above 0: half spread at least maker fee + this; 0: fees are not looked at",
)
_HALF = _real("half_spread_ticks", 1.0, "from the fair value to each quote, before rounding")
_INVENTORY = _signed(
    "inventory_skew_ticks", 0.5, "fair value leans this much against a position of qty_lots"
)
_OFI = _signed("ofi_skew_ticks", 0.5, "fair value leans this much with an ofi_norm of 1")
_GAMMA = _real("gamma", 0.01, "risk aversion, a tick and lot; 0: the limit without any")
_KAPPA = _real("kappa", 1.0, "a tick: fills thin out as exp(-kappa * distance)", low=_TINY)
_SIGMA = _real("sigma_ticks", 0.0, "ticks a root second; 0: the signal volatility_ticks")
_RETRY = _real("retry_ms", 250.0, "a take or hedge that did not fill is asked for again after it")

BUILTINS: dict[str, Builtin] = {
    "spread": Builtin(
        (_HALF, _QTY, _INVENTORY, _OFI, _POSITION, _EDGE),
        _mask("ofi", "queue_imbalance", "microprice", "ewma_z"),
        levels=1,
        state_size=0,
        needs_reference=False,
    ),
    "avellaneda_stoikov": Builtin(
        (
            _GAMMA,
            _KAPPA,
            _SIGMA,
            _real("horizon_s", 60.0, "tau: how far ahead the position is a risk", low=_TINY),
            _switch("rolling", 1.0, "1: tau stays horizon_s; 0: one session, tau counts down"),
            _QTY,
            _POSITION,
            _EDGE,
        ),
        _mask("volatility"),
        levels=1,
        state_size=6,
        needs_reference=False,
    ),
    "glft": Builtin(
        (
            _GAMMA,
            _KAPPA,
            _real("intensity_per_s", 1.0, "A: fills a second at the mid", low=_TINY),
            _SIGMA,
            _QTY,
            _POSITION,
            _EDGE,
        ),
        _mask("volatility"),
        levels=1,
        state_size=6,
        needs_reference=False,
    ),
    "ofi_skew": Builtin(
        (
            _HALF,
            _QTY,
            _INVENTORY,
            _OFI,
            _signed("tfi_skew_ticks", 0.0, "fair value leans this much with a tfi of 1"),
            _real("widen_ticks", 0.0, "half spread grows by this at an ofi_norm of 1 or -1"),
            _real("vpin_widen_ticks", 0.0, "half spread grows by this at a VPIN of 1"),
            _real(
                "pull_ofi_norm",
                0.0,
                "ofi_norm or -ofi_norm that pulls the side it runs into; 0: off",
            ),
            _POSITION,
            _EDGE,
        ),
        _mask("ofi", "microprice", "tfi", "vpin"),
        levels=1,
        state_size=0,
        needs_reference=False,
    ),
    "mean_reversion": Builtin(
        (
            _switch(
                "use_keltner", 0.0, "0: x is ewma_z; 1: keltner_position, 1 at the upper band"
            ),
            _real("entry_z", 2.0, "x, of either sign, that opens a trade", low=_TINY),
            _signed("exit_z", 0.0, "a long is back at x >= -exit_z, a short at x <= exit_z"),
            _whole("qty_lots", 1.0, "size of a trade", low=1.0),
            _real("stop_ticks", 20.0, "loss that ends a trade at once", low=_TINY),
            _real("target_ticks", 0.0, "gain that ends a trade; 0: off"),
            _real("hold_ms_max", 60000.0, "time that ends a trade; 0: off"),
            _switch("passive", 0.0, "1: enter and take profit by quotes, not by takes"),
            _whole("slippage_ticks", 0.0, "limit of a take, ticks through the touch"),
            _RETRY,
            _real("cooldown_ms", 1000.0, "no entry so long after a stop"),
        ),
        _mask("microprice", "ewma_z", "keltner"),
        levels=1,
        state_size=6,
        needs_reference=False,
    ),
    "stat_arb": Builtin(
        (
            _HALF,
            _QTY,
            _INVENTORY,
            _POSITION,
            _real("unhedged_lots_max", 10.0, "lots that may be naked; at least qty_lots"),
            _real("unhedged_ms_max", 500.0, "time that anything may be naked"),
            _real(
                "z_max", 4.0, "pair_z, of either sign, beyond which the relation is broken; 0: off"
            ),
            _real("half_life_s_max", 0.0, "slowest reversion that is quoted on; 0: any"),
            _whole("hedge_slippage_ticks", 1.0, "limit of a hedge, ticks through the touch"),
            _whole("unwind_slippage_ticks", 1.0, "limit of an unwinding take"),
            _RETRY,
            _EDGE,
        ),
        _mask("pair"),
        levels=1,
        state_size=9,
        needs_reference=True,
    ),
    "hold": Builtin((), 0, levels=1, state_size=0, needs_reference=False),
}
