"""Check a tape against itself: the rebuilt book's touch against the venue's own bookTicker.

The book is rebuilt from the in-stream snapshot and the diffs by the venue's rule (fastcore/sync).
At each depth update id its best bid and ask, price and quantity, must equal the bookTicker with
the greatest id not above it, wherever in the file that ticker stands: tickers and depth come
over separate streams and overtake each other.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import TickmakerError
from engine.tape.format import Columns, Tape, is_tape
from engine.tape.importer import import_files
from fastcore.core_config import SYNC_RULES
from fastcore.rebuild import Rebuild
from fastcore.rows import COLUMNS, RowFlag, RowKind
from fastcore.types import Side, SyncRule

MISMATCHES_SHOWN = 5

_INDEX = {name: index for index, name in enumerate(COLUMNS)}
Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Gathered:
    """Small arrays taken out of the batches as they pass."""

    touches: list[Int64s] = field(default_factory=list)  # (n, 5), rebuild.TOUCH_FIELDS
    tickers: list[Int64s] = field(default_factory=list)  # (n, 5), the same fields
    chain: list[Int64s] = field(default_factory=list)  # (n, 3) U, u, pu of depth messages
    levels: int = 0


def verify_tape(
    path: Path,
    progress: Callable[[float], None] | None = None,
    *,
    symbol: str | None = None,
    tick: str | None = None,
    lot: str | None = None,
) -> dict[str, Any]:
    """Rebuild and compare; a JSON-able dict. A raw capture is imported to a temporary tape first.

    `bbo_match` is the fraction of `bbo_checks` that agree; without a bookTicker to compare with
    it is None, and `note` says that nothing was proved.
    Raises TickmakerError when no book can be built at all: not a tape, cut, no snapshot, or a
    snapshot that joins no diff.
    """
    if is_tape(path):
        return _verify(Tape(path), progress)
    with tempfile.TemporaryDirectory(prefix="tickmaker-") as folder:
        out = Path(folder) / "verify.tape.arrow"
        import_files([path], out, symbol=symbol, tick=tick, lot=lot, progress=progress)
        return _verify(Tape(out), None)


def _verify(tape: Tape, progress: Callable[[float], None] | None) -> dict[str, Any]:
    rebuild = Rebuild(SYNC_RULES[tape.meta.venue])
    gathered = _Gathered()
    for index, columns in enumerate(tape.batches()):
        _take(tape, rebuild, gathered, index, columns)
        if progress is not None:
            progress((index + 1) / tape.batch_count)
    if rebuild.anchor_update_id < 0:
        raise _no_book(tape, rebuild)
    gaps = max(rebuild.sync.gaps, _chain_breaks(gathered.chain, rebuild, tape.meta.venue))
    meta = tape.meta
    return {
        "messages": meta.messages,
        "span_s": meta.span_s,
        "update_id_gaps": gaps,
        "crossed": rebuild.sync.crossed,
        **_compare(gathered, tape.meta.venue),
        "clock_offset_ms": meta.clock_offset_ms,
        "venue": meta.venue,
        "symbol": meta.symbol,
        "tick": meta.tick,
        "lot": meta.lot,
        "rows": meta.rows,
        "levels": gathered.levels,
        "depth_applied": rebuild.applied,
        "depth_stale": rebuild.sync.stale_drops,
        "depth_rejected": rebuild.sync.rejected,
        "backward_stamps": meta.backward_stamps,
        "ignored": meta.ignored,
        "sources": meta.sources,
    }


def _take(tape: Tape, rebuild: Rebuild, gathered: _Gathered, batch: int, columns: Columns) -> None:
    kind = columns[_INDEX["kind"]]
    depth = kind == RowKind.LEVEL
    last = (columns[_INDEX["flags"]] & RowFlag.LAST) != 0
    gathered.levels += int(np.count_nonzero(depth | (kind == RowKind.SNAPSHOT)))
    touches = np.empty((int(np.count_nonzero(last)) + 1, 5), np.int64)
    try:
        count = rebuild.run(columns, touches)
    except ValueError as error:
        raise tape.broken_rows(batch, int(error.args[0])) from None
    gathered.touches.append(touches[:count])
    chain = ("first_update_id", "final_update_id", "prev_update_id")
    ends = depth & last
    gathered.chain.append(np.stack([columns[_INDEX[name]][ends] for name in chain], axis=1))
    side = columns[_INDEX["side"]]
    bid = (kind == RowKind.BEST) & (side == Side.BUY)
    ask = (kind == RowKind.BEST) & (side == Side.SELL)
    px, qty = columns[_INDEX["px_ticks"]], columns[_INDEX["qty_lots"]]
    update_id = columns[_INDEX["final_update_id"]]
    gathered.tickers.append(
        np.stack([update_id[bid], px[bid], qty[bid], px[ask], qty[ask]], axis=1)
    )


def _no_book(tape: Tape, rebuild: Rebuild) -> TickmakerError:
    if not tape.meta.messages.get("snapshot"):
        return TickmakerError(
            f"{tape.path}: holds no snapshot to build a book from",
            "capture GET /depth?limit=1000 in-stream and import again",
        )
    if not tape.meta.messages.get("depth"):
        return TickmakerError(
            f"{tape.path}: holds no depth messages", "capture the depth stream and import again"
        )
    return TickmakerError(
        f"{tape.path}: its snapshot joins none of its depth messages "
        f"({rebuild.sync.stale_drops} are older; {rebuild.sync.gaps} gaps before it)",
        "take the snapshot after the depth stream has started, and import again",
    )


def _chain_breaks(chain: list[Int64s], rebuild: Rebuild, venue: str) -> int:
    """Depth messages after the anchor that do not follow on the one before.

    The book stops at the first break; this walks on, so that every break is counted.
    """
    if SYNC_RULES[venue] not in (SyncRule.FUTURES, SyncRule.SPOT):
        return rebuild.sync.gaps  # its stream holds snapshots of its own: a jump may be sound
    first, final, previous = np.concatenate(chain).T
    held = final >= rebuild.anchor_update_id
    first, final, previous = first[held], final[held], previous[held]
    if SYNC_RULES[venue] is SyncRule.SPOT:
        return int(np.count_nonzero(first[1:] != final[:-1] + 1))
    return int(np.count_nonzero(previous[1:] != final[:-1]))


def _compare(gathered: _Gathered, venue: str) -> dict[str, Any]:
    """The oracle: touch after each depth message against the latest ticker not after it."""
    if SYNC_RULES[venue] is SyncRule.BYBIT:
        # Its best price is numbered by `seq`, its depth by `u`, and a tape keeps one of the two.
        return _nothing_compared("best price and depth of this venue have ids of their own")
    touches = np.concatenate(gathered.touches)
    tickers = np.concatenate(gathered.tickers)
    tickers = tickers[np.argsort(tickers[:, 0], kind="stable")]
    at = np.searchsorted(tickers[:, 0], touches[:, 0], side="right") - 1
    touches, at = touches[at >= 0], at[at >= 0]
    if not len(touches):
        return _nothing_compared("no bookTicker in this tape")
    witness = tickers[at]
    equal = (touches[:, 1:] == witness[:, 1:]).all(axis=1)
    wrong = np.flatnonzero(~equal)
    # Furthest apart in price first: one lot of quantity is a late ticker, a price is a wrong book.
    apart = np.abs(touches[wrong][:, (1, 3)] - witness[wrong][:, (1, 3)]).max(axis=1, initial=0)
    worst = wrong[np.argsort(-apart, kind="stable")][:MISMATCHES_SHOWN]
    return {
        "bbo_checks": len(touches),
        "bbo_match": float(np.count_nonzero(equal) / len(touches)),
        "mismatches": [
            {
                "update_id": int(touches[row, 0]),
                "ticker_update_id": int(witness[row, 0]),
                "book": [int(value) for value in touches[row, 1:]],
                "ticker": [int(value) for value in witness[row, 1:]],
            }
            for row in worst
        ],
    }


def _nothing_compared(why: str) -> dict[str, Any]:
    note = f"{why}: best bid and ask could not be checked"
    return {"bbo_checks": 0, "bbo_match": None, "mismatches": [], "note": note}
