"""The phantom's files beside the competition's: encoding, tags and places are as the real ones have them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import EnhancedMRImageStorage, RLELossless

from lumbar.labels import CELLS
from lumbar.mri.geometry import Plane, location_axis
from lumbar.mri.series import read_series
from lumbar.phantom.anatomy.body import draw_body
from lumbar.phantom.anatomy.render import Patient
from lumbar.phantom.scanner.acquisition import PlannedSeries
from lumbar.phantom.scanner.axial import plan_axials
from lumbar.phantom.scanner.files import TagHabits, write_slice

REAL = {
    "transfer syntaxes": {RLELossless},
    "media storage classes": {EnhancedMRImageStorage},
    "encodings": {(16, 12, 11, 0, 1, "MONOCHROME2")},
    "descriptions": {"T1", "T2"},
    "patient positions": {"HFS"},
    "names that are not the instance number": 0,
    "ids that are not the folders'": 0,
    "series with several frames of reference": 0,
    "frames of reference of two series": 0,
    "places that SliceLocation does not follow": 0,
    "tags that are missing": set(),
    "tags that no real file has": set(),
}
"""What the competition's files are like; two whole studies of theirs say so below."""
ALWAYS = {
    *("SOPInstanceUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "InstanceNumber"),
    *("SeriesDescription", "PatientPosition", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceLocation", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "WindowCenter", "WindowWidth", "PixelData"),
}
NEVER = {"Modality", "SOPClassUID", "Manufacturer", "NumberOfFrames", "PixelPaddingValue", "StudyDate"}
ENCODING = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
BLANK = np.tile(np.arange(16, dtype=np.uint16), (16, 1))


def describe(root: Path) -> dict[str, Any]:
    """What the files below a competition's image folders are like, in the terms of `REAL`."""
    series = [
        [(path, pydicom.dcmread(path)) for path in folder.glob("*.dcm")]
        for folder in sorted(root.glob("*_images/*/*"))
        if any(folder.iterdir())
    ]
    files = [file for one in series for file in one]
    frames = [{str(header.FrameOfReferenceUID) for _, header in one} for one in series]
    tags = [set(header.dir()) for _, header in files]
    return {
        "transfer syntaxes": {header.file_meta.TransferSyntaxUID for _, header in files},
        "media storage classes": {header.file_meta.MediaStorageSOPClassUID for _, header in files},
        "encodings": {
            (*(header[name].value for name in ENCODING), header.PhotometricInterpretation) for _, header in files
        },
        "descriptions": {header.SeriesDescription for _, header in files},
        "patient positions": {header.PatientPosition for _, header in files},
        "names that are not the instance number": sum(
            header.InstanceNumber != int(path.stem) for path, header in files
        ),
        "ids that are not the folders'": sum(not has_ids_of_folders(*file) for file in files),
        "series with several frames of reference": sum(len(names) > 1 for names in frames),
        "frames of reference of two series": len(frames) - len(set().union(*frames)),
        "places that SliceLocation does not follow": sum(strays_from_location(one) for one in series),
        "tags that are missing": set().union(*(ALWAYS - names for names in tags)),
        "tags that no real file has": set().union(*(NEVER & names for names in tags)),
    }


def has_ids_of_folders(path: Path, header: pydicom.Dataset) -> bool:
    """Whether a file's ids are made of its study's and its series' folders."""
    study, series = path.parts[-3:-1]
    return (header.PatientID, header.StudyInstanceUID, header.SeriesInstanceUID) == (study, study, f"{study}.{series}")


def strays_from_location(files: list[tuple[Path, pydicom.Dataset]]) -> int:
    """How many parallel neighbours by number are not as far apart as their SliceLocations say, to the left or head."""
    headers = sorted((header for _, header in files), key=lambda header: int(header.InstanceNumber))
    planes = [
        Plane.of(header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing) for header in headers
    ]
    locations = [float(header.SliceLocation) for header in headers]
    return sum(
        abs((other.position - one.position) @ location_axis(one) - (there - here)) > 0.05
        for (one, other), (here, there) in zip(pairwise(planes), pairwise(locations), strict=True)
        if np.allclose(one.normal, other.normal, atol=1e-4)
    )


def test_the_phantoms_files_are_like_the_real_ones(one_test_study):
    assert describe(one_test_study.root) == REAL


def test_the_real_files_are_what_the_phantom_is_compared_with(shared):
    assert describe(shared / "rsna2024_studies") == REAL


def test_compressed_pixels_are_the_twelve_bits_that_were_drawn(one_test_study):
    for path in sorted((one_test_study.root / "train_images").rglob("*.dcm"))[::10]:
        header = pydicom.dcmread(path)
        assert header.pixel_array.shape == (header.Rows, header.Columns)
        assert 100 < header.pixel_array.max() <= 4095


def write_blank(folder: Path, series: PlannedSeries) -> None:
    """Writes a planned series with the phantom's headers and hardly any pixels."""
    folder.mkdir()
    for image in series.slices:
        write_slice(folder, 7, series, image, BLANK, TagHabits(None, spacing=True, thickness=True))


def test_axial_series_are_one_stack_or_a_block_for_each_disc_as_the_real_ones_are(tmp_path):
    patient = Patient.lay(draw_body(np.random.default_rng(3), np.zeros(len(CELLS))), np.eye(3), np.zeros(3))
    counts, downwards = [], []
    for seed in range(24):
        (series, *_) = plan_axials(np.random.default_rng(seed), patient, 16, mixed_sizes=0.0)
        write_blank(tmp_path / str(seed), series)
        read = read_series(tmp_path / str(seed), "axial")
        assert read.problems == ()
        normals = np.round([image.plane.normal for image in read.slices], 4)
        counts.append(len(np.unique(normals, axis=0)))
        assert counts[-1] in (1, len(series.levels))
        tilts = np.rad2deg(np.arccos(np.clip(normals @ normals.T, -1, 1)))
        assert tilts.max() < 50
        numbers = [image.instance_number for image in sorted(read.slices, key=lambda image: image.centre[2])]
        downwards.append(numbers[0] > numbers[-1])
    assert counts.count(1) > 4
    assert counts.count(5) > 4
    assert np.mean(downwards) > 0.6
