"""Signed REST of Bybit v5 that reads: orders, executions, positions, wallet, fees, settings."""

from collections.abc import Mapping
from typing import Any, TypeVar

from engine.exchange.bybit.account import Wallet, position_list_row
from engine.exchange.bybit.dcp import DeadMan
from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.executions import fill_row, funding_row
from engine.exchange.bybit.instruments import coin_row, fee_row
from engine.exchange.bybit.orders import OrderEntry
from engine.exchange.bybit.params import Fields, cursor_of, cursor_text
from engine.exchange.bybit.rows import (
    ORDER_LIST,
    OrderState,
    chosen,
    order_fields,
    trigger_order_fields,
)
from engine.exchange.bybit.venue import EMPTY_CATEGORIES, Venue
from engine.exchange.events import Trigger
from engine.exchange.instruments import Kind
from engine.exchange.terms import Order, TriggerStatus
from engine.exchange.truth import FillRecord, FundingRecord

CONDITIONAL = ("StopOrder", "tpslOrder")
CLOSED_MAX = 500  # of realtime with openOnly=1
ItemT = TypeVar("ItemT")
Values = Mapping[str, Any]
Sortable = tuple[int, int, ItemT]  # time, number within it, what it is
Execution = tuple[FillRecord | FundingRecord, int]  # and the lots that the order had left


