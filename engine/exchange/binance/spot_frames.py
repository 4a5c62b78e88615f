"""Public JSON of Binance Spot: stream payloads and the answers of market-data requests.

Field order and types are those of the venue's documentation (web-socket-streams.md, rest-api.md).
Unlike USD-M: no `pu` and no `T` in depthUpdate, no `e` and no time in bookTicker, no symbol in
partial depth, `M` in trades. Built by f-strings: nothing in here needs escaping, since symbols
are our own.
"""

from collections.abc import Iterable

from engine.exchange.binance.spot_prints import Candle, Print, Window
from engine.exchange.binance.spot_symbols import AVG_PRICE_MINS, SpotSymbol, Stamp
from engine.exchange.book import Quote
from engine.exchange.events import DepthSnapshot, Touch


def truth(value: bool) -> str:
    return "true" if value else "false"


def levels_json(symbol: SpotSymbol, levels: Iterable[Quote]) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    return "[" + ",".join([f'["{px(p)}","{qty(q)}"]' for p, q in levels]) + "]"


# -- STREAMS ---


def best_event(symbol: SpotSymbol, update_id: int, touch: Touch) -> str:
    bid_px, bid_qty, ask_px, ask_qty = touch
    px, qty = symbol.px.text, symbol.qty.text
    return (
        f'{{"u":{update_id},"s":"{symbol.name}","b":"{px(bid_px)}","B":"{qty(bid_qty)}",'
        f'"a":"{px(ask_px)}","A":"{qty(ask_qty)}"}}'
    )


def trade_event(symbol: SpotSymbol, trade: Print, now: int, stamp: Stamp) -> str:
    """Without the order ids `b` and `a`: the venue no longer lists them."""
    return (
        f'{{"e":"trade","E":{now},"s":"{symbol.name}","t":{trade.first_id},'
        f'"p":"{symbol.px.text(trade.px_ticks)}","q":"{symbol.qty.text(trade.qty_lots)}",'
        f'"T":{stamp(trade.t_ns)},"m":{truth(trade.is_buyer_maker)},"M":true}}'
    )


def agg_trade_event(symbol: SpotSymbol, trade: Print, now: int, stamp: Stamp) -> str:
    return f'{{"e":"aggTrade","E":{now},"s":"{symbol.name}",{_agg_fields(symbol, trade, stamp)}}}'


def depth_event(
    symbol: SpotSymbol,
    first_id: int,
    final_id: int,
    sides: tuple[Iterable[Quote], Iterable[Quote]],
    now: int,
) -> str:
    return (
        f'{{"e":"depthUpdate","E":{now},"s":"{symbol.name}","U":{first_id},"u":{final_id},'
        f'"b":{levels_json(symbol, sides[0])},"a":{levels_json(symbol, sides[1])}}}'
    )


def depth_json(symbol: SpotSymbol, book: DepthSnapshot) -> str:
    """The snapshot, and the partial depth streams: nothing else in it."""
    return (
        f'{{"lastUpdateId":{book.update_id},"bids":{levels_json(symbol, book.bids)},'
        f'"asks":{levels_json(symbol, book.asks)}}}'
    )


def kline_event(
    symbol: SpotSymbol, interval: str, candle: Candle, is_closed: bool, now: int, stamp: Stamp
) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    first, last = (candle.first_id, candle.last_id) if candle.count else (-1, -1)
    return (
        f'{{"e":"kline","E":{now},"s":"{symbol.name}","k":{{"t":{stamp(candle.open_ns)},'
        f'"T":{stamp(candle.close_ns - 1)},"s":"{symbol.name}","i":"{interval}",'
        f'"f":{first},"L":{last},"o":"{px(candle.open)}","c":"{px(candle.close)}",'
        f'"h":"{px(candle.high)}","l":"{px(candle.low)}","v":"{qty(candle.lots)}",'
        f'"n":{candle.count},"x":{truth(is_closed)},"q":"{symbol.quote_text(candle.cost)}",'
        f'"V":"{qty(candle.taker_buy_lots)}","Q":"{symbol.quote_text(candle.taker_buy_cost)}",'
        f'"B":"0"}}}}'
    )


