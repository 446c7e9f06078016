"""Sampling around a patient point: what is bright in the body is bright where the geometry says."""

from pathlib import Path

import numpy as np
import pytest

from lumbar.mri.geometry import BACK, HEAD, LEFT, Plane
from lumbar.mri.sampling import sample_square
from lumbar.mri.series import Series, read_series
from scans import (
    AXIAL,
    SAGITTAL,
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


def test_the_axes_of_a_sampled_square_are_the_radiologists(tmp_path):
    series = scan(tmp_path, sagittal_planes([0]), [[0, 0, 0]])
    _, target = sample_square(series, series.slices[0], np.zeros(3), 16, 1.0)
    np.testing.assert_allclose([target.x_axis, target.y_axis], [BACK, -HEAD], atol=1e-9)
    assert abs(target.normal @ LEFT) == pytest.approx(1)
