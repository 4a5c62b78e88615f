"""USD-M's own codes and texts ("Error Code"), and which of them a refusal of the core becomes."""

from collections.abc import Mapping
from typing import ClassVar

from engine.exchange.binance.errors import SHARED_TEXTS, VenueError
from engine.exchange.terms import Reason


class UsdmError(VenueError):
    texts: ClassVar[Mapping[int, str]] = {
        **SHARED_TEXTS,
        -1111: "Precision is over the maximum defined for this asset.",
        -1125: "This listenKey does not exist.",
        -1136: "Invalid newOrderRespType.",
        -2018: "Balance is insufficient.",
        -2019: "Margin is insufficient.",
        -2021: "Order would immediately trigger.",
        -2022: "ReduceOnly Order is rejected.",
        -2025: "Reach max open order limit.",
        -2028: "Leverage is smaller than permitted: insufficient margin balance.",
        -4002: "Price greater than max price.",
        -4003: "Quantity less than or equal to zero.",
        -4004: "Quantity less than min quantity.",
        -4005: "Quantity greater than max quantity.",
        -4006: "Stop price less than zero.",
        -4007: "Stop price greater than max price.",
        -4013: "Price less than min price.",
        -4014: "Price not increased by tick size.",
        -4015: "Client order id is not valid.",
        -4016: "Limit price can't be higher than the multiplier cap.",
        -4021: "Invalid depth limit.",
        -4023: "Quantity not increased by step size.",
        -4024: "Limit price can't be lower than the multiplier floor.",
        -4028: "Leverage {} is not valid",
        -4031: "Invalid parameter working type: {}",
        -4045: "Reach max stop order limit.",
        -4046: "No need to change margin type.",
        -4059: "No need to change position side.",
        -4060: "Invalid position side.",
        -4061: "Order's position side does not match user's setting.",
        -4067: "Position side cannot be changed if there exists open orders.",
        -4068: "Position side cannot be changed if there exists position.",
        -4082: "Invalid number of batch place orders.",
        -4116: "ClientOrderId is duplicated.",
        -4120: "Order type not supported for this endpoint. Please use the Algo Order API"
        " endpoints instead.",
        -4136: "Target strategy invalid for orderType {},closePosition true",
        -4137: "Quantity must be zero with closePosition equals true.",
        -4140: "Invalid symbol status for opening position.",
        -4141: "Symbol is closed.",
        -4164: "Order's notional must be no smaller than {} (unless you choose reduce only).",
        # unverified: the code; the text is the announcement's.
        -4402: "Dear user, as per our Terms of Use and compliance regulations, this feature is not"
        " available.",
        -4509: "Time in Force (TIF) GTE can only be used with open positions. Please ensure that"
        " positions are available.",
        -5000: "Path {}, Method {} is invalid",
        -5021: "Due to the order could not be filled immediately, the FOK order has been"
        " rejected. The order will not be recorded in the order history",
        -5022: "Due to the order could not be executed as maker, the Post Only order will be"
        " rejected. The order will not be recorded in the order history",
        -5027: "No need to modify the order.",
    }


REFUSAL_CODE = {
    Reason.UNKNOWN_SYMBOL: -1121,
    Reason.CLOSED: -4140,
    Reason.UNKNOWN_ORDER: -2011,
    Reason.NO_SUCH_ORDER: -2013,
    Reason.DUPLICATE_CLIENT_ID: -4116,
    Reason.WOULD_TAKE: -5022,
    Reason.UNFILLABLE: -5021,
    Reason.QTY_ZERO: -4003,
    Reason.QTY_MIN: -4004,
    Reason.QTY_MAX: -4005,
    Reason.PX_MIN: -4013,
    Reason.PX_MAX: -4016,
    Reason.PX_FAR_LOW: -4024,
    Reason.PX_FAR_HIGH: -4016,
    Reason.NOTIONAL_MIN: -4164,
    Reason.MARGIN: -2019,
    Reason.BALANCE: -2018,
    Reason.REDUCE_ONLY: -2022,
    Reason.ORDERS_MAX: -2025,
    Reason.TRIGGERS_MAX: -4045,
    Reason.TRIGGERS_NOW: -2021,
    Reason.NO_CHANGE: -5027,
    Reason.HAS_ORDERS: -4067,
    Reason.HAS_POSITION: -4068,
    Reason.LEVERAGE: -4028,
    Reason.LEVERAGE_MARGIN: -2028,
    Reason.NO_KEY: -1130,  # unverified
    Reason.REVOCATION_REFUSED: -1000,  # a fault of ours
}
