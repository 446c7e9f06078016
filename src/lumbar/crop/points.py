"""Points that no detector found: the annotated ones, and axial slices whose levels are guessed from their locations.

Both are tables in the schema of `detect.schema`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.cluster import KMeans
from tqdm import tqdm

from lumbar.dataset import Competition
from lumbar.detect.schema import COLUMNS
from lumbar.dicom import Series, Slice
from lumbar.geometry import HEAD, Array
from lumbar.labels import GROUPS, LEVELS, condition_of
from lumbar.problems import Problems
from lumbar.studies import Study, read_study

Row = tuple[object, ...]
ATTEMPTS = 10
"""Starts of K-means, of which the best is kept."""


def annotated_points(competition: Competition, folds: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """The annotated points of the studies of `folds` (study_id, fold), but for those on slices that cannot be read."""
    coordinates = competition.coordinates

    def of_study(study: Study, study_id: int) -> list[Row]:
        series = {one.series_id: one for group in study.values() for one in group}
        return [
            _row(study_id, series[row.series_id], image, row.condition, row.level, (row.x, row.y), "annotated")
            for row in coordinates[coordinates["study_id"] == study_id].itertuples()
            if row.series_id in series and (image := _slice_of(series[row.series_id], row.instance_number))
        ]

    return _collect(competition, "train", folds, of_study, jobs)


def clustered_points(competition: Competition, split: str, folds: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """The points of the studies of `folds` (study_id, fold) by `cluster_study`."""
    return _collect(competition, split, folds, _cluster, jobs)


def cluster_study(study: Study, study_id: int, fold: int) -> pd.DataFrame:
    """A canal point in the middle of every axial slice of a study.

    Its slices are put into five clusters by K-means of their height; the clusters are the levels, from head to foot,
    as "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita) has it. A study with fewer slices than
    levels has no point.
    """
    return pd.DataFrame(_cluster(study, study_id), columns=COLUMNS).assign(fold=fold)


def _cluster(study: Study, study_id: int) -> list[Row]:
    axial = study.get(GROUPS["subarticular"].series_description, [])
    pairs = [(series, image) for series in axial for image in series.slices]
    if len(pairs) < len(LEVELS):
        return []
    levels = cluster_heights(np.array([float(image.centre @ HEAD) for _, image in pairs]))
    condition = condition_of("spinal", None)
    return [
        _row(study_id, series, image, condition, level, _middle(image), "clustered")
        for (series, image), level in zip(pairs, levels, strict=True)
    ]


def cluster_heights(heights: Array) -> list[str]:
    """The level of each slice from its height in mm, rising to the head; at least five of them."""
    clusters = KMeans(len(LEVELS), n_init=ATTEMPTS, random_state=0).fit(heights[:, None])
    from_head = np.argsort(-clusters.cluster_centers_[:, 0])
    level_of = {int(cluster): level for cluster, level in zip(from_head, LEVELS, strict=True)}
    return [level_of[int(cluster)] for cluster in clusters.labels_]


def _collect(
    competition: Competition,
    split: str,
    folds: pd.DataFrame,
    of_study: Callable[[Study, int], list[Row]],
    jobs: int,
) -> pd.DataFrame:
    descriptions = competition.series(split)

    def read(study_id: int) -> list[Row]:
        return of_study(read_study(competition, split, study_id, descriptions, Problems()), study_id)

    tasks = Parallel(n_jobs=jobs, return_as="generator")(delayed(read)(study_id) for study_id in folds["study_id"])
    parts: Sequence[list[Row]] = list(tqdm(tasks, total=len(folds), desc="crop: points", unit="study"))
    table = pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)
    return table.assign(fold=table["study_id"].map(folds.set_index("study_id")["fold"]))


def _slice_of(series: Series, instance_number: int) -> Slice | None:
    try:
        return series.by_instance_number(instance_number)
    except KeyError:
        return None


def _middle(image: Slice) -> tuple[float, float]:
    rows, columns = image.pixels.shape
    return (columns - 1) / 2, (rows - 1) / 2


def _row(
    study_id: int,
    series: Series,
    image: Slice,
    condition: str,
    level: str,
    pixel: tuple[float, float],
    source: str,
) -> Row:
    """A row of the points table, certain, its fold still to come."""
    point = np.round(image.plane.to_patient(list(pixel)), 3)
    return (study_id, series.series_id, image.instance_number, condition, level, *pixel, *point, 1.0, source, -1)
