"""Why a call failed: the same function once more, in plain Python, on the view that it failed on.

The compiled code only says that it did: an exception has no text there. The core keeps the view
and the state of the last failure; that they are given here after the call (the state as the call
left it) is the one thing that may differ.
"""

import traceback

import numpy as np

from fastcore.strategy_layout import CONSTANTS
from fastcore.user.abi import TARGET, VIEW, params_dtype
from fastcore.user.compiled import UserStrategy
from fastcore.user.errors import StrategyError


def why(user: UserStrategy, view: bytes, params: list[float], state: list[float]) -> StrategyError:
    """What plain Python raises there, at its line; else what the core refused."""
    views = np.frombuffer(bytearray(view), VIEW).view(np.recarray)
    values = np.zeros(1, params_dtype(list(user.params))).view(np.recarray)[0]
    for name, value in zip(user.params, params, strict=True):
        values[name] = value
    target = np.zeros(1, TARGET).view(np.recarray)[0]
    target.guard = CONSTANTS["TARGET_GUARD"]
    try:
        with np.errstate(divide="raise", invalid="raise"):
            code = user.python(views[0], values, np.array(state[: user.state_size]), target)
    except Exception as error:
        lines = [
            frame.lineno or 0
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == user.path
        ]
        return StrategyError(f"{type(error).__name__}: {error}", user.path, lines[-1])
    bids = [tuple(level.tolist()) for level in target.bids[: max(int(target.bid_count), 0)]]
    asks = [tuple(level.tolist()) for level in target.asks[: max(int(target.ask_count), 0)]]
    return StrategyError(
        f"{user.name} returned {int(code)} and wanted bids {bids}, asks {asks} (price, quantity): "
        "crossed, not positive, or too many",
        user.path,
    )
