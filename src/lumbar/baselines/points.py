"""The points that the published systems crop at: a detector's, annotated ones, or axial slices put to levels; and the
slices that have none."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.baselines.clusters import cluster_study, middle_of
from lumbar.baselines.samplers import UNANNOTATED, is_graded
from lumbar.baselines.targets import TARGETS
from lumbar.config import CellsConfig
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.data.points import SLICE, Point, on_slices, read_points
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies
from lumbar.labels import GROUPS, group_of
from lumbar.run.run import Run


def choose_points(run: Run) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of the training studies that a system's config asks for, of the cells that it grades, and what could
    not be read for them."""
    kind, problems = run.config.system.points, list[Problem]()
    if kind == "annotated" and not run.annotated_points_file.is_file():
        points, problems = annotated_points(run.competition, run.folds)
    elif kind == "clustered":
        points, problems = clustered_points(run.competition, run.folds)
    else:
        points = read_points(run.annotated_points_file if kind == "annotated" else run.points_file)
    points = on_slices(points[is_graded(points, run.config.cells)])
    if TARGETS[run.config.system.target].tells_unannotated:
        others, of_others = unannotated_points(run.competition, points, run.folds, run.config.cells)
        return pd.concat([points, others], ignore_index=True), [*problems, *of_others]
    return points, problems


def unannotated_points(
    competition: Competition, points: pd.DataFrame, folds: pd.DataFrame, cells: CellsConfig, jobs: int = -1
) -> tuple[pd.DataFrame, list[Problem]]:
    """A point in the middle of every slice of the studies of `folds` that has no annotation and none of the points,
    and what could not be read. Their condition is one of the series' group, so that they are cropped with it.
    """
    fold_of = dict(zip(folds["study_id"], folds["fold"], strict=True))
    names = {GROUPS[group_of(name)].series_description: name for name in reversed(cells.conditions)}

    def find(study_id: int, study: Study, _: Problems) -> list[Point]:
        where = (cells.levels[0], UNANNOTATED, int(fold_of[study_id]))
        slices = ((names[kind], series) for kind in names for series in study.get(kind, []))
        return [middle_of(study_id, series, image, name, *where) for name, series in slices for image in series.slices]

    table = competition.series("train")
    only = set(table.loc[table["series_description"].isin(names), "series_id"])
    done = map_studies(competition, "train", list(fold_of), find, "crop: slices without a point", only=only, jobs=jobs)
    every, problems = collect_points(done)
    marked = pd.concat([competition.coordinates[SLICE], points[SLICE]])
    return every[without_mark(every, marked)], problems


def without_mark(slices: pd.DataFrame, marked: pd.DataFrame) -> NDArray[np.bool_]:
    """Which slices (N,) are not among the marked ones; both are tables with series_id and instance_number."""
    return ~pd.MultiIndex.from_frame(slices[SLICE]).isin(pd.MultiIndex.from_frame(marked[SLICE]))


def clustered_points(
    competition: Competition, folds: pd.DataFrame, jobs: int = -1
) -> tuple[pd.DataFrame, list[Problem]]:
    """The points of the studies of `folds` (study_id, fold) by `cluster_study`, as a table, and what could not be
    read."""
    fold_of = dict(zip(folds["study_id"], folds["fold"], strict=True))

    def cluster(study_id: int, study: Study, _: Problems) -> list[Point]:
        return cluster_study(study, study_id, int(fold_of[study_id]))

    series = competition.series("train")
    axial = series.loc[series["series_description"] == GROUPS["subarticular"].series_description, "series_id"]
    return collect_points(
        map_studies(competition, "train", list(fold_of), cluster, "crop: points", only=set(axial), jobs=jobs)
    )
