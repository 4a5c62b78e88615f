"""Binance Spot's error codes and texts, and which of them a refusal of the core becomes.

Codes and texts: the venue's errors.md. -2010, -2011 and -2038 each stand for many texts, which
say what was wrong: clients tell them apart by the text.
"""

from collections.abc import Mapping
from typing import ClassVar

from engine.exchange.binance.errors import SHARED_TEXTS, VenueError
from engine.exchange.terms import Reason

SPOT_TEXTS: Mapping[int, str] = {
    **SHARED_TEXTS,
    -1100: "Illegal characters found in parameter '{}'; legal range is '{}'.",
    -1104: "Not all sent parameters were read; read '{}' parameter(s) but was sent '{}'.",
    -1105: "Parameter '{}' was empty.",
    -1111: "Parameter '{}' has too much precision.",
    -1120: "Invalid interval.",
    -1122: "Invalid symbolStatus.",
    -1127: "More than {} hours between startTime and endTime.",
    -1128: "Combination of optional parameters invalid.",
    -1134: "strategyType was less than 1000000.",
    -1139: "Invalid ticker type.",
    -1145: "Invalid cancelRestrictions",
    -1151: "Symbol is present multiple times in the list.",
    -1155: "SBE is not enabled.",
    -1194: "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
    -1220: "The symbol's status does not match the requested symbolStatus.",
    -2021: "Order cancel-replace partially failed.",
    -2022: "Order cancel-replace failed.",
    -2026: "Order was canceled or expired with no executed qty over 90 days ago and has been"
    " archived.",
    -2035: "User Data Stream subscription already active.",
    -2036: "User Data Stream subscription not active.",
    -2039: "Client order ID is not correct for this order ID.",
    -2042: "Maximum subscription ID reached for this connection.",
}
UNKNOWN_ORDER = "Unknown order sent."
WOULD_TAKE = "Order would immediately match and take."
NO_BALANCE = "Account has insufficient balance for requested action."
DUPLICATE = "Duplicate order sent."
CLOSED = "Market is closed."
TRIGGERS_NOW = "Order would trigger immediately."
RESTRICTED = "Order was not canceled due to cancel restrictions."
NO_CHANGE = "The requested action would change no state; rejecting"
NOT_SMALLER = "Order amend (quantity increase) is not supported."
NO_LIQUIDITY = "Order book liquidity is less than symbol minimum quantity."


class SpotError(VenueError):
    texts: ClassVar[Mapping[int, str]] = SPOT_TEXTS


def filter_failure(name: str, code: int = -1013) -> SpotError:
    return SpotError(code, text=f"Filter failure: {name}")


def rejected(text: str) -> SpotError:
    """By the matching engine, of a new order."""
    return SpotError(-2010, text=text)


# `r` of executionReport, by the text of the refusal.
REJECT_REASON = {
    NO_BALANCE: "INSUFFICIENT_BALANCES",
    WOULD_TAKE: "WOULD_MATCH_IMMEDIATELY",
    TRIGGERS_NOW: "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
}

FILTER_OF = {
    Reason.QTY_ZERO: "LOT_SIZE",
    Reason.QTY_MIN: "LOT_SIZE",
    Reason.QTY_MAX: "LOT_SIZE",
    Reason.PX_MIN: "PRICE_FILTER",
    Reason.PX_MAX: "PRICE_FILTER",
    Reason.PX_FAR_LOW: "PERCENT_PRICE_BY_SIDE",
    Reason.PX_FAR_HIGH: "PERCENT_PRICE_BY_SIDE",
    Reason.NOTIONAL_MIN: "NOTIONAL",
    Reason.ORDERS_MAX: "MAX_NUM_ORDERS",
    Reason.TRIGGERS_MAX: "MAX_NUM_ALGO_ORDERS",
}
REJECTION_OF = {
    Reason.CLOSED: CLOSED,
    Reason.DUPLICATE_CLIENT_ID: DUPLICATE,
    Reason.WOULD_TAKE: WOULD_TAKE,
    Reason.BALANCE: NO_BALANCE,
    Reason.MARGIN: NO_BALANCE,
    Reason.TRIGGERS_NOW: TRIGGERS_NOW,
    Reason.NO_LIQUIDITY: NO_LIQUIDITY,
    Reason.UNFILLABLE: NO_LIQUIDITY,
}


def refusal(reason: Reason, code: int = -2010) -> SpotError:
    """The answer to a command that the core refused; `code` where the venue has one for the
    request (-2011 cancel, -2038 amend)."""
    if reason is Reason.UNKNOWN_SYMBOL:
        return SpotError(-1121)
    if reason is Reason.UNKNOWN_ORDER:
        return SpotError(-2011)
    if reason is Reason.NO_SUCH_ORDER:
        return SpotError(-2013)
    if name := FILTER_OF.get(reason):
        return filter_failure(name, -1013 if code == -2010 else code)
    if reason is Reason.NO_CHANGE:
        return SpotError(-2038, text=NO_CHANGE)
    if reason is Reason.NOT_SMALLER:
        return SpotError(-2038, text=NOT_SMALLER)
    if text := REJECTION_OF.get(reason):
        return SpotError(code, text=text)
    return SpotError(-1000)
