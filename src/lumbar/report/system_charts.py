"""A system's own figures as files with the field's usual names: curves, confusion matrix, report, ROC, class counts."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, classification_report

from lumbar.data.tables import write_table
from lumbar.records import write_text, written_whole
from lumbar.report.systems import SPLITS
from lumbar.report.words import class_words

QUANTITIES = ("accuracy", "loss")
"""What is measured by epoch, each in training and, as `watched_`, on what is watched."""
DOTS = 110
"""Of a picture's inch."""
Cases = Mapping[str, pd.DataFrame]
"""The cases, see `baselines.cases.predict_cases`, by the split that they were tested in."""


def write_charts(figures: Mapping[str, Any], cases: Cases, folder: Path) -> None:
    """Writes what a system's `figures.json` and its cases say of how well it does.

    A panel, or a part of a table, is of the paper's own split, the other of the folds; one without a case is left out.
    """
    tested = {split: cases[split] for split in SPLITS if split in cases and len(cases[split])}
    history = tabulate_history(figures["curves"])
    if len(history):
        write_table(history, folder / "history.csv")
        save(_draw_history(history), folder / "training_curves.png")
    if tested:
        _write_tested(figures["classes"], tested, folder)


def _write_tested(classes: Sequence[str], tested: Cases, folder: Path) -> None:
    write_table(tabulate_confusion(tested, classes), folder / "confusion_matrix.csv")
    write_text(format_reports(tested, classes), folder / "classification_report.txt")
    drawn: dict[str, Callable[[Axes, pd.DataFrame, Sequence[str]], None]] = {
        "confusion_matrix.png": _draw_confusion,
        "roc_curve.png": _draw_roc,
        "class_counts.png": _draw_counts,
    }
    for name, draw in drawn.items():
        save(_draw_splits(tested, classes, draw), folder / name)


def tabulate_history(curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> pd.DataFrame:
    """split, grader, epoch, and each quantity by epoch, of the curves in a `figures.json`."""
    tables = [
        pd.DataFrame({name: pd.Series(values, dtype="float64") for name, values in quantities.items()}).assign(
            split=split, grader=grader, epoch=lambda table: table.index + 1
        )
        for split, graders in curves.items()
        for grader, quantities in graders.items()
    ]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    first = ["split", "grader", "epoch"]
    return table[[*first, *sorted(set(table) - set(first))]]


def tabulate_confusion(tested: Cases, classes: Sequence[str]) -> pd.DataFrame:
    """split, truth, and how often each class was predicted."""
    tables = [
        pd.crosstab(cases["truth"], cases["predicted"])
        .reindex(index=list(classes), columns=list(classes), fill_value=0)
        .reset_index()
        .assign(split=split)
        for split, cases in tested.items()
    ]
    return pd.concat(tables, ignore_index=True)[["split", "truth", *classes]]


def format_reports(tested: Cases, classes: Sequence[str]) -> str:
    """scikit-learn's classification report under each split."""
    parts = []
    for split, cases in tested.items():
        report = classification_report(cases["truth"], cases["predicted"], labels=list(classes), zero_division=0)
        parts.append(f"{SPLITS[split]}\n\n{report}")
    return "\n".join(parts)


def save(figure: Figure, path: Path, dots: int = DOTS) -> None:
    """Writes a picture as PNG, whole or not at all, with so many dots an inch."""
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=dots, format="png")
    plt.close(figure)


def _draw_history(history: pd.DataFrame) -> Figure:
    """A row for each quantity, a column for each split; what is watched is dashed."""
    splits = [split for split in SPLITS if split in set(history["split"])]
    size = (5.2 * len(splits), 3.4 * len(QUANTITIES))
    figure, axes = plt.subplots(len(QUANTITIES), len(splits), figsize=size, squeeze=False, layout="constrained")
    for column, split in enumerate(splits):
        for row, quantity in enumerate(QUANTITIES):
            _draw_curves(axes[row, column], history[history["split"] == split], quantity)
            axes[row, column].set(title=f"{quantity}, {SPLITS[split]}", xlabel="epoch", ylabel=quantity)
    return figure


def _draw_curves(axis: Axes, history: pd.DataFrame, quantity: str) -> None:
    for number, (grader, rows) in enumerate(history.groupby("grader")):
        for name, style in ((quantity, "-"), (f"watched_{quantity}", "--")):
            if name in rows and rows[name].notna().any():
                said = f"{grader}, {'watched' if style == '--' else 'training'}"
                axis.plot(rows["epoch"], rows[name], style, color=f"C{number}", marker=".", label=said)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if quantity == "accuracy":
        axis.set_ylim(0, 1.02)
    axis.legend(fontsize=7)


def _draw_splits(
    tested: Cases, classes: Sequence[str], draw: Callable[[Axes, pd.DataFrame, Sequence[str]], None]
) -> Figure:
    """A panel for each split."""
    size = (5.2 * len(tested), 4.6)
    figure, axes = plt.subplots(1, len(tested), figsize=size, squeeze=False, layout="constrained")
    for axis, (split, cases) in zip(axes[0], tested.items(), strict=True):
        draw(axis, cases, classes)
        axis.set_title(f"{SPLITS[split]}, {len(cases)} cases", fontsize=10)
    return figure


def _draw_confusion(axis: Axes, cases: pd.DataFrame, classes: Sequence[str]) -> None:
    """Counts; the colour is the share of the true class."""
    counts = tabulate_confusion({"": cases}, classes)[list(classes)].to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = ConfusionMatrixDisplay(shares, display_labels=[class_words(name) for name in classes])
    shown.plot(ax=axis, cmap="Blues", colorbar=False, include_values=False, xticks_rotation=30)
    shown.im_.set_clim(0, 1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count:,}", color=colour, horizontalalignment="center", verticalalignment="center")
    axis.set(xlabel="predicted", ylabel="true")
    axis.tick_params(labelsize=8)


def _draw_roc(axis: Axes, cases: pd.DataFrame, classes: Sequence[str]) -> None:
    """Each class that some cases are of, and some are not, against the others."""
    for name in classes:
        positive = (cases["truth"] == name).to_numpy()
        if 0 < positive.sum() < len(cases):
            RocCurveDisplay.from_predictions(positive, cases[name], name=class_words(name), ax=axis)
    axis.plot([0, 1], [0, 1], ":", color="grey")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=8)


def _draw_counts(axis: Axes, cases: pd.DataFrame, classes: Sequence[str]) -> None:
    """How many cases are of each class, and how many are said to be."""
    places = np.arange(len(classes))
    for offset, column in ((-0.2, "truth"), (0.2, "predicted")):
        counts = cases[column].value_counts().reindex(list(classes), fill_value=0)
        bars = axis.bar(places + offset, counts, width=0.4, label={"truth": "true"}.get(column, column))
        axis.bar_label(bars, fontsize=8)
    axis.set_xticks(places, [class_words(name) for name in classes], rotation=30, horizontalalignment="right")
    axis.set_ylabel("cases")
    axis.legend()
