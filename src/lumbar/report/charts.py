"""Small charts as data: what the templates draw as SVG, and as rows of dots on a common scale."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lumbar.report.figures import Coordinates
from lumbar.report.words import minus

LEFT, RIGHT, TOP, BOTTOM = 40, 10, 24, 36
"""Margins of a chart in its own units, for the notes above it, the ticks and the axes' names."""
RESOLUTION = 0.4
"""Points of a line nearer to each other than this, in the chart's units, look like one."""
SHARE_TICKS = tuple((tick, f"{tick:g}") for tick in (0.0, 0.5, 1.0))


@dataclass(frozen=True)
class Axis:
    """A linear axis: its name, its ends, and its ticks as (value, text)."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1 from end to end; what is beyond an end lies on it."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def from_left(self, value: float) -> str:
        """A value's place as CSS's `left`."""
        return f"{100 * self.share(value):.2f}%"

    def from_right(self, value: float) -> str:
        """A value's place as CSS's `right`."""
        return f"{100 * (1 - self.share(value)):.2f}%"


def share_axis(label: str) -> Axis:
    """From 0 to 1."""
    return Axis(label, 0.0, 1.0, SHARE_TICKS)


def round_axis(label: str, low: float, high: float) -> Axis:
    """From `low` to `high`, widened to round ends, with about five ticks."""
    step, digits = next(round_step for round_step in _round_steps() if (high - low) / round_step[0] <= 6)
    first, last = int(low // step), int(-(-high // step))
    last = max(last, first + 1)
    ticks = tuple((index * step, minus(f"{index * step:.{digits}f}")) for index in range(first, last + 1))
    return Axis(label, first * step, last * step, ticks)


def _round_steps() -> list[tuple[float, int]]:
    """Steps from 0.001 up, and the decimals that tell their multiples apart."""
    return [(factor * 10.0**power, max(-power, 0)) for power in range(-3, 6) for factor in (1, 2, 5)]


@dataclass(frozen=True)
class Line:
    """A line through points in the axes' values; `style` is a CSS class that says what it means, not how it looks."""

    points: Sequence[Coordinates]
    style: str
    name: str = ""
    marked: bool = False
    """With a dot on each point."""


@dataclass(frozen=True)
class Chart:
    """Lines over two axes."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    notes: tuple[tuple[str, str], ...] = ()
    """(text, style) of what is written above it: the legend, the figures, or both in one."""
    guides: tuple[Line, ...] = ()
    """Lines of reference, drawn below the others."""
    width: int = 260
    height: int = 250

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the area that the axes span."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM

    def place(self, point: Coordinates) -> Coordinates:
        """A point in the chart's own units."""
        left, top, right, bottom = self.box
        across, up = self.x.share(point[0]), self.y.share(point[1])
        return round(left + across * (right - left), 1), round(bottom - up * (bottom - top), 1)

    def path(self, line: Line) -> str:
        """An SVG path through a line's points, without the ones that nobody could tell apart."""
        placed = [self.place(point) for point in line.points]
        kept = placed[:1]
        for index, (x, y) in enumerate(placed[1:], start=1):
            is_last = index == len(placed) - 1
            if is_last or max(abs(x - kept[-1][0]), abs(y - kept[-1][1])) >= RESOLUTION:
                kept.append((x, y))
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept)


@dataclass(frozen=True)
class Mark:
    """A value on a row's scale; `style` is a CSS class."""

    value: float
    style: str
    name: str


@dataclass(frozen=True)
class Row:
    """A row of dots on a scale, with the interval around the one that it is about."""

    name: str
    marks: tuple[Mark, ...]
    band: tuple[float, float] | None = None
    text: str = ""
    """The figure at the row's end."""
    strong: bool = False
    inner: tuple[float, float] | None = None
    """A narrower interval within the band."""


@dataclass(frozen=True)
class DotPlot:
    """Rows on a common scale."""

    axis: Axis
    rows: tuple[Row, ...]
    rule: tuple[float, str] | None = None
    """A value to compare with, and what it is."""
    legend: tuple[tuple[str, str], ...] = field(default=())
    """(style, what such a mark is)."""
