"""The compared systems: what each scores on the same folds, and what its own split would have made of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lumbar.report.charts import Chart, DotPlot, Mark, Row, round_axis, share_axis
from lumbar.report.collect import Compared
from lumbar.report.grades import Count, count_rows
from lumbar.report.system_names import Link
from lumbar.report.training import EpochCurve, curve_charts
from lumbar.report.words import NONE, class_words, figure, minus, percent
from lumbar.run.run import MAIN

SPLITS = {"own_split": "own split", "own_split_copied": "own split, copies trained on", "grouped": "grouped folds"}
"""How a system was tested at the points that its paper used, and what that is called."""
TESTED = {**SPLITS, "detected": "grouped folds, detected points"}
"""The same, and at a detector's points."""
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
    "precision_as_published": "precision, micro, at .5",
    "recall_as_published": "recall, micro, at .5",
    "f1_as_published": "F1, micro, at .5",
    "f_beta_as_published": "F-beta, micro, at .5",
    "roc_auc_as_published": "ROC-AUC, micro",
    "pr_auc_as_published": "PR-AUC, micro",
    "rmse_as_published": "RMSE of the probabilities",
    "level_accuracy": "accuracy of the level",
}
"""The papers' figures that are shown, and their names."""
HEADS = (
    "cells",
    "parameters",
    "seconds",
    "own split",
    "grouped",
    "detected",
    "constant",
    "score",
    "excess",
    "difference",
)
ACCURACIES = {
    "most_frequent_class": ("prior", "always the most frequent class"),
    "own_accuracy_own_split": ("fold", "by the paper's own split"),
    "own_accuracy_detected": ("detected", "by folds grouped by study, at detected points"),
    "own_accuracy_grouped": ("score", "by folds grouped by study"),
}
"""The keys of a row that are drawn as accuracies, the style of each mark and what it is."""


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
    files: tuple[Link, ...] = ()
    """What its run shows beside the page."""


def describe_system(title: str, found: Mapping[str, Any], files: tuple[Link, ...] = ()) -> System:
    """From a system's `figures.json`; what it lacks is left out."""
    measured = {split: found[split] for split in TESTED if found.get(split)}
    names = tuple(class_words(name) for name in found.get("classes", ()))
    matrices = (
        Confusion(TESTED[split], names, count_rows(np.array(figures["confusion_matrix"])))
        for split, figures in measured.items()
        if figures.get("confusion_matrix")
    )
    curves = [
        EpochCurve(TESTED[split], quantity, name, values)
        for split in measured
        for name, quantities in (found.get("curves") or {}).get(split, {}).items()
        for quantity, values in quantities.items()
    ]
    return System(
        title,
        tuple(TESTED[split] for split in measured),
        tuple(_figures(measured)),
        tuple(matrices),
        tuple(curve_charts(curves, list(TESTED.values()))),
        files,
    )


def _figures(measured: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, name in FIGURES.items():
        values = [figures.get(key) for figures in measured.values()]
        if any(value is not None for value in values):
            yield name, tuple(f"{value:,}" if isinstance(value, int) else figure(value, 3) for value in values)


@dataclass(frozen=True)
class Comparison:
    """The comparison: drawn twice, as a table, and system by system."""

    scores: DotPlot | None
    accuracies: DotPlot | None
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    systems: tuple[System, ...]


def compare_systems(compared: Compared) -> Comparison:
    """From the rows of `compare.json`, the best score first; what a row lacks is left out."""
    rows = sorted(compared.rows, key=lambda row: (row.get("score") is None, row.get("score")))
    return Comparison(
        _scores([row for row in rows if row.get("score") is not None], compared.reference or {}),
        _accuracies(rows),
        HEADS,
        tuple(_cells(row) for row in rows),
        tuple(
            describe_system(_name(row), compared.figures[row["system"]], compared.files[row["system"]])
            for row in rows
            if row.get("system") in compared.figures
        ),
    )


def _scores(records: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> DotPlot | None:
    if not records:
        return None
    rows = []
    for record in records:
        low, high = record.get("ci95") or (record["score"], record["score"])
        marks = (Mark(record["score"], "score", "score"),)
        rows.append(Row(_name(record), marks, (low, high), f"{record['score']:.3f}", strong=_is_pipeline(record)))
    prior = (reference.get("prior") or {}).get("score")
    highest = max([row.band[1] for row in rows if row.band] + [prior or 0.0])
    axis = round_axis("weighted log loss, less is better", 0.0, highest)
    return DotPlot(axis, tuple(rows), rule=(prior, "prior") if prior else None)


def _accuracies(records: Sequence[Mapping[str, Any]]) -> DotPlot | None:
    """The accuracies that each row has; the gap between the two splits, in percentage points, stands at its end."""
    rows = []
    for record in records:
        marks = [Mark(record[key], *how) for key, how in ACCURACIES.items() if record.get(key) is not None]
        values = {mark.style: mark.value for mark in marks}
        gap = values["score"] - values["fold"] if {"score", "fold"} <= set(values) else None
        between = None if gap is None else (min(values["fold"], values["score"]), max(values["fold"], values["score"]))
        said = "" if gap is None else minus(f"{100 * gap:+.1f}")
        if set(values) - {"prior"}:
            rows.append(Row(_name(record), tuple(marks), between, said, strong=_is_pipeline(record)))
    legend = tuple(ACCURACIES.values())
    return DotPlot(share_axis("accuracy in its own classes"), tuple(rows), legend=legend) if rows else None


def _name(record: Mapping[str, Any]) -> str:
    return str(record.get("title") or record.get("system") or NONE)


def _is_pipeline(record: Mapping[str, Any]) -> bool:
    """The row that the others are compared with."""
    return record.get("system") == MAIN


def _cells(record: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _name(record),
        str(record.get("cells", NONE)),
        _count(record.get("parameters")),
        _count(record.get("seconds")),
        percent(record.get("own_accuracy_own_split"), 1),
        percent(record.get("own_accuracy_grouped"), 1),
        percent(record.get("own_accuracy_detected"), 1),
        percent(record.get("most_frequent_class"), 1),
        _with_interval(record.get("score"), record.get("ci95")),
        figure(record.get("excess"), 3),
        NONE if _is_pipeline(record) else _with_interval(record.get("difference"), record.get("difference_ci95")),
    )


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    ends = f" ({figure(interval[0], 3)} to {figure(interval[1], 3)})" if interval else ""
    return f"{figure(value, 4)}{ends}"
