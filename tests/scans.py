"""Small scans for the tests: bright balls in patient space, seen on any planes and written as true DICOM."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from lumbar.mri.geometry import Plane

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
BALL_MM = 3.0
"""Standard deviation of a ball's brightness."""


def turned(axis: ArrayLike, degrees: float) -> NDArray[np.float64]:
    """The rotation (3, 3) about an axis, by Rodrigues' formula."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def sagittal_planes(xs: Sequence[float], spacing: tuple[float, float] = (2.0, 2.0), side: int = 48) -> list[Plane]:
    """Sagittal planes at these patient x, whose square images are centred on the patient's origin."""
    half = (side - 1) / 2
    return [Plane.of([x, -half * spacing[1], half * spacing[0]], SAGITTAL, spacing) for x in xs]


def axial_planes(zs: Sequence[float], spacing: tuple[float, float] = (2.0, 2.0), side: int = 48) -> list[Plane]:
    """Axial planes at these patient z, whose square images are centred on the patient's origin."""
    half = (side - 1) / 2
    return [Plane.of([-half * spacing[1], -half * spacing[0], z], AXIAL, spacing) for z in zs]


def balls(plane: Plane, points: ArrayLike, side: int = 48) -> NDArray[np.uint16]:
    """The image (side, side) of bright balls at patient points (N, 3)."""
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))
    places = plane.to_patient(np.stack([columns, rows], axis=-1))  # (side, side, 3)
    image = np.zeros((side, side))
    for point in np.atleast_2d(np.asarray(points, dtype=np.float64)):
        image += 3000 * np.exp(-((places - point) ** 2).sum(axis=-1) / (2 * BALL_MM**2))
    return image.round().astype(np.uint16)


def bright_centre(image: ArrayLike) -> NDArray[np.float64]:
    """The centre of brightness of an image, as (x, y)."""
    weights = np.asarray(image, dtype=np.float64)
    rows, columns = np.indices(weights.shape)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def write_image(path: Path, pixels: NDArray[np.integer], number: int | None, **tags: object) -> None:
    """Writes one image with the tags given and no others; a tag of None is left out."""
    dataset = Dataset()
    dataset.SOPInstanceUID = f"1.2.{path.stem.encode().hex() or 0}"[:60]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    for name, value in {"InstanceNumber": number, **tags}.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)


def plane_tags(plane: Plane) -> dict[str, list[float]]:
    """DICOM's tags of a plane."""
    return {
        "ImagePositionPatient": [round(float(value), 6) for value in plane.position],
        "ImageOrientationPatient": [round(float(value), 9) for value in (*plane.x_axis, *plane.y_axis)],
        "PixelSpacing": [plane.y_spacing, plane.x_spacing],
    }


def write_scan(directory: Path, planes: Sequence[Plane], points: ArrayLike, side: int = 48) -> None:
    """Writes a series of balls on planes, numbered from 1 in their order."""
    for number, plane in enumerate(planes, start=1):
        write_image(directory / f"{number}.dcm", balls(plane, points, side), number, **plane_tags(plane))


def item(**tags: object) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset
