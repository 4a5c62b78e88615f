"""Binance USD-M error codes and texts, and which of them a refusal of the core becomes."""

from engine.exchange.events import Reason

ERROR_TEXT = {
    -1000: "An unknown error occurred while processing the request.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in parameter '{}'.",
    -1102: "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
    -1106: "Parameter '{}' sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1125: "This listenKey does not exist.",
    -1130: "Data sent for parameter '{}' is not valid.",
    -1131: "recvWindow must be less than 60000",
    -1135: "Invalid JSON Request",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -4003: "Quantity less than or equal to zero.",
    -4005: "Quantity greater than max quantity.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4016: "Limit price can't be higher than the multiplier cap.",
    -4021: "Invalid depth limit.",
    -4023: "Quantity not increased by step size.",
    -4024: "Limit price can't be lower than the multiplier floor.",
    -4061: "Order's position side does not match user's setting.",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints"
    " instead.",
    -4164: "Order's notional must be no smaller than {} (unless you choose reduce only).",
    -5000: "Path {}, Method {} is invalid",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected."
    " The order will not be recorded in the order history",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected."
    " The order will not be recorded in the order history",
    -5027: "No need to modify the order.",
}
HTTP_STATUS = {-2014: 401, -2015: 401, -5000: 404}  # all others 400

REFUSAL_CODE = {
    Reason.UNKNOWN_SYMBOL: -1121,
    Reason.UNKNOWN_ORDER: -2011,
    Reason.NO_SUCH_ORDER: -2013,
    Reason.DUPLICATE_CLIENT_ID: -4116,
    Reason.WOULD_TAKE: -5022,
    Reason.UNFILLABLE: -5021,
    Reason.QTY_ZERO: -4003,
    Reason.QTY_MAX: -4005,
    Reason.PX_MIN: -4013,
    Reason.PX_MAX: -4016,
    Reason.PX_FAR_LOW: -4024,
    Reason.PX_FAR_HIGH: -4016,
    Reason.NOTIONAL_MIN: -4164,
    Reason.MARGIN: -2019,
    Reason.REDUCE_ONLY: -2022,
    Reason.ORDERS_MAX: -2025,
    Reason.NO_CHANGE: -5027,
    Reason.NO_LISTEN_KEY: -1125,
}


class VenueError(Exception):
    """An answer of the venue's own: HTTP status, code and text."""

    def __init__(self, code: int, *words: object, text: str = "") -> None:
        self.code = code
        self.text = text or ERROR_TEXT[code].format(*words)
        self.status = HTTP_STATUS.get(code, 400)
        super().__init__(self.text)

    def json(self) -> str:
        """The body; the text may quote what the client sent, so quotes are escaped."""
        safe = self.text.replace("\\", "\\\\").replace('"', '\\"')
        safe = "".join(char if char.isprintable() else "?" for char in safe)
        return f'{{"code":{self.code},"msg":"{safe}"}}'
