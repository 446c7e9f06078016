"""From a detector's boxes to a study's points: right level, right side, right slice, and no point from nothing."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lumbar.config import DetectConfig
from lumbar.data.points import NO_SLICE, Point
from lumbar.data.problems import Problems
from lumbar.detect.contradiction import note_contradiction
from lumbar.detect.detector import Candidate
from lumbar.detect.landmarks import CLASS_NAMES
from lumbar.detect.locate import locate_study
from lumbar.detect.training_set import SHOWN_WITHIN_MM
from lumbar.labels import LEVELS
from lumbar.mri.series import read_series
from scans import axial_planes, sagittal_planes, write_scan

CANAL = {level: np.array([2.0, 0.0, 60.0 - 30 * number]) for number, level in enumerate(LEVELS)}
FORAMEN, RECESS = np.array([16.0, -4, 4]), np.array([9.0, 0, 0])
MIRROR = np.array([-1.0, 1, 1])


class PerfectEye:
    """A detector that sees every landmark that a slice shows, as a trained one would."""

    def __init__(self) -> None:
        self.config = DetectConfig(image_size=128, mm_per_pixel=2.0)
        self.landmarks = []
        for level, canal in CANAL.items():
            self.landmarks.append(("spinal", f"canal_{level}", canal))
            for side, mirror in (("left", np.ones(3)), ("right", MIRROR)):
                self.landmarks.append(("foraminal", f"foramen_{level}", canal + FORAMEN * mirror))
                self.landmarks.append(("subarticular", f"subarticular_{side}", canal + RECESS * mirror))

    def look(self, canvases) -> list[Candidate]:
        return [
            Candidate(CLASS_NAMES.index(name), 0.9, point - distance * canvas.plane.normal, *self.identity(canvas))
            for canvas in canvases
            for group, name, point in self.landmarks
            if abs(distance := float(canvas.plane.distance(point))) <= SHOWN_WITHIN_MM[group]
        ]

    @staticmethod
    def identity(canvas) -> tuple[int, int]:
        """Series and instance of a canvas."""
        return canvas.series_id, canvas.instance_number


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Empty pictures of a study: what matters is where their planes lie."""
    folder: Path = tmp_path_factory.mktemp("study")
    sagittal, axial = sagittal_planes(range(24, -25, -4), (4, 4)), axial_planes(range(-72, 73, 4), (4, 4))
    for series_id, planes in ((1, sagittal), (2, sagittal), (3, axial)):
        write_scan(folder / str(series_id), planes, [0, 0, 0])
    t1, t2, t2_axial = (read_series(folder / str(number)) for number in (1, 2, 3))
    return {"Sagittal T1": [t1], "Sagittal T2/STIR": [t2], "Axial T2": [t2_axial]}


def points_of(eye, series) -> list[Point]:
    """The points of a study by a detector that lie on a slice."""
    return [one for one in locate_study(eye, series, study_id=1) if one.series_id != NO_SLICE]


def by_cell(located: list[Point]) -> dict[tuple[str, str], Point]:
    """Points by condition and level, each once."""
    cells = {(one.condition, one.level): one for one in located}
    assert len(cells) == len(located)
    return cells


class EyeForOneScale(PerfectEye):
    """Sure of itself at one scale; at others it sees everything 20 mm too low and is in doubt."""

    def __init__(self, scales: tuple[float, ...], sharp: float) -> None:
        super().__init__()
        self.config = self.config.model_copy(update={"scales": scales})
        self.sharp = sharp * self.config.mm_per_pixel

    def look(self, canvases) -> list[Candidate]:
        seen = super().look(canvases)
        if all(np.isclose(canvas.plane.x_spacing, self.sharp) for canvas in canvases):
            return seen
        return [replace(one, confidence=0.3, point=one.point - np.array([0.0, 0.0, 20.0])) for one in seen]


