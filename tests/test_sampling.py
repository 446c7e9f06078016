"""Sampling around a patient point, and crops: what is bright in the body is bright where the geometry says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumbar.config import CropConfig, ViewConfig
from lumbar.crop.store import open_crops, write_crops
from lumbar.crop.view import crop_view
from lumbar.data.competition import Competition
from lumbar.data.points import COLUMNS
from lumbar.mri.geometry import BACK, HEAD, LEFT, Plane
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, read_series
from scans import (
    AXIAL,
    SAGITTAL,
    axial_planes,
    balls,
    bright_centre,
    plane_tags,
    sagittal_planes,
    turned,
    write_image,
    write_scan,
)

MIRROR = np.array([-1.0, 1.0, 1.0])
"""Left for right."""


def scan(directory: Path, planes: list[Plane], points, side: int = 48) -> Series:
    """A series of balls, written and read back."""
    write_scan(directory, planes, points, side)
    return read_series(directory)


@pytest.mark.parametrize("mm_per_pixel", [0.8, 1.5, 2.0])
@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("orientation", [SAGITTAL, AXIAL, (0, 0, 1, 0, -1, 0)])
def test_a_ball_appears_where_its_plane_says(tmp_path, orientation, degrees, mm_per_pixel):
    rotation = turned([1, 1, 0], degrees)
    cosines = np.concatenate([rotation @ orientation[:3], rotation @ orientation[3:]])
    middle = Plane.of([0, 0, 0], cosines, [1.5, 1.2])
    plane = Plane.of(middle.to_patient([-24, -24]), cosines, [1.5, 1.2])
    ball = middle.to_patient([4, -3])
    series = scan(tmp_path, [plane], [ball])
    square, target = sample_square(series, series.slices[0], np.zeros(3), 64, mm_per_pixel)
    assert square.shape == (64, 64)
    np.testing.assert_allclose(bright_centre(square), target.to_pixels(ball), atol=0.15)
    np.testing.assert_allclose(target.to_patient([31.5, 31.5]), 0, atol=1e-6)
    assert (target.x_spacing, target.y_spacing) == (mm_per_pixel, mm_per_pixel)


def test_the_point_asked_for_is_in_the_middle_even_off_the_plane(tmp_path):
    ball = np.array([3.0, 8.0, -6.0])
    series = scan(tmp_path, sagittal_planes([0]), [ball])
    square, target = sample_square(series, series.slices[0], ball, 33, 1.0)
    np.testing.assert_allclose(bright_centre(square), [16, 16], atol=0.1)
    np.testing.assert_allclose(target.to_patient([16, 16]), [0.0, 8.0, -6.0], atol=1e-6)


@pytest.mark.parametrize("fineness", [2, 3, 5])
def test_a_slice_much_finer_than_the_target_is_averaged_without_a_shift(tmp_path, fineness):
    side = 32 * fineness + 1
    ball = np.array([0.0, 5.0, -9.0])
    series = scan(tmp_path, sagittal_planes([0], (2 / fineness, 2 / fineness), side), [ball], side)
    square, target = sample_square(series, series.slices[0], np.zeros(3), 32, 2.0)
    np.testing.assert_allclose(bright_centre(square), target.to_pixels(ball), atol=0.15)


def test_a_fine_checkerboard_becomes_grey_and_not_a_coarse_pattern(tmp_path):
    board = (np.indices((90, 90)).sum(axis=0) % 2 * 1000).astype(np.uint16)
    write_image(tmp_path / "1.dcm", board, 1, **plane_tags(sagittal_planes([0], (0.5, 0.5), 90)[0]))
    series = read_series(tmp_path)
    square, _ = sample_square(series, series.slices[0], series.slices[0].centre, 16, 1.0)
    assert np.ptp(square[2:-2, 2:-2]) <= 1
    assert 120 <= square[8, 8] <= 135


def test_what_lies_outside_the_slice_is_black(tmp_path):
    write_image(
        tmp_path / "1.dcm",
        np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) + 500,
        1,
        **plane_tags(sagittal_planes([0])[0]),
    )
    series = read_series(tmp_path)
    square, _ = sample_square(series, series.slices[0], np.array([0.0, 0.0, 60.0]), 32, 2.0)
    assert not square[:21].any()  # the image ends at z = 47, this row lies at z = 50
    assert square[24:].all()


def stack_of_balls(directory: Path, kind: str, points) -> Series:
    """A sagittal or axial stack of nine slices, 4 mm apart, through the patient's origin."""
    offsets = np.arange(-16, 17, 4).tolist()
    return scan(directory, (sagittal_planes if kind == "sagittal" else axial_planes)(offsets), points)


