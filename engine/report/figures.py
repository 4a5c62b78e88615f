"""The report's plots: what the market did, what we quoted and traded, and how fast.

Colours read on a light and on a dark page and do not rest on red against green: buys and bids are
blue, sells and asks are orange.
"""

import math
from dataclasses import asdict
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from engine.recorder.ledger import state_text
from engine.report.pnl import Books, value
from engine.report.run import Run
from fastcore.types import FeeAsset, Side

BUY, SELL, MID, HALTED, RUNNING = "#2f81f7", "#e8833a", "#8b949e", "#c93c37", "#3fa66a"
TOTAL, SPREAD, FEES, INVENTORY = "#8957e5", "#2f9e97", "#c93c37", "#c99a2e"
TEXT, GRID = "#7d8590", "rgba(125,133,144,0.22)"
SHADES_MAX = 300  # halts shaded behind the panels; the strip on top shows all
_BINS_PER_DECADE = 20
_SUM_KEYS = ("position_lots", "cash_ticks_lots", "fees_e8", "spread_half_ticks_lots", "fills")


def market_figure(run: Run, quote: str) -> go.Figure:
    """State strip, mid with own quotes and fills, position, P&L over one time axis."""
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.03, 0.5, 0.17, 0.3],
        vertical_spacing=0.035,
    )
    samples = run.samples  # thinned by run.py
    times = [run.elapsed_s(row["ts_ns"]) for row in samples]
    _add_states(figure, run)
    _add_prices(figure, run, samples, times)
    _add_fills(figure, run)
    _add_position(figure, run, samples, times)
    _add_pnl(figure, run, samples, times)
    _style(figure, 860)
    figure.update_yaxes(visible=False, fixedrange=True, row=1, col=1)
    figure.update_yaxes(title_text=f"price, {quote}", tickformat=",~r", row=2, col=1)
    figure.update_yaxes(title_text="position, lots", row=3, col=1)
    figure.update_yaxes(title_text=f"P&L, {quote}", row=4, col=1)
    end_s = max(run.duration_s, 1e-3)
    figure.update_xaxes(range=[0, end_s], hoverformat=",.3f")
    figure.update_xaxes(title_text="time since the start, s", row=4, col=1)
    figure.update_layout(
        hovermode="x", legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}
    )
    return figure


def latency_figure(latency_ns: list[int]) -> go.Figure:
    """Tick-to-order: percentile curve (p50 to p99.99, as far as n carries) and histogram."""
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=("tick-to-order by percentile", "tick-to-order histogram"),
        horizontal_spacing=0.09,
    )
    if latency_ns:
        _add_percentiles(figure, latency_ns)
        _add_histogram(figure, latency_ns)
    _style(figure, 360)
    ticks = [2, 10, 100, 1000, 10_000]
    labels = ["p50", "p90", "p99", "p99.9", "p99.99"]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=labels, row=1, col=1)
    microseconds = [step * 10**power for power in range(-1, 8) for step in (1, 2, 5)]
    texts = [f"{value:,g}" for value in microseconds]
    log = {"type": "log", "title_text": "µs", "tickvals": microseconds, "ticktext": texts}
    figure.update_xaxes(**log, row=1, col=2)
    figure.update_yaxes(**log, row=1, col=1)
    figure.update_yaxes(title_text="messages", row=1, col=2)
    figure.update_annotations(font={"size": 13, "color": TEXT})
    figure.update_layout(showlegend=False)
    return figure


def state_intervals(run: Run) -> list[tuple[float, float, int]]:
    """(from_s, to_s, halt bits) from the first record to the last, without gaps."""
    if not run.states:
        return [(0.0, run.duration_s, 0)]
    starts = [0.0, *(run.elapsed_s(row["ts_ns"]) for row in run.states)]
    ends = [*starts[1:], run.duration_s]
    bits = [run.states[0]["old_bits"], *(row["new_bits"] for row in run.states)]
    return [
        (start, end, bit)
        for start, end, bit in zip(starts, ends, bits, strict=True)
        if end > start
    ]


def _add_states(figure: go.Figure, run: Run) -> None:
    intervals = state_intervals(run)
    for name, colour, is_halted in (("running", RUNNING, False), ("halted", HALTED, True)):
        chosen = [interval for interval in intervals if bool(interval[2]) == is_halted]
        figure.add_trace(
            go.Scatter(
                x=[x for start, end, _ in chosen for x in (start, (start + end) / 2, end, None)],
                y=[y for _ in chosen for y in (0, 0, 0, None)],
                text=[state_text(bits) for *_, bits in chosen for _ in range(4)],
                hovertemplate="%{text}<extra></extra>",
                mode="lines",
                line={"color": colour, "width": 12},
                name=name,
            ),
            row=1,
            col=1,
        )
    halts = [interval for interval in intervals if interval[2]]
    for start, end, _ in halts[:SHADES_MAX]:
        figure.add_shape(
            type="rect",
            x0=start,
            x1=end,
            xref="x",
            y0=0,
            y1=0.955,
            yref="paper",
            fillcolor=HALTED,
            opacity=0.10,
            line_width=0,
            layer="below",
        )


def _add_line(figure: go.Figure, row: int, x: list[float], y: list[Any], **line: Any) -> None:
    name, colour = line["name"], line["color"]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            name=name,
            line={"color": colour, "width": line.get("width", 1.4), "shape": "hv"},
            hovertemplate=f"{name} %{{y:,}}<extra></extra>",
            showlegend=line.get("legend", True),
        ),
        row=row,
        col=1,
    )


