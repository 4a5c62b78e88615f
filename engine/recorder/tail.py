"""Follow a journal while it is written: whole records, in order, each checked, none twice.

A segment is mapped once and read in place; a poll that finds nothing costs one look at eight
bytes. Every record's checksum is verified, and its seq must be above the last one's: the journals
of a run are numbered in one row, so that a journal alone may leave numbers out. The position
(segment, offset, next seq) is all there is to resume from.
"""

import contextlib
import mmap
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.errors import TickmakerError
from engine.recorder.segments import (
    END_MARK_SIZE,
    record_size,
    segment_path,
)
from fastcore.journal import (
    END_OF_SEGMENT,
    HEADER_SIZE,
    JournalError,
    read_segment,
    segment_header,
)

_FIRST_WORD = struct.Struct("<IHH")  # payload_size, kind, arg
_ZEROS = bytes(1 << 16)
_NOT_ZERO = re.compile(rb"[^\0]")
_new = tuple.__new__  # half the time of a NamedTuple's own


class Position(NamedTuple):
    """Where the next record will stand; its seq is `next_seq` or above."""

    segment: int = 0
    offset: int = HEADER_SIZE
    next_seq: int = 0


class Record(NamedTuple):
    """One record. `payload` is borrowed: a view into the map, good until the next poll."""

    kind: int
    arg: int
    seq: int
    now_ns: int
    recv_ts_ns: int
    payload: memoryview


