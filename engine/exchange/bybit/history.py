"""What was traded: the last trades, candles and 24-hour figures of one instrument, from its
public trades; and the funding rates that were paid. Memory is bounded. Pure.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from engine.exchange.events import MarkUpdate, Trade

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_MINUTES = 1_440
TRADES_KEPT = 1_000
HOURS_KEPT = 24 * 31
FUNDINGS_KEPT = 200
INTERVAL_MINUTES = {
    "1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360,
    "720": 720, "D": 1_440, "W": 10_080,
}  # fmt: skip
WEEK_SHIFT_MINUTES = 4 * 1_440  # 1970-01-01 was a Thursday; weeks start on Monday


@dataclass(slots=True)
class Candle:
    """Prices in ticks; `cost` in tick x lot."""

    start_ns: int
    opened: int
    high: int
    low: int
    closed: int
    lots: int = 0
    cost: int = 0

    def take(self, px_ticks: int, lots: int) -> None:
        self.high, self.low = max(self.high, px_ticks), min(self.low, px_ticks)
        self.closed = px_ticks
        self.lots += lots
        self.cost += px_ticks * lots

    def join(self, later: "Candle") -> None:
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.closed = later.closed
        self.lots += later.lots
        self.cost += later.cost


@dataclass(slots=True)
class Day:
    """The last 24 hours, by the minute."""

    opened: int = 0
    high: int = 0
    low: int = 0
    lots: int = 0
    cost: int = 0
    hour_ago: int = 0


class History:
    """Feed it every public trade of one instrument."""

    def __init__(self) -> None:
        self.trades: deque[tuple[Trade, str]] = deque(maxlen=TRADES_KEPT)
        self.taped: deque[str] = deque(maxlen=TRADES_KEPT)  # recorded messages, as they were
        self.fundings: deque[tuple[int, int]] = deque(maxlen=FUNDINGS_KEPT)
        self.direction = "PlusTick"
        self.last_px_ticks = 0
        self._minutes: deque[Candle] = deque(maxlen=DAY_MINUTES + 1)
        self._hours: deque[Candle] = deque(maxlen=HOURS_KEPT)
        self._day = Day()  # of the closed minutes
        self._next_funding_ns = 0

    # -- FEED ---

    def on_trade(self, trade: Trade) -> str:
        """The tick direction that the trade is shown with."""
        if trade.px_ticks != self.last_px_ticks:
            is_up = trade.px_ticks > self.last_px_ticks
            self.direction = "PlusTick" if is_up else "MinusTick"
        elif not self.direction.startswith("Zero"):
            self.direction = f"Zero{self.direction}"
        self.last_px_ticks = trade.px_ticks
        self.trades.append((trade, self.direction))
        self.roll(trade.t_ns, trade.px_ticks)
        self._minutes[-1].take(trade.px_ticks, trade.qty_lots)
        self._hours[-1].take(trade.px_ticks, trade.qty_lots)
        return self.direction

    def roll(self, t_ns: int, px_ticks: int = 0) -> None:
        """Open the candles that `t_ns` is in; minutes without a trade repeat the last price."""
        start_ns = t_ns - t_ns % MINUTE_NS
        if not self._minutes:
            if px_ticks:
                self._open(self._minutes, start_ns, px_ticks)
                self._open(self._hours, t_ns - t_ns % (60 * MINUTE_NS), px_ticks)
            return
        if self._minutes[-1].start_ns >= start_ns:
            return
        last_px = self._minutes[-1].closed
        first_ns = max(self._minutes[-1].start_ns, start_ns - DAY_MINUTES * MINUTE_NS)
        for minute_ns in range(first_ns + MINUTE_NS, start_ns + 1, MINUTE_NS):
            self._open(self._minutes, minute_ns, last_px)
        hour_ns = 60 * MINUTE_NS
        first_ns = max(self._hours[-1].start_ns, start_ns - HOURS_KEPT * hour_ns)
        first_ns -= first_ns % hour_ns
        for start in range(first_ns + hour_ns, start_ns + 1, hour_ns):
            self._open(self._hours, start, last_px)
        self._sum_up()

    def _open(self, candles: deque[Candle], start_ns: int, px_ticks: int) -> None:
        candles.append(Candle(start_ns, px_ticks, px_ticks, px_ticks, px_ticks))

    def _sum_up(self) -> None:
        closed = list(self._minutes)[-DAY_MINUTES:-1]
        if closed:
            self._day = Day(
                closed[0].opened,
                max(candle.high for candle in closed),
                min(candle.low for candle in closed),
                sum(candle.lots for candle in closed),
                sum(candle.cost for candle in closed),
                closed[max(0, len(closed) - 60)].opened,
            )

    def on_mark(self, mark: MarkUpdate) -> None:
        if 0 < self._next_funding_ns <= mark.t_ns:
            self.fundings.append((self._next_funding_ns, mark.funding_rate_e8))
        self._next_funding_ns = mark.next_funding_ns

    # -- READ ---

    def day(self) -> Day:
        """The closed minutes and the running one."""
        if not self._minutes:
            return Day()
        now, day = self._minutes[-1], self._day
        if not day.opened:
            return Day(now.opened, now.high, now.low, now.lots, now.cost, now.opened)
        return Day(
            day.opened,
            max(day.high, now.high),
            min(day.low, now.low),
            day.lots + now.lots,
            day.cost + now.cost,
            day.hour_ago,
        )

    def candles(self, interval: str, t_ns: int) -> Iterator[Candle]:
        """Oldest first; the last one is open."""
        self.roll(t_ns)
        minutes = INTERVAL_MINUTES.get(interval)
        source = self._minutes if minutes is not None and minutes < 60 else self._hours
        running: Candle | None = None
        for candle in source:
            start_ns = start_of(candle.start_ns, interval)
            if running is None or running.start_ns != start_ns:
                if running is not None:
                    yield running
                running = Candle(
                    start_ns, candle.opened, candle.high, candle.low, candle.closed,
                    candle.lots, candle.cost,
                )  # fmt: skip
            else:
                running.join(candle)
        if running is not None:
            yield running


def start_of(t_ns: int, interval: str) -> int:
    """Start of the candle that `t_ns` is in."""
    if interval == "M":
        return _month_start(t_ns)
    size_ns = INTERVAL_MINUTES[interval] * MINUTE_NS
    shift_ns = WEEK_SHIFT_MINUTES * MINUTE_NS if interval == "W" else 0
    return t_ns - (t_ns - shift_ns) % size_ns


def end_of(start_ns: int, interval: str) -> int:
    """Start of the next one."""
    if interval == "M":
        return _month_start(start_ns + 32 * DAY_MINUTES * MINUTE_NS)
    return start_ns + INTERVAL_MINUTES[interval] * MINUTE_NS


def _month_start(t_ns: int) -> int:
    """Civil calendar from days since 1970-01-01, years starting in March."""
    days = t_ns // (DAY_MINUTES * MINUTE_NS) + 719_468
    era_day = days % 146_097
    year_of_era = (era_day - era_day // 1_460 + era_day // 36_524 - era_day // 146_096) // 365
    year_day = era_day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * year_day + 2) // 153
    day_of_month = year_day - (153 * month + 2) // 5
    return (days - 719_468 - day_of_month) * DAY_MINUTES * MINUTE_NS
