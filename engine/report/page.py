"""report.html: one file, no network, readable as it is and in ten years.

Everything that comes from the run is escaped; plotly.js is inlined.
"""

from html import escape
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly import io, offline

from engine.report.figures import latency_figure, market_figure
from engine.report.pnl import Fill
from engine.report.run import Folder, Run
from engine.report.story import none, overview, story, table
from engine.report.text import (
    bits_text,
    denied_text,
    fee_text,
    money,
    other_fees,
    plain,
    quantity,
    us,
    utc_text,
)
from fastcore.types import FeeAsset

_TEMPLATE = Path(__file__).with_name("template.html")
FILLS_SHOWN = 20
INSTRUMENTS_DRAWN = 8  # each is a megabyte of page; the rest are rows of the table
_BUTTONS = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]


def render_page(folder: Folder, report: dict[str, Any]) -> str:
    """The whole page as text."""
    several = len(folder.cores) > 1
    pairs = [*zip(folder.cores, report["instruments"], strict=True)]
    drawn = sorted(pairs, key=lambda pair: -len(pair[0].fills))[:INSTRUMENTS_DRAWN]
    blocks = [
        _instrument(run, one if several else report, several)
        for run, one in pairs
        if any(run is each for each, _ in drawn)
    ]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(report["name"]),
        subtitle=_subtitle(folder, report),
        alerts=_alerts(report),
        overview=overview(report) if several else "",
        instruments="".join(blocks),
        story=story(report["what_happened"]),
        plotly=offline.get_plotlyjs(),
    )


def _instrument(run: Run, report: dict[str, Any], has_head: bool) -> str:
    """Cards, plots and tables of one instrument."""
    quote = run.quote
    market = (
        _plot(market_figure(run, quote)) if run.samples else none("no samples in this run")
    )
    latency = (
        _plot(latency_figure(run.latency_ns))
        if run.latency_ns
        else none("no order or cancel was sent in this run")
    )
    head = f"<h2>{escape(run.key)} {escape(report['strategy'])}</h2>" if has_head else ""
    return f'''<section class="instrument">{head}
<div class="cards">{_cards(run, report, quote)}</div>
<section class="panel"><h2>Market, quotes and fills; position; P&amp;L</h2>{market}</section>
<section class="panel"><h2>Tick-to-order latency</h2>{latency}
<p class="note">{escape(_latency_note(report))}</p></section>
<div class="tables">
<section class="panel"><h2>Fills</h2>{_fills(run, quote)}</section>
<section class="panel halts"><h2>Changes of state</h2>{_halts(run)}</section>
</div></section>
'''


def _plot(figure: go.Figure) -> str:
    config = {
        "displaylogo": False,
        "modeBarButtons": [_BUTTONS],
        "responsive": True,
        "scrollZoom": True,
    }
    html: str = io.to_html(figure, full_html=False, include_plotlyjs=False, config=config)
    return html


def _subtitle(folder: Folder, report: dict[str, Any]) -> str:
    first = min(folder.cores, key=lambda run: run.first_ts_ns)
    is_one = len(folder.cores) == 1
    parts = [
        utc_text(first.first_ts_ns + int(first.meta["wall_minus_monotonic_ns"] or 0)),
        f"{report['duration_s']:,.1f} s",
        f"{plain(report['events'])} events, {report['events_per_s']:,.0f} events/s",
        *([f"tick {report['tick']}, lot {report['lot']}"] if is_one else []),
        str(folder.run_dir.name),
    ]
    return " · ".join(escape(part) for part in parts)


def _alerts(report: dict[str, Any]) -> str:
    alerts = []
    if report.get("journal_error"):
        alerts.append(f"The journal could not be read to its end: {report['journal_error']}")
    for one in report["instruments"]:
        if one["reconciled"] is False:
            both = one["reconciliation"]
            differing = [
                f"{key} {both['ledger'][key]} in the ledger, {both['core'][key]} in the core"
                for key in both["ledger"]
                if both["ledger"][key] != both["core"][key]
            ]
            alerts.append(f"Ledger and core disagree: {one['symbol']}: " + "; ".join(differing))
    for row in report["what_happened"].get("divergences", ()):
        where = row["instrument"] or row["account"] or "the engine"
        alerts.append(f"Divergence from the venue, {row['utc']}, {where}: {row['text']}")
    return "".join(f'<p class="alert">{escape(alert)}</p>' for alert in alerts)


