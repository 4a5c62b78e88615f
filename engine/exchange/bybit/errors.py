"""Bybit v5's codes and texts: "Error Codes" of the v5 documents, texts as clients report them
where the documents only describe. Business errors travel in an envelope with HTTP status 200.
"""

from collections.abc import Mapping

from engine.exchange.instruments import Kind
from engine.exchange.terms import Reason

OK, OK_TEXT = 0, "OK"

TEXTS = {
    10000: "Server Timeout",
    10001: "Request parameter error.",
    10003: "API key is invalid.",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits. Exceeded the API Rate Limit.",
    10010: "Unmatched IP, please check your API key's bound IP addresses.",
    10016: "Internal System Error.",
    10019: "ws trade service is restarting, do not accept new request",
    10403: "Exceeded IP rate limit.",
    10404: "op type is not found",
    10429: "System level frequency protection",
    20001: "Repeat auth",
    20006: "reqId is duplicated",
}

# What the core refuses, in the words of each product line. A `{}` is filled by the caller.
LINEAR: Mapping[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_SYMBOL: (10001, "params error: symbol invalid"),
    Reason.CLOSED: (110074, "This contract is not live"),
    Reason.UNKNOWN_ORDER: (110001, "order not exists or too late to cancel"),
    Reason.NO_SUCH_ORDER: (110001, "order not exists or too late to replace"),
    Reason.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    Reason.WOULD_TAKE: (110003, "Order price exceeds the allowable range."),  # never at once
    Reason.UNFILLABLE: (110003, "Order price exceeds the allowable range."),  # never at once
    Reason.QTY_ZERO: (10001, "Qty invalid"),
    Reason.QTY_MIN: (10001, "The number of contracts exceeds minimum limit allowed"),
    Reason.QTY_MAX: (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    Reason.PX_MIN: (110003, "Order price exceeds the allowable range."),
    Reason.PX_MAX: (110003, "Order price exceeds the allowable range."),
    Reason.PX_FAR_LOW: (110003, "Order price exceeds the allowable range."),
    Reason.PX_FAR_HIGH: (110003, "Order price exceeds the allowable range."),
    Reason.NOTIONAL_MIN: (110094, "Order does not meet minimum order value {min_notional}USDT"),
    Reason.MARGIN: (110007, "ab not enough for new order"),
    Reason.BALANCE: (110007, "ab not enough for new order"),
    Reason.REDUCE_ONLY: (110017, "orderQty will be truncated to zero"),
    Reason.ORDERS_MAX: (110020, "Not allowed to have more than 500 active orders."),
    Reason.TRIGGERS_MAX: (110009, "The number of stop orders exceeds the maximum allowable limit"),
    Reason.TRIGGERS_NOW: (110092, "trigger_price is there already"),
    Reason.NO_CHANGE: (
        10001,
        "The order remains unchanged as the parameters entered match the existing ones.",
    ),
    Reason.NOT_SMALLER: (
        110064,
        "The number of contracts modified cannot be less than or equal to the filled quantity",
    ),
    Reason.NO_LIQUIDITY: (
        110118,
        "Unable to retrieve a price of the market order due to low liquidity",
    ),
    Reason.HAS_ORDERS: (110028, "Open orders exist, so you cannot change position mode"),
    Reason.HAS_POSITION: (110029, "Hedge mode is not available for this symbol"),
    Reason.LEVERAGE: (10001, "leverage invalid"),  # unverified
    Reason.LEVERAGE_MARGIN: (110012, "Insufficient available balance."),  # unverified
    Reason.NO_KEY: (10003, TEXTS[10003]),
    Reason.REVOCATION_REFUSED: (10016, TEXTS[10016]),
}
SPOT: Mapping[Reason, tuple[int, str]] = {
    **LINEAR,
    Reason.UNKNOWN_SYMBOL: (170121, "Invalid symbol."),
    Reason.CLOSED: (170151, "The trading pair is not open yet"),
    Reason.UNKNOWN_ORDER: (170213, "Order does not exist."),
    Reason.NO_SUCH_ORDER: (170213, "Order does not exist."),
    Reason.DUPLICATE_CLIENT_ID: (170141, "Duplicate clientOrderId"),
    Reason.WOULD_TAKE: (170218, "The LIMIT-MAKER order is rejected due to invalid price."),
    Reason.UNFILLABLE: (170210, "New order rejected."),
    Reason.QTY_ZERO: (170136, "Order quantity exceeded lower limit."),
    Reason.QTY_MIN: (170136, "Order quantity exceeded lower limit."),
    Reason.QTY_MAX: (170135, "Order quantity too large."),
    Reason.PX_MIN: (170133, "Order price lower than the minimum."),
    Reason.PX_MAX: (170132, "Order price too high."),
    Reason.PX_FAR_LOW: (170194, "Sell order price cannot be lower than {limit_px}."),
    Reason.PX_FAR_HIGH: (170193, "Buy order price cannot be higher than {limit_px}."),
    Reason.NOTIONAL_MIN: (170140, "Order value exceeded lower limit."),
    Reason.MARGIN: (170131, "Insufficient balance."),
    Reason.BALANCE: (170131, "Insufficient balance."),
    Reason.ORDERS_MAX: (
        170810,
        "Cannot exceed maximum of 500 conditional, TP/SL and active orders.",
    ),
    Reason.TRIGGERS_MAX: (
        170810,
        "Cannot exceed maximum of 500 conditional, TP/SL and active orders.",
    ),
    Reason.NOT_SMALLER: (
        170313,
        "The modified contract quantity cannot be less than to the filled quantity",
    ),
    Reason.NO_LIQUIDITY: (170210, "New order rejected."),
}


class VenueError(Exception):
    """An answer other than success; `status` is HTTP's."""

    def __init__(self, code: int, text: str = "", status: int = 200) -> None:
        self.code = code
        self.text = text or TEXTS[code]
        self.status = status
        super().__init__(self.text)


def refusal(kind: Kind, reason: Reason, words: Mapping[str, object]) -> VenueError:
    """`words` fill the text's gaps; one that the caller did not think of stays empty."""
    code, text = (SPOT if kind is Kind.SPOT else LINEAR)[reason]
    return VenueError(code, text.format_map(_Words(words)))


class _Words(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return ""
