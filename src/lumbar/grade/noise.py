"""Labels that are probably wrong, found where a net that has not seen them is confident of another grade.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021), as cleanlab has it: a label is suspect where some other
grade is at least as probable as that grade is, in the mean, among the cells that bear it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.tables import choice, read_table, real, text
from lumbar.labels import GRADES
from lumbar.metric import unweight

Array = NDArray[np.float64]


def find_suspects(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """The suspect labels, the surest first: row_id, `grade`, the `likelier` one (their names), and `margin`, how much
    more probable that is.

    `labels` is `data.competition.read_labels`; `predictions`, out of fold, answer the weighted metric, so that the
    weights are taken out of them first. Each condition group has thresholds of its own.
    """
    known = labels.merge(predictions, on="row_id")
    chances = unweight(known[list(GRADES)].to_numpy(dtype=np.float64))
    likelier, margin = np.full(len(known), -1), np.zeros(len(known))
    for group in known["group"].unique():
        mine = (known["group"] == group).to_numpy()
        likelier[mine], margin[mine] = _doubt(chances[mine], known.loc[mine, "grade"].to_numpy())
    found = known.assign(likelier=likelier, margin=margin)[likelier >= 0].sort_values("margin", ascending=False)
    names = {name: found[name].map(dict(enumerate(GRADES))) for name in ("grade", "likelier")}
    return found[["row_id"]].assign(**names, margin=found["margin"].round(5)).reset_index(drop=True)


def _doubt(chances: Array, grades: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """The likelier grade (N,) of each label, -1 where it is believed, and its margin (N,)."""
    own = chances[np.arange(len(grades)), grades]
    thresholds = np.array([own[grades == grade].mean() if (grades == grade).any() else np.inf for grade in range(3)])
    confident = np.where(chances >= thresholds, chances, -np.inf)
    best = confident.argmax(axis=1)
    suspect = np.isfinite(confident.max(axis=1)) & (best != grades)
    return np.where(suspect, best, -1), chances[np.arange(len(grades)), best] - own


def read_suspects(path: Path) -> pd.DataFrame:
    """What `find_suspects` found, from its CSV."""
    columns = [text("row_id"), choice("grade", GRADES), choice("likelier", GRADES), real("margin")]
    return read_table(path, columns, unique=["row_id"])


@dataclass(frozen=True)
class Accuracy:
    """How well suspects are found where the truth is known."""

    suspects: int
    wrong: int
    """Labels that are not what a rater without noise would have said."""
    precision: float
    recall: float


def measure_suspects(labels: pd.DataFrame, suspects: pd.DataFrame, truth: pd.DataFrame) -> Accuracy:
    """Precision and recall of suspects against a phantom's `hidden/train_truth.csv`."""
    known = labels.merge(truth[["row_id", "grade"]], on="row_id", suffixes=("", "_true"))
    wrong = set(known.loc[known["grade"] != known["grade_true"], "row_id"])
    hits = len(wrong & set(suspects["row_id"]))
    return Accuracy(len(suspects), len(wrong), hits / max(len(suspects), 1), hits / max(len(wrong), 1))


def weigh_labels(index: pd.DataFrame, suspects: pd.DataFrame, weight: float) -> pd.DataFrame:
    """An index of crops with `label_weight`: 1, and less for a suspect label."""
    is_suspect = index["row_id"].isin(suspects["row_id"])
    return index.assign(label_weight=np.where(is_suspect, weight, 1.0))
