"""A point of a cell, and the table of points: the competition's coordinates with patient millimetres and a source."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbar.data.tables import choice, integer, read_table, real
from lumbar.labels import CONDITIONS, LEVELS
from lumbar.mri.geometry import Array

KEY = ["study_id", "condition", "level"]
SLICE = ["series_id", "instance_number"]
PATIENT = ["patient_x", "patient_y", "patient_z"]
"""Millimetres in patient space."""
NORMAL = ["normal_x", "normal_y", "normal_z"]
"""The unit normal of the slice that a point lies on."""
SOURCES = ("detected", "interpolated", "annotated", "clustered", "unannotated")
"""The detector's boxes and what lies between them; points by hand; axial slices put to levels by their height; slices
that nobody has annotated."""
NO_SLICE = 0
"""The series and the instance of a point that is a place in the patient and on no slice: of a cell whose own series is
missing, or does not show it. What sees it on another series needs no more."""
NO_FOLD = -1
"""The fold of a point that no fold's detector has found, of a study that is in none."""

_WHOLE = ("study_id", "series_id", "instance_number")
_REAL = ("x", "y", *PATIENT, *NORMAL, "confidence")
COLUMNS = [*_WHOLE, "condition", "level", *_REAL, "source", "fold"]
"""`x` and `y` are pixels of the slice, `source` is one of `SOURCES`, `fold` that of the detector, or of the study."""


@dataclass(frozen=True, eq=False)
class Point:
    """A cell's point: where in the patient (3,) in mm, and on which slice, at which pixel (2,), with its normal (3,).

    `confidence` is 1 for a point by hand and 0 for one that was interpolated.
    """

    study_id: int
    condition: str
    level: str
    patient: Array
    series_id: int
    instance_number: int
    pixel: Array
    normal: Array
    confidence: float
    source: str
    fold: int = NO_FOLD

    def row(self) -> tuple[object, ...]:
        """The point as a row of the table, in the order of `COLUMNS`."""
        slice_ = (self.study_id, self.series_id, self.instance_number, self.condition, self.level)
        numbers = (*np.round(self.pixel, 3), *np.round(self.patient, 3), *np.round(self.normal, 6))
        return *slice_, *numbers, round(self.confidence, 5), self.source, self.fold


def points_table(points: Iterable[Point]) -> pd.DataFrame:
    """Points as a table with the `COLUMNS` and their types, which an empty one has as well."""
    table = pd.DataFrame([point.row() for point in points], columns=COLUMNS)
    types = dict.fromkeys((*_WHOLE, "fold"), "int64") | dict.fromkeys(_REAL, "float64")
    return table.astype(types)


def on_slices(points: pd.DataFrame) -> pd.DataFrame:
    """The points that lie on a slice."""
    return points[points["series_id"] != NO_SLICE]


def read_points(path: Path) -> pd.DataFrame:
    """A points table with the `COLUMNS`, checked; a fold has at most one point for each cell."""
    whole, numbers = [integer(name) for name in _WHOLE], [real(name) for name in _REAL]
    named = [choice("condition", CONDITIONS), choice("level", LEVELS), choice("source", SOURCES)]
    return read_table(path, [*whole, *numbers, *named, integer("fold")], unique=[*KEY, "fold"])[COLUMNS]
