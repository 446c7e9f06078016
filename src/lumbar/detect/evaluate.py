"""How far predicted points lie from the annotated ones, in millimetres; and an audit of the annotations by that.

The audit asks whose levels detectors that have not seen them count otherwise. A few spines that were counted from the
wrong vertebra teach a detector that the lowest disc may lie one higher. They are found without a look at the held-out
fold, since only its training studies are parted here.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from lumbar.data.points import KEY, NORMAL, PATIENT
from lumbar.labels import CONDITIONS, GROUPS, SIDES, group_of

HIT_MM = 8.0
"""A point this near to the annotated one is of the right level and side: a quarter of the way to the next level."""

SLICE = ["series_id", "instance_number"]
Array = NDArray[Any]
logger = logging.getLogger(__name__)

CONTRADICTED_MM = 15.0
"""Half the usual distance between neighbouring levels: a point farther than that is nearer to another level."""
CREDIBLE_SHARE = 0.5
"""Detectors that contradict more of the studies than this have not learned to count, and nobody is left out."""
PointsByOthers = Callable[[int, list[int], list[int]], pd.DataFrame]
"""Trains on some studies and returns the points of others: (part, seen, unseen) -> points."""


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


def studies_with_sides_apart(annotated: pd.DataFrame) -> list[int]:
    """The studies of the annotated points whose left and right foramina were counted from different vertebrae: of most
    levels they lie a level apart in the sagittal plane. They contradict themselves, whatever a detector finds.

    So are 51 of the competition's 1,965 studies; in the others the two sides differ by less than .4 of a level.
    """
    foramina = annotated[[group_of(condition) == "foraminal" for condition in annotated["condition"]]]
    places = foramina.assign(side=[CONDITIONS[condition].side for condition in foramina["condition"]])
    beside = places.pivot_table(index=["study_id", "level"], columns="side", values=PATIENT[1:])
    beside = beside.reindex(columns=pd.MultiIndex.from_product([PATIENT[1:], SIDES]))
    return _mostly_a_level_off(np.hypot(*(beside[axis]["left"] - beside[axis]["right"] for axis in PATIENT[1:])))


def find_contradicted(annotated: pd.DataFrame, parts: int, seed: int, points_by_others: PointsByOthers) -> list[int]:
    """The studies of the annotated points whose levels are contradicted by detectors trained on the other parts."""
    study_ids = sorted(annotated["study_id"].unique().tolist())
    splits = KFold(parts, shuffle=True, random_state=seed).split(study_ids)
    contradicted = []
    for part, (seen, unseen) in enumerate(splits):
        looked_at = [study_ids[index] for index in unseen]
        points = points_by_others(part, [study_ids[index] for index in seen], looked_at)
        contradicted += contradicted_studies(measure_errors(annotated[annotated["study_id"].isin(looked_at)], points))
    if len(contradicted) > CREDIBLE_SHARE * len(study_ids):
        logger.warning("%d of %d studies are contradicted, so none is left out", len(contradicted), len(study_ids))
        return []
    return sorted(contradicted)


def contradicted_studies(errors: pd.DataFrame) -> list[int]:
    """The studies of `measure_errors` most of whose points lie a level off; points that were not found do not count."""
    found = errors[np.isfinite(errors["in_plane"])]
    return _mostly_a_level_off(found.set_index("study_id")["in_plane"])


def _mostly_a_level_off(distances: pd.Series) -> list[int]:
    """The studies, by the index' study_id, most of whose distances in mm are a level's."""
    typical = distances.groupby("study_id").median()
    return typical.index[typical > CONTRADICTED_MM].tolist()
