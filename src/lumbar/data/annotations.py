"""Annotated points in patient space: a competition's coordinates put onto the slices that they name."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies, series_by_id
from lumbar.mri.series import Series, Slice

STAGE = "annotations"
"""By which the problem of a point without an image is known."""


def annotated_images(
    coordinates: pd.DataFrame, series: Mapping[int, Series], problems: Problems
) -> Iterator[tuple[Any, Series, Slice]]:
    """Some rows of `read_coordinates`, each with the series and the slice that it names; `series` are readable ones by
    their id.

    A row whose series or image is not there is left out and noted.
    """
    for row in coordinates.itertuples():
        try:
            stack = series[row.series_id]
            image = stack.by_instance_number(row.instance_number)
        except KeyError:
            message = f"series {row.series_id}: no image {row.instance_number} for {row.condition} {row.level}"
            problems.note(row.study_id, STAGE, message)
            continue
        yield row, stack, image


def place_annotations(
    coordinates: pd.DataFrame, series: Mapping[int, Series], problems: Problems, fold: int = NO_FOLD
) -> Iterator[Point]:
    """The points of those rows that `annotated_images` finds an image for."""
    for row, _, image in annotated_images(coordinates, series, problems):
        pixel = np.array([row.x, row.y], dtype=np.float64)
        yield Point(
            study_id=row.study_id,
            condition=row.condition,
            level=row.level,
            patient=image.plane.to_patient(pixel),
            series_id=row.series_id,
            instance_number=row.instance_number,
            pixel=pixel,
            normal=image.plane.normal,
            confidence=1.0,
            source="annotated",
            fold=fold,
        )


def annotated_points(
    competition: Competition, folds: pd.DataFrame, jobs: int = -1
) -> tuple[pd.DataFrame, list[Problem]]:
    """The annotated points of the studies of `folds` (study_id, fold) as a table, and what could not be read.

    Points on images that cannot be read are left out; the others bear the fold of their study.
    """
    coordinates = competition.coordinates
    fold_of = dict(zip(folds["study_id"], folds["fold"], strict=True))
    given = {study_id: (rows, int(fold_of[study_id])) for study_id, rows in _by_study(coordinates, fold_of)}
    studies, only = [study_id for study_id in folds["study_id"] if study_id in given], set(coordinates["series_id"])
    label = "annotated points"
    return collect_points(map_studies(competition, "train", studies, _place, label, only=only, given=given, jobs=jobs))


def _by_study(coordinates: pd.DataFrame, wanted: Container[int]) -> Iterator[tuple[int, pd.DataFrame]]:
    return ((study_id, rows) for study_id, rows in coordinates.groupby("study_id") if study_id in wanted)


def _place(_: int, study: Study, problems: Problems, given: tuple[pd.DataFrame, int]) -> list[Point]:
    coordinates, fold = given
    return list(place_annotations(coordinates, series_by_id(study), problems, fold))