def ticker_event(symbol: SpotSymbol, day: Window, touch: Touch, now: int, stamp: Stamp) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    bid_px, bid_qty, ask_px, ask_qty = touch
    return (
        f'{{"e":"24hrTicker","E":{now},"s":"{symbol.name}","p":"{change_text(symbol, day)}",'
        f'"P":"{change_percent(day)}","w":"{symbol.mean_px_text(day.cost, day.lots)}",'
        f'"x":"{px(day.before)}","c":"{px(day.close)}","Q":"{qty(day.last_lots)}",'
        f'"b":"{px(bid_px)}","B":"{qty(bid_qty)}","a":"{px(ask_px)}","A":"{qty(ask_qty)}",'
        f'"o":"{px(day.open)}","h":"{px(day.high)}","l":"{px(day.low)}","v":"{qty(day.lots)}",'
        f'"q":"{symbol.quote_text(day.cost)}","O":{stamp(day.open_ns)},'
        f'"C":{stamp(day.close_ns)},"F":{day.first_id},"L":{day.last_id},"n":{day.count}}}'
    )


def window_ticker_event(
    symbol: SpotSymbol, size: str, window: Window, now: int, stamp: Stamp
) -> str:
    """`<symbol>@ticker_<size>`."""
    px, qty = symbol.px.text, symbol.qty.text
    return (
        f'{{"e":"{size}Ticker","E":{now},"s":"{symbol.name}","p":"{change_text(symbol, window)}",'
        f'"P":"{change_percent(window)}","o":"{px(window.open)}","h":"{px(window.high)}",'
        f'"l":"{px(window.low)}","c":"{px(window.close)}",'
        f'"w":"{symbol.mean_px_text(window.cost, window.lots)}","v":"{qty(window.lots)}",'
        f'"q":"{symbol.quote_text(window.cost)}","O":{stamp(window.open_ns)},'
        f'"C":{stamp(window.close_ns)},"F":{window.first_id},"L":{window.last_id},'
        f'"n":{window.count}}}'
    )


def mini_ticker_event(symbol: SpotSymbol, day: Window, now: int) -> str:
    px = symbol.px.text
    return (
        f'{{"e":"24hrMiniTicker","E":{now},"s":"{symbol.name}","c":"{px(day.close)}",'
        f'"o":"{px(day.open)}","h":"{px(day.high)}","l":"{px(day.low)}",'
        f'"v":"{symbol.qty.text(day.lots)}","q":"{symbol.quote_text(day.cost)}"}}'
    )


def avg_price_event(symbol: SpotSymbol, window: Window, now: int, stamp: Stamp) -> str:
    return (
        f'{{"e":"avgPrice","E":{now},"s":"{symbol.name}","i":"{AVG_PRICE_MINS}m",'
        f'"w":"{_avg_text(symbol, window)}","T":{stamp(window.last_ns)}}}'
    )


# -- ANSWERS ---


def trades_json(symbol: SpotSymbol, trades: Iterable[Print], stamp: Stamp) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    texts = [
        f'{{"id":{t.first_id},"price":"{px(t.px_ticks)}","qty":"{qty(t.qty_lots)}",'
        f'"quoteQty":"{symbol.quote_text(t.px_ticks * t.qty_lots)}","time":{stamp(t.t_ns)},'
        f'"isBuyerMaker":{truth(t.is_buyer_maker)},"isBestMatch":true}}'
        for t in trades
    ]
    return f"[{','.join(texts)}]"


def agg_trades_json(symbol: SpotSymbol, trades: Iterable[Print], stamp: Stamp) -> str:
    texts = [f"{{{_agg_fields(symbol, trade, stamp)}}}" for trade in trades]
    return f"[{','.join(texts)}]"


def klines_json(symbol: SpotSymbol, candles: Iterable[Candle], stamp: Stamp) -> str:
    px, qty = symbol.px.text, symbol.qty.text
    texts = [
        f'[{stamp(c.open_ns)},"{px(c.open)}","{px(c.high)}","{px(c.low)}","{px(c.close)}",'
        f'"{qty(c.lots)}",{stamp(c.close_ns - 1)},"{symbol.quote_text(c.cost)}",{c.count},'
        f'"{qty(c.taker_buy_lots)}","{symbol.quote_text(c.taker_buy_cost)}","0"]'
        for c in candles
    ]
    return f"[{','.join(texts)}]"


