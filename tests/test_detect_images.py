"""The detector's images and labels, and how far its points lie from the annotated ones."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lumbar.config import DetectConfig
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.data.points import KEY, NORMAL, PATIENT, points_table
from lumbar.detect.canvas import draw_canvas
from lumbar.detect.evaluate import measure_errors, summarise_errors
from lumbar.detect.landmarks import CLASS_NAMES, LANDMARKS
from lumbar.detect.training_set import write_training_set
from lumbar.labels import CELLS, level_title, title
from lumbar.mri.series import read_series
from lumbar.report.points import draw_points
from lumbar.run.remarks import remarks_on
from scans import axial_planes, bright_centre, plane_tags, sagittal_planes, write_image, write_scan

CONFIG = DetectConfig(image_size=96, mm_per_pixel=1.25, box_mm=24, background=1)
POINTS = {
    "spinal_canal_stenosis": np.array([0.0, 6.0, -14.0]),
    "left_subarticular_stenosis": np.array([10.0, 6.0, -14.0]),
}


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    """One study with a sagittal and an axial series of unequal pixels, and a point at L4/L5 on each."""
    sagittal, axial = sagittal_planes(range(-20, 21, 4), (1.5, 2.0)), axial_planes(range(-34, 7, 4), (2.0, 1.5))
    shown = {10: (sagittal, "spinal_canal_stenosis", 6), 11: (axial, "left_subarticular_stenosis", 6)}
    rows = []
    for series_id, (planes, condition, number) in shown.items():
        write_scan(tmp_path / "train_images" / "1" / str(series_id), planes, [POINTS[condition]])
        x, y = planes[number - 1].to_pixels(POINTS[condition])
        rows.append(f"1,{series_id},{number},{title(condition)},{level_title('l4_l5')},{x},{y}")
    header = "study_id,series_id,instance_number,condition,level,x,y"
    (tmp_path / "train_label_coordinates.csv").write_text("\n".join([header, *rows]) + "\n")
    kinds = ["study_id,series_id,series_description", "1,10,Sagittal T2/STIR", "1,11,Axial T2"]
    (tmp_path / "train_series_descriptions.csv").write_text("\n".join(kinds) + "\n")
    (tmp_path / "train.csv").write_text("\n".join([",".join(["study_id", *CELLS]), "1" + "," * 25]) + "\n")
    return Competition(tmp_path)


def test_a_yolo_label_is_centred_on_what_the_image_shows(competition, tmp_path):
    table, _, _ = write_training_set(competition, CONFIG, tmp_path / "yolo", jobs=1)
    assert set(table["study_id"]) == {1}
    labelled = {}
    for name in table["image"]:
        lines = (tmp_path / "yolo" / "labels" / f"{name}.txt").read_text().splitlines()
        image = cv2.imread(str(tmp_path / "yolo" / "images" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        assert image.shape == (96, 96)
        for line in lines:
            landmark, x, y, width, height = map(float, line.split())
            labelled[CLASS_NAMES[int(landmark)]] = name
            # YOLO counts from the image's corner, in shares of its side; a pixel's centre is half a pixel further in.
            ball = np.where(image > 200, image, 0)  # equalised, the air around it is not black
            np.testing.assert_allclose([x * 96, y * 96], bright_centre(ball) + 0.5, atol=0.2)
            assert width * 96 * CONFIG.mm_per_pixel == height * 96 * CONFIG.mm_per_pixel == pytest.approx(24, abs=1e-3)
    assert labelled == {"canal_l4_l5": "1_10_6", "subarticular_left": "1_11_6"}


def test_what_a_coil_lights_less_is_shown_as_bright_to_the_detector(tmp_path):
    side, (plane,) = 96, sagittal_planes([0], side=96)
    rows, columns = np.indices((side, side))
    texture = 500 + 400 * np.sin(rows / 2) * np.sin(columns / 2)
    light = np.where(columns < side // 2, 1.0, 0.2)
    write_image(tmp_path / "1.dcm", (texture * light).astype(np.uint16), 1, **plane_tags(plane))
    series = read_series(tmp_path, "sagittal")
    canvas = draw_canvas(series, series.slices[0], DetectConfig(image_size=side, mm_per_pixel=2.0)).pixels
    near, far = np.hsplit(canvas, 2)
    assert far[:, 8:].std() > 0.6 * near[:, :-8].std()


def test_each_annotated_series_adds_slices_that_show_nothing(competition, tmp_path):
    table, _, _ = write_training_set(competition, CONFIG, tmp_path / "yolo", jobs=1)
    empty = [name for name in table["image"] if not (tmp_path / "yolo" / "labels" / f"{name}.txt").read_text()]
    assert sorted(name.split("_")[1] for name in empty) == ["10", "11"]


def test_an_annotated_point_without_an_image_is_told_by_all_that_would_use_it(competition, tmp_path):
    with (competition.root / "train_label_coordinates.csv").open("a") as file:
        file.write("1,10,99,Spinal Canal Stenosis,L1/L2,5,5\n1,12,1,Spinal Canal Stenosis,L2/L3,5,5\n")
    _, points, of_images = write_training_set(competition, CONFIG, tmp_path / "yolo", jobs=1)
    _, of_points = annotated_points(competition, pd.DataFrame({"study_id": [1], "fold": [0]}), jobs=1)
    assert len(points) == len(POINTS)
    for problems in (of_images, of_points):
        assert [(problem.study_id, problem.message) for problem in problems if problem.is_harmful] == [
            (1, "series 10: no image 99 for spinal_canal_stenosis l1_l2"),
            (1, "series 12: no image 1 for spinal_canal_stenosis l2_l3"),
        ]
        assert remarks_on(problems) == [
            "annotated points without a readable image: 2, the first: "
            "series 10: no image 99 for spinal_canal_stenosis l1_l2"
        ]


@pytest.fixture
def annotated(competition) -> pd.DataFrame:
    """The study's annotated points."""
    return annotated_points(competition, pd.DataFrame({"study_id": [1], "fold": [0]}), jobs=1)[0]


