"""Journal records → SQLite, exactly once.

One transaction takes a batch of records and, with them, the position behind the last one. A crash
loses the whole batch or nothing, so a restart goes on at the next record, and projecting a journal
twice, in whatever pieces, gives the same ledger.
"""

import contextlib
import json
import sqlite3
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.recorder.tail import JournalTail, Position, Record
from engine.recorder.views import VIEWS
from fastcore.gate import CODES
from fastcore.journal import FIELDS, INPUT_LAST, KIND, NAMES, OUT_HEADER, JournalError, unpack
from fastcore.types import Conn, Halt, SendOutcome

SCHEMA_VERSION = 2
_SCHEMA = Path(__file__).with_name("schema.sql")
_EMPTY_STATE: dict[str, int] = {
    "segment": Position().segment,
    "offset": Position().offset,
    "next_seq": 0,
    "wall_minus_monotonic_ns": 0,
    "first_ts_ns": 0,
    "last_ts_ns": 0,
    "cause_seq": -1,  # the last input but sends: what the outputs after it come from
    "cause_kind": 0,
    "cause_arg": 0,
    "frames_market": 0,
    "frames_trade": 0,
    "frames_user": 0,
    "snapshots": 0,
}
_FRAME_COUNTERS = {
    int(Conn.MARKET): "frames_market",
    int(Conn.TRADE): "frames_trade",
    int(Conn.USER): "frames_user",
}
_UPSERT_ORDER = """INSERT INTO orders VALUES (?1, ?2, ?3, ?5, ?6, ?7, ?4, ?8, ?9, ?9)
ON CONFLICT (intent_id) DO UPDATE SET venue_order_id = ?2, side = ?3, px_ticks = ?5, qty_lots = ?6,
cum_qty_lots = ?7, state = ?4, reason = ?8, last_ts_ns = ?9"""
_UPDATE_SEND = """UPDATE sends SET outcome = ?2, begin_ns = ?3, end_ns = ?4,
tick_to_order_ns = CASE WHEN ?2 = ?5 AND cause_ts_ns > 0 THEN ?4 - cause_ts_ns END
WHERE out_seq = ?1"""


