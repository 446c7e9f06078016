"""Annotated points in patient space: a competition's coordinates put onto the slices that they name."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from lumbar.mri.series import Series, Slice
from collections.abc import Iterator, Mapping
from pathlib import Path
import numpy as np
import pandas as pd
from lumbar.data.competition import Competition
from lumbar.data.points import COLUMNS, read_points
from lumbar.mri.series import Series
from lumbar.data.studies import Row, Study, collect_rows
from lumbar.data.tables import read_table, real


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Annotation:
    """An annotated point of one cell: the slice it was marked on, there a pixel (2,), and its patient point (3,)."""

    study_id: int
    series_id: int
    condition: str
    level: str
    image: Slice
    pixel: NDArray[np.float64]
    point: NDArray[np.float64]


def place_annotations(coordinates: pd.DataFrame, series: Mapping[int, Series]) -> Iterator[Annotation]:
    """The annotations of some rows of `read_coordinates`; `series` are readable ones by their id.

    A row whose series or image is not there is left out with a warning.
    """
    for row in coordinates.itertuples():
        try:
            image = series[row.series_id].by_instance_number(row.instance_number)
        except KeyError:
            logger.warning("study %s: no image for the point of %s %s", row.study_id, row.condition, row.level)
            continue
        pixel = np.array([row.x, row.y], dtype=np.float64)
        point = image.plane.to_patient(pixel)
        yield Annotation(row.study_id, row.series_id, row.condition, row.level, image, pixel, point)


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