def predicted(points: dict[str, np.ndarray]) -> pd.DataFrame:
    """A points table, as far as its error needs it."""
    rows = [(1, name, "l4_l5", *point, 10, 6) for name, point in points.items()]
    return pd.DataFrame(rows, columns=[*KEY, *PATIENT, "series_id", "instance_number"])


def test_the_annotated_points_are_without_error(annotated):
    errors = measure_errors(annotated, predicted(POINTS))
    assert len(errors) == 2
    np.testing.assert_allclose(errors[["distance", "in_plane"]], 0, atol=1e-5)


def test_an_error_across_the_slices_is_none_within_the_plane(annotated):
    moved = {name: point + np.array([3, 4, 0]) for name, point in POINTS.items()}
    errors = measure_errors(annotated, predicted(moved)).set_index("group")
    np.testing.assert_allclose(errors["distance"], 5, atol=1e-5)
    assert errors.loc["spinal", "in_plane"] == pytest.approx(4, abs=1e-5)
    assert errors.loc["subarticular", "in_plane"] == pytest.approx(5, abs=1e-5)


def test_a_point_of_another_level_or_side_is_told_from_one_that_is_merely_off():
    places = {
        ("left_subarticular_stenosis", "l4_l5"): [9, 0, 0],
        ("right_subarticular_stenosis", "l4_l5"): [-9, 0, 0],
        ("left_subarticular_stenosis", "l5_s1"): [9, 0, -30],
        ("right_subarticular_stenosis", "l5_s1"): [-9, 0, -30],
    }
    rows = [(1, *cell, *place, 0.0, 0.0, 1.0, 11, 6) for cell, place in places.items()]
    annotated = pd.DataFrame(rows, columns=[*KEY, *PATIENT, *NORMAL, "series_id", "instance_number"])
    found = annotated.assign(patient_x=[9, 1, 8, -9], patient_z=[-17.0, 0, -30, -31], instance_number=[6, 6, 7, 6])
    errors = measure_errors(annotated, found)
    assert errors["other_level"].tolist() == [True, False, False, False]
    assert errors["other_side"].tolist() == [False, True, False, False]
    assert errors["same_slice"].tolist() == [True, True, False, True]
    assert errors["across"].tolist() == pytest.approx([17, 0, 0, 1])


def test_a_point_that_was_not_found_is_infinitely_far(annotated):
    errors = measure_errors(annotated, predicted({"spinal_canal_stenosis": POINTS["spinal_canal_stenosis"]}))
    summary = summarise_errors(errors).set_index("group")
    assert summary.loc["subarticular", "median_mm"] == np.inf
    assert summary["within_8_mm"].to_dict() == {"spinal": 1.0, "subarticular": 0.0, "all": 0.5}
    assert len(LANDMARKS) == len(CLASS_NAMES)


def test_a_picture_whose_writing_is_interrupted_is_not_left_half_written(competition, tmp_path, monkeypatch):
    def interrupted(self: Figure, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_points(competition, points_table([]), tmp_path / "drawn" / "points.png")
    assert list((tmp_path / "drawn").iterdir()) == []


def test_a_detector_that_finds_nothing_still_leaves_a_picture(competition, tmp_path):
    draw_points(competition, points_table([]), tmp_path / "points.png")
    assert cv2.imread(str(tmp_path / "points.png")) is not None
