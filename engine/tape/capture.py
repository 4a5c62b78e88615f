"""Read raw venue captures: `<local stamp> {JSON frame}` a line, plain, gzip or zstandard; or the
JSON lines of a session log (engine/tape/sessions.py), which hold the same frames as strings.

    1723161255088169167 {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":51231078..

The stamp's unit is decided by its digits, line by line: 19 digits are nanoseconds, 16 are
microseconds, anything else is no capture. Compression is decided by the file's first bytes,
never by its name. Files are streamed: memory does not grow with their size.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.sessions import SESSION_HEAD, SessionLog

LINE_BYTES_MAX = 16 << 20  # the frame limit of fastcore/ws; a 1000-level snapshot has 60 KB
LINES_PER_PROGRESS = 4096
NS_DIGITS = 19
US_DIGITS = 16

FORMAT = "lines of `<local stamp> {JSON frame}`, the stamp in ns (19 digits) or us (16 digits)"

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
ARROW_MAGIC = b"ARROW1"
_FOREIGN = {
    ARROW_MAGIC: ("a tape (Arrow IPC)", "it needs no import: verify or replay it"),
    b"PAR1": ("a Parquet file", f"give a raw capture: {FORMAT}"),
    b"PK\x03\x04": ("a zip archive", "unpack it and give the files inside"),
    b"BZh": ("a bzip2 file", "recompress it with gzip or zstd"),
    b"\xfd7zXZ": ("an xz file", "recompress it with gzip or zstd"),
}

Line = tuple[int, int, bytes]  # line number from 1, recv_ts_ns, JSON frame


def first_bytes(path: Path, size: int = 8) -> bytes:
    """The file's first bytes; a TickmakerError where it can't be read or holds none."""
    try:
        with path.open("rb") as file:
            head = file.read(size)
    except IsADirectoryError:
        raise TickmakerError(f"{path}: is a folder", "give the files in it", EXIT_USAGE) from None
    except OSError as error:
        raise TickmakerError(
            f"{path}: can't be read: {error.strerror}", "check the path and its rights", EXIT_USAGE
        ) from None
    if not head:
        raise TickmakerError(f"{path}: is empty", f"give a raw capture: {FORMAT}")
    return head


def sha256_of(path: Path) -> str:
    """Hash of the file as it stands on disk (compressed bytes, if it is compressed)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_session_log(path: Path) -> bool:
    """Whether the file is a session log (or ends before that can be told)."""
    head = first_bytes(path)
    with path.open("rb") as disk:
        try:
            return _decompressed(disk, head).read(len(SESSION_HEAD)) == SESSION_HEAD
        except (EOFError, OSError, zlib.error):
            return False


def read_lines(
    path: Path, on_bytes: Callable[[int], None] | None = None, product: str = ""
) -> Iterator[Line]:
    """Yield (line number, recv_ts_ns, frame) in file order; blank lines are skipped.

    `on_bytes` is told now and then how many bytes of the file on disk have been read. `product`
    takes only the connections of a session log whose address ends so ("linear").
    Raises TickmakerError naming the file, the line and the remedy.
    """
    head = first_bytes(path)
    for magic, (kind, remedy) in _FOREIGN.items():
        if head.startswith(magic):
            raise TickmakerError(f"{path}: is {kind}, not a raw capture", remedy, EXIT_USAGE)
    with path.open("rb") as disk:
        stream = _decompressed(disk, head)
        line_number = 0
        session: SessionLog | None = None
        while True:
            try:
                line = stream.readline(LINE_BYTES_MAX + 1)
            except (EOFError, OSError, zlib.error) as error:
                raise _broken_stream(path, line_number, error) from None
            if not line:
                break
            line_number += 1
            if on_bytes is not None and line_number % LINES_PER_PROGRESS == 0:
                on_bytes(disk.tell())
            if line_number == 1 and line.startswith(SESSION_HEAD):
                session = SessionLog(product)
            if session is None:
                parsed = _parse(path, line_number, line)
            else:
                parsed = _parse_session(path, line_number, line, session)
            if parsed is not None:
                yield parsed
    if line_number == 0:
        raise TickmakerError(f"{path}: holds no lines", f"give a raw capture: {FORMAT}")


