"""The status page: one small mmap'd file through which the engine shows itself.

The engine writes, anybody may look; no lock and no system call stands between them, so a slow or
dead viewer can't hold the engine up. Layout, little endian:

    offset 0   u64  sequence   odd while a write is going on, even when the page is whole
    offset 8   u32  length     bytes of JSON
    offset 12  u32  crc32      of sequence, length and JSON
    offset 16       UTF-8 JSON

The sequence tells a reader that it raced a writer (it retries); the checksum makes a torn read
impossible to take for a whole one even where the processor reorders stores.
"""

import json
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError

STATUS_SIZE = 16384  # of one instrument: 64 working orders and 5 levels a side are about 9,000
_HEADER = struct.Struct("<QII")
_KEY = struct.Struct("<QI")
_TRIES = 200  # a write lasts some microseconds; an odd sequence for longer means a dead writer


class StatusWriter:
    """The only writer of a page. `write` costs one JSON encoding and one copy, no system call."""

    def __init__(self, path: Path, size_bytes: int = STATUS_SIZE) -> None:
        self.path = path
        size_bytes = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.json_bytes_max = size_bytes - _HEADER.size
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                # Blocks for all of it now: a page without one, on a disk that is full by then, is
                # a SIGBUS for whoever writes to it.
                os.posix_fallocate(fd, 0, size_bytes)
                self._page = mmap.mmap(fd, size_bytes, flags=mmap.MAP_SHARED)
            finally:
                os.close(fd)
        except OSError as error:
            raise TickmakerError(
                f"cannot create the status page {path}: {error.strerror}",
                "check that the run folder exists, is writable and has free space",
            ) from error
        self._words = memoryview(self._page).cast("Q")
        self._sequence = 0

    def write(self, status: dict[str, Any]) -> bool:
        """Publish `status`. False, and the old page stays, if it does not fit the page."""
        return self.write_text(json.dumps(status, separators=(",", ":"), default=str).encode())

    def write_text(self, text: bytes) -> bool:
        """The same of JSON that is made already."""
        if len(text) > self.json_bytes_max:
            return False
        even = self._sequence + 2
        crc = zlib.crc32(text, zlib.crc32(_KEY.pack(even, len(text))))
        self._words[0] = even - 1
        self._page[8 : _HEADER.size + len(text)] = struct.pack("<II", len(text), crc) + text
        self._words[0] = even
        self._sequence = even
        return True

    def close(self) -> None:
        """Unmap; the file stays, so that a viewer sees the last state."""
        if not self._page.closed:
            self._words.release()
            self._page.close()


class StatusReader:
    """Any number of readers; each `read` is a fresh, whole status or None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._page: mmap.mmap | None = None

    def read(self) -> dict[str, Any] | None:
        """The last whole status; None while there is none (no file yet, or nothing written)."""
        page = self._page or self._open()
        if page is None:
            return None
        for _ in range(_TRIES):
            text = self._try_copy(page)
            if text is not None:
                status: dict[str, Any] = json.loads(text) if text else {}
                return status or None
            os.sched_yield()
        return None

    def close(self) -> None:
        if self._page is not None:
            self._page.close()
            self._page = None

    def _open(self) -> mmap.mmap | None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size_bytes = os.fstat(fd).st_size
            if size_bytes < _HEADER.size:  # made, and not laid out yet
                return None
            self._page = mmap.mmap(fd, size_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        return self._page

    @staticmethod
    def _try_copy(page: mmap.mmap) -> bytes | None:
        """The JSON bytes, b"" before the first write, None when a writer was in the way."""
        header = page[: _HEADER.size]
        sequence, length, crc = _HEADER.unpack(header)
        if sequence == 0:
            return b""
        if sequence & 1 or length > len(page) - _HEADER.size:
            return None
        text = page[_HEADER.size : _HEADER.size + length]
        if page[: _HEADER.size] != header:
            return None
        if zlib.crc32(text, zlib.crc32(_KEY.pack(sequence, length))) != crc:
            return None
        return text
