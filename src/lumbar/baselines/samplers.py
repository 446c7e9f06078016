"""Which crops are trained on, how often, and which are watched: the papers balance, drop and hold out in many ways."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.baselines.targets import TARGETS, Target
from lumbar.config import CellsConfig, ExamplesConfig, PublishedConfig
from lumbar.labels import CONDITIONS, GRADE_WEIGHTS

Numbers = NDArray[np.int64]

WATCHED_SHARE = 0.15
"""The part of the training examples that is watched."""


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


def true_classes(index: pd.DataFrame, target: Target) -> Numbers:
    """The classes (N,) of crops whose grade is known, as a target tells them apart."""
    conditions = index["condition"].map(list(CONDITIONS).index).to_numpy(dtype=np.int64)
    return target.truth(index["grade"].to_numpy(dtype=np.int64), conditions)


def keep_rows(index: pd.DataFrame, rows: Numbers, published: PublishedConfig) -> Numbers:
    """The rows that may be trained on: all, or those of studies that are not normal in each of their graded cells.

    `rows` are those of the graded cells with a grade. A cell that has none, or no crop, is not normal.
    """
    if not published.examples.drop_all_normal:
        return rows
    normal = (index["grade"].iloc[rows] == 0).groupby(index["study_id"].iloc[rows]).transform("sum")
    return rows[(normal < len(published.cells.conditions) * len(published.cells.levels)).to_numpy()]


def hold_out(units: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which examples (N,) are watched: a part of the units, such as studies, that are never torn apart."""
    distinct = np.unique(units)
    count = max(1, round(WATCHED_SHARE * len(distinct)))
    return np.isin(units, np.random.default_rng(seed).permutation(distinct)[:count])


def balance(rows: Numbers, classes: Numbers, config: ExamplesConfig, seed: int) -> Examples:
    """Rows (N,) of classes (N,) with as many of each class as the config wants, in the order of the rows."""
    if config.balance == "none":
        return Examples.of(rows)
    counts = np.bincount(classes)
    wanted = counts[counts > 0].min() if config.balance == "equal" else config.balance_to or counts.max()
    rng = np.random.default_rng(seed)
    filled_classes = [_fill(rng.permutation(rows[classes == number]), int(wanted)) for number in np.flatnonzero(counts)]
    filled = Examples(
        np.concatenate([filled.rows for filled in filled_classes]),
        np.concatenate([filled.copies for filled in filled_classes]),
    )
    order = np.lexsort((filled.copies, filled.rows))
    return Examples(filled.rows[order], filled.copies[order])


def _fill(rows: Numbers, count: int) -> Examples:
    """The first rows, or all of them and then their copies, round after round."""
    numbers = np.arange(count)
    return Examples(rows[numbers % len(rows)], numbers // len(rows))


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
