"""DICOM series: order, spacing and pixels come from what the files say, and one bad file costs only itself."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.data import get_testdata_file

from lumbar.mri.geometry import Plane, anatomical_plane
from lumbar.mri.series import SeriesError, read_series
from lumbar.mri.stack import FALLBACK_FIELD_OF_VIEW_MM, FALLBACK_SLICE_STEP_MM
from scans import AXIAL, SAGITTAL, axial_planes, balls, plane_tags, sagittal_planes, write_image, write_scan

ENCODINGS = ("", "_implicit", "_bigendian", "_expb", "_RLE", "_jp2klossless", "_jpeg_ls_lossless", "_padded")
RAMP = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)


def packaged(name: str) -> Path:
    """A file that ships inside pydicom; nothing is downloaded."""
    return Path(get_testdata_file(name, download=False))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_pixels(tmp_path, encoding):
    shutil.copy(packaged(f"MR_small{encoding}.dcm"), tmp_path / "1.dcm")
    series = read_series(tmp_path)
    plain = pydicom.dcmread(packaged("MR_small.dcm")).pixel_array
    assert series.problems == ()
    assert series.slices[0].pixels.dtype == np.float32
    np.testing.assert_array_equal(series.slices[0].pixels, plain.astype(np.float32))


def test_a_truncated_file_is_left_out_with_a_warning_that_names_it(tmp_path, caplog):
    shutil.copy(packaged("MR_small.dcm"), tmp_path / "1.dcm")
    shutil.copy(packaged("MR_truncated.dcm"), tmp_path / "2.dcm")
    with caplog.at_level(logging.WARNING):
        series = read_series(tmp_path)
    assert len(series.slices) == 1
    assert len(series.problems) == 1
    assert str(tmp_path / "2.dcm") in series.problems[0]
    assert str(tmp_path / "2.dcm") in caplog.text


def test_a_directory_without_a_readable_file_is_named(tmp_path):
    shutil.copy(packaged("MR_truncated.dcm"), tmp_path / "1.dcm")
    (tmp_path / "2.dcm").write_bytes(b"not DICOM")
    (tmp_path / "3.dcm").write_bytes(b"")
    with pytest.raises(SeriesError, match="the series has no readable file") as caught:
        read_series(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_an_empty_and_a_missing_directory_are_named(tmp_path):
    with pytest.raises(SeriesError, match=f"{tmp_path}: the series has no DICOM file"):
        read_series(tmp_path)
    with pytest.raises(SeriesError, match=f"{tmp_path / 'gone'}: the series does not exist"):
        read_series(tmp_path / "gone")


def test_the_folder_that_one_is_in_is_read_under_its_own_name(tmp_path, monkeypatch):
    write_scan(tmp_path / "77", sagittal_planes([0, 4, 8]), [0, 0, 0])
    monkeypatch.chdir(tmp_path / "77")
    series = read_series(".")
    assert (series.series_id, len(series.slices)) == (77, 3)


@pytest.mark.parametrize("xs", [(-8, -4, 0, 4, 8), (8, 4, 0, -4, -8)])
def test_slices_run_from_right_to_left_however_they_were_numbered(tmp_path, xs):
    write_scan(tmp_path / "77", sagittal_planes(xs), [0, 0, 0])
    series = read_series(tmp_path / "77")
    assert series.series_id == 77
    assert [image.plane.position[0] for image in series.slices] == sorted(xs)
    assert series.instance_numbers == [xs.index(x) + 1 for x in sorted(xs)]
    assert series.spacing == pytest.approx(4)


def test_axial_slices_run_from_foot_to_head(tmp_path):
    write_scan(tmp_path, axial_planes([20, 5, 10]), [0, 0, 0])
    series = read_series(tmp_path)
    assert series.instance_numbers == [2, 3, 1]
    np.testing.assert_allclose(series.offsets, [5, 10, 20])


def test_instance_numbers_with_gaps_stay_what_they_are(tmp_path):
    for number, plane in zip([5049, 17, 900], sagittal_planes([0, 4, 8]), strict=True):
        write_image(tmp_path / f"{number}.dcm", balls(plane, [0, 0, 0]), number, **plane_tags(plane))
    series = read_series(tmp_path)
    assert series.instance_numbers == [5049, 17, 900]
    assert series.by_instance_number(17).plane.position[0] == 4
    with pytest.raises(KeyError, match="has no instance 1"):
        series.by_instance_number(1)


def test_a_series_may_hold_several_sizes_and_orientations(tmp_path):
    small, large = axial_planes([0], side=32)[0], axial_planes([10], side=64)[0]
    tilted = Plane.of(axial_planes([20])[0].position, [1, 0, 0, 0, 0.96, -0.28], [2, 2])
    for number, (plane, side) in enumerate([(large, 64), (tilted, 48), (small, 32)], start=1):
        write_image(tmp_path / f"{number}.dcm", balls(plane, [0, 0, 0], side), number, **plane_tags(plane))
    series = read_series(tmp_path)
    shapes = {image.instance_number: image.pixels.shape for image in series.slices}
    assert shapes == {1: (64, 64), 2: (48, 48), 3: (32, 32)}
    np.testing.assert_allclose(series.by_instance_number(2).plane.y_axis, [0, 0.96, -0.28])


def test_a_scout_across_the_stack_is_as_far_from_a_point_as_it_lies(tmp_path):
    planes = [*sagittal_planes([-4, 0, 4]), *axial_planes([30])]
    write_scan(tmp_path, planes, [[0, 0, 0]])
    series, point = read_series(tmp_path), [1.0, 2, 3]
    expected = {1: 5.0, 2: 1.0, 3: 3.0, 4: 27.0}
    assert dict(zip(series.instance_numbers, series.distances(point), strict=True)) == pytest.approx(expected)


def test_rescale_slope_and_intercept_are_applied(tmp_path):
    tags = plane_tags(axial_planes([0])[0]) | {"RescaleSlope": 0.5, "RescaleIntercept": -100}
    write_image(tmp_path / "1.dcm", RAMP, 1, **tags)
    np.testing.assert_array_equal(read_series(tmp_path).slices[0].pixels, RAMP * 0.5 - 100)


def test_where_white_is_low_the_image_is_turned_to_white_is_high(tmp_path):
    tags = plane_tags(axial_planes([0])[0]) | {"PhotometricInterpretation": "MONOCHROME1"}
    write_image(tmp_path / "1.dcm", RAMP, 1, **tags)
    darker = plane_tags(axial_planes([5])[0]) | {"PhotometricInterpretation": "MONOCHROME1"}
    write_image(tmp_path / "2.dcm", RAMP + 10, 2, **darker)
    first, second = (image.pixels for image in read_series(tmp_path).slices)
    assert first[0, 0] == first.max()
    assert first[-1, -1] == first.min()
    np.testing.assert_array_equal(np.diff(first[0]), -1)
    np.testing.assert_array_equal(first - second, 10)


def test_without_an_instance_number_the_file_name_gives_it(tmp_path):
    write_image(tmp_path / "12.dcm", RAMP, None, **plane_tags(axial_planes([0])[0]))
    assert read_series(tmp_path).instance_numbers == [12]


def test_without_positions_the_slice_locations_order_the_stack(tmp_path):
    tags = {"ImageOrientationPatient": list(AXIAL), "PixelSpacing": [2, 2]}
    for number, location in enumerate([30.0, 10.0, 20.0], start=1):
        write_image(tmp_path / f"{number}.dcm", RAMP, number, SliceLocation=location, **tags)
    series = read_series(tmp_path)
    assert series.instance_numbers == [2, 3, 1]
    assert series.spacing == pytest.approx(10)


def test_without_positions_and_locations_the_instance_numbers_do(tmp_path):
    for number in (3, 1, 2):
        write_image(tmp_path / f"{number}.dcm", RAMP, number, ImageOrientationPatient=list(AXIAL), PixelSpacing=[2, 2])
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3]
    assert series.spacing == pytest.approx(FALLBACK_SLICE_STEP_MM)


@pytest.mark.parametrize("plane", ["sagittal", "axial"])
def test_an_orientation_that_no_file_gives_is_that_of_the_series_kind(tmp_path, plane):
    write_image(tmp_path / "1.dcm", RAMP, 1, ImagePositionPatient=[0, 0, 0], PixelSpacing=[2, 2])
    assert anatomical_plane(read_series(tmp_path, plane).slices[0].plane) == plane


def test_what_one_file_lacks_is_taken_from_its_neighbours(tmp_path):
    tags = plane_tags(Plane.of([0, 0, 0], SAGITTAL, [0.5, 0.75]))
    write_image(tmp_path / "1.dcm", RAMP, 1, **tags)
    write_image(tmp_path / "2.dcm", RAMP, 2, ImagePositionPatient=[4, 0, 0])
    lacking = read_series(tmp_path, "axial").by_instance_number(2).plane
    assert anatomical_plane(lacking) == "sagittal"
    assert (lacking.y_spacing, lacking.x_spacing) == (0.5, 0.75)


@pytest.mark.parametrize(("side", "expected"), [(96, 1.0), (48, 2.0), (32, 3.0)])
def test_a_missing_pixel_spacing_is_that_of_an_image_of_the_same_size_or_keeps_the_field_of_view(
    tmp_path, side, expected
):
    first, second, lacking = axial_planes([0, 4, 8])
    write_image(tmp_path / "1.dcm", np.zeros((96, 96), np.uint16), 1, **plane_tags(first) | {"PixelSpacing": [1, 1]})
    write_image(tmp_path / "2.dcm", np.zeros((48, 48), np.uint16), 2, **plane_tags(second) | {"PixelSpacing": [2, 2]})
    pixels = np.zeros((side, side), np.uint16)
    write_image(tmp_path / "3.dcm", pixels, 3, **plane_tags(lacking) | {"PixelSpacing": None})
    plane = read_series(tmp_path).by_instance_number(3).plane
    assert plane.x_spacing == plane.y_spacing == expected


def test_without_any_pixel_spacing_the_field_of_view_is_assumed(tmp_path):
    write_image(tmp_path / "1.dcm", RAMP, 1, ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=list(AXIAL))
    plane = read_series(tmp_path).slices[0].plane
    assert plane.x_spacing == plane.y_spacing == pytest.approx(FALLBACK_FIELD_OF_VIEW_MM / 48)


@pytest.mark.parametrize(
    "broken",
    [
        {"PixelSpacing": [0, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": [0, 0]},
        {"InstanceNumber": None},
        {"InstanceNumber": -4},
    ],
    ids=lambda tags: f"{next(iter(tags))}={next(iter(tags.values()))}",
)
def test_a_senseless_tag_in_one_file_does_not_cost_the_series(tmp_path, broken):
    planes = sagittal_planes([0, 4, 8])
    write_scan(tmp_path, planes, [0, 0, 0])
    write_image(tmp_path / "2.dcm", RAMP, 2, **(plane_tags(planes[1]) | broken))
    series = read_series(tmp_path)
    assert {1, 3} <= set(series.instance_numbers)
    assert min(series.instance_numbers) > 0
    for number, x in ((1, 0), (3, 8)):
        assert series.by_instance_number(number).plane.position[0] == x


def test_a_colour_image_is_left_out(tmp_path):
    write_scan(tmp_path, sagittal_planes([0, 4]), [0, 0, 0])
    colour = np.zeros((48, 48 * 3), dtype=np.uint16)
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB", "Columns": 48}
    write_image(tmp_path / "3.dcm", colour, 3, **tags)
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2]
    assert "expected one grey image" in series.problems[0]


def test_the_window_spans_the_series_and_not_the_single_image(tmp_path):
    for number, (plane, level) in enumerate(zip(axial_planes([0, 5]), [100, 300], strict=True), start=1):
        write_image(tmp_path / f"{number}.dcm", np.full((48, 48), level, np.uint16), number, **plane_tags(plane))
    series = read_series(tmp_path)
    assert series.window == (100, 300)
    assert [int(series.windowed(image)[0, 0]) for image in series.slices] == [0, 255]


def test_a_black_series_has_a_window_nonetheless(tmp_path):
    write_image(tmp_path / "1.dcm", np.zeros((48, 48), np.uint16), 1, **plane_tags(axial_planes([0])[0]))
    series = read_series(tmp_path)
    assert not series.windowed(series.slices[0]).any()
    assert np.isnan(series.spacing)


def test_a_slice_shows_what_is_projected_onto_its_pixels(tmp_path):
    write_scan(tmp_path, sagittal_planes([0]), [0, 0, 0])
    image = read_series(tmp_path).slices[0]
    np.testing.assert_allclose(image.centre, 0, atol=1e-6)
    assert image.shows(np.array([30.0, 46.0, -46.0]))
    assert not image.shows(np.array([0.0, 48.0, 0.0]))


def test_the_published_head_runs_from_right_to_left_whatever_its_files_are_called(shared, tmp_path):
    paths = sorted((shared / "dicom" / "sagittal_stack").glob("*.dcm"))
    for index in np.random.default_rng(0).permutation(len(paths)):
        shutil.copy(paths[index], tmp_path / f"{(index * 29 + 7) % 48:02d}.dcm")
    series = read_series(tmp_path)
    assert series.instance_numbers == list(range(1, 49))
    positions = np.array([image.plane.position for image in series.slices])
    np.testing.assert_allclose(positions[[0, -1], 0], [-63.45, 63.45], atol=0.01)
    np.testing.assert_allclose(np.diff(positions[:, 0]), 2.7, atol=0.01)
    assert series.spacing == pytest.approx(2.7, abs=1e-3)
    for image in series.slices:
        np.testing.assert_allclose([*image.plane.x_axis, *image.plane.y_axis], [0, 1, 0, 0, 0, -1], atol=1e-6)


def test_the_published_head_is_the_same_in_its_own_folder(shared, tmp_path):
    series = read_series(shared / "dicom" / "sagittal_stack")
    assert series.instance_numbers == list(range(1, 49))
    assert series.problems == ()
    raw = pydicom.dcmread(sorted((shared / "dicom" / "sagittal_stack").glob("0010_*.dcm"))[0])
    own = series.by_instance_number(int(raw.InstanceNumber))
    np.testing.assert_allclose(own.plane.position, [float(value) for value in raw.ImagePositionPatient])
    np.testing.assert_array_equal(own.pixels, raw.pixel_array)


def test_the_public_sagittal_stacks_are_three_millimetres_apart_along_their_tilted_normal(rsna, tmp_path):
    table = pd.read_csv(rsna / "public_test_sagittal_positions.csv")
    assert table["series_id"].nunique() == 2
    for series_id, rows in table.groupby("series_id"):
        positions = rows.sort_values("instance_number")[["ipp_x", "ipp_y", "ipp_z"]].to_numpy()
        step = positions[1] - positions[0]
        normal = step / np.linalg.norm(step)
        downwards = np.cross(normal, [0, 1, 0])
        downwards *= -np.sign(downwards[2])
        for position, number in zip(positions, sorted(rows["instance_number"]), strict=True):
            tags = {
                "ImagePositionPatient": position.tolist(),
                "ImageOrientationPatient": [0, 1, 0, *downwards.round(8)],
            }
            write_image(tmp_path / str(series_id) / f"{number}.dcm", RAMP, int(number), PixelSpacing=[1, 1], **tags)
        series = read_series(tmp_path / str(series_id))
        assert series.instance_numbers == list(range(25, 0, -1)), "this scanner numbers from left to right"
        assert {anatomical_plane(image.plane) for image in series.slices} == {"sagittal"}
        assert series.spacing == pytest.approx(3.0, abs=1e-3)
        steps = np.diff([float(series.slices[0].plane.distance(image.plane.position)) for image in series.slices])
        np.testing.assert_allclose(np.abs(steps), 3.0, atol=2e-3)
