"""Market streams that tell their state every so often: partial books, candles, statistics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.exchange.binance.formats import StreamFormat, StreamRules
from engine.exchange.binance.history import INTERVALS_MIN, History
from engine.exchange.book import Touch
from engine.exchange.events import Market

MS = 1_000_000
Make = Callable[[int], list[str]]  # frames' data at a time; none when nothing changed


@dataclass(slots=True)
class Timed:
    """A stream that tells its state every so often."""

    interval_ns: int
    due_ns: int
    make: Make


class TimedStreams:
    """Makes them; markets are looked up anew each time, since a fault may put another in place."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        histories: Mapping[str, History],
        rules: StreamRules,
        formats: StreamFormat,
    ) -> None:
        self._markets = markets
        self._histories = histories
        self._rules = rules
        self._format = formats

    def stream(self, name: str, key: str | None, kind: str, t_ns: int) -> Timed | None:
        """None: no stream of that name tells anything by itself."""
        rules = self._rules
        makers: dict[str, tuple[int, Make]] = {}
        if key is not None:
            if kind in rules.partial:
                levels, interval_ms = rules.partial[kind]
                return Timed(interval_ms * MS, t_ns, self._make_partial(key, levels))
            if kind.startswith("kline_") and kind[6:] in INTERVALS_MIN:
                return Timed(rules.kline_ms * MS, t_ns, self._make_kline(key, kind[6:]))
            makers = {
                "ticker": (rules.ticker_ms, self._make_ticker([key], is_mini=False)),
                "miniTicker": (rules.ticker_ms, self._make_ticker([key], is_mini=True)),
            }
        else:
            keys = list(self._histories)
            ticker, mini = self._make_ticker(keys, is_mini=False), self._make_ticker(keys, True)
            makers = {
                "!ticker@arr": (rules.ticker_ms, as_array(ticker)),
                "!miniTicker@arr": (rules.ticker_ms, as_array(mini)),
            }
            if rules.all_best_ms:
                makers["!bookTicker"] = (rules.all_best_ms, self._make_all_best(keys))
        found = makers.get(name if key is None else kind)
        return Timed(found[0] * MS, t_ns, found[1]) if found else None

    def _make_partial(self, key: str, levels: int) -> Make:
        prev_id = self._markets[key].snapshot(0).update_id

        def make(now_ns: int) -> list[str]:
            nonlocal prev_id
            market = self._markets[key]
            book = market.snapshot(levels)
            if book.update_id == prev_id:
                return []
            data = self._format.partial_depth(market.instrument, book, prev_id, now_ns)
            prev_id = book.update_id
            return [data]

        return make

    def _make_kline(self, key: str, interval: str) -> Make:
        """The running candle when it changed; the one before it once more when it closed."""
        history = self._histories[key]
        version, open_ns = -1, -1

        def make(now_ns: int) -> list[str]:
            nonlocal version, open_ns
            market = self._markets[key]
            candles = history.last_candles(interval, now_ns)
            if not candles:
                return []
            datas: list[str] = []
            if 0 <= open_ns < candles[-1].open_ns and len(candles) > 1:
                closed = candles[-2]
                datas.append(self._format.kline(market.instrument, interval, closed, now_ns))
            if version != history.version or datas:
                datas.append(self._format.kline(market.instrument, interval, candles[-1], now_ns))
            version, open_ns = history.version, candles[-1].open_ns
            return datas

        return make

    def _make_ticker(self, keys: list[str], is_mini: bool) -> Make:
        """Statistics of the last 24 hours of every symbol that traded since the last time."""
        versions = dict.fromkeys(keys, 0)

        def make(now_ns: int) -> list[str]:
            datas: list[str] = []
            for key in keys:
                history, market = self._histories[key], self._markets[key]
                if versions[key] == history.version:
                    continue
                day = history.day(now_ns)
                if day is None:
                    continue
                versions[key] = history.version
                if is_mini:
                    datas.append(self._format.mini_ticker(market.instrument, day, now_ns))
                else:
                    last, touch = history.trades[-1], market.touch()
                    datas.append(self._format.ticker(market.instrument, day, last, touch, now_ns))
            return datas

        return make

    def _make_all_best(self, keys: list[str]) -> Make:
        touches: dict[str, Touch] = {}

        def make(now_ns: int) -> list[str]:
            datas: list[str] = []
            for key in keys:
                market = self._markets[key]
                touch = market.touch()
                if touches.get(key) != touch:
                    touches[key] = touch
                    update_id = market.snapshot(0).update_id
                    datas.append(
                        self._format.best(market.instrument, touch, update_id, now_ns, now_ns)
                    )
            return datas

        return make


def as_array(make: Make) -> Make:
    """One frame of all."""

    def make_array(now_ns: int) -> list[str]:
        datas = make(now_ns)
        return [f"[{','.join(datas)}]"] if datas else []

    return make_array
