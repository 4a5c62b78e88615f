"""The process that started the engine: JSON lines to it, one document and `stop` from it.

Standard input holds one line of JSON {"config", "credentials": {account: [key, secret]}} and then
stays open; its end or a line `stop` asks for the ordered shutdown. Keys come this way because
arguments, environment and files can be read by others. Standard output takes JSON lines, and never
holds the engine up: a line that a full pipe does not take is dropped.
"""

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import Callable
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError

LINE_BYTES_MAX = 4096  # PIPE_BUF: up to here a line is written whole or not at all
TEXT_CHARS, TEXT_CHARS_MIN = 2_000, 100  # of one that is cut; JSON may need six bytes a character
DOCUMENT_BYTES_MAX = 16 << 20  # a thousand instruments, three KB each, and room
DOCUMENT_DEADLINE_S = 30.0
KEYS = {"config", "credentials"}
# Steps of the start-up that a parent goes by.
STEP_LOOKED_BACK = "run before this one read"  # and the run's name behind it
STEP_BUILT = "core and journal ready"  # nothing was sent before it


class Output:
    """JSON lines on standard output."""

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self.is_broken = False  # nobody reads any more
        self.dropped = 0
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, False)

    def emit(self, event: str, **fields: Any) -> None:
        line = _whole_line({"event": event, **fields})
        try:
            os.write(self._fd, line)
        except BlockingIOError:
            self.dropped += 1
        except OSError:
            self.is_broken = True


def _whole_line(told: dict[str, Any]) -> bytes:
    """With its long texts cut where it would be too long: of half an object nobody could tell that
    it is an error, or a divergence."""
    line, chars = json.dumps(told, default=str).encode() + b"\n", TEXT_CHARS
    while len(line) > LINE_BYTES_MAX:
        if chars < TEXT_CHARS_MIN:  # no text is to blame
            told = {name: value for name, value in told.items() if isinstance(value, str | int)}
        told = {name: _cut(value, chars) for name, value in told.items()}
        line, chars = json.dumps(told, default=str).encode() + b"\n", chars // 2
    return line


def _cut(value: Any, chars: int) -> Any:
    is_long = isinstance(value, str) and len(value) > chars
    return f"{value[:chars]}..." if is_long else value


class Input:
    """The document on standard input, and what comes after it."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._rest = b""

    async def document(self) -> dict[str, Any]:
        """The first line, parsed; TickmakerError if it is not what it should be."""
        try:
            async with asyncio.timeout(DOCUMENT_DEADLINE_S):
                data = await self._first_line()
        except TimeoutError:
            raise _bad(f"none came within {DOCUMENT_DEADLINE_S:g} s") from None
        line, _, self._rest = data.partition(b"\n")
        try:
            document = json.loads(line)
        except ValueError:
            raise _bad("it is no JSON") from None
        if not isinstance(document, dict) or set(document) != KEYS:
            raise _bad(f"Expected the keys {', '.join(sorted(KEYS))} and no others")
        if not isinstance(document["config"], dict):
            raise _bad("Expected config to be an object")
        if not _are_credentials(document["credentials"]):
            raise _bad("Expected credentials to be {account: [key, secret]}")
        return document

    async def _first_line(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        data = b""
        loop.add_reader(self._fd, readable.set)
        try:
            while b"\n" not in data and len(data) < DOCUMENT_BYTES_MAX:
                await readable.wait()
                readable.clear()
                chunk = os.read(self._fd, 65536)
                if not chunk:
                    break
                data += chunk
        finally:
            loop.remove_reader(self._fd)
        return data

    def watch(self, on_stop: Callable[[], None],
              on_orphan: Callable[[], None] | None = None) -> None:  # fmt: skip
        """Call `on_stop` at a line `stop`, `on_orphan` (None: the same) at the end without one;
        once."""
        loop = asyncio.get_running_loop()

        def on_readable() -> None:
            chunk = os.read(self._fd, 4096)
            self._rest += chunk
            *lines, self._rest = self._rest.split(b"\n")
            is_told = any(line.strip() == b"stop" for line in lines)
            if is_told or not chunk:
                loop.remove_reader(self._fd)
                (on_stop if is_told or on_orphan is None else on_orphan)()

        loop.add_reader(self._fd, on_readable)


def _are_credentials(told: Any) -> bool:
    return isinstance(told, dict) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in told.values()
    )


def _bad(why: str) -> TickmakerError:
    return TickmakerError(
        f"the document on standard input can't be used: {why}",
        'write one line of JSON: {"config": {...}, "credentials": {account: [key, secret]}}',
        EXIT_USAGE,
    )
