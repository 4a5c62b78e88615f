"""How the run before ended, for the person who starts the next one: read from its ledger, which
the engine has just brought up to date."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_STOPPED = "SELECT detail FROM engine_events WHERE kind = 'stopped' ORDER BY seq DESC LIMIT 1"
_OPEN = "SELECT count(*) FROM v_open WHERE account = ?"
_HELD = """SELECT symbol, position_lots FROM positions JOIN instruments USING (core)
WHERE account = ? AND seq IN (SELECT max(seq) FROM positions GROUP BY core)
ORDER BY core"""


def last_run(state_dir: Path, account: str) -> Path | None:
    """The folder of the account's run before this one; None where nothing says it."""
    try:
        return Path(json.loads((state_dir / f"{account}.json").read_bytes())["run_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def how_it_ended(run_dir: Path, account: str) -> dict[str, Any] | None:
    """Of one account's; None where its ledger can't be read, which is no reason to stop."""
    path = run_dir / "ledger.sqlite"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            stopped = database.execute(_STOPPED).fetchone()
            (open_orders,) = database.execute(_OPEN, (account,)).fetchone()
            held = dict(database.execute(_HELD, (account,)).fetchall())
    except sqlite3.Error:
        return None
    return {
        "run_dir": str(run_dir),
        "is_stopped": stopped is not None,
        "in_order": stopped is not None and bool(json.loads(stopped[0]).get("in_order")),
        "open_orders": open_orders,
        "held_lots": held,
    }


def ending_text(ended: dict[str, Any]) -> str:
    """A sentence; empty where it ended in order: nothing is to be told."""
    if ended["in_order"]:
        return ""
    how = "with trouble" if ended["is_stopped"] else "without its shutdown"
    held = ", ".join(f"{symbol} {lots:+,} lots" for symbol, lots in ended["held_lots"].items())
    count = ended["open_orders"]
    return (
        f"the run before this one ended {how} ({Path(ended['run_dir']).name}): "
        f"{count} order{'s' * (count != 1)} not seen to end; it held {held or 'nothing'}. "
        f"{'Its orders are pulled, and what' if count else 'What'} filled since is booked"
    )
