"""Public JSON of Binance Spot: stream payloads and the answers of market-data requests.

Field order and types are those of the venue's documentation (web-socket-streams.md, rest-api.md).
Unlike USD-M: no `pu` and no `T` in depthUpdate, no `e` and no time in bookTicker, no symbol in
partial depth, `M` in trades. Built by f-strings: nothing in here needs escaping, since symbols
are our own.
"""

from collections.abc import Iterable

from engine.exchange.binance.formats import Ids, Sides
from engine.exchange.binance.history import DAY_NS, AggTrade, Candle
from engine.exchange.binance.spot_history import interval_end_ns
from engine.exchange.binance.spot_symbols import (
    AVG_PRICE_MINS,
    SpotSymbol,
    SymbolTable,
    UnitStamp,
)
from engine.exchange.book import Quote, Side, Touch
from engine.exchange.events import DepthSnapshot, MarkUpdate, Trade
from engine.exchange.instruments import Instrument


def truth(value: bool) -> str:
    return "true" if value else "false"


def levels_json(symbol: SpotSymbol, levels: Iterable[Quote]) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    return "[" + ",".join([f'["{px(p)}","{qty(q)}"]' for p, q in levels]) + "]"


def depth_json(symbol: SpotSymbol, book: DepthSnapshot) -> str:
    """The snapshot, and the partial depth streams: nothing else in it."""
    return (
        f'{{"lastUpdateId":{book.update_id},"bids":{levels_json(symbol, book.bids)},'
        f'"asks":{levels_json(symbol, book.asks)}}}'
    )


class SpotFormat:
    """Stream payloads, a StreamFormat (streams.py)."""

    def __init__(self, symbols: SymbolTable, stamp: UnitStamp) -> None:
        self._of = symbols.of
        self._stamp = stamp

    def depth(self, instrument: Instrument, ids: Ids, sides: Sides, t_ns: int, now_ns: int) -> str:
        symbol = self._of(instrument)
        return (
            f'{{"e":"depthUpdate","E":{self._stamp(now_ns)},"s":"{symbol.name}","U":{ids[0]},'
            f'"u":{ids[1]},"b":{levels_json(symbol, sides[0])},'
            f'"a":{levels_json(symbol, sides[1])}}}'
        )

    def partial_depth(
        self, instrument: Instrument, book: DepthSnapshot, prev_id: int, now_ns: int
    ) -> str:
        return depth_json(self._of(instrument), book)

    def best(
        self, instrument: Instrument, touch: Touch, update_id: int, t_ns: int, now_ns: int
    ) -> str:
        symbol = self._of(instrument)
        bid_px, bid_qty, ask_px, ask_qty = touch
        px, qty = symbol.px.text, symbol.qty.text
        return (
            f'{{"u":{update_id},"s":"{symbol.name}","b":"{px(bid_px)}","B":"{qty(bid_qty)}",'
            f'"a":"{px(ask_px)}","A":"{qty(ask_qty)}"}}'
        )

    def trade(self, instrument: Instrument, trade: Trade, now_ns: int) -> str:
        """Without the order ids `b` and `a`: the venue no longer lists them."""
        symbol, stamp = self._of(instrument), self._stamp
        return (
            f'{{"e":"trade","E":{stamp(now_ns)},"s":"{symbol.name}","t":{trade.trade_id},'
            f'"p":"{symbol.px.text(trade.px_ticks)}","q":"{symbol.qty.text(trade.qty_lots)}",'
            f'"T":{stamp(trade.t_ns)},"m":{truth(trade.aggressor is Side.SELL)},"M":true}}'
        )

    def agg_trade(self, instrument: Instrument, trade: AggTrade, now_ns: int) -> str:
        symbol, stamp = self._of(instrument), self._stamp
        return (
            f'{{"e":"aggTrade","E":{stamp(now_ns)},"s":"{symbol.name}",'
            f"{_agg_fields(symbol, trade, stamp)}}}"
        )

    def kline(self, instrument: Instrument, interval: str, candle: Candle, now_ns: int) -> str:
        symbol, stamp = self._of(instrument), self._stamp
        px, qty, c = symbol.px.text, symbol.qty.text, candle
        end_ns = interval_end_ns(interval, c.open_ns)
        return (
            f'{{"e":"kline","E":{stamp(now_ns)},"s":"{symbol.name}","k":{{'
            f'"t":{stamp(c.open_ns)},"T":{stamp(end_ns) - 1},"s":"{symbol.name}",'
            f'"i":"{interval}","f":{c.first_id},"L":{c.last_id},"o":"{px(c.open_px)}",'
            f'"c":"{px(c.close_px)}","h":"{px(c.high_px)}","l":"{px(c.low_px)}",'
            f'"v":"{qty(c.lots)}","n":{c.count},"x":{truth(end_ns <= now_ns)},'
            f'"q":"{symbol.quote_text(c.cost)}","V":"{qty(c.bought_lots)}",'
            f'"Q":"{symbol.quote_text(c.bought_cost)}","B":"0"}}}}'
        )

    def ticker(
        self, instrument: Instrument, day: Candle, last: Trade, touch: Touch, now_ns: int
    ) -> str:
        symbol, stamp = self._of(instrument), self._stamp
        px, qty = symbol.px.text, symbol.qty.text
        bid_px, bid_qty, ask_px, ask_qty = touch
        return (
            f'{{"e":"24hrTicker","E":{stamp(now_ns)},"s":"{symbol.name}",'
            f'"p":"{change_text(symbol, day)}","P":"{change_percent(day)}",'
            f'"w":"{symbol.mean_px_text(day.cost, day.lots)}","x":"{px(day.open_px)}",'
            f'"c":"{px(day.close_px)}","Q":"{qty(last.qty_lots)}","b":"{px(bid_px)}",'
            f'"B":"{qty(bid_qty)}","a":"{px(ask_px)}","A":"{qty(ask_qty)}",'
            f'"o":"{px(day.open_px)}","h":"{px(day.high_px)}","l":"{px(day.low_px)}",'
            f'"v":"{qty(day.lots)}","q":"{symbol.quote_text(day.cost)}",'
            f'"O":{stamp(now_ns - DAY_NS)},"C":{stamp(now_ns)},"F":{day.first_id},'
            f'"L":{day.last_id},"n":{day.count}}}'
        )

    def mini_ticker(self, instrument: Instrument, day: Candle, now_ns: int) -> str:
        symbol = self._of(instrument)
        px = symbol.px.text
        return (
            f'{{"e":"24hrMiniTicker","E":{self._stamp(now_ns)},"s":"{symbol.name}",'
            f'"c":"{px(day.close_px)}","o":"{px(day.open_px)}","h":"{px(day.high_px)}",'
            f'"l":"{px(day.low_px)}","v":"{symbol.qty.text(day.lots)}",'
            f'"q":"{symbol.quote_text(day.cost)}"}}'
        )

    def window_ticker(self, instrument: Instrument, size: str, window: Candle, now_ns: int) -> str:
        """`<symbol>@ticker_<size>`."""
        symbol, stamp = self._of(instrument), self._stamp
        px = symbol.px.text
        return (
            f'{{"e":"{size}Ticker","E":{stamp(now_ns)},"s":"{symbol.name}",'
            f'"p":"{change_text(symbol, window)}","P":"{change_percent(window)}",'
            f'"o":"{px(window.open_px)}","h":"{px(window.high_px)}","l":"{px(window.low_px)}",'
            f'"c":"{px(window.close_px)}","w":"{symbol.mean_px_text(window.cost, window.lots)}",'
            f'"v":"{symbol.qty.text(window.lots)}","q":"{symbol.quote_text(window.cost)}",'
            f'"O":{stamp(window.open_ns)},"C":{stamp(now_ns)},"F":{window.first_id},'
            f'"L":{window.last_id},"n":{window.count}}}'
        )

    def avg_price(self, instrument: Instrument, window: Candle, last_ns: int, now_ns: int) -> str:
        symbol, stamp = self._of(instrument), self._stamp
        return (
            f'{{"e":"avgPrice","E":{stamp(now_ns)},"s":"{symbol.name}","i":"{AVG_PRICE_MINS}m",'
            f'"w":"{_avg_text(symbol, window)}","T":{stamp(last_ns)}}}'
        )

    def mark(self, instrument: Instrument, mark: MarkUpdate, now_ns: int) -> str:
        raise AssertionError("spot has no marks")


