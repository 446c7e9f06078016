"""The label space: what is derived agrees with what the competition writes."""

import csv
from pathlib import Path

import pytest

from lumbar.labels import (
    CELLS,
    CONDITIONS,
    GRADE_WEIGHTS,
    GRADES,
    GROUPS,
    LEVELS,
    SERIES_DESCRIPTIONS,
    SIDES,
    condition_of,
    grade_title,
    group_of,
    level_title,
    row_id,
    spell,
    title,
)


def test_the_levels_run_from_head_to_foot():
    assert LEVELS == ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")


def test_there_are_five_conditions_and_twenty_five_cells():
    assert len(CONDITIONS) == 5
    assert len(CELLS) == 25
    assert next(iter(CELLS)) == "spinal_canal_stenosis_l1_l2"
    assert list(CELLS)[-1] == "right_subarticular_stenosis_l5_s1"


def test_a_graver_grade_weighs_twice_the_one_before():
    assert dict(zip(GRADES, GRADE_WEIGHTS, strict=True)) == {"normal_mild": 1, "moderate": 2, "severe": 4}


def test_a_row_id_is_the_study_the_condition_and_the_level():
    assert row_id(42, "left_subarticular_stenosis", "l4_l5") == "42_left_subarticular_stenosis_l4_l5"


@pytest.mark.parametrize(
    ("written", "spelled", "write"),
    [
        ("Left Neural Foraminal Narrowing", "left_neural_foraminal_narrowing", title),
        ("Spinal Canal Stenosis", "spinal_canal_stenosis", title),
        ("L5/S1", "l5_s1", level_title),
        ("Normal/Mild", "normal_mild", grade_title),
        ("Severe", "severe", grade_title),
    ],
)
def test_a_spelling_survives_the_way_there_and_back(written, spelled, write):
    assert spell(written) == spelled
    assert write(spelled) == written


def test_every_name_survives_the_way_there_and_back():
    assert [spell(title(condition)) for condition in CONDITIONS] == list(CONDITIONS)
    assert [spell(level_title(level)) for level in LEVELS] == list(LEVELS)
    assert [spell(grade_title(grade)) for grade in GRADES] == list(GRADES)


def test_the_canal_has_no_side_and_the_others_have_two():
    assert condition_of("spinal", None) == "spinal_canal_stenosis"
    sided = {condition_of(group, side) for group in ("foraminal", "subarticular") for side in SIDES}
    assert sided == set(CONDITIONS) - {"spinal_canal_stenosis"}


def test_a_condition_knows_its_group():
    assert group_of("right_neural_foraminal_narrowing") == "foraminal"
    assert {group_of(condition) for condition in CONDITIONS} == set(GROUPS)


def test_each_group_is_seen_on_its_own_kind_of_series():
    assert [GROUPS[name].series_description for name in ("spinal", "foraminal", "subarticular")] == [
        "Sagittal T2/STIR",
        "Sagittal T1",
        "Axial T2",
    ]
    assert len(set(SERIES_DESCRIPTIONS)) == 3


def test_the_cells_are_the_columns_that_the_competition_publishes(rsna: Path):
    with (rsna / "train.csv").open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert set(header) == {"study_id", *CELLS}


def test_the_row_ids_are_those_of_the_sample_submission(rsna: Path):
    with (rsna / "sample_submission.csv").open(encoding="utf-8") as file:
        published = {row["row_id"] for row in csv.DictReader(file)}
    studies = {name.split("_")[0] for name in published}
    assert published == {row_id(int(study), cell.condition, cell.level) for study in studies for cell in CELLS.values()}
