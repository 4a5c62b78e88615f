"""WebSocket frames as bytes; see ws.pyx."""

from typing import TypedDict

Data = bytes | bytearray | memoryview

class Fields(TypedDict):
    opcode: int
    fin: int
    rsv: int
    masked: int
    header_size: int
    payload_size: int
    payload: bytes | None

def parse(buf: Data) -> tuple[int, Fields]: ...
def header_size(size: int) -> int: ...
def frame(opcode: int, payload: Data, mask_key: int) -> bytes: ...
def frame_in_place(opcode: int, buf: bytearray | memoryview, mask_key: int) -> int: ...
def repeat(payload: Data, count: int) -> bytes: ...
