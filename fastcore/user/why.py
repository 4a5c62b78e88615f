"""Why a call failed: the same function once more, in plain Python, on the view that it failed on.

The compiled code only says that it did: an exception has no text there. The core keeps the view
and the state that its first failed call was given.
"""

import traceback
from typing import Any

import numpy as np

from fastcore.strategy_layout import CONSTANTS
from fastcore.user.abi import TARGET, TARGET_LEVELS, VIEW, params_dtype
from fastcore.user.compiled import CODE_MAX, UserStrategy
from fastcore.user.errors import StrategyError

PX_MAX = 1 << 52  # as check_target's: the highest price and size that a strategy may name


def why(
    user: UserStrategy,
    view: bytes,
    params: list[float],
    state: list[float],
    is_referenced: bool = False,
) -> StrategyError:
    """What plain Python raises there, at its line; else what the core refused; else that plain
    Python does not fail there."""
    views = np.frombuffer(bytearray(view), VIEW).view(np.recarray)
    values = np.zeros(1, params_dtype(list(user.params))).view(np.recarray)[0]
    for name, value in zip(user.params, params, strict=True):
        values[name] = value
    target = np.zeros(1, TARGET).view(np.recarray)[0]
    target.guard = CONSTANTS["TARGET_GUARD"]
    try:
        with np.errstate(divide="raise", invalid="raise"):
            code = int(user.python(views[0], values, np.array(state[: user.state_size]), target))
    except Exception as error:
        lines = [
            frame.lineno or 0
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == user.path
        ]
        return StrategyError(
            f"{type(error).__name__}: {error}", user.path, lines[-1] if lines else 0
        )
    return StrategyError(_judged(user.name, code, target, is_referenced), user.path)


def _judged(name: str, code: int, target: Any, is_referenced: bool) -> str:
    bids = [tuple(level.tolist()) for level in target.bids[: max(int(target.bid_count), 0)]]
    asks = [tuple(level.tolist()) for level in target.asks[: max(int(target.ask_count), 0)]]
    wanted = f"{name} returned {code} and wanted bids {bids}, asks {asks} (price, quantity): "
    if not 0 <= code <= CODE_MAX:
        return wanted + "a code is a whole number from 0 up"
    reasons = _reasons(target, bids, asks, is_referenced) if code == CONSTANTS["QUOTE"] else []
    if reasons:
        return wanted + "; ".join(reasons)
    return (
        f"{wanted}plain Python does not fail there, compiled it did. They differ in whole numbers"
        " that wrap around, in variables without a value, and in what is read from outside"
    )


def _reasons(target: Any, bids: list[Any], asks: list[Any], is_referenced: bool) -> list[str]:
    """As check_target of fastcore/strategy.pyx, and what the core adds to it."""
    found = []
    if target.guard != CONSTANTS["TARGET_GUARD"]:
        found.append("target.guard was written to")
    for count, side in ((target.bid_count, "bids"), (target.ask_count, "asks")):
        if not 0 <= count <= TARGET_LEVELS:
            found.append(f"{int(count)} {side}, 0 to {TARGET_LEVELS} may be")
    if not all(_is_sane(*level) for level in bids + asks):
        found.append("not positive, or too great")
    if bids and asks and max(bids)[0] >= min(asks)[0]:
        found.append("crossed, the bid at or above the ask")
    for kind in ("take", "hedge"):
        way, px, qty, reason = (
            int(target[f"{kind}_{name}"]) for name in ("side", "px_ticks", "qty_lots", "reason")
        )
        if qty != 0 and (way not in (0, 1) or reason < 0 or not _is_sane(px, qty)):
            found.append(
                f"a {kind} of side {way}, price {px}, quantity {qty}, reason {reason}: out of"
                " range"
            )
    if target.hedge_qty_lots > 0 and not is_referenced:
        found.append("a hedge needs a reference leg, and this run has none")
    return found


def _is_sane(px: int, qty: int) -> bool:
    return 0 < px <= PX_MAX and 0 < qty <= PX_MAX
