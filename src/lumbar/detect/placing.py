"""Points put onto the slices that show them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lumbar.data.points import NO_SLICE, Point
from lumbar.detect.anatomy import Points
from lumbar.labels import LEVELS, condition_of
from lumbar.mri.series import Series, Slice, nearest_slice

TOWARDS_SIDE = {"left": np.array([1.0, 1.0, 1.0]), "right": np.array([-1.0, 1.0, 1.0])}
"""Turns an offset to the left into one to the side."""
UNKNOWN = 0
"""The study of a point before it is told."""


def are_placed(series: Sequence[Series]) -> bool:
    """Whether all series have positions."""
    return all(stack.is_placed for stack in series)


def place(
    group: str, side: str | None, series: Sequence[Series], points: Points, confidence: NDArray[np.float64]
) -> list[Point]:
    """Puts points onto the nearest slice that shows them, or onto none."""
    located = []
    for level, point, sure in zip(LEVELS, points, confidence, strict=True):
        shown = nearest_slice(series, point)
        if shown:
            located.append(point_on_slice(*shown, condition_of(group, side), level, point, float(sure)))
        elif np.isfinite(point).all() and are_placed(series):
            located.append(point_on_no_slice(condition_of(group, side), level, point))
    return located


def point_on_no_slice(condition: str, level: str, patient: NDArray[np.float64]) -> Point:
    """The point of a cell where it must be by what other series show; the study and the fold come on top."""
    return Point(
        study_id=UNKNOWN,
        condition=condition,
        level=level,
        patient=patient,
        series_id=NO_SLICE,
        instance_number=NO_SLICE,
        pixel=np.zeros(2),
        normal=np.zeros(3),
        confidence=0.0,
        source="interpolated",
    )


def point_on_slice(
    series: Series, image: Slice, condition: str, level: str, patient: NDArray[np.float64], confidence: float
) -> Point:
    """The point of a cell on the slice below a patient point (3,); the study and the fold come on top."""
    return Point(
        study_id=UNKNOWN,
        condition=condition,
        level=level,
        patient=patient,
        series_id=series.series_id,
        instance_number=image.instance_number,
        pixel=image.plane.to_pixels(patient),
        normal=image.plane.normal,
        confidence=confidence,
        source="detected" if confidence > 0 else "interpolated",
    )
