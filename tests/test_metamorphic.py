"""What must not change an answer does not, and what must change it changes it as it should: a study told otherwise."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from lumbar.data.competition import Competition
from lumbar.data.points import read_points
from lumbar.data.problems import Problems
from lumbar.data.studies import Study, map_studies
from lumbar.labels import CONDITIONS, GRADES, condition_of
from lumbar.submit.chain import Models, cut_study, find_points, grade_crops, load_models, predict_study

MIRROR = np.array([-1.0, 1.0, 1.0])
ORIGIN = np.array([13.7, -41.3, 8.9])
Change = Callable[[pydicom.Dataset, int, int], None]


@pytest.fixture(scope="module")
def models(trained) -> Models:
    """The miniature run's models."""
    return load_models(trained.models)


def read(competition: Competition, study_id: int) -> Study:
    """A training study."""
    (done,) = map_studies(competition, "train", [study_id], lambda _, study, __: study)
    return done.value


def rewrite(competition: Competition, study_id: int, out: Path, change: Change) -> Study:
    """A training study whose files were changed, and named by their new numbers."""
    for name in ("train.csv", "train_series_descriptions.csv", "train_label_coordinates.csv"):
        out.mkdir(exist_ok=True)
        shutil.copy(competition.root / name, out / name)
    for folder in sorted((competition.root / "train_images" / str(study_id)).iterdir()):
        target = out / "train_images" / str(study_id) / folder.name
        target.mkdir(parents=True)
        files = sorted(folder.glob("*.dcm"))
        for number, path in enumerate(files):
            dataset = pydicom.dcmread(path)
            change(dataset, number, len(files))
            dataset.save_as(target / f"{dataset.InstanceNumber}.dcm")
    return read(Competition(out), study_id)


def renumber(dataset: pydicom.Dataset, number: int, count: int) -> None:
    """Numbers that say nothing of the order."""
    dataset.InstanceNumber = 100 + (7 * number) % count if count % 7 else 100 + (11 * number) % count


def reverse(dataset: pydicom.Dataset, _: int, count: int) -> None:
    """From the other end of the stack."""
    dataset.InstanceNumber = 1000 - int(dataset.InstanceNumber)


def move_origin(dataset: pydicom.Dataset, _: int, __: int) -> None:
    """The patient lies elsewhere in the scanner."""
    if "ImagePositionPatient" in dataset:
        dataset.ImagePositionPatient = [float(value) for value in np.array(dataset.ImagePositionPatient) + ORIGIN]


def mirror(dataset: pydicom.Dataset, _: int, __: int) -> None:
    """The patient's left for the right."""
    if "ImagePositionPatient" in dataset:
        dataset.ImagePositionPatient = [float(value) for value in np.array(dataset.ImagePositionPatient) * MIRROR]
    if "ImageOrientationPatient" in dataset:
        both = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3) * MIRROR
        dataset.ImageOrientationPatient = [float(value) for value in both.ravel()]


def answers(models: Models, study_id: int, study: Study) -> pd.DataFrame:
    """What all chains say of a study, by row_id."""
    problems = Problems(strict=True)
    return predict_study(models, models.chains, study_id, study, problems)[0].set_index("row_id")[list(GRADES)]


@pytest.mark.parametrize("change", [renumber, reverse, move_origin])
@pytest.mark.parametrize("place", [0, 3])
def test_numbers_order_and_origin_change_no_answer(models, competition, tmp_path, change, place):
    study_id = competition.study_ids[place]
    before = answers(models, study_id, read(competition, study_id))
    after = answers(models, study_id, rewrite(competition, study_id, tmp_path / "changed", change))
    assert len(before) > 0
    pd.testing.assert_frame_equal(after, before, rtol=0, atol=1e-6)


def test_a_study_mirrored_in_the_patient_swaps_left_and_right(models, competition, tmp_path):
    study_id, chain = competition.study_ids[0], models.chains[0]
    study, problems = read(competition, study_id), Problems(strict=True)
    points = find_points(chain, study_id, study, problems)
    mirrored = points.assign(
        condition=[_other_side(name) for name in points["condition"]], patient_x=-points["patient_x"]
    )
    other = rewrite(competition, study_id, tmp_path / "mirrored", mirror)
    said, of_other = (
        grade_crops(chain, study_id, cut_study(chain, study_id, each, at, problems), problems)
        for each, at in ((study, points), (other, mirrored))
    )
    assert set(said) == set(of_other)
    for name, table in said.items():
        expected = table.set_index(table["row_id"].map(_swap_sides))[list(GRADES)]
        found = of_other[name].set_index("row_id")[list(GRADES)].loc[expected.index]
        np.testing.assert_allclose(found, expected, atol=2e-3)  # a pixel may round otherwise


def _other_side(condition: str) -> str:
    known = CONDITIONS[condition]
    return condition_of(known.group, {"left": "right", "right": "left", None: None}[known.side])


def _swap_sides(row_id: str) -> str:
    study, _, cell = row_id.partition("_")
    sides = {"left": "right", "right": "left"}
    first, _, rest = cell.partition("_")
    return f"{study}_{sides[first]}_{rest}" if first in sides else row_id


@pytest.mark.parametrize("gone", ["spinal", "foraminal", "subarticular"])
def test_a_view_taken_away_changes_only_the_cells_that_it_grades(trained, models, competition, gone):
    study_id, problems = competition.study_ids[0], Problems(strict=True)
    points = read_points(trained.annotated_points_file)
    at, study = points[points["study_id"] == study_id], read(competition, study_id)
    cuts = {chain.fold: cut_study(chain, study_id, study, at, problems) for chain in models.chains}
    # So small a run may have too few crops to train each net of each fold.
    chain = next(chain for chain in models.chains if gone in grade_crops(chain, study_id, cuts[chain.fold], problems))
    crops = cuts[chain.fold]
    whole = grade_crops(chain, study_id, crops, problems)
    rest = grade_crops(chain, study_id, {name: cut for name, cut in crops.items() if name != gone}, problems)
    assert set(whole) - set(rest) == {gone}
    for name, table in rest.items():
        pd.testing.assert_frame_equal(table, whole[name])
