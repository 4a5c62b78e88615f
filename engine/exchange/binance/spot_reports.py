"""JSON of orders, fills and balances of Binance Spot: answers, and the user data stream's events.

Field order and types: the venue's rest-api.md, web-socket-api.md and user-data-stream.md. Client
order ids have passed the venue's pattern, so nothing needs escaping.
"""

from collections.abc import Iterable

from engine.exchange.binance.spot_frames import truth
from engine.exchange.binance.spot_symbols import SpotSymbol, UnitStamp
from engine.exchange.book import Side
from engine.exchange.commands import Place
from engine.exchange.events import BalanceNow, OrderUpdate, Trigger
from engine.exchange.instruments import e8_text
from engine.exchange.terms import Exec, Order, Status, Tif, TriggerStatus, Why
from engine.exchange.truth import FillRecord

ZERO = "0.00000000"
NO_LIST = -1
BORN = "born"  # in the echo of an order that waits: its UTC ns

# `eR` and `expiryReason`: the venue's enumeration (its SBE schema has it whole).
EXPIRY = {
    Why.IOC: "UNFILLED_IOC_QUANTITY_EXPIRED",
    Why.FOK: "UNFILLED_FOK_ORDER_EXPIRED",
    Why.MARKET: "INSUFFICIENT_LIQUIDITY",
    Why.CLOSED: "EXCHANGE_CANCELED",
}
EXEC_TEXT = {
    Exec.NEW: "NEW",
    Exec.TRADE: "TRADE",
    Exec.CANCELED: "CANCELED",
    Exec.EXPIRED: "EXPIRED",
    Exec.AMENDMENT: "REPLACED",
}


def type_text(order: Order) -> str:
    """As it was asked for; an order that a trigger placed keeps the trigger's type."""
    if named := order.echo.get("type"):
        return named
    return "LIMIT_MAKER" if order.tif is Tif.GTX else order.order_type.value


def tif_text(order: Order) -> str:
    return order.tif.value if order.tif in (Tif.IOC, Tif.FOK) else "GTC"


def status_text(status: Status, why: Why) -> str:
    if status is Status.EXPIRED and why is Why.STP:
        return "EXPIRED_IN_MATCH"
    return status.value


def shown_id(order: Order) -> int:
    """An order that a trigger placed is, at this venue, still the order that waited."""
    return order.trigger_id or order.order_id


def born_ns(order: Order) -> int:
    """When it was asked for: of one that waited, before it worked."""
    return int(order.echo.get(BORN, order.create_ns))


# -- ANSWERS ---


def ack_json(order: Order, stamp: UnitStamp) -> str:
    return (
        f'{{"symbol":"{order.symbol}","orderId":{shown_id(order)},"orderListId":{NO_LIST},'
        f'"clientOrderId":"{order.client_order_id}","transactTime":{stamp(order.update_ns)}}}'
    )


def result_json(
    symbol: SpotSymbol,
    order: Order,
    stamp: UnitStamp,
    fills: Iterable[OrderUpdate] | None = None,
    is_working: bool = True,
) -> str:
    """newOrderRespType RESULT, or FULL with `fills`."""
    working = stamp(order.create_ns) if is_working else -1
    listed = ""
    if fills is not None:
        listed = f',"fills":[{",".join([_fill_json(symbol, fill) for fill in fills])}]'
    return (
        f"{ack_json(order, stamp)[:-1]},{_amounts(symbol, order)},{_kind(order)}"
        f'{_conditional(order)},"workingTime":{working},'
        f'"selfTradePreventionMode":"{order.stp.value}"{_prevented(symbol, order)}'
        f"{_expiry(order)}{listed}}}"
    )


def _fill_json(symbol: SpotSymbol, fill: OrderUpdate) -> str:
    return (
        f'{{"price":"{symbol.px.text(fill.last_px_ticks)}",'
        f'"qty":"{symbol.qty.text(fill.last_lots)}","commission":"{e8_text(fill.fee_e8)}",'
        f'"commissionAsset":"{fill.fee_asset}","tradeId":{fill.trade_id}}}'
    )


def cancel_json(symbol: SpotSymbol, order: Order, cancel_id: str, stamp: UnitStamp) -> str:
    return (
        f'{{"symbol":"{order.symbol}","origClientOrderId":"{order.client_order_id}",'
        f'"orderId":{shown_id(order)},"orderListId":{NO_LIST},"clientOrderId":"{cancel_id}",'
        f'"transactTime":{stamp(order.update_ns)},{_amounts(symbol, order)},{_kind(order)}'
        f'{_conditional(order)},"selfTradePreventionMode":"{order.stp.value}"}}'
    )


