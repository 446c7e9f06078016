"""Crops: what is bright in the body is bright where the view says, left and right alike, in memory and on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.config import ViewConfig
from lumbar.crop import store
from lumbar.crop.crops import Crops, join_views, open_crops
from lumbar.crop.store import crops_of_study, write_crops
from lumbar.crop.view import ViewCutter, crop_view, describe_slices, neighbours
from lumbar.data.competition import Competition
from lumbar.data.points import NO_SLICE, Point, points_table
from lumbar.mri.geometry import Plane
from lumbar.mri.series import Series, read_series
from scans import axial_planes, balls, bright_centre, plane_tags, sagittal_planes, turned, write_image, write_scan

MIRROR = np.array([-1.0, 1.0, 1.0])
"""Left for right."""


def stack_of_balls(directory: Path, kind: str, points) -> Series:
    """A sagittal or axial stack of nine slices, 4 mm apart, through the patient's origin."""
    offsets = np.arange(-16, 17, 4).tolist()
    write_scan(directory, (sagittal_planes if kind == "sagittal" else axial_planes)(offsets), points)
    return read_series(directory)


VIEW = ViewConfig(group="spinal", size=32, mm_per_pixel=1.0, slices=3)


def nearest(series: Series, point) -> int:
    """The instance number of the slice nearest to a point."""
    return series.instance_numbers[int(np.argmin(series.distances(point)))]


@pytest.mark.parametrize("kind", ["sagittal", "axial"])
def test_mirroring_a_study_swaps_left_and_right(tmp_path, kind):
    # The recess and two things beside it that tell in from out, front from back and head from foot.
    left = np.array([[8.0, 0, 0], [13.0, 5, 2], [4.0, -7, -3]])
    as_is = stack_of_balls(tmp_path / "1", kind, left)
    mirrored = stack_of_balls(tmp_path / "2", kind, left * MIRROR)
    crop = crop_view(as_is, nearest(as_is, left[0]), left[0], VIEW, "left")
    other = crop_view(mirrored, nearest(mirrored, left[0] * MIRROR), left[0] * MIRROR, VIEW, "right")
    assert crop.shape == (3, 32, 32)
    assert crop.max() > 100
    np.testing.assert_allclose(other.astype(int), crop.astype(int), atol=1)
    unturned = crop_view(mirrored, nearest(mirrored, left[0] * MIRROR), left[0] * MIRROR, VIEW, "left")
    assert np.abs(unturned.astype(int) - crop).max() > 50


@pytest.mark.parametrize(("kind", "turned_over"), [("sagittal", np.fliplr), ("axial", np.fliplr), ("axial", np.flipud)])
def test_how_the_images_are_stored_changes_neither_the_crop_nor_the_distances(tmp_path, kind, turned_over):
    point, offsets = np.array([6.0, 3, 2]), np.arange(-16, 17, 4).tolist()
    planes = (sagittal_planes if kind == "sagittal" else axial_planes)(offsets)
    for number, plane in enumerate(planes, start=1):
        pixels, corner = balls(plane, [point]), [47, 0] if turned_over is np.fliplr else [0, 47]
        x_axis, y_axis = (-plane.x_axis, plane.y_axis) if turned_over is np.fliplr else (plane.x_axis, -plane.y_axis)
        stored = Plane(plane.to_patient(corner), x_axis, y_axis, plane.x_spacing, plane.y_spacing)
        write_image(tmp_path / "1" / f"{number}.dcm", pixels, number, **plane_tags(plane))
        write_image(tmp_path / "2" / f"{number}.dcm", turned_over(pixels), number, **plane_tags(stored))
    first, second = (read_series(tmp_path / name) for name in ("1", "2"))
    number = nearest(first, point)
    crops = [crop_view(series, number, point, VIEW, "left") for series in (first, second)]
    np.testing.assert_array_equal(*crops)
    facts = [describe_slices(series, number, point, VIEW, "left") for series in (first, second)]
    np.testing.assert_allclose(*facts)
    assert facts[0][3] > facts[0][5], "along the stack the slices pass the point"


@pytest.mark.parametrize(("side", "x"), [("left", 8.0), ("right", -8.0)])
def test_a_sagittal_crop_runs_from_the_middle_of_the_body_outwards(tmp_path, side, x):
    outer = np.array([x * 1.5, 0, 0])
    series = stack_of_balls(tmp_path, "sagittal", [outer])
    brightness = crop_view(series, nearest(series, [x, 0, 0]), np.array([x, 0, 0]), VIEW, side).sum(axis=(1, 2))
    assert brightness[0] < brightness[1] < brightness[2]


