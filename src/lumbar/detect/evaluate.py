"""How far predicted points lie from the annotated ones, in millimetres."""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from lumbar.dataset import Competition
from lumbar.detect.schema import KEY, PATIENT
from lumbar.dicom import SeriesError, read_series
from lumbar.labels import GROUPS, group_of

HIT_MM = 8.0
"""A point this near to the annotated one is of the right level and side: a quarter of the way to the next level."""


def measure_errors(competition: Competition, points: pd.DataFrame, study_ids: Collection[int]) -> pd.DataFrame:
    """For each annotated point of some studies on a readable slice: study_id, condition, level, group, and how far off
    the point of its cell is.

    `distance` is in patient space; `in_plane` is the distance on the annotated slice, which forgives another choice
    of slice. Both are infinite where there is no predicted point.
    """
    annotated = pd.DataFrame(_annotated(competition, study_ids), columns=[*KEY, "normal", "point"])
    merged = annotated.merge(points[[*KEY, *PATIENT]], on=KEY, how="left", validate="one_to_one")
    offsets = merged[PATIENT].to_numpy(dtype=np.float64) - np.array(merged["point"].tolist()).reshape(-1, 3)
    along = (offsets * np.array(merged["normal"].tolist()).reshape(-1, 3)).sum(axis=1)
    distance = np.linalg.norm(offsets, axis=1)
    in_plane = np.sqrt(np.maximum(distance**2 - along**2, 0))
    return merged[KEY].assign(
        group=[group_of(condition) for condition in merged["condition"]],
        distance=np.where(np.isfinite(distance), distance, np.inf),
        in_plane=np.where(np.isfinite(in_plane), in_plane, np.inf),
    )


def _annotated(competition: Competition, study_ids: Collection[int]) -> Iterator[tuple[object, ...]]:
    coordinates = competition.coordinates
    known = coordinates[coordinates["study_id"].isin(study_ids)]
    for (study_id, series_id), rows in known.groupby(["study_id", "series_id"], sort=True):
        try:
            plane = GROUPS[group_of(rows["condition"].iloc[0])].plane
            series = read_series(competition.series_directory("train", study_id, series_id), plane)
        except SeriesError:
            continue
        planes = {image.instance_number: image.plane for image in series.slices}
        for row in rows.itertuples():
            shown = planes.get(row.instance_number)
            if shown is not None:
                yield study_id, row.condition, row.level, shown.normal, shown.to_patient([float(row.x), float(row.y)])


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
