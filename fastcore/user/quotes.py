"""What a strategy calls to say what it wants: quote_bid, quote_ask, take, hedge.

Prices and quantities may be floats. A price is rounded away from the market (a bid down, an ask
up; the limit of a take likewise, so it never pays more than it said), a quantity down. What is no
number, not positive, or too many raises, which inside the core means: this call quotes nothing and
is counted. The same functions run in plain Python, on numpy records.
"""

import math
from typing import Any

from numba.extending import register_jitable

from fastcore.strategy_layout import CONSTANTS
from fastcore.user.abi import TARGET_LEVELS

STAND_ASIDE = CONSTANTS["STAND_ASIDE"]
QUOTE = CONSTANTS["QUOTE"]
FAILED = CONSTANTS["FAILED"]
BUY = CONSTANTS["BUY"]
SELL = CONSTANTS["SELL"]
NUMBER_MAX = 9007199254740992.0  # 2^53: beyond it doubles skip whole numbers
OPTIONS = {"boundscheck": True, "error_model": "python"}


def _whole_px(px: float, up: bool) -> int:
    if not 1.0 <= px <= NUMBER_MAX:  # NaN is in no range
        raise ValueError("a price must be a number from 1 tick up")
    return math.ceil(px) if up else math.floor(px)


def _whole_qty(qty: float) -> int:
    if not 0.0 <= qty <= NUMBER_MAX:
        raise ValueError("a quantity must be a number from 0 lots up")
    return math.floor(qty)


_whole_px = register_jitable(**OPTIONS)(_whole_px)
_whole_qty = register_jitable(**OPTIONS)(_whole_qty)


def quote_bid(target: Any, px: float, qty: float) -> None:
    """One more level to buy at; under one lot none. At most TARGET_LEVELS a side."""
    px_ticks = _whole_px(px, False)
    qty_lots = _whole_qty(qty)
    count = target.bid_count
    if count < 0 or count >= TARGET_LEVELS:
        raise IndexError("more levels than a side may have")
    if qty_lots > 0:
        target.bids[count].px_ticks = px_ticks
        target.bids[count].qty_lots = qty_lots
        target.bid_count = count + 1


def quote_ask(target: Any, px: float, qty: float) -> None:
    """One more level to sell at; under one lot none. At most TARGET_LEVELS a side."""
    px_ticks = _whole_px(px, True)
    qty_lots = _whole_qty(qty)
    count = target.ask_count
    if count < 0 or count >= TARGET_LEVELS:
        raise IndexError("more levels than a side may have")
    if qty_lots > 0:
        target.asks[count].px_ticks = px_ticks
        target.asks[count].qty_lots = qty_lots
        target.ask_count = count + 1


def take(target: Any, side: int, px: float, qty: float, reason: int) -> None:
    """An immediate-or-cancel order: BUY or SELL up to `qty` at `px` or better. One a call: the
    last stands. `reason` is a number of your own, kept in the journal."""
    if side != BUY and side != SELL:
        raise ValueError("a side is BUY or SELL")
    target.take_px_ticks = _whole_px(px, side == SELL)
    target.take_side = int(side)
    target.take_reason = int(reason)
    target.take_qty_lots = _whole_qty(qty)


def hedge(target: Any, side: int, px: float, qty: float, reason: int) -> None:
    """The same on the reference leg."""
    if side != BUY and side != SELL:
        raise ValueError("a side is BUY or SELL")
    target.hedge_px_ticks = _whole_px(px, side == SELL)
    target.hedge_side = int(side)
    target.hedge_reason = int(reason)
    target.hedge_qty_lots = _whole_qty(qty)


for _function in (quote_bid, quote_ask, take, hedge):
    register_jitable(**OPTIONS)(_function)
