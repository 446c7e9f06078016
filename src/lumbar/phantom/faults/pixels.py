"""Ways to break the pixels of a series, or what its headers say of them."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000Lossless, RLELossless

from lumbar.phantom.faults.damage import Damage, Rng, edit_tags, few_files, some_files

CLAIMED_SIDE = 60_000
"""Rows and columns of a header that asks for 7 GB."""


def take_pixels(folder: Path, rng: Rng) -> str:
    """Writes images of 0 x 0 pixels, or none at all."""
    is_header_kept = rng.random() < 0.5

    def change(dataset: Dataset) -> None:
        if not is_header_kept:
            dataset.Rows, dataset.Columns = 0, 0
        dataset.PixelData = b""

    return edit_tags(some_files(folder, rng), change)


def shorten_pixel_data(folder: Path, rng: Rng) -> str:
    """Drops the end of the pixel data, and says so in its length."""
    share = float(rng.uniform(0.0, 0.99))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[: int(len(dataset.PixelData) * share) // 2 * 2]

    return edit_tags(some_files(folder, rng), change)


def lengthen_pixel_data(folder: Path, rng: Rng) -> str:
    """Writes more pixel data than rows and columns ask for."""

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData * 2

    return edit_tags(some_files(folder, rng), change)


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

    return edit_tags(few_files(folder, rng), change)


def colour(folder: Path, rng: Rng) -> str:
    """Writes screenshots: three samples a pixel."""

    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = dataset.PixelData + dataset.PixelData[: len(dataset.PixelData) // 2]  # three bytes for two

    return edit_tags(some_files(folder, rng), change)


def flatten(folder: Path, rng: Rng) -> str:
    """Writes one grey value into every pixel."""
    value = int(rng.choice([0, 1000, 4095]))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = np.full(len(dataset.PixelData) // 2, value, "<u2").tobytes()

    return f"{value} in {edit_tags(some_files(folder, rng), change)}"


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

        return f"{share:.0%} of the pixels in {edit_tags(some_files(folder, rng), change)}"

    return damage


def compress(syntax: UID) -> Damage:
    """Makes a fault, of no harm: files in a compressed transfer syntax."""

    def change(dataset: Dataset) -> None:
        dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)

    def damage(folder: Path, rng: Rng) -> str:
        return edit_tags(some_files(folder, rng), change)

    return damage


compress_rle, compress_jpeg2000 = compress(RLELossless), compress(JPEG2000Lossless)
