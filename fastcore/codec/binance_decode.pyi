"""Binance messages into events; see binance_decode.pyx."""

from typing import final

from fastcore.codec.base import DecoderBase

@final
class Decoder(DecoderBase):
    def __new__(cls, symbol: str, tick: str, lot: str, client_prefix: str = "") -> Decoder: ...
    def decode_bytes(self, buf: bytes) -> tuple[int, dict[str, object]]: ...
    def bench_decode(self, buf: bytes, count: int) -> int: ...
