"""How long journals are kept. A ledger is never dropped: it says what happened, for ever; a
journal proves it, byte for byte (`tickmaker verify`), and takes far more room.

Decisions are pure (`surplus_runs`, `surplus_segments`); `tidy` and `trim_run` look and delete.
What goes is a segment whose every record is in the ledger, on the disk; never one of a run that
is alive, or of an account's last run, from which the next one starts.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.errors import TickmakerError
from engine.recorder.segments import is_run_alive, journal_dirs
from engine.recorder.tail import Position

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run folder, as far as its journals go."""

    run_dir: Path
    ended_ns: int  # UTC of the last change of its journals
    journal_bytes: int  # on the disk
    is_alive: bool
    is_last: bool  # of one of its accounts


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file of a run that is alive."""

    path: Path
    key: str
    index: int
    changed_ns: int
    bytes: int


class _Ledger(Protocol):
    def position(self, key: str) -> Position: ...
    def settle(self) -> None: ...
    def set_meta(self, key: str, value: str) -> None: ...


# -- DECISIONS ---


def surplus_runs(
    runs: Iterable[RunFacts], now_ns: int, keep_days: float | None, bytes_max: int | None
) -> list[RunFacts]:
    """Whose journals go, oldest first: those older than `keep_days`, then as many as the budget
    for all journals wants. None: no such limit."""
    droppable = sorted(
        (run for run in runs if run.journal_bytes and not run.is_alive and not run.is_last),
        key=lambda run: run.ended_ns,
    )
    total = sum(run.journal_bytes for run in runs)
    chosen = []
    for run in droppable:
        is_old = keep_days is not None and now_ns - run.ended_ns > keep_days * DAY_NS
        is_over = bytes_max is not None and total > bytes_max
        if is_old or is_over:
            chosen.append(run)
            total -= run.journal_bytes
    return chosen


def surplus_segments(
    segments: Sequence[Segment], projected: dict[str, int], bytes_max: int
) -> list[Segment]:
    """What a live run can spare, oldest first. `projected`: by key, the first segment that is
    not projected to its end; it and what follows stays."""
    total = sum(segment.bytes for segment in segments)
    chosen = []
    for segment in sorted(segments, key=lambda one: (one.changed_ns, one.key, one.index)):
        if total <= bytes_max:
            break
        if segment.index < projected.get(segment.key, 0):
            chosen.append(segment)
            total -= segment.bytes
    return chosen


# -- AND WHAT THEY DO ---


def trim_run(run_dir: Path, ledger: _Ledger, bytes_max: int) -> int:
    """Keep a live run's journals to `bytes_max`, as far as the ledger has them; bytes freed."""
    segments = _segments(run_dir)
    projected = {segment.key: ledger.position(segment.key).segment for segment in segments}
    chosen = surplus_segments(segments, projected, bytes_max)
    if not chosen:
        return 0
    ledger.settle()
    ledger.set_meta("journal_trimmed", "1")
    for segment in chosen:
        segment.path.unlink(missing_ok=True)
    return sum(segment.bytes for segment in chosen)


def run_facts(runs_dir: Path) -> list[RunFacts]:
    """Every run folder of `runs_dir` that has journals or a ledger."""
    folders = [path for path in _folders(runs_dir) if _is_run(path)]
    configs = {path: _config(path) for path in folders}
    last = _last_runs(configs)
    return [
        RunFacts(
            run_dir=path,
            ended_ns=max((one.changed_ns for one in segments), default=0),
            journal_bytes=sum(one.bytes for one in segments),
            is_alive=is_run_alive(path) or _is_alive_old(path),
            is_last=path in last,
        )
        for path, segments in ((path, _segments(path)) for path in folders)
    ]


def tidy(
    runs_dir: Path,
    now_ns: int,
    *,
    keep_days: float | None,
    bytes_max: int | None,
    is_dry: bool,
) -> dict[str, Any]:
    """Drop what is surplus; the outcome as a JSON-able dict. A run whose journal can't be
    projected to its end keeps it, and is named with the reason."""
    runs = run_facts(runs_dir)
    rows, freed = [], 0
    for run in surplus_runs(runs, now_ns, keep_days, bytes_max):
        row = {"run_dir": str(run.run_dir), "bytes": run.journal_bytes, "dropped": not is_dry,
               "kept_because": None}  # fmt: skip
        try:
            if not is_dry:
                _drop(run.run_dir)
            freed += run.journal_bytes
        except TickmakerError as error:
            row |= {"dropped": False, "kept_because": error.what}
        rows.append(row)
    return {
        "runs_dir": str(runs_dir),
        "dry_run": is_dry,
        "runs": len(runs),
        "journal_bytes": sum(run.journal_bytes for run in runs),
        "freed_bytes": freed,
        "journals": rows,
    }


def _drop(run_dir: Path) -> None:
    """The journals of an ended run, once its ledger holds all of them on the disk."""
    from engine.recorder.follow import LEDGER_FILE, catch_up
    from engine.recorder.ledger import Ledger

    catch_up(run_dir)
    ledger = Ledger(run_dir / LEDGER_FILE)
    try:
        ledger.set_meta("journal_dropped", "1")
        ledger.settle()
    finally:
        ledger.close()
    if is_run_alive(run_dir):
        raise TickmakerError(f"{run_dir} is being written", "tidy it when it has ended")
    try:
        shutil.rmtree(run_dir / "journal")
    except OSError as error:
        raise TickmakerError(
            f"cannot delete {run_dir / 'journal'}: {error.strerror}",
            "check the folder's permissions",
        ) from error


def _segments(run_dir: Path) -> list[Segment]:
    found = []
    for key, directory in journal_dirs(run_dir).items():
        for path in directory.glob("*.jnl"):
            with contextlib.suppress(OSError, ValueError):
                stat = path.stat()
                found.append(
                    Segment(path, key, int(path.stem), stat.st_mtime_ns, stat.st_blocks * 512)
                )
    return found


def _folders(runs_dir: Path) -> list[Path]:
    try:
        return sorted(path.resolve() for path in runs_dir.iterdir() if path.is_dir())
    except OSError as error:
        raise TickmakerError(
            f"cannot read {runs_dir}: {error.strerror}", "name the folder of run folders"
        ) from error


def _is_run(path: Path) -> bool:
    return (path / "journal").is_dir() or (path / "ledger.sqlite").is_file()


def _is_alive_old(path: Path) -> bool:
    """A run that has made no journal yet, but its recorder has opened the ledger."""
    return not journal_dirs(path) and (path / "ledger.sqlite-wal").exists()


def _config(run_dir: Path) -> dict[str, Any]:
    try:
        config = json.loads((run_dir / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _last_runs(configs: dict[Path, dict[str, Any]]) -> set[Path]:
    """Each account's newest folder here (names begin with their time), and what the account's
    own file in the state folder names."""
    newest: dict[str, Path] = {}
    last: set[Path] = set()
    for path, config in sorted(configs.items(), key=lambda item: item[0].name):
        for account in _account_names(config):
            newest[account] = path
            state = str(config.get("state_dir", "."))
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                document = json.loads(Path(state, f"{account}.json").read_bytes())
                last.add(Path(document["run_dir"]).resolve())
    return last | set(newest.values())


def _account_names(config: dict[str, Any]) -> list[str]:
    accounts = config.get("accounts")
    if not isinstance(accounts, list):
        return []
    return [str(one.get("name", "")) for one in accounts if isinstance(one, dict)]
