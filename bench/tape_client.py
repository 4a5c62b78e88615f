"""A market-data client that does nothing but count: when did the n-th frame arrive?

`python -m bench.tape_client HOST PORT TARGET FRAMES [MESSAGE]` writes, when FRAMES data frames are
in or none came for a while, their stamps (CLOCK_MONOTONIC, ns) as int64, raw.
"""

import array
import asyncio
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from engine import clock

IDLE_S = 3.0
STARTS = (bytearray(b"st"), bytearray(b"to"))  # of `{"stream"`, `{"topic"`
MASK = b"\0\0\0\0"  # a mask of zeros is a mask


class Counter(asyncio.Protocol):
    """Frames of one connection; only whole, unfragmented ones come from this server."""

    def __init__(self, target: str, message: str, frames: int, on_end: Callable[[], None]) -> None:
        self.stamps = array.array("q")
        self.last_ns = clock.monotonic_ns()
        self._target = target
        self._message = message.encode()
        self._frames = frames
        self._on_end = on_end
        self._buffer = bytearray()
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass
        self._transport.write(
            f"GET {self._target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now_ns = clock.monotonic_ns()
        self.last_ns = now_ns
        buffer = self._buffer
        buffer += data
        at = 0
        if not self._is_open:
            at = buffer.find(b"\r\n\r\n") + 4
            if at < 4:
                return
            self._open()
        size = len(buffer)
        while at + 2 <= size:
            length, head = buffer[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(buffer[at + 2 : at + 10], "big"), 10
            if at + head + length > size:
                break
            # Data frames only: neither answers nor pings.
            if buffer[at] == 0x81 and buffer[at + head + 2 : at + head + 4] in STARTS:
                self.stamps.append(now_ns)
            at += head + length
        del buffer[:at]
        if len(self.stamps) >= self._frames:
            self._on_end()

    def _open(self) -> None:
        self._is_open = True
        if self._message:
            size = len(self._message)
            head = b"\x81" + (
                bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
            )
            self._transport.write(head + MASK + self._message)

    def connection_lost(self, error: Exception | None) -> None:
        self._on_end()


async def count(
    host: str, port: int, target: str, frames: int, message: str
) -> "array.array[int]":
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, counter = await loop.create_connection(
        lambda: Counter(target, message, frames, ended.set), host, port
    )
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), IDLE_S)
        except TimeoutError:
            if clock.monotonic_ns() - counter.last_ns > IDLE_S * 1e9:
                break
    transport.close()
    return counter.stamps


def main() -> None:
    host, port, target, frames, *message = sys.argv[1:]
    stamps = uvloop.run(count(host, int(port), target, int(frames), "".join(message)))
    sys.stdout.buffer.write(stamps.tobytes())


if __name__ == "__main__":
    main()
