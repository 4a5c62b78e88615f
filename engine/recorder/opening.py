"""What the next run starts from: how the last one ended, by its own ledger.

`opening_of` brings the ledger up to date first, so it may be asked of a run that was killed. What
a run did not open (it died too early, or did not trade the instrument) is looked for in the run
before it, which the run's `previous_run` event names.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.recorder.follow import LEDGER_FILE, catch_up
from engine.recorder.ledger import LedgerBusyError, LedgerDamagedError
from engine.recorder.segments import is_run_alive, journal_dirs, segment_path

CHECKED_BYTES_MAX = 256 << 20  # a check of all pages takes seconds above; reading finds damage
OVERLAP_NS = 3_600_000_000_000  # trades this long before the last booked one are named
_KEYS = "SELECT key FROM instruments ORDER BY core"
_PREFIX = "SELECT client_prefix FROM instruments ORDER BY core LIMIT 1"
_PREVIOUS = """SELECT account, detail FROM engine_events
WHERE kind = 'previous_run' AND account IS NOT NULL ORDER BY seq"""
_POSITION = """SELECT instruments.*, (
    SELECT position_lots FROM openings WHERE openings.core = instruments.core
    ORDER BY seq DESC LIMIT 1
) + coalesce((
    SELECT sum(CASE side WHEN 0 THEN qty_lots ELSE -qty_lots END) FROM fills
    WHERE fills.core = instruments.core
), 0) AS position_lots, coalesce((
    SELECT sum(fee_e8) FROM fills WHERE fills.core = instruments.core AND fee_asset = 1
), 0) AS base_fees_e8
FROM instruments WHERE key = ? AND core IN (SELECT core FROM openings)"""
_LAST_TRADE = """SELECT exch_ts_ns, trade_id FROM fills JOIN instruments USING (core)
WHERE key = ? ORDER BY exch_ts_ns DESC, trade_id DESC LIMIT 1"""
_CARRIED = """SELECT json_extract(detail, '$.carried_e8') AS carried_e8 FROM engine_events
WHERE kind = 'opening' AND json_extract(detail, '$.instrument') = ? ORDER BY seq DESC LIMIT 1"""
_TRADES = """SELECT trade_id, side, exch_ts_ns FROM fills JOIN instruments USING (core)
WHERE key = ? AND exch_ts_ns >= ?"""
_OPEN_ORDERS = """SELECT orders.intent_id, v_open.client_id, orders.venue_order_id, orders.side,
    px_ticks, qty_lots, cum_qty_lots
FROM v_open JOIN orders USING (intent_id) JOIN instruments ON instruments.core = orders.core
WHERE key = ? ORDER BY orders.intent_id"""
_BEGIN = """SELECT min(journals.first_ts_ns + wall_minus_monotonic_ns)
FROM journals JOIN instruments USING (core) WHERE journals.records > 0"""
_END = """SELECT max(journals.last_ts_ns + wall_minus_monotonic_ns)
FROM journals JOIN instruments USING (core)"""


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order of the run that its journal did not see end."""

    intent_id: int
    client_id: str
    venue_order_id: int  # -1: never told
    side: int
    px_ticks: int
    qty_lots: int
    cum_qty_lots: int


@dataclass(frozen=True, slots=True)
class InstrumentOpening:
    """One instrument. Lots and ticks are those of the run, `lot` and `tick`."""

    key: str
    account: str
    venue: str
    symbol: str
    tick: str
    lot: str
    run_tag: str
    run_dir: Path  # whose end this is
    began_ns: int  # UTC, about, of its first record
    position_lots: int  # what that run's opening and fills add up to, fees not taken off
    base_fees_e8: int  # what that run's fills paid in the base asset: spot holds less by it
    carried_e8: int  # of the base asset, below a lot, that it was opened with beside its lots
    last_trade_ts_ns: int  # venue's UTC of the last booked trade of any run; 0: none
    last_trade_id: int  # -1: none
    trade_ids: frozenset[int]  # booked since OVERLAP_NS before that trade, in any run
    booked: frozenset[tuple[int, int]]  # the same with the side: both sides may be ours
    known: tuple[tuple[int, int, int], ...]  # ... and the venue's UTC, oldest first: Core.known
    open_orders: tuple[OpenOrder, ...]

    def position_in(self, lot: str) -> int:
        """What the next run opens with, in its lots: the venue may have changed its filters.

        Fees paid in the base asset are taken off, by whole lots: `carried_in` is what is left.
        """
        if self.base_fees_e8 or self.carried_e8:
            return self._held_e8 // _lot_e8(lot)
        lots = self.position_lots * Decimal(self.lot) / Decimal(lot)
        if lots != int(lots):
            raise TickmakerError(
                f"{self.key} ended with {self.position_lots} lots of {self.lot}, which is no "
                f"whole number of the venue's lots of {lot}",
                "bring the position to a whole lot by hand, then remove the account's file in "
                "the state folder: the next run starts from what the venue says",
            )
        return int(lots)

    def carried_in(self, lot: str) -> int:
        """1e-8 of the base asset that are held beside position_in(lot): less than a lot. The next
        run tells it by EventsLog.opening, or after some restarts the parts make a whole lot."""
        if self.base_fees_e8 or self.carried_e8:
            return self._held_e8 % _lot_e8(lot)
        return 0

    @property
    def _held_e8(self) -> int:
        return self.position_lots * _lot_e8(self.lot) + self.carried_e8 - self.base_fees_e8


@dataclass(frozen=True, slots=True)
class Opening:
    """The end of a run, by InstrumentConfig.key. A key that no run has traded is absent."""

    run_dir: Path
    run_tag: str  # "": it died before its first record
    ended_in_order: bool
    end_ns: int  # UTC, about, of its last record; 0: there is none
    instruments: Mapping[str, InstrumentOpening] = field(default_factory=dict)


def opening_of(
    run_dir: Path, keys: Collection[str] = (), since_ns: Mapping[str, int] | None = None
) -> Opening:
    """How `run_dir` ended. `keys`: instruments wanted beside those of that run itself. `since_ns`:
    of some, booked trades are named since then, if that is longer ago than OVERLAP_NS.

    TickmakerError says what to do when the journal is damaged, is still being written, or was
    tidied away while the ledger is gone.
    """
    with _Chain(run_dir) as chain:
        ends = chain.run(run_dir)
        wanted = dict.fromkeys([*ends.keys, *keys])
        since = since_ns or {}
        found = {key: chain.end_of(key, since.get(key)) for key in wanted}
        return Opening(
            run_dir=run_dir,
            run_tag=ends.run_tag,
            ended_in_order=ends.ended_in_order,
            end_ns=ends.end_ns,
            instruments={key: opening for key, opening in found.items() if opening is not None},
        )


def _lot_e8(lot: str) -> int:
    return int(Decimal(lot).scaleb(8))


class _Run:
    """One run's ledger, up to date and open for reading."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._db = _open(run_dir)
        self._db.row_factory = sqlite3.Row
        self.keys: list[str] = [row["key"] for row in self.rows(_KEYS)]
        prefix = next((row["client_prefix"] for row in self.rows(_PREFIX)), "")
        self.run_tag = prefix[2:10]
        stopped = self.rows("SELECT detail FROM engine_events WHERE kind = 'stopped'")
        self.ended_in_order = any(json.loads(row["detail"]).get("in_order") for row in stopped)
        self.previous = {
            row["account"]: Path(json.loads(row["detail"])["run_dir"])
            for row in self.rows(_PREVIOUS)
        }

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        self._db.close()

    def position(self, key: str) -> sqlite3.Row | None:
        """Opening and fills added up; None when the run has not opened the instrument."""
        return next(iter(self.rows(_POSITION, key)), None)

    def last_trade(self, key: str) -> tuple[int, int]:
        """(venue's UTC, id) of the newest booked trade; (0, -1): none."""
        row = next(iter(self.rows(_LAST_TRADE, key)), None)
        return (row["exch_ts_ns"], row["trade_id"]) if row else (0, -1)

    def booked(self, key: str, since_ns: int) -> dict[tuple[int, int], int]:
        """{(trade id, side): venue's UTC}."""
        rows = self.rows(_TRADES, key, since_ns)
        return {(row["trade_id"], row["side"]): row["exch_ts_ns"] for row in rows}

    def carried_e8(self, key: str) -> int:
        return next((int(row["carried_e8"] or 0) for row in self.rows(_CARRIED, key)), 0)

    def open_orders(self, key: str) -> tuple[OpenOrder, ...]:
        return tuple(OpenOrder(*row) for row in self.rows(_OPEN_ORDERS, key))

    @property
    def began_ns(self) -> int:
        """UTC, about, of the first record."""
        return next((row[0] or 0 for row in self.rows(_BEGIN)), 0)

    @property
    def end_ns(self) -> int:
        """Venue's UTC, about, of the last record."""
        return next((row[0] or 0 for row in self.rows(_END)), 0)


class _Chain:
    """The run and those before it, each opened once."""

    def __init__(self, run_dir: Path) -> None:
        self._start = run_dir
        self._runs: dict[Path, _Run] = {}

    def __enter__(self) -> "_Chain":
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs.values():
            run.close()

    def run(self, run_dir: Path) -> _Run:
        if run_dir not in self._runs:
            self._runs[run_dir] = _Run(run_dir)
        return self._runs[run_dir]

    def end_of(self, key: str, since_ns: int | None) -> InstrumentOpening | None:
        """From the newest run that opened the instrument; trades of older ones, too."""
        found: tuple[_Run, sqlite3.Row] | None = None
        last, booked = (0, -1), dict[tuple[int, int], int]()

        def floor_ns() -> int:
            overlap_ns = last[0] - OVERLAP_NS
            return overlap_ns if since_ns is None else min(overlap_ns, since_ns)

        for run in self._back(key.partition(".")[0]):
            if found is not None and run.end_ns < floor_ns():
                break
            row = run.position(key)
            if row is None:
                continue
            found = found or (run, row)
            last = max(last, run.last_trade(key))
            booked |= run.booked(key, floor_ns())
        if found is None:
            return None
        run, row = found
        return InstrumentOpening(
            key=key, account=row["account"], venue=row["venue"], symbol=row["symbol"],
            tick=row["tick"], lot=row["lot"], run_tag=run.run_tag, run_dir=run.run_dir,
            began_ns=run.began_ns, position_lots=row["position_lots"],
            base_fees_e8=row["base_fees_e8"],
            carried_e8=run.carried_e8(key), last_trade_ts_ns=last[0], last_trade_id=last[1],
            trade_ids=frozenset(trade_id for trade_id, _ in booked), booked=frozenset(booked),
            known=tuple(sorted(((*t, at) for t, at in booked.items()), key=lambda row: row[2])),
            open_orders=run.open_orders(key),
        )  # fmt: skip

    def _back(self, account: str) -> Iterator[_Run]:
        at: Path | None = self._start
        seen: set[Path] = set()
        while at is not None and at not in seen and (at == self._start or at.is_dir()):
            seen.add(at)
            run = self.run(at)
            yield run
            at = run.previous.get(account)


def _open(run_dir: Path) -> sqlite3.Connection:
    """The ledger, read-only, with everything in it that the journals hold."""
    if is_run_alive(run_dir):
        raise TickmakerError(
            f"{run_dir} is still being written", "stop that engine first, then start again"
        )
    path = run_dir / LEDGER_FILE
    try:
        return _caught_up(run_dir, path)
    except (LedgerDamagedError, sqlite3.DatabaseError) as error:
        _set_aside(run_dir, path, error)
    try:
        return _caught_up(run_dir, path)
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error


def _caught_up(run_dir: Path, path: Path) -> sqlite3.Connection:
    if not path.exists():
        _check_whole(run_dir, "there is no ledger")
    try:
        catch_up(run_dir)
    except (LedgerDamagedError, LedgerBusyError):
        raise
    except TickmakerError as error:
        raise TickmakerError(
            f"what {run_dir} left behind can't be read to its end, so what the account holds is "
            f"not known: {error.what}",
            f"{error.remedy}; or remove the account's file in the state folder: the next run then "
            "takes what the venue says as its opening",
        ) from error
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    is_small = path.stat().st_size < CHECKED_BYTES_MAX
    damage = database.execute("PRAGMA quick_check(1)").fetchone()[0] if is_small else "ok"
    if damage != "ok":
        database.close()
        raise sqlite3.DatabaseError(damage)
    return database


def _set_aside(run_dir: Path, path: Path, error: Exception) -> None:
    """A damaged ledger goes to ledger.sqlite.damaged, if the journals can make it again."""
    _check_whole(run_dir, f"the ledger is damaged ({getattr(error, 'what', error)})")
    try:
        for suffix in ("", "-wal", "-shm"):
            each = path.with_name(path.name + suffix)
            if each.exists():
                each.replace(path.with_name(f"{path.name}.damaged{suffix}"))
    except OSError as failure:
        raise _unusable(path, failure) from failure


def _check_whole(run_dir: Path, why: str) -> None:
    dirs = journal_dirs(run_dir)
    if not dirs or not all(segment_path(path, 0).exists() for path in dirs.values()):
        raise TickmakerError(
            f"{run_dir}: {why}, and its journals do not begin at their first record",
            "restore ledger.sqlite from a copy; or remove the account's file in the state "
            "folder: the next run then takes what the venue says as its opening",
        )


def _unusable(path: Path, error: Exception) -> TickmakerError:
    return TickmakerError(
        f"cannot read the ledger {path}: {error}",
        "check the disk and the folder's permissions; the journals beside it hold everything",
    )
