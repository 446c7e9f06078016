"""The phantom: its label model, its anatomy, and the files that it writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest

from lumbar.labels import CELLS, GRADE_WEIGHTS, GRADES, GROUPS, LEVELS, SEVERE, SIDES, group_of
from lumbar.mri.geometry import Plane, anatomical_plane
from lumbar.phantom import write_phantom
from lumbar.phantom.anatomy.body import draw_body, narrow
from lumbar.phantom.anatomy.landmarks import place_landmark
from lumbar.phantom.anatomy.render import Patient, render_slice
from lumbar.phantom.check import RELATIONS, Relation, describe_labels, simulate_labels, tetrachoric, widen
from lumbar.phantom.grades import (
    SHARES,
    answer_readings,
    best_answer,
    grade_probabilities,
)
from lumbar.phantom.pictures import draw_pictures
from lumbar.phantom.scanner.axial import plan_axials
from lumbar.phantom.scanner.contrast import TISSUES
from lumbar.phantom.study import simulate_study

SEED, SIZE = 5, 96
STUDIES, TEST_STUDIES = 2, 1
T2 = {tissue: values[1] for tissue, values in TISSUES.items()}
T1 = {tissue: values[0] for tissue, values in TISSUES.items()}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small competition."""
    out = tmp_path_factory.mktemp("phantom")
    write_phantom(out, STUDIES, SEED, test_studies=TEST_STUDIES, max_size=SIZE, jobs=1)
    return out


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Latents and grades (studies, 25) of many studies, without images."""
    drawn = simulate_labels(3000, seed=1)
    return drawn.latents, drawn.grades


def patient_with(group: str, latent: float, seed: int = 3) -> Patient:
    """A patient whose cells of one group all have one latent, and all others 0."""
    latents = np.array([latent if group_of(cell.condition) == group else 0.0 for cell in CELLS.values()])
    return Patient.lay(draw_body(np.random.default_rng(seed), latents), np.eye(3), np.zeros(3))


def render_around(patient: Patient, place: np.ndarray, axes: tuple, signals: dict, view: float = 40.0) -> np.ndarray:
    """A square of `view` mm around a point, at 0.5 mm."""
    size = round(view / 0.5)
    plane = Plane(place - (np.add(*axes)) * view / 2, *axes, 0.5, 0.5)
    return render_slice(patient, plane, size, size, signals)


SAGITTAL = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])


def weighted_loss(probabilities: np.ndarray, grades: np.ndarray) -> float:
    """The metric's weighted log loss of rows (N, 3) for grades (N,)."""
    weights = np.asarray(GRADE_WEIGHTS)[grades]
    return float(-(weights * np.log(probabilities[np.arange(len(grades)), grades])).sum() / weights.sum())


def columns_of(group: str) -> list[int]:
    return [index for index, cell in enumerate(CELLS.values()) if group_of(cell.condition) == group]


# The label model