@pytest.mark.parametrize(("side", "x"), [("left", 8.0), ("right", -8.0)])
def test_in_an_axial_crop_the_outside_is_on_the_right_and_the_back_below(tmp_path, side, x):
    outer_back = np.array([x * 1.5, 6.0, 0.0])
    series = stack_of_balls(tmp_path, "axial", [outer_back])
    crop = crop_view(series, nearest(series, [0, 0, 0]), np.array([x, 0, 0]), VIEW, side)
    np.testing.assert_allclose(bright_centre(crop[1]), [15.5 + 4, 15.5 + 6], atol=0.3)


def test_the_canal_is_never_turned(tmp_path):
    series = stack_of_balls(tmp_path, "sagittal", [[-5.0, 0, 0]])
    crop = crop_view(series, nearest(series, [0, 0, 0]), np.zeros(3), VIEW, None)
    assert crop[0].sum() > crop[2].sum()


def test_beyond_the_ends_of_the_stack_the_last_slice_is_repeated(tmp_path):
    series = stack_of_balls(tmp_path, "sagittal", [[-16.0, 0, 0]])
    view = ViewConfig(group="spinal", size=16, mm_per_pixel=1.0, slices=5)
    crop = crop_view(series, nearest(series, [-16, 0, 0]), np.array([-16.0, 0, 0]), view, None)
    np.testing.assert_array_equal(crop[0], crop[2])
    np.testing.assert_array_equal(crop[1], crop[2])
    assert crop[3].sum() < crop[2].sum()


def test_beyond_a_gap_lies_another_block(tmp_path):
    xs = [-24.0, -20.0, 10.0, 14.0]
    write_scan(tmp_path, sagittal_planes(xs), [[-20.0, 0, 0], [10.0, 0, 0]])
    series, point = read_series(tmp_path), np.array([-20.0, 0, 0])
    crop = crop_view(series, nearest(series, point), point, VIEW, None)
    np.testing.assert_array_equal(crop[2], crop[1])
    facts = describe_slices(series, nearest(series, point), point, VIEW, None)
    assert facts == pytest.approx((1, 1, 0, 4, 0, 0))


@pytest.mark.parametrize("degrees", [3, 20, 60])
def test_neighbours_are_the_parallel_slices_where_blocks_overlap_in_height(tmp_path, degrees):
    tilt = turned([1, 0, 0], degrees)
    flat = axial_planes([-8.0, -4.0, 0.0])
    steep = [
        Plane(tilt @ plane.position, tilt @ plane.x_axis, tilt @ plane.y_axis, plane.x_spacing, plane.y_spacing)
        for plane in axial_planes([-6.0, -2.0, 2.0])
    ]
    write_scan(tmp_path, [*flat, *steep], [[0.0, 0, 0]])
    series = read_series(tmp_path, "axial")
    for block, middle in ((flat, 2), (steep, 5)):
        chosen, is_real = neighbours(series, middle, 5)
        planes = [series.slices[number].plane for number in chosen]
        assert is_real.tolist() == [False, True, True, True, False]
        for plane, expected in zip(planes[1:4], block, strict=True):
            np.testing.assert_allclose(plane.position, expected.position, atol=1e-5)


def points_on(rows: list[tuple[Series, str, np.ndarray]]) -> pd.DataFrame:
    """A points table from (series, condition, patient point): the nearest slices, study 1, L4/L5 and fold 0."""
    points = []
    for series, condition, patient in rows:
        image = series.by_instance_number(nearest(series, patient))
        where = (image.instance_number, image.plane.to_pixels(patient), image.plane.normal)
        points.append(Point(1, condition, "l4_l5", patient, series.series_id, *where, 0.9, "detected", 0))
    return points_table(points)


def list_series(root: Path, split: str, *lines: str) -> None:
    """Writes the series table of study 1, from lines of series_id and description."""
    table = ["study_id,series_id,series_description", *(f"1,{line}" for line in lines)]
    (root / f"{split}_series_descriptions.csv").write_text("\n".join(table) + "\n")


def cutter(group: str, **settings) -> ViewCutter:
    """What cuts a view of a group like `VIEW`, but for some settings."""
    return ViewCutter(VIEW.model_copy(update={"group": group, **settings}))


def cut_on_disk(root: Path, split: str, points: pd.DataFrame, **views: ViewCutter) -> dict[str, Crops]:
    """The crops of views that were written and opened again."""
    for name, view in views.items():
        write_crops(Competition(root), split, points, view, root / "crop" / name, jobs=1)
    return {name: open_crops(root / "crop", name) for name in views}


