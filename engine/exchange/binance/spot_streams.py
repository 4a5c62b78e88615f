"""Market streams of Binance Spot: the shared ones, with spot's names and speeds, average price
and rolling windows; a second set for connections that asked for microseconds.

"Diff. depth stream": 1000 ms or 100 ms, each speed its own chain of U and u without a hole. There
is no faster JSON depth on spot.
"""

from collections.abc import Iterable, Mapping

from engine.exchange.binance.formats import StreamRules
from engine.exchange.binance.history import DAY_NS, MINUTE_NS
from engine.exchange.binance.spot_frames import SpotFormat
from engine.exchange.binance.spot_history import SpotHistory
from engine.exchange.binance.spot_symbols import AVG_PRICE_MINS
from engine.exchange.binance.streams import MarketStreams
from engine.exchange.binance.timed import Make, Timed, TimedStreams, as_array
from engine.exchange.events import Market, Output
from engine.exchange.face import Action

SPOT_STREAMS = StreamRules(
    depth_ms={"depth": 1_000, "depth@1000ms": 1_000, "depth@100ms": 100},
    partial={
        f"depth{levels}{speed}": (levels, ms)
        for levels in (5, 10, 20)
        for speed, ms in (("", 1_000), ("@1000ms", 1_000), ("@100ms", 100))
    },
    agg_trade_ms=0,
    kline_ms=2_000,
    ticker_ms=1_000,
)
WINDOWS_NS = {"1h": 60 * MINUTE_NS, "4h": 240 * MINUTE_NS, "1d": DAY_NS}
SECOND_NS = 1_000_000_000


class SpotTimed(TimedStreams):
    """Average price, rolling windows, candles of a second and a month beside the shared ones."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        histories: dict[str, SpotHistory],
        formats: SpotFormat,
    ) -> None:
        super().__init__(markets, histories, SPOT_STREAMS, formats)
        self._spot_histories = histories
        self._spot_format = formats

    def stream(self, name: str, key: str | None, kind: str, t_ns: int) -> Timed | None:
        if key is None:
            size = name.removeprefix("!ticker_").removesuffix("@arr")
            if name == f"!ticker_{size}@arr" and size in WINDOWS_NS:
                make = as_array(self._make_window(list(self._spot_histories), size))
                return Timed(SECOND_NS, t_ns, make)
        elif kind == "avgPrice":
            return Timed(SECOND_NS, t_ns, self._make_avg_price(key))
        elif kind == "kline_1s":
            return Timed(SECOND_NS, t_ns, self._make_kline(key, "1s"))
        elif kind == "kline_1M":
            return Timed(2 * SECOND_NS, t_ns, self._make_kline(key, "1M"))
        elif kind.startswith("ticker_") and kind[7:] in WINDOWS_NS:
            return Timed(SECOND_NS, t_ns, self._make_window([key], kind[7:]))
        return super().stream(name, key, kind, t_ns)

    def _make_window(self, keys: list[str], size: str) -> Make:
        """Of the symbols that traded since the last time."""
        versions = dict.fromkeys(keys, 0)

        def make(now_ns: int) -> list[str]:
            datas: list[str] = []
            for key in keys:
                history, market = self._spot_histories[key], self._markets[key]
                if versions[key] != history.version:
                    versions[key] = history.version
                    window = history.window(now_ns, WINDOWS_NS[size])
                    datas.append(
                        self._spot_format.window_ticker(market.instrument, size, window, now_ns)
                    )
            return datas

        return make

    def _make_avg_price(self, key: str) -> Make:
        version = 0
        history = self._spot_histories[key]

        def make(now_ns: int) -> list[str]:
            nonlocal version
            if version == history.version:
                return []
            version = history.version
            window = history.window(now_ns, AVG_PRICE_MINS * MINUTE_NS)
            last_ns = history.trades[-1].t_ns
            instrument = self._markets[key].instrument
            return [self._spot_format.avg_price(instrument, window, last_ns, now_ns)]

        return make


class SpotStreams(MarketStreams):
    """`micro` joins once a connection wants microseconds; tape frames stay as recorded."""

    def __init__(
        self, markets: Mapping[str, Market], formats: SpotFormat, micro: SpotFormat | None
    ) -> None:
        super().__init__(markets, SPOT_STREAMS, formats)
        self._spot_histories = {key: SpotHistory() for key in markets}
        for key, symbol in self.symbols.items():
            symbol.history = self._spot_histories[key]
        self._timed_streams = SpotTimed(markets, self._spot_histories, formats)
        self._micro_format = micro
        self._micro: SpotStreams | None = None
        self._micro_conns: dict[int, None] = {}

    def history(self, key: str) -> SpotHistory:
        return self._spot_histories[key]

    # -- MICROSECONDS ---

    def want_micro(self, conn: int) -> None:
        """Before its first subscription."""
        self._micro_conns[conn] = None
        if self._micro is None and self._micro_format is not None:
            self._micro = SpotStreams(self._markets, self._micro_format, None)

    def forget(self, conn: int) -> None:
        self._micro_conns.pop(conn, None)

    def subscribe(self, conn: int, is_combined: bool, names: Iterable[str], t_ns: int) -> None:
        if self._micro is not None and conn in self._micro_conns:
            self._micro.subscribe(conn, is_combined, names, t_ns)
        else:
            super().subscribe(conn, is_combined, names, t_ns)

    def unsubscribe(self, conn: int, names: Iterable[str]) -> None:
        if self._micro is not None and conn in self._micro_conns:
            self._micro.unsubscribe(conn, names)
        else:
            super().unsubscribe(conn, names)

    def publish(self, outputs: Iterable[Output], t_ns: int, actions: list[Action]) -> None:
        super().publish(outputs, t_ns, actions)
        if self._micro is not None:
            self._micro.publish(outputs, t_ns, actions)

    def next_due_ns(self) -> int:
        due_ns = super().next_due_ns()
        return min(due_ns, self._micro.next_due_ns()) if self._micro is not None else due_ns
