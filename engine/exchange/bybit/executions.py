"""Executions as Bybit v5 lists them: fills, and funding payments among them; read-only.

Field sets: samples of the v5 documents (websocket/private/execution and /fast-execution,
execution/list).
"""

from typing import Any

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.rows import SIDES, TYPES
from engine.exchange.bybit.venue import Venue
from engine.exchange.events import OrderUpdate
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.truth import FillRecord, FundingRecord


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
        "closedSize": "" if is_spot else _qty(instrument, closed_lots),
        "execFee": texts.money(update.fee_e8),
        "execId": texts.exec_id(order.symbol, instrument.kind, update.trade_id),
        "execPrice": _px(instrument, update.last_px_ticks),
        "execQty": _qty(instrument, update.last_lots),
        "execType": "Trade",
        "execValue": texts.money(update.last_lots * update.last_px_ticks * instrument.notional_e8),
        "feeRate": _fee_rate(venue, order.symbol, update.is_maker),
        "markPrice": _px(instrument, mark_ticks),
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "leavesQty": _qty(instrument, order.qty_lots - update.cum_lots),
        "orderId": texts.id_of_order(instrument.kind, order),
        "orderLinkId": order.echo.get("link", ""),
        "orderPrice": _px(instrument, order.px_ticks),
        "orderQty": _qty(instrument, order.qty_lots),
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
        "execPrice": _px(instrument, update.last_px_ticks),
        "execQty": _qty(instrument, update.last_lots),
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
        "leavesQty": _qty(instrument, leaves_lots),
        "execTime": str(venue.ms(fill.t_ns)),
        "feeCurrency": fill.fee_asset,
        "isMaker": fill.is_maker,
        "execFee": texts.money(fill.fee_e8),
        "feeRate": _fee_rate(venue, fill.symbol, fill.is_maker),
        "execId": texts.exec_id(fill.symbol, kind, fill.trade_id),
        "tradeIv": "",
        "blockTradeId": "",
        "markPrice": "" if kind is Kind.SPOT else _px(instrument, fill.px_ticks),
        "execPrice": _px(instrument, fill.px_ticks),
        "markIv": "",
        "orderQty": _qty(instrument, qty_lots),
        "orderPrice": _px(instrument, order.px_ticks if order else fill.px_ticks),
        "execValue": value,
        "execType": "Trade",
        "execQty": _qty(instrument, fill.qty_lots),
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
        "markPrice": _px(instrument, px_ticks),
        "execPrice": _px(instrument, px_ticks),
        "markIv": "",
        "orderQty": "0",
        "orderPrice": "0",
        "execValue": texts.money(lots * px_ticks * instrument.notional_e8),
        "execType": "Funding",
        "execQty": _qty(instrument, lots),
        "closedSize": "0",
        "extraFees": "",
        "seq": 0,
        "category": instrument.kind.value,
    }


def _px(instrument: Instrument, ticks: int) -> str:
    """Executions and private messages show prices and sizes without trailing zeros."""
    return texts.trimmed(texts.price(instrument, ticks))


def _qty(instrument: Instrument, lots: int) -> str:
    return texts.trimmed(texts.quantity(instrument, lots))


def _fee_rate(venue: Venue, symbol: str, is_maker: bool) -> str:
    rates = venue.core.fees_of(symbol)
    return texts.rate(rates.maker_ppm if is_maker else rates.taker_ppm)
