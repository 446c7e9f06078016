"""What members are judged by: grades and folds on their grid of study x cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.ensemble.members import Grades, cells_of, gather_members
from lumbar.labels import CELLS, GRADES, group_of
from lumbar.metric import row_losses
from lumbar.priors import nested_prior

Array = NDArray[np.float64]

_GROUP_OF_CELL = np.array([group_of(cell.condition) for cell in CELLS.values()], dtype=object)


@dataclass(frozen=True, eq=False)
class Truth:
    """The studies' grades (studies, 25), -1 where a cell has none, their folds (studies,), and what no member needs to
    know: the prior (studies, 25, 3) of the other folds."""

    study_ids: tuple[int, ...]
    grades: Grades
    folds: NDArray[np.int64]
    prior: Array


def gather_truth(labels: pd.DataFrame, folds: pd.DataFrame, study_ids: Sequence[int]) -> Truth:
    """The truth of studies in rising order: `labels` is `dataset.read_labels`, `folds` has study_id and fold."""
    known = labels[labels["study_id"].isin(study_ids)]
    grades = np.full((len(study_ids), len(CELLS)), -1)
    grades[np.searchsorted(study_ids, known["study_id"]), cells_of(known["row_id"])] = known["grade"]
    fold_of = folds.set_index("study_id")["fold"].reindex(list(study_ids)).to_numpy(dtype=np.int64)
    prior = gather_members({"prior": nested_prior(known, folds)}, study_ids).probabilities[0]
    return Truth(tuple(study_ids), grades, fold_of, prior)


def score_cells(truth: Truth, probabilities: Array) -> pd.DataFrame:
    """`metric.study_losses` of the graded cells that probabilities (studies, 25, 3) are given for."""
    study, cell = np.nonzero((truth.grades >= 0) & ~np.isnan(probabilities[..., 0]))
    ids = np.asarray(truth.study_ids)[study]
    rows = pd.DataFrame(probabilities[study, cell], columns=list(GRADES))
    rows = rows.assign(study_id=ids, group=_GROUP_OF_CELL[cell], grade=truth.grades[study, cell])
    return row_losses(rows, np.unique(ids))
