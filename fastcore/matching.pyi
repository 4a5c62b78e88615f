from typing import Any

from fastcore.book import Book

class SimVenue:
    book: Book
    entry_latency_ns: int
    response_latency_ns: int
    position_lots: int
    fills: int
    is_overflown: bool
    def __init__(
        self,
        book: Book,
        tick: str,
        lot: str,
        *,
        entry_latency_ns: int,
        response_latency_ns: int,
        maker_fee_ppm: int = 200,
        taker_fee_ppm: int = 500,
    ) -> None: ...
    def send(
        self,
        verb: int,
        intent_id: int,
        now_ns: int,
        side: int = 0,
        px_ticks: int = 0,
        qty_lots: int = 0,
        post_only: bool = True,
        reduce_only: bool = False,
    ) -> None: ...
    def trade(
        self,
        px_ticks: int,
        qty_lots: int,
        aggressor: int,
        now_ns: int,
        is_market: bool = True,
    ) -> None: ...
    def book_moved(self, now_ns: int) -> None: ...
    def run_to(self, now_ns: int) -> list[tuple[int, int, dict[str, Any]]]: ...
    def ahead_lots(self, intent_id: int) -> int | None: ...
    def check(self) -> None: ...
