"""events.jsonl → rows of engine_events, each whole line once; no line stops the recorder."""

import json
from pathlib import Path
from typing import Any

from engine.recorder.events_log import EVENTS_FILE
from engine.recorder.projection import BALANCE, EVENT, Batch

BYTES_MAX = 4 << 20  # a poll
UNREADABLE = "unreadable"  # kind of a line that is no event; its text is the line
_OWN = ("ts_ns", "kind", "account", "core", "text")
_INT64 = range(-(1 << 63), 1 << 63)


class EventsTail:
    """Goes on behind `offset`, with line number `next_seq`."""

    def __init__(self, run_dir: Path, offset: int = 0, next_seq: int = 0) -> None:
        self.path = run_dir / EVENTS_FILE
        self.offset = offset
        self.next_seq = next_seq

    def poll_into(self, batch: Batch) -> int:
        """How many lines. A last line without its end is being written, or was torn by a kill."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(BYTES_MAX)
        except OSError:
            return 0
        whole, end, _ = data.rpartition(b"\n")
        if not end:
            return 0
        lines = whole.split(b"\n")
        for line in lines:
            self._add(batch, line)
        self.offset += len(whole) + 1
        return len(lines)

    def _add(self, batch: Batch, line: bytes) -> None:
        try:
            event = json.loads(line, parse_constant=str)  # NaN is no JSON: views would break
            row = _row(self.next_seq, event)
            balances = _balances(row, event)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            text = line.decode("utf-8", "replace")
            row, balances = (self.next_seq, 0, UNREADABLE, None, None, text, "{}"), []
        batch.rows[EVENT].append(row)
        batch.rows[BALANCE].extend(balances)
        self.next_seq += 1


def _row(seq: int, event: dict[str, Any]) -> tuple[Any, ...]:
    ts_ns, core = event["ts_ns"], event.get("core")
    is_sound = isinstance(ts_ns, int) and (core is None or isinstance(core, int))
    if not is_sound or ts_ns not in _INT64 or (core or 0) not in _INT64:
        raise ValueError("ts_ns and core are whole numbers")
    account = event.get("account")
    detail = json.dumps({name: value for name, value in event.items() if name not in _OWN})
    return (
        seq, ts_ns, _text(event["kind"]), None if account is None else _text(account), core,
        _text(event.get("text", "")), detail,
    )  # fmt: skip


def _balances(row: tuple[Any, ...], event: dict[str, Any]) -> list[tuple[Any, ...]]:
    if row[2] != "balances":
        return []
    assets = {_text(asset): int(total_e8) for asset, total_e8 in event["assets"].items()}
    if any(total_e8 not in _INT64 for total_e8 in assets.values()):
        raise ValueError("a balance is a whole number of 64 bits")
    return [(row[0], row[1], row[3] or "", asset, total) for asset, total in assets.items()]


def _text(value: object) -> str:
    """What SQLite takes: half a surrogate pair would stop the recorder for good."""
    return str(value).encode("utf-8", "replace").decode()
