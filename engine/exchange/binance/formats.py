"""What a venue adds to the market streams: its JSON and its streams' names and speeds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.exchange.binance.history import AggTrade, Candle
from engine.exchange.book import Quote, Touch
from engine.exchange.events import DepthSnapshot, MarkUpdate, Trade
from engine.exchange.instruments import Instrument

Ids = tuple[int, int, int]  # first, final and previous final update id
Sides = tuple[Iterable[Quote], Iterable[Quote]]


class StreamFormat(Protocol):
    """A venue's JSON of stream data. Times are the core's; the format adds the face's skew."""

    def depth(
        self, instrument: Instrument, ids: Ids, sides: Sides, t_ns: int, now_ns: int
    ) -> str: ...

    def partial_depth(
        self, instrument: Instrument, book: DepthSnapshot, prev_id: int, now_ns: int
    ) -> str: ...

    def best(
        self, instrument: Instrument, touch: Touch, update_id: int, t_ns: int, now_ns: int
    ) -> str: ...

    def trade(self, instrument: Instrument, trade: Trade, now_ns: int) -> str: ...

    def agg_trade(self, instrument: Instrument, trade: AggTrade, now_ns: int) -> str: ...

    def kline(self, instrument: Instrument, interval: str, candle: Candle, now_ns: int) -> str: ...

    def ticker(
        self, instrument: Instrument, day: Candle, last: Trade, touch: Touch, now_ns: int
    ) -> str: ...

    def mini_ticker(self, instrument: Instrument, day: Candle, now_ns: int) -> str: ...

    def mark(self, instrument: Instrument, mark: MarkUpdate, now_ns: int) -> str:
        """Of derivatives."""
        ...


@dataclass(frozen=True)
class StreamRules:
    """Names of a venue's streams, the part after `symbol@`, and their intervals in ms."""

    depth_ms: Mapping[str, int]
    partial: Mapping[str, tuple[int, int]]  # name -> levels, ms
    agg_trade_ms: int
    kline_ms: int
    ticker_ms: int
    all_best_ms: int = 0  # of !bookTicker; 0: the venue has none
