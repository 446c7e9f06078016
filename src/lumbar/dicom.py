"""DICOM files read into a `Series`: slices in order along the stack, each with its own plane in patient space.

Nothing is taken from file names or from instance numbers but the identity of a slice: order and spacing come from
positions. A series may hold images of several sizes and orientations, so every slice keeps its own pixels and plane.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale

from lumbar.errors import InputError
from lumbar.geometry import BACK, DISPLAY_AXES, HEAD, LEFT, Plane, anatomical_plane

logger = logging.getLogger(__name__)

WINDOW_PERCENTILES = (1.0, 99.5)
"""Percentiles of a series' pixels that become black and white: the Window tags are missing or wrong too often."""
WINDOW_SAMPLE = 200_000
"""Pixels from which the percentiles are taken; more change them by less than one grey level in 255."""
FALLBACK_FIELD_OF_VIEW_MM = 260.0
"""The width assumed for an image without PixelSpacing: the middle of the usual 180-340 mm."""
FALLBACK_SLICE_STEP_MM = 4.4
"""The step assumed between slices without positions: the usual thickness of 4 mm and a 10 % gap."""


class SeriesError(InputError):
    """A series that cannot be used; the message names its directory."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One image: float32 `pixels` (rows, columns) after rescaling, and where they lie."""

    instance_number: int
    pixels: NDArray[np.float32]
    plane: Plane

    @property
    def centre(self) -> NDArray[np.float64]:
        """The patient point (3,) in the middle of the image."""
        rows, columns = self.pixels.shape
        return self.plane.to_patient([(columns - 1) / 2, (rows - 1) / 2])

    def distance(self, point: Sequence[float] | NDArray[np.float64]) -> float:
        """Millimetres of a patient point (3,) from the plane, not signed."""
        return abs(float(self.plane.distance(point)))

    def shows(self, point: NDArray[np.float64]) -> bool:
        """Whether a patient point (3,), projected onto the plane, falls on the image; a point of NaN never does."""
        x, y = self.plane.to_pixels(point)
        rows, columns = self.pixels.shape
        return bool(0 <= x <= columns - 1 and 0 <= y <= rows - 1)


@dataclass(frozen=True, eq=False)
class Series:
    """A series' slices, sorted along the stack's normal, and what was wrong with the files left out."""

    series_id: int
    slices: tuple[Slice, ...]
    problems: tuple[str, ...] = ()

    @property
    def instance_numbers(self) -> list[int]:
        """InstanceNumber of each slice, in the order of the stack."""
        return [image.instance_number for image in self.slices]

    @property
    def spacing(self) -> float:
        """Median millimetres between neighbouring slices, from their positions; NaN for a single slice."""
        return float(np.median(np.abs(np.diff(self.offsets)))) if len(self.slices) > 1 else float("nan")

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Millimetres (S,) of each slice's centre along the stack's normal."""
        return np.array([image.centre for image in self.slices]) @ _stack_normal(self.slices)

    @cached_property
    def window(self) -> tuple[float, float]:
        """Pixel values of black and white, `WINDOW_PERCENTILES` of the whole series."""
        step = max(1, sum(image.pixels.size for image in self.slices) // WINDOW_SAMPLE)
        sample = np.concatenate([image.pixels.ravel()[::step] for image in self.slices])
        low, high = np.percentile(sample, WINDOW_PERCENTILES)
        return float(low), float(max(high, low + 1e-3))

    def windowed(self, image: Slice) -> NDArray[np.uint8]:
        """A slice's pixels (rows, columns) as 0-255 between the series' black and white."""
        low, high = self.window
        return (np.clip((image.pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)

    def by_instance_number(self, instance_number: int) -> Slice:
        """The slice of an instance number; KeyError when there is none."""
        for image in self.slices:
            if image.instance_number == instance_number:
                return image
        raise KeyError(f"series {self.series_id} has no instance {instance_number}")

    def distances(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Millimetres (S,) of a patient point from each slice's plane, not signed."""
        return np.array([image.distance(point) for image in self.slices])


def read_series(directory: Path, expected_plane: str = "sagittal") -> Series:
    """Reads every DICOM file of a directory.

    A file that cannot be read is left out with a warning that names it. `expected_plane` stands in for an orientation
    that no file gives. Raises SeriesError when nothing readable is left.
    """
    headers, problems = [], []
    for path in sorted(directory.glob("*.dcm")) if directory.is_dir() else []:
        try:
            headers.append(_read_file(path))
        except Exception as error:
            # pydicom and its decoders raise almost anything on a damaged file, and one file must not cost the series.
            problems.append(f"{path}: cannot be read and is left out: {type(error).__name__}: {error}")
            logger.warning(problems[-1])
    if not headers:
        missing = "has no DICOM file" if directory.is_dir() else "does not exist"
        raise SeriesError(f"{directory}: the series {'has no readable file' if problems else missing}")
    series_id = int(directory.name) if directory.name.isdigit() else 0
    return Series(series_id, _sort(_place(headers, expected_plane)), tuple(problems))


