"""Market data that Binance Spot answers on request, REST and WebSocket API alike.

"Market data endpoints". Trades, candles and windows are those since the exchange started; memory
of them is bounded (history.py).
"""

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from engine.exchange.binance import spot_frames as frames
from engine.exchange.binance.calls import Call, Cost, Route
from engine.exchange.binance.history import DAY_NS, MINUTE_NS
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import Params, integer, limit_of, mandatory
from engine.exchange.binance.spot_errors import SpotError
from engine.exchange.binance.spot_history import INTERVALS, SpotHistory
from engine.exchange.binance.spot_streams import SpotStreams
from engine.exchange.binance.spot_symbols import (
    AVG_PRICE_MINS,
    STATUS_TEXT,
    SpotSymbol,
    UnitStamp,
    exchange_info_json,
    symbol_json,
)
from engine.exchange.core import Core
from engine.exchange.events import Market, told_snapshot

DEPTH_MAX = 5_000
ROWS_MAX = 1_000
SYMBOLS_MAX = 100
NAMES_RANGE = r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$"
NAME = re.compile(r"[A-Z0-9-_.]{1,20}", re.ASCII)
WINDOW_SIZE = re.compile(r"([1-9][0-9]?)([mhd])", re.ASCII)
WINDOW_UNITS = {"m": (MINUTE_NS, 59), "h": (60 * MINUTE_NS, 23), "d": (DAY_NS, 7)}
PERMISSIONS = re.compile(r"[A-Z_0-9]{1,24}", re.ASCII)


class Shop(Protocol):
    """What market data needs of its face."""

    core: Core
    limits: RateLimits
    spot_streams: SpotStreams

    def symbol(self, params: Params) -> SpotSymbol: ...

    def symbol_named(self, name: str) -> SpotSymbol: ...

    def all_symbols(self) -> list[SpotSymbol]: ...

    def stamp_of(self, call: Call) -> UnitStamp: ...


def depth_weight(params: Params) -> int:
    text = params.get("limit", "")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 100
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250


