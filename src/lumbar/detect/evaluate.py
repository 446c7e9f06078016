"""How far predicted points lie from the annotated ones, in millimetres."""

import numpy as np
import pandas as pd

from lumbar.detect.annotated import NORMAL
from lumbar.detect.schema import KEY, PATIENT
from lumbar.labels import GROUPS, group_of

HIT_MM = 8.0
"""A point this near to the annotated one is of the right level and side: a quarter of the way to the next level."""


def measure_errors(annotated: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """For each of the `annotated.annotated_points`: study_id, condition, level, group, and how far off the point of its
    cell is.

    `distance` is in patient space; `in_plane` is the distance on the annotated slice, which forgives another choice
    of slice. Both are infinite where there is no predicted point.
    """
    merged = annotated.merge(
        points[[*KEY, *PATIENT]], on=KEY, how="left", validate="one_to_one", suffixes=("", "_found")
    )
    found = merged[[f"{axis}_found" for axis in PATIENT]].to_numpy(dtype=np.float64)
    offsets = found - merged[PATIENT].to_numpy(dtype=np.float64)
    along = (offsets * merged[NORMAL].to_numpy(dtype=np.float64)).sum(axis=1)
    distance = np.linalg.norm(offsets, axis=1)
    in_plane = np.sqrt(np.maximum(distance**2 - along**2, 0))
    return merged[KEY].assign(
        group=[group_of(condition) for condition in merged["condition"]],
        distance=np.where(np.isfinite(distance), distance, np.inf),
        in_plane=np.where(np.isfinite(in_plane), in_plane, np.inf),
    )


def summarise_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """By condition group and in all: points, the share within `HIT_MM`, and the median distances."""
    parts = [(group, errors[errors["group"] == group]) for group in GROUPS] + [("all", errors)]
    rows = [
        {
            "group": name,
            "points": len(part),
            "within_8_mm": float((part["distance"] <= HIT_MM).mean()),
            "within_8_mm_in_plane": float((part["in_plane"] <= HIT_MM).mean()),
            "median_mm": float(part["distance"].median()),
            "median_mm_in_plane": float(part["in_plane"].median()),
        }
        for name, part in parts
        if len(part)
    ]
    return pd.DataFrame(rows)