@pytest.mark.parametrize("sharp", [1.0, 0.8, 1.25])
def test_sagittal_levels_are_taken_from_the_scale_at_which_they_are_surest(study, sharp):
    eye = EyeForOneScale((1.0, 0.8, 1.25), sharp)
    cells = by_cell(points_of(eye, {name: series for name, series in study.items() if "Sagittal" in name}))
    for level, canal in CANAL.items():
        np.testing.assert_allclose(cells["spinal_canal_stenosis", level].patient, canal, atol=4)
        foramen = cells["left_neural_foraminal_narrowing", level]
        np.testing.assert_allclose(foramen.patient, canal + FORAMEN, atol=4)


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_every_slice_is_looked_at_once_at_the_surest_scale_and_few_at_the_others(study, count):
    eye = EyeForOneScale((1.0, 0.8, 1.25), sharp=0.8)
    looked = []
    eye.look = lambda canvases: looked.extend(canvases) or EyeForOneScale.look(eye, canvases)
    stack = study["Sagittal T2/STIR"][0]
    middle = (len(stack.slices) - count) // 2
    locate_study(eye, {"Sagittal T2/STIR": [replace(stack, slices=stack.slices[middle : middle + count])]}, study_id=1)
    spacings = [round(float(canvas.plane.x_spacing / eye.config.mm_per_pixel), 2) for canvas in looked]
    assert spacings.count(0.8) == len({canvas.instance_number for canvas in looked}) == count
    assert spacings.count(1.0) == spacings.count(1.25) == -(-count // 3)


def test_every_cell_is_found_on_its_own_side_and_level(study):
    cells = by_cell(points_of(PerfectEye(), study))
    assert len(cells) == 25
    for level, canal in CANAL.items():
        for side, mirror in (("left", np.ones(3)), ("right", MIRROR)):
            foramen = cells[f"{side}_neural_foraminal_narrowing", level]
            recess = cells[f"{side}_subarticular_stenosis", level]
            # Points across the slices are known to within the slices that show them.
            np.testing.assert_allclose(foramen.patient, canal + FORAMEN * mirror, atol=4)
            np.testing.assert_allclose(recess.patient, canal + RECESS * mirror, atol=4)
            assert {foramen.series_id, recess.series_id} == {1, 3}
        np.testing.assert_allclose(cells["spinal_canal_stenosis", level].patient, canal, atol=4)
    assert {one.source for one in cells.values()} == {"detected"}


def test_a_point_lies_on_the_slice_and_the_pixel_that_it_names(study):
    for one in points_of(PerfectEye(), study):
        series = next(series for kind in study.values() for series in kind if series.series_id == one.series_id)
        image = series.by_instance_number(one.instance_number)
        assert abs(float(image.plane.distance(one.patient))) == pytest.approx(series.distances(one.patient).min())
        back = image.plane.to_patient(one.pixel) + image.plane.distance(one.patient) * image.plane.normal
        np.testing.assert_allclose(back, one.patient, atol=1e-6)


@pytest.mark.parametrize(
    ("missing", "lost"),
    [("Sagittal T1", "foraminal"), ("Sagittal T2/STIR", "spinal"), ("Axial T2", "subarticular")],
)
def test_a_missing_series_costs_its_own_group_and_no_other(study, missing, lost):
    rest = {kind: series for kind, series in study.items() if kind != missing}
    groups = {one.condition: one for one in points_of(PerfectEye(), rest)}
    conditions = {"foraminal": "neural_foraminal", "spinal": "spinal_canal", "subarticular": "subarticular"}
    found = {group for group, name in conditions.items() if any(name in condition for condition in groups)}
    assert found == set(conditions) - {lost}


def test_a_study_without_series_has_no_points():
    assert points_of(PerfectEye(), {}) == []


def test_a_level_far_from_every_axial_slice_has_no_axial_point(study, tmp_path):
    write_scan(tmp_path / "3", axial_planes(range(-60, 1, 4), (4, 4)), [0, 0, 0])
    short = study | {"Axial T2": [read_series(tmp_path / "3")]}
    levels = {one.level for one in points_of(PerfectEye(), short) if "subarticular" in one.condition}
    assert levels == {"l3_l4", "l4_l5", "l5_s1"}


def test_axial_levels_split_over_series_are_each_found_on_their_own(study, tmp_path):
    for series_id, zs in ((3, range(-66, -5, 4)), (4, range(4, 69, 4))):
        write_scan(tmp_path / str(series_id), axial_planes(zs, (4, 4)), [0, 0, 0])
    split = study | {"Axial T2": [read_series(tmp_path / "3"), read_series(tmp_path / "4")]}
    cells = by_cell(points_of(PerfectEye(), split))
    series = {level: cells["left_subarticular_stenosis", level].series_id for level in LEVELS}
    assert (series["l1_l2"], series["l2_l3"], series["l4_l5"], series["l5_s1"]) == (4, 4, 3, 3)


def test_what_the_detector_misses_is_placed_by_anatomy_and_said_so(study):
    eye = PerfectEye()
    eye.landmarks = [one for one in eye.landmarks if "l3_l4" not in one[1] and one[1] != "subarticular_right"]
    cells = by_cell(points_of(eye, study))
    assert len(cells) == 25
    canal = cells["spinal_canal_stenosis", "l3_l4"]
    assert (canal.source, canal.confidence) == ("interpolated", 0)
    np.testing.assert_allclose(canal.patient, CANAL["l3_l4"], atol=4)
    for level in LEVELS:
        recess = cells["right_subarticular_stenosis", level]
        assert recess.source == "interpolated"
        assert recess.patient[0] < CANAL[level][0]


def see_recesses(left: float, right: float) -> PerfectEye:
    """An eye that sees the recesses so far to the left of the canal's mark."""
    eye = PerfectEye()
    at = {"subarticular_left": left, "subarticular_right": right}
    for number, (group, name, point) in enumerate(eye.landmarks):
        if name in at:
            canal = point - RECESS * (1 if name.endswith("left") else MIRROR)
            eye.landmarks[number] = group, name, canal + np.array([at[name], 0, 0])
    return eye


def test_a_recess_on_the_far_side_of_the_canals_mark_is_told_by_the_pair(study):
    # The mark stands on a sagittal slice, the nearest of those that are millimetres apart.
    cells = by_cell(points_of(see_recesses(14, 2), study))
    for level in LEVELS:
        right, left = (cells[f"{side}_subarticular_stenosis", level] for side in ("right", "left"))
        assert (right.source, left.source) == ("detected", "detected")
        assert right.patient[0] == pytest.approx(CANAL[level][0] + 2)
        assert left.patient[0] == pytest.approx(CANAL[level][0] + 14)


def test_a_left_recess_is_never_to_the_right_of_the_right_one(study):
    cells = by_cell(points_of(see_recesses(-3, 3), study))
    for level in LEVELS:
        right, left = (cells[f"{side}_subarticular_stenosis", level] for side in ("right", "left"))
        assert left.patient[0] > right.patient[0]


def test_without_a_canal_the_foramina_say_which_axial_slice_is_which(study):
    eye = PerfectEye()
    eye.landmarks = [one for one in eye.landmarks if one[0] != "spinal"]
    cells = by_cell(points_of(eye, study))
    assert len(cells) == 25
    for level, canal in CANAL.items():
        np.testing.assert_allclose(cells["spinal_canal_stenosis", level].patient, canal, atol=8)
        np.testing.assert_allclose(cells["left_subarticular_stenosis", level].patient, canal + RECESS, atol=8)


def conditions_found(study) -> set[str]:
    """The conditions, without their sides, that have a point at every level and side."""
    located = points_of(PerfectEye(), study)
    counts = Counter(one.condition.removeprefix("left_").removeprefix("right_") for one in located)
    return {name for name, count in counts.items() if count == (5 if "spinal" in name else 10)}


@pytest.mark.parametrize(
    ("placeless", "lost"),
    [
        (["Axial T2"], {"subarticular_stenosis"}),
        (["Sagittal T2/STIR"], set()),
        (["Sagittal T1"], set()),
        (["Sagittal T1", "Sagittal T2/STIR"], {"subarticular_stenosis"}),
    ],
)
def test_a_stack_without_positions_is_graded_and_says_nothing_about_the_others(study, placeless, lost):
    everything = conditions_found(study)
    changed = study | {kind: [replace(one, is_placed=False) for one in study[kind]] for kind in placeless}
    assert conditions_found(changed) == everything - lost


def test_of_stacks_without_positions_only_one_is_used(study):
    copy = replace(study["Sagittal T2/STIR"][0], series_id=9, is_placed=False)
    for several, used in (([copy, *study["Sagittal T2/STIR"]], 2), ([copy, replace(copy, series_id=8)], 9)):
        cells = by_cell(points_of(PerfectEye(), study | {"Sagittal T2/STIR": several}))
        assert {one.series_id for (name, _), one in cells.items() if "spinal" in name} == {used}


@pytest.mark.parametrize(
    ("kind", "really", "lost"),
    [
        ("Axial T2", "Sagittal T2/STIR", "subarticular_stenosis"),
        ("Sagittal T1", "Axial T2", "neural_foraminal_narrowing"),
        ("Sagittal T2/STIR", "Axial T2", "spinal_canal_stenosis"),
    ],
)
def test_a_series_listed_as_another_plane_is_not_used(study, kind, really, lost):
    assert conditions_found(study | {kind: study[really]}) == conditions_found(study) - {lost}


@pytest.mark.parametrize("missing", ["Sagittal T1", "Sagittal T2/STIR", "Axial T2"])
def test_a_cell_whose_own_series_is_missing_has_a_place_in_the_patient_and_no_slice(study, missing):
    rest = {kind: series for kind, series in study.items() if kind != missing}
    cells = by_cell(locate_study(PerfectEye(), rest, study_id=1))
    assert len(cells) == 25
    places = {cell: one for cell, one in cells.items() if one.series_id == NO_SLICE}
    assert {one.confidence for one in places.values()} == {0.0}
    for (condition, level), one in places.items():
        sides = {"left": np.ones(3), "right": MIRROR}
        mirror = sides.get(condition.partition("_")[0], np.ones(3))
        away = FORAMEN if "foraminal" in condition else RECESS if "subarticular" in condition else np.zeros(3)
        np.testing.assert_allclose(one.patient, CANAL[level] + away * mirror, atol=8)


def test_where_nothing_is_placed_in_the_patient_no_place_is_made_up(study):
    unplaced = {"Sagittal T2/STIR": [replace(one, is_placed=False) for one in study["Sagittal T2/STIR"]]}
    assert {one.condition for one in locate_study(PerfectEye(), unplaced, study_id=1)} == {"spinal_canal_stenosis"}


def test_axial_images_far_from_every_level_are_a_problem_and_those_of_some_levels_are_none(study, tmp_path):
    told = {}
    for series_id, heights in {4: range(300, 330, 10), 5: range(-70, -50, 4)}.items():
        write_scan(tmp_path / str(series_id), axial_planes(heights, (4, 4)), [0, 0, 0])
        moved = study | {"Axial T2": [read_series(tmp_path / str(series_id))]}
        problems = Problems()
        note_contradiction(1, moved, locate_study(PerfectEye(), moved, study_id=1), problems)
        told[series_id] = [problem.message for problem in problems.found]
    assert told[5] == []
    assert [message.startswith("none of the 3 axial images passes a level") for message in told[4]] == [True]
