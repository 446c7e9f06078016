"""Odd series: what one file lacks is made up for, what cannot be trusted is left out, and both are told in words."""

import shutil

import numpy as np
import pydicom
import pytest

from lumbar.mri.geometry import BACK, HEAD, LEFT, Plane, anatomical_plane, displayed
from lumbar.mri.series import SeriesError, read_series
from lumbar.mri.stack import FALLBACK_SLICE_STEP_MM
from scans import AXIAL, SAGITTAL, axial_planes, plane_tags, sagittal_planes, turned, write_image, write_scan

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
RAMP = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)


def test_one_message_tells_a_fault_of_many_files(tmp_path):
    write_scan(tmp_path, sagittal_planes(range(0, 48, 4)), [0, 0, 0])
    for number in range(3, 10):
        (tmp_path / f"{number}.dcm").write_bytes(b"")
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 10, 11, 12]
    assert [message for message in series.problems if "cannot be read" in message] == [
        f"{tmp_path}: cannot be read in 3.dcm, 4.dcm, 5.dcm, 6.dcm, 7.dcm and 2 more;"
        " left out: ValueError: the file is empty"
    ]


def test_the_error_of_a_series_says_why_nothing_was_readable(tmp_path):
    (tmp_path / "1.dcm").write_bytes(b"")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    with pytest.raises(SeriesError, match=r"has no readable file: .*the file is empty: .*Thumbs\.db; not read"):
        read_series(tmp_path)


def test_an_image_without_a_position_lies_between_its_neighbours_by_number(tmp_path):
    planes = sagittal_planes([0, 4, 8, 12, 16])
    write_scan(tmp_path, planes, [0, 0, 0])
    for number in (1, 3):
        tags = plane_tags(planes[number - 1]) | {"ImagePositionPatient": ["nan", 0, 0] if number == 1 else None}
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **tags)
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3, 4, 5]
    assert series.is_placed
    for image, plane in zip(series.slices, planes, strict=True):
        np.testing.assert_allclose(image.plane.position, plane.position, atol=1e-5)
    assert "no usable ImagePositionPatient in 1.dcm, 3.dcm; placed between its neighbours" in series.problems[0]


@pytest.mark.parametrize("position", [None, [5, 6, 7]])
def test_images_that_positions_do_not_tell_apart_are_stacked_by_number(tmp_path, position):
    tags = {"ImageOrientationPatient": list(AXIAL), "PixelSpacing": [2, 2], "ImagePositionPatient": position}
    for number in (5030, 17, 900):
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **tags)
    series = read_series(tmp_path)
    assert series.instance_numbers == [17, 900, 5030]
    assert not series.is_placed
    assert series.spacing == pytest.approx(FALLBACK_SLICE_STEP_MM)
    middle = [0, 0, 0] if position is None else [5 + 47, 6 + 47, 7]
    np.testing.assert_allclose(series.slices[1].centre, middle, atol=1e-6)


def test_images_in_one_place_keep_the_order_of_their_numbers_and_do_not_count_as_a_step(tmp_path):
    for number, x in enumerate([0, 4, 4, 8], start=1):
        write_image(tmp_path / f"{9 - number}.dcm", RAMP, number, **plane_tags(sagittal_planes([x])[0]))
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3, 4]
    assert series.spacing == pytest.approx(4)
    assert "an image where another one lies" in series.problems[0]


def test_the_number_in_a_files_name_has_no_digit_of_the_folders_above_it(tmp_path):
    for number, plane in enumerate(sagittal_planes([0, 4, 8]), start=7):
        path = tmp_path / "study 20240101" / f"SE{9 - number}" / f"IM{number:04d}.dcm"
        write_image(path, RAMP, None, **plane_tags(plane))
    assert read_series(tmp_path).instance_numbers == [7, 8, 9]


