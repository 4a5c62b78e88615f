"""Raw captures -> one tape, in three passes over the files, so that memory does not grow.

1. `identify` (engine/tape/identity.py): which symbols and venue the frames speak of.
2. `_survey`: decode on the finest grid there is; learn tick and lot (the greatest common divisor
   of every price and of every size), counts and the clock offset.
3. `_write_rows`: decode on that grid and write.
Passes 2 and 3 go through the compiled decoder, the same that the engine trades with.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EXIT_USAGE, TickmakerError
from engine.tape.capture import Line, Source, garbled, sha256_of
from engine.tape.format import (
    BATCH_ROWS,
    Columns,
    TapeMeta,
    TapeWriter,
    new_columns,
    software_version,
)
from engine.tape.identity import Identity, identify
from fastcore import rows
from fastcore.codec.binance_decode import Decoder
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.types import Code, EventKind

# (tick, lot) of the survey: int64 units of 1e-8 hold sizes up to 9.2e10; coins that trade in
# larger sizes have few decimals in them, so coarser grids are tried in turn.
FINE_GRIDS = (("0.00000001", "0.00000001"), ("0.00000001", "0.0001"), ("0.00000001", "1"))
OFFSETS_MAX = 1 << 20  # clock-offset samples kept; beyond it every other one is dropped

_NAMES: dict[int, str] = {
    EventKind.DEPTH: "depth",
    EventKind.BEST: "best",
    EventKind.TRADE: "trade",
    EventKind.SNAPSHOT: "snapshot",
}


@dataclass(slots=True)
class Survey:
    """What the first pass learnt of one symbol's messages in the files."""

    symbol: str
    venue: str
    tick: str
    lot: str
    rows: int
    messages: dict[str, int]
    ignored: dict[str, int]
    span_s: float
    clock_offset_ms: float | None
    backward_stamps: int


class _OffGridError(Exception):
    """A number is not on the surveying grid: try the next."""


