"""An audit of annotations: whose levels do detectors that have not seen them count otherwise?

A few spines that were counted from the wrong vertebra teach a detector that the lowest disc may lie one higher. They
are found without a look at the held-out fold, since only its training studies are parted here.
"""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from lumbar.detect.evaluate import measure_errors

logger = logging.getLogger(__name__)

CONTRADICTED_MM = 15.0
"""Half the usual distance between neighbouring levels: a point farther than that is nearer to another level."""

CREDIBLE_SHARE = 0.5
"""Detectors that contradict more of the studies than this have not learned to count, and nobody is left out."""

PointsByOthers = Callable[[int, list[int], list[int]], pd.DataFrame]
"""Trains on some studies and returns the points of others: (part, seen, unseen) -> points."""


def find_contradicted(annotated: pd.DataFrame, parts: int, seed: int, points_by_others: PointsByOthers) -> list[int]:
    """The studies of the annotated points whose levels are contradicted by detectors trained on the other parts."""
    study_ids = sorted(annotated["study_id"].unique().tolist())
    splits = KFold(parts, shuffle=True, random_state=seed).split(study_ids)
    contradicted = []
    for part, (seen, unseen) in enumerate(splits):
        looked_at = [study_ids[index] for index in unseen]
        points = points_by_others(part, [study_ids[index] for index in seen], looked_at)
        contradicted += contradicted_studies(measure_errors(annotated[annotated["study_id"].isin(looked_at)], points))
    if len(contradicted) > CREDIBLE_SHARE * len(study_ids):
        logger.warning("%d of %d studies are contradicted, so none is left out", len(contradicted), len(study_ids))
        return []
    return sorted(contradicted)


def contradicted_studies(errors: pd.DataFrame) -> list[int]:
    """The studies of `measure_errors` most of whose points lie a level off; points that were not found do not count."""
    found = errors[np.isfinite(errors["in_plane"])]
    typical = found.groupby("study_id")["in_plane"].median()
    return typical.index[typical > CONTRADICTED_MM].tolist()
