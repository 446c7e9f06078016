"""Annotated points in patient space: a competition's coordinates put onto the slices that they name."""

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lumbar.data.competition import Competition
from lumbar.data.points import NO_FOLD, Point, points_table
from lumbar.data.problems import Problems
from lumbar.data.studies import Study, map_studies, series_by_id
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


def annotated_points(competition: Competition, folds: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """The annotated points of the studies of `folds` (study_id, fold) as a table, but for those on images that cannot
    be read; they bear the fold of their study."""
    coordinates, descriptions = competition.coordinates, competition.series("train")
    descriptions = descriptions[descriptions["series_id"].isin(coordinates["series_id"])]
    fold_of = dict(zip(folds["study_id"], folds["fold"], strict=True))
    by_study = dict(list(coordinates.groupby("study_id")))

    def place(study_id: int, study: Study, _: Problems) -> list[Point]:
        return list(place_annotations(by_study[study_id], series_by_id(study), int(fold_of[study_id])))

    studies = [study_id for study_id in folds["study_id"] if study_id in by_study]
    done = map_studies(competition, "train", studies, place, "annotated points", series=descriptions, jobs=jobs)
    return points_table(point for result in done for point in result.value or ())
