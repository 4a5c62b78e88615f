"""Several instruments as one: what can be added is added, the rest is listed."""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

from engine.report.latency import latency_summary
from engine.report.run import Folder

_ADDED = ("orders", "fills", "events", "amends", "cancels", "late", "unsent", "gaps")
NOT_STARTED = "NOT STARTED"  # a run that was over before its engine's first record
_EXACT = Context(prec=60)
_PARTS = ("total", "spread", "fees", "inventory")


def folder_name(folder: Folder) -> str:
    """For a heading: the instrument and its strategy, or how many there are."""
    paper = "paper: " if folder.meta.get("kind") == "paper" else ""
    if len(folder.cores) == 1:
        run = folder.cores[0]
        if not run.key:
            return f"{paper}a run that never began"
        name = f"{paper}{run.symbol} {run.config.get('strategy', 'unknown')}"
        is_engine = folder.meta.get("kind") in ("live", "paper")
        return f"{name}, {run.meta['account']} at {run.meta['venue']}" if is_engine else name
    accounts = sorted({str(run.meta.get("account")) for run in folder.cores})
    return f"{paper}{len(folder.cores)} instruments, {', '.join(accounts)}"


def totals(folder: Folder, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The report of all instruments together. P&L in several quote assets is listed, not added:
    `pnl` is then empty, and `pnl_by_quote` has it. Positions are never added."""
    runs = folder.cores
    first_ns = min(run.first_ts_ns for run in runs)
    duration_s = (max(run.last_ts_ns for run in runs) - first_ns) / 1e9
    events = sum(one["events"] for one in reports)
    by_quote = pnl_by_quote(reports)
    exact = next(iter(by_quote.values())) if len(by_quote) == 1 else None
    agreed = [one["reconciled"] for one in reports if one["reconciled"] is not None]
    return {
        **{key: sum(one[key] for one in reports) for key in _ADDED},
        "position_lots": None,
        "pnl": {part: float(exact[part]) if exact else None for part in _PARTS},
        "pnl_exact": exact,
        "pnl_by_quote": by_quote,
        "tick_to_order": latency_summary(sorted(ns for run in runs for ns in run.latency_ns)),
        "tick_to_order_definition": reports[0]["tick_to_order_definition"],
        "state": common_state([one["state"] for one in reports]),
        "run_dir": str(folder.run_dir),
        "events_per_s": round(events / duration_s, 1) if duration_s > 0 else 0.0,
        "symbol": f"{len(runs)} instruments",
        "quote": next(iter(by_quote)) if len(by_quote) == 1 else None,
        "strategy": ", ".join(sorted({one["strategy"] for one in reports})),
        "duration_s": duration_s,
        "denies": sum_counts(one["denies"] for one in reports),
        "fees_by_asset": fees_by_asset(folder),
        "reconciled": all(agreed) if agreed else None,
    }


def pnl_by_quote(reports: list[dict[str, Any]]) -> dict[str, dict[str, str] | None]:
    """Exact texts, by quote asset; None where an instrument of it could not be valued."""
    sums: dict[str, dict[str, Decimal] | None] = {}
    for one in reports:
        exact, quote = one["pnl_exact"], one["quote"]
        so_far = sums.get(quote, dict.fromkeys(_PARTS, Decimal(0)))
        if exact is None or so_far is None:
            sums[quote] = None
        else:
            sums[quote] = {
                part: _EXACT.add(so_far[part], Decimal(exact[part])) for part in _PARTS
            }
    return {
        quote: None if parts is None else {part: str(amount) for part, amount in parts.items()}
        for quote, parts in sums.items()
    }


def fees_by_asset(folder: Folder) -> dict[str, str]:
    """What was paid in each asset, by its name where the venue told it."""
    paid: dict[str, Decimal] = {}
    for row in folder.story.get("fees", ()):
        amount = Decimal(row["paid"])
        if amount:
            paid[row["asset"]] = _EXACT.add(paid.get(row["asset"], Decimal(0)), amount)
    return {asset: f"{amount:.8f}" for asset, amount in paid.items()}


def common_state(states: list[str]) -> str:
    """Every word that some instrument's state has; RUNNING only where nothing else is said."""
    words = list(dict.fromkeys(word for state in states for word in state.split("+")))
    return "+".join([word for word in words if word != "RUNNING"] or ["RUNNING"])


def sum_counts(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Added by name, the most frequent first."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items(), key=lambda item: -item[1]))
