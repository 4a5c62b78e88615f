from collections.abc import Iterable
from typing import Any, final

from fastcore.account import Account
from fastcore.core_steps import CoreSteps
from fastcore.journal import JournalWriter

@final
class Core(CoreSteps):
    def __init__(
        self,
        config: dict[str, Any],
        api_key: bytes,
        secret: bytes,
        journal: JournalWriter | None = None,
        user: Any = None,
        account: Account | None = None,
    ) -> None: ...
    def frame(
        self, conn: int, payload: bytes | memoryview, recv_ts_ns: int, now_ns: int
    ) -> int: ...
    def snapshot(self, body: bytes | memoryview, now_ns: int) -> int: ...
    def timer(self, now_ns: int) -> int: ...
    def command(self, command: int, now_ns: int) -> int: ...
    def conn(self, conn: int, up: bool, now_ns: int) -> int: ...
    def clock(self, utc_minus_monotonic_ns: int, now_ns: int) -> int: ...
    def account(self, position_lots: int, open_orders: int, now_ns: int) -> int: ...
    def opening(self, position_lots: int, now_ns: int) -> int: ...
    def known(self, trades: Iterable[tuple[int, int, int]], now_ns: int) -> int: ...
    def fill_row(
        self,
        *,
        trade_id: int,
        venue_order_id: int,
        intent_id: int,
        owner: int,
        side: int,
        px_ticks: int,
        qty_lots: int,
        fee_e8: int,
        fee_asset: int,
        is_maker: int,
        exch_ts_ns: int,
        now_ns: int,
    ) -> int: ...
    def query(
        self,
        *,
        intent_id: int,
        is_absent: int,
        order_status: int,
        venue_order_id: int,
        px_ticks: int,
        qty_lots: int,
        cum_qty_lots: int,
        now_ns: int, asked_ns: int = 0,
    ) -> int: ...
    def params(self, values: list[float], now_ns: int) -> int: ...
    def condition(self, bit: int, is_on: bool, now_ns: int) -> int: ...
    def reference(
        self,
        bid: tuple[int, int],
        ask: tuple[int, int],
        position_lots: int,
        open_lots: int,
        now_ns: int,
        asked_ns: int = 0,
    ) -> int: ...
    def take(self, side: int, px_ticks: int, qty_lots: int, reason: int, now_ns: int) -> int: ...
    def send(
        self, out_seq: int, outcome: int, begin_ns: int, end_ns: int, now_ns: int
    ) -> int: ...
