"""Candles as messages: the topic `kline.{interval}.{symbol}` and rows of GET /v5/market/kline.

"Kline" of the v5 documents: pushed every 1 to 60 s; here each second in which something was
traded, and when a candle closes (`confirm`).
"""

from dataclasses import dataclass
from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.history import Candle, History, end_of
from engine.exchange.bybit.wire import dumps
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import NEVER_NS

MS = 1_000_000
SECOND_NS = 1_000 * MS


@dataclass(slots=True)
class KlineTopic:
    key: str
    interval: str
    topic: str
    due_ns: int = NEVER_NS
    start_ns: int = 0  # of the candle last told

    def touch(self, now_ns: int) -> None:
        self.due_ns = min(self.due_ns, (now_ns // SECOND_NS + 1) * SECOND_NS)

    def push(self, history: History, instrument: Instrument, now_ns: int, skew_ns: int) -> str:
        """The running candle, before it the one that closed since the last message."""
        candles = list(history.candles(self.interval, now_ns))[-2:]
        if not candles:
            self.due_ns = NEVER_NS
            return ""
        running = candles[-1]
        is_new = bool(self.start_ns) and running.start_ns != self.start_ns
        told = candles if is_new else candles[-1:]
        self.start_ns = running.start_ns
        self.due_ns = end_of(running.start_ns, self.interval)
        ts = (now_ns + skew_ns) // MS
        data = [
            self._row(instrument, candle, candle is not running, ts, skew_ns) for candle in told
        ]
        if instrument.kind is Kind.SPOT:
            return dumps({"type": "snapshot", "topic": self.topic, "data": data, "ts": ts})
        return dumps({"topic": self.topic, "data": data, "ts": ts, "type": "snapshot"})

    def _row(
        self, instrument: Instrument, candle: Candle, is_closed: bool, ts: int, skew_ns: int
    ) -> dict[str, Any]:
        px = instrument.px.text
        end_ns = end_of(candle.start_ns, self.interval)
        return {
            "start": candle.start_ns // MS,
            "end": end_ns // MS - 1,
            "interval": self.interval,
            "open": texts.trimmed(px(candle.opened)),
            "close": texts.trimmed(px(candle.closed)),
            "high": texts.trimmed(px(candle.high)),
            "low": texts.trimmed(px(candle.low)),
            "volume": texts.trimmed(instrument.qty.text(candle.lots)),
            "turnover": texts.money(candle.cost * instrument.notional_e8),
            "confirm": is_closed,
            "timestamp": ts,
        }


def rest_rows(
    history: History, instrument: Instrument, interval: str, now_ns: int
) -> list[list[str]]:
    """[start, open, high, low, close, volume, turnover], newest first."""
    px, trimmed = instrument.px.text, texts.trimmed
    rows = [
        [
            str(candle.start_ns // MS),
            trimmed(px(candle.opened)),
            trimmed(px(candle.high)),
            trimmed(px(candle.low)),
            trimmed(px(candle.closed)),
            trimmed(instrument.qty.text(candle.lots)),
            texts.money(candle.cost * instrument.notional_e8),
        ]
        for candle in history.candles(interval, now_ns)
    ]
    return rows[::-1]
