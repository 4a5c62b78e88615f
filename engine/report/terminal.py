"""Results in the terminal: the summary of a run, and any command's result as names and values."""

from decimal import Decimal
from typing import Any

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.report.story import HEADS, shown
from engine.report.text import (
    NONE,
    denied_text,
    is_number,
    money,
    other_fees,
    plain,
    quote_name,
    us,
)

STORY_ROWS_SHOWN = 20  # of each part; the page has more, the ledger all
GOOD, BAD, SOFT, EDGE = "green", "red", "dim", "grey50"


def rows_table(rows: list[tuple[str, str, str]]) -> Table:
    """Names left, values right; each row is (name, value, style of the value)."""
    table = Table.grid(expand=True, padding=(0, 1))
    width = max((len(name) for name, *_ in rows), default=0)
    table.add_column(no_wrap=True, min_width=width)
    table.add_column(justify="right", overflow="fold")
    for name, value, style in rows:
        table.add_row(Text(name, SOFT), Text(value, style))
    return table


def tone(amount: Any) -> str:
    if not is_number(amount) or not Decimal(str(amount)):
        return ""
    return GOOD if Decimal(str(amount)) > 0 else BAD


def summary(report: dict[str, Any]) -> RenderableType:
    """What report.json says, for people."""
    quote = report.get("quote") or quote_name(str(report.get("symbol", "")))
    several = len(report.get("instruments", ())) > 1
    latency = report["tick_to_order"]
    events = f"{plain(report['events'])} ({report['events_per_s']:,.0f}/s"
    refused = report.get("nonsense", 0)
    denied = sum(report.get("denies", {}).values())
    sent = ", ".join(plain(report.get(key, 0)) for key in ("orders", "amends", "cancels"))
    rows = [
        *_pnl_rows(report, quote),
        *([("fees in other assets", other_fees(report), "")] if other_fees(report) else []),
        *([] if several else [("position", f"{plain(report['position_lots'])} lots", "")]),
        ("fills", plain(report["fills"]) if report["fills"] else "no fills in this run", ""),
        ("orders, amends, cancels", sent, ""),
        ("denied, late", f"{plain(denied)}, {plain(report.get('late', 0))}", ""),
        *([("  denied for", denied_text(report), "")] if denied else []),
        *([("refused calls of the strategy", plain(refused), BAD)] if refused else []),
        ("tick-to-order p50", us(latency["p50_us"]), "bold"),
        ("  p99, p99.9", f"{us(latency['p99_us'])}, {us(latency['p999_us'])}", ""),
        ("  max, n", f"{us(latency['max_us'])}, {plain(latency['n'])}", ""),
        ("events", f"{events}, {report.get('duration_s', 0.0):,.1f} s)", ""),
        ("state at the end", report["state"].replace("+", " + "), ""),
    ]
    if report.get("open_at_the_end"):
        rows.append(("orders not seen to end", plain(report["open_at_the_end"]), BAD))
    if report.get("divergences"):
        rows.append(("divergences from the venue", plain(report["divergences"]), f"bold {BAD}"))
    if report.get("orders_sha256"):
        rows.append(("sha256 of the orders", f"{report['orders_sha256'][:16]}…", ""))
    if report.get("reconciled") is False:
        rows.append(("ledger and core", "DISAGREE; report.json has both", f"bold {BAD}"))
    if report.get("journal_error"):
        rows.append(("journal", "DAMAGED; report.json says where", f"bold {BAD}"))
    title = report.get("name") or f"{report.get('symbol', 'run')} {report.get('strategy', '')}"
    files = Text(f"{report['run_dir']}/report.html", overflow="fold")
    table = rows_table(rows)
    panel = Panel(
        table, title=Text(title.rstrip()), title_align="left", box=ROUNDED, border_style=EDGE,
        width=58,
    )  # fmt: skip
    return Group(panel, files)


def _pnl_rows(report: dict[str, Any], quote: str) -> list[tuple[str, str, str]]:
    """The P&L and its parts; of several quote assets each its total."""
    by_quote = report.get("pnl_by_quote", {})
    if len(by_quote) > 1:
        totals = {name: exact and exact["total"] for name, exact in by_quote.items()}
        return [
            (f"P&L in {name}", f"{money(total)} {name}", f"bold {tone(total)}")
            for name, total in totals.items()
        ]
    pnl = report["pnl"]
    return [
        ("P&L total", f"{money(pnl['total'])} {quote}", f"bold {tone(pnl['total'])}"),
        ("  spread", f"{money(pnl['spread'])} {quote}", ""),
        ("  fees", f"{money(pnl['fees'])} {quote}", ""),
        ("  inventory", f"{money(pnl['inventory'])} {quote}", ""),
    ]


def story_tables(report: dict[str, Any]) -> list[RenderableType]:
    """What happened and why, after the summary: each part that has rows."""
    parts: list[RenderableType] = []
    several = report.get("instruments", ())
    if len(several) > 1:
        parts += [Text("Instruments", "bold"), _row_table([
            {
                "instrument": one["key"], "state": one["state"].replace("+", " + "),
                "position_lots": one["position_lots"], "fills": one["fills"],
                "orders": one["orders"], "pnl": f"{money(one['pnl']['total'])} {one['quote']}",
            }
            for one in several
        ])]  # fmt: skip
    for name, rows in report.get("what_happened", {}).items():
        if rows:
            shown_rows = [shown(row) for row in rows[-STORY_ROWS_SHOWN:]]
            parts += [Text(HEADS[name], "bold"), _row_table(shown_rows)]
            if len(rows) > len(shown_rows):
                parts.append(Text(f"the last {len(shown_rows)} of {len(rows)}", SOFT))
    return parts


def print_summary(console: Console, report: dict[str, Any]) -> None:
    console.print(summary(report), highlight=False)


def print_result(result: dict[str, Any], console: Console | None = None) -> None:
    """Any command's result for people: a run's summary, or names and values, rows as a table."""
    console = console or Console()
    if "pnl" in result and "tick_to_order" in result and "run_dir" in result:
        print_summary(console, result)
        for part in story_tables(result):
            console.print(part, highlight=False)
        return
    flat = Table.grid(padding=(0, 2))
    flat.add_column(no_wrap=True)
    flat.add_column(overflow="fold")
    tables: list[tuple[str, Table]] = []
    for name, value in result.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            tables.append((name, _row_table(value)))
        elif isinstance(value, dict):
            tables.append((name, _row_table([value])))
        else:
            flat.add_row(Text(name, SOFT), Text(cell_text(value)))
    console.print(flat, highlight=False)
    for name, table in tables:
        console.print(Text(name, "bold"), table, highlight=False, sep="\n")


def _row_table(rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=SIMPLE_HEAD)
    for name in names:
        is_text = any(isinstance(row.get(name), str) for row in rows)
        table.add_column(
            Text(name), justify="left" if is_text else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell_text(row.get(name))) for name in names))
    return table


def cell_text(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(cell_text, value)) or NONE
    return f"{value:,}" if isinstance(value, int) else str(value)
