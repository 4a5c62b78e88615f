"""One run as the report sees it: rows of the ledger, in memory, read-only. One Run a core."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.report.pnl import Fill
from engine.report.text import quote_name
from fastcore.types import SendOutcome, Verb

# tick_to_order of the report: see LATENCY_DEFINITION in build.py.
_LATENCY = """SELECT tick_to_order_ns FROM sends
WHERE core = ? AND outcome = ? AND verb IN (?, ?, ?) AND tick_to_order_ns IS NOT NULL
ORDER BY tick_to_order_ns"""
_FILLS = """SELECT seq, ts_ns, side, px_ticks, qty_lots, fee_e8,
    bid_px_ticks + ask_px_ticks AS twice_mid, position_after_lots, fee_asset, owner
FROM fills WHERE core = ? ORDER BY seq"""
_SENDS = "SELECT core, verb, outcome, count(*) AS count FROM sends GROUP BY 1, 2, 3"
_DENIES = "SELECT core, name, count(*) AS count FROM denies GROUP BY 1, 2 ORDER BY 3 DESC"
_GAPS = "SELECT core, count(*) AS count FROM book_events WHERE new_state = 3 GROUP BY 1"
_OPENINGS = "SELECT core, seq, position_lots FROM openings ORDER BY seq"
_SAMPLES = """SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY seq) - 1 AS number FROM samples WHERE core = ?
) WHERE number % ? = 0 ORDER BY seq"""
SAMPLES_MAX = 8000  # of all cores; above it every k-th is read
# Of columns that are there twice the first counts.
_CORES = """SELECT coalesce(journals.core, 0) AS core, journals.*, instruments.*
FROM journals LEFT JOIN instruments ON instruments.core = journals.core
ORDER BY journals.core, journals.key"""
_Rows = Callable[..., list[sqlite3.Row]]


@dataclass(frozen=True, slots=True)
class Run:
    """One core's. Rows in journal order; `samples` (thinned) and `states` are as in the ledger's
    schema. `last_sample`: the newest, None without any."""

    run_dir: Path
    key: str  # account.venue.symbol
    meta: dict[str, Any]  # the journal's row, and the instrument's
    symbol: str
    base: str  # "": not told
    quote: str
    tick: Decimal
    lot: Decimal
    fills: list[Fill]
    samples: list[sqlite3.Row]
    last_sample: sqlite3.Row | None
    states: list[sqlite3.Row]
    sends: dict[tuple[int, int | None], int]  # (verb, outcome) → count
    latency_ns: list[int]  # sorted
    denies: dict[str, int]
    gaps: int
    opening_lots: int | None  # None: the run did not open it
    opening_seq: int = 0  # its place in the ledger

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

    @property
    def config(self) -> dict[str, Any]:
        """What the core was told."""
        config = json.loads(self.meta.get("config") or "{}")
        core: dict[str, Any] = config.get("core", config)
        return core

    def count(self, verb: Verb, outcome: SendOutcome) -> int:
        return self.sends.get((int(verb), int(outcome)), 0)

    def elapsed_s(self, ts_ns: int) -> float:
        return (ts_ns - self.first_ts_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Folder:
    """A run folder: its cores, and what the ledger's views answer. `cores` is never empty."""

    run_dir: Path
    meta: dict[str, str]
    cores: list[Run]
    story: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by name of _STORY
    counts: dict[str, int] = field(default_factory=dict)  # all of them, where story has the first


# What happened and why, each a question to the ledger; in the order in which it is told.
_STORY = {
    "halts": "SELECT account, venue, symbol, reason, times, seconds FROM v_halt_reasons_running",
    "divergences": "SELECT utc, account, instrument, text FROM v_divergences",
    "unknown_outcomes": "SELECT utc, symbol, client_id, settled, settled_by, seconds "
    "FROM v_unknown WHERE seconds IS NULL OR seconds >= 0.0005",
    "open_at_the_end": "SELECT account, symbol, client_id, side, px, qty, state FROM v_open",
    "recovered_fills": "SELECT utc, account, symbol, trade_id, side, px, qty, owner, via "
    "FROM v_fills WHERE owner <> 'run' OR via <> 'stream'",
    "taken": "SELECT utc, coalesce('hedge ' || json_extract(detail, '$.hedge'), "
    "'flattening of ' || instrument) AS why, json_extract(detail, '$.net') AS position, "
    "json_extract(detail, '$.plan.side') AS side, "
    "json_extract(detail, '$.plan.wanted') AS wanted, "
    "(SELECT group_concat(json_extract(value, '$.qty') || ' at ' || json_extract(value, '$.px') "
    "|| ' ' || json_extract(value, '$.venue'), '; ') "
    "FROM json_each(json_extract(detail, '$.plan.slices'))) AS plan, "
    "json_extract(detail, '$.plan.unfilled') AS left, "
    "(SELECT group_concat(key || ': ' || value, '; ') "
    "FROM json_each(json_extract(detail, '$.plan.why_not'))) AS why_not "
    "FROM v_events WHERE kind = 'router'",
    "parameter_changes": "SELECT utc, account, symbol, params FROM v_params "
    "WHERE why = 'change'",
    "connections": "SELECT utc, account, instrument, text, detail FROM v_events "
    "WHERE kind = 'connection'",
    "events": "SELECT utc, kind, account, instrument, text, detail FROM v_events "
    "WHERE kind NOT IN ('connection', 'divergence', 'balances', 'step', 'router')",
    "steps": "SELECT utc, account, coalesce(json_extract(detail, '$.name'), text) AS step, "
    "json_extract(detail, '$.ms') AS ms FROM v_events WHERE kind = 'step'",
    "fees": "SELECT account, venue, symbol, asset, paid, fills FROM v_fees",
    "balances": "SELECT account, asset, total FROM v_balances "
    "WHERE seq IN (SELECT max(seq) FROM balances GROUP BY account)",
}
_TOLD_WHOLE = {"halts", "fees", "balances"}  # as many as there are instruments
_COUNTED = {"divergences": "v_divergences", "open_at_the_end": "v_open"}
STORY_ROWS_MAX = 200  # of each other; the ledger has all


