"""What a market's public trades add up to: recent trades, aggregate trades, candles, 24 hours.

Bounded: so many trades, a week of one-minute candles; longer candles are added up when asked for.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from engine.exchange.book import Side
from engine.exchange.events import Trade
from engine.exchange.terms import NEVER_NS

MINUTE_NS = 60_000_000_000
DAY_NS = 1_440 * MINUTE_NS
TRADES_MAX = 1_000
CANDLES_MAX = 7 * 1_440
INTERVALS_MIN = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360,
    "8h": 480, "12h": 720, "1d": 1_440, "3d": 4_320, "1w": 10_080,
}  # fmt: skip
WEEK_OFFSET_NS = 4 * DAY_NS  # weeks start on Monday, 1970-01-01 was a Thursday


@dataclass(slots=True)
class Candle:
    """Prices in ticks; `cost` and `bought_cost` in tick x lot; bought: by takers."""

    open_ns: int
    open_px: int
    high_px: int
    low_px: int
    close_px: int
    lots: int = 0
    cost: int = 0
    count: int = 0
    bought_lots: int = 0
    bought_cost: int = 0
    first_id: int = -1
    last_id: int = -1

    @classmethod
    def flat(cls, open_ns: int, px_ticks: int) -> "Candle":
        """Nobody traded."""
        return cls(open_ns, px_ticks, px_ticks, px_ticks, px_ticks)

    def add_trade(self, trade: Trade) -> None:
        px_ticks, qty_lots = trade.px_ticks, trade.qty_lots
        if px_ticks > self.high_px:
            self.high_px = px_ticks
        if px_ticks < self.low_px:
            self.low_px = px_ticks
        self.close_px = px_ticks
        self.lots += qty_lots
        self.cost += px_ticks * qty_lots
        self.count += 1
        if trade.aggressor is Side.BUY:
            self.bought_lots += qty_lots
            self.bought_cost += px_ticks * qty_lots
        if self.first_id < 0:
            self.first_id = trade.trade_id
        self.last_id = trade.trade_id

    def add(self, later: "Candle") -> None:
        """Join the candle that follows."""
        self.high_px, self.low_px = (
            max(self.high_px, later.high_px),
            min(self.low_px, later.low_px),
        )
        self.close_px = later.close_px
        self.lots += later.lots
        self.cost += later.cost
        self.count += later.count
        self.bought_lots += later.bought_lots
        self.bought_cost += later.bought_cost
        if self.first_id < 0:
            self.first_id = later.first_id
        if later.last_id >= 0:
            self.last_id = later.last_id

    def rescale(self, factor: int) -> None:
        """The tick became `factor` times finer."""
        self.open_px *= factor
        self.high_px *= factor
        self.low_px *= factor
        self.close_px *= factor
        self.cost *= factor
        self.bought_cost *= factor

    def copy(self) -> "Candle":
        fields = (getattr(self, name) for name in self.__slots__)
        return Candle(*fields)


@dataclass(slots=True)
class AggTrade:
    """Fills of one taking side at one price that the venue tells as one."""

    agg_id: int
    px_ticks: int
    qty_lots: int
    first_id: int
    last_id: int
    t_ns: int
    aggressor: Side
    symbol: str


class History:
    """Of one symbol. `version` moves with each trade, so that timed streams see a change."""

    def __init__(self) -> None:
        self.trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.agg_trades: deque[AggTrade] = deque(maxlen=TRADES_MAX)
        self.version = 0
        self._minutes: deque[Candle] = deque(maxlen=CANDLES_MAX)

    def add(self, trade: Trade) -> None:
        self.version += 1
        self.trades.append(trade)
        open_ns = trade.t_ns - trade.t_ns % MINUTE_NS
        last = self._minutes[-1] if self._minutes else None
        if last is None or open_ns > last.open_ns:
            last = Candle.flat(open_ns, trade.px_ticks)
            self._minutes.append(last)
        last.add_trade(trade)

    def rescale(self, factor: int) -> None:
        """The tick became `factor` times finer."""
        finer = [trade._replace(px_ticks=trade.px_ticks * factor) for trade in self.trades]
        self.trades = deque(finer, maxlen=TRADES_MAX)
        for agg_trade in self.agg_trades:
            agg_trade.px_ticks *= factor
        for minute in self._minutes:
            minute.rescale(factor)

    def candles(self, interval: str, now_ns: int, start_ns: int = 0) -> Iterator[Candle]:
        """Of an interval of INTERVALS_MIN, oldest first, the running one last; minutes without
        a trade are flat."""
        length_ns = INTERVALS_MIN[interval] * MINUTE_NS
        offset_ns = WEEK_OFFSET_NS if interval == "1w" else 0
        current: Candle | None = None
        for minute in self._filled(now_ns, start_ns):
            open_ns = minute.open_ns - (minute.open_ns - offset_ns) % length_ns
            if open_ns < start_ns:
                continue
            if current is None or open_ns > current.open_ns:
                if current is not None:
                    yield current
                current = minute.copy()
                current.open_ns = open_ns
            else:
                current.add(minute)
        if current is not None:
            yield current

    def last_candles(self, interval: str, now_ns: int) -> list[Candle]:
        """The one before the running one, and that."""
        length_ns = INTERVALS_MIN[interval] * MINUTE_NS
        offset_ns = WEEK_OFFSET_NS if interval == "1w" else 0
        start_ns = now_ns - (now_ns - offset_ns) % length_ns - length_ns
        return list(self.candles(interval, now_ns, start_ns))[-2:]

    def day(self, now_ns: int) -> Candle | None:
        """The last 24 hours as one candle, to the minute; None before the first trade."""
        from_ns = now_ns - DAY_NS
        total: Candle | None = None
        for minute in self._since(from_ns):
            if minute.open_ns < from_ns:
                continue
            if total is None:
                total = minute.copy()
            else:
                total.add(minute)
        if total is None and self._minutes:
            return Candle.flat(from_ns, self._minutes[-1].close_px)
        return total

    def _since(self, start_ns: int) -> Iterator[Candle]:
        """Minutes from `start_ns` on, and the one before them."""
        later = 0
        for minute in reversed(self._minutes):
            later += 1
            if minute.open_ns < start_ns:
                break
        return islice(self._minutes, len(self._minutes) - later, None)

    def _filled(self, now_ns: int, start_ns: int) -> Iterator[Candle]:
        """One-minute candles without holes up to now."""
        last: Candle | None = None
        for minute in self._since(start_ns):
            if last is not None:
                hole_ns = max(last.open_ns + MINUTE_NS, start_ns - start_ns % MINUTE_NS)
                for open_ns in range(hole_ns, minute.open_ns, MINUTE_NS):
                    yield Candle.flat(open_ns, last.close_px)
            yield minute
            last = minute
        if last is None:
            return
        floor_ns = now_ns - CANDLES_MAX * MINUTE_NS
        hole_ns = max(last.open_ns + MINUTE_NS, start_ns - start_ns % MINUTE_NS)
        if hole_ns < floor_ns:
            hole_ns = floor_ns - floor_ns % MINUTE_NS
        for open_ns in range(hole_ns, now_ns + 1, MINUTE_NS):
            yield Candle.flat(open_ns, last.close_px)


class AggTrades:
    """Joins fills into aggregate trades. Without an interval (spot) they are consecutive fills
    of one taker at one price; with one (USD-M), of one taking side and price inside it."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._ready: list[AggTrade] = []
        self._open: dict[tuple[int, Side], AggTrade] = {}
        self._open_due_ns = 0
        self._taker: object = None
        self._agg_id = 0

    def add(self, trade: Trade) -> None:
        """Trades come in the order of their times, many at once after a pause."""
        key = trade.px_ticks, trade.aggressor
        agg = self._open.get(key)
        if self._interval_ns:
            is_over = trade.t_ns >= self._open_due_ns
        else:
            is_over = agg is None or trade.taker is not self._taker
        if is_over:
            self._close()
            agg = None
        if agg is not None:
            agg.qty_lots += trade.qty_lots
            agg.last_id, agg.t_ns = trade.trade_id, trade.t_ns
            return
        if not self._open:
            self._open_due_ns = trade.t_ns + self._interval_ns
        self._agg_id += 1
        self._taker = trade.taker
        self._open[key] = AggTrade(
            self._agg_id, trade.px_ticks, trade.qty_lots, trade.trade_id, trade.trade_id,
            trade.t_ns, trade.aggressor, trade.symbol,
        )  # fmt: skip

    def due_ns(self) -> int:
        if self._ready:
            return 0
        return self._open_due_ns if self._open else NEVER_NS

    def take(self, t_ns: int) -> list[AggTrade]:
        """What is ready by `t_ns`, oldest first."""
        if self._open and t_ns >= self._open_due_ns:
            self._close()
        ready, self._ready = self._ready, []
        return ready

    def take_all(self) -> list[AggTrade]:
        """Ready or not."""
        return self.take(NEVER_NS)

    def _close(self) -> None:
        self._ready += self._open.values()
        self._open = {}
