"""Market data and exchange information of USD-M by REST ("Market Data" documents)."""

import json
from collections.abc import Callable

from engine.exchange.binance.calls import Call, Route
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.history import INTERVALS_MIN, MINUTE_NS, Candle, History
from engine.exchange.binance.limits import RateLimits
from engine.exchange.binance.params import Params, integer, limit_of, mandatory
from engine.exchange.binance.streams import MarketStreams
from engine.exchange.binance.usdm_desk import UsdmDesk
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.binance.usdm_info import exchange_info_json
from engine.exchange.binance.usdm_streams import levels_json, percent_text
from engine.exchange.book import Side
from engine.exchange.events import MarkUpdate, Trade, told_snapshot
from engine.exchange.instruments import Instrument, e8_text

MS = 1_000_000
HOUR_NS = 3_600 * 1_000_000_000
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
KLINES_MAX = 1_500
TRADES_MAX = 1_000
FUNDINGS_MAX = 1_000


def _depth_weight(params: Params) -> int:
    return _stepped(params, 500, DEPTH_WEIGHTS)


def _kline_weight(params: Params) -> int:
    return _stepped(params, 500, KLINE_WEIGHTS)


def _stepped(params: Params, default: int, steps: tuple[tuple[int, int], ...]) -> int:
    text = params.get("limit", "")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else default
    return next((weight for limit_max, weight in steps if limit <= limit_max), steps[-1][1])


