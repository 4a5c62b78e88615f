"""Every log of a run, read as it grows: journals, ledgers, the exchange's truth; and the judges.

Ledgers are brought up to date here, by the recorder's own code; judges only read them.
"""

import hashlib
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

from engine import clock
from engine.errors import TickmakerError
from engine.exchange.core import Core
from engine.exchange.instruments import Instrument
from engine.recorder.follow import LEDGER_FILE, catch_up
from engine.recorder.segments import journal_dirs
from engine.sim.audit import Audit
from engine.sim.checker import Checker, LastWords
from engine.sim.halted import HaltedQuotes
from engine.sim.life import Life
from engine.sim.loop import START_NS, UTC_START_NS
from engine.sim.venue_ids import as_told

UTC_MINUS_MONOTONIC_NS = UTC_START_NS - START_NS


class Books:
    """Of one account of an exchange."""

    def __init__(
        self, venue: str, core: Core, account: int, instruments: Sequence[Instrument]
    ) -> None:
        by_key = {instrument.key: instrument for instrument in instruments}
        self._venue = venue
        self._instruments = by_key
        self._core = core
        self.checker = Checker(by_key, account, UTC_MINUS_MONOTONIC_NS)
        self.audit = Audit(by_key)
        self.trouble: list[str] = []
        self._digest = hashlib.sha256()
        self._halted: dict[tuple[int, str], HaltedQuotes] = {}
        self._truth_read = 0
        self._ended: set[int] = set()  # lives that are read to their end

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    @property
    def figures(self) -> dict[str, int]:
        checker = self.checker
        return {
            "orders": checker.orders, "fills": checker.fills, "strangers": checker.strangers,
            "divergences": checker.divergences,
        }

    def tidy(self, lives: Sequence[Life]) -> None:
        """What is whole is read, then let go. Ledgers first: an intent comes before its order."""
        read_ns = clock.monotonic_ns() + UTC_MINUS_MONOTONIC_NS
        for life in lives:
            self._read(life, is_over=life is not lives[-1], keep=2)
        self._read_truth(read_ns)
        self.checker.tidy(read_ns)
        self.audit.tidy()

    def close(self, lives: Sequence[Life], words: LastWords | None, is_dead: bool) -> list[str]:
        """The end of all of it; every breach. `is_dead`: no engine could be started again."""
        for life in lives:
            self._read(life, is_over=True, keep=0)
        self._read_truth(1 << 62)
        halted = [breach for one in self._halted.values() for breach in one.breaches]
        return [*self.trouble, *halted, *self.checker.finish(words, is_dead), *self.audit.breaches]

    def _read(self, life: Life, is_over: bool, keep: int) -> None:
        if life.number in self._ended:
            return
        if is_over:
            self._ended.add(life.number)
        if journal_dirs(life.run_dir):
            try:
                catch_up(life.run_dir)
            except TickmakerError as error:
                self.trouble.append(f"run {life.number} can't be projected: {error.what}")
        self._read_segments(life, keep)
        path = life.run_dir / LEDGER_FILE
        if path.exists():
            has_ended = is_over and life.has_read_all
            self.checker.on_ledger(life.number, path, has_ended)

    def _read_segments(self, life: Life, keep: int) -> None:
        for key, folder in journal_dirs(life.run_dir).items():
            halted = self._halted.setdefault((life.number, key), HaltedQuotes(key))
            paths = sorted(folder.glob("*.jnl"))
            for path in paths[: len(paths) - keep]:
                self._read_segment(path, halted)
            if not keep:
                halted.end_input()

    def _read_segment(self, path: Path, halted: HaltedQuotes) -> None:
        data = _written(path)
        self._digest.update(data.rstrip(b"\0"))
        if data[:1] not in (b"", b"\0"):
            halted.on_segment(data)
        path.unlink()

    def _read_truth(self, until_ns: int) -> None:
        truth = self._core.truth
        for number, record in truth.since(self._truth_read):
            if record.t_ns > until_ns:
                break
            self._truth_read = number + 1
            self._digest.update(repr(record).encode())
            self.checker.on_truth(as_told(record, self._venue, self._instruments))
            self.audit.on_truth(record)
        truth.let_go(self._truth_read)


def _written(path: Path) -> bytes:
    """A segment up to its first hole, and a little beyond: what was given back at its end is most
    of it, and a last record may end in zeros there."""
    with path.open("rb") as file:
        end = os.lseek(file.fileno(), 0, os.SEEK_HOLE)
        file.seek(0)
        return file.read(end + mmap.PAGESIZE)
