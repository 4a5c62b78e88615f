"""Strategies that users write in Python: compiled once, called by the core through a C pointer.

    from fastcore.user import QUOTE, STAND_ASIDE, quote_ask, quote_bid, strategy

    @strategy(signals=["microprice"], params={"half_spread_ticks": 2.0})
    def my_quotes(view, params, state, target):
        fair = view.signals.microprice_ticks
        quote_bid(target, fair - params.half_spread_ticks, 1)
        quote_ask(target, fair + params.half_spread_ticks, 1)
        return QUOTE

docs/user_strategies.md is the tutorial. Needs numpy and numba, as nothing else of the core does.
"""

from fastcore.user.abi import SIGNALS, TARGET, VIEW, new_views, params_dtype
from fastcore.user.compiled import Strategy, UserStrategy, helper, strategy
from fastcore.user.errors import StrategyError
from fastcore.user.load import load, split
from fastcore.user.quotes import (
    BUY,
    FAILED,
    QUOTE,
    SELL,
    STAND_ASIDE,
    hedge,
    quote_ask,
    quote_bid,
    take,
)
from fastcore.user.why import why

__all__ = [
    "BUY", "FAILED", "QUOTE", "SELL", "SIGNALS", "STAND_ASIDE", "TARGET", "VIEW", "Strategy",
    "StrategyError", "UserStrategy", "hedge", "helper", "load", "new_views", "params_dtype",
    "quote_ask", "quote_bid", "split", "strategy", "take", "why",
]  # fmt: skip
