"""The compared systems: what each scores on the same folds, and what its own split would have made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lumbar.report.charts import DotPlot, Mark, Row, round_axis, share_axis
from lumbar.report.words import NONE, figure, percent

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The comparison, drawn twice and as a table."""

    scores: DotPlot | None
    accuracies: DotPlot | None
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


HEADS = (
    "cells",
    "parameters",
    "seconds",
    "accuracy, own split",
    "accuracy, grouped",
    "score",
    "excess",
    "worse than the pipeline by",
)


def compare_systems(records: Sequence[Record]) -> Comparison:
    """From the rows of `compare.json`, the best score first; what a row lacks is left out."""
    ordered = sorted(records, key=lambda record: (record.get("score") is None, record.get("score")))
    return Comparison(
        _scores([record for record in ordered if record.get("score") is not None]),
        _accuracies([record for record in ordered if record.get("own_accuracy_grouped") is not None]),
        HEADS,
        tuple(_cells(record) for record in ordered),
    )


def _scores(records: Sequence[Record]) -> DotPlot | None:
    rows = []
    for record in records:
        low, high = record.get("ci95") or (record["score"], record["score"])
        marks = (Mark(record["score"], "score", "score"),)
        rows.append(Row(_name(record), marks, (low, high), f"{record['score']:.3f}", strong=_is_pipeline(record)))
    if not rows:
        return None
    axis = round_axis("weighted log loss, less is better", 0.0, max(row.band[1] for row in rows if row.band))
    return DotPlot(axis, tuple(rows))


def _accuracies(records: Sequence[Record]) -> DotPlot | None:
    rows = []
    for record in records:
        grouped, own = record["own_accuracy_grouped"], record.get("own_accuracy_own_split")
        marks = [] if own is None else [Mark(own, "own-split", "by its own split")]
        marks += [Mark(grouped, "score", "by grouped folds")]
        band = None if own is None else (min(own, grouped), max(own, grouped))
        gap = "" if own is None else f"{100 * (grouped - own):+.0f}"
        rows.append(Row(_name(record), tuple(marks), band, gap, strong=_is_pipeline(record)))
    legend = (("own-split", "by the paper's own split"), ("score", "by folds grouped by study"))
    return DotPlot(share_axis("accuracy on its own cells"), tuple(rows), legend=legend) if rows else None


def _name(record: Record) -> str:
    return str(record.get("title") or record.get("system") or NONE)


def _is_pipeline(record: Record) -> bool:
    """The row that the others are compared with."""
    return not record.get("difference")


def _cells(record: Record) -> tuple[str, ...]:
    return (
        _name(record),
        str(record.get("cells", NONE)),
        _count(record.get("parameters")),
        _count(record.get("seconds")),
        percent(record.get("own_accuracy_own_split"), 1),
        percent(record.get("own_accuracy_grouped"), 1),
        _with_interval(record.get("score"), record.get("ci95")),
        figure(record.get("excess"), 3),
        NONE if _is_pipeline(record) else _with_interval(record["difference"], record.get("difference_ci95")),
    )


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    ends = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    return f"{figure(value, 4)}{ends}"
