"""WebSocket frames (RFC 6455 section 5) at the venue's end: built unmasked, read masked."""

from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASKED_HEADER_SIZE = 6  # of a payload of at most 125 bytes


class MalformedError(ValueError):
    """The engine sent what no client may."""


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message, unmasked."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


class Reader:
    """Masked frames out of a client's bytes, however they were cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of each frame that is whole now."""
        rest = self._rest + data
        at = 0
        while len(rest) - at >= MASKED_HEADER_SIZE:
            first, second = rest[at], rest[at + 1]
            if not first & 0x80 or first & 0x70 or not second & 0x80:
                raise MalformedError(f"frame begins with {rest[at : at + 2].hex()}")
            size, start = second & 0x7F, at + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                size, start = int.from_bytes(rest[start : start + wide], "big"), start + wide
            end = start + 4 + size
            if len(rest) < end:
                break
            yield first & 0x0F, _unmasked(rest[start : start + 4], rest[start + 4 : end])
            at = end
        self._rest = rest[at:]


def without_last(data: bytes, count: int) -> bytes | None:
    """A client's whole frames without the last `count` of text; None: they are not so many, or
    not whole."""
    at, ends = 0, []
    while len(data) - at >= MASKED_HEADER_SIZE:
        size, start = data[at + 1] & 0x7F, at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if data[at] & 0x0F == TEXT:
            ends.append(at)
        at = start + 4 + size
    if at != len(data) or len(ends) < count:
        return None
    return data[: ends[-count]]


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    keys = (mask * (size // 4 + 1))[:size]
    word = int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")
    return word.to_bytes(size, "little")
