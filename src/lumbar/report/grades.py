"""How well each group's grades are told apart, and how far their probabilities can be trusted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.labels import GRADES, SEVERE
from lumbar.report.charts import Chart, Line, share_axis
from lumbar.report.collect import groups_with_labels
from lumbar.report.figures import (
    Curve,
    any_severe,
    confusion,
    precision_recall_curves,
    reliability,
    roc_curves,
)
from lumbar.report.words import GROUP_TITLES, grade_words

DIAGONAL = Line(((0.0, 0.0), (1.0, 1.0)), "guide")
GRADE_STYLES = tuple(grade.replace("_mild", "") for grade in GRADES)
"""CSS classes of the grades' colours, the same wherever a grade is drawn."""


@dataclass(frozen=True)
class Count:
    """A cell of a confusion matrix: how many, and the share of its true grade."""

    count: int
    share: float


@dataclass(frozen=True)
class Panel:
    """One group's row of pictures."""

    title: str
    note: str
    matrix: tuple[tuple[Count, ...], ...]
    names: tuple[str, ...]
    accuracy: float
    charts: tuple[Chart, ...]


def grade_panels(cells: pd.DataFrame) -> list[Panel]:
    """A panel for each group that has labels, and one for any severe canal."""
    panels = []
    for group in groups_with_labels(cells):
        mine = cells[(cells["group"] == group) & cells["grade"].notna()]
        truth, given = mine["grade"].to_numpy(dtype=np.int64), mine[list(GRADES)].to_numpy()
        panels.append(_panel(GROUP_TITLES[group], "cells", truth, given, mine["weight"].to_numpy()))
    truth, given, weights = any_severe(cells)
    if len(truth):
        panels.append(_panel("Any severe canal", "studies", truth, given, weights, (0, SEVERE)))
    return panels


def _panel(
    title: str,
    unit: str,
    truth: NDArray[np.int64],
    given: NDArray[np.float64],
    weights: NDArray[np.float64],
    grades: tuple[int, ...] = tuple(range(len(GRADES))),
) -> Panel:
    counts = confusion(truth, given.argmax(axis=1))[np.ix_(grades, grades)]
    drawn = set(grades) if len(grades) > 2 else {SEVERE}  # of two answers the one is the other's mirror image
    names = tuple(grade_words(grade) for grade in grades) if len(grades) > 2 else ("none", "severe")
    charts = (
        _curves(f"{title}: ROC", "false positives", "true positives", roc_curves(truth, given), drawn, "AUC", DIAGONAL),
        _curves(
            f"{title}: precision and recall",
            "recall",
            "precision",
            precision_recall_curves(truth, given),
            drawn,
            "AP",
        ),
        _calibration(title, truth, given, weights, drawn),
    )
    accuracy = float(np.trace(counts) / max(counts.sum(), 1))
    return Panel(title, f"{len(truth):,} {unit}", count_rows(counts), names, accuracy, charts)


def count_rows(counts: NDArray[np.integer]) -> tuple[tuple[Count, ...], ...]:
    """A confusion matrix (C, C) of counts, with the share of its row beside each."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(
        tuple(Count(int(count), round(float(share), 3)) for count, share in zip(*row, strict=True))
        for row in zip(counts, shares, strict=True)
    )


def _curves(
    title: str, x: str, y: str, curves: list[Curve], drawn: set[int], figure: str, guide: Line | None = None
) -> Chart:
    shown = [curve for curve in curves if curve.grade in drawn]
    guides = (guide,) if guide else tuple(_base_rate(curve) for curve in shown)
    return Chart(
        title,
        share_axis(x),
        share_axis(y),
        tuple(Line(curve.points, GRADE_STYLES[curve.grade], grade_words(curve.grade)) for curve in shown),
        notes=((figure, ""), *((f"{curve.area:.2f}", GRADE_STYLES[curve.grade]) for curve in shown)),
        guides=guides,
    )


def _base_rate(curve: Curve) -> Line:
    """The precision of naming every case: what a curve must lie above."""
    return Line(((0.0, curve.share), (1.0, curve.share)), f"guide {GRADE_STYLES[curve.grade]}")


def _calibration(
    title: str, truth: NDArray[np.int64], given: NDArray[np.float64], weights: NDArray[np.float64], drawn: set[int]
) -> Chart:
    shown = [curve for curve in reliability(truth, given, weights) if curve.grade in drawn]
    return Chart(
        f"{title}: reliability",
        share_axis("predicted"),
        share_axis("observed, weighted"),
        tuple(Line(curve.points, GRADE_STYLES[curve.grade], grade_words(curve.grade), marked=True) for curve in shown),
        notes=(("gap", ""), *((f"{curve.gap:.2f}", GRADE_STYLES[curve.grade]) for curve in shown)),
        guides=(DIAGONAL,),
    )
