"""Binance's JSON, read strictly: what is missing, of another type or off the grid is a ValueError
that names it. A row that can't be read whole is no row, but for lists of open orders and trades.
"""

import math
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.venues.base import BalanceRow, Instrument, OrderRow, TradeRow
from fastcore.types import FeeAsset, OrderState, Side

MS_NS = 1_000_000
DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
# As fastcore.codec reads `X`. PENDING_NEW waits for another order of its list: it is accepted.
STATES = {
    "NEW": OrderState.NEW,
    "PENDING_NEW": OrderState.NEW,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
# Of a conditional order. TRIGGERED and FINISHED: it waits no more; what it became is an order.
ALGO_STATES = {
    "NEW": OrderState.NEW,
    "TRIGGERING": OrderState.NEW,
    "TRIGGERED": OrderState.EXPIRED,
    "FINISHED": OrderState.EXPIRED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}


class Row:
    """One JSON object of an answer; `what` names it in errors."""

    __slots__ = ("_fields", "_what")

    def __init__(self, what: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{what}: Expected an object, was {type(value).__name__}")
        self._what = what
        self._fields: dict[str, Any] = value

    def wrong(self, key: str, expected: str) -> ValueError:
        if key not in self._fields:
            return ValueError(f"{self._what}: Expected {key}, was not there")
        return ValueError(f"{self._what}: Expected {key} to be {expected}, was {self._shown(key)}")

    def _shown(self, key: str) -> str:
        return repr(self._fields[key])[:60]

    def has(self, key: str) -> bool:
        return key in self._fields

    def text(self, key: str) -> str:
        value = self._fields.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def named(self, key: str, names: dict[str, Any]) -> Any:
        value = names.get(self.text(key))
        if value is None:
            raise self.wrong(key, f"one of {', '.join(names)}")
        return value

    def whole(self, key: str) -> int:
        """A number of 0 or more that fits 63 bits: an id or a time."""
        value = self._fields.get(key)
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise self.wrong(key, "a whole number of 0 or more")
        return value

    def flag(self, key: str) -> bool:
        value = self._fields.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def decimal(self, key: str) -> Decimal:
        """Texts alone: a JSON number may have lost digits on its way."""
        value = self._fields.get(key)
        if not isinstance(value, str) or not DECIMAL.fullmatch(value):
            raise self.wrong(key, "a decimal number in a text")
        return Decimal(value)

    def size(self, key: str) -> Decimal:
        value = self.decimal(key)
        if value < 0:
            raise self.wrong(key, "0 or more")
        return value

    def step(self, key: str) -> str:
        """A grid's step, as the venue wrote it."""
        if self.decimal(key) <= 0:
            raise self.wrong(key, "above 0")
        return self.text(key)

    def e8(self, key: str) -> int:
        return _exact(self.decimal(key), Decimal("1E-8"), self.wrong(key, "a multiple of 1E-8"))

    def lots(self, key: str, instrument: Instrument) -> int:
        expected = f"a multiple of the lot {instrument.lot}"
        return _exact(self.decimal(key), Decimal(instrument.lot), self.wrong(key, expected))

    def ticks(self, key: str, instrument: Instrument) -> int:
        expected = f"a multiple of the tick {instrument.tick}"
        return _exact(self.decimal(key), Decimal(instrument.tick), self.wrong(key, expected))

    def row(self, key: str) -> "Row":
        return Row(f"{self._what}.{key}", self._fields.get(key))

    def rows(self, key: str) -> "list[Row]":
        return rows(f"{self._what}.{key}", self._fields.get(key))

    def of(self, key: str, wanted: str) -> None:
        """It must say `wanted`: an answer about something else is no answer."""
        if self.text(key) != wanted:
            raise self.wrong(key, repr(wanted))


def rows(what: str, value: Any) -> list[Row]:
    if not isinstance(value, list):
        # Never taken for an empty list.
        raise ValueError(f"{what}: Expected a list, was {type(value).__name__}")
    return [Row(what, item) for item in value]


def _exact(value: Decimal, unit: Decimal, wrong: ValueError) -> int:
    units = value / unit
    if units != int(units):
        raise wrong
    return int(units)


# -- ORDERS AND TRADES ---


def order_row(row: Row, instrument: Instrument) -> OrderRow:
    """GET order and openOrders, of both venues."""
    row.of("symbol", instrument.symbol)
    qty_lots = _not_negative(row, "origQty", row.lots("origQty", instrument))
    if row.has("preventedQuantity"):  # spot: taken away by self-trade prevention, as `A`
        qty_lots -= row.lots("preventedQuantity", instrument)
    cum_qty_lots = _not_negative(row, "executedQty", row.lots("executedQty", instrument))
    if cum_qty_lots > qty_lots:
        raise row.wrong("executedQty", f"at most {instrument.qty_text(qty_lots)}")
    order_id = row.whole("orderId")
    return OrderRow(
        symbol=instrument.symbol,
        client_id=row.text("clientOrderId"),
        venue_order_id=order_id,
        side=row.named("side", SIDES),
        state=row.named("status", STATES),
        px_ticks=_not_negative(row, "price", row.ticks("price", instrument)),
        qty_lots=qty_lots,
        cum_qty_lots=cum_qty_lots,
        venue_order_text=str(order_id),
    )


def open_row(row: Row, instrument: Instrument) -> OrderRow:
    """Of openOrders: a stranger's order off our grid, or a status that we don't know (NEW_ADL,
    PENDING_CANCEL), must not hide our own ones."""
    try:
        return order_row(row, instrument)
    except ValueError:
        return _part(row, instrument, "orderId", "clientOrderId")


def open_algo_row(row: Row, instrument: Instrument) -> OrderRow:
    try:
        return algo_row(row, instrument)
    except ValueError:
        return replace(_part(row, instrument, "algoId", "clientAlgoId"), is_conditional=True)


def _part(row: Row, instrument: Instrument, id_key: str, client_key: str) -> OrderRow:
    """What a cancel needs. ValueError: not even that."""
    row.of("symbol", instrument.symbol)
    order_id = row.whole(id_key)
    return OrderRow(
        instrument.symbol, row.text(client_key), order_id, Side.BUY, OrderState.NEW, 0, 0, 0,
        str(order_id), is_whole=False,
    )  # fmt: skip


def algo_row(row: Row, instrument: Instrument) -> OrderRow:
    """One of USD-M's conditional orders; quantity 0: it closes the whole position."""
    row.of("symbol", instrument.symbol)
    algo_id = row.whole("algoId")
    return OrderRow(
        symbol=instrument.symbol,
        client_id=row.text("clientAlgoId"),
        venue_order_id=algo_id,
        side=row.named("side", SIDES),
        state=row.named("algoStatus", ALGO_STATES),
        px_ticks=_not_negative(row, "price", row.ticks("price", instrument)),
        qty_lots=_not_negative(row, "quantity", row.lots("quantity", instrument)),
        cum_qty_lots=0,
        venue_order_text=str(algo_id),
        is_conditional=True,
    )


def trade_row(row: Row, instrument: Instrument, side: Side, maker_key: str) -> TradeRow:
    """Of userTrades and myTrades, which differ in how they tell the side and the maker."""
    row.of("symbol", instrument.symbol)
    fee_e8 = row.e8("commission")
    order_id = row.whole("orderId")
    trade = TradeRow(
        symbol=instrument.symbol,
        trade_id=row.whole("id"),
        venue_order_id=order_id,
        client_id="",
        side=side,
        px_ticks=0,
        qty_lots=0,
        fee_e8=fee_e8,
        fee_asset=fee_asset(row.text("commissionAsset"), fee_e8, instrument),
        is_maker=row.flag(maker_key),
        exch_ts_ns=row.whole("time") * MS_NS,
        venue_order_text=str(order_id),
        is_whole=False,
    )
    for key in ("price", "qty"):
        if row.decimal(key) <= 0:
            raise row.wrong(key, "above 0")
    try:
        px_ticks, qty_lots = row.ticks("price", instrument), row.lots("qty", instrument)
    except ValueError:
        return trade
    return replace(trade, px_ticks=px_ticks, qty_lots=qty_lots, is_whole=True)


def fee_asset(asset: str, fee_e8: int, instrument: Instrument) -> FeeAsset:
    """As the stream's decoder tells it: no fee is a fee of 0 quote."""
    if fee_e8 == 0 or asset == instrument.quote:
        return FeeAsset.QUOTE
    return FeeAsset.BASE if asset == instrument.base else FeeAsset.OTHER


def _not_negative(row: Row, key: str, number: int) -> int:
    if number < 0:
        raise row.wrong(key, "0 or more")
    return number


# -- MONEY ---


def spot_balance(row: Row) -> BalanceRow:
    return BalanceRow(row.text("asset"), row.e8("free") + row.e8("locked"))


def rate_ppm(*rates: Decimal) -> int:
    """The sum in millionths, rounded against us: what a limit is planned with costs no less."""
    return math.ceil(sum(rates, Decimal(0)) * 1_000_000)
