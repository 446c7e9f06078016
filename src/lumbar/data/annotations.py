"""Annotated points in patient space: a competition's coordinates put onto the slices that they name."""

import logging
from collections.abc import Container, Iterator, Mapping

import numpy as np
import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point
from lumbar.data.problems import Problem, Problems
from lumbar.data.studies import Study, collect_points, map_studies, series_by_id
from lumbar.mri.series import Series

logger = logging.getLogger(__name__)


def place_annotations(coordinates: pd.DataFrame, series: Mapping[int, Series], fold: int = NO_FOLD) -> Iterator[Point]:
    """The points of some rows of `read_coordinates`; `series` are readable ones by their id.

    A row whose series or image is not there is left out with a warning.
    """
    for row in coordinates.itertuples():
        try:
            image = series[row.series_id].by_instance_number(row.instance_number)
        except KeyError:
            logger.warning("study %s: no image for the point of %s %s", row.study_id, row.condition, row.level)
            continue
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


def _place(_: int, study: Study, __: Problems, given: tuple[pd.DataFrame, int]) -> list[Point]:
    coordinates, fold = given
    return list(place_annotations(coordinates, series_by_id(study), fold))