def _by_symbol(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.get("symbol") else every


def _by_symbols(params: Params) -> int:
    return min(200, 4 * max(1, params.get("symbols", "").count(",") + 1))


class SpotMarket:
    def __init__(self, face: Shop) -> None:
        self._face = face

    def routes(self) -> dict[tuple[str, str], Route]:
        """REST; the WebSocket API has the same under `methods`."""
        rest: dict[tuple[str, str], Route] = {}
        for path, _, handler, weight in self._table():
            rest["GET", f"/api/v3/{path}"] = Route(handler, weight=weight)
        return rest

    def methods(self) -> dict[str, Route]:
        return {
            method: Route(handler, weight=weight) for _, method, handler, weight in self._table()
        }

    def _table(self) -> list[tuple[str, str, Callable[[Call], str], Cost]]:
        return [
            ("ping", "ping", lambda call: "{}", 1),
            ("time", "time", self._time, 1),
            ("exchangeInfo", "exchangeInfo", self._exchange_info, 20),
            ("depth", "depth", self._depth, depth_weight),
            ("trades", "trades.recent", self._trades, 25),
            ("historicalTrades", "trades.historical", self._trades, 25),
            ("aggTrades", "trades.aggregate", self._agg_trades, 4),
            ("klines", "klines", self._klines, 2),
            ("uiKlines", "uiKlines", self._klines, 2),
            ("avgPrice", "avgPrice", self._avg_price, 2),
            ("ticker/24hr", "ticker.24hr", self._day, _by_symbol(2, 80)),
            ("ticker", "ticker", self._window, _by_symbols),
            ("ticker/price", "ticker.price", self._price, _by_symbol(2, 4)),
            ("ticker/bookTicker", "ticker.book", self._book_ticker, _by_symbol(2, 4)),
        ]

    # -- GENERAL ---

    def _time(self, call: Call) -> str:
        return f'{{"serverTime":{self._face.stamp_of(call)(call.t_ns)}}}'

    def _exchange_info(self, call: Call) -> str:
        params, core = call.params, self._face.core
        symbols = self._wanted(params)
        if params.get("permissions"):
            if params.get("symbol") or params.get("symbols"):
                raise SpotError(-1128)
            names = _names_of(params["permissions"], "permissions", PERMISSIONS)
            if not {"SPOT"} & set(names):
                symbols = []
        if status := params.get("symbolStatus"):
            if status not in STATUS_TEXT.values():
                raise SpotError(-1122)
            symbols = [s for s in symbols if self._status(s) == status]
        collar = core.rules.collar_percent
        texts = [symbol_json(s, core.state(s.instrument.key), collar) for s in symbols]
        now = self._face.stamp_of(call)(call.t_ns)
        return exchange_info_json(texts, self._face.limits.info_json, now)

    def _status(self, symbol: SpotSymbol) -> str:
        return STATUS_TEXT[self._face.core.state(symbol.instrument.key)]

    # -- BOOK AND TRADES ---

    def _depth(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        self._check_status(symbol, call.params)
        limit = limit_of(call.params, 100, DEPTH_MAX)
        return frames.depth_json(symbol, told_snapshot(self._market(symbol), limit))

    def _trades(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        trades = self._history(symbol).trades
        from_id = integer(call.params, "fromId", 0)
        limit = limit_of(call.params, 500, ROWS_MAX)
        if from_id:
            rows = list(islice((t for t in trades if t.trade_id >= from_id), limit))
        else:
            rows = list(trades)[-limit:]
        return frames.trades_json(symbol, rows, self._face.stamp_of(call))

    def _agg_trades(self, call: Call) -> str:
        symbol, params = self._face.symbol(call.params), call.params
        from_id = integer(params, "fromId", 0)
        start_ns, end_ns = times_of(params, call.now_ns)
        rows = [
            trade
            for trade in self._history(symbol).agg_trades
            if trade.agg_id >= from_id and start_ns <= trade.t_ns <= end_ns
        ]
        limit = limit_of(params, 500, ROWS_MAX)
        rows = rows[:limit] if from_id or start_ns else rows[-limit:]
        return frames.agg_trades_json(symbol, rows, self._face.stamp_of(call))

    def _klines(self, call: Call) -> str:
        symbol, params = self._face.symbol(call.params), call.params
        interval = mandatory(params, "interval")
        if interval not in INTERVALS:
            raise SpotError(-1120)
        start_ns, end_ns = times_of(params, call.now_ns)
        now_ns = min(end_ns, call.t_ns)
        limit = limit_of(params, 500, ROWS_MAX)
        found = self._history(symbol).candles(interval, now_ns, start_ns)
        candles = (candle for candle in found if candle.open_ns <= now_ns)
        rows = list(islice(candles, limit)) if start_ns else list(candles)[-limit:]
        return frames.klines_json(symbol, interval, rows, self._face.stamp_of(call))

    # -- STATISTICS ---

    def _avg_price(self, call: Call) -> str:
        symbol = self._face.symbol(call.params)
        history = self._history(symbol)
        window = history.window(call.t_ns, AVG_PRICE_MINS * MINUTE_NS)
        last_ns = history.trades[-1].t_ns if history.trades else call.t_ns
        return frames.avg_price_json(symbol, window, last_ns, self._face.stamp_of(call))

    def _day(self, call: Call) -> str:
        is_mini = _is_mini(call.params)

        def one(symbol: SpotSymbol) -> str:
            history, stamp = self._history(symbol), self._face.stamp_of(call)
            day = history.window(call.t_ns, DAY_NS)
            if is_mini:
                return frames.mini_json(symbol, day, call.t_ns - DAY_NS, call.t_ns, stamp)
            last_lots = history.trades[-1].qty_lots if history.trades else 0
            touch = self._market(symbol).touch()
            return frames.day_json(symbol, day, last_lots, touch, call.t_ns, stamp)

        return self._each(call.params, one)

    def _window(self, call: Call) -> str:
        params = call.params
        if not params.get("symbol") and not params.get("symbols"):
            text = "Param 'symbol' or 'symbols' must be sent, but both were empty/null!"
            raise SpotError(-1102, text=text)
        is_mini, length_ns = _is_mini(params), _window_ns(params.get("windowSize") or "1d")

        def one(symbol: SpotSymbol) -> str:
            stamp = self._face.stamp_of(call)
            window = self._history(symbol).window(call.t_ns, length_ns)
            if is_mini:
                return frames.mini_json(symbol, window, window.open_ns, call.t_ns, stamp)
            return frames.window_json(symbol, window, call.t_ns, stamp)

        return self._each(params, one)

    def _price(self, call: Call) -> str:
        def one(symbol: SpotSymbol) -> str:
            market = self._market(symbol)
            return frames.price_json(symbol, market.last_px_ticks() or market.touch()[0])

        return self._each(call.params, one)

    def _book_ticker(self, call: Call) -> str:
        return self._each(
            call.params, lambda s: frames.book_ticker_json(s, self._market(s).touch())
        )

    # -- INTERNAL ---

    def _market(self, symbol: SpotSymbol) -> Market:
        return self._face.core.markets[symbol.instrument.key]

    def _history(self, symbol: SpotSymbol) -> SpotHistory:
        return self._face.spot_streams.history(symbol.instrument.key)

    def _check_status(self, symbol: SpotSymbol, params: Params) -> None:
        if status := params.get("symbolStatus"):
            if status not in STATUS_TEXT.values():
                raise SpotError(-1122)
            if status != self._status(symbol):
                raise SpotError(-1220)

    def _wanted(self, params: Params) -> list[SpotSymbol]:
        """`symbol`, or each of `symbols`, or all."""
        if params.get("symbol"):
            if params.get("symbols"):
                raise SpotError(-1128)
            return [self._face.symbol(params)]
        if not params.get("symbols"):
            return self._face.all_symbols()
        names = _names_of(params["symbols"], "symbols", NAME)
        if len(set(names)) < len(names):
            raise SpotError(-1151)
        if len(names) > SYMBOLS_MAX:
            raise SpotError(-1101, text="Too many symbols.")  # unverified
        return [self._face.symbol_named(name) for name in names]

    def _each(self, params: Params, one: Callable[[SpotSymbol], str]) -> str:
        """An object for `symbol`, an array for anything else."""
        texts = [one(symbol) for symbol in self._wanted(params)]
        return texts[0] if params.get("symbol") else f"[{','.join(texts)}]"


def times_of(params: Params, now_ns: int, hours_max: int = 0) -> tuple[int, int]:
    """startTime and endTime in ns; not given: from the beginning, until for ever."""
    start_ns = _time_ns(params, "startTime", 0)
    end_ns = _time_ns(params, "endTime", 1 << 62)
    if params.get("startTime") and params.get("endTime"):
        if end_ns < start_ns:
            raise SpotError(-1128)  # unverified
        if hours_max and end_ns - start_ns > hours_max * 60 * MINUTE_NS:
            raise SpotError(-1127, hours_max)
    return start_ns, end_ns


def _time_ns(params: Params, name: str, default_ns: int) -> int:
    """In milliseconds, or in microseconds when it is too big for that."""
    if not params.get(name):
        return default_ns
    value = integer(params, name)
    return min(1 << 62, value * (1_000 if value >= 100_000_000_000_000 else 1_000_000))


def _names_of(text: str, name: str, pattern: re.Pattern[str]) -> list[str]:
    """A JSON array of names, or one bare name."""
    try:
        value = json.loads(text) if text.startswith("[") else [text]
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(
        isinstance(item, str) and pattern.fullmatch(item) for item in value
    ):
        raise SpotError(-1100, name, NAMES_RANGE)
    return value


def _window_ns(text: str) -> int:
    match = WINDOW_SIZE.fullmatch(text)
    if match is None or int(match.group(1)) > WINDOW_UNITS[match.group(2)][1]:
        raise SpotError(-1130, "windowSize")  # unverified
    return int(match.group(1)) * WINDOW_UNITS[match.group(2)][0]


def _is_mini(params: Params) -> bool:
    kind = params.get("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise SpotError(-1139)
    return kind == "MINI"