def test_shares_of_grades_follow_the_real_ones(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    _, grades = simulated
    for index, cell in enumerate(CELLS.values()):
        expected = SHARES[group_of(cell.condition)][LEVELS.index(cell.level)]
        found = [(grades[:, index] == grade).mean() for grade in (1, 2)]
        np.testing.assert_allclose(found, expected, atol=0.035)


def test_a_sixth_of_the_studies_has_a_severe_canal(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    severe = (simulated[1][:, columns_of("spinal")] == SEVERE).any(axis=1).mean()
    assert severe == pytest.approx(0.171, abs=0.025)


def test_latents_have_unit_variance_and_sides_are_alike_but_not_equal(
    simulated: tuple[np.ndarray, np.ndarray],
) -> None:
    latents, names = simulated[0], list(CELLS)
    left, right = (names.index(f"{side}_subarticular_stenosis_l4_l5") for side in SIDES)
    assert latents.var() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(latents[:, left], latents[:, right])[0, 1] == pytest.approx(0.75, abs=0.04)


def test_probabilities_are_those_of_the_grades(simulated: tuple[np.ndarray, np.ndarray]) -> None:
    latents, grades = simulated
    expected = np.mean([grade_probabilities(one) for one in latents[:1500]], axis=0)
    found = np.stack([(grades == grade).mean(axis=0) for grade in range(len(GRADES))], axis=1)
    np.testing.assert_allclose(found, expected, atol=0.04)


REAL = {
    "canal and recess of a level": 0.80,
    "canal and the next level's": 0.67,
    "foramen and the next level's on its side": 0.64,
    "recess and the next level's on its side": 0.65,
}
"""Tetrachoric correlations of the competition's labels."""


@pytest.mark.parametrize("relation", [each for each in RELATIONS if each.name in REAL], ids=lambda each: each.name)
def test_labels_hang_together_as_real_ones_do(relation: Relation) -> None:
    labels = widen(simulate_labels(4000, seed=0).labels)
    assert tetrachoric(labels, relation) == pytest.approx(REAL[relation.name], abs=0.05)


def test_the_tetrachoric_correlation_of_known_normals_is_found() -> None:
    rng = np.random.default_rng(0)
    upper = rng.normal(size=20_000)
    lower = 0.5 * upper + np.sqrt(0.75) * rng.normal(size=20_000)
    grades = pd.DataFrame({column: np.zeros(20_000) for column in CELLS})
    for level, latent in (("l1_l2", upper), ("l3_l4", lower)):
        grades[f"spinal_canal_stenosis_{level}"] = (latent > 1).astype(float)
    relation = Relation("two apart", ("spinal", "spinal"), 2, True, 0.0)
    assert tetrachoric(grades, relation) == pytest.approx(0.5, abs=0.03)


def test_a_correlation_of_cells_without_labels_is_a_dash() -> None:
    labels = simulate_labels(300, seed=0).labels
    foramina = widen(labels[labels["group"] == "foraminal"])
    assert np.isnan(tetrachoric(foramina, RELATIONS[0]))
    lines = {line[:41].strip(): line[41:].split() for line in describe_labels(foramina, studies=100).splitlines()}
    assert lines["canal and recess of a level"][0] == "-"
    assert 0.2 < float(lines["left and right foramen of a level"][0]) < 0.8


def test_a_reader_who_errs_gains_from_the_rest_of_the_study_and_an_exact_one_does_not() -> None:
    simulated = simulate_labels(1500, seed=1)
    exact = [answer_readings(simulated.latents, 1e-6, by_study=whole) for whole in (False, True)]
    np.testing.assert_allclose(exact[0], exact[1], atol=1e-4)
    np.testing.assert_allclose(exact[0], best_answer(simulated.latents), atol=1e-4)
    readings = simulated.latents + np.random.default_rng(2).normal(0.0, 0.4, simulated.latents.shape)
    alone, together = (simulated.score(answer_readings(readings, 0.4, by_study=whole)) for whole in (False, True))
    assert simulated.score(exact[0]) < together < alone - 0.02 < simulated.prior_score


@pytest.mark.parametrize(("group", "floor"), [("spinal", 0.279), ("foraminal", 0.310), ("subarticular", 0.394)])
def test_the_best_answer_scores_the_known_floor(
    simulated: tuple[np.ndarray, np.ndarray], group: str, floor: float
) -> None:
    columns, (latents, grades) = columns_of(group), simulated
    answers = np.array([best_answer(one)[columns] for one in latents]).reshape(-1, len(GRADES))
    chosen = grades[:, columns].ravel()
    loss = weighted_loss(answers, chosen)
    assert loss == pytest.approx(floor, abs=0.025)
    shifted = answers * [1.0, 1.2, 1.0]
    assert loss < weighted_loss(shifted / shifted.sum(axis=1, keepdims=True), chosen)


# The anatomy


@pytest.mark.parametrize("group", GROUPS)
def test_narrowing_grows_with_the_latent(group: str) -> None:
    for level in range(len(LEVELS)):
        narrowed = [narrow(group, level, latent) for latent in np.linspace(-3.4, 2.0, 20)]
        assert (np.diff(narrowed) > 0).all()
        assert 0 <= min(narrowed) < 0.1
        assert narrow(group, level, 6.0) == 1.0


def test_the_canal_narrows_with_its_latent() -> None:
    fluid = []
    for latent in (-1.5, 0.0, 1.0, 2.0):
        patient = patient_with("spinal", latent)
        place = place_landmark(patient, "spinal", None, "l4_l5")
        image = render_around(patient, place, SAGITTAL, T2, view=24.0)
        fluid.append((image[18:30] > 0.7).sum(axis=1).min())
    assert (np.diff(fluid) < 0).all()


def test_a_foramen_loses_its_fat_with_its_latent() -> None:
    fat = []
    for latent in (-1.5, 0.0, 0.8, 2.0):
        patient = patient_with("foraminal", latent)
        place = place_landmark(patient, "foraminal", "left", "l4_l5")
        fat.append((render_around(patient, place, SAGITTAL, T1, view=20.0) > 0.85).mean())
    assert (np.diff(fat) < 0).all()


def test_a_recess_closes_with_its_latent_and_leaves_the_other_side_alone() -> None:
    names = list(CELLS)
    images = []
    for latent in (-1.5, 2.0):
        latents = np.zeros(len(CELLS))
        latents[names.index("left_subarticular_stenosis_l4_l5")] = latent
        patient = Patient.lay(draw_body(np.random.default_rng(3), latents), np.eye(3), np.zeros(3))
        places = [place_landmark(patient, "subarticular", side, "l4_l5") for side in SIDES]
        down = np.cross(patient.body.spine.direction(float(patient.body.spine.discs[6])), [1.0, 0.0, 0.0])
        axes = np.array([1.0, 0.0, 0.0]), down
        images.append([render_around(patient, place, axes, T2, view=10.0) for place in places])
    left, right = (np.abs(images[0][side] - images[1][side]).mean() for side in range(len(SIDES)))
    assert left > 0.1
    assert right < 0.02


def test_vertebral_marrow_lies_between_dark_endplates() -> None:
    patient = patient_with("spinal", 0.0)
    spine = patient.body.spine
    middle = float(spine.discs[5] + spine.discs[6]) / 2
    image = render_around(patient, spine.to_frame(0.0, -16.0, middle), SAGITTAL, T1, view=40.0)
    column = image[:, image.shape[1] // 2]
    assert column[35:45].mean() > 0.4
    assert min(column[:35].min(), column[45:].min()) < 0.25


# Acquisition


def test_every_level_of_an_axial_plan_is_crossed_by_a_slice() -> None:
    patient = patient_with("spinal", 0.0)
    for seed in range(12):
        for series in plan_axials(np.random.default_rng(seed), patient, 128, mixed_sizes=0.0):
            for level in series.levels:
                place = place_landmark(patient, "subarticular", "left", level)
                assert min(abs(float(image.plane.distance(place))) for image in series.slices) < 4.0


def test_each_cell_is_marked_once_and_labelled_only_if_marked() -> None:
    counts = []
    for index in range(15):
        study, _ = simulate_study(np.random.default_rng([11, index]), index, 128, is_test=False)
        cells = [point.cell for point in study.points]
        assert len(cells) == len(set(cells))
        labelled = [column for column, grade in zip(CELLS, study.grades, strict=True) if grade >= 0]
        assert set(cells) <= set(labelled)
        counts.append(sum(series.description == "Axial T2" for series in study.series))
    assert min(counts) == 1
    assert max(counts) > 1


# The files


def test_the_same_seed_writes_the_same_bytes(phantom: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, STUDIES, SEED, test_studies=TEST_STUDIES, max_size=SIZE, jobs=2)
    written = sorted(path.relative_to(phantom) for path in phantom.rglob("*") if path.is_file())
    assert written == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((phantom / path).read_bytes() == (tmp_path / path).read_bytes() for path in written)


def test_tables_have_the_real_columns_and_spellings(phantom: Path) -> None:
    labels = pd.read_csv(phantom / "train.csv")
    points = pd.read_csv(phantom / "train_label_coordinates.csv")
    assert list(labels.columns) == ["study_id", *CELLS]
    assert set(labels[list(CELLS)].melt()["value"].dropna()) <= {"Normal/Mild", "Moderate", "Severe"}
    assert list(points.columns) == ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    assert {"Spinal Canal Stenosis", "Left Neural Foraminal Narrowing"} <= set(points["condition"])
    assert set(points["level"]) == {"L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"}
    assert points["series_id"].isin(pd.read_csv(phantom / "train_series_descriptions.csv")["series_id"]).all()


def test_the_oracle_and_the_sample_submission_have_every_row_once(phantom: Path) -> None:
    for name, studies in (("oracle.csv", STUDIES), ("sample_submission.csv", TEST_STUDIES)):
        table = pd.read_csv(phantom / name)
        assert list(table.columns) == ["row_id", *GRADES]
        assert len(table) == table["row_id"].nunique() == studies * len(CELLS)
        np.testing.assert_allclose(table[list(GRADES)].sum(axis=1), 1.0)
    hidden = pd.read_csv(phantom / "hidden" / "oracle.csv")
    assert set(hidden["row_id"]) == set(pd.read_csv(phantom / "sample_submission.csv")["row_id"])


def test_a_phantom_without_test_studies_has_headers_only(tmp_path: Path) -> None:
    write_phantom(tmp_path, 0, SEED, max_size=SIZE, jobs=1)
    assert (tmp_path / "sample_submission.csv").read_text() == "row_id,normal_mild,moderate,severe\n"
    assert (tmp_path / "test_series_descriptions.csv").read_text() == "study_id,series_id,series_description\n"


def test_a_folder_that_holds_a_competition_is_not_overwritten(phantom: Path) -> None:
    with pytest.raises(FileExistsError, match="holds a competition already"):
        write_phantom(phantom, 1, SEED, max_size=SIZE, jobs=1)


def test_pictures_are_three_small_images(tmp_path: Path) -> None:
    paths = draw_pictures(tmp_path, seed=3)
    assert [path.name for path in paths] == ["canal.png", "foramen.png", "recess.png"]
    assert all(20_000 < path.stat().st_size < 200_000 for path in paths)


def test_series_lie_in_the_planes_of_their_descriptions(phantom: Path) -> None:
    for row in pd.read_csv(phantom / "train_series_descriptions.csv").itertuples():
        folder = phantom / "train_images" / str(row.study_id) / str(row.series_id)
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
        planes = [
            Plane.of(header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing)
            for header in headers
        ]
        assert {anatomical_plane(plane) for plane in planes} == {row.series_description.split()[0].lower()}
        assert max(max(header.Rows, header.Columns) for header in headers) <= SIZE


def test_points_lie_in_their_landmarks(phantom: Path) -> None:
    points = pd.read_csv(phantom / "train_label_coordinates.csv")
    places = points.assign(place=[_place_of(phantom, row) for row in points.itertuples()])
    for _, study in places.groupby("study_id"):
        canal = _places(study, "Spinal Canal Stenosis")
        left, right = (_places(study, f"{side} Neural Foraminal Narrowing") for side in ("Left", "Right"))
        assert (np.diff(canal[:, 2]) < -20).all()
        np.testing.assert_allclose(left[:, 0] - right[:, 0], 33, atol=14)
        above_canal = (left + right)[:4, 2] / 2 - canal[:4, 2]
        assert ((above_canal > 3) & (above_canal < 18)).all()


def test_canal_points_lie_in_bright_fluid(phantom: Path) -> None:
    points = pd.read_csv(phantom / "train_label_coordinates.csv")
    canal = points[(points["condition"] == "Spinal Canal Stenosis") & (points["level"] == "L1/L2")]
    for row in canal.itertuples():
        image = _read(phantom, row).pixel_array
        x, y = round(row.x), round(row.y)
        assert image[y - 1 : y + 2, x - 2 : x + 3].max() > 2 * np.median(image)


def _read(phantom: Path, row: Any) -> pydicom.Dataset:
    folder = phantom / "train_images" / str(row.study_id) / str(row.series_id)
    return pydicom.dcmread(folder / f"{row.instance_number}.dcm")


def _place_of(phantom: Path, row: Any) -> np.ndarray:
    header = _read(phantom, row)
    plane = Plane.of(header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing)
    return plane.to_patient((row.x, row.y))


def _places(study: pd.DataFrame, condition: str) -> np.ndarray:
    return np.array(study[study["condition"] == condition].sort_values("level")["place"].tolist())
