"""Build report.json and report.html of a run from its ledger."""

import contextlib
import json
from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.recorder.follow import catch_up
from engine.recorder.ledger import state_text
from engine.recorder.segments import is_run_alive
from engine.report.latency import latency_summary
from engine.report.page import render_page
from engine.report.pnl import Books, Pnl, fees_by_asset, sum_fills, value
from engine.report.run import Folder, Run, load_folder
from engine.report.text import LATCHED
from engine.report.totals import NOT_STARTED, folder_name, sum_counts, totals
from engine.status import StatusReader
from fastcore.types import FillOwner, Halt, SendOutcome, Verb

_EVENT_COUNTERS = ("frames_market", "frames_trade", "frames_user", "snapshots")
LATENCY_DEFINITION = (
    "kernel receive stamp of the bytes that caused the message (market data, a fill, an answer), "
    "to the return of its send; every order, amend and cancel that was sent; percentiles "
    "by nearest rank, exact"
)


def build_report(run_dir: Path) -> dict[str, Any]:
    """Write report.json and report.html into `run_dir`; returns what report.json holds.

    Journals that the ledger has not caught up with are projected first. If that fails, the report
    is made of what the ledger has, and says so in `journal_error`.
    """
    journal_error = _catch_up(run_dir)
    folder = load_folder(run_dir)
    is_engine = folder.meta.get("kind") in ("live", "paper")
    report = make_report(folder, is_over=is_engine and not is_run_alive(run_dir))
    if journal_error:
        report["journal_error"] = journal_error
    report |= _counted_by_cores(run_dir)
    write_report(folder, report)
    return report


