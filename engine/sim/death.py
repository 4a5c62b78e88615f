"""What SIGKILL leaves of an engine: files as its last store left them, and nothing else.

Pages of a mapped journal belong to the kernel, so what the engine had stored is there, in the
order of its stores (fastcore/journal.pyx): a record that was being written lacks its first word,
and maybe more of its end. A kill falls between any two of these:

    the input | what the core made of it, the order's message at last | send | the send's record
"""

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from engine.recorder.segments import RECORD_HEADER_SIZE, record_size, used_size
from fastcore.journal import END_OF_SEGMENT, HEADER_SIZE, INPUT_LAST, KIND, read_segment

Saved = dict[Path, tuple[bytes, int]]  # (bytes, size of the file)


class Mark(NamedTuple):
    """A record of a journal."""

    path: Path
    at: int
    end: int
    kind: int
    seq: int


def saved(folders: Sequence[Path]) -> Saved:
    """Every file as it is now."""
    found: Saved = {}
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            size = len(data)
            if path.suffix == ".jnl":
                data = b"" if data[:1] in (b"", b"\0") else data[: used_size(data)]
            found[path] = data, size
    return found


def restore(folders: Sequence[Path], files: Saved) -> None:
    """Undo whatever has been written since."""
    for folder in folders:
        for path in [path for path in folder.rglob("*") if not path.is_dir()]:
            if path not in files:
                path.unlink()
    for path, (data, size) in files.items():
        if path.suffix == ".lock":
            continue
        fresh = path.with_name(path.name + ".fresh")
        with fresh.open("wb") as file:
            file.write(data)
            file.truncate(max(size, len(data)))
        os.replace(fresh, path)


def marks_of(files: Saved) -> list[Mark]:
    """The records of each journal's last segment, in the order in which they were written."""
    last: dict[Path, Path] = {}
    for path, (data, _) in files.items():
        if path.suffix == ".jnl" and data:
            last[path.parent] = max(path, last.get(path.parent, path))
    found = []
    for path in last.values():
        for at, kind, _, seq, _, _, payload in read_segment(files[path][0]):
            if kind != END_OF_SEGMENT:
                found.append(Mark(path, at, at + record_size(len(payload)), kind, seq))
    return sorted(found, key=lambda mark: mark.seq)


def last_sends(marks: Sequence[Mark]) -> tuple[int, int, int]:
    """(sequence number behind the last input, that of its first send's record, how many messages
    it sent); three zeros where the last thing written is no send of the last input."""
    if not marks or marks[-1].kind != KIND["SEND"]:
        return 0, 0, 0
    sends, first_send, at = 0, 0, len(marks) - 1
    while at >= 0 and (marks[at].kind == KIND["SEND"] or marks[at].kind > INPUT_LAST):
        if marks[at].kind == KIND["SEND"]:
            sends, first_send = sends + 1, marks[at].seq
        at -= 1
    if at < 0:
        return 0, 0, 0
    return marks[at].seq + 1, first_send, sends


def cut(files: Saved, marks: Sequence[Mark], from_seq: int) -> bool:
    """The records from `from_seq` on were never written; False: they begin in a segment before,
    and nothing is changed."""
    gone = [mark for mark in marks if mark.seq >= from_seq]
    starts: dict[Path, int] = {}
    for mark in gone:
        starts[mark.path] = min(mark.at, starts.get(mark.path, mark.at))
    if any(at == HEADER_SIZE for at in starts.values()):
        return False
    for path, at in starts.items():
        data, size = files[path]
        files[path] = data[:at], size
    return True


def tear(files: Saved, marks: Sequence[Mark], whole: Saved, from_seq: int, dice: Random) -> None:
    """One record more was being written: of those that were cut away, or like the last one."""
    like = next((mark for mark in marks if mark.seq == from_seq), marks[-1] if marks else None)
    if like is None:
        return
    record = whole[like.path][0][like.at : like.end]
    header, payload = record[:RECORD_HEADER_SIZE], record[RECORD_HEADER_SIZE:]
    stored = dice.randint(0, len(payload))
    head = bytes(RECORD_HEADER_SIZE)
    if stored == len(payload) and dice.random() < 0.5:
        count = dice.randrange(8, RECORD_HEADER_SIZE + 1)
        head = bytes(8) + header[8:count] + bytes(RECORD_HEADER_SIZE - count)
    data, size = files[like.path]
    files[like.path] = data + head + payload[:stored], size
