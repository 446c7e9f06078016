"""The comparison as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from lumbar.config import CellsConfig
from lumbar.labels import CONDITIONS, GROUPS, LEVELS, level_title
from lumbar.records import align

COLUMNS = {
    "system": "system",
    "cells": "cells",
    "parameters": "parameters",
    "seconds": "seconds",
    "own_accuracy_own_split": "own split",
    "own_accuracy_grouped": "grouped",
    "own_accuracy_detected": "detected",
    "most_frequent_class": "constant",
    "score": "score",
    "ci95": "95 % interval",
    "excess": "excess",
    "difference": "difference",
    "difference_ci95": "95 % interval",
}
"""The keys of a row that are shown, and their headings."""
LEGEND = """\
own split, grouped, detected: accuracy in the system's own classes, on rows split as its paper split them; on the folds,
at the same points; and on the folds, at the detector's points. constant: the share of the most frequent class.
score: the competition's metric over all 25 cells, those a system leaves out from the weighted prior of the other folds.
difference: of the score to the main pipeline's, paired; above zero is worse. seconds: without the detector and the own
split, but for the main pipeline with its detector."""


def describe_cells(cells: CellsConfig) -> str:
    """Which cells are graded, in a few words."""
    levels = "all levels" if cells.levels == LEVELS else ", ".join(map(level_title, cells.levels))
    if cells.conditions == tuple(CONDITIONS):
        return f"all conditions, {levels}"
    words = {name: _shorten(name) for name in cells.conditions}
    return f"{', '.join(words.values())}, {levels}"


def _shorten(condition: str) -> str:
    kind = CONDITIONS[condition]
    group = GROUPS[kind.group].name
    return f"{kind.side} {group}" if kind.side else group


def format_comparison(rows: Sequence[Mapping[str, Any]], main: Mapping[str, Any]) -> str:
    """The table, with the prior and the oracle of the main run's `cv.json` below it."""
    lines = [tuple(COLUMNS.values()), *(tuple(_figure(key, row[key]) for key in COLUMNS) for row in rows)]
    references = [f"weighted prior {main['prior']['score']:.4f}"]
    references += [f"oracle {main['oracle']['score']:.4f}"] if main["oracle"] else []
    words = [number for number, key in enumerate(COLUMNS) if key in ("system", "cells")]
    return "\n".join([*align(lines, left=words), "", f"{main['studies']} studies; {', '.join(references)}", "", LEGEND])


def _figure(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.endswith("ci95"):
        return f"{value[0]:.3f} to {value[1]:.3f}"
    if key == "parameters":
        return f"{value:,}"
    if key == "seconds":
        return f"{value:.0f}"
    return value if isinstance(value, str) else f"{value:.4f}" if key in ("score", "difference") else f"{value:.3f}"
