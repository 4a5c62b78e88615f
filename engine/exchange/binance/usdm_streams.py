"""JSON of USD-M's market streams, and their names and speeds ("Websocket Market Streams")."""

from collections.abc import Iterable

from engine.exchange.binance.formats import Ids, Sides, StreamRules
from engine.exchange.binance.history import INTERVALS_MIN, MINUTE_NS, AggTrade, Candle
from engine.exchange.binance.stamp import Stamp
from engine.exchange.book import Quote, Side, Touch
from engine.exchange.events import DepthSnapshot, MarkUpdate, Trade
from engine.exchange.instruments import Instrument, e8_text

REALTIME_DEPTH = "depth@0ms"
REALTIME_DEPTH_MS = 10
SPEEDS_MS = {"": 250, "@500ms": 500, "@100ms": 100}
PUBLIC = ("bookTicker", "depth", "rpiDepth", "trade")


def stream_rules(realtime_depth_ms: int) -> StreamRules:
    depth_ms = {f"depth{speed}": ms for speed, ms in SPEEDS_MS.items()}
    return StreamRules(
        depth_ms={**depth_ms, REALTIME_DEPTH: realtime_depth_ms},
        partial={
            f"depth{levels}{speed}": (levels, ms)
            for levels in (5, 10, 20)
            for speed, ms in SPEEDS_MS.items()
        },
        agg_trade_ms=100,
        kline_ms=250,
        ticker_ms=1_000,
        all_best_ms=5_000,
    )


def is_public(name: str) -> bool:
    """Whether a stream lives under /public; all others under /market (routing of 2026)."""
    if name == "!bookTicker":
        return True
    return not name.startswith("!") and name.partition("@")[2].startswith(PUBLIC)


def levels_json(instrument: Instrument, levels: Iterable[Quote]) -> str:
    px, qty = instrument.px.text, instrument.qty.text
    return "[" + ",".join([f'["{px(p)}","{qty(q)}"]' for p, q in levels]) + "]"


def percent_text(change: int, base: int) -> str:
    """change / base in percent, three decimals, cut off."""
    thousandths = abs(change) * 100_000 // base if base else 0
    sign = "-" if change < 0 and thousandths else ""
    return f"{sign}{thousandths // 1_000}.{thousandths % 1_000:03d}"