def test_two_images_of_one_number_are_told_apart_and_a_copy_is_left_out(tmp_path):
    write_scan(tmp_path, sagittal_planes([0, 4, 8]), [4, 0, 0])
    shutil.copy(tmp_path / "2.dcm", tmp_path / "2 (1).dcm")
    write_image(tmp_path / "4.dcm", RAMP, 2, **plane_tags(sagittal_planes([12])[0]))
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3, 4]
    assert series.by_instance_number(4).plane.position[0] == 12
    assert ["a copy of another image" in message for message in series.problems] == [True, False]
    assert "4.dcm: an InstanceNumber that another file has" in series.problems[1]


def test_an_image_in_another_plane_is_left_out_where_a_plane_is_expected(tmp_path):
    write_scan(tmp_path, sagittal_planes([0, 4]), [0, 0, 0])
    write_image(tmp_path / "3.dcm", RAMP, 3, **plane_tags(axial_planes([0])[0]))
    assert len(read_series(tmp_path).slices) == 3
    assert read_series(tmp_path, "sagittal").instance_numbers == [1, 2]
    assert read_series(tmp_path, "axial").instance_numbers == [3]


def test_a_steep_axial_block_is_still_axial(tmp_path):
    steep = Plane.of([0, 0, 0], [1, 0, 0, 0, 0.64, -0.77], [2, 2])
    write_image(tmp_path / "1.dcm", RAMP, 1, **plane_tags(axial_planes([0])[0]))
    write_image(tmp_path / "2.dcm", RAMP, 2, **plane_tags(steep))
    assert anatomical_plane(steep) == "coronal"
    assert len(read_series(tmp_path, "axial").slices) == 2


@pytest.mark.parametrize("tilt", [50, 60])
def test_a_steep_block_is_sorted_and_shown_like_the_other_axial_ones(tmp_path, tilt):
    # An S1 block: its own slices rise along their normal, forwards and up, below a straight block.
    turn = turned([1, 0, 0], tilt)
    steep = [
        Plane.of(turn @ plane.position + [0, 0, -60], [*turn @ plane.x_axis, *turn @ plane.y_axis], [2, 2])
        for plane in axial_planes([-4, 0, 4])
    ]
    for number, plane in enumerate([*axial_planes([0, 4, 8]), *steep], start=1):
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **plane_tags(plane))
    series = read_series(tmp_path, "axial")
    assert series.instance_numbers == [4, 5, 6, 1, 2, 3]
    assert {image.anatomical_plane for image in series.slices} == {"axial"}
    first = series.slices[0]
    shown = displayed(first.plane, first.anatomical_plane)
    np.testing.assert_allclose(shown.x_axis, LEFT, atol=1e-6)
    assert shown.y_axis @ BACK > 0
    assert series.problems == ()


def test_a_coronal_scout_in_an_axial_series_is_left_out_and_told(tmp_path):
    write_scan(tmp_path, axial_planes([0, 4, 8]), [0, 0, 0])
    for number, tilt in ((4, 0), (5, 20)):
        turn = turned([1, 0, 0], tilt)
        scout = Plane.of([-47, 0, 47], [*turn @ LEFT, *turn @ -HEAD], [2, 2])
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **plane_tags(scout))
    series = read_series(tmp_path, "axial")
    assert series.instance_numbers == [1, 2, 3]
    assert "an image that is not axial in 4.dcm, 5.dcm; left out" in " ".join(series.problems)


def test_a_whole_coronal_series_listed_as_axial_is_told(tmp_path):
    for number in (1, 2, 3):
        write_image(
            tmp_path / f"{number}.dcm", RAMP, number, **plane_tags(Plane.of([0, 4 * number, 0], CORONAL, [2, 2]))
        )
    series = read_series(tmp_path, "axial")
    assert {image.anatomical_plane for image in series.slices} == {"coronal"}
    assert "expected axial images, got coronal ones; kept as they are" in series.problems[0]


