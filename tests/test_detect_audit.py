"""The audit of annotations: who was counted from the wrong vertebra is not trained on, and nobody else is left out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.detect.audit import find_contradicted
from lumbar.detect.contradictions import contradicted_studies, studies_with_sides_apart
from lumbar.detect.stage import run_detect
from lumbar.labels import LEVELS
from lumbar.pipeline import run_folds
from lumbar.run.run import Selection
from lumbar.run.stamps import UntrainedError
from miniature import tiny_run

LEVEL_MM = 33.0


def errors_of(study_id: int, in_plane: list[float]) -> pd.DataFrame:
    """The errors of a study's canal, as far as the audit needs them."""
    return pd.DataFrame({"study_id": study_id, "level": LEVELS[: len(in_plane)], "in_plane": in_plane})


def test_a_spine_that_is_a_level_off_is_contradicted_and_a_scattered_point_is_not():
    shifted, scattered = errors_of(1, [31.0, 33.0, 35.0, 30.0, 27.0]), errors_of(2, [2.0, 40.0, 3.0, 31.0, 1.0])
    assert contradicted_studies(pd.concat([shifted, scattered])) == [1]


def test_a_study_in_which_nothing_was_found_is_not_contradicted():
    assert contradicted_studies(errors_of(1, [np.inf] * 5)) == []


def test_what_was_found_of_a_study_is_what_counts():
    assert contradicted_studies(errors_of(1, [np.inf, np.inf, np.inf, 33.0, 31.0])) == [1]


@pytest.fixture(scope="module")
def truth(competition: Competition) -> pd.DataFrame:
    """The annotated points of the phantom's training studies."""
    return annotated_points(competition, pd.DataFrame({"study_id": competition.study_ids, "fold": 0}), jobs=1)[0]


def test_every_study_is_looked_at_once_and_never_by_who_was_trained_on_it(competition, truth):
    looked_at: list[int] = []

    def points_by_others(part: int, seen: list[int], unseen: list[int]) -> pd.DataFrame:
        assert not set(seen) & set(unseen)
        assert sorted(seen + unseen) == sorted(competition.study_ids)
        looked_at.extend(unseen)
        return truth[truth["study_id"].isin(unseen)]

    assert find_contradicted(truth, 3, 0, points_by_others) == []
    assert sorted(looked_at) == sorted(competition.study_ids)


def test_a_study_whose_sides_were_counted_from_different_vertebrae_is_named(truth):
    first, second = sorted(truth["study_id"].unique())[:2]
    is_left = truth["condition"].str.startswith("left_neural")
    moved = truth.copy()
    moved.loc[is_left & (truth["study_id"] == first), "patient_z"] += LEVEL_MM
    one_level = is_left & (truth["study_id"] == second) & (truth["level"] == LEVELS[0])
    moved.loc[one_level, "patient_z"] += LEVEL_MM
    assert studies_with_sides_apart(truth) == []
    assert studies_with_sides_apart(moved) == [first], "and not the one with a single point astray"
    assert studies_with_sides_apart(truth[~is_left]) == []


def test_the_study_that_others_count_otherwise_is_named(competition, truth):
    odd = competition.study_ids[3]
    moved = truth.assign(patient_z=truth["patient_z"] + LEVEL_MM * (truth["study_id"] == odd))
    found = find_contradicted(truth, 2, 0, lambda _, __, unseen: moved[moved["study_id"].isin(unseen)])
    assert found == [odd]


def test_detectors_that_contradict_nearly_everybody_are_not_believed(truth):
    moved = truth.assign(patient_z=truth["patient_z"] + LEVEL_MM)
    found = find_contradicted(truth, 2, 0, lambda _, __, unseen: moved[moved["study_id"].isin(unseen)])
    assert found == []


def test_the_card_of_a_detector_names_who_was_left_out_of_its_training(competition, tmp_path: Path, monkeypatch):
    def one(annotated: pd.DataFrame, *audit) -> list[int]:
        """Detectors of one epoch contradict nearly everybody: they look, and one study is named all the same."""
        find_contradicted(annotated, *audit)
        return [int(annotated["study_id"].min())]

    monkeypatch.setattr("lumbar.detect.audit.find_contradicted", one)
    run = tiny_run(competition, tmp_path)
    detect = run.config.detect.model_copy(update={"audit_parts": 2, "epochs": 1})
    config = run.config.model_copy(update={"detect": detect})
    audited = type(run)(config, competition, run.folder, Selection(fold=0))
    run_folds(audited)
    with pytest.raises(UntrainedError, match="fold 1"):
        run_detect(audited)
    card = json.loads((audited.models / "detector_fold0.json").read_text())
    left_out = card["details"]["contradicted"]
    others = set(competition.study_ids) - set(audited.studies_of(0))
    assert left_out == [min(others)]
    assert card["training_studies"] == len(others) - len(left_out)
    assert not list((audited.folder / "detect" / "fold0" / "audit").rglob("training_*"))
