"""What a bare folder of DICOM files holds is read from the headers: no name, suffix or table is needed."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lumbar.mri.inventory import find_series
from lumbar.mri.series import read_files
from scans import AXIAL, SAGITTAL, item, write_image

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def write_series(folder: Path, uid: str, orientation, count: int = 3, **tags: object) -> None:
    """A few images of a series, in files without a suffix."""
    for number in range(1, count + 1):
        path = folder / f"IM{number:04d}"
        position = [float(4 * number), 0.0, 0.0]
        geometry = {"ImageOrientationPatient": list(orientation), "ImagePositionPatient": position}
        write_image(path, PIXELS, number, SeriesInstanceUID=uid, PixelSpacing=[1.0, 1.0], **geometry, **tags)


@pytest.mark.parametrize(
    ("orientation", "tags", "expected"),
    [
        (SAGITTAL, {"SeriesDescription": "T1"}, "Sagittal T1"),
        (SAGITTAL, {"SeriesDescription": "SAG T2 TSE"}, "Sagittal T2/STIR"),
        (SAGITTAL, {"SeriesDescription": "sag stir"}, "Sagittal T2/STIR"),
        (SAGITTAL, {"SeriesDescription": "SAG T12-L5 FSE", "EchoTime": 100.0}, "Sagittal T2/STIR"),
        (SAGITTAL, {"SeriesDescription": "SAG FSE PAT2", "EchoTime": 10.0, "RepetitionTime": 500.0}, "Sagittal T1"),
        (SAGITTAL, {"SeriesDescription": "SAG T1", "ProtocolName": "L-SPINE T2"}, "Sagittal T1"),
        (SAGITTAL, {"SeriesDescription": "SAG T2", "ProtocolName": "T1 SAG"}, "Sagittal T2/STIR"),
        (SAGITTAL, {"SeriesDescription": "SAG T2", "ProtocolName": "SURVEY AND SPINE"}, "Sagittal T2/STIR"),
        (SAGITTAL, {"SeriesDescription": "T1/T2", "ProtocolName": "t1_tse_sag"}, "Sagittal T1"),
        (SAGITTAL, {"SeriesDescription": "t1_tirm_sag"}, "Sagittal T1"),
        (SAGITTAL, {"SeriesDescription": "tirm_sag"}, "Sagittal T2/STIR"),
        (AXIAL, {"ProtocolName": "t2_tse_tra"}, "Axial T2"),
        (AXIAL, {"EchoTime": 101.0, "RepetitionTime": 4000.0}, "Axial T2"),
        (SAGITTAL, {"EchoTime": 10.0, "RepetitionTime": 600.0}, "Sagittal T1"),
        (SAGITTAL, {"EchoTime": 40.0, "RepetitionTime": 4000.0, "InversionTime": 150.0}, "Sagittal T2/STIR"),
    ],
)
def test_plane_and_weighting_are_read_from_the_headers(tmp_path, orientation, tags, expected):
    write_series(tmp_path / "a", "1.2.3", orientation, **tags)
    (found,) = find_series(tmp_path)
    assert (found.description, found.files) == (expected, ("a/IM0001", "a/IM0002", "a/IM0003"))


@pytest.mark.parametrize(
    ("orientation", "tags", "reason"),
    [
        (CORONAL, {"SeriesDescription": "T2 COR"}, "coronal T2 images are not graded"),
        (AXIAL, {"SeriesDescription": "T1 TRA"}, "axial T1 images are not graded"),
        (SAGITTAL, {"SeriesDescription": "SAG FSE"}, "its files do not say T1 or T2"),
        (SAGITTAL, {"SeriesDescription": "T2", "BodyPartExamined": "BRAIN"}, "its files say that it shows BRAIN"),
        (SAGITTAL, {"SeriesDescription": "T2", "ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION"]}, "diffusion image"),
    ],
)
def test_a_series_of_no_use_says_why(tmp_path, orientation, tags, reason):
    write_series(tmp_path, "1.2.3", orientation, **tags)
    (found,) = find_series(tmp_path)
    assert found.description is None
    assert reason in found.reason
    assert reason in found.line


def test_damaged_groups_of_frames_in_one_file_cost_its_series_nothing(tmp_path):
    write_series(tmp_path, "1.2.3", SAGITTAL, SeriesDescription="SAG T2")
    path = min(tmp_path.iterdir())
    head, pixels, rest = path.read_bytes().partition(b"\xe0\x7f\x10\x00")
    groups = b"\x00\x52\x30\x92UN\x00\x00\x02\x00\x00\x00ab"  # PerFrameFunctionalGroupsSequence, of two bytes
    path.write_bytes(head + groups + pixels + rest)
    (found,) = find_series(tmp_path)
    assert (found.description, len(found.files)) == ("Sagittal T2/STIR", 3)


def write_enhanced(path: Path, places: list[pydicom.Dataset], **shared: list[pydicom.Dataset]) -> None:
    """Enhanced MR without a name, of two frames with some groups each and others that they share."""
    groups = {"SharedFunctionalGroupsSequence": [item(**shared)], "PerFrameFunctionalGroupsSequence": places}
    pixels = np.concatenate([PIXELS, PIXELS])
    write_image(path, pixels, 1, SeriesInstanceUID=path.stem, NumberOfFrames=2, Rows=8, **groups)


@pytest.mark.parametrize(
    ("orientation", "echo", "repetition", "inversion", "expected"),
    [
        (SAGITTAL, 10.0, 600.0, None, "Sagittal T1"),
        (SAGITTAL, 40.0, 4000.0, 150.0, "Sagittal T2/STIR"),
        (AXIAL, 101.0, 4000.0, None, "Axial T2"),
    ],
)
def test_enhanced_mr_is_described_by_what_its_groups_say(tmp_path, orientation, echo, repetition, inversion, expected):
    positions = [item(PlanePositionSequence=[item(ImagePositionPatient=[x, 0, 0])]) for x in (0, 4)]
    write_enhanced(
        tmp_path / "1.2.3",
        positions,
        PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1])],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=repetition)],
        MREchoSequence=[item(EffectiveEchoTime=echo)],
        MRModifierSequence=[item(InversionTimes=inversion)] if inversion else [],
    )
    (found,) = find_series(tmp_path)
    assert (found.description, found.files) == (expected, ("1.2.3",))
    assert len(read_files(tmp_path, found.files).slices) == 2


def test_frames_without_a_place_each_are_described_as_far_as_they_can_be(tmp_path):
    write_enhanced(tmp_path / "1.2.3", [item()], PlaneOrientationSequence=[])
    (found,) = find_series(tmp_path)
    assert found.reason == "its files do not say which plane it lies in nor T1 or T2"


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesDescription": "localizer", "EchoTime": 4.0, "RepetitionTime": 8.6},
        {"SeriesDescription": "plan", "EchoTime": 4.0, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesDescription": "3-plane HASTE loc", "EchoTime": 90.0, "RepetitionTime": 1200.0},
        {"SeriesDescription": "t2_haste_loc", "EchoTime": 90.0},
        {"SeriesDescription": "MobiView", "ProtocolName": "survey", "RepetitionTime": 8.6},
        {"SeriesDescription": "Scout", "RepetitionTime": 8.6},
    ],
)
def test_a_localizer_is_left_out_though_its_times_are_those_of_a_true_series(tmp_path, tags):
    write_series(tmp_path, "1.2.3", SAGITTAL, **tags)
    (found,) = find_series(tmp_path)
    assert (found.description, found.reason) == (None, "its files say that it is a localizer")


def test_a_name_that_only_holds_the_letters_of_a_localizer_is_none(tmp_path):
    write_series(tmp_path, "1.2.3", SAGITTAL, SeriesDescription="SAG T2 BLOCK")
    assert find_series(tmp_path)[0].description == "Sagittal T2/STIR"


@pytest.mark.parametrize("body", ["LSPINE", "L-SPINE", "SPINE", ""])
def test_a_lumbar_spine_by_any_name_is_one(tmp_path, body):
    write_series(tmp_path, "1.2.3", SAGITTAL, SeriesDescription="T1", BodyPartExamined=body or None)
    assert find_series(tmp_path)[0].description == "Sagittal T1"


def test_series_in_one_folder_are_told_apart_and_one_in_several_is_put_together(tmp_path):
    write_series(tmp_path / "deep" / "er", "1.1", SAGITTAL, SeriesDescription="T1")
    write_series(tmp_path / "other", "1.1", SAGITTAL, SeriesDescription="T1")
    write_series(tmp_path / "deep" / "er" / "still", "1.2", AXIAL, SeriesDescription="T2")
    first, second = find_series(tmp_path)
    assert (first.description, len(first.files)) == ("Sagittal T1", 6)
    assert (second.description, len(second.files)) == ("Axial T2", 3)


def test_what_is_no_image_is_passed_over(tmp_path):
    write_series(tmp_path, "1.1", SAGITTAL, SeriesDescription="T1")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "notes.txt").write_text("a lumbar spine")
    (tmp_path / ".hidden").write_text("x")
    (found,) = find_series(tmp_path)
    assert len(found.files) == 3
    assert find_series(tmp_path / "none") == []


def test_a_folder_that_cannot_be_listed_is_passed_over_with_a_warning(tmp_path, forbid, caplog):
    write_series(tmp_path / "shown", "1.1", SAGITTAL, SeriesDescription="T1")
    write_series(tmp_path / "locked", "1.2", AXIAL, SeriesDescription="T2")
    forbid(tmp_path / "locked")
    assert [found.description for found in find_series(tmp_path)] == ["Sagittal T1"]
    assert caplog.messages == [f"{tmp_path / 'locked'}: cannot be looked at; left out: Permission denied"]


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    write_series(tmp_path / "series", "1.1", SAGITTAL, SeriesDescription="T1")
    (tmp_path / "series" / "again").symlink_to(tmp_path, target_is_directory=True)
    (found,) = find_series(tmp_path)
    assert len(found.files) == 3


def test_a_zipped_series_is_found_and_read(tmp_path):
    write_series(tmp_path / "a", "1.1", SAGITTAL, SeriesDescription="T1")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    (found,) = find_series(tmp_path)
    assert found.files == ("packed.zip/IM0001", "packed.zip/IM0002", "packed.zip/IM0003")
    assert sorted(read_files(tmp_path, found.files).instance_numbers) == [1, 2, 3]


def test_the_files_of_a_series_are_read_wherever_they_lie(tmp_path):
    write_series(tmp_path / "a" / "b", "1.1", SAGITTAL, SeriesDescription="T1")
    shutil.move(tmp_path / "a" / "b" / "IM0002", tmp_path / "elsewhere")
    (found,) = find_series(tmp_path)
    series = read_files(tmp_path, found.files, 7, "sagittal", "T1")
    assert series.series_id == 7
    assert sorted(series.instance_numbers) == [1, 2, 3]


def test_two_real_studies_are_sorted_as_the_competition_sorted_them(shared):
    import pandas as pd

    table = pd.read_csv(shared / "rsna2024_studies" / "train_series_descriptions.csv")
    for study_id, rows in table.groupby("study_id"):
        folder = shared / "rsna2024_studies" / "train_images" / str(study_id)
        found = {int(Path(series.files[0]).parts[0]): series.description for series in find_series(folder)}
        assert found == dict(zip(rows["series_id"], rows["series_description"], strict=True))


def test_a_real_head_is_told_from_a_spine(shared):
    (found,) = find_series(shared / "dicom" / "sagittal_stack")
    assert len(found.files) == 48
    assert found.reason == "its files say that it shows BRAIN"