def test_a_series_that_is_not_what_the_table_says_is_told(tmp_path):
    write_image(tmp_path / "1.dcm", RAMP, 1, SeriesDescription="T1", **plane_tags(sagittal_planes([0])[0]))
    problems = " ".join(read_series(tmp_path, "axial", "T2").problems)
    assert "expected axial images, got sagittal ones" in problems
    assert "a SeriesDescription of T1 where T2 is expected" in problems
    assert read_series(tmp_path, "sagittal", "T1").problems == ()


@pytest.mark.parametrize(
    ("name", "expected", "told"),
    [
        ("SAG STIR T12-S1", "T2", []),
        ("SAG STIR T12-S1", "T1", ["T2 where T1"]),
        ("sag t1 tse", "T2", ["T1 where T2"]),
        ("sag t1 tse", "T1", []),
        ("T1 and T2", "T1", []),
    ],
)
def test_a_name_is_read_as_people_write_it_before_it_is_said_to_be_of_another_sequence(tmp_path, name, expected, told):
    write_image(tmp_path / "1.dcm", RAMP, 1, SeriesDescription=name, **plane_tags(sagittal_planes([0])[0]))
    problems = read_series(tmp_path, "sagittal", expected).problems
    assert [message.partition("a SeriesDescription of ")[2].partition(" is")[0] for message in problems] == told


def test_pixels_that_are_no_number_are_black_and_the_others_stay(tmp_path):
    write_image(tmp_path / "1.dcm", RAMP, 1, **plane_tags(axial_planes([0])[0]))
    dataset = pydicom.dcmread(tmp_path / "1.dcm")
    values = RAMP.astype("<f4")
    values[0, :4] = [np.nan, np.inf, -np.inf, 3e38]
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated, dataset.FloatPixelData = 32, values.tobytes()
    dataset.save_as(tmp_path / "1.dcm")
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.slices[0].pixels[0, :6], [0, 0, 0, 0, 4, 5])
    np.testing.assert_array_equal(series.slices[0].pixels[1:], RAMP[1:])
    assert "pixels that are no number or beyond ±16777216; set to 0" in series.problems[0]


@pytest.mark.parametrize("tags", [{"RescaleSlope": "1e30"}, {"RescaleSlope": 0}, {"RescaleIntercept": "1e12"}])
def test_a_senseless_rescale_is_ignored_and_told(tmp_path, tags):
    rescale = {"RescaleSlope": 1, "RescaleIntercept": 0} | tags
    write_image(tmp_path / "1.dcm", RAMP, 1, **plane_tags(axial_planes([0])[0]), **rescale)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.slices[0].pixels, RAMP)
    assert "senseless RescaleSlope or RescaleIntercept; ignored" in series.problems[0]


def test_a_series_of_more_pixels_than_memory_is_read_as_far_as_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("lumbar.mri.series.LARGEST_SERIES", 2 * RAMP.size)
    write_scan(tmp_path, sagittal_planes(range(0, 24, 4)), [0, 0, 0])
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3]
    assert "4.dcm, 5.dcm, 6.dcm; left out: ValueError: the files before it hold more than" in series.problems[0]


def test_what_is_unusual_and_does_no_harm_is_a_remark_and_no_problem(tmp_path):
    for number, (plane, side) in enumerate(zip(axial_planes([0, 5]), (48, 32), strict=True), start=5001):
        write_image(tmp_path / f"{number}.dcm", RAMP[:side, :side], number, **plane_tags(plane))
    (tmp_path / ".DS_Store").write_bytes(b"")
    series = read_series(tmp_path)
    assert series.problems == ()
    told = " ".join(series.remarks)
    for words in (
        "no SliceThickness in 5001.dcm, 5002.dcm; not needed",
        "images of 2 sizes; each keeps its own: 1 of 48 x 48, 1 of 32 x 32",
        "instance numbers from 5001 to 5002",
        ".DS_Store: no DICOM file; not read",
    ):
        assert words in told


