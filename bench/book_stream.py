"""The update stream of the book bench: one capture's snapshot and diffs as rows of integers.

Every contestant gets the same file: an .npy of int64 rows (message, side, px_ticks, qty_lots),
message 0 being the snapshot, side 0 a bid and 1 an ask, quantity 0 a delete.
"""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import TickmakerError
from engine.tape.format import Tape, is_tape
from engine.tape.importer import import_files
from fastcore.rows import COLUMNS, RowFlag, RowKind

Rows = npt.NDArray[np.int64]


def load(path: Path) -> Rows:
    """Rows of a raw capture or a tape. TickmakerError where no book can be built from it."""
    if is_tape(path):
        return _rows(Tape(path))
    with tempfile.TemporaryDirectory(prefix="tickmaker-") as folder:
        out = Path(folder) / "book.tape.arrow"
        import_files([path], out)
        return _rows(Tape(out))


def _rows(tape: Tape) -> Rows:
    """The first snapshot, then every diff that is newer."""
    names = ("kind", "flags", "final_update_id", "side", "px_ticks", "qty_lots")
    index = [COLUMNS.index(name) for name in names]
    batches = [[columns[i].astype(np.int64) for i in index] for columns in tape.batches()]
    kind, flags, update_id, side, px, qty = (
        np.concatenate(parts) for parts in zip(*batches, strict=True)
    )
    message = np.cumsum(np.concatenate([[0], (flags & RowFlag.LAST)[:-1] != 0]))
    snapshots = message[kind == RowKind.SNAPSHOT]
    if not len(snapshots):
        raise TickmakerError(
            f"{tape.path}: holds no snapshot to build a book from",
            "give a capture with a snapshot and depth",
        )
    start = message == snapshots[0]
    has_level = (flags & RowFlag.EMPTY) == 0
    newer = (kind == RowKind.LEVEL) & has_level & (update_id > update_id[start][0])
    kept = np.flatnonzero(start | newer)
    kept = kept[np.lexsort((kept, side[kept], message[kept], ~start[kept]))]
    numbers = np.cumsum(np.concatenate([[0], np.diff(message[kept]) != 0]))
    rows = np.stack([numbers, side[kept], px[kept], qty[kept]], axis=1)
    if rows[-1, 0] < 1:
        raise TickmakerError(
            f"{tape.path}: holds no diff newer than its snapshot",
            "give a capture that goes on after it",
        )
    return np.ascontiguousarray(rows)
