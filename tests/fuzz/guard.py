"""Bytes without slack. A Python bytes object ends in a NUL that is not its own: a decoder that
reads one byte too far would read it, and no sanitizer would know. Under ASan that byte is
poisoned; without ASan nothing happens."""

import ctypes
import sys

_HEADER_SIZE = sys.getsizeof(b"") - 1  # of a bytes object, before its first byte
_POISON = getattr(ctypes.CDLL(None), "__asan_poison_memory_region", None)
if _POISON is not None:
    _POISON.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def exact(data: bytes) -> bytes:
    """A copy of `data` of which not one byte more may be read."""
    copy = bytes(bytearray(data))
    if _POISON is not None and len(copy) > 1:  # the shorter ones are shared by all of Python
        _POISON(id(copy) + _HEADER_SIZE + len(copy), 1)
    return copy


class Dice:
    """Fuzz bytes read as small numbers; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def word(self) -> int:
        return self.byte() << 8 | self.byte()

    def long(self) -> int:
        """Any int64, the small ones in few bytes: a count, then that many bytes."""
        size = self.byte() % 9
        value = int.from_bytes(self.take(size), "little", signed=True)
        return value

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken
