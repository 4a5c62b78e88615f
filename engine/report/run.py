"""One run as the report sees it: rows of the ledger, in memory, read-only."""

import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.report.pnl import Fill
from fastcore.types import SendOutcome, Verb

# tick_to_order of the report: see LATENCY_DEFINITION in build.py.
_LATENCY = """SELECT tick_to_order_ns FROM sends
WHERE outcome = ? AND verb IN (?, ?, ?) AND tick_to_order_ns IS NOT NULL
ORDER BY tick_to_order_ns"""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows in journal order. `samples` and `states` are as in the ledger's schema."""

    run_dir: Path
    meta: dict[str, str]
    symbol: str
    tick: Decimal
    lot: Decimal
    fills: list[Fill]
    samples: list[sqlite3.Row]
    states: list[sqlite3.Row]
    sends: dict[tuple[int, int | None], int]  # (verb, outcome) → count
    latency_ns: list[int]  # sorted
    denies: dict[str, int]
    gaps: int

    @property
    def first_ts_ns(self) -> int:
        return int(self.meta["first_ts_ns"])

    @property
    def last_ts_ns(self) -> int:
        return int(self.meta["last_ts_ns"])

    @property
    def duration_s(self) -> float:
        return (self.last_ts_ns - self.first_ts_ns) / 1e9

    @property
    def unit(self) -> Decimal:
        """Quote currency of one tick x one lot."""
        return self.tick * self.lot

    def count(self, verb: Verb, outcome: SendOutcome) -> int:
        return self.sends.get((int(verb), int(outcome)), 0)

    def elapsed_s(self, ts_ns: int) -> float:
        return (ts_ns - self.first_ts_ns) / 1e9


def load_run(run_dir: Path) -> Run:
    """Read run_dir/ledger.sqlite; TickmakerError when there is none or it is no ledger."""
    path = run_dir / "ledger.sqlite"
    if not path.is_file():
        raise TickmakerError(
            f"no ledger in {run_dir}", "name the folder of a run; `ls runs` shows them"
        )
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return _load(run_dir, database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise TickmakerError(
            f"cannot read the ledger {path}: {error}",
            "delete it and run `python -m engine.recorder RUN </dev/null` to make it again",
        ) from error


def _load(run_dir: Path, database: sqlite3.Connection) -> Run:
    database.row_factory = sqlite3.Row

    def rows(query: str, *values: Any) -> list[sqlite3.Row]:
        return database.execute(query, values).fetchall()

    instrument = next(iter(rows("SELECT * FROM instrument")), None)
    latency = rows(_LATENCY, SendOutcome.SENT, Verb.PLACE, Verb.CANCEL, Verb.MODIFY)
    fills = rows(
        "SELECT seq, ts_ns, side, px_ticks, qty_lots, fee_e8, "
        "bid_px_ticks + ask_px_ticks AS twice_mid, position_after_lots, fee_asset "
        "FROM fills ORDER BY seq"
    )
    return Run(
        run_dir=run_dir,
        meta={row["key"]: row["value"] for row in rows("SELECT * FROM meta")},
        symbol=instrument["symbol"] if instrument else "unknown",
        tick=Decimal(instrument["tick"] if instrument else 1),
        lot=Decimal(instrument["lot"] if instrument else 1),
        fills=[Fill(*row) for row in fills],
        samples=rows("SELECT * FROM samples ORDER BY seq"),
        states=rows("SELECT * FROM states ORDER BY seq"),
        sends={
            (row["verb"], row["outcome"]): row["count"]
            for row in rows("SELECT verb, outcome, count(*) AS count FROM sends GROUP BY 1, 2")
        },
        latency_ns=[row["tick_to_order_ns"] for row in latency],
        denies={
            row["name"]: row["count"]
            for row in rows(
                "SELECT name, count(*) AS count FROM denies GROUP BY 1 ORDER BY 2 DESC"
            )
        },
        gaps=rows("SELECT count(*) FROM book_events WHERE new_state = 3")[0][0],
    )