def day_json(symbol: SpotSymbol, day: Window, touch: Touch, stamp: Stamp) -> str:
    """ticker/24hr, type FULL."""
    px, qty = symbol.px.text, symbol.qty.text
    bid_px, bid_qty, ask_px, ask_qty = touch
    return (
        f'{{"symbol":"{symbol.name}","priceChange":"{change_text(symbol, day)}",'
        f'"priceChangePercent":"{change_percent(day)}",'
        f'"weightedAvgPrice":"{symbol.mean_px_text(day.cost, day.lots)}",'
        f'"prevClosePrice":"{px(day.before)}","lastPrice":"{px(day.close)}",'
        f'"lastQty":"{qty(day.last_lots)}","bidPrice":"{px(bid_px)}","bidQty":"{qty(bid_qty)}",'
        f'"askPrice":"{px(ask_px)}","askQty":"{qty(ask_qty)}",{_day_fields(symbol, day, stamp)}}}'
    )


def window_json(symbol: SpotSymbol, window: Window, stamp: Stamp) -> str:
    """GET ticker, type FULL."""
    px = symbol.px.text
    return (
        f'{{"symbol":"{symbol.name}","priceChange":"{change_text(symbol, window)}",'
        f'"priceChangePercent":"{change_percent(window)}",'
        f'"weightedAvgPrice":"{symbol.mean_px_text(window.cost, window.lots)}",'
        f'"openPrice":"{px(window.open)}","highPrice":"{px(window.high)}",'
        f'"lowPrice":"{px(window.low)}","lastPrice":"{px(window.close)}",'
        f"{_volume_fields(symbol, window, stamp)}}}"
    )


def mini_json(symbol: SpotSymbol, window: Window, stamp: Stamp) -> str:
    """Type MINI of both."""
    px = symbol.px.text
    return (
        f'{{"symbol":"{symbol.name}","openPrice":"{px(window.open)}",'
        f'"highPrice":"{px(window.high)}","lowPrice":"{px(window.low)}",'
        f'"lastPrice":"{px(window.close)}",{_volume_fields(symbol, window, stamp)}}}'
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


def avg_price_json(symbol: SpotSymbol, window: Window, stamp: Stamp) -> str:
    return (
        f'{{"mins":{AVG_PRICE_MINS},"price":"{_avg_text(symbol, window)}",'
        f'"closeTime":{stamp(window.last_ns)}}}'
    )


# -- PARTS ---


def change_text(symbol: SpotSymbol, window: Window) -> str:
    return symbol.px.text(window.close - window.open)


def change_percent(window: Window) -> str:
    """With three decimals, half away from zero."""
    if not window.open:
        return "0.000"
    change = window.close - window.open
    thousandths = (abs(change) * 200_000 + window.open) // (2 * window.open)
    sign = "-" if change < 0 and thousandths else ""
    return f"{sign}{thousandths // 1000}.{thousandths % 1000:03d}"


def _agg_fields(symbol: SpotSymbol, trade: Print, stamp: Stamp) -> str:
    return (
        f'"a":{trade.agg_id},"p":"{symbol.px.text(trade.px_ticks)}",'
        f'"q":"{symbol.qty.text(trade.qty_lots)}","f":{trade.first_id},"l":{trade.last_id},'
        f'"T":{stamp(trade.t_ns)},"m":{truth(trade.is_buyer_maker)},"M":true'
    )


def _day_fields(symbol: SpotSymbol, day: Window, stamp: Stamp) -> str:
    px = symbol.px.text
    return (
        f'"openPrice":"{px(day.open)}","highPrice":"{px(day.high)}","lowPrice":"{px(day.low)}",'
        f"{_volume_fields(symbol, day, stamp)}"
    )


def _volume_fields(symbol: SpotSymbol, window: Window, stamp: Stamp) -> str:
    return (
        f'"volume":"{symbol.qty.text(window.lots)}",'
        f'"quoteVolume":"{symbol.quote_text(window.cost)}","openTime":{stamp(window.open_ns)},'
        f'"closeTime":{stamp(window.close_ns)},"firstId":{window.first_id},'
        f'"lastId":{window.last_id},"count":{window.count}'
    )


def _avg_text(symbol: SpotSymbol, window: Window) -> str:
    """Of the last minutes; without trades in them the last price."""
    if not window.lots:
        return symbol.px.text(window.close)
    return symbol.mean_px_text(window.cost, window.lots)
