"""A plot as a small SVG file: lines, steps, shaded spans and lanes over one axis of time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP = 820, 190, 110, 20, 44, 34
LANE_HEIGHT = 18
INK, GRID, SHADE = "#333", "#ddd", "#f6c6c0"
POINTS_MAX = 700  # a line; more would only make the file larger

Points = Sequence[tuple[float, float]]
Spans = Sequence[tuple[float, float]]


def thin(points: Points, points_max: int = POINTS_MAX) -> list[tuple[float, float]]:
    """At most about `points_max` points; least and greatest of each stretch are kept."""
    step = max(1, 2 * len(points) // points_max)
    if step <= 2:
        return list(points)
    kept: list[tuple[float, float]] = []
    for at in range(0, len(points), step):
        stretch = points[at : at + step]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept


def _round_up(value: float) -> float:
    """The next number that four equal steps divide well."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1, 1.2, 1.6, 2, 2.4, 3, 4, 6, 8, 10) if step * power >= value
    )


@dataclass
class Figure:
    """Panels under each other, from `first` to `last` seconds."""

    title: str
    first: float
    last: float
    parts: list[str] = field(default_factory=list)
    y: float = TOP
    notes: list[str] = field(default_factory=list)

    def x_of(self, at: float) -> float:
        share = (min(max(at, self.first), self.last) - self.first) / (self.last - self.first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def panel(
        self,
        label: str,
        lines: Sequence[tuple[str, str, Points]],
        spans: Spans = (),
        marks: Sequence[tuple[float, str]] = (),
        top: float | None = None,
    ) -> None:
        """`lines`: (name, colour, points); spans are shaded; marks are events with a word."""
        highest = top or _round_up(max(y for _, _, points in lines for _, y in points))
        base = self.y + PANEL_HEIGHT

        def y_of(value: float) -> float:
            return base - min(value, highest) / highest * PANEL_HEIGHT

        self._shade(spans, PANEL_HEIGHT)
        for step in range(5):
            value = highest * step / 4
            self._line(LEFT, y_of(value), WIDTH - RIGHT, y_of(value), GRID)
            self._text(LEFT - 6, y_of(value) + 4, f"{value:.3g}", "end")
        for index, (name, colour, points) in enumerate(lines):
            path = " ".join(f"{self.x_of(x):.1f},{y_of(y):.1f}" for x, y in thin(points))
            self.parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
            )
            self._text(LEFT + 8 + 190 * index, self.y + 13, name, "start", colour)
        for at, word in marks:
            self._line(self.x_of(at), self.y, self.x_of(at), base, INK, "4 3")
            self._text(self.x_of(at) + 3, self.y + 28, word, "start")
        self._text(30, self.y + PANEL_HEIGHT / 2, label, "middle", INK, -90)
        self.y = base + GAP

    def lanes(
        self, lanes: Sequence[tuple[str, Spans]], marks: Sequence[tuple[float, str]]
    ) -> None:
        """One row for each reason, filled while it is in force; marks are numbered beneath."""
        height = LANE_HEIGHT * len(lanes)
        for row, (name, spans) in enumerate(lanes):
            y = self.y + LANE_HEIGHT * row
            self._line(LEFT, y + LANE_HEIGHT, WIDTH - RIGHT, y + LANE_HEIGHT, GRID)
            self._text(LEFT - 6, y + 13, name, "end", size=10)
            for start, end in spans:
                x, width = self.x_of(start), max(self.x_of(end) - self.x_of(start), 1.5)
                self.parts.append(
                    f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{width:.1f}" '
                    f'height="{LANE_HEIGHT - 4}" fill="#c0392b" fill-opacity="0.65"/>'
                )
        for number, (at, _) in enumerate(marks, 1):
            self._line(self.x_of(at), self.y, self.x_of(at), self.y + height, INK, "2 3")
            self._text(self.x_of(at), self.y - 4, str(number), "middle")
        self.y += height + GAP

    def note(self, text: str) -> None:
        """A line beneath everything."""
        self.notes.append(text)

    def render(self) -> str:
        for step in range(9):
            at = self.first + (self.last - self.first) * step / 8
            self._text(self.x_of(at), self.y - GAP + 16, f"{at:.4g} s", "middle")
        for text in self.notes:
            self._text(LEFT, self.y + 4, text, "start")
            self.y += 15
        height = self.y + 4
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'font-family="sans-serif" font-size="11">\n'
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>\n'
        )
        title = f'<text x="{LEFT}" y="20" font-size="14" fill="{INK}">{self.title}</text>'
        return head + "\n".join([title, *self.parts]) + "\n</svg>\n"

    def _shade(self, spans: Spans, height: float) -> None:
        for start, end in spans:
            if end < self.first or start > self.last:
                continue
            x, width = self.x_of(start), max(self.x_of(end) - self.x_of(start), 1.0)
            self.parts.append(
                f'<rect x="{x:.1f}" y="{self.y:.1f}" width="{width:.1f}" height="{height}" '
                f'fill="{SHADE}"/>'
            )

    def _line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = ""
    ) -> None:
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}"{dashed}/>'
        )

    def _text(
        self, x: float, y: float, text: str, anchor: str, colour: str = INK, turn: int = 0,
        size: int = 11,
    ) -> None:  # fmt: skip
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}" fill="{colour}"{turned}>'
            f"{text}</text>"
        )