class AccountRest:
    """Each method takes the account and the query, and returns `result`."""

    def __init__(self, venue: Venue, orders: OrderEntry, dead_man: DeadMan) -> None:
        self._venue = venue
        self._orders = orders
        self._dead_man = dead_man

    # -- ORDERS ---

    def realtime(self, account: int, query: Values) -> Any:
        """Open orders; one by its id whatever became of it; or the last closed ones."""
        if query.get("category") in EMPTY_CATEGORIES:
            return _empty(query)
        fields = Fields(query)
        if fields.has("orderId") or fields.has("orderLinkId"):
            return self._one(account, fields)
        keys = self._keys(fields)
        open_only = fields.integer("openOnly", 0, 0, 2)
        is_open = open_only == 0
        items = self._orders_of(account, keys, fields, is_open)
        return self._order_page(fields, items if is_open else items[:CLOSED_MAX], 20)

    def order_history(self, account: int, query: Values) -> Any:
        """What is closed, newest first."""
        if query.get("category") in EMPTY_CATEGORIES:
            return _empty(query)
        fields = Fields(query)
        if fields.has("orderId") or fields.has("orderLinkId"):
            return self._one(account, fields)
        keys = self._keys(fields, is_scope_needed=False)
        items = self._orders_of(account, keys, fields, is_open=False)
        first_ms, last_ms = _times(fields)
        items = [own for own in items if first_ms <= self._venue.ms(own[0]) <= last_ms]
        return self._order_page(fields, items, 20)

    def _one(self, account: int, fields: Fields) -> Any:
        keys = self._venue.keys(fields.kind)
        if fields.has("symbol"):
            keys = [self._venue.market(fields.kind, fields.text("symbol")).instrument.key]
        found = self._orders.find(account, fields, keys)
        rows = [self._order_row(found)] if found is not None else []
        return {"list": rows, "nextPageCursor": "", "category": fields.kind.value}

    def _orders_of(
        self, account: int, keys: list[str], fields: Fields, is_open: bool
    ) -> list[Sortable[Order | Trigger]]:
        """Newest first. A conditional order that became an order is listed as that order."""
        wanted = fields.text("orderFilter")
        items: list[Sortable[Order | Trigger]] = []
        for key in keys:
            for order in self._orders_at(account, key, is_open):
                is_plain = not order.trigger_id
                if wanted in ("", "Order") or (wanted in CONDITIONAL and not is_plain):
                    items.append((order.create_ns, order.order_id, order))
            if wanted == "" or wanted in CONDITIONAL:
                for trigger in self._triggers_at(account, key, is_open):
                    items.append((trigger.create_ns, trigger.trigger_id, trigger))
        items.sort(key=lambda own: own[:2], reverse=True)
        return items

    def _orders_at(self, account: int, key: str, is_open: bool) -> list[Order]:
        """The closed ones are many: they are walked only when they are asked for."""
        core = self._venue.core
        if is_open:
            return core.open_orders(account, key)
        return [order for order in core.orders_of(account, key) if not order.is_open]

    def _triggers_at(self, account: int, key: str, is_open: bool) -> list[Trigger]:
        core = self._venue.core
        if is_open:
            return core.open_triggers(account, key)
        told_as_orders = (TriggerStatus.NEW, TriggerStatus.TRIGGERED)
        found = core.triggers_of(account, key)
        return [trigger for trigger in found if trigger.status not in told_as_orders]

    def _order_page(
        self, fields: Fields, items: list[Sortable[Order | Trigger]], default: int
    ) -> Any:
        limit = fields.integer("limit", default, 1, 50)
        page, cursor = _page_of(fields, items, limit)
        rows = [self._order_row(own) for own in page]
        return {"list": rows, "nextPageCursor": cursor, "category": fields.kind.value}

    def _order_row(self, own: Order | Trigger) -> dict[str, Any]:
        if isinstance(own, Order):
            fields = order_fields(self._venue, own, OrderState.now(own))
            kind = self._venue.instrument(own.symbol).kind
        else:
            fields = trigger_order_fields(self._venue, own, own.status)
            kind = self._venue.instrument(own.place.symbol).kind
        return chosen(fields, ORDER_LIST, kind)

    # -- EXECUTIONS ---

    def executions(self, account: int, query: Values) -> Any:
        """Fills and funding payments, newest first."""
        if query.get("category") in EMPTY_CATEGORIES:
            return _empty(query)
        fields = Fields(query)
        keys = self._keys(fields, is_scope_needed=False)
        exec_type = fields.text("execType")
        order_id = 0
        is_one = fields.has("orderId") or fields.has("orderLinkId")
        if is_one:
            keys = self._venue.keys(fields.kind)
            found = self._orders.find(account, fields, keys)
            order_id = found.order_id if found is not None else -1
        first_ms, last_ms = _times(fields)
        items: list[Sortable[Execution]] = []
        for key in keys:
            if exec_type in ("", "Trade"):
                items += self._fills(account, key, order_id)
            if exec_type in ("", "Funding") and not is_one:
                for index, record in enumerate(self._venue.core.funding_of(account, key)):
                    items.append((record.t_ns, index, (record, 0)))
        items = [own for own in items if first_ms <= self._venue.ms(own[0]) <= last_ms]
        items.sort(key=lambda own: own[:2], reverse=True)
        page, cursor = _page_of(fields, items, fields.integer("limit", 50, 1, 100))
        rows = [self._execution_row(record, leaves_lots) for record, leaves_lots in page]
        return {"nextPageCursor": cursor, "category": fields.kind.value, "list": rows}

    def _execution_row(
        self, record: FillRecord | FundingRecord, leaves_lots: int
    ) -> dict[str, Any]:
        if isinstance(record, FillRecord):
            return fill_row(self._venue, record, leaves_lots)
        return funding_row(self._venue, record)

    def _fills(self, account: int, key: str, order_id: int) -> list[Sortable[Execution]]:
        left: dict[int, int] = {}
        items: list[Sortable[Execution]] = []
        for fill in self._venue.core.fills_of(account, key):
            if order_id not in (0, fill.order_id):
                continue
            if fill.order_id not in left:
                order = self._venue.core.find_order(account, key, fill.order_id, "")
                left[fill.order_id] = order.qty_lots if order else fill.qty_lots
            left[fill.order_id] -= fill.qty_lots
            items.append((fill.t_ns, fill.trade_id, (fill, left[fill.order_id])))
        return items

    # -- POSITIONS AND MONEY ---

    def positions(self, account: int, query: Values) -> Any:
        if query.get("category") in EMPTY_CATEGORIES:
            return _empty(query)
        fields = Fields(query)
        if fields.kind is not Kind.LINEAR:
            raise VenueError(10001, "Illegal category")
        fields.integer("limit", 20, 1, 200)
        if fields.has("symbol"):
            keys = [self._venue.market(Kind.LINEAR, fields.text("symbol")).instrument.key]
        elif fields.has("settleCoin"):
            positions = self._venue.core.accounts[account].positions
            coin = fields.text("settleCoin")
            keys = [
                key
                for key in self._venue.keys(Kind.LINEAR)
                if self._venue.instrument(key).quote == coin
                and key in positions
                and positions[key].lots
            ]
        else:
            raise VenueError(10001, "params error: symbol or settleCoin is needed")
        rows = [position_list_row(self._venue, account, key) for key in keys]
        return {"list": rows, "nextPageCursor": "", "category": "linear"}

    def wallet(self, account: int, query: Values) -> Any:
        if query.get("accountType") != "UNIFIED":
            raise VenueError(10001, "accountType only support UNIFIED.")
        coins = query.get("coin")
        assets = [coin for coin in coins.split(",") if coin] if coins else None
        return {"list": [Wallet(self._venue, account).row(assets)]}

    def fees(self, account: int, query: Values) -> Any:
        if query.get("category") in EMPTY_CATEGORIES:
            return {"list": []}
        fields = Fields(query)
        keys = self._venue.keys(fields.kind)
        if fields.has("symbol"):
            keys = [self._venue.market(fields.kind, fields.text("symbol")).instrument.key]
        result: dict[str, Any] = {"list": [fee_row(self._venue, key) for key in keys]}
        if fields.kind is Kind.SPOT:
            result = {"category": "spot", **result}  # derivatives don't have it
        return result

    def info(self, account: int, query: Values) -> Any:
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": "1697078946000",
            "unifiedMarginStatus": 6,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def dcp_info(self, account: int, query: Values) -> Any:
        rows = [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(window_s)}
            for product, window_s in self._dead_man.windows(account, self._venue.now_ns)
        ]
        return {"dcpInfos": rows}

    def coins(self, account: int, query: Values) -> Any:
        names: dict[str, None] = {}
        for market in self._venue.core.markets.values():
            names |= {market.instrument.base: None, market.instrument.quote: None}
        wanted = query.get("coin")
        return {"rows": [coin_row(coin) for coin in names if wanted in (None, "", coin)]}

    # -- INTERNAL ---

    def _keys(self, fields: Fields, is_scope_needed: bool = True) -> list[str]:
        return self._orders.keys_of(fields, is_scope_needed and fields.kind is Kind.LINEAR)


def _empty(query: Values) -> Any:
    """Of a category that nothing is listed in."""
    return {"list": [], "nextPageCursor": "", "category": query["category"]}


def _times(fields: Fields) -> tuple[int, int]:
    first_ms = fields.integer("startTime", 0, 0, 1 << 50)
    return first_ms, fields.integer("endTime", 1 << 50, 0, 1 << 50)


def _page_of(fields: Fields, items: list[Sortable[ItemT]], limit: int) -> tuple[list[ItemT], str]:
    """What comes after the cursor, and the next one; empty when nothing is left."""
    after = cursor_of(fields.text("cursor"))
    if after is not None:
        items = [own for own in items if own[:2] < after]
    page = items[:limit]
    cursor = cursor_text(*page[-1][:2]) if len(items) > limit else ""
    return [own[2] for own in page], cursor
