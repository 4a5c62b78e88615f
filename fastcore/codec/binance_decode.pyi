"""Binance messages into events; see binance_decode.pyx."""

from typing import final

from fastcore.codec.base import DecoderBase

@final
class Decoder(DecoderBase):
    def __new__(
        cls,
        symbol: str,
        tick: str,
        lot: str,
        client_prefix: str = "",
        base_asset: str = "",
        quote_asset: str = "",
        portable: bool = False,
    ) -> Decoder: ...
    @property
    def retry_after_ms(self) -> int: ...
    @property
    def canceled_intent_id(self) -> int: ...
    def decode_bytes(self, buf: bytes) -> tuple[int, dict[str, object]]: ...
    def safe_bytes(self) -> bytes: ...
    def decode_generally(self, buf: bytes) -> tuple[int, dict[str, object]]: ...
    def bench_decode(self, buf: bytes, count: int) -> int: ...
