"""Signed REST of Bybit v5 that reads: orders, executions, positions, wallet, fees, settings."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
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
INSTRUMENTS_MAX = 1_000  # that one exchange trades
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
        return self._order_page(fields, items if is_open else islice(items, CLOSED_MAX), 20)

    def order_history(self, account: int, query: Values) -> Any:
        """What is closed, newest first."""
        if query.get("category") in EMPTY_CATEGORIES:
            return _empty(query)
        fields = Fields(query)
        if fields.has("orderId") or fields.has("orderLinkId"):
            return self._one(account, fields)
        keys = self._keys(fields, is_scope_needed=False)
        items = self._orders_of(account, keys, fields, is_open=False)
        return self._order_page(fields, self._within(fields, items), 20)

    def _one(self, account: int, fields: Fields) -> Any:
        keys = self._venue.keys(fields.kind)
        if fields.has("symbol"):
            keys = [self._venue.market(fields.kind, fields.text("symbol")).instrument.key]
        found = self._orders.find(account, fields, keys)
        rows = [self._order_row(found)] if found is not None else []
        return {"list": rows, "nextPageCursor": "", "category": fields.kind.value}

    def _orders_of(
        self, account: int, keys: list[str], fields: Fields, is_open: bool
    ) -> Iterator[Sortable[Order | Trigger]]:
        """Newest first, and no further than is asked for: the closed ones are many. A conditional
        order that became an order is listed as that order."""
        wanted = fields.text("orderFilter")
        parts: list[Iterator[Sortable[Order | Trigger]]] = []
        for key in keys:
            if wanted in ("", "Order", *CONDITIONAL):
                parts.append(self._orders_at(account, key, is_open, wanted in CONDITIONAL))
            if wanted == "" or wanted in CONDITIONAL:
                parts.append(self._triggers_at(account, key, is_open))
        return heapq.merge(*parts, key=_place_in_list, reverse=True)

    def _orders_at(
        self, account: int, key: str, is_open: bool, is_triggered_only: bool
    ) -> Iterator[Sortable[Order | Trigger]]:
        core = self._venue.core
        found = core.open_orders(account, key) if is_open else core.orders_of(account, key)
        for order in reversed(found):
            if order.is_open is is_open and (order.trigger_id or not is_triggered_only):
                yield order.create_ns, order.order_id, order

    def _triggers_at(
        self, account: int, key: str, is_open: bool
    ) -> Iterator[Sortable[Order | Trigger]]:
        core = self._venue.core
        found = core.open_triggers(account, key) if is_open else core.triggers_of(account, key)
        told_as_orders = (TriggerStatus.NEW, TriggerStatus.TRIGGERED)
        for trigger in reversed(found):
            if is_open or trigger.status not in told_as_orders:
                yield trigger.create_ns, trigger.trigger_id, trigger

    def _within(
        self, fields: Fields, items: Iterable[Sortable[ItemT]]
    ) -> Iterator[Sortable[ItemT]]:
        """Those between startTime and endTime of items that are newest first."""
        first_ms, last_ms = _times(fields)
        not_older = takewhile(lambda own: self._venue.ms(own[0]) >= first_ms, items)
        return (own for own in not_older if self._venue.ms(own[0]) <= last_ms)

    def _order_page(
        self, fields: Fields, items: Iterable[Sortable[Order | Trigger]], default: int
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
        parts: list[Iterator[Sortable[Execution]]] = []
        for key in keys:
            if exec_type in ("", "Trade"):
                parts.append(self._fills(account, key, order_id))
            if exec_type in ("", "Funding") and not is_one:
                parts.append(self._fundings(account, key))
        items = self._within(fields, heapq.merge(*parts, key=_place_in_list, reverse=True))
        page, cursor = _page_of(fields, items, fields.integer("limit", 50, 1, 100))
        rows = [self._execution_row(record, leaves_lots) for record, leaves_lots in page]
        return {"nextPageCursor": cursor, "category": fields.kind.value, "list": rows}

    def _execution_row(
        self, record: FillRecord | FundingRecord, leaves_lots: int
    ) -> dict[str, Any]:
        if isinstance(record, FillRecord):
            return fill_row(self._venue, record, leaves_lots)
        return funding_row(self._venue, record)

    def _fills(self, account: int, key: str, order_id: int) -> Iterator[Sortable[Execution]]:
        """Newest first; what an order has left by now grows by each fill on the way back."""
        core = self._venue.core
        rank = self._venue.rank(key)
        left: dict[int, int] = {}
        for fill in reversed(core.fills_of(account, key)):
            if order_id not in (0, fill.order_id):
                continue
            if fill.order_id not in left:
                order = core.find_order(account, key, fill.order_id, "")
                left[fill.order_id] = order.qty_lots - order.cum_lots if order else 0
            # Both sides of a trade may be the account's own.
            number = _number(2 * fill.trade_id + fill.is_maker, rank, is_funding=False)
            yield fill.t_ns, number, (fill, left[fill.order_id])
            left[fill.order_id] += fill.qty_lots

    def _fundings(self, account: int, key: str) -> Iterator[Sortable[Execution]]:
        rank = self._venue.rank(key)
        number = _number(0, rank, is_funding=True)  # one instrument's never come together
        for record in reversed(self._venue.core.funding_of(account, key)):
            yield record.t_ns, number, (record, 0)

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
        """What the documents call deprecated has its fixed value: query-dcp-info tells of the
        protection that is set."""
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": "1697078946000",
            "unifiedMarginStatus": 6,
            "dcpStatus": "OFF",
            "timeWindow": 0,
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


def _place_in_list(own: Sortable[Any]) -> tuple[int, int]:
    return own[:2]


def _number(count: int, rank: int, is_funding: bool) -> int:
    """Tells executions of one instant apart, of several instruments too."""
    return (2 * count + is_funding) * INSTRUMENTS_MAX + rank


def _page_of(
    fields: Fields, items: Iterable[Sortable[ItemT]], limit: int
) -> tuple[list[ItemT], str]:
    """What comes after the cursor, and the next one; empty when nothing is left."""
    after = cursor_of(fields.text("cursor"))
    if after is not None:
        items = (own for own in items if own[:2] < after)
    page = list(islice(items, limit + 1))
    cursor = cursor_text(*page[limit - 1][:2]) if len(page) > limit else ""
    return [own[2] for own in page[:limit]], cursor