def load_folder(run_dir: Path) -> Folder:
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


def _load(run_dir: Path, database: sqlite3.Connection) -> Folder:
    database.row_factory = sqlite3.Row

    def rows(query: str, *values: Any) -> list[sqlite3.Row]:
        return database.execute(query, values).fetchall()

    sums = _Sums(rows)
    found = [dict(row) for row in rows(_CORES)]
    samples_max = max(SAMPLES_MAX // max(len(found), 1), 400)
    cores = [_load_core(run_dir, meta, rows, sums, samples_max) for meta in found]
    return Folder(
        run_dir=run_dir,
        meta={row["key"]: row["value"] for row in rows("SELECT * FROM meta")},
        cores=cores or [_no_core(run_dir)],
        story={name: _told(rows, name) for name in _STORY},
        counts={
            name: rows(f"SELECT count(*) FROM {view}")[0][0] for name, view in _COUNTED.items()
        },
    )


def _told(rows: _Rows, name: str) -> list[dict[str, Any]]:
    query = _STORY[name]
    found = rows(query) if name in _TOLD_WHOLE else rows(f"{query} LIMIT ?", STORY_ROWS_MAX)
    return [dict(row) for row in found]


class _Sums:
    """What is counted for all cores at once, by core."""

    def __init__(self, rows: _Rows) -> None:
        self.sends: dict[int, dict[tuple[int, int | None], int]] = {}
        for row in rows(_SENDS):
            of_core = self.sends.setdefault(row["core"], {})
            of_core[row["verb"], row["outcome"]] = row["count"]
        self.denies: dict[int, dict[str, int]] = {}
        for row in rows(_DENIES):
            self.denies.setdefault(row["core"], {})[row["name"]] = row["count"]
        self.gaps = {row["core"]: row["count"] for row in rows(_GAPS)}
        self.openings = {row["core"]: row for row in rows(_OPENINGS)}


def _load_core(
    run_dir: Path, meta: dict[str, Any], rows: _Rows, sums: _Sums, samples_max: int
) -> Run:
    core = meta["core"]
    opening = sums.openings.get(core)
    latency = rows(_LATENCY, core, SendOutcome.SENT, Verb.PLACE, Verb.CANCEL, Verb.MODIFY)
    symbol = meta["symbol"] or "unknown"
    count = rows("SELECT count(*) FROM samples WHERE core = ?", core)[0][0]
    return Run(
        run_dir=run_dir,
        key=meta["key"],
        meta=meta,
        symbol=symbol,
        base=meta["base"] or "",
        quote=meta["quote"] or quote_name(symbol),
        tick=_step(meta["tick"]),
        lot=_step(meta["lot"]),
        fills=[Fill(*row) for row in rows(_FILLS, core)],
        samples=rows(_SAMPLES, core, max(-(-count // samples_max), 1)),
        last_sample=next(iter(rows("SELECT * FROM last_samples WHERE core = ?", core)), None),
        states=rows("SELECT * FROM states WHERE core = ? ORDER BY seq", core),
        sends=sums.sends.get(core, {}),
        latency_ns=[row["tick_to_order_ns"] for row in latency],
        denies=sums.denies.get(core, {}),
        gaps=sums.gaps.get(core, 0),
        opening_lots=opening["position_lots"] if opening else None,
        opening_seq=opening["seq"] if opening else 0,
    )


def _step(text: str | None) -> Decimal:
    """Without the zeros that a venue writes behind it, and behind every price that follows."""
    value = Decimal(text or 1).normalize()
    return value if value < 1 else Decimal(int(value)) if value == int(value) else value


def _no_core(run_dir: Path) -> Run:
    """A run that was stopped before its first record."""
    zeros = ("first_ts_ns", "last_ts_ns", "wall_minus_monotonic_ns", "frames_market",
             "frames_trade", "frames_user", "snapshots")  # fmt: skip
    return Run(
        run_dir=run_dir, key="", meta=dict.fromkeys(zeros, 0), symbol="unknown", base="",
        quote="quote", tick=Decimal(1), lot=Decimal(1), fills=[], samples=[], last_sample=None,
        states=[], sends={}, latency_ns=[], denies={}, gaps=0, opening_lots=None,
    )  # fmt: skip
