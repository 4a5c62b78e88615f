"""Orders as Bybit v5 lists them; sans-IO, read-only.

Field sets: samples of the v5 documents (websocket/private/order, order/realtime). cancelType and
rejectReason: order/history's sample for post-only, recorded messages for cancels and partly filled
orders; the others are unverified.
"""

from decimal import Decimal
from typing import Any, NamedTuple

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.venue import Venue
from engine.exchange.commands import Place
from engine.exchange.events import OrderUpdate, Trigger
from engine.exchange.instruments import Grid, Instrument, Kind
from engine.exchange.terms import Order, OrderType, Status, Stp, Tif, TriggerStatus, Why

SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
TYPES = {OrderType.LIMIT: "Limit", OrderType.MARKET: "Market"}
TIFS = {Tif.GTC: "GTC", Tif.IOC: "IOC", Tif.FOK: "FOK", Tif.GTX: "PostOnly"}
SMP = {
    Stp.NONE: "None",
    Stp.EXPIRE_MAKER: "CancelMaker",
    Stp.EXPIRE_TAKER: "CancelTaker",
    Stp.EXPIRE_BOTH: "CancelBoth",
}
# Why an order ended: (cancelType, rejectReason).
ENDS = {
    Why.NONE: ("CancelByUser", "EC_PerCancelRequest"),
    Why.IOC: ("UNKNOWN", "EC_NoImmediateQtyToFill"),  # EC_CancelForNoFullFill after a fill
    Why.FOK: ("UNKNOWN", "EC_CancelForNoFullFill"),
    Why.MARKET: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    Why.POST_ONLY: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    Why.REDUCE_ONLY: ("CancelByReduceOnly", "EC_PerCancelRequest"),
    Why.STP: ("CancelBySmp", "EC_BySelfMatch"),
    Why.GTD: ("CancelByAdmin", "EC_Others"),  # no such order here
    Why.DEAD_MAN: ("CancelByDCP", "EC_PerCancelRequest"),
    Why.CLOSED: ("CancelBySettle", "EC_InvalidSymbolStatus"),
    Why.AMENDED_AWAY: ("CancelByUser", "EC_CancelByOrderValueZero"),
}
TRIGGER_STATUS = {
    TriggerStatus.NEW: "Untriggered",
    TriggerStatus.TRIGGERED: "Triggered",
    TriggerStatus.CANCELED: "Deactivated",
    TriggerStatus.REJECTED: "Rejected",
    TriggerStatus.EXPIRED: "Deactivated",
}

OPEN_OR_FILLED = ("New", "PartiallyFilled", "Filled")
MONEY = Grid(Decimal("0.00000001"), 8)

ORDER_TOPIC = (
    "category", "symbol", "orderId", "orderLinkId", "side", "orderType", "timeInForce", "price",
    "qty", "orderStatus", "cancelType", "rejectReason", "avgPrice", "leavesQty", "leavesValue",
    "cumExecQty", "cumExecValue", "cumExecFee", "cumFeeDetail", "closedPnl", "feeCurrency",
    "positionIdx", "isLeverage", "blockTradeId", "orderIv", "stopOrderType", "triggerPrice",
    "triggerDirection", "triggerBy", "takeProfit", "stopLoss", "tpslMode", "tpTriggerBy",
    "slTriggerBy", "tpLimitPrice", "slLimitPrice", "lastPriceOnCreated", "reduceOnly",
    "closeOnTrigger", "placeType", "smpType", "smpGroup", "smpOrderId", "createType",
    "createdTime", "updatedTime", "rpiTakerAccess", "rpiMatchedQty",
)  # fmt: skip
ORDER_LIST = (
    "orderId", "orderLinkId", "blockTradeId", "symbol", "price", "qty", "side", "isLeverage",
    "positionIdx", "orderStatus", "createType", "cancelType", "rejectReason", "avgPrice",
    "leavesQty", "leavesValue", "cumExecQty", "cumExecValue", "cumExecFee", "cumFeeDetail",
    "timeInForce", "orderType", "stopOrderType", "orderIv", "marketUnit", "triggerPrice",
    "takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "triggerDirection", "triggerBy",
    "lastPriceOnCreated", "reduceOnly", "closeOnTrigger", "smpType", "smpGroup", "smpOrderId",
    "tpslMode", "tpLimitPrice", "slLimitPrice", "placeType", "createdTime", "updatedTime",
    "category",
)  # fmt: skip
NOT_ON_SPOT = ("tpslMode", "createType")
ONLY_ON_SPOT = ("marketUnit",)
NO_VALUE = dict.fromkeys(
    (
        "blockTradeId", "orderIv", "takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy",
        "tpLimitPrice", "slLimitPrice", "lastPriceOnCreated", "placeType", "smpOrderId",
    ),
    "",
)  # fmt: skip