def _decompressed(disk: BinaryIO, head: bytes) -> BinaryIO:
    if head.startswith(_GZIP):
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=disk), 1 << 20))
    if head.startswith(_ZSTD):
        inflated = pa.CompressedInputStream(pa.PythonFile(disk, mode="r"), "zstd")
        return cast(BinaryIO, io.BufferedReader(inflated, 1 << 20))
    return disk


def _parse(path: Path, line_number: int, line: bytes) -> Line | None:
    stamp, _, frame = line.partition(b" ")
    if stamp.isdigit() and frame:
        if len(stamp) == NS_DIGITS:
            return line_number, int(stamp), frame
        if len(stamp) == US_DIGITS:
            return line_number, int(stamp) * 1000, frame
        raise garbled(path, line_number, line, f"its stamp has {len(stamp)} digits, not 19 or 16")
    if not line.strip():
        return None
    if line_number == 1:
        kind = "a JSON-lines session log" if line.startswith(b'{"t":') else "not a raw capture"
        raise TickmakerError(
            f"{path}: is {kind}; line 1 starts {_shown(line)}",
            f"give a raw capture: {FORMAT}",
            EXIT_USAGE,
        )
    raise garbled(path, line_number, line, "it does not start with a local stamp")


def _parse_session(path: Path, line_number: int, line: bytes, session: SessionLog) -> Line | None:
    try:
        record = session.read(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise garbled(path, line_number, line, f"no record of a session log: {error}") from None
    return None if record is None else (line_number, *record)


def garbled(path: Path, line_number: int, line: bytes, why: str) -> TickmakerError:
    """The error for a line that can't be used; shows its first bytes, printable."""
    if not line.endswith(b"\n"):
        why += "; the file ends within this line: it was cut"
    return TickmakerError(
        f"{path}, line {line_number}: garbled: {why}; it starts {_shown(line)}",
        "the capture is damaged here: fetch it again, or cut the file before this line",
    )


def _shown(line: bytes) -> str:
    return ascii(line[:48].decode("latin-1"))


def _broken_stream(path: Path, line_number: int, error: Exception) -> TickmakerError:
    text = str(error)
    cut = isinstance(error, EOFError) or "runcated" in text or "end-of-stream" in text
    why = "the compressed data ends too early: it was cut" if cut else f"damaged: {text}"
    return TickmakerError(
        f"{path}, after line {line_number}: {why}",
        "fetch the file again; `gzip -t` or `zstd -t` tells whether it is whole",
    )


class Source:
    """Captures in sequence (a day roll), read `passes` times, with one progress over all."""

    def __init__(
        self, files: list[Path], progress: Callable[[float], None] | None, passes: int
    ) -> None:
        self.files = files
        self.path = files[0]  # the file being read
        self.product = ""  # of a session log: only connections whose address ends so
        self._progress = progress
        self._passes = passes
        for file in files:
            first_bytes(file)  # every file is there and holds something, before any work
        self._sizes = {file: file.stat().st_size for file in files}
        self._bytes_done = 0

    @property
    def name(self) -> str:
        """For messages about all of it."""
        more = len(self.files) - 1
        return str(self.files[0]) + (f" and {more} more" if more else "")

    def restart(self, pass_index: int) -> None:
        """Begin pass `pass_index` (from 0)."""
        self._bytes_done = pass_index * sum(self._sizes.values())

    def lines(self) -> Iterator[Line]:
        """All lines of one pass. Raises for files that follow each other in the wrong order."""
        last_ts_ns = -1
        for file in self.files:
            self.path = file
            first_ts_ns = -1
            recv_ts_ns = -1
            for line in read_lines(file, self._on_bytes, self.product):
                recv_ts_ns = line[1]
                if first_ts_ns < 0:
                    first_ts_ns = recv_ts_ns
                yield line
            self._bytes_done += self._sizes[file]
            if 0 <= recv_ts_ns < last_ts_ns and first_ts_ns < last_ts_ns:
                raise TickmakerError(
                    f"{file}: lies before the file given ahead of it",
                    "give the captures in the order of time",
                    EXIT_USAGE,
                )
            last_ts_ns = recv_ts_ns

    def _on_bytes(self, count: int) -> None:
        if self._progress is not None:
            total = max(self._passes * sum(self._sizes.values()), 1)
            self._progress(min((self._bytes_done + count) / total, 1.0))
