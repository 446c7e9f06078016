"""Ways to break the pixels of a series, or what its headers say of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from lumbar.phantom.faults.damage import Damage, Rng, edit_pixels, edit_tags, few_files, some_files

CLAIMED_SIDE = 60_000
"""Rows and columns of a header that asks for 7 GB."""
PADDING, PADDING_RANGE = -2000, 10
"""What scanners and resamplers write where they measured nothing: a value below all others, or one of a few."""
WIDEST_BORDER = 0.1
"""Of an image's smaller side: the padding at each edge."""


def take_pixels(folder: Path, rng: Rng) -> str:
    """Writes images of 0 x 0 pixels, or none at all."""
    is_header_kept = rng.random() < 0.5

    def change(dataset: Dataset) -> None:
        if not is_header_kept:
            dataset.Rows, dataset.Columns = 0, 0
        dataset.PixelData = b""

    return edit_pixels(some_files(folder, rng), change)


def shorten_pixel_data(folder: Path, rng: Rng) -> str:
    """Drops the end of the pixel data, and says so in its length."""
    share = float(rng.uniform(0.0, 0.99))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[: int(len(dataset.PixelData) * share) // 2 * 2]

    return edit_pixels(some_files(folder, rng), change)


def lengthen_pixel_data(folder: Path, rng: Rng) -> str:
    """Writes more pixel data than rows and columns ask for."""

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData * 2

    return edit_pixels(some_files(folder, rng), change)


def misstate_size(folder: Path, rng: Rng) -> str:
    """Writes other rows or columns than the pixels have."""
    factor, name = float(rng.choice([0.5, 1.5])), str(rng.choice(["Rows", "Columns"]))

    def change(dataset: Dataset) -> None:
        setattr(dataset, name, int(getattr(dataset, name) * factor))

    return f"{name} x {factor} in {edit_tags(some_files(folder, rng), change)}"


def claim_huge_size(folder: Path, rng: Rng) -> str:
    """Writes rows and columns that no memory holds."""

    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = CLAIMED_SIDE

    return edit_tags(some_files(folder, rng), change)


def mix_sizes(folder: Path, rng: Rng) -> str:
    """Cuts some images down to their upper left quarter."""

    def change(dataset: Dataset) -> None:
        part = dataset.pixel_array[: dataset.Rows // 2, : dataset.Columns // 2]
        dataset.Rows, dataset.Columns = part.shape
        dataset.PixelData = part.tobytes()

    return edit_pixels(few_files(folder, rng), change)


def colour(folder: Path, rng: Rng) -> str:
    """Writes screenshots: three samples a pixel."""

    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = dataset.PixelData + dataset.PixelData[: len(dataset.PixelData) // 2]  # three bytes for two

    return edit_pixels(some_files(folder, rng), change)


def flatten(folder: Path, rng: Rng) -> str:
    """Writes one grey value into every pixel."""
    value = int(rng.choice([0, 1000, 4095]))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = np.full(len(dataset.PixelData) // 2, value, "<u2").tobytes()

    return f"{value} in {edit_pixels(some_files(folder, rng), change)}"


def write_floats(*values: float) -> Damage:
    """Makes a fault: float pixels, some of them of the given values."""

    def damage(folder: Path, rng: Rng) -> str:
        share = float(rng.uniform(0.01, 0.6))

        def change(dataset: Dataset) -> None:
            pixels = dataset.pixel_array.astype("<f4")
            hit = rng.random(pixels.shape) < share
            hit[0, 0] = True
            pixels[hit] = rng.choice(values, int(hit.sum()))
            for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
                del dataset[name]
            dataset.BitsAllocated, dataset.FloatPixelData = 32, pixels.tobytes()

        return f"{share:.0%} of the pixels in {edit_pixels(some_files(folder, rng), change)}"

    return damage


def pad_border(is_tagged: bool) -> Damage:
    """Makes a fault: a border of padding, by one value or, where a tag says so, by a range of values."""

    def damage(folder: Path, rng: Rng) -> str:
        share = float(rng.uniform(WIDEST_BORDER / 2, WIDEST_BORDER))
        is_range = is_tagged and rng.random() < 0.5

        def change(dataset: Dataset) -> None:
            pixels = dataset.pixel_array.astype("<i2")
            border = _border(pixels.shape, share)
            spread = rng.integers(PADDING_RANGE, size=int(border.sum())) if is_range else 0
            pixels[border] = PADDING + spread
            dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
            dataset.PixelData = pixels.tobytes()
            if is_tagged:
                dataset.add_new("PixelPaddingValue", "SS", PADDING)
            if is_range:
                dataset.add_new("PixelPaddingRangeLimit", "SS", PADDING + PADDING_RANGE - 1)

        return f"{share:.0%} at each edge of {edit_pixels(some_files(folder, rng), change)}"

    return damage


def _border(shape: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """Which pixels of an image (rows, columns) lie so near to its edges."""
    width = max(1, round(share * min(shape)))
    border = np.ones(shape, dtype=np.bool_)
    border[width:-width, width:-width] = False
    return border