def query_json(symbol: SpotSymbol, order: Order, stamp: UnitStamp, is_working: bool = True) -> str:
    """GET order, openOrders, allOrders."""
    working = stamp(order.create_ns) if is_working else -1
    stop = order.echo.get("stopPrice", ZERO)
    return (
        f'{{"symbol":"{order.symbol}","orderId":{shown_id(order)},"orderListId":{NO_LIST},'
        f'"clientOrderId":"{order.client_order_id}",'
        f'"price":"{symbol.px.text(order.px_ticks)}","origQty":"{symbol.qty.text(order.qty_lots)}",'
        f'"executedQty":"{symbol.qty.text(order.cum_lots)}",'
        f'"cummulativeQuoteQty":"{symbol.quote_text(order.cum_cost)}",'
        f'"status":"{status_text(order.status, order.why)}",{_kind(order)},'
        f'"stopPrice":"{stop}","icebergQty":"{ZERO}"{_strategy(order)},'
        f'"time":{stamp(born_ns(order))},"updateTime":{stamp(order.update_ns)},'
        f'"isWorking":{truth(is_working)},"workingTime":{working},'
        f'"origQuoteOrderQty":"{quote_wish(order)}",'
        f'"selfTradePreventionMode":"{order.stp.value}"{_prevented(symbol, order)}'
        f"{_expiry(order)}}}"
    )


def amend_json(
    symbol: SpotSymbol, order: Order, old_client_id: str, execution_id: int, stamp: UnitStamp
) -> str:
    return (
        f'{{"transactTime":{stamp(order.update_ns)},"executionId":{execution_id},'
        f'"amendedOrder":{{"symbol":"{order.symbol}","orderId":{shown_id(order)},'
        f'"orderListId":{NO_LIST},"origClientOrderId":"{old_client_id}",'
        f'"clientOrderId":"{order.client_order_id}","price":"{symbol.px.text(order.px_ticks)}",'
        f'"qty":"{symbol.qty.text(order.qty_lots)}",'
        f'"executedQty":"{symbol.qty.text(order.cum_lots)}","preventedQty":"{ZERO}",'
        f'"quoteOrderQty":"{ZERO}",'
        f'"cumulativeQuoteQty":"{symbol.quote_text(order.cum_cost)}",'
        f'"status":"{order.status.value}",{_kind(order)},"workingTime":{stamp(order.create_ns)},'
        f'"selfTradePreventionMode":"{order.stp.value}"}}}}'
    )


def fill_record_json(symbol: SpotSymbol, fill: FillRecord, stamp: UnitStamp, order_id: int) -> str:
    """One of myTrades."""
    return (
        f'{{"symbol":"{symbol.name}","id":{fill.trade_id},"orderId":{order_id},'
        f'"orderListId":{NO_LIST},"price":"{symbol.px.text(fill.px_ticks)}",'
        f'"qty":"{symbol.qty.text(fill.qty_lots)}",'
        f'"quoteQty":"{symbol.quote_text(fill.px_ticks * fill.qty_lots)}",'
        f'"commission":"{e8_text(fill.fee_e8)}","commissionAsset":"{fill.fee_asset}",'
        f'"time":{stamp(fill.t_ns)},"isBuyer":{truth(fill.side is Side.BUY)},'
        f'"isMaker":{truth(fill.is_maker)},"isBestMatch":true}}'
    )


# -- ORDERS THAT WAIT FOR A PRICE ---

TRIGGER_STATUS = {
    TriggerStatus.NEW: "NEW",
    TriggerStatus.TRIGGERED: "NEW",
    TriggerStatus.CANCELED: "CANCELED",
    TriggerStatus.REJECTED: "EXPIRED",
    TriggerStatus.EXPIRED: "EXPIRED",
}


def order_of_trigger(trigger: Trigger) -> Order:
    """A waiting order as the order that it will become, so that both are written alike."""
    order = order_of_place(trigger.place, trigger.trigger_id, trigger.create_ns)
    order.update_ns = trigger.update_ns
    order.status = Status(TRIGGER_STATUS[trigger.status])
    if trigger.status is TriggerStatus.EXPIRED:
        order.why = Why.CLOSED  # nothing else ends one unasked
    return order


def order_of_place(place: Place, order_id: int, t_ns: int) -> Order:
    """An order that the core has not."""
    return Order(
        order_id=order_id,
        side=place.side,
        px_ticks=place.px_ticks,
        leaves_lots=place.qty_lots,
        account=place.account,
        symbol=place.symbol,
        client_order_id=place.client_order_id,
        order_type=place.order_type,
        tif=place.tif,
        qty_lots=place.qty_lots,
        reduce_only=False,
        create_ns=t_ns,
        update_ns=t_ns,
        stp=place.stp,
        echo=place.echo,
    )


# -- EVENTS ---


