"""Which crops are trained on, how often, and which are watched: the papers balance, drop and hold out in many ways."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.baselines.targets import TARGETS, Target
from lumbar.config import CellsConfig, ExamplesConfig, PublishedConfig
from lumbar.labels import CONDITIONS, GRADE_WEIGHTS

Numbers = NDArray[np.int64]
UNANNOTATED = "unannotated"
"""The source of a slice that nobody has annotated; it belongs to no cell, whatever condition and level its row has."""
NO_CONDITION = len(CONDITIONS)
"""In place of a condition's index: of a slice that nobody has annotated."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Numbers of crops (N,), and which copy of it each example is (N,): 0 is the crop itself."""

    rows: Numbers
    copies: Numbers

    @classmethod
    def of(cls, rows: Numbers) -> "Examples":
        """Every crop once, as it is."""
        return cls(rows, np.zeros(len(rows), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, chosen: NDArray[np.bool_]) -> "Examples":
        """Those that are chosen (N,)."""
        return Examples(self.rows[chosen], self.copies[chosen])


def is_graded(index: pd.DataFrame, cells: CellsConfig) -> NDArray[np.bool_]:
    """Which rows (N,) of a table with condition and level are of graded cells."""
    return (index["condition"].isin(cells.conditions) & index["level"].isin(cells.levels)).to_numpy()


def are_known(index: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows (N,) of an index have a class: those with a grade, and slices that nobody has annotated."""
    if "grade" not in index:
        return np.zeros(len(index), dtype=bool)
    return (index["grade"].notna() | (index["source"] == UNANNOTATED)).to_numpy()


def grade_unannotated(index: pd.DataFrame) -> pd.DataFrame:
    """The index with a grade, which no target asks for, in the rows of slices that nobody has annotated."""
    if "grade" not in index:
        return index
    return index.assign(grade=index["grade"].mask(index["source"] == UNANNOTATED, 0))


def true_classes(index: pd.DataFrame, target: Target) -> Numbers:
    """The classes (N,) of crops that have one, as a target tells them apart."""
    of_cells = index["condition"].map(list(CONDITIONS).index).to_numpy(dtype=np.int64)
    conditions = np.where(index["source"] == UNANNOTATED, NO_CONDITION, of_cells)
    return target.truth(index["grade"].fillna(0).to_numpy(dtype=np.int64), conditions)


def all_normal_studies(labels: pd.DataFrame, cells: CellsConfig) -> pd.Index:
    """The studies of `read_labels` with every one of the graded cells normal or mild; an empty cell is not."""
    graded = labels[is_graded(labels, cells)]
    normal = graded[graded["grade"] == 0].groupby("study_id").size()
    return normal.index[normal == len(cells.conditions) * len(cells.levels)]


def hold_out(units: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples (N,) are watched: a share of the units, such as studies, that are never torn apart."""
    distinct = np.unique(units)
    count = max(1, round(share * len(distinct)))
    return np.isin(units, np.random.default_rng(seed).permutation(distinct)[:count])


def choose_each(rows: Numbers, classes: Numbers, count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of the rows (N,) are chosen: so many of each class, but at most a share of the rarest one's."""
    counts = np.bincount(classes)
    wanted = min(count, int(counts[counts > 0].min(initial=len(rows)) * share))
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(rows[classes == number])[:wanted] for number in np.flatnonzero(counts)]
    return np.isin(rows, np.concatenate([*chosen, np.zeros(0, dtype=np.int64)]))


def balance(rows: Numbers, classes: Numbers, config: ExamplesConfig, seed: int) -> Examples:
    """Rows (N,) of classes (N,) with as many of each class as the config wants, in the order of the rows."""
    if config.balance == "none":
        return Examples.of(rows)
    counts = np.bincount(classes)
    wanted = counts[counts > 0].min() if config.balance == "equal" else config.balance_to or counts.max()
    rng = np.random.default_rng(seed)
    first = 1 if config.balance == "copies" else 0
    filled_classes = [
        _fill(rng.permutation(rows[classes == number]), int(wanted), first) for number in np.flatnonzero(counts)
    ]
    filled = Examples(
        np.concatenate([filled.rows for filled in filled_classes]),
        np.concatenate([filled.copies for filled in filled_classes]),
    )
    order = np.lexsort((filled.copies, filled.rows))
    return Examples(filled.rows[order], filled.copies[order])


def _fill(rows: Numbers, count: int, first: int) -> Examples:
    """The first rows, or all of them and then their copies, round after round; `first` is the first round's copy."""
    numbers = np.arange(count)
    return Examples(rows[numbers % len(rows)], first + numbers // len(rows))


def trained_with(before: Numbers, after: Numbers, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight (C,) that a case of each class has in training: the loss's, times how often its class is shown.

    `before` and `after` are classes before and after dropping and balancing, `weights` (C,) the loss's. A class that
    is never seen has weight 1. Only ratios matter.
    """
    shown = [np.bincount(classes, minlength=len(weights)) for classes in (before, after)]
    seen = (shown[0] > 0) & (shown[1] > 0)
    return np.where(seen, weights * shown[1] / np.maximum(shown[0], 1), 1.0)


def loss_weights(classes: Numbers, config: PublishedConfig) -> NDArray[np.float64]:
    """The loss's weights (C,) of a config's classes: the metric's, or those that give each class the same sum."""
    count = len(TARGETS[config.target].classes)
    if config.fit.class_weights == "metric":
        return np.array(GRADE_WEIGHTS)
    if config.fit.class_weights == "none":
        return np.ones(count)
    counts = np.bincount(classes, minlength=count)
    return np.where(counts > 0, len(classes) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 1.0)
