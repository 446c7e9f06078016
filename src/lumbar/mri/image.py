"""One DICOM file: its pixels, what its header says of where they lie, and what is odd about it.

A file whose pixels cannot be trusted is an error. A tag that is missing or makes no sense is None and an oddity, for
`mri.series.read_series` to make up for.
"""

import logging
import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale

from lumbar.mri.geometry import Array

# What pydicom says of a damaged tag, for every file of a series, is told by the oddities once for each series.
pydicom.config.logger.setLevel(logging.ERROR)

LARGEST_SIDE = 4096
"""Pixels; the real images end at 1024. A header that claims more must not make a decoder reserve gigabytes."""
LARGEST_FILE = 2**27
"""Bytes: so many that the largest image fits with 64 bits a pixel. A larger file is refused before it is read."""
LARGEST_VALUE = 2.0**24
"""Up to here float32 holds every whole number. 16 bits with the steepest real rescale slope stay far below."""
PADDING_SHARE = 0.05
"""Pixel data may be longer than the image by this share: trailing padding. More, and rows and columns are wrong."""
SPACING_MM, POSITION_MM = (0.02, 20.0), (-10_000.0, 10_000.0)
"""Beyond these a pixel spacing, or a place in the patient's space, is a damaged tag."""
SLOPE = (1e-6, 1e6)
"""Beyond these a rescale slope is a damaged tag."""

NO_SPACING, NO_POSITION, NO_ORIENTATION, NO_NUMBER = (
    f"no usable {name}"
    for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber")
)
MADE_UP_FOR = (NO_SPACING, NO_POSITION, NO_ORIENTATION, NO_NUMBER)
"""Oddities that the series must make up for."""
BAD_RESCALE = "senseless RescaleSlope or RescaleIntercept"
BAD_PIXELS = f"pixels that are no number or beyond ±{LARGEST_VALUE:.0f}"
"""Oddities that were put right in the file itself."""
UNEVEN_AXES = "ImageOrientationPatient that is not two unit vectors at right angles"
FLAT = "one grey value only"
EXCESS = "more pixel data than rows and columns ask for"
UNNEEDED_TAGS = ("SliceThickness", "SpacingBetweenSlices", "WindowCenter")
"""Tags that nothing here is taken from, since the hidden test lacks some: their absence is worth a remark."""
PIXEL_TAGS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True, eq=False)
class Image:
    """What one file says; None for what it does not say, or says in a way that makes no sense.

    `pixels` (rows, columns) is float32 and finite. `oddities` are phrases such as `NO_SPACING`.
    """

    name: str
    instance_number: int | None
    pixels: NDArray[np.float32]
    position: Array | None
    orientation: Array | None
    spacing: Array | None
    location: float | None
    sequence: str
    is_rescaled: bool
    oddities: tuple[str, ...]


def read_image(path: Path) -> Image:
    """Reads one file.

    Raises ValueError, or whatever pydicom and its decoders raise on a damaged file, when there are no pixels to trust.
    """
    dataset = _parse(path)
    _refuse_shape(dataset)
    pixels, oddities = _grey_values(dataset)
    number = _whole_number(dataset, "InstanceNumber")
    position = _numbers(dataset, "ImagePositionPatient", 3, POSITION_MM)
    orientation = _orientation(dataset)
    spacing = _numbers(dataset, "PixelSpacing", 2, SPACING_MM)
    location = _numbers(dataset, "SliceLocation", 1, POSITION_MM)
    wanted = {NO_NUMBER: number, NO_POSITION: position, NO_ORIENTATION: orientation, NO_SPACING: spacing}
    oddities += [phrase for phrase, value in wanted.items() if value is None]
    if orientation is not None and not _is_orthonormal(orientation):
        oddities.append(UNEVEN_AXES)
    return Image(
        name=path.name,
        instance_number=number,
        pixels=pixels,
        position=position,
        orientation=orientation,
        spacing=spacing,
        location=None if location is None else float(location[0]),
        sequence=_text(dataset, "SeriesDescription"),
        is_rescaled="RescaleSlope" in dataset,
        oddities=(*oddities, *_unneeded(dataset)),
    )


def _parse(path: Path) -> pydicom.Dataset:
    if not path.is_file():
        raise ValueError("it is not a file")
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise ValueError("the file is empty" if size == 0 else f"the file has {size} bytes, at most {LARGEST_FILE}")
    # From memory: a damaged length then ends at the file's end, and does not reserve what it claims.
    dataset = pydicom.dcmread(BytesIO(path.read_bytes()), force=True)
    if not any(name in dataset for name in PIXEL_TAGS):
        raise ValueError("the file ends before its pixels" if dataset.preamble else "the file is not DICOM")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return dataset


