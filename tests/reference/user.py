"""A user's strategy run as plain Python on numpy records, with the core's rules spelt out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcore.strategy_layout import CONSTANTS
from fastcore.user import FAILED, QUOTE, TARGET, UserStrategy, params_dtype


def over(
    user: UserStrategy, views: Any, params: Mapping[str, float] | None = None
) -> tuple[Any, Any]:
    """As UserStrategy.over: (codes, targets)."""
    values = np.zeros(1, params_dtype(list(user.params))).view(np.recarray)[0]
    for name, value in zip(user.params, user.param_values(params or {}), strict=True):
        values[name] = value
    state = np.zeros(user.state_size)
    codes = np.zeros(len(views), np.int32)
    targets = np.zeros(len(views), TARGET).view(np.recarray)
    targets["guard"] = CONSTANTS["TARGET_GUARD"]
    for row, view in enumerate(views):
        try:
            with np.errstate(divide="raise", invalid="raise"):
                code = int(user.python(view, values, state, targets[row]))
        except (ArithmeticError, IndexError, ValueError):
            code = FAILED
        if not 0 <= code < 2**31 or (code == QUOTE and not is_sound(targets[row])):
            code = FAILED
        if code != QUOTE:
            targets[row] = np.zeros(1, TARGET)[0]
            targets["guard"][row] = CONSTANTS["TARGET_GUARD"]
        codes[row] = code
    return codes, targets


def is_sound(target: Any) -> bool:
    """What check_target asks for."""
    if target.guard != CONSTANTS["TARGET_GUARD"]:
        return False
    for count in (target.bid_count, target.ask_count):
        if not 0 <= count <= CONSTANTS["TARGET_LEVELS"]:
            return False
    bids, asks = target.bids[: target.bid_count], target.asks[: target.ask_count]
    if any(level.px_ticks <= 0 or level.qty_lots <= 0 for level in (*bids, *asks)):
        return False
    if len(bids) and len(asks):
        return bool(max(bids["px_ticks"]) < min(asks["px_ticks"]))
    return True