def _add_prices(figure: go.Figure, run: Run, samples: list[Any], times: list[float]) -> None:
    def px(ticks: float) -> float | None:
        return float(run.tick) * ticks if ticks else None

    mids = [
        px((row["bid_px_ticks"] + row["ask_px_ticks"]) / 2)
        if row["bid_px_ticks"] and row["ask_px_ticks"]
        else None
        for row in samples
    ]
    _add_line(figure, 2, times, mids, name="mid", color=MID, width=1.6)
    for name, column, colour in (
        ("own bid", "own_bid_px_ticks", BUY),
        ("own ask", "own_ask_px_ticks", SELL),
    ):
        _add_line(figure, 2, times, [px(row[column]) for row in samples], name=name, color=colour)


def _add_fills(figure: go.Figure, run: Run) -> None:
    for side, name, colour, symbol in (
        (Side.BUY, "buy fill", BUY, "triangle-up"),
        (Side.SELL, "sell fill", SELL, "triangle-down"),
    ):
        fills = [fill for fill in run.fills if fill.side == side]
        figure.add_trace(
            go.Scatter(
                x=[run.elapsed_s(fill.ts_ns) for fill in fills],
                y=[float(fill.px_ticks * run.tick) for fill in fills],
                customdata=[
                    (
                        str(fill.qty_lots * run.lot),
                        fill.fee_e8 / 1e8,
                        fill.position_after_lots,
                        FeeAsset(fill.fee_asset).name.lower(),
                    )
                    for fill in fills
                ],
                hovertemplate=f"{name} %{{customdata[0]}} @ %{{y:,}}, fee %{{customdata[1]:.6f}} "
                "%{customdata[3]}, position %{customdata[2]} lots<extra></extra>",
                mode="markers",
                marker={
                    "symbol": symbol,
                    "size": 10,
                    "color": colour,
                    "line": {"width": 1, "color": "rgba(255,255,255,0.8)"},
                },
                name=name,
            ),
            row=2,
            col=1,
        )


def _add_position(figure: go.Figure, run: Run, samples: list[Any], times: list[float]) -> None:
    points = sorted(
        [(time, row["position_lots"]) for time, row in zip(times, samples, strict=True)]
        + [(run.elapsed_s(fill.ts_ns), fill.position_after_lots) for fill in run.fills],
        key=lambda point: point[0],
    )
    x, y = [point[0] for point in points], [point[1] for point in points]
    _add_line(figure, 3, x, y, name="position", color=TOTAL, legend=False)
    figure.data[-1].update(fill="tozeroy", fillcolor="rgba(137,87,229,0.12)")


def _add_pnl(figure: go.Figure, run: Run, samples: list[Any], times: list[float]) -> None:
    lines: dict[str, list[float | None]] = {
        key: [] for key in ("total", "spread", "fees", "inventory")
    }
    for row in samples:
        mark = row["bid_px_ticks"] + row["ask_px_ticks"] or None
        pnl = value(Books(*(row[key] for key in _SUM_KEYS)), mark, run.unit)
        amounts = asdict(pnl) if pnl else {}
        for key, line in lines.items():
            line.append(float(amounts[key]) if pnl else None)
    colours = {"spread": SPREAD, "fees": FEES, "inventory": INVENTORY, "total": TOTAL}
    for key, colour in colours.items():
        width = 2.2 if key == "total" else 1.3
        _add_line(figure, 4, times, lines[key], name=f"P&L {key}", color=colour, width=width)


def _add_percentiles(figure: go.Figure, latency_ns: list[int]) -> None:
    """x is 1/(1-p), so that each nine takes the same room; no percentile finer than 1/n."""
    count = len(latency_ns)
    x, y, text = [], [], []
    for step in range(81):
        inverse = 2 * 10 ** (step * math.log10(5000) / 80)
        if inverse > count and step:
            break
        rank = max(math.ceil(count * (1 - 1 / inverse)), 1)
        x.append(inverse)
        y.append(latency_ns[rank - 1] / 1000)
        text.append(f"p{100 * (1 - 1 / inverse):.4g}")
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            text=text,
            mode="lines",
            line={"color": BUY, "width": 2, "shape": "hv"},
            hovertemplate="%{text}: %{y:,.2f} µs<extra></extra>",
        ),
        row=1,
        col=1,
    )


def _add_histogram(figure: go.Figure, latency_ns: list[int]) -> None:
    """Bins of equal width on a log axis."""
    counts: dict[int, int] = {}
    for latency in latency_ns:
        bin_index = math.floor(math.log10(max(latency, 1) / 1000) * _BINS_PER_DECADE)
        counts[bin_index] = counts.get(bin_index, 0) + 1
    bins = sorted(counts)
    low = [10 ** (index / _BINS_PER_DECADE) for index in bins]
    high = [10 ** ((index + 1) / _BINS_PER_DECADE) for index in bins]
    figure.add_trace(
        go.Bar(
            x=[(a + b) / 2 for a, b in zip(low, high, strict=True)],
            width=[b - a for a, b in zip(low, high, strict=True)],
            y=[counts[index] for index in bins],
            text=[f"{a:.3g} to {b:.3g} µs" for a, b in zip(low, high, strict=True)],
            textposition="none",
            marker={"color": BUY, "line": {"width": 0}},
            hovertemplate="%{text}: %{y:,}<extra></extra>",
        ),
        row=1,
        col=2,
    )


def _style(figure: go.Figure, height: int) -> None:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 78, "r": 16, "t": 64, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": TEXT},
        hoverlabel={"font": {"size": 12}},
        bargap=0,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GRID, "activecolor": BUY},
    )
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": False}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
