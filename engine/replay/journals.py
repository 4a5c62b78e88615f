"""The journals of a run, read: each core's in `run_dir/journal/<key>/NNNNNN.jnl`, and all of them
as the one row of records that they were written as."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.errors import EXIT_USAGE, TickmakerError
from fastcore.journal import END_OF_SEGMENT, NAMES, JournalError, read_segment, segment_header


class Record(NamedTuple):
    """One journal record, and where it stands."""

    segment: str
    offset: int
    kind: int
    arg: int
    seq: int
    now_ns: int
    recv_ts_ns: int
    payload: bytes

    @property
    def words(self) -> tuple[int, int, int, int, int, bytes]:
        """What a replay must reproduce."""
        return self.kind, self.arg, self.seq, self.now_ns, self.recv_ts_ns, self.payload

    def __str__(self) -> str:
        name = NAMES.get(self.kind, str(self.kind))
        return f"record {self.seq} ({name}, {self.segment} offset {self.offset})"


def journal_segments(run_dir: Path) -> dict[str, list[Path]]:
    """The files of each core's journal, in order, by the name of its folder; TickmakerError when
    there are none, or one is missing."""
    folders = sorted({path.parent for path in (run_dir / "journal").glob("*/*.jnl")})
    if not folders:
        raise TickmakerError(
            f"No journal in {run_dir}",
            "Give the folder of a run: `tickmaker demo` prints its path.",
            EXIT_USAGE,
        )
    return {folder.name: _segments(folder) for folder in folders}


def _segments(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.jnl"))
    for index, path in enumerate(paths):
        if path.name != f"{index:06d}.jnl":
            raise TickmakerError(
                f"Journal segment {index:06d}.jnl is missing in {folder}",
                "A run can only be verified whole: restore the file.",
            )
    return paths


def read_run(
    journals: dict[str, list[Path]], torn: list[str] | None = None
) -> Iterator[tuple[str, Record]]:
    """(journal, record) of all journals, in the order in which they were written; JournalError
    for damage, and for a record that is in none of them. `torn` gets a sentence for each journal
    whose last record was being written when its writer was killed."""
    rows = [_rows(key, paths, torn) for key, paths in journals.items()]
    merged = heapq.merge(*rows, key=lambda row: row[1].seq)
    for expected, (key, record) in enumerate(merged):
        if record.seq != expected:
            missing = f"record {expected} is missing" if record.seq > expected else "comes twice"
            raise JournalError(f"{record}: {missing}")
        yield key, record


def _rows(
    key: str, paths: list[Path], torn: list[str] | None
) -> Iterator[tuple[str, Record]]:
    for path in _begun(paths):
        for record in read_records(path, torn):
            yield key, record


def _begun(segments: list[Path]) -> list[Path]:
    """Without a last segment that a killed writer had made ready and not begun: all zeros."""
    with segments[-1].open("rb") as last:
        while chunk := last.read(1 << 20):
            if chunk.strip(b"\0"):
                return segments
    return segments[:-1]


def _must_go_on(path: Path) -> None:
    """A segment that says it is full has a successor."""
    successor = path.with_name(f"{int(path.stem) + 1:06d}.jnl")
    if not successor.exists():
        raise JournalError(f"{path.name} goes on in {successor.name}, which is missing")


def read_records(path: Path, torn: list[str] | None = None) -> Iterator[Record]:
    """Records of one segment; JournalError for damage. What a kill left of a record, before it
    was published, is none: `torn` gets a sentence about it."""
    data = path.read_bytes()
    name = f"{path.parent.name}/{path.name}"
    is_full = False
    last_seq = -1
    try:
        index, first_seq, _ = segment_header(data)
        if path.name != f"{index:06d}.jnl":
            raise JournalError(f"is segment {index} by its header")
        end = 64
        for offset, kind, arg, seq, now_ns, recv_ts_ns, payload in read_segment(data):
            if kind == END_OF_SEGMENT:
                end, is_full = offset + 8, True
                _must_go_on(path)
                break
            end = offset + 40 + (len(payload) + 7) // 8 * 8
            if offset == 64 and seq < first_seq:
                raise JournalError(f"offset 64: expected record {first_seq} or later, was {seq}")
            last_seq = seq
            yield Record(name, offset, kind, arg, seq, now_ns, recv_ts_ns, bytes(payload))
    except JournalError as e:
        raise JournalError(f"{name}: {e}") from None
    left = len(data[end:].rstrip(b"\0"))
    if left == 0:
        return
    if is_full or _is_any_behind(data, end, end + left, last_seq):
        raise JournalError(f"{name}: offset {end}: a record looks unwritten, and bytes follow "
                           "that are no part of it: the file is damaged")
    if torn is not None:
        torn.append(f"{name} ends in {left} bytes of a record that was being written")


def _is_any_behind(data: bytes, begin: int, end: int, last_seq: int) -> bool:
    """Whether a whole record stands in data[begin:end]: the one before it was published, then."""
    for offset in range(begin + 8, end, 8):
        if data[offset : offset + 8] != bytes(8):
            try:
                found = next(iter(read_segment(data, offset)), None)
            except JournalError:
                continue
            if found is not None and found[1] != END_OF_SEGMENT and found[3] > last_seq:
                return True
    return False
