"""Parameters that Binance Spot reads of each order request; more than those is an error, -1104.

"Not all sent parameters were read". The count of what was read includes what authenticates the
request.  # unverified
"""

from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.spot_errors import SpotError

# `apiKey` and `returnRateLimits` come with requests of the WebSocket API.
EVERYWHERE = frozenset({"timestamp", "recvWindow", "signature", "apiKey", "returnRateLimits"})
SYMBOL = EVERYWHERE | {"symbol"}
NEW_ORDER = SYMBOL | {
    "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId",
    "strategyId", "strategyType", "stopPrice", "trailingDelta", "icebergQty", "newOrderRespType",
    "selfTradePreventionMode", "pegPriceType", "pegOffsetValue", "pegOffsetType",
}  # fmt: skip
TEST_ORDER = NEW_ORDER | {"computeCommissionRates"}
ORDER_ID = SYMBOL | {"orderId", "origClientOrderId"}
CANCEL = ORDER_ID | {"newClientOrderId", "cancelRestrictions"}
AMEND = ORDER_ID | {"newClientOrderId", "newQty"}
CANCEL_REPLACE = NEW_ORDER | {
    "cancelReplaceMode", "cancelNewClientOrderId", "cancelOrigClientOrderId", "cancelOrderId",
    "cancelRestrictions", "orderRateLimitExceededMode",
}  # fmt: skip


def strict(known: frozenset[str], route: Route) -> Route:
    """`route`, which refuses a request with any parameter but the known ones."""
    handler = route.handler

    def handle(call: Call) -> str:
        sent = call.params.keys()
        if not sent <= known:
            raise SpotError(-1104, len(sent & known), len(sent))
        return handler(call)

    return route._replace(handler=handle)