@dataclass(frozen=True, eq=False)
class _Image:
    """What one file says; None for what it does not say."""

    instance_number: int
    pixels: NDArray[np.float32]
    position: NDArray[np.float64] | None
    orientation: NDArray[np.float64] | None
    spacing: NDArray[np.float64] | None
    location: float | None


def _read_file(path: Path) -> _Image:
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pixels = dataset.pixel_array
    if pixels.ndim != 2 or min(pixels.shape) < 2:
        raise ValueError(f"expected one grey image, got pixels of shape {pixels.shape}")
    values = np.nan_to_num(apply_rescale(pixels, dataset).astype(np.float32), posinf=0.0, neginf=0.0)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = -values  # dark is high; the window takes its black and white from the series
    number = dataset.get("InstanceNumber")
    location = _numbers(dataset, "SliceLocation", 1)
    return _Image(
        instance_number=int(number if number is not None else _number_in_name(path)),
        pixels=values,
        position=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_orientation(dataset),
        spacing=_spacing(dataset),
        location=None if location is None else float(location[0]),
    )


def _numbers(dataset: pydicom.Dataset, name: str, count: int) -> NDArray[np.float64] | None:
    """A tag's values, or None when it is missing, empty or not `count` finite numbers."""
    try:
        values = np.atleast_1d(np.array(dataset.get(name), dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return values if values.shape == (count,) and np.isfinite(values).all() else None


def _orientation(dataset: pydicom.Dataset) -> NDArray[np.float64] | None:
    """ImageOrientationPatient, or None when its directions do not span a plane."""
    values = _numbers(dataset, "ImageOrientationPatient", 6)
    spans = values is not None and np.linalg.norm(np.cross(values[:3], values[3:])) > 0.1
    return values if spans else None


def _spacing(dataset: pydicom.Dataset) -> NDArray[np.float64] | None:
    """PixelSpacing, or None when it is not above zero."""
    values = _numbers(dataset, "PixelSpacing", 2)
    return values if values is not None and (values > 0).all() else None


def _number_in_name(path: Path) -> int:
    digits = "".join(character for character in path.stem if character.isdigit())
    return int(digits) if digits else 0


def _place(images: Sequence[_Image], expected_plane: str) -> list[Slice]:
    """Gives every image a plane, with what its neighbours say in place of what it does not say."""
    orientation = _first(image.orientation for image in images)
    if orientation is None:
        orientation = np.concatenate(DISPLAY_AXES[expected_plane])
    spacing = _first(image.spacing for image in images)
    return [_slice(image, orientation, spacing) for image in images]


def _slice(image: _Image, orientation: NDArray[np.float64], spacing: NDArray[np.float64] | None) -> Slice:
    own_orientation = orientation if image.orientation is None else image.orientation
    own_spacing = spacing if image.spacing is None else image.spacing
    if own_spacing is None:
        own_spacing = np.full(2, FALLBACK_FIELD_OF_VIEW_MM / max(image.pixels.shape))
    plane = Plane.of(np.zeros(3), own_orientation, own_spacing)
    if image.position is not None:
        return Slice(image.instance_number, image.pixels, Plane.of(image.position, own_orientation, own_spacing))
    along = image.location if image.location is not None else image.instance_number * FALLBACK_SLICE_STEP_MM
    return Slice(image.instance_number, image.pixels, Plane.of(plane.normal * along, own_orientation, own_spacing))


def _first(values: Iterable[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    return next((value for value in values if value is not None), None)


def _sort(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    normal = _stack_normal(slices)
    return tuple(sorted(slices, key=lambda image: (float(image.centre @ normal), image.instance_number)))


def _stack_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """The normal of most of the stack, turned towards the head, the left or the back, so that its sign is fixed."""
    kinds = [anatomical_plane(image.plane) for image in slices]
    kind = max(set(kinds), key=lambda name: (kinds.count(name), name))
    towards = {"sagittal": LEFT, "coronal": BACK, "axial": HEAD}[kind]
    normals = [image.plane.normal for image, of in zip(slices, kinds, strict=True) if of == kind]
    mean = np.sum([normal * np.sign(normal @ towards) for normal in normals], axis=0)
    return mean / np.linalg.norm(mean)
