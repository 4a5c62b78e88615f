"""Orders and executions as Bybit v5 lists them; sans-IO, read-only.

Field sets: samples of the v5 documents (websocket/private/order and /execution, order/realtime,
execution/list). Which cancelType goes with which rejectReason is partly unverified.
"""

from typing import Any, NamedTuple

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.venue import Venue
from engine.exchange.commands import Place
from engine.exchange.events import OrderUpdate, Trigger
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import Order, OrderType, Status, Stp, Tif, TriggerStatus, Why
from engine.exchange.truth import FillRecord, FundingRecord

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
    Why.IOC: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
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
    cancel_type, reject_reason = "UNKNOWN", "EC_NoError"
    if state.status in (Status.CANCELED, Status.EXPIRED):
        cancel_type, reject_reason = ENDS[order.why]
    return {
        **_own_fields(instrument, order.echo.get("link", ""), order),
        **_trigger_fields(venue, order),
        "orderId": texts.id_of_order(instrument.kind, order),
        "orderStatus": order_status(instrument.kind, state),
        "cancelType": cancel_type,
        "rejectReason": reject_reason,
        "avgPrice": texts.mean_price(instrument, state.cum_cost, state.cum_lots),
        "leavesQty": texts.quantity(instrument, leaves_lots),
        "leavesValue": texts.money(leaves_lots * order.px_ticks * unit_e8),
        "cumExecQty": texts.quantity(instrument, state.cum_lots),
        "cumExecValue": texts.money(state.cum_cost * unit_e8),
        "cumExecFee": fee,
        "cumFeeDetail": {order.fee_asset: fee} if state.cum_lots else {},
        "closedPnl": "0",
        "feeCurrency": order.fee_asset if state.cum_lots and instrument.kind is Kind.SPOT else "",
        "createdTime": str(venue.ms(order.create_ns)),
        "updatedTime": str(venue.ms(state.t_ns)),
    }


def order_status(kind: Kind, state: OrderState) -> str:
    if state.status is Status.NEW:
        return "New"
    if state.status is Status.PARTIALLY_FILLED:
        return "PartiallyFilled"
    if state.status is Status.FILLED:
        return "Filled"
    is_partial = kind is Kind.SPOT and state.cum_lots > 0
    return "PartiallyFilledCanceled" if is_partial else "Cancelled"


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


# -- EXECUTIONS ---


def execution_row(
    venue: Venue, update: OrderUpdate, closed_lots: int, mark_ticks: int
) -> dict[str, Any]:
    """One of the topic `execution`."""
    order = update.order
    instrument = venue.instrument(order.symbol)
    is_spot = instrument.kind is Kind.SPOT
    return {
        "category": instrument.kind.value,
        "symbol": instrument.symbol,
        "closedSize": "" if is_spot else texts.quantity(instrument, closed_lots),
        "execFee": texts.money(update.fee_e8),
        "execId": texts.exec_id(order.symbol, instrument.kind, update.trade_id),
        "execPrice": texts.price(instrument, update.last_px_ticks),
        "execQty": texts.quantity(instrument, update.last_lots),
        "execType": "Trade",
        "execValue": texts.money(update.last_lots * update.last_px_ticks * instrument.notional_e8),
        "feeRate": _fee_rate(venue, order.symbol, update.is_maker),
        "markPrice": texts.price(instrument, mark_ticks),
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "leavesQty": texts.quantity(instrument, order.qty_lots - update.cum_lots),
        "orderId": texts.id_of_order(instrument.kind, order),
        "orderLinkId": order.echo.get("link", ""),
        "orderPrice": texts.price(instrument, order.px_ticks),
        "orderQty": texts.quantity(instrument, order.qty_lots),
        "orderType": TYPES[order.order_type],
        "stopOrderType": "Stop" if order.trigger_id else "UNKNOWN",
        "side": SIDES[order.side],
        "execTime": str(venue.ms(update.t_ns)),
        "isLeverage": "0",
        "isMaker": update.is_maker,
        "seq": update.trade_id,
        "marketUnit": order.echo.get("unit", ""),
        "execPnl": texts.money(update.realized_e8),
        "createType": "CreateByStopOrder" if order.trigger_id else "CreateByUser",
        "feeCurrency": update.fee_asset,
    }


