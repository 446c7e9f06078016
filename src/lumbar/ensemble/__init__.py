"""Stage 4: the predictions of several folds, and of several members, become one."""

import pandas as pd

from lumbar.labels import GRADES
from lumbar.metric import normalise


def average_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """The mean probability of each row over the folds that predict it, in the order in which rows first appear.

    Takes and returns submission format; every row sums to 1 in float64.
    """
    means = predictions.groupby("row_id", sort=False)[list(GRADES)].mean()
    means[list(GRADES)] = normalise(means.to_numpy())
    return means.reset_index()
