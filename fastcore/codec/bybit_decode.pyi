"""Bybit v5 messages (linear, spot) into events; see bybit_decode.pyx."""

from typing import final

from fastcore.codec.base import DecoderBase

@final
class BybitDecoder(DecoderBase):
    def __new__(
        cls,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str = "",
        category: str = "linear",
        base_asset: str = "",
        quote_asset: str = "",
    ) -> BybitDecoder: ...
    def decode_bytes(self, buf: bytes) -> tuple[int, dict[str, object]]: ...
    def safe_bytes(self) -> bytes: ...
    def decode_all_bytes(self, buf: bytes) -> tuple[int, list[dict[str, object]]]: ...
    def next_event_bytes(self) -> tuple[int, dict[str, object]]: ...
    def bench_decode(self, buf: bytes, count: int) -> int: ...