class OrderState(NamedTuple):
    """How an order stood when it was told; the order itself may have moved on."""

    status: Status
    cum_lots: int
    cum_cost: int
    cum_fee_e8: int
    t_ns: int

    @classmethod
    def now(cls, order: Order) -> "OrderState":
        return cls(order.status, order.cum_lots, order.cum_cost, order.cum_fee_e8, order.update_ns)

    @classmethod
    def then(cls, update: OrderUpdate, later_fee_e8: int) -> "OrderState":
        """`later_fee_e8`: of fills that came after `update`."""
        fee_e8 = update.order.cum_fee_e8 - later_fee_e8
        return cls(update.status, update.cum_lots, update.cum_cost, fee_e8, update.t_ns)


def chosen(fields: dict[str, Any], names: tuple[str, ...], kind: Kind) -> dict[str, Any]:
    """In the order of the documents; what a product line doesn't have is left out."""
    left_out = NOT_ON_SPOT if kind is Kind.SPOT else ONLY_ON_SPOT
    return {name: fields[name] for name in names if name not in left_out}


# -- ORDERS ---


def order_fields(venue: Venue, order: Order, state: OrderState) -> dict[str, Any]:
    """All that is known of an order; `chosen` puts it in a message's order."""
    instrument = venue.instrument(order.symbol)
    is_open = state.status in (Status.NEW, Status.PARTIALLY_FILLED)
    leaves_lots = order.qty_lots - state.cum_lots if is_open else 0
    unit_e8 = instrument.notional_e8
    fee = texts.money(state.cum_fee_e8)
    status = _order_status(instrument, order, state)
    cancel_type, reject_reason = _end_of(order, state, status)
    rest_e8 = leaves_lots * order.px_ticks * unit_e8
    if "money" in order.echo:
        rest_e8 = _unspent_e8(order, state, unit_e8)
    return {
        **_own_fields(instrument, order.echo.get("link", ""), order),
        **_trigger_fields(venue, order),
        "orderId": texts.id_of_order(instrument.kind, order),
        "orderStatus": status,
        "cancelType": cancel_type,
        "rejectReason": reject_reason,
        "avgPrice": texts.mean_price(instrument, state.cum_cost, state.cum_lots),
        "leavesQty": texts.quantity(instrument, leaves_lots),
        "leavesValue": texts.money(rest_e8),
        "cumExecQty": texts.quantity(instrument, state.cum_lots),
        "cumExecValue": texts.money(state.cum_cost * unit_e8),
        "cumExecFee": fee,
        "cumFeeDetail": {order.fee_asset: fee} if state.cum_lots else {},
        "closedPnl": "0",
        "feeCurrency": order.fee_asset if state.cum_lots and instrument.kind is Kind.SPOT else "",
        "createdTime": str(venue.ms(order.create_ns)),
        "updatedTime": str(venue.ms(state.t_ns)),
    }


def _order_status(instrument: Instrument, order: Order, state: OrderState) -> str:
    if state.status is Status.NEW:
        return "New"
    if state.status is Status.PARTIALLY_FILLED:
        return "PartiallyFilled"
    if state.status is Status.FILLED:
        is_short = "money" in order.echo and _unspent_e8(order, state, instrument.notional_e8) > 0
        return "PartiallyFilledCanceled" if is_short else "Filled"
    is_partial = instrument.kind is Kind.SPOT and state.cum_lots > 0
    return "PartiallyFilledCanceled" if is_partial else "Cancelled"


