"""Curves by epoch, from the graders' cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lumbar.report.charts import Axis, Chart, Line, round_axis
from lumbar.report.words import GROUP_TITLES
from lumbar.run.checkpoint import Card

WATCHED = "watched_"
"""Begins the name of a quantity that was measured on the watched part of the training studies."""


@dataclass(frozen=True)
class EpochCurve:
    """One quantity by epoch: the chart it belongs to, its name, which of the chart's lines it is, and its values."""

    chart: str
    quantity: str
    line: str
    values: Sequence[float]


def training_charts(cards: Mapping[str, Card]) -> list[Chart]:
    """A chart for each group and each quantity of the cards, with a line for each fold and each curve of it."""
    curves = [
        EpochCurve(GROUP_TITLES.get(card.config.get("group", ""), "All groups"), name, _line_name(stem, card), values)
        for stem, card in cards.items()
        for name, values in card.curves.items()
    ]
    return curve_charts(curves, [*GROUP_TITLES.values(), "All groups"])


def _line_name(stem: str, card: Card) -> str:
    """Which of a group's lines it is: the fold, after what else the stem says."""
    rest = stem.removesuffix(f"_fold{card.fold}").removesuffix(str(card.config.get("group", ""))).strip("_")
    return f"{rest} fold {card.fold}".strip()


def curve_charts(curves: Sequence[EpochCurve], order: Sequence[str]) -> list[Chart]:
    """Charts in the given order, first of losses; a quantity and its watched sister share a chart.

    All charts of a quantity share their axes, so that they can be compared by eye.
    """
    charts, curves = [], [curve for curve in curves if curve.values]
    for quantity in sorted({_plain(curve) for curve in curves}, reverse=True):  # loss before accuracy
        mine = [curve for curve in curves if _plain(curve) == quantity]
        x, y = _axes(quantity, [curve.values for curve in mine])
        for title in (title for title in order if any(curve.chart == title for curve in mine)):
            lines = tuple(_line(curve) for curve in mine if curve.chart == title)
            notes = (("training", "training"), ("watched", "watched")) if _has_both(lines) else ()
            charts.append(Chart(title, x, y, lines, notes=notes, width=340, height=240))
    return charts


def _plain(curve: EpochCurve) -> str:
    return curve.quantity.removeprefix(WATCHED)


def _line(curve: EpochCurve) -> Line:
    style = "watched" if curve.quantity.startswith(WATCHED) else "training"
    points = [(float(epoch), float(value)) for epoch, value in enumerate(curve.values, start=1)]
    return Line(points, style, f"{curve.line}, {style}")


def _has_both(lines: Sequence[Line]) -> bool:
    return len({line.style for line in lines}) > 1


def _axes(quantity: str, curves: Sequence[Sequence[float]]) -> tuple[Axis, Axis]:
    last = max(2, *(len(curve) for curve in curves))
    values = [float(value) for curve in curves for value in curve]
    low = min(0.0, min(values)) if quantity == "loss" else min(values)
    x = Axis("epoch", 1.0, float(last), ((1.0, "1"), (float(last), f"{last}")))
    return x, round_axis(quantity, low, max(values))
