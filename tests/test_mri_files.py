"""What a series' folder holds: which files are images, whatever their names; zips; files of frames."""

import shutil

import numpy as np
import pytest

from lumbar.mri.series import SeriesError, read_series
from scans import SAGITTAL, item, plane_tags, sagittal_planes, write_image, write_scan

RAMP = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)


def test_what_cannot_be_looked_at_in_a_series_costs_itself(tmp_path, forbid):
    write_scan(tmp_path, sagittal_planes([0, 4, 8]), [0, 0, 0])
    (tmp_path / "locked").mkdir()
    forbid(tmp_path / "locked")
    (tmp_path / "cut.zip").write_bytes(b"PK\x05\x06" + bytes([0, 0, 0, 0, 1, 0, 1, 0, 99, 0, 0, 0, 9, 0, 0, 0, 0, 0]))
    series = read_series(tmp_path)
    assert series.instance_numbers == [1, 2, 3]
    told = " ".join(series.problems)
    assert "locked: cannot be looked at; left out: Permission denied" in told
    assert "cut.zip: cannot be looked at; left out: Bad offset for central directory" in told


@pytest.mark.parametrize("names", [("1.DCM", "2.Dcm"), ("IM000001", "IM000002"), ("1.2.840.1", "1.2.840.2")])
def test_a_file_is_dicom_by_its_content_whatever_its_name(tmp_path, names):
    for x, name in enumerate(names):
        write_image(tmp_path / name, RAMP, x + 1, **plane_tags(sagittal_planes([4 * x])[0]))
    (tmp_path / "readme.txt").write_text("not an image")
    series = read_series(tmp_path, "sagittal")
    assert series.instance_numbers == [1, 2]
    assert series.problems == ()
    assert "readme.txt: no DICOM file; not read" in " ".join(series.remarks)


@pytest.mark.parametrize("suffix", [".zip", ".ZIP"])
def test_a_zipped_series_and_a_folder_below_are_read(tmp_path, suffix):
    write_scan(tmp_path / "plain", sagittal_planes([0, 4, 8]), [4, 0, 0])
    plain = read_series(tmp_path / "plain", "sagittal")
    (tmp_path / "within").mkdir()
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "plain")
    shutil.copy(packed, tmp_path / "within" / f"images{suffix}")
    shutil.copy(packed, tmp_path / f"instead{suffix}")
    shutil.copytree(tmp_path / "plain", tmp_path / "below" / "DICOM" / "SE000001")
    for name in ("within", "instead", "below"):
        series = read_series(tmp_path / name, "sagittal")
        assert series.problems == ()
        for image, expected in zip(series.slices, plain.slices, strict=True):
            np.testing.assert_array_equal(image.pixels, expected.pixels)
            assert image.instance_number == expected.instance_number


def write_enhanced(path, xs, number: int) -> None:
    """Enhanced MR: the frames' places stand in the functional groups only; the pixels rise with x."""
    frames = np.concatenate([np.full((48, 48), 100 + x, "<u2") for x in xs])
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=list(SAGITTAL))],
        PixelMeasuresSequence=[item(PixelSpacing=[2, 2])],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=0)],
    )
    places = [item(PlanePositionSequence=[item(ImagePositionPatient=[x, -47, 47])]) for x in xs]
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": places}
    write_image(path, frames, number, NumberOfFrames=len(xs), Rows=48, **groups)


@pytest.mark.parametrize("files", [[[-12], [-6], [0], [6], [12]], [[-12, -6, 0, 6, 12]]])
def test_enhanced_mr_is_read_frame_by_frame_with_its_own_places(tmp_path, files):
    for number, xs in enumerate(files, start=1):
        write_enhanced(tmp_path / f"{number}.dcm", xs, number)
    series = read_series(tmp_path, "sagittal")
    assert [image.plane.position[0] for image in series.slices] == [-12, -6, 0, 6, 12]
    assert series.instance_numbers == [1, 2, 3, 4, 5]
    assert [image.plane.x_spacing for image in series.slices] == [2] * 5
    assert [image.pixels[0, 0] for image in series.slices] == [2 * (100 + x) for x in (-12, -6, 0, 6, 12)]
    assert series.problems == ()


def test_frames_without_a_place_are_named_as_no_mr_volume(tmp_path):
    pixels = np.concatenate([RAMP, RAMP])
    write_image(tmp_path / "1.dcm", pixels, 1, NumberOfFrames=2, Rows=48, **plane_tags(sagittal_planes([0])[0]))
    with pytest.raises(SeriesError, match="a file of 2 frames of which 0 have functional groups is no MR volume"):
        read_series(tmp_path, "sagittal")