def test_crops_lie_on_disk_beside_the_table_of_their_rows(tmp_path):
    canal, recess = np.array([0.0, 4, -6]), np.array([9.0, 2, 3])
    sagittal = stack_of_balls(tmp_path / "train_images/1/10", "sagittal", [canal])
    axial = stack_of_balls(tmp_path / "train_images/1/11", "axial", [recess])
    list_series(tmp_path, "train", "10,Sagittal T2/STIR", "11,Axial T2")
    points = points_on([(axial, "left_subarticular_stenosis", recess), (sagittal, "spinal_canal_stenosis", canal)])
    groups = ("spinal", "subarticular")
    cut = cut_on_disk(tmp_path, "train", points, **{group: cutter(group) for group in groups})
    spinal, subarticular = (cut[group] for group in groups)
    assert spinal.index["row_id"].tolist() == ["1_spinal_canal_stenosis_l4_l5"]
    assert subarticular.index["row_id"].tolist() == ["1_left_subarticular_stenosis_l4_l5"]
    for crops in (spinal, subarticular):
        assert crops.pixels.shape == (1, 3, 32, 32)
        assert crops.index["is_own"].tolist() == [1]
        np.testing.assert_allclose(bright_centre(crops.pixels[0, 1]), [15.5, 15.5], atol=0.3)


@pytest.mark.parametrize("count", [0, 7, 1200])
def test_an_array_of_fewer_crops_than_points_is_ended_where_it_lies_and_is_the_file_that_numpy_saves(tmp_path, count):
    path = tmp_path / "pixels.npy"
    pixels = store._create(path, (1200, 1, 4, 4))
    pixels[:count] = np.random.default_rng(0).integers(0, 256, (count, 1, 4, 4))
    np.save(tmp_path / "expected.npy", pixels[:count])
    number_on_disk = path.stat().st_ino
    store._keep_first(path, pixels, count)
    assert path.read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert path.stat().st_ino == number_on_disk, "a second file would take as much of the disk again"


def test_a_group_without_a_point_has_no_crops_and_is_no_error(tmp_path):
    list_series(tmp_path, "train")
    crops = cut_on_disk(tmp_path, "train", points_table([]), foraminal=cutter("foraminal"))["foraminal"]
    assert crops.pixels.shape == (0, 3, 32, 32)
    assert crops.index.empty


def test_an_axial_series_without_orientation_is_cropped_as_it_was_looked_at(tmp_path):
    directory = tmp_path / "test_images/1/11"
    recess = np.array([9.0, 6.0, 4.0])
    for number, plane in enumerate(axial_planes([0, 4, 8]), start=1):
        tags = plane_tags(plane) | {"ImageOrientationPatient": None}
        write_image(directory / f"{number}.dcm", balls(plane, [recess]), number, **tags)
    list_series(tmp_path, "test", "11,Axial T2")
    seen = read_series(directory, "axial")  # as the detector reads it
    points = points_on([(seen, "left_subarticular_stenosis", recess)])
    crop = cut_on_disk(tmp_path, "test", points, subarticular=cutter("subarticular"))["subarticular"].pixels[0, 1]
    assert crop.any()
    np.testing.assert_allclose(bright_centre(crop), [15.5, 15.5], atol=0.3)


# Views on another series, spare slices, and what is kept of each slice

AXIAL_CANAL = {"group": "spinal", "series": "Axial T2", "tolerance_mm": 5.0}


def study_of(*stacks: tuple[str, Series]) -> dict[str, list[Series]]:
    study: dict[str, list[Series]] = {}
    for description, series in stacks:
        study.setdefault(description, []).append(series)
    return study


def test_a_canal_is_seen_on_the_axial_slice_nearest_to_it(tmp_path):
    canal = np.array([2.0, 4, -5])
    sagittal = stack_of_balls(tmp_path / "10", "sagittal", [canal])
    axial = stack_of_balls(tmp_path / "11", "axial", [canal])
    points = points_on([(sagittal, "spinal_canal_stenosis", canal)])
    study = study_of(("Sagittal T2/STIR", sagittal), ("Axial T2", axial))
    crops = crops_of_study(study, points, ViewCutter(VIEW.model_copy(update=AXIAL_CANAL)))
    assert crops is not None
    np.testing.assert_allclose(bright_centre(crops.pixels[0, 1]), [15.5, 15.5], atol=0.3)
    assert crops.index["instance_number"].tolist() == [nearest(axial, canal)]
    assert crops.index["is_own"].tolist() == [0], "nobody has marked a slice of this series"
    assert crops.index["mm_1"].abs().iloc[0] == pytest.approx(1.0)
    assert abs(crops.index["mm_0"].iloc[0] - crops.index["mm_2"].iloc[0]) == pytest.approx(8.0)


