"""What was printed on one instrument: last trades, candles, windows. Memory is bounded.

Candles are kept per second (for 1s) and per minute; every longer interval and every rolling
window is added up from minutes when somebody asks. So a rolling window opens on a minute, as the
venue's GET ticker does; its 24-hour ticker has no such step [ours is up to 59 s wider].
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
PRINTS_KEPT = 1_000  # the most that one request may ask for
SECONDS_KEPT = 1_000
MINUTES_KEPT = 7 * 1_440  # the longest window
WEEK_SHIFT_NS = 4 * DAY_NS  # 1970-01-05 was the first Monday

INTERVAL_NS = {
    "1s": SECOND_NS, "1m": MINUTE_NS, "3m": 3 * MINUTE_NS, "5m": 5 * MINUTE_NS,
    "15m": 15 * MINUTE_NS, "30m": 30 * MINUTE_NS, "1h": 60 * MINUTE_NS, "2h": 120 * MINUTE_NS,
    "4h": 240 * MINUTE_NS, "6h": 360 * MINUTE_NS, "8h": 480 * MINUTE_NS, "12h": 720 * MINUTE_NS,
    "1d": DAY_NS, "3d": 3 * DAY_NS, "1w": 7 * DAY_NS, "1M": 0,
}  # fmt: skip


class Print(NamedTuple):
    """One trade, or all fills of one taker at one price (`agg_id` is the aggregate's own)."""

    t_ns: int
    first_id: int
    last_id: int
    agg_id: int
    px_ticks: int
    qty_lots: int
    is_buyer_maker: bool


@dataclass(slots=True)
class Candle:
    """[open_ns, close_ns). Without trades all four prices are the close before."""

    open_ns: int
    close_ns: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    cost: int = 0
    count: int = 0
    taker_buy_lots: int = 0
    taker_buy_cost: int = 0
    first_id: int = 0
    last_id: int = 0

    def add(self, trade: Print) -> None:
        px_ticks, lots = trade.px_ticks, trade.qty_lots
        if not self.count:
            self.open = self.high = self.low = px_ticks
            self.first_id = trade.first_id
        self.high, self.low = max(self.high, px_ticks), min(self.low, px_ticks)
        self.close = px_ticks
        self.lots += lots
        self.cost += lots * px_ticks
        self.count += 1
        self.last_id = trade.last_id
        if not trade.is_buyer_maker:
            self.taker_buy_lots += lots
            self.taker_buy_cost += lots * px_ticks

    def join(self, later: "Candle") -> None:
        """Take in the candle that follows; times stay."""
        if not later.count:
            return
        if not self.count:
            self.open, self.high, self.low = later.open, later.high, later.low
            self.first_id = later.first_id
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close, self.last_id = later.close, later.last_id
        self.lots += later.lots
        self.cost += later.cost
        self.count += later.count
        self.taker_buy_lots += later.taker_buy_lots
        self.taker_buy_cost += later.taker_buy_cost


class Window(NamedTuple):
    """Statistics of a rolling window; ids are -1 and prices the last one without trades in it."""

    open_ns: int
    close_ns: int
    open: int
    high: int
    low: int
    close: int
    before: int  # the last price before the window
    lots: int
    cost: int
    count: int
    first_id: int
    last_id: int
    last_lots: int
    last_ns: int


class Prints:
    """Of one instrument."""

    def __init__(self) -> None:
        self.trades: deque[Print] = deque(maxlen=PRINTS_KEPT)
        self.aggregates: deque[Print] = deque(maxlen=PRINTS_KEPT)
        self._agg_id = 0
        self._seconds: deque[Candle] = deque(maxlen=SECONDS_KEPT)
        self._minutes: deque[Candle] = deque(maxlen=MINUTES_KEPT)

    # -- INPUT ---

    def add(self, trade: Print) -> None:
        self.trades.append(trade)
        for candles, step_ns in ((self._seconds, SECOND_NS), (self._minutes, MINUTE_NS)):
            if not candles or trade.t_ns >= candles[-1].close_ns:
                open_ns = trade.t_ns - trade.t_ns % step_ns
                px_ticks = trade.px_ticks
                candles.append(Candle(open_ns, open_ns + step_ns, *[px_ticks] * 4))
            candles[-1].add(trade)

    def add_aggregate(self, trades: list[Print]) -> Print:
        """Fills of one taker at one price, which have been added already."""
        self._agg_id += 1
        first, last = trades[0], trades[-1]
        qty_lots = sum(trade.qty_lots for trade in trades)
        joined = replace_print(last, first.first_id, self._agg_id, qty_lots)
        self.aggregates.append(joined)
        return joined

    # -- QUERIES ---

    @property
    def last_px_ticks(self) -> int:
        return self.trades[-1].px_ticks if self.trades else 0

    def candle(self, interval: str, now_ns: int) -> Candle | None:
        """The one that is open now; None before the first trade ever."""
        candles = self.candles(interval, now_ns, 1)
        return candles[-1] if candles else None

    def candles(
        self, interval: str, now_ns: int, count: int, from_ns: int = 0, to_ns: int | None = None
    ) -> list[Candle]:
        """Up to `count` that open in from..to: the first of them when `from_ns` is given, else
        the last. Gaps without trades are filled."""
        base = self._seconds if interval == "1s" else self._minutes
        if not base or count <= 0:
            return []
        end_ns = now_ns if to_ns is None else min(now_ns, to_ns)
        opens = _opens(interval, base[0].open_ns, end_ns, from_ns, count)
        return list(self._filled(interval, opens, base)) if opens else []

    def _filled(
        self, interval: str, opens: Iterable[int], base: deque[Candle]
    ) -> Iterator[Candle]:
        parts = iter(base)
        part = next(parts, None)
        px_ticks = base[0].open
        for open_ns in opens:
            close_ns = interval_close_ns(interval, open_ns)
            while part is not None and part.open_ns < open_ns:
                px_ticks, part = part.close, next(parts, None)
            candle = Candle(open_ns, close_ns, *[px_ticks] * 4)
            while part is not None and part.open_ns < close_ns:
                candle.join(part)
                part = next(parts, None)
            px_ticks = candle.close
            yield candle

    def window(self, size_ns: int, now_ns: int) -> Window:
        """The last `size_ns`, from the minute in which it opens."""
        open_ns = now_ns - size_ns
        open_ns -= open_ns % MINUTE_NS
        before, total = 0, None
        for candle in self._recent(open_ns):
            if candle.open_ns < open_ns:
                before = candle.close
            elif total is None:
                total = replace(candle)
            else:
                total.join(candle)
        last = self.trades[-1] if self.trades else Print(0, -1, -1, 0, before, 0, False)
        if total is None:
            px = last.px_ticks
            return Window(
                open_ns, now_ns, px, px, px, px, before, 0, 0, 0, -1, -1, last.qty_lots, last.t_ns
            )
        return Window(
            open_ns, now_ns, total.open, total.high, total.low, total.close,
            before or total.open, total.lots, total.cost, total.count, total.first_id,
            total.last_id, last.qty_lots, last.t_ns,
        )  # fmt: skip

    def _recent(self, open_ns: int) -> Iterable[Candle]:
        """Minutes from the last one before `open_ns` on."""
        count = 0
        for candle in reversed(self._minutes):
            count += 1
            if candle.open_ns < open_ns:
                break
        return islice(self._minutes, len(self._minutes) - count, None)


def replace_print(last: Print, first_id: int, agg_id: int, qty_lots: int) -> Print:
    return last._replace(first_id=first_id, agg_id=agg_id, qty_lots=qty_lots)


def interval_open_ns(interval: str, t_ns: int) -> int:
    """Start of the interval that holds `t_ns`; weeks start on Monday, months on the first, UTC."""
    if interval == "1M":
        day = datetime.fromtimestamp(t_ns // SECOND_NS, UTC)
        return _month_ns(day.year, day.month)
    step_ns = INTERVAL_NS[interval]
    shift_ns = WEEK_SHIFT_NS if interval == "1w" else 0
    return t_ns - (t_ns - shift_ns) % step_ns


def interval_close_ns(interval: str, open_ns: int) -> int:
    """Start of the interval after the one that starts at `open_ns`."""
    if interval == "1M":
        day = datetime.fromtimestamp(open_ns // SECOND_NS, UTC)
        return _month_ns(day.year + day.month // 12, day.month % 12 + 1)
    return open_ns + INTERVAL_NS[interval]


def _opens(interval: str, first_ns: int, end_ns: int, from_ns: int, count: int) -> list[int]:
    """Starts of up to `count` intervals in first..end: from `from_ns` on, or the last ones."""
    start_ns = interval_open_ns(interval, max(first_ns, min(from_ns, end_ns + 1)))
    if start_ns < from_ns:
        start_ns = interval_close_ns(interval, start_ns)
    if not from_ns and interval != "1M":
        earliest_ns = interval_open_ns(interval, end_ns) - (count - 1) * INTERVAL_NS[interval]
        start_ns = max(start_ns, earliest_ns)
    opens: list[int] = []
    while start_ns <= end_ns and len(opens) < count:
        opens.append(start_ns)
        start_ns = interval_close_ns(interval, start_ns)
    return opens


def _month_ns(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND_NS
