"""Points that no detector found: axial slices whose levels are guessed from their heights, in `detect.schema`."""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from lumbar.data.competition import Competition
from lumbar.data.points import COLUMNS
from lumbar.data.studies import Row, Study, collect_rows
from lumbar.labels import GROUPS, LEVELS, condition_of
from lumbar.mri.geometry import HEAD, Array
from lumbar.mri.series import Slice

ATTEMPTS = 10
"""Starts of K-means, of which the best is kept."""


def clustered_points(competition: Competition, split: str, folds: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """The points of the studies of `folds` (study_id, fold) by `cluster_study`."""
    rows = collect_rows(competition, split, competition.series(split), folds, _cluster, "crop: points", jobs)
    return pd.DataFrame(rows, columns=COLUMNS)


def cluster_study(study: Study, study_id: int, fold: int) -> pd.DataFrame:
    """A canal point in the middle of every axial slice of a study.

    Its slices are put into five clusters by K-means of their height; the clusters are the levels, from head to foot,
    as "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita) has it. A study with fewer slices than
    levels has no point.
    """
    return pd.DataFrame(_cluster(study, study_id, fold), columns=COLUMNS)


def _cluster(study: Study, study_id: int, fold: int) -> list[Row]:
    axial = study.get(GROUPS["subarticular"].series_description, [])
    pairs = [(series, image) for series in axial for image in series.slices]
    if len(pairs) < len(LEVELS):
        return []
    levels = cluster_heights(np.array([float(image.centre @ HEAD) for _, image in pairs]))
    condition = condition_of("spinal", None)
    return [
        (
            study_id,
            series.series_id,
            image.instance_number,
            condition,
            level,
            *_middle(image),
            *np.round(image.centre, 3),
            1.0,
            "clustered",
            fold,
        )
        for (series, image), level in zip(pairs, levels, strict=True)
    ]


def cluster_heights(heights: Array) -> list[str]:
    """The level of each slice from its height in mm, rising to the head; at least five of them."""
    clusters = KMeans(len(LEVELS), n_init=ATTEMPTS, random_state=0).fit(heights[:, None])
    from_head = np.argsort(-clusters.cluster_centers_[:, 0])
    level_of = {int(cluster): level for cluster, level in zip(from_head, LEVELS, strict=True)}
    return [level_of[int(cluster)] for cluster in clusters.labels_]


def _middle(image: Slice) -> tuple[float, float]:
    rows, columns = image.pixels.shape
    return (columns - 1) / 2, (rows - 1) / 2
