"""Executions oldest first, of a venue that gives the newest first in windows of 7 days. Pure.

A page is one window of time, whole. It is asked for with the venue's largest page; a full answer
may have left out older ones, so nothing of it is used and the window is halved, before the oldest
execution that it gave. What isn't full is the window's content: it is turned round, and the next
window starts where this one ended, twice as wide where half a page was enough. The last window is
the one that ends after the venue's own time of the answer. Only within one millisecond are the
venue's cursors followed: nothing there tells what came first.

The cursor is text: first and last millisecond of the next window, and the venue's cursor in it.
Source: bybit-exchange.github.io/docs/v5/order/execution ("Get Trade History": sorted by execTime
in descending order, endTime - startTime <= 7 days, limit 100, two years).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.venues.base import Instrument, TradeRow
from engine.venues.bybit_rows import (
    NO_TRADES,
    NS_PER_MS,
    result_of,
    rows_of,
    text_of,
    time_ms_of,
    trade_row,
    whole_of,
)

PAGE_MAX = 100
DAY_MS = 86_400_000
SPAN_MS = 7 * DAY_MS
KEPT_MS = 730 * DAY_MS


class Window(NamedTuple):
    """Both ends belong to it."""

    first_ms: int
    last_ms: int
    page: str = ""  # the venue's cursor, in a window of one millisecond

    @classmethod
    def of(cls, since_ns: int, cursor: str) -> "Window":
        """Of the cursor; of `since_ns` where there is none yet."""
        if not cursor:
            first_ms = since_ns // NS_PER_MS
            return cls(first_ms, first_ms + SPAN_MS)
        first, last, page = cursor.split("/", 2)
        return cls(int(first), int(last), page)

    @property
    def cursor(self) -> str:
        return f"{self.first_ms}/{self.last_ms}/{self.page}"

    def params(self, category: str, symbol: str) -> dict[str, str]:
        """The venue ends a window of 7 days by itself: no end in the future is sent."""
        params = {"category": category, "symbol": symbol, "startTime": str(self.first_ms)}
        if self.last_ms - self.first_ms < SPAN_MS:
            params["endTime"] = str(self.last_ms)
        params["limit"] = str(PAGE_MAX)
        return {**params, "cursor": self.page} if self.page else params

    def read(self, body: Any, instrument: Instrument) -> tuple[list[TradeRow], str]:
        """(executions, next cursor)."""
        rows, now_ms = rows_of(body), time_ms_of(body)
        is_full = len(rows) >= PAGE_MAX
        if is_full and self.first_ms < self.last_ms:
            oldest_ms = min(whole_of(row, "execTime") for row in rows)
            if not self.first_ms <= oldest_ms <= self.last_ms:
                raise ValueError("Expected executions of the window that was asked for")
            return [], Window(self.first_ms, (self.first_ms + oldest_ms) // 2).cursor
        page = str(result_of(body).get("nextPageCursor") or "")
        following: Window | None = self._next(len(rows), now_ms)
        if is_full and page:
            following = self._replace(page=page)
        return _oldest_first(rows, instrument), following.cursor if following else ""

    def _next(self, count: int, now_ms: int) -> "Window | None":
        if self.last_ms >= now_ms:
            return None
        first_ms = max(self.last_ms + 1, now_ms - KEPT_MS)
        width_ms = self.last_ms - self.first_ms + 1
        if count <= PAGE_MAX // 2:
            width_ms *= 2
        return Window(first_ms, first_ms + min(width_ms, SPAN_MS))


def _oldest_first(rows: list[Mapping[str, Any]], instrument: Instrument) -> list[TradeRow]:
    """By time; what came in one millisecond by the venue's sequence, else turned round."""
    ours = [
        row
        for row in reversed(rows)
        if text_of(row, "symbol") == instrument.symbol and row.get("execType") not in NO_TRADES
    ]
    ours.sort(key=lambda row: (whole_of(row, "execTime"), int(row.get("seq") or 0)))
    return [trade_row(row, instrument) for row in ours]