def fast_execution_row(venue: Venue, update: OrderUpdate) -> dict[str, Any]:
    """One of `execution.fast`: a maker is not told its orderLinkId."""
    order = update.order
    instrument = venue.instrument(order.symbol)
    return {
        "category": instrument.kind.value,
        "symbol": instrument.symbol,
        "execId": texts.exec_id(order.symbol, instrument.kind, update.trade_id),
        "execPrice": texts.price(instrument, update.last_px_ticks),
        "execQty": texts.quantity(instrument, update.last_lots),
        "orderId": texts.id_of_order(instrument.kind, order),
        "isMaker": update.is_maker,
        "orderLinkId": "" if update.is_maker else order.echo.get("link", ""),
        "side": SIDES[order.side],
        "execTime": str(venue.ms(update.t_ns)),
        "seq": update.trade_id,
    }


def fill_row(venue: Venue, fill: FillRecord, leaves_lots: int) -> dict[str, Any]:
    """One of GET /v5/execution/list, in the documents' order."""
    instrument = venue.instrument(fill.symbol)
    order = venue.core.find_order(fill.account, fill.symbol, fill.order_id, "")
    kind = instrument.kind
    qty_lots = order.qty_lots if order else fill.qty_lots
    value = texts.money(fill.qty_lots * fill.px_ticks * instrument.notional_e8)
    return {
        "symbol": instrument.symbol,
        "orderType": TYPES[order.order_type] if order else "UNKNOWN",
        "underlyingPrice": "",
        "orderLinkId": order.echo.get("link", "") if order else "",
        "side": SIDES[fill.side],
        "indexPrice": "",
        "orderId": (
            texts.id_of_order(kind, order) if order else texts.order_id(kind, fill.order_id)
        ),
        "stopOrderType": "Stop" if order and order.trigger_id else "UNKNOWN",
        "leavesQty": texts.quantity(instrument, leaves_lots),
        "execTime": str(venue.ms(fill.t_ns)),
        "feeCurrency": fill.fee_asset,
        "isMaker": fill.is_maker,
        "execFee": texts.money(fill.fee_e8),
        "feeRate": _fee_rate(venue, fill.symbol, fill.is_maker),
        "execId": texts.exec_id(fill.symbol, kind, fill.trade_id),
        "tradeIv": "",
        "blockTradeId": "",
        "markPrice": "" if kind is Kind.SPOT else texts.price(instrument, fill.px_ticks),
        "execPrice": texts.price(instrument, fill.px_ticks),
        "markIv": "",
        "orderQty": texts.quantity(instrument, qty_lots),
        "orderPrice": texts.price(instrument, order.px_ticks if order else fill.px_ticks),
        "execValue": value,
        "execType": "Trade",
        "execQty": texts.quantity(instrument, fill.qty_lots),
        "closedSize": "",
        "extraFees": "",
        "seq": fill.trade_id,
        "category": kind.value,
    }


def funding_row(venue: Venue, record: FundingRecord) -> dict[str, Any]:
    """A funding payment among the executions; the set of its fields is unverified."""
    instrument = venue.instrument(record.symbol)
    lots, px_ticks = abs(record.position_lots), record.mark_px_ticks
    return {
        "symbol": instrument.symbol,
        "orderType": "UNKNOWN",
        "underlyingPrice": "",
        "orderLinkId": "",
        "side": SIDES[Side.BUY if record.position_lots > 0 else Side.SELL],
        "indexPrice": "",
        "orderId": f"{venue.ms(record.t_ns)}-0",
        "stopOrderType": "UNKNOWN",
        "leavesQty": "0",
        "execTime": str(venue.ms(record.t_ns)),
        "feeCurrency": record.asset,
        "isMaker": False,
        "execFee": texts.money(record.payment_e8),
        "feeRate": texts.money(record.rate_e8),
        "execId": texts.event_id(record.account, record.t_ns),
        "tradeIv": "",
        "blockTradeId": "",
        "markPrice": texts.price(instrument, px_ticks),
        "execPrice": texts.price(instrument, px_ticks),
        "markIv": "",
        "orderQty": "0",
        "orderPrice": "0",
        "execValue": texts.money(lots * px_ticks * instrument.notional_e8),
        "execType": "Funding",
        "execQty": texts.quantity(instrument, lots),
        "closedSize": "0",
        "extraFees": "",
        "seq": 0,
        "category": instrument.kind.value,
    }


def _fee_rate(venue: Venue, symbol: str, is_maker: bool) -> str:
    rates = venue.core.fees_of(symbol)
    return texts.rate(rates.maker_ppm if is_maker else rates.taker_ppm)
