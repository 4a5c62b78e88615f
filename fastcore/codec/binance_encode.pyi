"""Binance order requests as WebSocket frames; see binance_encode.pyx."""

from typing import NoReturn, final

from fastcore.codec.base import EncoderBase

@final
class Encoder(EncoderBase):
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
        venue: str = "binance_usdm",
    ) -> Encoder: ...
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
    def replace_bytes(
        self,
        cancel_intent_id: int,
        intent_id: int,
        side: int,
        px_ticks: int,
        qty_lots: int,
        flags: int,
        utc_ms: int,
        room: int = ...,
    ) -> bytes: ...
    def amend_bytes(
        self, intent_id: int, qty_lots: int, utc_ms: int, room: int = ...
    ) -> bytes: ...
    def cancel_bytes(self, intent_id: int, utc_ms: int, room: int = ...) -> bytes: ...
    def status_bytes(self, intent_id: int, utc_ms: int, room: int = ...) -> bytes: ...
    def cancel_all_bytes(self, intent_id: int, utc_ms: int, room: int = ...) -> bytes: ...
    def bench_place(self, count: int) -> int: ...
    def __reduce__(self) -> NoReturn: ...
