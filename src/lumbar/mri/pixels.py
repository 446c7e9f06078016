"""The grey values of a DICOM file's images, and which of their pixels are padding."""

import math

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale, pixel_array
from pydicom.uid import RLELossless
from scipy import ndimage

from lumbar.mri.frames import count_frames
from lumbar.mri.header import numbers

LARGEST_SIDE = 4096
"""Pixels; the real images end at 1024. A header that claims more must not make a decoder reserve gigabytes."""
LARGEST_SERIES = 2**28
"""Pixels, a GiB of memory: more than 192 images of 1024 x 1024, the most and the largest of the real ones."""
LARGEST_VALUE = 2.0**24
"""Up to here float32 holds every whole number. 16 bits with the steepest real rescale slope stay far below."""
PADDING_SHARE = 0.05
"""Pixel data may be longer than the image by this share: trailing padding. More, and rows and columns are wrong."""
SLOPE = (1e-6, 1e6)
"""Beyond these a rescale slope is a damaged tag."""
LEAST_BORDER, LEAST_GAP = 0.02, 0.05
"""A border of one value is padding, without a tag that says so, where it covers this share of the image and lies this
share of the other pixels' range beyond them. Air is darker than the body, but no gap parts it from the noise."""
SAMPLED = 16
"""Every so many rows and columns are looked at first: a gap that they do not have, the image does not have."""

BAD_RESCALE = "senseless RescaleSlope or RescaleIntercept"
BAD_PIXELS = f"pixels that are no number or beyond ±{LARGEST_VALUE:.0f}"
"""Oddities that were put right in the file itself."""
FLAT = "one grey value only"
EXCESS = "more pixel data than rows and columns ask for"
PADDED = "a border of padding"
PIXEL_TAGS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]


def refuse_shape(dataset: Dataset) -> None:
    """Refuses by the header alone what is no grey image, before a decoder reserves memory for it: ValueError."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, kind = int(dataset.get("SamplesPerPixel") or 1), dataset.PhotometricInterpretation
    claimed = dataset.get("NumberOfFrames") or 1
    is_grey = samples == 1 and str(kind).startswith("MONOCHROME")
    if not is_grey or not (2 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE):
        raise ValueError(
            f"expected one grey image of 2 to {LARGEST_SIDE} pixels a side,"
            f" got {claimed} of {rows} x {columns} pixels in {kind} with {samples} samples each"
        )
    frames = count_frames(dataset)
    if frames * rows * columns > LARGEST_SERIES:
        raise ValueError(f"{frames} frames of {rows} x {columns} pixels, at most {LARGEST_SERIES} pixels in all")


def stored_frames(dataset: Dataset) -> tuple[NDArray[np.generic], list[str]]:
    """The stored values (frames, rows, columns), and what was odd about how they are stored."""
    oddities = _oddities_of_encoding(dataset)
    stored = pixel_array(dataset)  # not the property, which compares all tags with those of the time before
    shape = count_frames(dataset), int(dataset.Rows), int(dataset.Columns)
    if stored.shape not in (shape, shape[1:]):
        raise ValueError(f"expected pixels of shape {shape[1:]}, got {stored.shape}")
    return stored.reshape(shape), oddities


def grey_values(stored: NDArray[np.generic], header: Dataset) -> tuple[Grey, Mask | None, list[str]]:
    """A frame's rescaled pixels (rows, columns), finite and white where the scanner's are white; which of them are
    padding, if any; and what was odd about them. Padding has the darkest of the other values."""
    tagged = _tagged_padding(stored, header)
    values, oddities = _rescaled(stored, header)
    low, high = float(values.min()), float(values.max())
    if not (low >= -LARGEST_VALUE and high <= LARGEST_VALUE):  # also where either is NaN
        values = _without_absurd_values(values)
        low, high = float(values.min()), float(values.max())
        oddities.append(BAD_PIXELS)
    if low == high:
        oddities.append(FLAT)
    padding = tagged if tagged is not None else _constant_border(values, low, high)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        values = -values  # dark is high; the window takes its black and white from the series
    if padding is None:
        return values, None, oddities
    return np.where(padding, values[~padding].min(), values), padding, [*oddities, PADDED]


def _rescaled(stored: NDArray[np.generic], header: Dataset) -> tuple[Grey, list[str]]:
    """A frame's values by the rescale tags, and what is odd about these."""
    is_sane, changes = _judge_rescale(header)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite, and is found later
        values = (apply_rescale(stored, header) if changes else stored).astype(np.float32)
    return values, [] if is_sane else [BAD_RESCALE]


