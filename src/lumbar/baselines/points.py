"""The points that the published systems crop at: a detector's, annotated ones, or axial slices put to levels."""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from lumbar.baselines.samplers import is_graded
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point, on_slices, read_points
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies
from lumbar.labels import GROUPS, LEVELS, condition_of
from lumbar.mri.geometry import HEAD, Array
from lumbar.run.run import Run

ATTEMPTS = 10
"""Starts of K-means, of which the best is kept."""


def choose_points(run: Run) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of the training studies that a system's config asks for, of the cells that it grades, and what could
    not be read for them."""
    kind, problems = run.config.published.points if run.config.published else "detected", list[Problem]()
    if kind == "annotated" and not run.annotated_points_file.is_file():
        points, problems = annotated_points(run.competition, run.folds)
    elif kind == "clustered":
        points, problems = clustered_points(run.competition, "train", run.folds)
    else:
        points = read_points(run.annotated_points_file if kind == "annotated" else run.points_file)
    return on_slices(points[is_graded(points, run.config.cells)]), problems


def clustered_points(
    competition: Competition, split: str, folds: pd.DataFrame, jobs: int = -1
) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of the studies of `folds` (study_id, fold) by `cluster_study`, as a table, and what could not be
    read."""
    fold_of = dict(zip(folds["study_id"], folds["fold"], strict=True))

    def cluster(study_id: int, study: Study, _: Problems) -> list[Point]:
        return cluster_study(study, study_id, int(fold_of[study_id]))

    series = competition.series(split)
    axial = series.loc[series["series_description"] == GROUPS["subarticular"].series_description, "series_id"]
    return collect_points(
        map_studies(competition, split, list(fold_of), cluster, "crop: points", only=set(axial), jobs=jobs)
    )


def cluster_study(study: Study, study_id: int, fold: int = NO_FOLD) -> list[Point]:
    """A canal point in the middle of every axial slice of a study.

    Its slices are put into five clusters by K-means of their height; the clusters are the levels, from head to foot,
    as "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita) has it. A study with fewer slices than
    levels has no point.
    """
    axial = study.get(GROUPS["subarticular"].series_description, [])
    pairs = [(series, image) for series in axial for image in series.slices]
    if len(pairs) < len(LEVELS):
        return []
    levels = cluster_heights(np.array([float(image.centre @ HEAD) for _, image in pairs]))
    return [
        Point(
            study_id=study_id,
            condition=condition_of("spinal", None),
            level=level,
            patient=image.centre,
            series_id=series.series_id,
            instance_number=image.instance_number,
            pixel=image.plane.to_pixels(image.centre),
            normal=image.plane.normal,
            confidence=1.0,
            source="clustered",
            fold=fold,
        )
        for (series, image), level in zip(pairs, levels, strict=True)
    ]


def cluster_heights(heights: Array) -> list[str]:
    """The level of each slice from its height in mm, rising to the head; at least five of them."""
    clusters = KMeans(len(LEVELS), n_init=ATTEMPTS, random_state=0).fit(heights[:, None])
    from_head = np.argsort(-clusters.cluster_centers_[:, 0])
    level_of = {int(cluster): level for cluster, level in zip(from_head, LEVELS, strict=True)}
    return [level_of[int(cluster)] for cluster in clusters.labels_]
