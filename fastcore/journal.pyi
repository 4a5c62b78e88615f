from collections.abc import Iterator
from struct import Struct
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC: bytes
VERSION: int
FIELDS: dict[int, tuple[str, ...]]
OUT_FIELDS: tuple[str, ...]
OUT_HEADER: Struct
NAMES: dict[int, str]
KIND: dict[str, int]
INPUT_LAST: int
END_OF_SEGMENT: int
HEADER_SIZE: int

class JournalError(ValueError): ...

class JournalOrder:
    def __init__(self) -> None: ...

class JournalWriter:
    order: JournalOrder
    def __init__(
        self,
        segment: Buffer,
        wall_minus_monotonic_ns: int = 0,
        order: JournalOrder | None = None,
    ) -> None: ...
    def append(
        self, kind: int, arg: int, payload: bytes, now_ns: int, recv_ts_ns: int = 0
    ) -> bool: ...
    @property
    def needs_segment(self) -> bool: ...
    def add_segment(self, segment: Buffer) -> None: ...
    @property
    def next_seq(self) -> int: ...
    @property
    def used(self) -> int: ...
    def rewind(self) -> None: ...
    def current(self) -> memoryview: ...

def segment_header(buf: Buffer) -> tuple[int, int, int]: ...
def read_segment(
    buf: Buffer, offset: int = 64
) -> Iterator[tuple[int, int, int, int, int, int, memoryview]]: ...
def unpack(kind: int, payload: Buffer) -> dict[str, int]: ...
