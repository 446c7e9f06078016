"""Detection: anatomical order, the classes, the network, and the training images' geometry."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from lumbar.config import DetectConfig
from lumbar.data.annotations import annotated_points
from lumbar.data.competition import Competition
from lumbar.data.points import KEY, NORMAL, PATIENT, points_table
from lumbar.detect.anatomy import fill_beside, fill_levels, gather_sites, order_levels
from lumbar.detect.canvas import draw_canvas
from lumbar.detect.detector import Candidate
from lumbar.detect.evaluate import measure_errors, summarise_errors
from lumbar.detect.landmarks import CLASS_NAMES, LANDMARKS, class_of
from lumbar.detect.network import build_network, start_from
from lumbar.detect.training_set import write_training_set
from lumbar.labels import CELLS, LEVELS, level_title, title
from lumbar.mri.series import read_series
from lumbar.report.points import draw_points
from lumbar.run.checkpoint import CheckpointError
from lumbar.run.remarks import remarks_on
from scans import axial_planes, bright_centre, plane_tags, sagittal_planes, write_image, write_scan

SPINE = np.array([[0.0, 3 * level, 70.0 - 35 * level] for level in range(5)])
"""A canal's point at each level."""
CANAL = {index: index for index in range(5)}


def candidate(landmark: int, point, confidence: float, instance: int = 1) -> Candidate:
    """A box of one class."""
    return Candidate(landmark, confidence, np.asarray(point, dtype=np.float64), 1, instance)


def test_the_classes_are_ten_levels_and_two_sides():
    assert CLASS_NAMES[:5] == tuple(f"canal_{level}" for level in LEVELS)
    assert CLASS_NAMES[5:10] == tuple(f"foramen_{level}" for level in LEVELS)
    assert CLASS_NAMES[10:] == ("subarticular_left", "subarticular_right")


def test_every_cell_has_the_class_of_its_landmark():
    named = {cell.column: CLASS_NAMES[class_of(cell.condition, cell.level)] for cell in CELLS.values()}
    assert named["spinal_canal_stenosis_l3_l4"] == "canal_l3_l4"
    assert named["left_neural_foraminal_narrowing_l1_l2"] == "foramen_l1_l2"
    assert named["right_neural_foraminal_narrowing_l1_l2"] == "foramen_l1_l2"
    assert named["left_subarticular_stenosis_l5_s1"] == "subarticular_left"
    assert named["right_subarticular_stenosis_l5_s1"] == "subarticular_right"
    assert set(named.values()) == set(CLASS_NAMES)


def test_candidates_of_neighbouring_slices_gather_in_the_middle_of_them():
    seen = [candidate(2, [x, 10, 20 + x / 4], confidence) for x, confidence in ((-4, 0.5), (0, 0.9), (4, 0.5))]
    (site,) = gather_sites(seen, CANAL)
    np.testing.assert_allclose(site.point, [0, 10, 20])
    np.testing.assert_allclose(site.confidences, [0, 0, 0.9, 0, 0])


def test_candidates_of_other_landmarks_and_places_stay_apart():
    seen = [candidate(0, [0, 0, 0], 0.9), candidate(1, [0, 0, -30], 0.8), candidate(7, [0, 0, 0], 0.9)]
    assert [np.flatnonzero(site.confidences).tolist() for site in gather_sites(seen, CANAL)] == [[0], [1]]


def test_a_spine_seen_clearly_is_ordered_as_it_is():
    seen = [candidate(level, SPINE[level], 0.5 + level / 10) for level in (3, 0, 4, 2, 1)]
    points, confidences = order_levels(gather_sites(seen, CANAL))
    np.testing.assert_allclose(points, SPINE)
    np.testing.assert_allclose(confidences, [0.5, 0.6, 0.7, 0.8, 0.9])


def test_a_level_that_two_places_claim_goes_where_the_order_puts_it():
    # The disc at L3/L4 looks a little more like L4/L5; its neighbours know better.
    seen = [candidate(level, SPINE[level], 0.8) for level in (0, 1, 2, 4)]
    seen += [candidate(4, SPINE[3], 0.85), candidate(3, SPINE[3], 0.4)]
    points, confidences = order_levels(gather_sites(seen, CANAL))
    np.testing.assert_allclose(points, SPINE)
    assert confidences[3] == pytest.approx(0.4)


def test_a_level_below_its_lower_neighbour_is_not_believed():
    seen = [candidate(level, SPINE[level], 0.9) for level in (1, 2, 3)]
    seen.append(candidate(0, SPINE[4], 0.95))
    points, _ = order_levels(gather_sites(seen, CANAL))
    assert np.isnan(points[0]).all()
    np.testing.assert_allclose(points[1:4], SPINE[1:4])


@pytest.mark.parametrize("gap", [8.0, 90.0])
def test_neighbouring_levels_lie_a_vertebra_apart(gap):
    seen = [candidate(1, [0, 0, 0], 0.9), candidate(2, [0, 12, -gap], 0.5)]
    points, _ = order_levels(gather_sites(seen, CANAL))
    assert np.isfinite(points[1]).all()
    assert np.isnan(points[2]).all()