def _refuse_shape(dataset: pydicom.Dataset) -> None:
    """Refuses by the header alone what is no single grey image, before a decoder reserves memory for it."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, frames = int(dataset.get("SamplesPerPixel") or 1), int(dataset.get("NumberOfFrames") or 1)
    kind = dataset.PhotometricInterpretation
    is_grey = samples == 1 and str(kind).startswith("MONOCHROME")
    if not is_grey or frames != 1 or not (2 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE):
        raise ValueError(
            f"expected one grey image of 2 to {LARGEST_SIDE} pixels a side,"
            f" got {frames} of {rows} x {columns} pixels in {kind} with {samples} samples each"
        )


def _excess_bytes(dataset: pydicom.Dataset) -> int:
    """The bytes that the pixel data are longer than the image. Raises ValueError where they are more than padding."""
    length = max(len(dataset[name].value or b"") for name in PIXEL_TAGS if name in dataset)
    needed = math.ceil(dataset.Rows * dataset.Columns * dataset.BitsAllocated / 8)
    if length > (1 + PADDING_SHARE) * needed:
        raise ValueError(
            f"{length - needed} bytes of pixel data more than {dataset.Rows} x {dataset.Columns} pixels have"
        )
    return length - needed


def _grey_values(dataset: pydicom.Dataset) -> tuple[NDArray[np.float32], list[str]]:
    """The rescaled pixels, finite and white where the scanner's are white, and what was odd about them."""
    oddities = _oddities_of_encoding(dataset)
    stored = dataset.pixel_array
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise ValueError(f"expected pixels of shape {(dataset.Rows, dataset.Columns)}, got {stored.shape}")
    if _has_sane_rescale(dataset):
        stored = apply_rescale(stored, dataset)
    else:
        oddities.append(BAD_RESCALE)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite, and is found below
        values = stored.astype(np.float32)
    low, high = values.min(), values.max()
    if not (low >= -LARGEST_VALUE and high <= LARGEST_VALUE):  # also where either is NaN
        values = _without_absurd_values(values)
        oddities.append(BAD_PIXELS)
    if low == high:
        oddities.append(FLAT)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = -values  # dark is high; the window takes its black and white from the series
    return values, oddities


def _without_absurd_values(values: NDArray[np.float32]) -> NDArray[np.float32]:
    absurd = ~(np.abs(values) <= LARGEST_VALUE)
    if absurd.all():
        raise ValueError(f"every pixel is no number or beyond ±{LARGEST_VALUE:.0f}")
    return np.where(absurd, np.float32(0), values)


def _oddities_of_encoding(dataset: pydicom.Dataset) -> list[str]:
    """Raises ValueError where the pixel data are longer than the image."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        return [f"compressed pixels ({syntax.name})"]
    return [EXCESS] if _excess_bytes(dataset) > 1 else []  # an odd length is padded to an even one


def _has_sane_rescale(dataset: pydicom.Dataset) -> bool:
    """Whether the rescale tags are absent, or give numbers that can be meant."""
    if "ModalityLUTSequence" in dataset or not ("RescaleSlope" in dataset or "RescaleIntercept" in dataset):
        return True
    slope, intercept = _numbers(dataset, "RescaleSlope", 1), _numbers(dataset, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return False
    return SLOPE[0] <= abs(slope[0]) <= SLOPE[1] and abs(intercept[0]) <= LARGEST_VALUE


def _numbers(
    dataset: pydicom.Dataset, name: str, count: int, limits: tuple[float, float] = (-np.inf, np.inf)
) -> Array | None:
    """A tag's values, or None when it is missing, empty or not `count` finite numbers within the limits."""
    try:
        values = np.atleast_1d(np.array(dataset.get(name), dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        return None
    sane = values.shape == (count,) and np.isfinite(values).all()
    return values if sane and (values >= limits[0]).all() and (values <= limits[1]).all() else None


def _whole_number(dataset: pydicom.Dataset, name: str) -> int | None:
    values = _numbers(dataset, name, 1, (0.0, 2.0**31))  # what DICOM's integer strings hold; ids are not negative
    return int(values[0]) if values is not None and values[0].is_integer() else None


def _orientation(dataset: pydicom.Dataset) -> Array | None:
    """ImageOrientationPatient, or None when its directions do not span a plane."""
    values = _numbers(dataset, "ImageOrientationPatient", 6, (-100.0, 100.0))
    if values is None:
        return None
    (across, dot), (_, down) = _products(values)
    spans = min(across, down) > 1e-4 and dot**2 < 0.99 * across * down
    return values if spans else None


def _is_orthonormal(orientation: Array) -> bool:
    return bool(np.abs(_products(orientation) - np.eye(2)).max() < 0.02)


def _products(orientation: Array) -> Array:
    """The products (2, 2) of the two directions with themselves and each other."""
    axes = orientation.reshape(2, 3)
    return axes @ axes.T


def _text(dataset: pydicom.Dataset, name: str) -> str:
    try:
        return str(dataset.get(name) or "")
    except (TypeError, ValueError):
        return ""


def _unneeded(dataset: pydicom.Dataset) -> list[str]:
    return [f"no {name}" for name in UNNEEDED_TAGS if name not in dataset or not dataset.get_item(name).value]