def test_a_canal_that_was_annotated_on_t1_is_seen_on_the_t2_slice_nearest_to_it(tmp_path):
    canal = np.array([2.0, 4, -5])
    t2 = stack_of_balls(tmp_path / "train_images/1/10", "sagittal", [canal])
    t1 = stack_of_balls(tmp_path / "train_images/1/12", "sagittal", [[2.0, 12, 3]])
    list_series(tmp_path, "train", "10,Sagittal T2/STIR", "12,Sagittal T1")
    points = points_on([(t1, "spinal_canal_stenosis", canal)])
    for_training = cut_on_disk(tmp_path, "train", points, spinal=cutter("spinal"))["spinal"]
    np.testing.assert_allclose(bright_centre(for_training.pixels[0, 1]), [15.5, 15.5], atol=0.3)
    crops = crops_of_study(study_of(("Sagittal T1", t1), ("Sagittal T2/STIR", t2)), points, cutter("spinal"))
    assert crops is not None
    np.testing.assert_allclose(bright_centre(crops.pixels[0, 1]), [15.5, 15.5], atol=0.3)
    assert crops.index["is_own"].tolist() == [0], "nobody has marked a slice of this series"
    assert crops_of_study(study_of(("Sagittal T1", t1)), points, cutter("spinal")) is None
    points["series_id"] = NO_SLICE
    assert crops_of_study(study_of(("Sagittal T2/STIR", t2)), points, cutter("spinal")) is None


def test_a_cell_that_no_slice_is_near_to_is_left_out_of_that_view_only(tmp_path):
    near, far = np.array([0.0, 0, 2]), np.array([0.0, 0, 27])
    sagittal = stack_of_balls(tmp_path / "train_images/1/10", "sagittal", [near, far])
    stack_of_balls(tmp_path / "train_images/1/11", "axial", [near])
    list_series(tmp_path, "train", "10,Sagittal T2/STIR", "11,Axial T2")
    points = points_on([(sagittal, "spinal_canal_stenosis", far), (sagittal, "spinal_canal_stenosis", near)])
    points["level"] = ["l1_l2", "l2_l3"]
    views = {"spinal": cutter("spinal"), "axial": ViewCutter(VIEW.model_copy(update=AXIAL_CANAL))}
    cut = cut_on_disk(tmp_path, "train", points, **views)
    assert cut["spinal"].index["level"].tolist() == ["l1_l2", "l2_l3"]
    assert cut["axial"].index["level"].tolist() == ["l2_l3"]
    assert cut["axial"].pixels.shape == (1, 3, 32, 32)


def test_spare_slices_are_stored_around_those_that_a_grader_sees(tmp_path):
    series = stack_of_balls(tmp_path / "10", "sagittal", [[0.0, 0, 0]])
    number, point = nearest(series, [0, 0, 0]), np.zeros(3)
    plain = crop_view(series, number, point, VIEW, None)
    spare = crop_view(series, number, point, VIEW.model_copy(update={"spare": 2}), None)
    assert len(spare) == 7
    np.testing.assert_array_equal(spare[2:5], plain)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1), (None, 1)])
def test_of_each_slice_is_kept_whether_it_is_real_and_how_far_the_point_lies_before_it(tmp_path, side, sign):
    outermost = np.array([16.0 * sign, 0, 0])
    series = stack_of_balls(tmp_path, "sagittal", [outermost])
    facts = np.array(describe_slices(series, nearest(series, outermost), outermost, VIEW, side))
    real, distances = facts[:3], facts[3:]
    assert real.tolist() == [1, 1, 0], "the stack ends at the outermost slice, which is repeated"
    assert np.abs(distances) == pytest.approx([4, 0, 0])


def test_views_of_a_cell_are_joined_and_a_missing_one_is_black_and_not_real(tmp_path):
    canal, high = np.array([0.0, 0, 2]), np.array([0.0, 0, 27])
    sagittal = stack_of_balls(tmp_path / "10", "sagittal", [canal, high])
    axial = stack_of_balls(tmp_path / "11", "axial", [canal])
    points = points_on([(sagittal, "spinal_canal_stenosis", high), (sagittal, "spinal_canal_stenosis", canal)])
    points["level"] = ["l1_l2", "l2_l3"]
    study = study_of(("Sagittal T2/STIR", sagittal), ("Axial T2", axial))
    views = {"sagittal": VIEW, "axial": VIEW.model_copy(update=AXIAL_CANAL)}
    crops = {name: crops_of_study(study, points, ViewCutter(view)) for name, view in views.items()}
    joined = join_views(views, crops)
    assert joined is not None
    assert joined.index["level"].tolist() == ["l1_l2", "l2_l3"]
    assert joined.index[[f"real_{number}" for number in range(6)]].to_numpy()[:, 3:].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert not joined.pixels[0][3:].any()
    np.testing.assert_array_equal(joined.pixels[1][:3], crops["sagittal"].pixels[1])
    np.testing.assert_array_equal(joined.pixels[1][3:], crops["axial"].pixels[0])
    only_axial = join_views(views, {"axial": crops["axial"]})
    assert only_axial is not None
    assert only_axial.index["level"].tolist() == ["l2_l3"], "a cell whose own series is gone keeps its other views"
