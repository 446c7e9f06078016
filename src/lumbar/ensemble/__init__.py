"""Stage 4: the predictions of several folds, and of several members, become one."""

from collections.abc import Iterable

import pandas as pd

from lumbar.labels import GRADES
from lumbar.metric import normalise


def average_predictions(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The mean probability of each row over the tables that have it, in the order in which rows first appear.

    Takes one or more tables in submission format and returns one; every row sums to 1 in float64.
    """
    means = pd.concat(tables, ignore_index=True).groupby("row_id", sort=False)[list(GRADES)].mean()
    means[list(GRADES)] = normalise(means.to_numpy())
    return means.reset_index()