def _judge_rescale(header: Dataset) -> tuple[bool, bool]:
    """Whether the rescale tags are absent or give numbers that can be meant; and whether they change a value."""
    if "ModalityLUTSequence" in header:
        return True, True
    if not ("RescaleSlope" in header or "RescaleIntercept" in header):
        return True, False
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return False, False
    is_sane = SLOPE[0] <= abs(slope[0]) <= SLOPE[1] and abs(intercept[0]) <= LARGEST_VALUE
    return bool(is_sane), bool(is_sane and (slope[0] != 1 or intercept[0] != 0))


def _tagged_padding(stored: NDArray[np.generic], header: Dataset) -> Mask | None:
    """Which pixels are padding by PixelPaddingValue, up to PixelPaddingRangeLimit where there is one: those that touch
    the border, since the value may be one of the body's too."""
    first = numbers(header, "PixelPaddingValue", 1)
    if first is None:
        return None
    limit = numbers(header, "PixelPaddingRangeLimit", 1)
    low, high = sorted((float(first[0]), float(first[0] if limit is None else limit[0])))
    turn = 2.0 ** int(header.get("BitsAllocated") or 16)  # some write -2000 where their pixels are unsigned, or 63536
    values = stored.astype(np.float64)
    is_padding = np.any([(values >= low + turns) & (values <= high + turns) for turns in (-turn, 0.0, turn)], axis=0)
    return _touching_border(is_padding)


def _constant_border(values: Grey, lowest: float, highest: float) -> Mask | None:
    """Which pixels are padding without a tag: a large border of the lowest or highest value, far from all others."""
    corners = {float(values[row, column]) for row in (0, -1) for column in (0, -1)}
    for value in corners & {lowest, highest}:
        # A sample first: almost no image has the gap, and finding what touches the border takes as long as decoding.
        if not (_has_gap(values[::SAMPLED, ::SAMPLED], value) and _has_gap(values, value)):
            continue
        padding = _touching_border(values == value)
        if padding is not None and padding.mean() >= LEAST_BORDER:
            return padding
    return None


def _has_gap(values: Grey, value: float) -> bool:
    """Whether the pixels of other values lie at least `LEAST_GAP` of their range from a value."""
    others = values[values != value]
    return len(others) > 0 and float(np.abs(others - value).min()) > LEAST_GAP * float(np.ptp(others))


def _touching_border(pixels: Mask) -> Mask | None:
    """Those of the pixels that are joined to the image's border; None where none is, or where all pixels are."""
    if not pixels.any():
        return None
    pieces, _ = ndimage.label(pixels)
    edges = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    joined = np.isin(pieces, np.unique(edges[edges > 0])) & pixels
    return joined if joined.any() and not joined.all() else None


def _excess_bytes(dataset: Dataset) -> int:
    """The bytes that the pixel data are longer than the image. Raises ValueError where they are more than padding."""
    length = max(len(dataset[name].value or b"") for name in PIXEL_TAGS if name in dataset)
    pixels = count_frames(dataset) * dataset.Rows * dataset.Columns
    needed = math.ceil(pixels * dataset.BitsAllocated / 8)
    if length > (1 + PADDING_SHARE) * needed:
        raise ValueError(
            f"{length - needed} bytes of pixel data more than {dataset.Rows} x {dataset.Columns} pixels have"
        )
    return length - needed


def _without_absurd_values(values: NDArray[np.float32]) -> NDArray[np.float32]:
    absurd = ~(np.abs(values) <= LARGEST_VALUE)
    if absurd.all():
        raise ValueError(f"every pixel is no number or beyond ±{LARGEST_VALUE:.0f}")
    return np.where(absurd, np.float32(0), values)


def _oddities_of_encoding(dataset: Dataset) -> list[str]:
    """Raises ValueError where the pixel data are longer than the image."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == RLELossless:  # as all of the competition's files
        return []
    if syntax.is_encapsulated:
        return [f"compressed pixels ({syntax.name})"]
    return [EXCESS] if _excess_bytes(dataset) > 1 else []  # an odd length is padded to an even one