def _end_of(order: Order, state: OrderState, status: str) -> tuple[str, str]:
    """(cancelType, rejectReason) of an order that is shown as `status`."""
    if status in OPEN_OR_FILLED:
        return "UNKNOWN", "EC_NoError"
    if state.cum_lots and order.why in (Why.NONE, Why.IOC, Why.MARKET):
        is_canceled = state.status is Status.CANCELED
        return ENDS[Why.NONE] if is_canceled else ("UNKNOWN", "EC_CancelForNoFullFill")
    return ENDS[order.why]


def _unspent_e8(order: Order, state: OrderState, unit_e8: int) -> int:
    """Of a spot market order for money: what is left of it, less than a lot costs when it is
    done. It is called partly filled then, as recorded."""
    return MONEY.units(order.echo["money"]) - state.cum_cost * unit_e8


def trigger_order_fields(venue: Venue, trigger: Trigger, status: TriggerStatus) -> dict[str, Any]:
    """A conditional order before it is an order, or when it never became one."""
    place = trigger.place
    instrument = venue.instrument(place.symbol)
    is_waiting = status is TriggerStatus.NEW
    reject_reason, cancel_type = "EC_NoError", "UNKNOWN"
    if status is TriggerStatus.CANCELED:
        cancel_type, reject_reason = ENDS[Why.NONE]
    elif status is TriggerStatus.EXPIRED:
        cancel_type, reject_reason = ENDS[Why.CLOSED]
    elif status is TriggerStatus.REJECTED:
        reject_reason = "EC_Others"
    leaves_lots = place.qty_lots if is_waiting else 0
    return {
        **_own_fields(instrument, place.client_order_id, place),
        **_trigger_only_fields(instrument, trigger),
        "orderId": texts.order_id(instrument.kind, trigger.trigger_id, True),
        "orderStatus": TRIGGER_STATUS[status],
        "cancelType": cancel_type,
        "rejectReason": reject_reason,
        "avgPrice": "",
        "leavesQty": texts.quantity(instrument, leaves_lots),
        "leavesValue": texts.money(leaves_lots * place.px_ticks * instrument.notional_e8),
        "cumExecQty": "0",
        "cumExecValue": "0",
        "cumExecFee": "0",
        "cumFeeDetail": {},
        "closedPnl": "0",
        "feeCurrency": "",
        "createdTime": str(venue.ms(trigger.create_ns)),
        "updatedTime": str(venue.ms(trigger.update_ns)),
    }


def _own_fields(instrument: Instrument, link: str, order: Order | Place) -> dict[str, Any]:
    """What the owner asked for."""
    is_market = order.order_type is OrderType.MARKET
    is_spot = instrument.kind is Kind.SPOT
    return {
        **NO_VALUE,
        "category": instrument.kind.value,
        "symbol": instrument.symbol,
        "orderLinkId": link,
        "side": SIDES[order.side],
        "orderType": TYPES[order.order_type],
        "timeInForce": "IOC" if is_market else TIFS[order.tif],
        "price": texts.price(instrument, 0 if is_market else order.px_ticks),
        # A spot market order for money shows what it was given.
        "qty": order.echo.get("money") or texts.quantity(instrument, order.qty_lots),
        "positionIdx": 0,
        "isLeverage": "0" if is_spot else "",
        "marketUnit": order.echo.get("unit", ""),
        "tpslMode": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.echo.get("close", "") == "true",
        "smpType": SMP[order.stp],
        "smpGroup": 0,
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
    }


def _trigger_fields(venue: Venue, order: Order) -> dict[str, Any]:
    """Of an order that may have come from a conditional one."""
    if order.trigger_id:
        trigger = venue.core.find_trigger(order.account, order.symbol, order.trigger_id, "")
        if trigger is not None:
            return _trigger_only_fields(venue.instrument(order.symbol), trigger)
    return {
        "stopOrderType": "",
        "triggerPrice": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "createType": "CreateByUser",
    }


def _trigger_only_fields(instrument: Instrument, trigger: Trigger) -> dict[str, Any]:
    return {
        "stopOrderType": trigger.place.echo.get("stop", "Stop"),
        "triggerPrice": texts.price(instrument, trigger.trigger_px_ticks),
        "triggerDirection": 1 if trigger.is_rising else 2,
        "triggerBy": trigger.place.echo.get("by", "LastPrice"),
        "createType": "CreateByStopOrder",
    }