VIEW = ViewConfig(size=32, mm_per_pixel=1.0, slices=3)


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
    view = ViewConfig(size=16, mm_per_pixel=1.0, slices=5)
    crop = crop_view(series, nearest(series, [-16, 0, 0]), np.array([-16.0, 0, 0]), view, None)
    np.testing.assert_array_equal(crop[0], crop[2])
    np.testing.assert_array_equal(crop[1], crop[2])
    assert crop[3].sum() < crop[2].sum()


def points_table(rows: list[tuple[int, int, str, np.ndarray]]) -> pd.DataFrame:
    """A points table from (series, instance, condition, patient point), all of study 1 at L4/L5 in fold 0."""
    return pd.DataFrame(
        [(1, series, number, name, "l4_l5", 0, 0, *point, 0.9, "detected", 0) for series, number, name, point in rows],
        columns=COLUMNS,
    )


CROPS = CropConfig(spinal=VIEW, foraminal=VIEW, subarticular=VIEW)


def test_crops_lie_on_disk_beside_the_table_of_their_rows(tmp_path):
    canal, recess = np.array([0.0, 4, -6]), np.array([9.0, 2, 3])
    sagittal = stack_of_balls(tmp_path / "train_images/1/10", "sagittal", [canal])
    axial = stack_of_balls(tmp_path / "train_images/1/11", "axial", [recess])
    points = points_table(
        [
            (11, nearest(axial, recess), "left_subarticular_stenosis", recess),
            (10, nearest(sagittal, canal), "spinal_canal_stenosis", canal),
        ]
    )
    write_crops(Competition(tmp_path), "train", points, CROPS, tmp_path / "crop", jobs=1)
    spinal, subarticular = (open_crops(tmp_path / "crop", group) for group in ("spinal", "subarticular"))
    assert spinal.index["row_id"].tolist() == ["1_spinal_canal_stenosis_l4_l5"]
    assert subarticular.index["row_id"].tolist() == ["1_left_subarticular_stenosis_l4_l5"]
    for crops in (spinal, subarticular):
        assert crops.pixels.shape == (1, 3, 32, 32)
        np.testing.assert_allclose(bright_centre(crops.pixels[0, 1]), [15.5, 15.5], atol=0.3)


def test_a_group_without_a_point_has_no_crops_and_is_no_error(tmp_path):
    write_crops(Competition(tmp_path), "train", points_table([]), CROPS, tmp_path / "crop", jobs=1)
    crops = open_crops(tmp_path / "crop", "foraminal")
    assert crops.pixels.shape == (0, 3, 32, 32)
    assert crops.index.empty


def test_an_axial_series_without_orientation_is_cropped_as_it_was_looked_at(tmp_path):
    directory = tmp_path / "test_images/1/11"
    recess = np.array([9.0, 6.0, 4.0])
    for number, plane in enumerate(axial_planes([0, 4, 8]), start=1):
        tags = plane_tags(plane) | {"ImageOrientationPatient": None}
        write_image(directory / f"{number}.dcm", balls(plane, [recess]), number, **tags)
    header = "study_id,series_id,series_description"
    (tmp_path / "test_series_descriptions.csv").write_text(f"{header}\n1,11,Axial T2\n")
    seen = read_series(directory, "axial")  # as the detector reads it
    points = points_table([(11, nearest(seen, recess), "left_subarticular_stenosis", recess)])
    write_crops(Competition(tmp_path), "test", points, CROPS, tmp_path / "crop", jobs=1)
    crop = open_crops(tmp_path / "crop", "subarticular").pixels[0, 1]
    assert crop.any()
    np.testing.assert_allclose(bright_centre(crop), [15.5, 15.5], atol=0.3)


def test_the_axes_of_a_sampled_square_are_the_radiologists(tmp_path):
    series = scan(tmp_path, sagittal_planes([0]), [[0, 0, 0]])
    _, target = sample_square(series, series.slices[0], np.zeros(3), 16, 1.0)
    np.testing.assert_allclose([target.x_axis, target.y_axis], [BACK, -HEAD], atol=1e-9)
    assert abs(target.normal @ LEFT) == pytest.approx(1)
