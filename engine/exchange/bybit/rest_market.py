"""Public REST of Bybit v5: instruments, books, tickers, trades, candles, funding rates, time."""

import json
from collections.abc import Mapping
from typing import Any

from engine.exchange.book import Side
from engine.exchange.bybit import texts
from engine.exchange.bybit.books import rest_book_json
from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.history import INTERVAL_MINUTES, TRADES_KEPT
from engine.exchange.bybit.instruments import instrument_row
from engine.exchange.bybit.klines import rest_rows
from engine.exchange.bybit.params import Fields
from engine.exchange.bybit.public import PublicStreams
from engine.exchange.bybit.tickers import rest_row
from engine.exchange.bybit.venue import EMPTY_CATEGORIES, Venue
from engine.exchange.events import Market, Trade
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import MarketState

Query = Mapping[str, str]
BOOK_LIMITS = {Kind.LINEAR: (25, 1_000), Kind.SPOT: (1, 1_000)}  # (default, most)
TRADE_LIMITS = {Kind.LINEAR: (500, TRADES_KEPT), Kind.SPOT: (60, 60)}


class MarketRest:
    """Each method takes the query and returns `result`: a value, or its JSON."""

    def __init__(self, venue: Venue, public: PublicStreams) -> None:
        self._venue = venue
        self._public = public

    def time(self, query: Query) -> Any:
        now_ns = self._venue.now_ns + self._venue.skew_ns
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def instruments(self, query: Query) -> Any:
        if query.get("category") in EMPTY_CATEGORIES:
            return _page(query["category"], [], "")
        fields = Fields(query)
        limit = fields.integer("limit", 500, 1, 1_000)
        status = fields.text("status", "Trading")
        keys = self._venue.keys(fields.kind)
        if fields.has("symbol"):
            key = self._venue.key(fields.kind, fields.text("symbol"))
            keys = [key] if key else []
        rows = []
        for key in keys:
            is_trading = self._venue.core.state(key) is not MarketState.DELISTED
            if status == ("Trading" if is_trading else "Closed"):
                rows.append(instrument_row(self._venue, key))
        page = _page(fields.kind.value, rows[:limit], "")
        return page

    def orderbook(self, query: Query) -> Any:
        fields, market = self._asked(query)
        default, most = BOOK_LIMITS[fields.kind]
        limit = fields.integer("limit", default, 1, most)
        now_ms, skew_ns = self._venue.now_ms, self._venue.skew_ns
        chain, u = self._public.deepest(fields.kind, market.instrument.symbol)
        return RawJson(rest_book_json(market, chain, limit, u, now_ms, skew_ns))

    def tickers(self, query: Query) -> Any:
        if query.get("category") in EMPTY_CATEGORIES:
            return {"category": query["category"], "list": []}
        fields = Fields(query)
        keys = self._venue.keys(fields.kind)
        if fields.has("symbol"):
            keys = [self._venue.market(fields.kind, fields.text("symbol")).instrument.key]
        rows = [
            rest_row(
                self._venue,
                self._venue.core.markets[key],
                self._public.rolled(key, self._venue.now_ns),
            )
            for key in keys
        ]
        return {"category": fields.kind.value, "list": rows}

    def trades(self, query: Query) -> Any:
        fields, market = self._asked(query)
        default, most = TRADE_LIMITS[fields.kind]
        limit = fields.integer("limit", default, 1, most)
        instrument = market.instrument
        history = self._public.histories[instrument.key]
        if history.taped:  # under the recorded ids
            rows = [row for text in reversed(history.taped) for row in _taped_rows(text)]
        else:
            rows = [self._trade_row(instrument, trade) for trade, _ in reversed(history.trades)]
        return {"category": fields.kind.value, "list": rows[:limit]}

    def _trade_row(self, instrument: Instrument, trade: Trade) -> dict[str, Any]:
        return {
            "execId": texts.exec_id(instrument.key, instrument.kind, trade.trade_id),
            "symbol": instrument.symbol,
            "price": texts.price(instrument, trade.px_ticks),
            "size": texts.quantity(instrument, trade.qty_lots),
            "side": "Buy" if trade.aggressor is Side.BUY else "Sell",
            "time": str(self._venue.ms(trade.t_ns)),
            "isBlockTrade": False,
            "isRPITrade": False,
        }

    def klines(self, query: Query) -> Any:
        fields, market = self._asked(query)
        interval = fields.needed("interval")
        if interval not in INTERVAL_MINUTES and interval != "M":
            raise VenueError(10001, "Invalid period!")
        limit = fields.integer("limit", 200, 1, 1_000)
        first_ms = fields.integer("start", 0, 0, 1 << 50)
        last_ms = fields.integer("end", 1 << 50, 0, 1 << 50)
        instrument = market.instrument
        history = self._public.histories[instrument.key]
        rows = rest_rows(history, instrument, interval, self._venue.now_ns)
        rows = [row for row in rows if first_ms <= int(row[0]) <= last_ms]
        symbol = instrument.symbol
        return {"symbol": symbol, "category": fields.kind.value, "list": rows[:limit]}

    def funding_history(self, query: Query) -> Any:
        fields, market = self._asked(query)
        if fields.kind is not Kind.LINEAR:
            raise VenueError(10001, "Illegal category")
        limit = fields.integer("limit", 200, 1, 200)
        last_ms = fields.integer("endTime", 1 << 50, 0, 1 << 50)
        first_ms = fields.integer("startTime", 0, 0, 1 << 50)
        if fields.has("startTime") and not fields.has("endTime"):
            raise VenueError(10001, "params error: endTime invalid")
        instrument = market.instrument
        rows = [
            {
                "symbol": instrument.symbol,
                "fundingRate": texts.money(rate_e8),
                "fundingRateTimestamp": str(self._venue.ms(t_ns)),
            }
            for t_ns, rate_e8 in reversed(self._public.histories[instrument.key].fundings)
            if first_ms <= self._venue.ms(t_ns) <= last_ms
        ]
        return {"category": "linear", "list": rows[:limit]}

    def _asked(self, query: Query) -> tuple[Fields, Market]:
        fields = Fields(query)
        return fields, self._venue.market(fields.kind, fields.needed("symbol"))


class RawJson(str):
    """Is JSON already."""


def _page(category: str, rows: list[Any], cursor: str) -> dict[str, Any]:
    return {"category": category, "list": rows, "nextPageCursor": cursor}


def _taped_rows(text: str) -> list[dict[str, Any]]:
    """Trades of a recorded message, newest first."""
    try:
        trades = json.loads(text)["data"]
        return [
            {
                "execId": trade["i"],
                "symbol": trade["s"],
                "price": trade["p"],
                "size": trade["v"],
                "side": trade["S"],
                "time": str(trade["T"]),
                "isBlockTrade": trade.get("BT", False),
                "isRPITrade": trade.get("RPI", False),
            }
            for trade in reversed(trades)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # a recording holds what it holds