def _one_or_all(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.get("symbol") else every


class UsdmMarket:
    """`streams` keeps the history of public trades."""

    def __init__(self, desk: UsdmDesk, streams: MarketStreams, limits: RateLimits) -> None:
        self._desk = desk
        self._core = desk.core
        self._ms = desk.stamp.ms
        self._streams = streams
        self._limits = limits

    def routes(self) -> dict[tuple[str, str], Route]:
        v1, v2 = "/fapi/v1/", "/fapi/v2/"
        price, best = Route(self.price, weight=_one_or_all(1, 2)), Route(
            self.best, weight=_one_or_all(2, 5)
        )  # fmt: skip
        return {
            ("GET", v1 + "ping"): Route(self.ping),
            ("GET", v1 + "time"): Route(self.time),
            ("GET", v1 + "exchangeInfo"): Route(self.exchange_info),
            ("GET", v1 + "depth"): Route(self.depth, weight=_depth_weight),
            ("GET", v1 + "trades"): Route(self.trades, weight=5),
            ("GET", v1 + "aggTrades"): Route(self.agg_trades, weight=20),
            ("GET", v1 + "klines"): Route(self.klines, weight=_kline_weight),
            ("GET", v1 + "ticker/24hr"): Route(self.day, weight=_one_or_all(1, 40)),
            ("GET", v1 + "ticker/price"): price,
            ("GET", v2 + "ticker/price"): price,
            ("GET", v1 + "ticker/bookTicker"): best,
            ("GET", v1 + "premiumIndex"): Route(self.premium_index),
            ("GET", v1 + "fundingRate"): Route(self.funding_rate),
            ("GET", v1 + "fundingInfo"): Route(self.funding_info),
            ("GET", v1 + "openInterest"): Route(self.open_interest),
        }

    def methods(self) -> dict[str, Route]:
        return {
            "ping": Route(self.ping),
            "time": Route(self.time),
            "depth": Route(self.depth, weight=_depth_weight),
            "ticker.price": Route(self.price, weight=_one_or_all(1, 2)),
            "ticker.book": Route(self.best, weight=_one_or_all(2, 5)),
        }

    # -- GENERAL ---

    def ping(self, call: Call) -> str:
        return "{}"

    def time(self, call: Call) -> str:
        return f'{{"serverTime":{call.now_ns // MS}}}'

    def exchange_info(self, call: Call) -> str:
        rows = [
            (market.instrument, self._core.state(key))
            for key, market in self._core.markets.items()
        ]
        rules = self._core.rules
        return exchange_info_json(rows, rules, self._limits.info_json, call.now_ns // MS)

    # -- BOOK ---

    def depth(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        limit = integer(call.params, "limit", 500)
        if limit not in DEPTH_LIMITS:
            raise UsdmError(-4021)
        book = told_snapshot(self._core.markets[instrument.key], limit)
        now_ms = call.now_ns // MS
        return (
            f'{{"lastUpdateId":{book.update_id},"E":{now_ms},"T":{now_ms},'
            f'"bids":{levels_json(instrument, book.bids)},'
            f'"asks":{levels_json(instrument, book.asks)}}}'
        )

    def best(self, call: Call) -> str:
        def row(instrument: Instrument) -> str:
            bid_px, bid_qty, ask_px, ask_qty = self._core.markets[instrument.key].touch()
            px, qty = instrument.px.text, instrument.qty.text
            update_id = self._core.markets[instrument.key].snapshot(0).update_id
            return (
                f'{{"symbol":"{instrument.symbol}","bidPrice":"{px(bid_px)}",'
                f'"bidQty":"{qty(bid_qty)}","askPrice":"{px(ask_px)}",'
                f'"askQty":"{qty(ask_qty)}","time":{call.now_ns // MS},'
                f'"lastUpdateId":{update_id}}}'
            )

        return self._one_or_all(call.params, row)

    def price(self, call: Call) -> str:
        def row(instrument: Instrument) -> str:
            px_ticks = self._last_px_ticks(instrument)
            return (
                f'{{"symbol":"{instrument.symbol}","price":"{instrument.px.text(px_ticks)}",'
                f'"time":{call.now_ns // MS}}}'
            )

        return self._one_or_all(call.params, row)

    def _last_px_ticks(self, instrument: Instrument) -> int:
        market = self._core.markets[instrument.key]
        return market.last_px_ticks() or self._core.mark_px_ticks(instrument.key)

    def _one_or_all(self, params: Params, row: Callable[[Instrument], str]) -> str:
        """An object of the symbol named, else an array of all."""
        if params.get("symbol"):
            return row(self._desk.instrument(params))
        return f"[{','.join([row(i) for i in self._desk.instruments(params)])}]"

    # -- TRADES ---

    def _history(self, instrument: Instrument) -> History:
        return self._streams.symbols[instrument.key].history

    def trades(self, call: Call) -> str:
        """The newest last. Of a recording, what its trade stream has told."""
        instrument = self._desk.instrument(call.params)
        count = limit_of(call.params, 500, TRADES_MAX)
        symbol = self._streams.symbols[instrument.key]
        rows = [self._trade_row(instrument, trade) for trade in symbol.history.trades]
        if not rows:
            rows = [_tape_trade_row(text) for text in symbol.tape_trades]
        return f"[{','.join(rows[-count:])}]"

    def _trade_row(self, instrument: Instrument, trade: Trade) -> str:
        quote = e8_text(trade.qty_lots * trade.px_ticks * instrument.notional_e8)
        is_buyer_maker = "true" if trade.aggressor is Side.SELL else "false"
        return (
            f'{{"id":{trade.trade_id},"price":"{instrument.px.text(trade.px_ticks)}",'
            f'"qty":"{instrument.qty.text(trade.qty_lots)}","quoteQty":"{quote}",'
            f'"time":{self._ms(trade.t_ns)},"isBuyerMaker":{is_buyer_maker}}}'
        )

    def agg_trades(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        count = limit_of(call.params, 500, TRADES_MAX)
        from_id = integer(call.params, "fromId", 0)
        start_ms, end_ms = self._range(call)
        px, qty = instrument.px.text, instrument.qty.text
        rows = [
            f'{{"a":{agg.agg_id},"p":"{px(agg.px_ticks)}","q":"{qty(agg.qty_lots)}",'
            f'"f":{agg.first_id},"l":{agg.last_id},"T":{self._ms(agg.t_ns)},'
            f'"m":{"true" if agg.aggressor is Side.SELL else "false"}}}'
            for agg in self._history(instrument).agg_trades
            if agg.agg_id >= from_id and start_ms <= self._ms(agg.t_ns) <= end_ms
        ]
        rows = rows[:count] if from_id or start_ms else rows[-count:]
        return f"[{','.join(rows)}]"

    def _range(self, call: Call) -> tuple[int, int]:
        end_ms = integer(call.params, "endTime", 0) or 1 << 62
        return integer(call.params, "startTime", 0), end_ms

    # -- CANDLES AND STATISTICS ---

    def klines(self, call: Call) -> str:
        instrument = self._desk.instrument(call.params)
        interval = mandatory(call.params, "interval")
        if interval not in INTERVALS_MIN:
            raise VenueError(-1120)
        start_ms, end_ms = self._range(call)
        count = limit_of(call.params, 500, KLINES_MAX)
        length_ms = INTERVALS_MIN[interval] * MINUTE_NS // MS
        rows = [
            _kline_row(instrument, candle, length_ms)
            for candle in self._history(instrument).candles(interval, call.t_ns)
            if start_ms <= candle.open_ns // MS <= end_ms
        ]
        rows = rows[:count] if start_ms else rows[-count:]
        return f"[{','.join(rows)}]"

    def day(self, call: Call) -> str:
        return self._one_or_all(call.params, lambda instrument: self._day_row(instrument, call))

    def _day_row(self, instrument: Instrument, call: Call) -> str:
        """Before the first trade: flat at the mark."""
        history = self._history(instrument)
        day = history.day(call.t_ns)
        if day is None:
            day = Candle.flat(call.t_ns, self._last_px_ticks(instrument))
        px, qty = instrument.px.text, instrument.qty.text
        last_lots = history.trades[-1].qty_lots if history.trades else 0
        change = day.close_px - day.open_px
        return (
            f'{{"symbol":"{instrument.symbol}","priceChange":"{px(change)}",'
            f'"priceChangePercent":"{percent_text(change, day.open_px)}",'
            f'"weightedAvgPrice":"{instrument.px.mean_text(day.cost, day.lots)}",'
            f'"lastPrice":"{px(day.close_px)}","lastQty":"{qty(last_lots)}",'
            f'"openPrice":"{px(day.open_px)}","highPrice":"{px(day.high_px)}",'
            f'"lowPrice":"{px(day.low_px)}","volume":"{qty(day.lots)}",'
            f'"quoteVolume":"{e8_text(day.cost * instrument.notional_e8)}",'
            f'"openTime":{self._ms(day.open_ns)},"closeTime":{call.now_ns // MS},'
            f'"firstId":{day.first_id},"lastId":{day.last_id},"count":{day.count}}}'
        )

    # -- MARKS AND FUNDING ---

    def premium_index(self, call: Call) -> str:
        def row(instrument: Instrument) -> str:
            px = instrument.px.mean_text
            mark = self._core.mark(instrument.key) or self._mark_now(instrument, call.t_ns)
            index = px(mark.index_px_ticks, 1)
            rate = e8_text(mark.funding_rate_e8)
            return (
                f'{{"symbol":"{instrument.symbol}","markPrice":"{px(mark.mark_px_ticks, 1)}",'
                f'"indexPrice":"{index}","estimatedSettlePrice":"{index}",'
                f'"lastFundingRate":"{rate}","interestRate":"0.00010000",'
                f'"nextFundingTime":{self._ms(mark.next_funding_ns)},'
                f'"time":{call.now_ns // MS}}}'
            )

        return self._one_or_all(call.params, row)

    def _mark_now(self, instrument: Instrument, t_ns: int) -> MarkUpdate:
        """Before the first second is over."""
        px_ticks = self._core.mark_px_ticks(instrument.key)
        rules = self._core.rules
        next_ns = (t_ns // rules.funding_every_ns + 1) * rules.funding_every_ns
        return MarkUpdate(t_ns, instrument.key, px_ticks, px_ticks, rules.funding_rate_e8, next_ns)

    def funding_rate(self, call: Call) -> str:
        """Of the times gone by: this exchange's rate is one for all times."""
        rules, rows = self._core.rules, []
        start_ms, end_ms = self._range(call)
        count = limit_of(call.params, 100, FUNDINGS_MAX)
        every_ns = rules.funding_every_ns
        last_ns = min(call.t_ns, end_ms * MS) // every_ns * every_ns
        first_ns = max(last_ns - (count - 1) * every_ns, start_ms * MS)
        for instrument in self._desk.instruments(call.params):
            mark = instrument.px.mean_text(self._core.mark_px_ticks(instrument.key), 1)
            rows += [
                f'{{"symbol":"{instrument.symbol}",'
                f'"fundingRate":"{e8_text(rules.funding_rate_e8)}",'
                f'"fundingTime":{self._ms(t_ns)},"markPrice":"{mark}"}}'
                for t_ns in range(last_ns, first_ns - 1, -every_ns)
            ][::-1]
        return f"[{','.join(rows[-count:])}]"

    def funding_info(self, call: Call) -> str:
        hours = self._core.rules.funding_every_ns // HOUR_NS
        rows = [
            f'{{"symbol":"{instrument.symbol}","adjustedFundingRateCap":"0.02000000",'
            f'"adjustedFundingRateFloor":"-0.02000000","fundingIntervalHours":{hours},'
            '"disclaimer":false}'
            for instrument in self._desk.instruments({})
        ]
        return f"[{','.join(rows)}]"

    def open_interest(self, call: Call) -> str:
        """Of the users alone; nobody counts the agents."""
        instrument = self._desk.instrument(call.params)
        lots = 0
        for account in self._core.accounts:
            if position := account.positions.get(instrument.key):
                lots += max(0, position.lots)
        return (
            f'{{"openInterest":"{instrument.qty.text(lots)}","symbol":"{instrument.symbol}",'
            f'"time":{call.now_ns // MS}}}'
        )


def _kline_row(instrument: Instrument, candle: Candle, length_ms: int) -> str:
    px, qty = instrument.px.text, instrument.qty.text
    open_ms = candle.open_ns // MS
    return (
        f'[{open_ms},"{px(candle.open_px)}","{px(candle.high_px)}","{px(candle.low_px)}",'
        f'"{px(candle.close_px)}","{qty(candle.lots)}",{open_ms + length_ms - 1},'
        f'"{e8_text(candle.cost * instrument.notional_e8)}",{candle.count},'
        f'"{qty(candle.bought_lots)}",'
        f'"{e8_text(candle.bought_cost * instrument.notional_e8)}","0"]'
    )


def _tape_trade_row(text: str) -> str:
    """A recorded trade event as a row of the REST answer; the recording was parsed before."""
    data = json.loads(text)
    is_buyer_maker = "true" if data["m"] else "false"
    return (
        f'{{"id":{data["t"]},"price":"{data["p"]}","qty":"{data["q"]}","quoteQty":"0",'
        f'"time":{data["T"]},"isBuyerMaker":{is_buyer_maker}}}'
    )