# -- ANSWERS ---


def trades_json(symbol: SpotSymbol, trades: Iterable[Trade], stamp: UnitStamp) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    texts = [
        f'{{"id":{t.trade_id},"price":"{px(t.px_ticks)}","qty":"{qty(t.qty_lots)}",'
        f'"quoteQty":"{symbol.quote_text(t.px_ticks * t.qty_lots)}","time":{stamp(t.t_ns)},'
        f'"isBuyerMaker":{truth(t.aggressor is Side.SELL)},"isBestMatch":true}}'
        for t in trades
    ]
    return f"[{','.join(texts)}]"


def agg_trades_json(symbol: SpotSymbol, trades: Iterable[AggTrade], stamp: UnitStamp) -> str:
    texts = [f"{{{_agg_fields(symbol, trade, stamp)}}}" for trade in trades]
    return f"[{','.join(texts)}]"


def klines_json(
    symbol: SpotSymbol, interval: str, candles: Iterable[Candle], stamp: UnitStamp
) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    texts = [
        f'[{stamp(c.open_ns)},"{px(c.open_px)}","{px(c.high_px)}","{px(c.low_px)}",'
        f'"{px(c.close_px)}","{qty(c.lots)}",{stamp(interval_end_ns(interval, c.open_ns)) - 1},'
        f'"{symbol.quote_text(c.cost)}",{c.count},"{qty(c.bought_lots)}",'
        f'"{symbol.quote_text(c.bought_cost)}","0"]'
        for c in candles
    ]
    return f"[{','.join(texts)}]"


