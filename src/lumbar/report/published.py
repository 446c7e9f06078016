"""One compared system by its own figures: under its own split, and on the grouped folds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumbar.report.charts import Chart
from lumbar.report.grades import Count, count_rows
from lumbar.report.training import Curve, curve_charts
from lumbar.report.words import class_words, figure

SPLITS = {"own_split": "own split", "grouped": "grouped folds"}
"""How a system was tested, and what that is called."""
FIGURES = {
    "cases": "cases",
    "accuracy": "accuracy",
    "most_frequent_class": "most frequent class",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "f_beta": "F-beta",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "rmse": "RMSE of the classes",
    "level_accuracy": "accuracy of the level",
}
"""The papers' figures that are shown, and their names."""


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix under one split."""

    split: str
    names: tuple[str, ...]
    rows: tuple[tuple[Count, ...], ...]


@dataclass(frozen=True)
class System:
    """One system's figures by split, its confusion matrices and its curves."""

    title: str
    splits: tuple[str, ...]
    figures: tuple[tuple[str, tuple[str, ...]], ...]
    matrices: tuple[Confusion, ...]
    charts: tuple[Chart, ...]


def describe_system(title: str, found: Mapping[str, Any]) -> System:
    """From a system's `figures.json`; what it lacks is left out."""
    measured = {split: found[split] for split in SPLITS if found.get(split)}
    names = tuple(class_words(name) for name in found.get("classes", ()))
    matrices = (
        Confusion(SPLITS[split], names, count_rows(np.array(figures["confusion_matrix"])))
        for split, figures in measured.items()
        if figures.get("confusion_matrix")
    )
    curves = [
        Curve(SPLITS[split], quantity, name, values)
        for split in measured
        for name, quantities in (found.get("curves") or {}).get(split, {}).items()
        for quantity, values in quantities.items()
    ]
    return System(
        title,
        tuple(SPLITS[split] for split in measured),
        tuple(_figures(measured)),
        tuple(matrices),
        tuple(curve_charts(curves, list(SPLITS.values()))),
    )


def _figures(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, name in FIGURES.items():
        values = [figures.get(key) for figures in measured.values()]
        if any(value is not None for value in values):
            yield name, tuple(f"{value:,}" if isinstance(value, int) else figure(value, 3) for value in values)
