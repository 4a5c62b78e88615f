"""Keep a ledger in step with a run's journals until told to stop; pure but for the wait given."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from engine import clock
from engine.errors import TickmakerError
from engine.recorder.events_tail import EventsTail
from engine.recorder.ledger import Ledger, LedgerBusyError
from engine.recorder.retention import trim_run
from engine.recorder.segments import give_back, is_run_alive, journal_dirs
from engine.recorder.tail import JournalTail

LEDGER_FILE = "ledger.sqlite"
POLL_MIN_S = 0.001
POLL_MAX_S = 0.020
QUIET_NS = 5_000_000_000
TRIM_EVERY_NS = 5_000_000_000
BUSY_TRIES = 50  # the recorder of a run that has just ended may still be at its last records


def follow(
    run_dir: Path,
    wait: Callable[[float], bool],
    is_stopping: Callable[[], bool],
    warn: Callable[[TickmakerError], None] = lambda _: None,
) -> int:
    """Project until told to stop; returns the number of records and events projected.

    `wait(seconds)` sleeps, and says whether standard input is still open. What one damaged
    journal says is told to `warn` at once; the others go on, and it is raised at the end.
    """
    ledger = Ledger(run_dir / LEDGER_FILE)
    tails: dict[str, JournalTail] = {}
    try:
        ledger.keep_config(run_dir / "config.json")
        return _follow(run_dir, ledger, tails, wait, is_stopping, warn)
    finally:
        for tail in tails.values():
            tail.close()
        ledger.close()


def _follow(
    run_dir: Path,
    ledger: Ledger,
    tails: dict[str, JournalTail],
    wait: Callable[[float], bool],
    is_stopping: Callable[[], bool],
    warn: Callable[[TickmakerError], None],
) -> int:
    events = EventsTail(run_dir, *ledger.events_position)
    bytes_max = journal_bytes_max(run_dir)
    total, pause_s, told = 0, POLL_MIN_S, 0
    last_ns = trim_ns = clock.monotonic_ns()
    is_open = True
    while True:
        # Asked before the poll: what was written before the answer is in that poll.
        is_last = is_stopping() or (
            not is_open
            and (not is_run_alive(run_dir) or clock.monotonic_ns() - last_ns > QUIET_NS)
        )
        _open_new(run_dir, ledger, tails)
        count = ledger.apply(tails, events)
        total += count
        for failure in [*ledger.failures.values()][told:]:
            warn(failure)
        told = len(ledger.failures)
        if bytes_max and clock.monotonic_ns() - trim_ns > TRIM_EVERY_NS:
            trim_ns = clock.monotonic_ns()
            trim_run(run_dir, ledger, bytes_max)
        if count:
            last_ns, pause_s = clock.monotonic_ns(), POLL_MIN_S
        elif is_last:
            _check_end(run_dir, ledger, tails)
            return total
        else:
            is_open = wait(pause_s) and is_open
            pause_s = min(pause_s * 2, POLL_MAX_S)


def catch_up(run_dir: Path) -> int:
    """Project everything that the journals hold now; for what is made without a recorder."""
    for _ in range(BUSY_TRIES):
        try:
            return follow(run_dir, lambda _: False, lambda: True)
        except LedgerBusyError as error:
            busy = error
    raise busy


def journal_bytes_max(run_dir: Path) -> int:
    """The run's own budget for its journals (config.json); 0: none."""
    try:
        config = json.loads((run_dir / "config.json").read_bytes())
        return max(int(config.get("journal_bytes_max") or 0), 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0


def _open_new(run_dir: Path, ledger: Ledger, tails: dict[str, JournalTail]) -> None:
    """Cores that came up since the last look."""
    try:
        with os.scandir(run_dir / "journal") as entries:
            names = [entry.name for entry in entries if entry.name not in tails]
    except OSError:
        return
    if names:
        for key, path in journal_dirs(run_dir).items():
            if key not in tails:
                tails[key] = JournalTail(path, ledger.position(key))


def _check_end(run_dir: Path, ledger: Ledger, tails: dict[str, JournalTail]) -> None:
    """Nothing more will come of a dead writer: did it end, or was it broken?"""
    if ledger.failures:
        raise next(iter(ledger.failures.values()))
    if is_run_alive(run_dir):
        return
    for tail in tails.values():
        tail.check_end()
    # The journals of a run are numbered in one row, so the highest number counts them all.
    expected = max((tail.position.next_seq for tail in tails.values()), default=0)
    found = sum(ledger.record_counts.values())
    if found < expected:
        raise TickmakerError(
            f"{run_dir / 'journal'} holds {found} records, the last is number {expected - 1}: "
            "a part of a journal, or the journal of an instrument, is missing",
            "restore it from a copy; the ledger holds everything else",
        )
    for path in journal_dirs(run_dir).values():
        give_back(path)
