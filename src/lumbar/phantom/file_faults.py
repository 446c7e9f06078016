"""Ways to break the files of one series, each as some scanner, exporter or disk has done it.

Every function takes the series' folder and a generator, and says in words what it did. Most break all files of a
series or any few of them.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, JPEG2000Lossless, RLELossless
from scipy.spatial.transform import Rotation

Rng = np.random.Generator
Damage = Callable[[Path, Rng], str]

ALL_FILES_SHARE = 0.4
"""How often a fault hits every file of a series."""
OFFSET = 5000
"""What a scanner that counts through the day adds to instance numbers; one real series ends at 5049."""
CLAIMED_SIDE = 60_000
"""Rows and columns of a header that asks for 7 GB."""
TILT_DEGREES = 20.0
"""By what a block of slices is turned: axial blocks follow discs that are tilted by so much."""
NAMED = 5
"""Files that are named before the rest is counted."""
STRAY_NAMES = (".DS_Store", "Thumbs.db", "DICOMDIR", "1.dcm.part")
NOT_DICOM = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n"
PLAIN, UNKNOWN = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"
"""The transfer syntax of the phantom's files, and one of the same length that nobody knows."""


def files_of(folder: Path) -> list[Path]:
    """The DICOM files of a series, in the order of their names."""
    return sorted(path for path in folder.glob("*.dcm") if path.is_file())


def _some(folder: Path, rng: Rng) -> list[Path]:
    """All files of a series, or any few."""
    return files_of(folder) if rng.random() < ALL_FILES_SHARE else _few(folder, rng)


def _few(folder: Path, rng: Rng) -> list[Path]:
    """At least one file, and not all where there are several."""
    files = files_of(folder)
    chosen = rng.choice(len(files), int(rng.integers(1, max(2, len(files)))), replace=False)
    return [files[index] for index in sorted(chosen)]


def _name(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(path.name for path in paths[:NAMED]) + more


def _edit(paths: Sequence[Path], change: Callable[[Dataset], None]) -> str:
    """Changes the tags of files."""
    for path in paths:
        dataset = dcmread(path)
        change(dataset)
        dcmwrite(path, dataset)
    return _name(paths)


def _overwrite(paths: Sequence[Path], change: Callable[[bytes], bytes]) -> str:
    """Changes the bytes of files."""
    for path in paths:
        path.write_bytes(change(path.read_bytes()))
    return _name(paths)


def truncate(folder: Path, rng: Rng) -> str:
    """Cuts files anywhere."""
    return _overwrite(_some(folder, rng), lambda content: content[: int(rng.integers(1, len(content) - 1))])


def empty_files(folder: Path, rng: Rng) -> str:
    """Leaves files of no byte."""
    return _overwrite(_some(folder, rng), lambda _: b"")


def replace_by_text(folder: Path, rng: Rng) -> str:
    """Puts what a web server answers in place of files."""
    return _overwrite(_some(folder, rng), lambda _: NOT_DICOM)


def use_unknown_syntax(folder: Path, rng: Rng) -> str:
    """Names a transfer syntax that nobody knows."""
    return _overwrite(_some(folder, rng), lambda content: content.replace(PLAIN, UNKNOWN, 1))


def remove(name: str) -> Damage:
    """Makes a fault: takes a tag out of files, or its value."""

    def damage(folder: Path, rng: Rng) -> str:
        is_kept = rng.random() < 0.3

        def change(dataset: Dataset) -> None:
            if is_kept:
                setattr(dataset, name, None)
            elif name in dataset:
                del dataset[name]

        return f"{'empty' if is_kept else 'no'} {name} in {_edit(_some(folder, rng), change)}"

    return damage


def remove_rescale(folder: Path, rng: Rng) -> str:
    """Leaves the rescale tags in some files only; a series without them gets some first."""

    def give(dataset: Dataset) -> None:
        dataset.RescaleIntercept, dataset.RescaleSlope = "0", dataset.get("RescaleSlope", "2.5")

    def take(dataset: Dataset) -> None:
        del dataset.RescaleIntercept, dataset.RescaleSlope

    _edit(files_of(folder), give)
    return _edit(_few(folder, rng), take)


def put(name: str, *values: str) -> Damage:
    """Makes a fault: writes one of several texts into a number's tag, past pydicom's check that it is a number."""
    tag = Tag(name)

    def damage(folder: Path, rng: Rng) -> str:
        text = values[int(rng.integers(len(values)))]
        value = (text + " " * (len(text) % 2)).encode()

        def change(dataset: Dataset) -> None:
            dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)

        return f"{name} {text} in {_edit(_some(folder, rng), change)}"

    return damage


