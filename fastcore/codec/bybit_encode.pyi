"""Bybit v5 order requests as WebSocket frames; see bybit_encode.pyx."""

from collections.abc import Sequence
from typing import NoReturn, final

from fastcore.codec.base import EncoderBase

@final
class BybitEncoder(EncoderBase):
    def __new__(
        cls,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str,
        api_key: bytes,
        secret: bytes,
        recv_window_ms: int,
        mask_seed: int,
        category: str = "linear",
    ) -> BybitEncoder: ...
    def place_bytes(
        self,
        intent_id: int,
        side: int,
        px_ticks: int,
        qty_lots: int,
        flags: int,
        utc_ms: int,
        room: int = ...,
    ) -> bytes: ...
    def modify_bytes(
        self,
        intent_id: int,
        side: int,
        px_ticks: int,
        qty_lots: int,
        utc_ms: int,
        room: int = ...,
    ) -> bytes: ...
    def cancel_bytes(self, intent_id: int, utc_ms: int, room: int = ...) -> bytes: ...
    def status_bytes(self, intent_id: int, utc_ms: int, room: int = ...) -> bytes: ...
    def batch_bytes(
        self,
        verb: int,
        orders: Sequence[tuple[int, int, int, int, int]],
        utc_ms: int,
        room: int = ...,
    ) -> bytes: ...
    def auth_bytes(self, expires_ms: int, room: int = ...) -> bytes: ...
    def ping_bytes(self, room: int = ...) -> bytes: ...
    def can_modify_orders(self) -> bool: ...
    def bench_place(self, count: int) -> int: ...
    def __reduce__(self) -> NoReturn: ...
