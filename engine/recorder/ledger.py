"""The journals of a run's cores and its events → SQLite, exactly once.

One transaction takes a batch of records, of any core, and with them the position behind the last
one of each journal. A crash loses the whole batch or nothing, so a restart goes on at the next
record, and projecting a run twice, in whatever pieces, gives the same ledger.
"""

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

from engine.errors import TickmakerError
from engine.recorder.events_tail import EventsTail
from engine.recorder.projection import (
    STATEMENTS,
    Batch,
    Projector,
    State,
    param_names_of,
    state_text,
)
from engine.recorder.tail import JournalTail, Position
from engine.recorder.views import VIEWS

SCHEMA_VERSION = 4
BATCH_MAX = 20_000  # records in one transaction, of all journals: bounds its memory
__all__ = ["Ledger", "LedgerBusyError", "LedgerDamagedError", "state_text"]
_SCHEMA = Path(__file__).with_name("schema.sql")
_EVENTS = {"events_offset": 0, "events_seq": 0}
_TOLD = ("config_sha256", "limits_sha256", "kind")  # kind: live, paper, ...
_SET_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
# What no other writer may have moved since we looked.
_MARK = "SELECT (SELECT total(records) FROM journals), value FROM meta WHERE key = 'events_offset'"


class LedgerBusyError(TickmakerError):
    """Another recorder has written since this one looked; nothing was written."""


class LedgerDamagedError(TickmakerError):
    """The file is no sound database, or not of this version: it can be made again."""


class Ledger:
    """The only writer of one run's ledger.sqlite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures: dict[str, TickmakerError] = {}  # by journal; it is read no further
        self._keys: dict[int, str] = {}
        self._projectors: dict[str, Projector] = {}
        self._events = dict(_EVENTS)
        self._turn = 0
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._create()
            self._load()
            self._mark = self._db.execute(_MARK).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def position(self, key: str) -> Position:
        """Where projecting that journal goes on."""
        projector = self._projectors.get(key)
        return projector.state.position if projector else Position()

    @property
    def events_position(self) -> tuple[int, int]:
        """(byte offset, line number) where events.jsonl goes on."""
        return self._events["events_offset"], self._events["events_seq"]

    @property
    def record_counts(self) -> dict[str, int]:
        """Records projected, by journal."""
        return {key: found.state.records for key, found in self._projectors.items()}

    def apply(
        self,
        tails: dict[str, JournalTail],
        events: EventsTail | None = None,
        count_max: int = 5000,
    ) -> int:
        """Project what is there now, at most `count_max` records a journal, in one transaction.

        Returns how many records and lines. A journal that can't be read any further is named in
        `failures` and left alone; what came before in it, and the others, are committed.
        """
        batch = Batch()
        count, left = 0, BATCH_MAX
        for key in self._in_turn(tails):
            taken = self._take(key, tails[key], batch, min(count_max, left))
            count, left = count + taken, left - taken
            if left <= 0:
                break
        if events is not None:
            count += events.poll_into(batch)
            self._events = {"events_offset": events.offset, "events_seq": events.next_seq}
        if any(batch.rows.values()):
            self._commit(batch)
        return count

    def set_meta(self, key: str, value: str) -> None:
        """A fact about the run that no record holds."""
        try:
            self._db.execute(_SET_META, (key, value))
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def keep_config(self, path: Path) -> None:
        """What the run was told, and the hashes that it gave for it (else the file's own)."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        self.set_meta("config", text)
        told: dict[str, str] = {"config_sha256": hashlib.sha256(text.encode()).hexdigest()}
        with contextlib.suppress(ValueError, AttributeError):
            config = json.loads(text)
            told |= {key: str(config[key]) for key in _TOLD if config.get(key)}
        for key, value in told.items():
            self.set_meta(key, value)

    def settle(self) -> None:
        """Everything committed is on the disk after this: a power cut loses none of it."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Leave one plain file: no write-ahead log beside it to be forgotten in a copy."""
        with contextlib.suppress(sqlite3.Error):  # a reader in the way: then the log stays
            self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()

    # -- one journal ---

    def _in_turn(self, tails: dict[str, JournalTail]) -> list[str]:
        """Journals that can be read, another one first each time: none waits for ever."""
        keys = [key for key in tails if key not in self.failures]
        first = self._turn % len(keys) if keys else 0
        self._turn += 1
        return keys[first:] + keys[:first]

    def _take(self, key: str, tail: JournalTail, batch: Batch, count_max: int) -> int:
        projector = self._projectors.get(key)
        if projector is None:
            projector = self._projectors[key] = Projector(State(key), self._keys)
        projector.into(batch)
        before, take = projector.state.position, projector.take
        count, is_taken = 0, True
        try:
            for record in tail.poll(count_max):
                projector.wall_minus_monotonic_ns = tail.wall_minus_monotonic_ns
                is_taken = False
                take(record)
                is_taken = True
                count += 1
        except TickmakerError as error:
            self.failures[key] = error
        at = tail.position if is_taken else tail.last  # maybe in the next segment by now
        if at != before:
            projector.finish(at)
        return count

    # -- COLD: schema and state ---

    def _create(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            for statement in _statements_of(_SCHEMA.read_text() + VIEWS):
                self._db.execute(statement)
            rows = {"schema_version": SCHEMA_VERSION, **_EVENTS}
            self._db.executemany(_SET_META, rows.items())
        self._db.execute("COMMIT")

    def _load(self) -> None:
        rows = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if rows.get("schema_version") != str(SCHEMA_VERSION):
            raise LedgerDamagedError(
                f"{self.path} has ledger version {rows.get('schema_version')}, "
                f"this program writes {SCHEMA_VERSION}",
                "delete the file: the recorder makes it again from the journal",
            )
        self._events = {key: int(rows[key]) for key in _EVENTS}
        configs = dict(self._db.execute("SELECT key, config FROM instruments").fetchall())
        self._keys.update(self._db.execute("SELECT core, key FROM instruments").fetchall())
        cursor = self._db.execute("SELECT * FROM journals")
        names = [column[0] for column in cursor.description]
        for row in cursor:
            state = State(**dict(zip(names, row, strict=True)))
            config = json.loads(configs.get(state.key, "{}"))
            param_names = param_names_of(config.get("core", config))
            self._projectors[state.key] = Projector(state, self._keys, param_names)

    def _commit(self, batch: Batch) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if self._db.execute(_MARK).fetchone() != self._mark:
                self._db.execute("ROLLBACK")
                raise LedgerBusyError(
                    f"another recorder writes {self.path}", "stop one of the two"
                )
            for statement in STATEMENTS:
                if rows := batch.rows[statement]:
                    self._db.executemany(statement, rows)
            self._db.executemany(_SET_META, self._events.items())
            self._mark = self._db.execute(_MARK).fetchone()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> TickmakerError:
        is_file_bad = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        return (LedgerDamagedError if is_file_bad else TickmakerError)(
            f"cannot write the ledger {self.path}: {error}",
            "check the folder's permissions and free disk space, then start the recorder again: "
            "it goes on where it stopped",
        )


def _statements_of(script: str) -> list[str]:
    """One statement each: executescript() would commit the transaction it runs in."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
