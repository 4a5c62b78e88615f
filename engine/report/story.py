"""What happened and why, as the page's tables: the ledger's answers in the report's order."""

import json
from html import escape
from typing import Any

from engine.report.text import NONE, money, plain

# Heading of each part of `what_happened`; a part that is empty is left out.
HEADS = {
    "halts": "Halts, by reason, without start-up and shutdown",
    "divergences": "Divergences from the venue",
    "unknown_outcomes": "Orders whose fate was open, and how it was settled",
    "open_at_the_end": "Orders that were not seen to end",
    "recovered_fills": "Fills that are not of this run's orders, or came by REST",
    "taken": "What was taken, and why: hedges, flattening",
    "parameter_changes": "Changes of parameters",
    "connections": "Connections",
    "events": "Events",
    "steps": "Start and shutdown",
    "fees": "Fees, by asset",
    "balances": "Balances, as last told",
}


def table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def none(text: str) -> str:
    return f'<p class="none">{escape(text)}</p>'


def story(parts: dict[str, list[dict[str, Any]]]) -> str:
    """A panel for each part that has rows."""
    return "".join(
        f'<section class="panel list"><h2>{escape(HEADS[name])}</h2>'
        f"{table([*shown(rows[0])], [[*shown(row).values()] for row in rows])}</section>"
        for name, rows in parts.items()
        if rows
    )


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row's cells as text; a JSON object as its fields."""
    return {name: _cell(name, value) for name, value in row.items()}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return NONE
    if name in ("seconds", "ms") and isinstance(value, int | float):
        return f"{value:,.3f}"
    if name == "utc":
        return str(value).replace("T", " ")[:23]
    if name in ("detail", "params"):
        fields = json.loads(value)
        return ", ".join(f"{key} {_short(one)}" for key, one in fields.items()) or NONE
    return plain(value) if isinstance(value, int | float) else str(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def overview(report: dict[str, Any]) -> str:
    """All instruments: a row each, and a line of totals for each quote asset."""
    heads = ["instrument", "strategy", "state", "position", "fills", "orders", "P&L", "fees",
             "quote"]  # fmt: skip
    rows = [
        [
            one["key"], one["strategy"], one["state"].replace("+", " + "),
            plain(one["position_lots"]) + " lots", plain(one["fills"]), plain(one["orders"]),
            money(one["pnl"]["total"]), money(one["pnl"]["fees"]), one["quote"],
        ]
        for one in report["instruments"]
    ]  # fmt: skip
    for quote, exact in report["pnl_by_quote"].items():
        total, fees = (exact["total"], exact["fees"]) if exact else (None, None)
        rows.append(["together", "", "", "", "", "", money(total), money(fees), quote])
    return (
        f'<section class="panel list"><h2>Instruments</h2>{table(heads, rows)}</section>'
    )