class Ledger:
    """The only writer of one run's ledger.sqlite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: dict[str, int] = {}
        self._statements: list[tuple[str, tuple[Any, ...]]] = []
        self._actions: dict[int, Callable[[Record], None]] = {
            KIND["CONFIG"]: self._on_config,
            KIND["FRAME"]: self._on_frame,
            KIND["SNAPSHOT"]: self._on_snapshot,
            KIND["SEND"]: self._on_send,
            KIND["COMMAND"]: self._on_session,
            KIND["CONN"]: self._on_session,
            KIND["CLOCK"]: self._on_session,
            KIND["ACCOUNT"]: self._on_session,
            KIND["OUT"]: self._on_out,
            KIND["ORDER"]: self._on_order,
            KIND["FILL"]: self._on_fill,
            KIND["STATE"]: self._on_state,
            KIND["SAMPLE"]: self._on_sample,
            KIND["DENY"]: self._on_deny,
            KIND["BOOK"]: self._on_book,
        }
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._create()
            self._state = self._load()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @property
    def position(self) -> Position:
        """Where projecting goes on."""
        return Position(self._state["segment"], self._state["offset"], self._state["next_seq"])

    def apply(self, tail: JournalTail, count_max: int = 5000) -> int:
        """Project what `tail` has now, at most `count_max` records, in one transaction.

        Returns how many. When reading or projecting fails, what came before is committed and the
        error goes on to the caller.
        """
        before = dict(self._state)
        self._statements.clear()
        count, done, at = 0, 0, self.position
        try:
            for record in tail.poll(count_max):
                self._on_record(record)
                count, done, at = count + 1, len(self._statements), tail.position
            at = tail.position  # maybe in the next segment by now
        finally:
            del self._statements[done:]  # of a record that failed half-way
            self._state.update(segment=at.segment, offset=at.offset, next_seq=at.next_seq)
            if count:
                self._state["wall_minus_monotonic_ns"] = tail.wall_minus_monotonic_ns
            if self._state != before:
                self._commit(before["next_seq"])
        return count

    def close(self) -> None:
        """Leave one plain file: no write-ahead log beside it to be forgotten in a copy."""
        with contextlib.suppress(sqlite3.Error):  # a reader in the way: then the log stays
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    # -- COLD: schema and state ---

    def _create(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            for statement in _statements_of(_SCHEMA.read_text() + VIEWS):
                self._db.execute(statement)
            rows = {"schema_version": SCHEMA_VERSION, **_EMPTY_STATE}
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
        self._db.execute("COMMIT")

    def _load(self) -> dict[str, int]:
        rows = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if rows.get("schema_version") != str(SCHEMA_VERSION):
            raise TickmakerError(
                f"{self.path} has ledger version {rows.get('schema_version')}, "
                f"this program writes {SCHEMA_VERSION}",
                "delete the file: the recorder makes it again from the journal",
            )
        return {key: int(rows[key]) for key in _EMPTY_STATE}

    def _commit(self, expected_next_seq: int) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute("SELECT value FROM meta WHERE key = 'next_seq'").fetchone()
            if int(row[0]) != expected_next_seq:
                self._db.execute("ROLLBACK")
                raise TickmakerError(f"another recorder writes {self.path}", "stop one of the two")
            for statement, values in self._statements:
                self._db.execute(statement, values)
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET "
                "value = excluded.value",
                self._state.items(),
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._statements.clear()

    def _failed(self, error: sqlite3.Error) -> TickmakerError:
        return TickmakerError(
            f"cannot write the ledger {self.path}: {error}",
            "check the folder's permissions and free disk space, then start the recorder again: "
            "it goes on where it stopped",
        )

    # -- projection, one method a kind ---

    def _on_record(self, record: Record) -> None:
        state = self._state
        if record.kind <= INPUT_LAST and record.kind != KIND["SEND"]:  # a send causes no output
            state["cause_seq"] = record.seq
            state["cause_kind"] = record.kind
            state["cause_arg"] = record.arg
        state["first_ts_ns"] = state["first_ts_ns"] or record.now_ns
        state["last_ts_ns"] = record.now_ns
        action = self._actions.get(record.kind)
        if action is None:
            return
        try:
            action(record)
        except (JournalError, ValueError, LookupError, struct.error) as error:
            raise TickmakerError(
                f"journal record {record.seq} ({NAMES.get(record.kind, record.kind)}) can't be "
                f"read: {error}",
                "it was written by another version of tickmaker; use that one's recorder",
            ) from error

    def _insert(self, table: str, *values: int | str | None) -> None:
        marks = ",".join("?" * len(values))
        self._statements.append((f"INSERT INTO {table} VALUES ({marks})", values))

    def _on_config(self, record: Record) -> None:
        text = bytes(record.payload).decode()
        config = json.loads(text)
        config = config.get("core", config)
        try:
            tick, lot = config["tick"], config["lot"]
            self._statements.append(("DELETE FROM instrument", ()))
            self._insert("instrument", config["symbol"], tick, lot, *_scale(tick), *_scale(lot))
        except (KeyError, InvalidOperation) as error:
            raise ValueError(f"no usable {error} in the configuration") from error
        self._insert_meta("config", text)

    def _insert_meta(self, key: str, value: str) -> None:
        self._statements.append(("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value)))

    def _on_frame(self, record: Record) -> None:
        self._state[_FRAME_COUNTERS[record.arg]] += 1

    def _on_snapshot(self, record: Record) -> None:
        self._state["snapshots"] += 1

    def _on_session(self, record: Record) -> None:
        kind = NAMES[record.kind]
        value = (
            next(iter(unpack(record.kind, record.payload).values())) if record.payload else None
        )
        self._insert("session_events", record.seq, record.now_ns, kind, record.arg, value)

    def _on_out(self, record: Record) -> None:
        out_seq, intent_id, conn, deadline_ns, digest = OUT_HEADER.unpack_from(record.payload)
        message = bytes(record.payload[OUT_HEADER.size :]).decode("utf-8", "replace")
        state = self._state
        self._insert(
            "sends", out_seq, record.seq, record.now_ns, intent_id, record.arg, conn,
            state["cause_seq"], state["cause_kind"], state["cause_arg"], record.recv_ts_ns,
            deadline_ns, f"{digest:016x}", message, None, None, None, None,
        )  # fmt: skip

    def _on_send(self, record: Record) -> None:
        row = unpack(record.kind, record.payload)
        values = (row["out_seq"], record.arg, row["begin_ns"], row["end_ns"], SendOutcome.SENT)
        self._statements.append((_UPDATE_SEND, values))

    def _on_order(self, record: Record) -> None:
        row = list(unpack(record.kind, record.payload).values())
        intent_id, venue_order_id, side, state, px_ticks, qty_lots, cum_qty_lots, reason = row
        order = (
            intent_id, venue_order_id, side, state, px_ticks, qty_lots, cum_qty_lots, reason,
            record.now_ns,
        )  # fmt: skip
        self._statements.append((_UPSERT_ORDER, order))
        self._insert("order_events", record.seq, record.now_ns, *order[:-1])

    def _on_fill(self, record: Record) -> None:
        self._insert_row("fills", record)

    def _on_sample(self, record: Record) -> None:
        self._insert_row("samples", record)

    def _on_book(self, record: Record) -> None:
        self._insert_row("book_events", record)

    def _on_state(self, record: Record) -> None:
        row = unpack(record.kind, record.payload)
        new_bits = row["new_bits"]
        reasons = state_text(new_bits)
        self._insert("states", record.seq, record.now_ns, row["old_bits"], new_bits, reasons)

    def _on_deny(self, record: Record) -> None:
        row = unpack(record.kind, record.payload)
        code = row["code"]
        self._insert(
            "denies", record.seq, record.now_ns, row["intent_id"], code, deny_name(code),
            row["side"], row["px_ticks"], row["qty_lots"],
        )  # fmt: skip

    def _insert_row(self, table: str, record: Record) -> None:
        assert record.kind in FIELDS
        self._insert(
            table, record.seq, record.now_ns, *unpack(record.kind, record.payload).values()
        )


def state_text(bits: int) -> str:
    """RUNNING, or the halt reasons in force: "BOOK+FEED_STALE"."""
    return "+".join(halt.name or "" for halt in Halt if halt.value & bits) or "RUNNING"


def deny_name(code: int) -> str:
    """The gate's word for a deny code: POSITION."""
    return CODES[code][0] if code in CODES else f"CODE_{code}"


def _scale(step: str) -> tuple[int, int, int]:
    """(units, decimals, 10^decimals) of a tick or lot size: "0.10" → (1, 1, 10)."""
    value = Decimal(step).normalize()
    if not value.is_finite() or value <= 0:
        raise ValueError(f"tick and lot must be above zero, was {step}")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    decimals = max(-exponent, 0)
    return int(value.scaleb(decimals)), decimals, int(10**decimals)


def _statements_of(script: str) -> list[str]:
    """One statement each: executescript() would commit the transaction it runs in."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
