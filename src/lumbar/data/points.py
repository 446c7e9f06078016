"""The points table: the competition's coordinate schema, with patient millimetres, confidence and source."""

from pathlib import Path

import pandas as pd

from lumbar.labels import CONDITIONS, LEVELS
from lumbar.data.tables import choice, integer, read_table, real

KEY = ["study_id", "condition", "level"]
PATIENT = ["patient_x", "patient_y", "patient_z"]
"""Millimetres in patient space."""
COLUMNS = [
    "study_id",
    "series_id",
    "instance_number",
    "condition",
    "level",
    "x",
    "y",
    *PATIENT,
    "confidence",
    "source",
    "fold",
]
"""`x` and `y` are pixels of the slice, `source` is one of `SOURCES`, `fold` that of the detector, or of the study."""
SOURCES = ("detected", "interpolated", "annotated", "clustered")
"""The detector's boxes and what lies between them; points by hand; axial slices put to levels by their height."""


def read_points(path: Path) -> pd.DataFrame:
    """A points table with the `COLUMNS`, checked; a fold has at most one point for each cell."""
    whole = [integer(name) for name in ("study_id", "series_id", "instance_number", "fold")]
    numbers = [real(name) for name in ("x", "y", *PATIENT, "confidence")]
    named = [choice("condition", CONDITIONS), choice("level", LEVELS), choice("source", SOURCES)]
    return read_table(path, [*whole, *numbers, *named], unique=[*KEY, "fold"])[COLUMNS]
