"""What every kernel stands on: the compiler's settings, the decay of decay.h, checks of input."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from fastcore.signals import decay_tables

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
F = TypeVar("F", bound=Callable[..., Any])

BID, BID_QTY, ASK, ASK_QTY, AT = range(5)  # columns of touches
VARIANCE_MIN = 1e-12
WARM_UP_TAUS = 3

_STEPS, _HALVES = (np.array(table) for table in decay_tables())
_STEPS_PER_UNIT = float.fromhex("0x1.71547652b82fep+5")  # these three: see decay.h
_STEP_HIGH = float.fromhex("0x1.62e42fefa2000p-6")
_STEP_LOW = float.fromhex("0x1.9ef35793c7673p-46")


def jit(function: F) -> F:
    """Compiled on first call; divisions as in C, nothing reassociated or fused."""
    return cast(F, numba.njit(error_model="numpy", fastmath=False, cache=True)(function))


@jit
def decay(x: float) -> tuple[float, float]:
    """(e^-x, 1 - e^-x), x >= 0; see decay.h."""
    if x >= 40.0:
        return 0.0, 1.0
    n = int(x * _STEPS_PER_UNIT + 0.5)
    r = (x - n * _STEP_HIGH) - n * _STEP_LOW
    r2 = r * r
    inner = (1.0 / 24.0 - r * (1.0 / 120.0)) + r2 * (1.0 / 720.0)
    p = r2 * ((0.5 - r * (1.0 / 6.0)) + r2 * inner) - r
    s = _STEPS[n & 31] * _HALVES[n >> 5]
    return s + s * p, (1.0 - s) - s * p


@jit
def power(base: float, n: int) -> float:
    result = 1.0
    while n > 0 and base > 0.0:
        if n & 1:
            result *= base
        base *= base
        n >>= 1
    return result


def ns(ms: float) -> int:
    return max(round(ms * 1e6), 1)


def check_touches(touches: I64) -> I64:
    if touches.ndim != 2 or touches.shape[1] != 5 or touches.dtype != np.int64:
        raise ValueError(f"Expected int64[n, 5] touches, was {touches.dtype}{touches.shape}")
    bid, bid_qty, ask, ask_qty = touches[:, :AT].T
    holes = np.flatnonzero((bid <= 0) | (bid_qty <= 0) | (ask_qty <= 0) | (bid >= ask))
    if len(holes):
        raise ValueError(
            f"Touch {holes[0]} is one-sided, locked or crossed: {touches[holes[0]].tolist()}; "
            "cut there, and call once a piece"
        )
    return touches


def check_trades(trades: I64) -> I64:
    if trades.ndim != 2 or trades.shape[1] != 4 or trades.dtype != np.int64:
        raise ValueError(f"Expected int64[n, 4] trades, was {trades.dtype}{trades.shape}")
    bad = np.flatnonzero((trades[:, 2] <= 0) | (trades[:, 0] < 0) | (trades[:, 0] > 1))
    if len(bad):
        raise ValueError(f"Trade {bad[0]} has no side or no size: {trades[bad[0]].tolist()}")
    return trades


def check_lengths(*columns: npt.NDArray[Any]) -> None:
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"Expected columns of one length, were {[len(c) for c in columns]}")