def import_files(
    files: list[Path],
    out: Path,
    *,
    symbol: str | None = None,
    tick: str | None = None,
    lot: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Write the tape `out` from raw captures in the order given (a day roll is two files).

    Returns a JSON-able summary. Raises TickmakerError; then `out` is as it was before.
    """
    _check_arguments(files, out, tick, lot)
    source = Source(files, progress, passes=3)
    identity = identify(source, symbol)
    survey = _survey(source, identity, tick, lot)
    meta = TapeMeta(
        venue=survey.venue,
        symbol=survey.symbol,
        tick=survey.tick,
        lot=survey.lot,
        rows=survey.rows,
        messages=survey.messages,
        span_s=survey.span_s,
        clock_offset_ms=survey.clock_offset_ms,
        sources=[{"name": file.name, "sha256": sha256_of(file)} for file in files],
        backward_stamps=survey.backward_stamps,
        ignored=survey.ignored,
        tickmaker_version=software_version(),
    )
    with TapeWriter(out, meta) as writer:
        _write_rows(source, identity, survey, writer)
    if progress is not None:
        progress(1.0)
    return {
        "out": str(out),
        "out_bytes": out.stat().st_size,
        "venue": survey.venue,
        "symbol": survey.symbol,
        "tick": survey.tick,
        "lot": survey.lot,
        "rows": survey.rows,
        "messages": survey.messages,
        "ignored": survey.ignored,
        "span_s": survey.span_s,
        "clock_offset_ms": survey.clock_offset_ms,
        "backward_stamps": survey.backward_stamps,
        "sources": meta.sources,
    }


def _check_arguments(files: list[Path], out: Path, tick: str | None, lot: str | None) -> None:
    if not files:
        raise TickmakerError("no capture given", "name at least one file", EXIT_USAGE)
    if any(file.exists() and out.exists() and file.samefile(out) for file in files):
        raise TickmakerError(f"{out}: is also a source", "give another -o", EXIT_USAGE)
    for name, text in (("tick", tick), ("lot", lot)):
        if text is None:
            continue
        try:
            good = Decimal(text).is_finite() and Decimal(text) > 0
        except InvalidOperation:
            good = False
        if not good:
            raise TickmakerError(
                f"--{name} {text!r}: not a positive decimal number", "e.g. 0.10", EXIT_USAGE
            )


# -- PASS 2: THE GRID --------------------------------------------------------------------------


def _survey(source: Source, identity: Identity, tick: str | None, lot: str | None) -> Survey:
    grids = [(tick or fine_tick, lot or fine_lot) for fine_tick, fine_lot in FINE_GRIDS]
    off_grid = ""
    for grid in dict.fromkeys(grids):
        source.restart(pass_index=1)
        tally = _Tally(grid)
        try:
            for columns in _decoded(source, identity, *grid, tally):
                tally.add(columns)
        except _OffGridError as error:
            off_grid = str(error)
            continue
        return tally.survey(source, identity, tick, lot)
    raise TickmakerError(
        off_grid,
        "give the instrument's tick and lot (exchangeInfo) by --tick and --lot, or leave both out",
    )


class _Tally:
    """Counts over the decoded rows of one symbol, on the grid they were decoded with."""

    def __init__(self, grid: tuple[str, str]) -> None:
        self.grid = grid
        self.rows = 0
        self.messages: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.backward_stamps = 0
        self._first_ts_ns = -1
        self._last_ts_ns = -1
        self._px_gcd = 0
        self._qty_gcd = 0
        self._offsets: list[Columns] = []
        self._stride = 1

    def add(self, columns: Columns) -> None:
        """Take in one batch; the arrays are the reader's again afterwards."""
        recv_ts_ns, exch_ts_ns, px_ticks, qty_lots = columns[:4]
        flags = columns[10]
        self.rows += len(recv_ts_ns)
        self._px_gcd = int(np.gcd.reduce(px_ticks, initial=self._px_gcd))
        self._qty_gcd = int(np.gcd.reduce(qty_lots, initial=self._qty_gcd))
        previous = self._last_ts_ns if self._first_ts_ns >= 0 else int(recv_ts_ns[0])
        self.backward_stamps += int(np.count_nonzero(np.diff(recv_ts_ns, prepend=previous) < 0))
        if self._first_ts_ns < 0:
            self._first_ts_ns = int(recv_ts_ns[0])
        self._last_ts_ns = int(recv_ts_ns[-1])
        timed = ((flags & rows.RowFlag.LAST) != 0) & (exch_ts_ns > 0)
        self._offsets.append(((exch_ts_ns - recv_ts_ns)[timed][:: self._stride],))
        if sum(len(part[0]) for part in self._offsets) > OFFSETS_MAX:
            self._offsets = [(part[0][::2],) for part in self._offsets]
            self._stride *= 2

    def survey(
        self, source: Source, identity: Identity, tick: str | None, lot: str | None
    ) -> Survey:
        """Raises TickmakerError where there is nothing to make a book of."""
        if not self.messages["snapshot"]:
            raise TickmakerError(
                f"{source.name}: holds no depth snapshot of {identity.symbol}",
                "a book needs one. Bybit: capture from the subscription on. Binance: capture "
                "GET /depth?limit=1000 into the file after the stream starts, as a line "
                '`<local stamp> {"lastUpdateId":...}`',
            )
        if not self._px_gcd or not self._qty_gcd:
            raise TickmakerError(
                f"{source.name}: holds no prices and sizes to tell tick and lot from",
                "give --tick and --lot",
            )
        offsets = np.concatenate([part[0] for part in self._offsets])
        counts = {name: self.messages[name] for name in _NAMES.values()}
        return Survey(
            symbol=identity.symbol,
            venue=identity.venue,
            tick=tick or _grid_text(self._px_gcd, self.grid[0]),
            lot=lot or _grid_text(self._qty_gcd, self.grid[1]),
            rows=self.rows,
            messages=counts | {"total": sum(counts.values())},
            ignored=dict(self.ignored),
            span_s=(self._last_ts_ns - self._first_ts_ns) / 1e9,
            clock_offset_ms=round(float(np.median(offsets)) / 1e6, 3) if len(offsets) else None,
            backward_stamps=self.backward_stamps,
        )


def _grid_text(units: int, unit: str) -> str:
    """Decimal text of units x unit, without trailing zeros: (10000000, "0.00000001") -> 0.1"""
    text = f"{Decimal(units) * Decimal(unit):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# -- DECODING, BOTH PASSES -----------------------------------------------------------------------


def new_decoder(identity: Identity, tick: str, lot: str) -> Decoder | BybitDecoder:
    """The venue's decoder for the symbol, on a grid."""
    if identity.is_bybit:
        category = identity.venue.removeprefix("bybit_")
        return BybitDecoder(identity.symbol, tick, lot, category=category)
    return Decoder(identity.symbol, tick, lot)


def _decoded(
    source: Source, identity: Identity, tick: str, lot: str, tally: _Tally | None
) -> Iterator[Columns]:
    """Yield batches of whole messages; each is overwritten by the next."""
    columns = new_columns(BATCH_ROWS)
    writer = rows.RowWriter(columns)
    decoder = new_decoder(identity, tick, lot)
    for line in source.lines():
        _, recv_ts_ns, frame = line
        if not identity.is_ours(frame):
            if tally is not None:
                tally.ignored["other symbol"] += 1
            continue
        if identity.is_other_depth(frame):
            if tally is not None:
                tally.ignored["depth of another stream"] += 1
            continue
        kind = writer.append(decoder, frame, recv_ts_ns)
        if kind == 0:  # the message does not fit: give the rows away, then it does
            yield tuple(column[: writer.count] for column in columns)
            writer.clear()
            kind = writer.append(decoder, frame, recv_ts_ns)
        if tally is not None:
            _count(source, tally, line, kind)
    if writer.count:
        yield tuple(column[: writer.count] for column in columns)


def _count(source: Source, tally: _Tally, line: Line, kind: int) -> None:
    name = _NAMES.get(kind)
    if name is not None:
        tally.messages[name] += 1
    elif kind > 0:
        tally.ignored["no market data"] += 1
    elif kind == Code.OTHER_SYMBOL:
        tally.ignored["other symbol"] += 1
    elif kind == Code.UNKNOWN:
        tally.ignored["unknown type"] += 1
    elif kind == Code.RANGE:
        tick, lot = tally.grid
        raise _OffGridError(
            f"{source.path}, line {line[0]}: a price or size is not on the grid of "
            f"tick {tick}, lot {lot}"
        )
    else:
        why = "more levels than a message may have" if kind == Code.FULL else "not a venue frame"
        raise garbled(source.path, line[0], line[2], why)


# -- PASS 3: THE ROWS ----------------------------------------------------------------------------


def _write_rows(source: Source, identity: Identity, survey: Survey, writer: TapeWriter) -> None:
    source.restart(pass_index=2)
    for columns in _decoded(source, identity, survey.tick, survey.lot, None):
        writer.write(columns)