class UsdmStreams:
    """A StreamFormat (streams.py)."""

    def __init__(self, stamp: Stamp) -> None:
        self._ms = stamp.ms

    def best(
        self, instrument: Instrument, touch: Touch, update_id: int, t_ns: int, now_ns: int
    ) -> str:
        bid_px, bid_qty, ask_px, ask_qty = touch
        px, qty = instrument.px.text, instrument.qty.text
        return (
            f'{{"e":"bookTicker","u":{update_id},"s":"{instrument.symbol}",'
            f'"b":"{px(bid_px)}","B":"{qty(bid_qty)}","a":"{px(ask_px)}","A":"{qty(ask_qty)}",'
            f'"T":{self._ms(t_ns)},"E":{self._ms(now_ns)}}}'
        )

    def trade(self, instrument: Instrument, trade: Trade, now_ns: int) -> str:
        is_buyer_maker = "true" if trade.aggressor is Side.SELL else "false"
        return (
            f'{{"e":"trade","E":{self._ms(now_ns)},"T":{self._ms(trade.t_ns)},'
            f'"s":"{instrument.symbol}","t":{trade.trade_id},'
            f'"p":"{instrument.px.text(trade.px_ticks)}",'
            f'"q":"{instrument.qty.text(trade.qty_lots)}","X":"MARKET","m":{is_buyer_maker}}}'
        )

    def agg_trade(self, instrument: Instrument, trade: AggTrade, now_ns: int) -> str:
        is_buyer_maker = "true" if trade.aggressor is Side.SELL else "false"
        return (
            f'{{"e":"aggTrade","E":{self._ms(now_ns)},"a":{trade.agg_id},'
            f'"s":"{instrument.symbol}","p":"{instrument.px.text(trade.px_ticks)}",'
            f'"q":"{instrument.qty.text(trade.qty_lots)}","f":{trade.first_id},'
            f'"l":{trade.last_id},"T":{self._ms(trade.t_ns)},"m":{is_buyer_maker}}}'
        )

    def depth(self, instrument: Instrument, ids: Ids, sides: Sides, t_ns: int, now_ns: int) -> str:
        first_id, final_id, prev_id = ids
        return (
            f'{{"e":"depthUpdate","E":{self._ms(now_ns)},"T":{self._ms(t_ns)},'
            f'"s":"{instrument.symbol}","U":{first_id},"u":{final_id},"pu":{prev_id},'
            f'"b":{levels_json(instrument, sides[0])},"a":{levels_json(instrument, sides[1])}}}'
        )

    def partial_depth(
        self, instrument: Instrument, book: DepthSnapshot, prev_id: int, now_ns: int
    ) -> str:
        """A depthUpdate of the top levels as they are."""
        ids = (min(prev_id + 1, book.update_id), book.update_id, prev_id)
        return self.depth(instrument, ids, (book.bids, book.asks), now_ns, now_ns)

    def mark(self, instrument: Instrument, mark: MarkUpdate, now_ns: int) -> str:
        px = instrument.px.mean_text
        index = px(mark.index_px_ticks, 1)
        return (
            f'{{"e":"markPriceUpdate","E":{self._ms(now_ns)},"s":"{instrument.symbol}",'
            f'"p":"{px(mark.mark_px_ticks, 1)}","i":"{index}","P":"{index}",'
            f'"r":"{e8_text(mark.funding_rate_e8)}","T":{self._ms(mark.next_funding_ns)}}}'
        )

    def kline(self, instrument: Instrument, interval: str, candle: Candle, now_ns: int) -> str:
        px, qty, symbol = instrument.px.text, instrument.qty.text, instrument.symbol
        end_ns = candle.open_ns + INTERVALS_MIN[interval] * MINUTE_NS
        is_closed = "true" if now_ns >= end_ns else "false"
        close_ms = end_ns // 1_000_000 - 1
        return (
            f'{{"e":"kline","E":{self._ms(now_ns)},"s":"{symbol}","k":{{'
            f'"t":{candle.open_ns // 1_000_000},"T":{close_ms},"s":"{symbol}","i":"{interval}",'
            f'"f":{candle.first_id},"L":{candle.last_id},"o":"{px(candle.open_px)}",'
            f'"c":"{px(candle.close_px)}","h":"{px(candle.high_px)}","l":"{px(candle.low_px)}",'
            f'"v":"{qty(candle.lots)}","n":{candle.count},"x":{is_closed},'
            f'"q":"{e8_text(candle.cost * instrument.notional_e8)}",'
            f'"V":"{qty(candle.bought_lots)}",'
            f'"Q":"{e8_text(candle.bought_cost * instrument.notional_e8)}","B":"0"}}}}'
        )

    def ticker(
        self, instrument: Instrument, day: Candle, last: Trade, touch: Touch, now_ns: int
    ) -> str:
        px, qty = instrument.px.text, instrument.qty.text
        change = day.close_px - day.open_px
        return (
            f'{{"e":"24hrTicker","E":{self._ms(now_ns)},"s":"{instrument.symbol}",'
            f'"p":"{px(change)}","P":"{percent_text(change, day.open_px)}",'
            f'"w":"{instrument.px.mean_text(day.cost, day.lots)}","c":"{px(day.close_px)}",'
            f'"Q":"{qty(last.qty_lots)}","o":"{px(day.open_px)}","h":"{px(day.high_px)}",'
            f'"l":"{px(day.low_px)}","v":"{qty(day.lots)}",'
            f'"q":"{e8_text(day.cost * instrument.notional_e8)}",'
            f'"O":{self._ms(day.open_ns)},"C":{self._ms(now_ns)},"F":{day.first_id},'
            f'"L":{day.last_id},"n":{day.count}}}'
        )

    def mini_ticker(self, instrument: Instrument, day: Candle, now_ns: int) -> str:
        px = instrument.px.text
        return (
            f'{{"e":"24hrMiniTicker","E":{self._ms(now_ns)},"s":"{instrument.symbol}",'
            f'"c":"{px(day.close_px)}","o":"{px(day.open_px)}","h":"{px(day.high_px)}",'
            f'"l":"{px(day.low_px)}","v":"{instrument.qty.text(day.lots)}",'
            f'"q":"{e8_text(day.cost * instrument.notional_e8)}"}}'
        )
