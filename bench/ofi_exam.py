"""The order-flow exam: how much of the mid's move within a window does the order-flow imbalance of
the same window explain?

    python -m bench.ofi_exam FOLDER [--plot docs/ofi_exam.svg]

FOLDER holds btcusdt_20240808.gz and ethusdt_20240808.gz: USD-M futures, 8 August 2024, 344
seconds. y is the change of the mid in ticks, x the sum of the best-level events e_n in units of
the base asset (Cont-Kukanov-Stoikov 2014 eq. 10-12), over complete windows counted from the first
bookTicker, by local time; ordinary least squares with an intercept. It is an exam of the
arithmetic, and no promise: flow and move are of the same window.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.captures import load
from fastcore import calibration, kernels
from fastcore.kernels_base import F64, I64

SECOND_NS = 1_000_000_000
LOT = 0.001  # of the base asset, both symbols
TICKS = {"btcusdt": "0.10", "ethusdt": "0.01"}
PHASES = 10


class Answer(NamedTuple):
    """One line of the exam."""

    symbol: str
    window_s: int
    fit: calibration.Regression
    r_squared_least: float  # over PHASES starts of the windows
    r_squared_most: float
    next_r_squared: float  # of the next window's move on this window's flow
    x: F64
    y: F64


def examine(folder: Path) -> Iterator[Answer]:
    """The exam's four lines."""
    for symbol, tick in TICKS.items():
        touches = load(folder / f"{symbol}_20240808.gz", tick, str(LOT)).touches
        events = kernels.ofi_events(touches)
        for window_s in (1, 10):
            yield _answer(symbol, touches, events, window_s)


def _answer(symbol: str, touches: I64, events: I64, window_s: int) -> Answer:
    window_ns = window_s * SECOND_NS
    start_ns = int(touches[0, 4])
    phases = []
    for phase in range(PHASES):
        at = start_ns + phase * window_ns // PHASES
        flows, moves = calibration.window_changes(touches, events, window_ns, at)
        phases.append((flows * LOT, moves))
    fits = [calibration.regress(*phase) for phase in phases]
    x, y = phases[0]
    return Answer(
        symbol,
        window_s,
        fits[0],
        min(fit.r_squared for fit in fits),
        max(fit.r_squared for fit in fits),
        calibration.regress(x[:-1], y[1:]).r_squared,
        x,
        y,
    )


def table(answers: list[Answer]) -> str:
    """The exam as a Markdown table."""
    lines = [
        "| symbol | window | N | R² | slope (ticks/unit) | OLS s.e. | White s.e. "
        "| R² over 10 phases | R² of the next window |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for a in answers:
        lines.append(
            f"| {a.symbol.upper()} | {a.window_s} s | {a.fit.points} | {a.fit.r_squared:.6f} "
            f"| {a.fit.slope:.6f} | {a.fit.slope_error:.4f} | {a.fit.slope_error_white:.4f} "
            f"| {a.r_squared_least:.3f}-{a.r_squared_most:.3f} | {a.next_r_squared:.4f} |"
        )
    return "\n".join(lines)


# -- PLOT ------------------------------------------------------------------------------------

WIDTH, HEIGHT, MARGIN = 460, 340, 56
INK, FAINT, DOT, LINE = "#222", "#ccc", "#2f6f9f", "#c8442e"


def plot(answers: list[Answer]) -> str:
    """One panel a symbol, windows of one second: dots and the fitted line. Self-contained SVG."""
    shown = [answer for answer in answers if answer.window_s == 1]
    panels = "".join(_panel(answer, i * WIDTH) for i, answer in enumerate(shown))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(shown)} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{panels}</svg>\n'
    )


def _panel(answer: Answer, left: int) -> str:
    x_low, x_step = _scale(answer.x)
    y_low, y_step = _scale(answer.y)
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + MARGIN + wide * (x - x_low) / (4 * x_step),
            MARGIN + high * (1 - (y - y_low) / (4 * y_step)),
        )

    parts = []
    for i in range(5):
        gx, gy = x_low + i * x_step, y_low + i * y_step
        (x0, y0), (x1, y1) = at(gx, y_low), at(gx, y_low + 4 * y_step)
        parts.append(_line(x0, y0, x1, y1, FAINT))
        parts.append(_text(x0, y0 + 16, f"{gx:g}", "middle"))
        (x0, y0), (x1, y1) = at(x_low, gy), at(x_low + 4 * x_step, gy)
        parts.append(_line(x0, y0, x1, y1, FAINT))
        parts.append(_text(x0 - 6, y0 + 4, f"{gy:g}", "end"))
    for x, y in zip(answer.x.tolist(), answer.y.tolist(), strict=True):
        cx, cy = at(x, y)
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="2" fill="{DOT}" opacity="0.55"/>\n')
    ends = np.array([answer.x.min(), answer.x.max()])
    (x0, y0), (x1, y1) = (
        at(float(x), answer.fit.intercept + answer.fit.slope * float(x)) for x in ends
    )
    parts.append(_line(x0, y0, x1, y1, LINE, 2))
    title = (
        f"{answer.symbol.upper()} perpetual, 1 s: R² {answer.fit.r_squared:.4f}, "
        f"slope {answer.fit.slope:.4f}, N {answer.fit.points}"
    )
    parts.append(_text(left + WIDTH / 2, 28, title, "middle"))
    parts.append(
        _text(left + WIDTH / 2, HEIGHT - 14, "order-flow imbalance, base units", "middle")
    )
    turn = f'transform="rotate(-90 {left + 14} {HEIGHT / 2})"'
    parts.append(_text(left + 14, HEIGHT / 2, "change of the mid, ticks", "middle", turn))
    return "".join(parts)


def _scale(values: F64) -> tuple[float, float]:
    """(low, step): four steps of a round size hold all values."""
    low, high = float(values.min()), float(values.max())
    for exponent in range(-6, 9):
        for digit in (1.0, 2.0, 2.5, 5.0):
            step = digit * 10.0**exponent
            start = step * np.floor(low / step)
            if start + 4 * step >= high:
                return float(start), step
    raise ValueError(f"No scale for {low} .. {high}")


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: int = 1) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>\n'
    )


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text}</text>\n'


def main() -> None:
    """Command line of the exam."""
    parser = argparse.ArgumentParser(description="Order-flow exam on recorded data.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    answers = list(examine(chosen.folder))
    print(table(answers))
    if chosen.plot:
        chosen.plot.write_text(plot(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