def execution_event(
    symbol: SpotSymbol,
    update: OrderUpdate,
    ids: tuple[str, str],
    execution_id: int,
    now: int,
    stamp: UnitStamp,
    is_working: bool = True,
    rejection: str = "",
) -> str:
    """executionReport. `ids`: `c` and `C`, which an order's own id is not on a cancel.
    `rejection`: why the order never was."""
    order = update.order
    px, qty = symbol.px.text, symbol.qty.text
    t = stamp(update.t_ns)
    is_stp = update.why is Why.STP and update.exec_type is Exec.EXPIRED
    exec_text = "TRADE_PREVENTION" if is_stp else EXEC_TEXT[update.exec_type]
    status = status_text(update.status, update.why)
    if rejection:
        exec_text = status = "REJECTED"
    is_trade = update.exec_type is Exec.TRADE
    fee = f'"n":"{e8_text(update.fee_e8)}","N":"{update.fee_asset}"' if is_trade else (
        '"n":"0","N":null'
    )  # fmt: skip
    is_open = is_working and update.status in (Status.NEW, Status.PARTIALLY_FILLED)
    prevented = qty(order.qty_lots - update.cum_lots) if is_stp else ""
    tail = f',"v":{order.order_id},"A":"{prevented}","B":"{prevented}","u":1' if is_stp else ""
    working = f'"W":{stamp(order.create_ns)},' if is_working else ""
    last_cost = update.last_px_ticks * update.last_lots
    return (
        f'{{"e":"executionReport","E":{now},"s":"{order.symbol}","c":"{ids[0]}",'
        f'"S":"{order.side.name}","o":"{type_text(order)}","f":"{tif_text(order)}",'
        f'"q":"{qty(order.qty_lots)}","p":"{px(order.px_ticks)}",'
        f'"P":"{order.echo.get("stopPrice", ZERO)}","F":"{ZERO}","g":{NO_LIST},"C":"{ids[1]}",'
        f'"x":"{exec_text}","X":"{status}","r":"{rejection or "NONE"}",'
        f'"i":{shown_id(order)},"l":"{qty(update.last_lots)}","z":"{qty(update.cum_lots)}",'
        f'"L":"{px(update.last_px_ticks)}",{fee},"T":{t},"t":{update.trade_id or -1},'
        f'"I":{execution_id},"w":{truth(is_open)},"m":{truth(update.is_maker)},"M":false,'
        f'"O":{stamp(born_ns(order))},"Z":"{symbol.quote_text(update.cum_cost)}",'
        f'"Y":"{symbol.quote_text(last_cost)}","Q":"{quote_wish(order)}",{working}'
        f'"V":"{order.stp.value}"{_strategy_event(order)}{_expiry_event(update)}{tail}}}'
    )


def position_event(balances: Iterable[BalanceNow], t_ns: int, now: int, stamp: UnitStamp) -> str:
    """outboundAccountPosition: the balances that may have changed."""
    return (
        f'{{"e":"outboundAccountPosition","E":{now},"u":{stamp(t_ns)},"B":['
        + ",".join(
            f'{{"a":"{b.asset}","f":"{e8_text(b.total_e8 - b.locked_e8)}",'
            f'"l":"{e8_text(b.locked_e8)}"}}'
            for b in balances
        )
        + "]}"
    )


def terminated_event(now: int) -> str:
    return f'{{"e":"eventStreamTerminated","E":{now}}}'


# -- PARTS ---


def quote_wish(order: Order) -> str:
    """quoteOrderQty as it was asked for."""
    return order.echo.get("quoteOrderQty", ZERO)


def _amounts(symbol: SpotSymbol, order: Order) -> str:
    return (
        f'"price":"{symbol.px.text(order.px_ticks)}","origQty":"{symbol.qty.text(order.qty_lots)}",'
        f'"executedQty":"{symbol.qty.text(order.cum_lots)}",'
        f'"origQuoteOrderQty":"{quote_wish(order)}",'
        f'"cummulativeQuoteQty":"{symbol.quote_text(order.cum_cost)}",'
        f'"status":"{status_text(order.status, order.why)}"'
    )


def _kind(order: Order) -> str:
    return (
        f'"timeInForce":"{tif_text(order)}","type":"{type_text(order)}","side":"{order.side.name}"'
    )


def _conditional(order: Order) -> str:
    """Fields that are there only when they were asked for."""
    stop = order.echo.get("stopPrice")
    return (f',"stopPrice":"{stop}"' if stop else "") + _strategy(order)


def _strategy(order: Order) -> str:
    pairs = [(name, order.echo.get(name)) for name in ("strategyId", "strategyType")]
    return "".join(f',"{name}":{value}' for name, value in pairs if value)


def _strategy_event(order: Order) -> str:
    pairs = (("j", order.echo.get("strategyId")), ("J", order.echo.get("strategyType")))
    return "".join(f',"{name}":{value}' for name, value in pairs if value)


def _prevented(symbol: SpotSymbol, order: Order) -> str:
    if order.why is not Why.STP:
        return ""
    lots = symbol.qty.text(order.qty_lots - order.cum_lots)
    return f',"preventedMatchId":{order.order_id},"preventedQuantity":"{lots}"'


def _expiry(order: Order) -> str:
    reason = EXPIRY.get(order.why) if order.status is Status.EXPIRED else None
    return f',"expiryReason":"{reason}"' if reason else ""


def _expiry_event(update: OrderUpdate) -> str:
    reason = EXPIRY.get(update.why) if update.exec_type is Exec.EXPIRED else None
    return f',"eR":"{reason}"' if reason else ""
