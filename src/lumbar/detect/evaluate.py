"""How far predicted points lie from the annotated ones, in millimetres."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbar.data.points import KEY, NORMAL, PATIENT, SLICE
from lumbar.labels import GROUPS, group_of

HIT_MM = 8.0
"""A point this near to the annotated one is of the right level and side: a quarter of the way to the next level."""
Array = NDArray[Any]


def measure_errors(annotated: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """For each of the `annotated_points`: study_id, condition, level, group, and how far off the point of its
    cell is.

    `distance` is in patient space; `in_plane` is the distance on the annotated slice, which forgives another choice
    of slice, and `across` the mm across slices that the choice makes. All three are infinite where there is no
    predicted point. `same_slice` says whether it lies on the annotated slice, `other_level` and `other_side` whether it
    is nearer to what is annotated at another level of its condition, or on the other side of its level.
    """
    merged = annotated.merge(
        points[[*KEY, *PATIENT, *SLICE]], on=KEY, how="left", validate="one_to_one", suffixes=("", "_found")
    )
    found = merged[[f"{axis}_found" for axis in PATIENT]].to_numpy(dtype=np.float64)
    offsets = found - merged[PATIENT].to_numpy(dtype=np.float64)
    along = (offsets * merged[NORMAL].to_numpy(dtype=np.float64)).sum(axis=1)
    distance = np.linalg.norm(offsets, axis=1)
    in_plane = np.sqrt(np.maximum(distance**2 - along**2, 0))
    same = np.all([merged[name] == merged[f"{name}_found"] for name in SLICE], axis=0)
    return merged[KEY].assign(
        group=[group_of(condition) for condition in merged["condition"]],
        distance=np.where(np.isfinite(distance), distance, np.inf),
        in_plane=np.where(np.isfinite(in_plane), in_plane, np.inf),
        across=np.where(np.isfinite(along), np.abs(along), np.inf),
        same_slice=same,
        **_confusions(merged, found, distance),
    )


def _confusions(merged: pd.DataFrame, found: Array, distance: Array) -> dict[str, Array]:
    """Whether each predicted point (N, 3), so far from its own annotated one, is nearer to another."""
    others = {"other_level": np.zeros(len(merged), bool), "other_side": np.zeros(len(merged), bool)}
    places = merged[PATIENT].to_numpy(dtype=np.float64)
    site = merged["condition"].map(group_of)
    for rows in merged.groupby(["study_id", site], sort=False).indices.values():
        apart = np.linalg.norm(found[rows][:, None] - places[rows][None], axis=2)  # (predicted, annotated)
        nearer = apart < distance[rows][:, None]
        condition, level = (merged[name].to_numpy()[rows] for name in ("condition", "level"))
        same_condition, same_level = (names[:, None] == names[None] for names in (condition, level))
        others["other_level"][rows] = (nearer & same_condition & ~same_level).any(axis=1)
        others["other_side"][rows] = (nearer & ~same_condition & same_level).any(axis=1)
    return others


def summarise_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """A row for each condition group, which is a type of series, and for all: points, the share within `HIT_MM`, the
    median distances in mm, and the shares on the annotated slice, at another level and on the other side."""
    tables = [(group, errors[errors["group"] == group]) for group in GROUPS] + [("all", errors)]
    rows = [
        {
            "group": name,
            "points": len(of_group),
            "within_8_mm": float((of_group["distance"] <= HIT_MM).mean()),
            "within_8_mm_in_plane": float((of_group["in_plane"] <= HIT_MM).mean()),
            "median_mm": float(of_group["distance"].median()),
            "median_mm_in_plane": float(of_group["in_plane"].median()),
            "median_mm_across": float(of_group["across"].median()),
            "same_slice": float(of_group["same_slice"].mean()),
            "other_level": float(of_group["other_level"].mean()),
            "other_side": float(of_group["other_side"].mean()),
        }
        for name, of_group in tables
        if len(of_group)
    ]
    return pd.DataFrame(rows)
