"""WebSocket frames as bytes; see ws.pyx."""

from typing import TypedDict

_Data = bytes | bytearray | memoryview

class _Fields(TypedDict):
    opcode: int
    fin: int
    rsv: int
    masked: int
    header_size: int
    payload_size: int
    payload: bytes | None

def parse(buf: _Data) -> tuple[int, _Fields]: ...
def header_size(size: int) -> int: ...
def frame(opcode: int, payload: _Data, mask_key: int) -> bytes: ...
def frame_in_place(opcode: int, buf: bytearray | memoryview, mask_key: int) -> int: ...
def repeat(payload: _Data, count: int) -> bytes: ...
