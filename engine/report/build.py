"""Build report.json and report.html of a run from its ledger."""

import contextlib
import json
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.errors import TickmakerError
from engine.recorder.follow import catch_up
from engine.recorder.ledger import state_text
from engine.recorder.segments import is_writer_alive
from engine.report.page import render_page
from engine.report.pnl import Books, Pnl, fees_by_asset, sum_fills, value
from engine.report.run import Run, load_run
from engine.status import StatusReader
from fastcore.types import Halt, SendOutcome, Verb

LATENCY_DEFINITION = (
    "kernel receive stamp of the bytes that caused the message (market data, a fill, an answer), "
    "to the return of its send; every order, amend and cancel that was sent; percentiles "
    "by nearest rank, exact"
)


def build_report(run_dir: Path) -> dict[str, Any]:
    """Write report.json and report.html into `run_dir`; returns what report.json holds.

    A journal that the ledger has not caught up with is projected first. If that fails, the report
    is made of what the ledger has, and says so in `journal_error`.
    """
    journal_error = _catch_up(run_dir)
    run = load_run(run_dir)
    report = make_report(run)
    if journal_error:
        report["journal_error"] = journal_error
    status = _last_status(run_dir)
    for key in ("stages", "nonsense"):
        if status and key in status:
            report[key] = status[key]
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    _write(run_dir / "report.json", text)
    _write(run_dir / "report.html", render_page(run, report))
    return report


def _final_state(run: Run) -> str:
    """STOPPED after an ordered shutdown (what it halts on its way is its consequence, what was
    latched before is told: STOPPED+STRATEGY), else the halt reasons in force, or RUNNING."""
    bits = run.states[-1]["new_bits"] if run.states else 0
    if not bits & Halt.SHUTDOWN:
        return state_text(bits)
    latched = bits & _LATCHED
    return f"STOPPED+{state_text(latched)}" if latched else "STOPPED"


def make_report(run: Run) -> dict[str, Any]:
    """The figures; pure. Floats appear here for the first time."""
    opening = _opening(run)
    books = sum_fills(run.fills, opening)
    mark = _mark(run)
    pnl = value(books, mark, run.unit)
    config = json.loads(run.meta.get("config", "{}"))
    config = config.get("core", config)
    events = sum(int(run.meta[key]) for key in _EVENT_COUNTERS)
    return {
        "orders": run.count(Verb.PLACE, SendOutcome.SENT),
        "fills": len(run.fills),
        "position_lots": books.position_lots,
        "pnl": _floats(pnl),
        "tick_to_order": latency_summary(run.latency_ns),
        "state": _final_state(run),
        "run_dir": str(run.run_dir),
        "events": events,
        "events_per_s": round(events / run.duration_s, 1) if run.duration_s > 0 else 0.0,
        "symbol": run.symbol,
        "strategy": config.get("strategy", "unknown"),
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
        "mid": _mid_text(mark, run.tick),
        "opening_position_lots": opening.position_lots,
        "tick_to_order_definition": LATENCY_DEFINITION,
        # Also what replies and our own fills caused; it is what the live view counts.
        **_reconcile(run, opening),
    }


_LATCHED = Halt.STRATEGY | Halt.REPEATED_EXECUTION | Halt.OPERATOR | Halt.JOURNAL
_EVENT_COUNTERS = ("frames_market", "frames_trade", "frames_user", "snapshots")


def latency_summary(sorted_ns: list[int]) -> dict[str, float | int | None]:
    """p50_us, p99_us, p999_us, max_us by nearest rank, and n; None where nothing was sent."""
    if not sorted_ns:
        return {"p50_us": None, "p99_us": None, "p999_us": None, "max_us": None, "n": 0}
    return {
        "p50_us": nearest_rank(sorted_ns, 500, 1000) / 1000,
        "p99_us": nearest_rank(sorted_ns, 990, 1000) / 1000,
        "p999_us": nearest_rank(sorted_ns, 999, 1000) / 1000,
        "max_us": sorted_ns[-1] / 1000,
        "n": len(sorted_ns),
    }


def nearest_rank(sorted_ns: list[int], part: int, whole: int) -> int:
    """The smallest value that at least part/whole of the values do not exceed."""
    return sorted_ns[max(-(-len(sorted_ns) * part // whole), 1) - 1]


def _opening(run: Run) -> Books:
    """What stood before the first fill: a position adopted from the venue, else nothing.

    Its cash (it counts as bought at the mid of its adoption) is in no fill; it is taken from the
    core's samples. So the cash of a run that opens flat is checked independently, of another not.
    """
    if run.fills:
        first = run.fills[0]
        position = first.position_after_lots - first.sign * first.qty_lots
    else:
        position = run.samples[-1]["position_lots"] if run.samples else 0
    if position == 0 or not run.samples:
        return Books(position_lots=position)
    last = run.samples[-1]
    traded = sum_fills((fill for fill in run.fills if fill.seq < last["seq"]), Books())
    return Books(position, last["cash_ticks_lots"] - traded.cash_ticks_lots)


def _mark(run: Run) -> int | None:
    """Twice the mid, in ticks, of the last sample with a two-sided book; else of the last fill."""
    for sample in reversed(run.samples):
        if sample["bid_px_ticks"] and sample["ask_px_ticks"]:
            return int(sample["bid_px_ticks"] + sample["ask_px_ticks"])
    return (run.fills[-1].twice_mid_ticks or None) if run.fills else None


def _reconcile(run: Run, opening: Books) -> dict[str, Any]:
    """Our sums at the core's last sample beside its own. `reconciled` is null without a sample."""
    if not run.samples:
        return {"reconciled": None}
    last = run.samples[-1]
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
    journal = run_dir / "journal"
    if not journal.is_dir() or is_writer_alive(journal):
        return ""
    try:
        catch_up(run_dir)
    except TickmakerError as error:
        if not (run_dir / "ledger.sqlite").is_file():
            raise
        return error.what
    return ""


def _last_status(run_dir: Path) -> dict[str, Any] | None:
    reader = StatusReader(run_dir / "status.page")
    with contextlib.closing(reader):
        return reader.read()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TickmakerError(
            f"cannot write {path}: {error.strerror}",
            "check the run folder's permissions and free disk space",
        ) from error
