"""In what the venues' matching differs; everything else of theirs is in how they say it."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.exchange.accounts import SPOT_PURSE, USDT_ONLY, FeeRates
from engine.exchange.instruments import Kind

HOUR_NS = 3_600 * 1_000_000_000


@dataclass(frozen=True)
class Rules:
    """`refuses_*`: said at once and nothing is recorded; else accepted, then ended."""

    refuses_post_only: bool
    refuses_fok: bool
    are_client_ids_for_ever: bool  # else unique among open orders
    orders_max: int  # open, a symbol and account
    triggers_max: int  # conditional, a symbol and account
    truncates_reduce_only: bool  # cut to the position; else they share it, or are refused
    locks_triggers: bool  # spot: a waiting conditional order sets aside what it may cost
    collar_percent: int  # a limit price this far beyond the touch is refused
    funding_every_ns: int
    funding_rate_e8: int
    purse: Mapping[str, int]
    fees: Mapping[Kind, FeeRates]
    closed_kept: int = 20_000  # closed orders a symbol and account, for queries


# Limits: venue sheets; fee rates: the venues' lowest tiers.
RULES = {
    "binance_usdm": Rules(
        refuses_post_only=True,
        refuses_fok=True,
        are_client_ids_for_ever=False,
        orders_max=200,
        triggers_max=10,
        truncates_reduce_only=False,
        locks_triggers=False,
        collar_percent=5,
        funding_every_ns=8 * HOUR_NS,
        funding_rate_e8=10_000,
        purse=USDT_ONLY,
        fees={Kind.LINEAR: FeeRates(200, 400)},
    ),
    "binance_spot": Rules(
        refuses_post_only=True,
        refuses_fok=False,
        are_client_ids_for_ever=False,
        orders_max=200,
        triggers_max=5,
        truncates_reduce_only=False,
        locks_triggers=True,
        collar_percent=20,
        funding_every_ns=0,
        funding_rate_e8=0,
        purse=SPOT_PURSE,
        fees={Kind.SPOT: FeeRates(1_000, 1_000)},
    ),
    "bybit": Rules(
        refuses_post_only=False,
        refuses_fok=False,
        are_client_ids_for_ever=True,
        orders_max=500,
        triggers_max=10,
        truncates_reduce_only=True,
        locks_triggers=False,
        collar_percent=5,
        funding_every_ns=8 * HOUR_NS,
        funding_rate_e8=10_000,
        purse=SPOT_PURSE,
        fees={Kind.LINEAR: FeeRates(200, 550), Kind.SPOT: FeeRates(1_000, 1_000)},
    ),
}


def rules_of(venue: str) -> Rules:
    return RULES[venue]
