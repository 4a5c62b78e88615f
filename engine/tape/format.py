"""The tape: `.tape.arrow`, an Arrow IPC file of rows (fastcore/rows), memory-mapped to read.

A file holds record batches of whole messages, at most BATCH_ROWS rows each, uncompressed, so a
column of a batch is an array in the page cache and nothing is copied to read it. What the tape
is (venue, symbol, tick, lot, sources and their hashes) stands in the schema's metadata. It is
written under a temporary name and renamed when it is whole; each batch carries a CRC-32 of its
columns and the metadata the number of rows, so a cut or damaged file is refused, never read as
a wrong book. pandas, polars, DuckDB and pyarrow open it as it is.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.capture import ARROW_MAGIC, first_bytes
from fastcore import rows
from fastcore.core_config import SYNC_RULES

FORMAT_VERSION = 1
BATCH_ROWS = 65536  # two largest messages; 4 MB: a batch stays in the L2/L3 cache
META_KEY = b"tickmaker_tape"
CRC_KEY = b"crc32"


SCHEMA = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in rows.COLUMNS_INT64]
    + [pa.field(name, pa.int8(), nullable=False) for name in rows.COLUMNS_INT8]
)

Columns = tuple[npt.NDArray[Any], ...]  # 11 arrays in the order of rows.COLUMNS


@dataclass(frozen=True, slots=True)
class TapeMeta:
    """What a tape says of itself; JSON in the file's schema metadata under META_KEY."""

    venue: str
    symbol: str
    tick: str  # decimal text: px = px_ticks * tick
    lot: str  # decimal text: qty = qty_lots * lot
    rows: int
    messages: dict[str, int]  # depth, best, trade, snapshot, total
    span_s: float  # last minus first local stamp
    clock_offset_ms: float | None  # median of exch_ts - recv_ts; None: the venue sends no time
    sources: list[dict[str, str]] = field(default_factory=list)  # name, sha256
    backward_stamps: int = 0  # local stamps smaller than the one before: kept as they came
    ignored: dict[str, int] = field(default_factory=dict)  # frames without rows, by reason
    format_version: int = FORMAT_VERSION
    tickmaker_version: str = ""


def software_version() -> str:
    try:
        return version("tickmaker")
    except PackageNotFoundError:
        return "source"


def new_columns(count: int) -> Columns:
    """Writable arrays for one batch, in the order of rows.COLUMNS."""
    return (
        *(np.empty(count, np.int64) for _ in rows.COLUMNS_INT64),
        *(np.empty(count, np.int8) for _ in rows.COLUMNS_INT8),
    )


def _crc32(columns: Columns) -> int:
    crc = 0
    for column in columns:
        crc = zlib.crc32(column.data, crc)
    return crc


class TapeWriter:
    """Writes a tape to `out` in a `with` block; an exception inside leaves nothing behind."""

    def __init__(self, out: Path, meta: TapeMeta) -> None:
        self.out = out
        self.rows = 0
        self.meta = meta
        self._partial = out.with_name(f".{out.name}.{os.getpid()}.partial")

    def __enter__(self) -> Self:
        text = json.dumps(asdict(self.meta), sort_keys=True)
        schema = SCHEMA.with_metadata({META_KEY: text.encode()})
        try:
            self._sink = pa.OSFile(str(self._partial), "wb")
        except OSError as error:
            raise _unwritable(self.out, error) from None
        self._writer = pa.ipc.new_file(self._sink, schema)
        return self

    def write(self, columns: Columns) -> None:
        """Append one batch: whole messages, at most BATCH_ROWS rows. The arrays are not kept."""
        batch = pa.record_batch([pa.array(column) for column in columns], schema=SCHEMA)
        try:
            self._writer.write_batch(batch, custom_metadata={CRC_KEY: str(_crc32(columns))})
        except OSError as error:
            raise _unwritable(self.out, error) from None
        self.rows += batch.num_rows

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
            self._sink.close()
            if kind is None:
                if self.rows != self.meta.rows:
                    raise TickmakerError(
                        f"{self.out}: {self.rows} rows written, {self.meta.rows} announced",
                        "the source changed while it was read: import it again",
                    )
                with self._partial.open("rb") as file:
                    os.fsync(file.fileno())
                self._partial.replace(self.out)
        except OSError as disk_error:
            raise _unwritable(self.out, disk_error) from None
        finally:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)


def _unwritable(out: Path, error: OSError) -> TickmakerError:
    return TickmakerError(
        f"{out}: can't be written: {error.strerror or error}",
        "check that its folder exists, is writable and has room",
    )


def is_tape(path: Path) -> bool:
    """Whether the file starts like an Arrow IPC file (whole or not)."""
    return first_bytes(path).startswith(ARROW_MAGIC)


class Tape:
    """An open tape. `batches()` yields arrays that live in the memory map of the file."""

    def __init__(self, path: Path) -> None:
        """Raises TickmakerError for a file that is no tape, cut, or of a later format."""
        self.path = path
        if not is_tape(path):
            raise TickmakerError(
                f"{path}: is not a tape (.tape.arrow)",
                "make one of a raw capture: tickmaker tape import FILE -o OUT",
                EXIT_USAGE,
            )
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        except (pa.ArrowException, OSError) as error:
            raise self._broken(f"can't be opened: {_first_line(error)}") from None
        self.meta = self._read_meta()
        self.batch_count = self._file.num_record_batches

    def _read_meta(self) -> TapeMeta:
        metadata = self._file.schema.metadata or {}
        if META_KEY not in metadata or not self._file.schema.equals(SCHEMA):
            raise TickmakerError(
                f"{self.path}: is an Arrow file, but no tape",
                "make one of a raw capture: tickmaker tape import FILE -o OUT",
                EXIT_USAGE,
            )
        try:
            fields = json.loads(metadata[META_KEY])
            if fields["format_version"] != FORMAT_VERSION:
                raise TickmakerError(
                    f"{self.path}: has tape format {fields['format_version']}, "
                    f"this program reads {FORMAT_VERSION}",
                    "import the capture again",
                )
            if fields["venue"] not in SYNC_RULES:
                raise ValueError(f"no venue {fields['venue']!r} is known")
            return TapeMeta(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise self._broken(f"its metadata can't be read: {_first_line(error)}") from None

    def batches(self) -> Iterator[Columns]:
        """Read-only arrays of each batch, in the order of rows.COLUMNS, checked as they come."""
        count = 0
        for index in range(self.batch_count):
            try:
                batch, custom = self._file.get_batch_with_custom_metadata(index)
                columns = tuple(column.to_numpy() for column in batch.columns)
                crc = int(custom[CRC_KEY]) if custom is not None and CRC_KEY in custom else -1
            except (pa.ArrowException, OSError, ValueError) as error:
                raise self._broken(f"batch {index}: {_first_line(error)}") from None
            if crc != _crc32(columns):
                raise self._broken(f"batch {index}: its checksum does not match its rows")
            count += batch.num_rows
            yield columns
        if count != self.meta.rows:
            raise self._broken(f"holds {count} rows, its metadata says {self.meta.rows}")

    def columns(self) -> Columns:
        """The whole tape as 11 arrays (a copy, if it has more than one batch)."""
        parts = list(self.batches())
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return new_columns(0)
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def broken_rows(self, batch: int, row: int) -> TickmakerError:
        """The error for rows that are no whole message."""
        return self._broken(f"batch {batch}, row {row}: not a whole message")

    def _broken(self, why: str) -> TickmakerError:
        return TickmakerError(
            f"{self.path}: broken tape: {why}",
            "the file was cut or damaged: import the capture again",
        )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
