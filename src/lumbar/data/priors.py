"""The weighted prior: the answer that needs no image, and what every cell falls back on.

The share of each grade in a condition and level, each case counted with the metric's weight 1, 2 or 4: the constant
answer with the least weighted log loss.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.data.tables import choice, read_table, real
from lumbar.labels import CELLS, CONDITIONS, GRADE_WEIGHTS, GRADES, LEVELS, row_ids

PRIOR_FILE = "prior.csv"
"""The prior's CSV beside a run's models or an ensemble."""
PSEUDO_CASES = 1.0
"""Added to a grade's weighted count in proportion to the condition's shares, so that no share is ever zero."""


def fit_prior(labels: pd.DataFrame) -> pd.DataFrame:
    """Weighted shares by condition and level, as a table of condition, level and the three grades.

    A condition without a label gets the shares of all conditions, and uniform ones where there is no label at all.
    """
    weighted = labels.assign(weight=np.asarray(GRADE_WEIGHTS)[labels["grade"]])
    counts = weighted.pivot_table(index=["condition", "level"], columns="grade", values="weight", aggfunc="sum")
    index = pd.MultiIndex.from_product([CONDITIONS, LEVELS], names=["condition", "level"])
    counts = counts.reindex(index=index, columns=range(len(GRADES))).fillna(0.0)
    of_condition = counts.groupby(level="condition").transform("sum")
    overall = _shares(counts.sum().to_numpy()[None], np.full(len(GRADES), 1 / len(GRADES)))
    smoothed = _shares(counts.to_numpy(), _shares(of_condition.to_numpy(), overall))
    return pd.DataFrame(smoothed, index=index, columns=list(GRADES)).reset_index()


def _shares(counts: np.ndarray, towards: np.ndarray) -> np.ndarray:
    padded = counts + PSEUDO_CASES * towards
    return padded / padded.sum(axis=1, keepdims=True)


def predict_prior(prior: pd.DataFrame, study_ids: list[int]) -> pd.DataFrame:
    """The prior's 25 rows for each study, in submission format."""
    shares = prior.set_index(["condition", "level"])[list(GRADES)]
    cells = [shares.loc[(cell.condition, cell.level)].to_numpy() for cell in CELLS.values()]
    values = np.tile(np.array(cells), (len(study_ids), 1))
    return pd.DataFrame(values, columns=list(GRADES)).assign(row_id=row_ids(study_ids))[["row_id", *GRADES]]


def nested_prior(labels: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Each study's rows from the prior of the other folds; `folds` has study_id and fold."""
    tables = []
    for _, members in folds.groupby("fold"):
        others = labels[~labels["study_id"].isin(members["study_id"])]
        tables.append(predict_prior(fit_prior(others), members["study_id"].tolist()))
    return pd.concat(tables, ignore_index=True)


def read_prior(path: Path) -> pd.DataFrame:
    """A prior as `fit_prior` gave it, from its CSV."""
    columns = [choice("condition", CONDITIONS), choice("level", LEVELS), *(real(grade) for grade in GRADES)]
    return read_table(path, columns, unique=["condition", "level"])
