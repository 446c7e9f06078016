"""The metric in expectation: what predictions would score over all labels that raters could have given an anatomy.

Only a phantom knows the probability of each label. Scored so, two predictions differ by what they are, and not by the
luck of the one label that was drawn: the paired standard error falls by a third.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.labels import GRADE_WEIGHTS, GRADES, GROUPS, SEVERE
from lumbar.metric import ANY_SEVERE_SPINAL, COMPONENTS, EPSILON, normalise, unweight

Array = NDArray[np.float64]
WEIGHTS = np.asarray(GRADE_WEIGHTS)


def expected_losses(labels: pd.DataFrame, best_answer: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """`metric.study_losses` of predictions in expectation, over the labelled cells that are predicted.

    `labels` says which cells count, and not what they are; `best_answer` is a phantom's `oracle.csv`.
    """
    rows = labels[labels["row_id"].isin(predictions["row_id"])]
    answers, said = (
        normalise(table.set_index("row_id").loc[rows["row_id"], list(GRADES)].to_numpy(dtype=np.float64))
        for table in (best_answer, predictions)
    )
    chances = unweight(answers)  # (N, 3) of each grade
    weighted = chances * WEIGHTS
    logs = np.log(np.clip(said, EPSILON, 1 - EPSILON))
    cells = rows[["study_id", "group"]].assign(loss=-(weighted * logs).sum(axis=1), weight=weighted.sum(axis=1))
    tables = {group: cells[cells["group"] == group].groupby("study_id")[["loss", "weight"]].sum() for group in GROUPS}
    canal = (rows["group"] == "spinal").to_numpy()
    tables[ANY_SEVERE_SPINAL] = _any_severe(rows.loc[canal, "study_id"], chances[canal], said[canal])
    studies = pd.Index(labels["study_id"].unique(), name="study_id")
    return pd.concat({name: tables[name].reindex(studies, fill_value=0.0) for name in COMPONENTS}, axis=1)


def _any_severe(study_ids: pd.Series, chances: Array, said: Array) -> pd.DataFrame:
    """The metric's largest severe probability of a study's canals, over what its worst canal could be."""
    cells = pd.DataFrame({"study_id": study_ids.to_numpy(), "mild": chances[:, 0], "said": said[:, SEVERE]})
    cells["not_severe"] = 1 - chances[:, SEVERE]
    studies = cells.groupby("study_id").agg({"mild": "prod", "not_severe": "prod", "said": "max"})
    worst = np.stack([studies["mild"], studies["not_severe"] - studies["mild"], 1 - studies["not_severe"]], axis=1)
    said_severe = np.clip(studies["said"].to_numpy(), EPSILON, 1 - EPSILON)
    weighted = worst * WEIGHTS
    loss = -weighted[:, SEVERE] * np.log(said_severe) - weighted[:, :SEVERE].sum(axis=1) * np.log(1 - said_severe)
    return pd.DataFrame({"loss": loss, "weight": weighted.sum(axis=1)}, index=studies.index)
