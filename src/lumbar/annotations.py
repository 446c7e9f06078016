"""Annotated points in patient space: a competition's coordinates put onto the slices that they name."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.dicom import Series, Slice

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
