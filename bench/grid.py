"""Small panels beside each other as one SVG: lines over linear or logarithmic axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.svg import GRID, INK, thin

PANEL_WIDTH, PANEL_HEIGHT, MARGIN_X, MARGIN_Y, TOP = 320, 170, 62, 52, 40
Line = tuple[str, str, Sequence[tuple[float, float]]]  # name, colour, points


@dataclass
class Axis:
    """From `low` to `high`; `is_log`: decades."""

    low: float
    high: float
    is_log: bool = False

    def share_of(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[float]:
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        return [self.low + (self.high - self.low) * step / 4 for step in range(5)]


@dataclass
class Panels:
    """Panels in two columns under a title."""

    title: str
    legend: Sequence[tuple[str, str]]  # name, colour
    parts: list[str] = field(default_factory=list)
    count: int = 0

    def panel(self, title: str, x: Axis, y: Axis, lines: Sequence[Line], x_label: str) -> None:
        left = MARGIN_X + (self.count % 2) * (PANEL_WIDTH + MARGIN_X)
        top = TOP + 24 + (self.count // 2) * (PANEL_HEIGHT + MARGIN_Y)
        self.count += 1

        def at(point: tuple[float, float]) -> tuple[float, float]:
            across, up = x.share_of(point[0]), y.share_of(point[1])
            return left + across * PANEL_WIDTH, top + (1.0 - up) * PANEL_HEIGHT

        for value in y.marks():
            _, height = at((x.low, value))
            self._line(left, height, left + PANEL_WIDTH, height)
            self._text(left - 5, height + 4, f"{value:.3g}", "end")
        for value in x.marks():
            width, _ = at((value, y.low))
            self._line(width, top, width, top + PANEL_HEIGHT)
            self._text(width, top + PANEL_HEIGHT + 14, f"{value:.3g}", "middle")
        for _, colour, points in lines:
            path = " ".join("{:.1f},{:.1f}".format(*at(point)) for point in thin(points))
            self.parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
            )
        self._text(left, top - 6, title, "start", 12)
        self._text(left + PANEL_WIDTH, top + PANEL_HEIGHT + 27, x_label, "end")

    def render(self) -> str:
        width = 2 * (PANEL_WIDTH + MARGIN_X) + 20
        rows = (self.count + 1) // 2
        height = TOP + 24 + rows * (PANEL_HEIGHT + MARGIN_Y)
        self._text(MARGIN_X, 18, self.title, "start", 14)
        for index, (name, colour) in enumerate(self.legend):
            x = MARGIN_X + 200 * index
            self._line(x, 34, x + 24, 34, colour)
            self._text(x + 30, 38, name, "start")
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="10">\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: str = GRID) -> None:
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
        )

    def _text(self, x: float, y: float, text: str, anchor: str, size: int = 10) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{INK}">{text}</text>'
        )