def test_a_folder_of_several_series_such_as_a_whole_study_is_read_and_told(tmp_path):
    for number, plane in enumerate(sagittal_planes([0, 4, 8]), start=1):
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **plane_tags(plane), SeriesInstanceUID=f"1.{number // 2}")
    series = read_series(tmp_path)
    assert series.problems == (f"{tmp_path}: files of 2 series; taken for one stack",)
    assert len(series.slices) == 3


def test_a_file_without_pixels_costs_itself_and_says_so(tmp_path):
    write_scan(tmp_path, sagittal_planes([0, 4, 8]), [0, 0, 0])
    write_image(tmp_path / "4.dcm", RAMP, 4, PixelData=b"")
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3]
    assert "4.dcm: cannot be read; left out: ValueError: the file has no pixels" in series.problems[0]


@pytest.mark.parametrize("numbering", [1, -1])
def test_slice_location_grows_to_the_left_where_positions_lack(tmp_path, numbering):
    # As in the competition's files; the planes' normal points to the right.
    for number, x in enumerate((-12, -6, 0, 6, 12), start=1):
        tags = {"SliceLocation": float(x), "ImageOrientationPatient": list(SAGITTAL), "PixelSpacing": [2, 2]}
        write_image(tmp_path / f"{number}.dcm", RAMP + 900 * (x == 12), 9 + numbering * number, **tags)
    series = read_series(tmp_path, "sagittal")
    brightest = max(series.slices, key=lambda image: float(image.pixels.mean()))
    assert brightest.plane.position[0] == 12
    assert "stacked in the order of the SliceLocations" in series.problems[0]


def test_numbers_rise_to_the_left_where_nothing_else_tells_and_the_side_is_said_to_be_a_guess(tmp_path):
    for number in (1, 2, 3):
        tags = {"ImageOrientationPatient": list(SAGITTAL), "PixelSpacing": [2, 2]}
        write_image(tmp_path / f"{number}.dcm", RAMP, number, **tags)
    series = read_series(tmp_path, "sagittal")
    assert series.instance_numbers == [1, 2, 3]
    assert series.by_instance_number(3).plane.position[0] > 0
    assert "left and right are a guess" in series.problems[0]


def padded(width: int, value: int) -> np.ndarray:
    """The ramp with a border of a value, as signed numbers."""
    pixels = RAMP.astype("<i2")
    inner = pixels[width:-width, width:-width].copy()
    pixels[:] = value
    pixels[width:-width, width:-width] = inner
    return pixels


@pytest.mark.parametrize("tag", [{"PixelPaddingValue": -2000}, {"PixelPaddingValue": -32768}, {}])
@pytest.mark.parametrize("value", [-2000, -32768])
def test_a_border_of_padding_is_black_and_does_not_set_the_window(tmp_path, tag, value):
    if tag and tag["PixelPaddingValue"] != value:
        tag = {"PixelPaddingValue": tag["PixelPaddingValue"], "PixelPaddingRangeLimit": value}
    pixels = padded(6, value)
    place = plane_tags(sagittal_planes([0])[0])
    write_image(tmp_path / "1.dcm", pixels, 1, PixelRepresentation=1, **tag, **place)
    series = read_series(tmp_path, "sagittal")
    shown = series.windowed(series.slices[0])
    body = shown[6:-6, 6:-6]
    assert int(body.max()) - int(body.min()) > 200
    assert shown[:6].max() == 0
    assert "a border of padding; painted black" in " ".join(series.remarks)


def test_the_bodys_own_pixels_of_the_padding_value_stay(tmp_path):
    pixels = padded(6, 0) + 0
    pixels[24, 24] = 0
    write_image(tmp_path / "1.dcm", pixels, 1, PixelPaddingValue=0, **plane_tags(sagittal_planes([0])[0]))
    padding = read_series(tmp_path, "sagittal").slices[0].padding
    assert padding is not None
    assert padding.sum() == RAMP.size - 36 * 36


def test_air_without_noise_is_no_padding(tmp_path):
    write_scan(tmp_path, sagittal_planes([0]), [0, 0, 0])
    assert read_series(tmp_path, "sagittal").slices[0].padding is None