def write_report(folder: Folder, report: dict[str, Any]) -> None:
    """report.json and report.html."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    _write(folder.run_dir / "report.json", text)
    _write(folder.run_dir / "report.html", render_page(folder, report))


def make_report(folder: Folder, *, is_over: bool = False) -> dict[str, Any]:
    """The figures; pure. Those of the only instrument, or of all together (engine/report/totals),
    beside each instrument's own; and what happened. `is_over`: an engine's, which no process
    writes any more, so that what did not stop in order was killed."""
    reports = [core_report(run, is_over=is_over) for run in folder.cores]
    whole = dict(reports[0]) if len(reports) == 1 else totals(folder, reports)
    return whole | {
        "name": folder_name(folder),
        "kind": folder.meta.get("kind"),
        "config_sha256": folder.meta.get("config_sha256"),
        "limits_sha256": folder.meta.get("limits_sha256"),
        "instruments": reports,
        "fills_by_owner": sum_counts(one["fills_by_owner"] for one in reports),
        "divergences": folder.counts.get("divergences", 0),
        "open_at_the_end": folder.counts.get("open_at_the_end", 0),
        "what_happened": folder.story,
    }


def _final_state(run: Run, *, is_over: bool) -> str:
    """NOT STARTED where nothing was ever written, KILLED where it ended without saying so;
    STOPPED after an ordered shutdown (what it halts on its way is its consequence, what was
    latched before is told: STOPPED+STRATEGY), else the halt reasons in force, or RUNNING."""
    bits = run.states[-1]["new_bits"] if run.states else 0
    if not run.key:
        return NOT_STARTED
    if not bits & Halt.SHUTDOWN:
        told = state_text(bits)
        return told if not is_over else f"KILLED+{told}" if bits else "KILLED"
    latched = bits & LATCHED
    return f"STOPPED+{state_text(latched)}" if latched else "STOPPED"


def core_report(run: Run, *, is_over: bool = False) -> dict[str, Any]:
    """The figures of one instrument. Floats appear here for the first time."""
    opening = _opening(run)
    books = sum_fills(run.fills, opening)
    mark = _mark(run)
    pnl = value(books, mark, run.unit) if _is_valued(opening) else None
    events = sum(int(run.meta[key]) for key in _EVENT_COUNTERS)
    owners = Counter(FillOwner(fill.owner).name.lower() for fill in run.fills)
    return {
        "orders": run.count(Verb.PLACE, SendOutcome.SENT),
        "fills": len(run.fills),
        "position_lots": books.position_lots,
        "pnl": _floats(pnl),
        "tick_to_order": latency_summary(run.latency_ns),
        "state": _final_state(run, is_over=is_over),
        "run_dir": str(run.run_dir),
        "events": events,
        "events_per_s": round(events / run.duration_s, 1) if run.duration_s > 0 else 0.0,
        "key": run.key,
        "account": run.meta.get("account"),
        "venue": run.meta.get("venue"),
        "symbol": run.symbol,
        "base": run.base or None,
        "quote": run.quote,
        "strategy": run.config.get("strategy", "unknown"),
        "tick": str(run.tick),
        "lot": str(run.lot),
        "duration_s": run.duration_s,
        "amends": run.count(Verb.MODIFY, SendOutcome.SENT),
        "cancels": run.count(Verb.CANCEL, SendOutcome.SENT),
        "late": sum(run.count(verb, SendOutcome.LATE) for verb in Verb),
        "unsent": sum(
            run.count(verb, outcome)
            for verb in Verb
            for outcome in (SendOutcome.FAILED, SendOutcome.PARTIAL)
        ),
        "denies": run.denies,
        "gaps": run.gaps,
        "pnl_exact": {key: str(amount) for key, amount in asdict(pnl).items()} if pnl else None,
        # Only what is paid in quote is part of the P&L.
        "fees_by_asset": {name: f"{fee:.8f}" for name, fee in fees_by_asset(run.fills).items()},
        "fills_by_owner": dict(owners),
        "mid": _mid_text(mark, run.tick),
        "opening_position_lots": opening.position_lots,
        "tick_to_order_definition": LATENCY_DEFINITION,
        # Also what replies and our own fills caused; it is what the live view counts.
        **_reconcile(run, opening),
    }


def _opening(run: Run) -> Books:
    """What stood before the first fill: the run's opening, a position adopted, else nothing.

    Its cash (it counts as bought at the mid of its adoption) is in no fill; it is taken from the
    core's samples. So the cash of a run that opens flat is checked independently, of another not.
    """
    if run.fills:
        first = run.fills[0]
        position = first.position_after_lots - first.sign * first.qty_lots
    elif run.opening_lots is not None:
        position = run.opening_lots
    else:
        position = run.last_sample["position_lots"] if run.last_sample else 0
    last = run.last_sample
    if position == 0 or last is None:
        return Books(position_lots=position)
    traded = sum_fills((fill for fill in run.fills if fill.seq < last["seq"]), Books())
    return Books(position, last["cash_ticks_lots"] - traded.cash_ticks_lots)


def _is_valued(opening: Books) -> bool:
    """False of a position that was held before the run, in one that ended before its book was
    there: no mid is known at which it counts as bought, so there is no result either."""
    return opening.position_lots == 0 or opening.cash_ticks_lots != 0


def _mark(run: Run) -> int | None:
    """Twice the mid, in ticks, of the last sample with a two-sided book; else of the last fill."""
    newest = [run.last_sample] if run.last_sample else []
    for sample in (*newest, *reversed(run.samples)):
        if sample["bid_px_ticks"] and sample["ask_px_ticks"]:
            return int(sample["bid_px_ticks"] + sample["ask_px_ticks"])
    return (run.fills[-1].twice_mid_ticks or None) if run.fills else None


def _reconcile(run: Run, opening: Books) -> dict[str, Any]:
    """Our sums at the core's last sample beside its own. `reconciled` is null without a sample
    since the opening: one of before holds nothing of it (a run ended while it started)."""
    last = run.last_sample
    if last is None or last["seq"] < run.opening_seq:
        return {"reconciled": None}
    ours = asdict(sum_fills((fill for fill in run.fills if fill.seq < last["seq"]), opening))
    core = {key: last[key] for key in ours}
    if ours == core:
        return {"reconciled": True}
    mark = last["bid_px_ticks"] + last["ask_px_ticks"] or None
    for sums in (ours, core):
        pnl = value(Books(**sums), mark, run.unit)
        sums["pnl_total"] = str(pnl.total) if pnl else None
    return {"reconciled": False, "reconciliation": {"ledger": ours, "core": core}}


def _floats(pnl: Pnl | None) -> dict[str, float | None]:
    if pnl is None:
        return dict.fromkeys(("total", "spread", "fees", "inventory"))
    return {key: float(amount) for key, amount in asdict(pnl).items()}


def _mid_text(twice_mid_ticks: int | None, tick: Decimal) -> str | None:
    return None if twice_mid_ticks is None else str(twice_mid_ticks * tick / 2)


def _catch_up(run_dir: Path) -> str:
    if not (run_dir / "journal").is_dir() or is_run_alive(run_dir):
        return ""
    try:
        catch_up(run_dir)
    except TickmakerError as error:
        if not (run_dir / "ledger.sqlite").is_file():
            raise
        return error.what
    return ""


def _counted_by_cores(run_dir: Path) -> dict[str, Any]:
    """What only the status page's last word knows: refused calls of all strategies; and stages of
    latency where there is one instrument."""
    with contextlib.closing(StatusReader(run_dir / "status.page")) as reader:
        status = reader.read() or {}
    rows = list(status.get("instruments", {}).values())
    told: dict[str, Any] = {}
    if rows:
        told["nonsense"] = sum(row.get("nonsense", 0) for row in rows)
    if len(rows) == 1 and "stages" in rows[0]:
        told["stages"] = rows[0]["stages"]
    return told


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TickmakerError(
            f"cannot write {path}: {error.strerror}",
            "check the run folder's permissions and free disk space",
        ) from error
