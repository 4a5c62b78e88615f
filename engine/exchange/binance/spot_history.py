"""What spot's statistics need beyond the shared history: candles of a second and of a calendar
month, and rolling windows of any length. Bounded, like the shared one."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

from engine.exchange.binance.history import INTERVALS_MIN, MINUTE_NS, Candle, History
from engine.exchange.events import Trade

SECOND_NS = 1_000_000_000
SECONDS_KEPT = 1_000  # the most that one request may ask for
INTERVALS = ("1s", *INTERVALS_MIN, "1M")


class SpotHistory(History):
    def __init__(self) -> None:
        super().__init__()
        self._seconds: deque[Candle] = deque(maxlen=SECONDS_KEPT)

    def add(self, trade: Trade) -> None:
        super().add(trade)
        open_ns = trade.t_ns - trade.t_ns % SECOND_NS
        last = self._seconds[-1] if self._seconds else None
        if last is None or open_ns > last.open_ns:
            last = Candle.flat(open_ns, trade.px_ticks)
            self._seconds.append(last)
        last.add_trade(trade)

    def rescale(self, factor: int) -> None:
        super().rescale(factor)
        for second in self._seconds:
            second.rescale(factor)

    def candles(self, interval: str, now_ns: int, start_ns: int = 0) -> Iterator[Candle]:
        if interval == "1s":
            return self._second_candles(now_ns, start_ns)
        if interval == "1M":
            return self._months(now_ns, start_ns)
        return super().candles(interval, now_ns, start_ns)

    def last_candles(self, interval: str, now_ns: int) -> list[Candle]:
        if interval == "1s":
            return list(self._second_candles(now_ns, now_ns - now_ns % SECOND_NS - SECOND_NS))
        if interval == "1M":
            return list(self._months(now_ns, 0))[-2:]
        return super().last_candles(interval, now_ns)

    def window(self, now_ns: int, length_ns: int) -> Candle:
        """The last `length_ns` as one candle, from the minute in which it opens; flat without
        trades in it, at the last price of all."""
        from_ns = now_ns - length_ns
        from_ns -= from_ns % MINUTE_NS
        total: Candle | None = None
        for minute in self._since(from_ns):
            if minute.open_ns < from_ns:
                continue
            if total is None:
                total = minute.copy()
                total.open_ns = from_ns
            else:
                total.add(minute)
        last_px_ticks = self.trades[-1].px_ticks if self.trades else 0
        return total or Candle.flat(from_ns, last_px_ticks)

    def _second_candles(self, now_ns: int, start_ns: int) -> Iterator[Candle]:
        """Of the last SECONDS_KEPT seconds at most; seconds without a trade are flat."""
        if not self._seconds:
            return
        end_ns = now_ns - now_ns % SECOND_NS
        from_ns = max(start_ns, end_ns - (SECONDS_KEPT - 1) * SECOND_NS, self._seconds[0].open_ns)
        from_ns = -(-from_ns // SECOND_NS) * SECOND_NS
        px_ticks = self._seconds[0].open_px
        traded: dict[int, Candle] = {}
        for candle in self._seconds:
            if candle.open_ns < from_ns:
                px_ticks = candle.close_px
            else:
                traded[candle.open_ns] = candle
        for open_ns in range(from_ns, end_ns + 1, SECOND_NS):
            found = traded.get(open_ns)
            yield found.copy() if found else Candle.flat(open_ns, px_ticks)
            px_ticks = found.close_px if found else px_ticks

    def _months(self, now_ns: int, start_ns: int) -> Iterator[Candle]:
        current: Candle | None = None
        for day in super().candles("1d", now_ns):
            open_ns = month_open_ns(day.open_ns)
            if current is not None and open_ns == current.open_ns:
                current.add(day)
                continue
            if current is not None and current.open_ns >= start_ns:
                yield current
            current = day.copy()
            current.open_ns = open_ns
        if current is not None and current.open_ns >= start_ns:
            yield current


def month_open_ns(t_ns: int, months: int = 0) -> int:
    """Start of the calendar month (UTC) of `t_ns`, or of the one `months` later."""
    day = datetime.fromtimestamp(t_ns // SECOND_NS, UTC)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS


def interval_end_ns(interval: str, open_ns: int) -> int:
    """Start of the candle after the one that opens at `open_ns`."""
    if interval == "1M":
        return month_open_ns(open_ns, 1)
    if interval == "1s":
        return open_ns + SECOND_NS
    return open_ns + INTERVALS_MIN[interval] * MINUTE_NS