def day_json(
    symbol: SpotSymbol, day: Candle, last_lots: int, touch: Touch, now_ns: int, stamp: UnitStamp
) -> str:
    """ticker/24hr, type FULL."""
    px, qty = symbol.px.text, symbol.qty.text
    bid_px, bid_qty, ask_px, ask_qty = touch
    return (
        f'{{"symbol":"{symbol.name}","priceChange":"{change_text(symbol, day)}",'
        f'"priceChangePercent":"{change_percent(day)}",'
        f'"weightedAvgPrice":"{symbol.mean_px_text(day.cost, day.lots)}",'
        f'"prevClosePrice":"{px(day.open_px)}","lastPrice":"{px(day.close_px)}",'
        f'"lastQty":"{qty(last_lots)}","bidPrice":"{px(bid_px)}","bidQty":"{qty(bid_qty)}",'
        f'"askPrice":"{px(ask_px)}","askQty":"{qty(ask_qty)}","openPrice":"{px(day.open_px)}",'
        f'"highPrice":"{px(day.high_px)}","lowPrice":"{px(day.low_px)}",'
        f"{_volume_fields(symbol, day, now_ns - DAY_NS, now_ns, stamp)}}}"
    )


def window_json(symbol: SpotSymbol, window: Candle, now_ns: int, stamp: UnitStamp) -> str:
    """GET ticker, type FULL."""
    px = symbol.px.text
    return (
        f'{{"symbol":"{symbol.name}","priceChange":"{change_text(symbol, window)}",'
        f'"priceChangePercent":"{change_percent(window)}",'
        f'"weightedAvgPrice":"{symbol.mean_px_text(window.cost, window.lots)}",'
        f'"openPrice":"{px(window.open_px)}","highPrice":"{px(window.high_px)}",'
        f'"lowPrice":"{px(window.low_px)}","lastPrice":"{px(window.close_px)}",'
        f"{_volume_fields(symbol, window, window.open_ns, now_ns, stamp)}}}"
    )


def mini_json(
    symbol: SpotSymbol, window: Candle, open_ns: int, now_ns: int, stamp: UnitStamp
) -> str:
    """Type MINI of both."""
    px = symbol.px.text
    return (
        f'{{"symbol":"{symbol.name}","openPrice":"{px(window.open_px)}",'
        f'"highPrice":"{px(window.high_px)}","lowPrice":"{px(window.low_px)}",'
        f'"lastPrice":"{px(window.close_px)}",'
        f"{_volume_fields(symbol, window, open_ns, now_ns, stamp)}}}"
    )


def price_json(symbol: SpotSymbol, last_px_ticks: int) -> str:
    return f'{{"symbol":"{symbol.name}","price":"{symbol.px.text(last_px_ticks)}"}}'


def book_ticker_json(symbol: SpotSymbol, touch: Touch) -> str:
    bid_px, bid_qty, ask_px, ask_qty = touch
    px, qty = symbol.px.text, symbol.qty.text
    return (
        f'{{"symbol":"{symbol.name}","bidPrice":"{px(bid_px)}","bidQty":"{qty(bid_qty)}",'
        f'"askPrice":"{px(ask_px)}","askQty":"{qty(ask_qty)}"}}'
    )


def avg_price_json(symbol: SpotSymbol, window: Candle, last_ns: int, stamp: UnitStamp) -> str:
    return (
        f'{{"mins":{AVG_PRICE_MINS},"price":"{_avg_text(symbol, window)}",'
        f'"closeTime":{stamp(last_ns)}}}'
    )


# -- PARTS ---


def change_text(symbol: SpotSymbol, window: Candle) -> str:
    return symbol.px.text(window.close_px - window.open_px)


def change_percent(window: Candle) -> str:
    """With three decimals, half away from zero."""
    if not window.open_px:
        return "0.000"
    change = window.close_px - window.open_px
    thousandths = (abs(change) * 200_000 + window.open_px) // (2 * window.open_px)
    sign = "-" if change < 0 and thousandths else ""
    return f"{sign}{thousandths // 1000}.{thousandths % 1000:03d}"


def _agg_fields(symbol: SpotSymbol, trade: AggTrade, stamp: UnitStamp) -> str:
    return (
        f'"a":{trade.agg_id},"p":"{symbol.px.text(trade.px_ticks)}",'
        f'"q":"{symbol.qty.text(trade.qty_lots)}","f":{trade.first_id},"l":{trade.last_id},'
        f'"T":{stamp(trade.t_ns)},"m":{truth(trade.aggressor is Side.SELL)},"M":true'
    )


def _volume_fields(
    symbol: SpotSymbol, window: Candle, open_ns: int, now_ns: int, stamp: UnitStamp
) -> str:
    return (
        f'"volume":"{symbol.qty.text(window.lots)}",'
        f'"quoteVolume":"{symbol.quote_text(window.cost)}","openTime":{stamp(open_ns)},'
        f'"closeTime":{stamp(now_ns)},"firstId":{window.first_id},'
        f'"lastId":{window.last_id},"count":{window.count}'
    )


def _avg_text(symbol: SpotSymbol, window: Candle) -> str:
    """Of the last minutes; without trades in them the last price."""
    if not window.lots:
        return symbol.px.text(window.close_px)
    return symbol.mean_px_text(window.cost, window.lots)