class JournalTail:
    """Reads `directory`/NNNNNN.jnl from `position` on; `poll` as often as one likes."""

    def __init__(self, directory: Path, position: Position | None = None) -> None:
        self.directory = directory
        # Its parts, because it moves with every record.
        self._segment, self._offset, self._next_seq = position or Position()
        self._last_offset, self._last_seq = self._offset, self._next_seq
        self.wall_minus_monotonic_ns = 0
        self._map: mmap.mmap | None = None

    @property
    def position(self) -> Position:
        """Where the next record will stand, or the next segment begin."""
        return Position(self._segment, self._offset, self._next_seq)

    @property
    def last(self) -> Position:
        """Where the record stands that was yielded last."""
        return Position(self._segment, self._last_offset, self._last_seq)

    def poll(self, count_max: int = 5000) -> Iterator[Record]:
        """Whole records that are there now, at most `count_max`; `position` moves as they come.

        Raises TickmakerError at a damaged record, naming segment, offset and seq; everything
        before it has been yielded.
        """
        count = 0
        while count < count_max:
            if self._map is None and not self._open():
                return
            assert self._map is not None
            suspect = -1
            while True:
                try:
                    for record in self._records(self._map):
                        yield record
                        count += 1
                        if count >= count_max:
                            return
                    break
                except JournalError as error:
                    # A record may be published between two loads of its first word: look again.
                    if suspect == self._next_seq:
                        raise self._damaged(str(error)) from error
                    suspect = self._next_seq
            if not self._at_end_mark(self._map):
                return
            self._leave()

    def check_end(self) -> None:
        """After the last poll of a journal whose writer is gone: did it end, or was it broken?

        A byte flipped in a record's first word can make it look unwritten. If a whole record
        stands behind the supposed end, or the segment that should follow is not there, the
        journal is damaged: TickmakerError.
        """
        path = segment_path(self.directory, self.position.segment)
        if self._map is None:
            follows = self.position.segment > 0 or any(self.directory.glob("*.jnl"))
            if follows and not path.exists():
                raise TickmakerError(
                    f"journal segment {path} is missing; others say that it was there",
                    "restore it from a copy; the ledger is complete up to "
                    f"record {self.position.next_seq - 1}",
                )
            return
        # Zeros, as a rule. A torn record (a kill between its bytes and its first word) is not.
        offset = self.position.offset
        while (offset := _not_zero(self._map, offset)) >= 0:
            if offset > self.position.offset and _is_whole(self._map, offset, self.position):
                raise self._damaged("record looks unwritten, and another one follows it")
            offset += 8
        if _is_begun(segment_path(self.directory, self.position.segment + 1)):
            raise self._damaged("record looks unwritten, and another segment follows")

    def close(self) -> None:
        if self._map is not None:
            # A caller may still hold a payload; then the map goes with the last of them.
            with contextlib.suppress(BufferError):
                self._map.close()
            self._map = None

    def _open(self) -> bool:
        """Map the current segment; False while it is not there or its header is not written."""
        path = segment_path(self.directory, self.position.segment)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TickmakerError(
                f"cannot read {path}: {error.strerror}", "check the run folder's permissions"
            ) from error
        try:
            if os.fstat(fd).st_size < HEADER_SIZE:
                return False
            segment = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        if segment[:1] == b"\0":
            segment.close()
            return False
        self._check_header(path, segment)
        self._map = segment
        return True

    def _check_header(self, path: Path, segment: mmap.mmap) -> None:
        try:
            index, first_seq, offset_ns = segment_header(segment[:HEADER_SIZE])
        except JournalError as error:
            raise TickmakerError(
                f"{path} is not a journal segment: {error}", "name a run folder of tickmaker"
            ) from error
        expected_seq = self.position.next_seq
        is_start = self.position.offset == HEADER_SIZE
        if index != self.position.segment or (is_start and first_seq < expected_seq):
            raise TickmakerError(
                f"{path} is out of its place: it says segment {index}, first record {first_seq}; "
                f"expected segment {self.position.segment}, record {expected_seq} or above",
                "the journal was renamed or mixed with another; restore it from a copy",
            )
        self.wall_minus_monotonic_ns = offset_ns

    def _records(self, segment: mmap.mmap) -> Iterator[Record]:
        whole = read_segment(memoryview(segment), self._offset)
        for at, kind, arg, seq, now_ns, recv_ts_ns, payload in whole:
            if kind == END_OF_SEGMENT:
                return
            if seq < self._next_seq:
                raise self._damaged(f"expected record {self._next_seq} or above, was {seq}")
            self._last_offset, self._last_seq = self._offset, self._next_seq
            self._offset = at + record_size(len(payload))
            self._next_seq = seq + 1
            yield _new(Record, (kind, arg, seq, now_ns, recv_ts_ns, payload))

    def _at_end_mark(self, segment: mmap.mmap) -> bool:
        offset = self._offset
        if offset + END_MARK_SIZE > len(segment):
            return False
        kind: int = _FIRST_WORD.unpack_from(segment, offset)[1]
        return kind == END_OF_SEGMENT

    def _leave(self) -> None:
        self.close()
        self._segment, self._offset = self._segment + 1, HEADER_SIZE

    def _damaged(self, detail: str) -> TickmakerError:
        path = segment_path(self.directory, self.position.segment)
        return TickmakerError(
            f"journal damaged: {path} at offset {self.position.offset}, "
            f"record {self.position.next_seq}: {detail}",
            "the ledger keeps everything before it; check the disk, then restore the segment "
            "from a copy",
        )


def _not_zero(segment: mmap.mmap, offset: int) -> int:
    """Start of the first word from `offset` on that is not zero; -1: none. The tail of a segment
    is mostly a hole of zeros, so blocks are compared before bytes are looked at."""
    while offset < len(segment):
        block = segment[offset : offset + len(_ZEROS)]
        if block != _ZEROS[: len(block)]:
            found = _NOT_ZERO.search(block)
            assert found is not None
            return (offset + found.start()) & ~7
        offset += len(block)
    return -1


def _is_begun(path: Path) -> bool:
    """A segment that was only made ready holds zeros."""
    try:
        with path.open("rb") as file:
            return file.read(1) not in (b"", b"\0")
    except OSError:
        return False


def _is_whole(segment: mmap.mmap, start: int, position: Position) -> bool:
    try:
        record = next(iter(read_segment(memoryview(segment), start)), None)
    except JournalError:
        return False
    return record is not None and record[1] != END_OF_SEGMENT and record[3] > position.next_seq
