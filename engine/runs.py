"""Run folders: everything that one run leaves behind stands in one."""

import json
from pathlib import Path
from typing import Any

from engine import clock
from engine.errors import EXIT_USAGE, TickmakerError


def make_run_dir(runs_dir: Path, name: str) -> Path:
    """A new run folder `<UTC time>-<name>`; TickmakerError where it can't be written."""
    stamp = clock.utc_now().strftime("%Y%m%dT%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        run_dir = runs_dir / f"{stamp}-{name}{suffix}"
        try:
            run_dir.mkdir(parents=True)
        except FileExistsError:
            if runs_dir.exists() and not runs_dir.is_dir():
                break
            continue
        except OSError as e:
            raise TickmakerError(
                f"Can't make the run folder {run_dir}: {e.strerror}",
                "Choose a folder that you may write to with --runs FOLDER.",
                EXIT_USAGE,
            ) from None
        return run_dir.resolve()
    raise TickmakerError(
        f"Can't make a run folder in {runs_dir}: it is not a folder, or too full of runs",
        "Choose another with --runs FOLDER.",
        EXIT_USAGE,
    )


def write_config(run_dir: Path, document: dict[str, Any]) -> None:
    """RUN_DIR/config.json: what this run was told, no secret in it."""
    path = run_dir / "config.json"
    try:
        path.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise TickmakerError(
            f"cannot write {path}: {error.strerror}",
            "check that the run folder exists and belongs to this user",
        ) from None


def has_journal(run_dir: Path) -> bool:
    """Whether an engine wrote anything there."""
    return any((run_dir / "journal").glob("**/000000.jnl"))
