"""Ways in which exporters deliver the same series otherwise: other names, folders, zips and encodings, and Enhanced MR.

None of them loses or changes anything.
"""

import shutil
import zipfile
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000Lossless

from lumbar.phantom.faults.damage import (
    Damage,
    Rng,
    edit_pixels,
    files_of,
    in_order,
    name_files,
    some_files,
    unpack,
)

MACROS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
}
"""The functional groups of Enhanced MR that say where a frame lies, with their tags (PS3.3, C.7.6.16.2)."""


def rename(template: str) -> Damage:
    """Makes a fault: other file names, made of a file's own `stem` or of a `number` that says nothing of its place."""

    def damage(folder: Path, rng: Rng) -> str:
        paths = files_of(folder)
        for path, number in zip(paths, rng.permutation(len(paths)), strict=True):
            path.rename(path.with_name(template.format(stem=path.stem, number=number + 1)))
        return template

    return damage


def nest_files(folder: Path, rng: Rng) -> str:
    """Puts some files into a folder of their own."""
    paths = some_files(folder, rng)
    (folder / "nested").mkdir()
    for path in paths:
        path.rename(folder / "nested" / path.name)
    return name_files(paths)


def zip_series(folder: Path, rng: Rng) -> str:
    """Delivers a zip in place of the folder."""
    _zip(files_of(folder), folder.with_name(f"{folder.name}.zip"))
    shutil.rmtree(folder)
    return f"{folder.name}.zip"


def zip_files(folder: Path, rng: Rng) -> str:
    """Puts some files into a zip in the folder."""
    paths = some_files(folder, rng)
    _zip(paths, folder / "images.zip")
    for path in paths:
        path.unlink()
    return f"images.zip with {name_files(paths)}"


def _zip(paths: Iterable[Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w") as packed:
        for path in paths:
            packed.writestr(zipfile.ZipInfo(path.name), path.read_bytes())  # not `write`, which keeps the time


def decompress(folder: Path, rng: Rng) -> str:
    """Writes plain pixels where the phantom's are compressed."""
    return edit_pixels(some_files(folder, rng), lambda _: None)


def compress(syntax: UID) -> Damage:
    """Makes a fault: files in a compressed transfer syntax."""

    def change(dataset: Dataset) -> None:
        dataset.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)

    def damage(folder: Path, rng: Rng) -> str:
        return edit_pixels(some_files(folder, rng), change)

    return damage


compress_jpeg2000 = compress(JPEG2000Lossless)


def enhance_files(folder: Path, rng: Rng) -> str:
    """Writes Enhanced MR of one frame each."""
    paths = some_files(folder, rng)
    for path in paths:
        dcmwrite(path, _join([dcmread(path)]))
    return name_files(paths)


def join_frames(folder: Path, rng: Rng) -> str:
    """Writes one Enhanced MR file of all images; where they differ in size, of those before the first other one."""
    paths = in_order(files_of(folder))
    datasets = [dcmread(path) for path in paths]
    size = (datasets[0].Rows, datasets[0].Columns)
    alike = list(takewhile(lambda dataset: (dataset.Rows, dataset.Columns) == size, datasets))
    for path in paths[: len(alike)]:
        path.unlink()
    dcmwrite(paths[0], _join(alike))
    return f"{len(alike)} frames in {paths[0].name}"


def _join(datasets: Sequence[Dataset]) -> Dataset:
    """The first data set with all of them as its frames, and their places in functional groups."""
    for dataset in datasets:
        unpack(dataset)
    joined = datasets[0]
    joined.NumberOfFrames = len(datasets)
    joined.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    joined.PerFrameFunctionalGroupsSequence = [_groups(dataset) for dataset in datasets]
    for names in MACROS.values():
        for name in names:
            joined.pop(name, None)
    joined.pop("SliceLocation", None)
    return joined


def _groups(dataset: Dataset) -> Dataset:
    """The functional groups of an image, where each has no more than one item."""
    groups = Dataset()
    for macro, names in MACROS.items():
        item = Dataset()
        item.update({dataset[name].tag: dataset[name] for name in names if name in dataset})
        setattr(groups, macro, [item])
    return groups
