"""A study whose left and right foramina were counted from different vertebrae is named, and no other."""

import pandas as pd

from lumbar.data.annotations import annotated_points
from lumbar.detect.sides_apart import studies_with_sides_apart
from lumbar.labels import LEVELS

LEVEL_MM = 33.0


def test_a_study_whose_sides_were_counted_from_different_vertebrae_is_named(competition):
    studies = pd.DataFrame({"study_id": competition.study_ids, "fold": 0})
    truth, _ = annotated_points(competition, studies, jobs=1)
    first, second = sorted(truth["study_id"].unique())[:2]
    is_left = truth["condition"].str.startswith("left_neural")
    moved = truth.copy()
    moved.loc[is_left & (truth["study_id"] == first), "patient_z"] += LEVEL_MM
    one_level = is_left & (truth["study_id"] == second) & (truth["level"] == LEVELS[0])
    moved.loc[one_level, "patient_z"] += LEVEL_MM
    assert studies_with_sides_apart(truth) == []
    assert studies_with_sides_apart(moved) == [first], "and not the one with a single point astray"
    assert studies_with_sides_apart(truth[~is_left]) == []