def _card(label: str, value: str, lines: list[str], tone: str = "") -> str:
    details = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<section class="card"><h2>{escape(label)}</h2>'
        f'<p class="value {tone}">{escape(value)}</p><ul>{details}</ul></section>'
    )


def _cards(run: Run, report: dict[str, Any], quote: str) -> str:
    pnl, latency = report["pnl"], report["tick_to_order"]
    total, elsewhere = pnl["total"], other_fees(report)
    tone = "" if not total else "gain" if total > 0 else "loss"
    denies = sum(report["denies"].values())
    return "".join(
        [
            _card(
                "P&L",
                f"{money(total)} {quote}",
                [f"{key} {money(pnl[key])}" for key in ("spread", "fees", "inventory")]
                + ([f"fees in other assets {elsewhere}"] if elsewhere else []),
                tone,
            ),
            _card(
                "Tick-to-order, p50",
                us(latency["p50_us"]),
                [
                    f"p99 {us(latency['p99_us'])}, p99.9 {us(latency['p999_us'])}",
                    f"max {us(latency['max_us'])}",
                    f"n {plain(latency['n'])}",
                ],
            ),
            _card(
                "Fills",
                plain(report["fills"]) if report["fills"] else "no fills in this run",
                [
                    f"{plain(report['orders'])} orders, {plain(report['amends'])} amends, "
                    f"{plain(report['cancels'])} cancels",
                    f"{plain(report['late'])} late, {plain(report['unsent'])} unsent",
                    f"{plain(denies)} denied" + (f": {denied_text(report)}" if denies else ""),
                ],
                "" if report["fills"] else "quiet",
            ),
            _card(
                "Position",
                f"{plain(report['position_lots'])} lots",
                [
                    quantity(report["position_lots"], run.lot) + " of the base asset",
                    f"mid {report['mid'] or 'unknown'} {quote}",
                ],
            ),
            _card(
                "State at the end",
                report["state"].replace("+", " + "),
                [
                    f"{plain(report['gaps'])} update-id gaps",
                    f"{plain(report.get('nonsense', 0))} refused calls of the strategy",
                    _reconciled(report),
                ],
                "" if report["state"] in ("RUNNING", "STOPPED") else "loss",
            ),
        ]
    )


def _latency_note(report: dict[str, Any]) -> str:
    return f"{report['tick_to_order_definition']}."


def _reconciled(report: dict[str, Any]) -> str:
    words = {True: "ledger and core agree", False: "ledger and core DISAGREE", None: "no samples"}
    told = words[report["reconciled"]]
    if count := report.get("divergences", 0):
        told += f"; the venue differed, see above ({plain(count)})"
    return told


def _fee(fill: Fill, quote: str) -> str:
    asset = FeeAsset(fill.fee_asset)
    return fee_text(fill.fee_e8, quote if asset is FeeAsset.QUOTE else asset.name.lower())


def _fills(run: Run, quote: str) -> str:
    if not run.fills:
        return none("no fills in this run")
    rows = [
        [
            f"{run.elapsed_s(fill.ts_ns):,.3f}",
            "buy" if fill.sign > 0 else "sell",
            str(fill.px_ticks * run.tick),
            quantity(fill.qty_lots, run.lot),
            _fee(fill, quote),
            plain(fill.position_after_lots),
        ]
        for fill in reversed(run.fills[-FILLS_SHOWN:])
    ]
    heads = ["time, s", "side", f"price, {quote}", "quantity", "fee", "position, lots"]
    note = f"the last {len(rows)} of {len(run.fills):,}; all of them are in ledger.sqlite, v_fills"
    return table(heads, rows) + f'<p class="note">{escape(note)}</p>'


def _halts(run: Run) -> str:
    if not run.states:
        return none("no halts in this run")
    rows = [
        [
            f"{run.elapsed_s(row['ts_ns']):,.3f}",
            bits_text(row["old_bits"]),
            bits_text(row["new_bits"]),
        ]
        for row in run.states[-FILLS_SHOWN:]
    ]
    return table(["time, s", "from", "to"], rows)
