"""The annotated points as a table, beside which a detector's points are held."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.annotations import place_annotations
from lumbar.dataset import Competition
from lumbar.detect.schema import COLUMNS, read_points
from lumbar.dicom import Series
from lumbar.studies import Row, Study, collect_rows
from lumbar.tables import read_table, real

NORMAL = ["normal_x", "normal_y", "normal_z"]
"""The unit normal of the slice that a point was marked on."""


def annotated_points(competition: Competition, folds: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """The annotated points of the studies of `folds` (study_id, fold), but for those on images that cannot be read.

    They have the `COLUMNS` of `detect.schema` and `NORMAL`; they are certain, and bear the fold of their study.
    """
    coordinates, descriptions = competition.coordinates, competition.series("train")
    descriptions = descriptions[descriptions["series_id"].isin(coordinates["series_id"])]
    studies = folds[folds["study_id"].isin(coordinates["study_id"])]

    def of_study(study: Study, study_id: int, fold: int) -> list[Row]:
        series = {one.series_id: one for group in study.values() for one in group}
        return list(_rows(coordinates[coordinates["study_id"] == study_id], series, fold))

    rows = collect_rows(competition, "train", descriptions, studies, of_study, "annotated points", jobs)
    return pd.DataFrame(rows, columns=[*COLUMNS, *NORMAL])


def read_annotated(path: Path) -> pd.DataFrame:
    """A table that `annotated_points` made, checked."""
    return pd.concat([read_points(path), read_table(path, [real(name) for name in NORMAL])], axis=1)


def _rows(coordinates: pd.DataFrame, series: Mapping[int, Series], fold: int) -> Iterator[Row]:
    for one in place_annotations(coordinates, series):
        where = (one.study_id, one.series_id, one.image.instance_number, one.condition, one.level)
        yield *where, *one.pixel, *np.round(one.point, 3), 1.0, "annotated", fold, *one.image.plane.normal