def stretch_orientation(folder: Path, rng: Rng) -> str:
    """Gives the directions a length other than 1."""
    length = float(rng.choice([0.5, 2.0, 10.0]))

    def change(dataset: Dataset) -> None:
        dataset.ImageOrientationPatient = [round(length * float(one), 6) for one in dataset.ImageOrientationPatient]

    return _edit(_some(folder, rng), change)


def turn_block(folder: Path, rng: Rng) -> str:
    """Tilts some slices about their rows, as blocks angled to each disc are."""

    def change(dataset: Dataset) -> None:
        axes = np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        tilt = Rotation.from_rotvec(np.deg2rad(TILT_DEGREES) * axes[0])
        dataset.ImageOrientationPatient = tilt.apply(axes).round(6).ravel().tolist()

    return _edit(_few(folder, rng), change)


def add_scout(folder: Path, rng: Rng) -> str:
    """Makes one image a scout in another anatomical plane."""

    def change(dataset: Dataset) -> None:
        axes = np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        is_sagittal = abs(np.cross(*axes)[0]) > 0.7
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if is_sagittal else [0, 1, 0, 0, 0, -1]

    return _edit(_few(folder, rng)[:1], change)


def mix_sizes(folder: Path, rng: Rng) -> str:
    """Cuts some images down to their upper left quarter."""

    def change(dataset: Dataset) -> None:
        part = dataset.pixel_array[: dataset.Rows // 2, : dataset.Columns // 2]
        dataset.Rows, dataset.Columns = part.shape
        dataset.PixelData = part.tobytes()

    return _edit(_few(folder, rng), change)


def repeat_positions(folder: Path, rng: Rng) -> str:
    """Gives some images the place of another one."""
    files = files_of(folder)
    source, *others = (files[index] for index in rng.permutation(len(files))[: int(rng.integers(2, 4))])
    place = dcmread(source, stop_before_pixels=True).ImagePositionPatient

    def change(dataset: Dataset) -> None:
        dataset.ImagePositionPatient = place

    return f"that of {source.name} in {_edit(others, change)}"


def give_one_position(folder: Path, rng: Rng) -> str:
    """Gives all images one place."""

    def change(dataset: Dataset) -> None:
        dataset.ImagePositionPatient, dataset.SliceLocation = [0, 0, 0], 0

    return _edit(files_of(folder), change)


def leave_one_slice(folder: Path, rng: Rng) -> str:
    """Removes all images but one."""
    files = files_of(folder)
    kept = files[int(rng.integers(len(files)))]
    for path in files:
        if path != kept:
            path.unlink()
    return f"left {kept.name}"


def offset_numbers(folder: Path, rng: Rng) -> str:
    """Counts instances, and their files, from 5,001."""

    def change(dataset: Dataset) -> None:
        dataset.InstanceNumber = int(dataset.InstanceNumber) + OFFSET

    files = files_of(folder)
    _edit(files, change)
    for path in files:
        path.rename(path.with_name(f"{int(path.stem) + OFFSET}.dcm"))
    return f"by {OFFSET}"


def repeat_number(folder: Path, rng: Rng) -> str:
    """Gives two files one instance number."""
    files = files_of(folder)
    first, second = (files[index] for index in sorted(rng.choice(len(files), 2, replace=False)))
    number = dcmread(first, stop_before_pixels=True).InstanceNumber

    def change(dataset: Dataset) -> None:
        dataset.InstanceNumber = number

    return f"{first.name} and {_edit([second], change)}"


def copy_file(folder: Path, rng: Rng) -> str:
    """Leaves a copy beside a file."""
    path = _few(folder, rng)[0]
    shutil.copyfile(path, path.with_name(f"{path.stem} (1).dcm"))
    return path.name


def add_stray_file(folder: Path, rng: Rng) -> str:
    """Leaves what an operating system or a download leaves."""
    name = STRAY_NAMES[int(rng.integers(len(STRAY_NAMES)))]
    (folder / name).write_bytes(rng.bytes(64))
    return name


def nest_folder(folder: Path, rng: Rng) -> str:
    """Puts some files into a folder of their own."""
    paths = _few(folder, rng)
    (folder / "nested").mkdir()
    for path in paths:
        path.rename(folder / "nested" / path.name)
    return _name(paths)


def empty_series(folder: Path, rng: Rng) -> str:
    """Removes every file."""
    for path in files_of(folder):
        path.unlink()
    return ""


def remove_series(folder: Path, rng: Rng) -> str:
    """Removes the folder."""
    shutil.rmtree(folder)
    return ""


def take_pixels(folder: Path, rng: Rng) -> str:
    """Writes images of 0 x 0 pixels, or none at all."""
    is_header_kept = rng.random() < 0.5

    def change(dataset: Dataset) -> None:
        if not is_header_kept:
            dataset.Rows, dataset.Columns = 0, 0
        dataset.PixelData = b""

    return _edit(_some(folder, rng), change)


def shorten_pixel_data(folder: Path, rng: Rng) -> str:
    """Drops the end of the pixel data, and says so in its length."""
    share = float(rng.uniform(0.0, 0.99))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[: int(len(dataset.PixelData) * share) // 2 * 2]

    return _edit(_some(folder, rng), change)


def lengthen_pixel_data(folder: Path, rng: Rng) -> str:
    """Writes more pixel data than rows and columns ask for."""

    def change(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData * 2

    return _edit(_some(folder, rng), change)


def misstate_size(folder: Path, rng: Rng) -> str:
    """Writes other rows or columns than the pixels have."""
    factor, name = float(rng.choice([0.5, 1.5])), str(rng.choice(["Rows", "Columns"]))

    def change(dataset: Dataset) -> None:
        setattr(dataset, name, int(getattr(dataset, name) * factor))

    return f"{name} x {factor} in {_edit(_some(folder, rng), change)}"


def claim_huge_size(folder: Path, rng: Rng) -> str:
    """Writes rows and columns that no memory holds."""

    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = CLAIMED_SIDE

    return _edit(_some(folder, rng), change)


def colour(folder: Path, rng: Rng) -> str:
    """Writes screenshots: three samples a pixel."""

    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = dataset.PixelData + dataset.PixelData[: len(dataset.PixelData) // 2]  # three bytes for two

    return _edit(_some(folder, rng), change)


def flatten(folder: Path, rng: Rng) -> str:
    """Writes one grey value into every pixel."""
    value = int(rng.choice([0, 1000, 4095]))

    def change(dataset: Dataset) -> None:
        dataset.PixelData = np.full(len(dataset.PixelData) // 2, value, "<u2").tobytes()

    return f"{value} in {_edit(_some(folder, rng), change)}"


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

        return f"{share:.0%} of the pixels in {_edit(_some(folder, rng), change)}"

    return damage


def compress(syntax: UID) -> Damage:
    """Makes a fault, of no harm: files in a compressed transfer syntax."""

    def change(dataset: Dataset) -> None:
        dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)

    def damage(folder: Path, rng: Rng) -> str:
        return _edit(_some(folder, rng), change)

    return damage


compress_rle, compress_jpeg2000 = compress(RLELossless), compress(JPEG2000Lossless)