@pytest.mark.parametrize(("lean", "is_believed"), [(-35, True), (35, True), (70, False), (-80, False)])
def test_the_next_level_lies_below_and_not_beside(lean, is_believed):
    step = 35 * np.array([0, np.sin(np.deg2rad(lean)), -np.cos(np.deg2rad(lean))])
    points, _ = order_levels(gather_sites([candidate(3, [0, 0, 0], 0.9), candidate(4, step, 0.5)], CANAL))
    assert np.isfinite(points[3]).all()
    assert np.isfinite(points[4]).all() == is_believed


def test_where_nothing_is_seen_there_is_no_point():
    points, confidences = order_levels([])
    assert np.isnan(points).all()
    assert not confidences.any()
    assert np.isnan(fill_levels(points)).all()


@pytest.mark.parametrize("missing", [[2], [0], [4], [0, 1], [3, 4], [0, 2, 4], [1, 2, 3]])
def test_missing_levels_of_a_straight_spine_are_filled_where_they_were(missing):
    seen = SPINE.copy()
    seen[missing] = np.nan
    np.testing.assert_allclose(fill_levels(seen), SPINE)


def test_from_one_level_the_others_follow_at_the_usual_distance():
    seen = np.full((5, 3), np.nan)
    seen[2] = [1, 2, 3]
    np.testing.assert_allclose(fill_levels(seen)[:, 2], [73, 38, 3, -32, -67])


def test_beside_the_canal_the_others_follow_those_that_were_found():
    offset = np.array([16.0, -3, 5])
    seen = SPINE + offset
    seen[[0, 3]] = np.nan
    np.testing.assert_allclose(fill_beside(seen, SPINE, np.zeros(3)), SPINE + offset)
    nothing = np.full((5, 3), np.nan)
    np.testing.assert_allclose(fill_beside(nothing, SPINE, offset), SPINE + offset)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """The smallest network, untrained."""
    torch.manual_seed(0)
    return build_network("p")


def test_the_network_predicts_a_box_and_every_class_at_every_anchor(network):
    with torch.inference_mode():
        output = network.eval()(torch.zeros(1, 3, 64, 64))[0]
    assert output.shape == (1, 4 + len(CLASS_NAMES), 8 * 8 + 4 * 4 + 2 * 2)
    assert network.names == dict(enumerate(CLASS_NAMES))


def test_the_own_size_is_smaller_than_the_smallest_published(network):
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count < sum(parameter.numel() for parameter in build_network("n").parameters()) / 3


def test_weights_of_a_pickled_ultralytics_model_are_taken_over_whole(network, tmp_path):
    torch.save({"model": network, "ema": None, "train_args": {"epochs": 1}}, tmp_path / "best.pt")
    torch.manual_seed(1)
    other = build_network("p")
    assert start_from(other, tmp_path / "best.pt") == len(network.state_dict())
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in network.state_dict().items())


class Payload:
    """Runs a function of our choice when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_a_pickle_that_wants_to_run_code_is_refused_before_it_does(network, tmp_path):
    torch.save({"model": Payload(os.mkdir, str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: refused, it wants to load .*mkdir"):
        start_from(network, tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_function_of_a_trusted_module_is_refused_too(network, tmp_path):
    # Ultralytics' own loader unpickles whatever it is pointed at.
    from ultralytics.nn.tasks import torch_safe_load

    torch.save({"model": Payload(os.mkdir, str(tmp_path / "ran"))}, tmp_path / "inner.pt")
    torch.save({"model": Payload(torch_safe_load, str(tmp_path / "inner.pt"))}, tmp_path / "outer.pt")
    with pytest.raises(CheckpointError, match=r"outer\.pt: refused"):
        start_from(network, tmp_path / "outer.pt")
    assert not (tmp_path / "ran").exists()


def test_a_network_in_a_pickle_is_read_and_never_built(network, tmp_path):
    # Ultralytics evaluates the activation that a description names: built as it says, the file would run code.
    layers = {"backbone": [[-1, 1, "Conv", [16, 3, 2]]], "head": [[[0], 1, "Detect", ["nc"]]], "nc": 1, "scales": {}}
    description = {**layers, "activation": f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"}
    torch.save({"model": Payload(type(network), description)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt: lacks .* tensors of this YOLOv8"):
        start_from(network, tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors"])
def test_missing_weights_are_named_and_nothing_is_downloaded(network, tmp_path, name):
    with pytest.raises(CheckpointError, match=f"{name}: there are no such weights; nothing is downloaded"):
        start_from(network, tmp_path / name)


def test_a_file_that_is_no_checkpoint_is_named(network, tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"this is not a checkpoint")
    with pytest.raises(CheckpointError, match=r"broken\.pt"):
        start_from(network, tmp_path / "broken.pt")


def test_weights_of_another_architecture_are_refused(network, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(CheckpointError, match=r"linear\.pt: lacks .* tensors of this YOLOv8"):
        start_from(network, tmp_path / "linear.pt")


def test_weights_of_another_size_are_refused(network, tmp_path):
    # Buffers without a shape of their own fit any size: they must not pass for weights.
    torch.save(build_network("n").state_dict(), tmp_path / "yolov8n.pt")
    with pytest.raises(CheckpointError, match=r"such as model\.0\.conv\.weight .* of another size than detect\.scale"):
        start_from(network, tmp_path / "yolov8n.pt")


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
